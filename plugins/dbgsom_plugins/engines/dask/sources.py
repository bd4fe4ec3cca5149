"""Where the rows of shards come from: dask collections, files that workers read, arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import hstack, issparse, vstack

from dbgsom_core.api import DataError
from dbgsom_core.errors import callers_level
from dbgsom_plugins.engines.dask.cluster import Task, Workers
from dbgsom_plugins.engines.dask.shards import DaskShards

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class _Layout(NamedTuple):
    """What a collection says that each of its partitions is."""

    width: int
    dtype: np.dtype[Any]
    names: list[Any] | None = None

    @property
    def as_float(self) -> np.dtype[Any]:
        """In which rows are held, as in memory."""
        return self.dtype if self.dtype in _FLOATS else np.dtype(np.float64)


def shards_of(X: Any, workers: Workers, most: float) -> DaskShards:
    """Return shards of X, each of at most about so many MiB.

    The workers read the rows of a table in a file; those of an array travel with their tasks.

    Raises
    ------
    DataError
        Partitions cannot be used.
    """
    if type(X).__module__.startswith("dask"):
        return _of_collection(X, workers, most)
    ends, is_array = _cuts(X.shape, X.dtype, workers, most), isinstance(X, np.ndarray)
    tables = [(X[a:b], 0, b - a) if is_array else (X, a, b) for a, b in pairwise(ends)]
    parts = [workers.submitted(_read, *table) for table in tables]
    return DaskShards(workers, parts, ends, X.shape[1], X.dtype)


def lazily(X: Any, ask: Callable[[Any], Any]) -> Any:
    """Return ``ask(rows)`` of each partition of a dask collection as a lazy dask array."""
    import dask
    import dask.array as da

    _check_kind(X)
    if _is_frame(X):
        sizes: Sequence[float] = [math.nan] * X.npartitions
        partitions, example = X.to_delayed(), X._meta_nonempty
    else:
        whole = X.rechunk({1: -1})
        sizes, partitions = whole.chunks[0], whole.to_delayed()[:, 0]
        example = np.ones((2, X.shape[1]), X.dtype)
    none = _array(ask(example))[:0]
    if issparse(none):
        _teach_to_stack(type(none))
    said = dask.delayed(_said, pure=False)
    asked = dask.delayed(ask, pure=False)
    answers = [
        da.from_delayed(said(asked, part, none), (size, *none.shape[1:]), meta=none)
        for part, size in zip(partitions, sizes, strict=True)
    ]
    return da.concatenate(answers, allow_unknown_chunksizes=True)


def _teach_to_stack(kind: type[Any]) -> None:
    # Dask 2024.8 knows how sparse matrices are put together, and takes sparse arrays for dense.
    from dask.array.core import concatenate_lookup

    if concatenate_lookup.dispatch(kind) is np.concatenate:
        concatenate_lookup.register(kind, _on_top)


def _on_top(parts: Sequence[Any], axis: int = 0) -> Any:
    return vstack(parts, format="csr") if axis == 0 else hstack(parts, format="csr")


def _of_collection(X: Any, workers: Workers, most: float) -> DaskShards:
    import dask

    _check_kind(X)
    if _is_frame(X):
        names = X.columns.tolist()
        said, known = _Layout(len(names), _common(X.dtypes), names), None
        blocks = list(X.to_delayed())
    else:
        said = _Layout(X.shape[1], X.dtype)
        if len(X.chunks[1]) > 1:
            X = X.rechunk({1: -1})
        blocks, known = list(X.to_delayed()[:, 0]), [*X.chunks[0]]
        known = None if any(math.isnan(one) for one in known) else known
    if known is None:
        if not _is_frame(X):
            told = "the chunk sizes of X are unknown: they are counted first"
            warnings.warn(told, stacklevel=callers_level())
        checked = dask.delayed(_checked, pure=False)
        parts = workers.computed([checked(block, i, said) for i, block in enumerate(blocks)])
        sizes = workers.gathered([workers.submitted(len, part) for part in parts])
    else:
        parts, sizes = _joined(blocks, [int(one) for one in known], said, workers, most)
    full = [i for i, size in enumerate(sizes) if size]
    if not full:
        raise DataError("X has no rows")
    ends = np.concatenate([[0], np.cumsum([sizes[i] for i in full])]).tolist()
    return DaskShards(workers, [parts[i] for i in full], ends, said.width, said.as_float)


def _joined(
    blocks: Sequence[Any], sizes: Sequence[int], said: _Layout, workers: Workers, most: float
) -> tuple[list[Task], list[int]]:
    # Small partitions that follow each other make one shard: each costs a task in every pass.
    import dask

    ends = _cuts((sum(sizes), said.width), said.as_float, workers, most)
    aim = max(1, -(-ends[-1] // (len(ends) - 1)))
    groups: list[list[int]] = []
    rows = math.inf
    for i, size in enumerate(sizes):
        if rows + size > aim:
            groups.append([])
            rows = 0
        groups[-1].append(i)
        rows += size
    checked, stacked = dask.delayed(_checked, pure=False), dask.delayed(_stacked, pure=False)
    made = [stacked([checked(blocks[i], i, said, sizes[i]) for i in group]) for group in groups]
    return workers.computed(made), [sum(sizes[i] for i in group) for group in groups]


def _cuts(shape: tuple[int, ...], dtype: Any, workers: Workers, most: float) -> list[int]:
    n, d = shape
    # As many for each thread, or all wait for one of them.
    turns = math.ceil(n * d * np.dtype(dtype).itemsize / (most * 2**20) / workers.threads)
    shards = max(1, min(max(turns, 1) * workers.threads, n))
    return [n * shard // shards for shard in range(shards + 1)]


def _check_kind(X: Any) -> None:
    # Whether X is a table of numbers in partitions, as far as can be told without looking at it.
    import dask.array as da

    if _is_frame(X):
        wrong = [str(name) for name, kind in X.dtypes.items() if _number(kind).kind not in "fiub"]
        if wrong:
            named = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
            raise DataError(f"X holds no numbers in column {named}: leave it out, or encode it")
        width: float = len(X.columns)
        twice = [str(one) for one in X.columns[X.columns.duplicated()]]
        if twice:
            raise DataError(f"X has more than one column {twice[0]}: give each a name of its own")
    elif isinstance(X, da.Array):
        if X.ndim != 2:
            raise DataError(f"X has {X.ndim} dimensions, not rows and columns")
        if X.dtype.kind not in "fiub":
            raise DataError(f"X is a dask array of {X.dtype}, not of numbers: convert it")
        width = X.shape[1]
        if math.isnan(width):
            raise DataError("X has an unknown number of columns: call X.compute_chunk_sizes()")
    else:
        raise DataError(
            f"X is a dask {type(X).__name__}, not an array or data frame of dask: convert it"
        )
    if width == 0:
        raise DataError("X has no columns: 0 feature(s), where 1 is the least")


def _is_frame(X: Any) -> bool:
    # A Delayed has any attribute that one asks for.
    return hasattr(type(X), "columns") and X.ndim == 2


def _number(kind: Any) -> np.dtype[Any]:
    # The numpy dtype of a column; of pandas' and pyarrow's numbers, which may be missing, float.
    if isinstance(kind, np.dtype):
        return kind
    bare = getattr(kind, "numpy_dtype", None)
    return bare if isinstance(bare, np.dtype) else np.dtype(object)


# ------------------------------------------------------------------------------ on the workers


def _read(table: Any, start: int, stop: int) -> NDArray[Any]:
    # Of an array the same memory: a worker in this process has the array itself.
    return np.ascontiguousarray(table[start:stop])


def _checked(block: Any, number: int, said: _Layout, rows: int | None = None) -> NDArray[Any]:
    # A partition as rows of what X says that all of them are.
    where = f"partition {number} of X (from 0)"
    if hasattr(block, "dtypes"):
        found, dtype = _of_frame(block, where, said)
    elif hasattr(block, "toarray") or hasattr(block, "todense"):
        raise DataError(f"{where} is a sparse {type(block).__name__}: make its chunks dense")
    else:
        found = block if isinstance(block, np.ndarray) else np.asarray(block)
        dtype = found.dtype
    if found.ndim != 2 or found.shape[1] != said.width:
        raise DataError(
            f"{where} has shape {found.shape}, and there must be {said.width} columns in each"
        )
    if rows is not None and len(found) != rows:
        raise DataError(f"{where} has {len(found)} rows, and by the chunks of X it has {rows}")
    if dtype.kind not in "fiub":
        raise DataError(f"{where} holds {dtype}, not numbers")
    if dtype != said.dtype and not np.can_cast(dtype, said.as_float):
        raise DataError(
            f"{where} holds {dtype}, where X says {said.dtype}: convert it, with astype"
        )
    if np.ma.is_masked(found):
        raise DataError(f"{where} holds masked values, where it must be complete: fill them")
    return np.ascontiguousarray(found, said.as_float)


def _of_frame(block: Any, where: str, said: _Layout) -> tuple[NDArray[Any], np.dtype[Any]]:
    # Its rows, in the dtype in which they are held, and the dtype that they have.
    wrong = [str(name) for name, kind in block.dtypes.items() if _number(kind).kind not in "fiub"]
    if wrong:
        raise DataError(f"{where} holds no numbers in column {wrong[0]}, where X says so")
    names = block.columns.tolist()
    if said.names is not None and len(names) == said.width and names != said.names:
        raise DataError(
            f"{where} has the columns {_some(names)}, and X says {_some(said.names)}: give all "
            "partitions the same in one order"
        )
    return block.to_numpy(said.as_float, na_value=np.nan), _common(block.dtypes)


def _common(kinds: Any) -> np.dtype[Any]:
    return np.result_type(*kinds.map(_number)) if len(kinds) else np.dtype(np.float64)


def _some(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:5])) + (", …" if len(names) > 5 else "")


def _stacked(blocks: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _said(ask: Callable[[Any], Any], rows: Any, none: Any) -> Any:
    return _array(ask(rows)) if len(rows) else none


def _array(answers: Any) -> Any:
    return answers if issparse(answers) else np.asarray(answers)
