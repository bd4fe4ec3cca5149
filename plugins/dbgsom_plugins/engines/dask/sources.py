"""Where the rows of shards come from: dask collections, files that workers read, arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, Table
from dbgsom_plugins.engines.dask.cluster import Workers
from dbgsom_plugins.engines.dask.shards import DaskShards
from dbgsom_plugins.engines.dask.tasks import Task, computed, gathered, submitted

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def shards_of(X: Any, table: Table | None, workers: Workers, most: float) -> DaskShards | None:
    """Return shards of at most about so many MiB, or None where X is nothing that workers read.

    Raises
    ------
    DataError
        Partitions cannot be used.
    """
    if type(X).__module__.startswith("dask"):
        return _of_collection(X, workers, most)
    path = getattr(table, "path", None)
    if path is None:
        return None
    assert table is not None
    ends = _cuts(table.shape, table.dtype, workers, most)
    parts = [submitted(workers, _read, table, a, b) for a, b in pairwise(ends)]
    return DaskShards(workers, parts, ends, table.shape[1], table.dtype)


def shards_of_array(X: Any, workers: Workers, most: float) -> DaskShards:
    """Return shards of an array (n, D) in this process: its rows travel with their tasks."""
    if not isinstance(X, np.ndarray):
        raise DataError(
            f"engine dask takes no {type(X).__name__}: make X dense, or take engine: local"
        )
    ends = _cuts(X.shape, X.dtype, workers, most)
    parts = [submitted(workers, _read, X[a:b], 0, b - a) for a, b in pairwise(ends)]
    return DaskShards(workers, parts, ends, X.shape[1], X.dtype)


def lazily(X: Any, ask: Callable[[Any], Any]) -> Any:
    """Return ``ask(rows)`` of each partition of a dask collection as a lazy dask array."""
    import dask
    import dask.array as da

    if hasattr(X, "columns"):
        sizes: Sequence[float] = [math.nan] * X.npartitions
        partitions, example = X.to_delayed(), X._meta_nonempty
    else:
        whole = X.rechunk({1: -1})
        sizes, partitions = whole.chunks[0], whole.to_delayed()[:, 0]
        example = np.ones((2, X.shape[1]), X.dtype)
    like = np.asarray(ask(example))
    said = dask.delayed(_said, pure=False)
    asked = dask.delayed(ask, pure=False)
    answers = [
        da.from_delayed(said(asked, part, like[:0]), (size, *like.shape[1:]), like.dtype)
        for part, size in zip(partitions, sizes, strict=True)
    ]
    return da.concatenate(answers, allow_unknown_chunksizes=True)


def _of_collection(X: Any, workers: Workers, most: float) -> DaskShards:
    import dask
    import dask.array as da

    if hasattr(X, "columns"):
        _check_columns(X)
        width, kind = len(X.columns), np.result_type(*X.dtypes.map(_number))
        blocks, known = list(X.to_delayed()), None
    elif isinstance(X, da.Array):
        if X.ndim != 2:
            raise DataError(f"X has {X.ndim} dimensions, not rows and columns")
        if X.dtype.kind not in "fiub":
            raise DataError(f"X is a dask array of {X.dtype}, not of numbers: convert it")
        width, kind = X.shape[1], X.dtype
        if math.isnan(width):
            raise DataError("X has an unknown number of columns: call X.compute_chunk_sizes()")
        if len(X.chunks[1]) > 1:
            X = X.rechunk({1: -1})
        blocks, known = list(X.to_delayed()[:, 0]), [*X.chunks[0]]
        known = None if any(math.isnan(one) for one in known) else known
    else:
        raise DataError(
            f"X is a dask {type(X).__name__}, not an array or data frame of dask: convert it"
        )
    dtype = kind if kind in _FLOATS else np.dtype(np.float64)
    if known is None:
        if not hasattr(X, "columns"):
            warnings.warn("the chunk sizes of X are unknown: they are counted first", stacklevel=8)
        checked = dask.delayed(_checked, pure=False)
        parts = computed(
            workers, [checked(block, i, width, dtype) for i, block in enumerate(blocks)]
        )
        sizes = gathered(workers, [submitted(workers, len, part) for part in parts])
    else:
        parts, sizes = _joined(blocks, [int(one) for one in known], width, dtype, workers, most)
    full = [i for i, size in enumerate(sizes) if size]
    if not full:
        raise DataError("X has no rows")
    ends = np.concatenate([[0], np.cumsum([sizes[i] for i in full])]).tolist()
    return DaskShards(workers, [parts[i] for i in full], ends, width, dtype)


def _joined(
    blocks: Sequence[Any],
    sizes: Sequence[int],
    width: int,
    dtype: np.dtype[Any],
    workers: Workers,
    most: float,
) -> tuple[list[Task], list[int]]:
    # Small partitions that follow each other make one shard: each costs a task in every pass.
    import dask

    ends = _cuts((sum(sizes), width), dtype, workers, most)
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
    made = [stacked([checked(blocks[i], i, width, dtype) for i in group]) for group in groups]
    return computed(workers, made), [sum(sizes[i] for i in group) for group in groups]


def _cuts(shape: tuple[int, ...], dtype: Any, workers: Workers, most: float) -> list[int]:
    n, d = shape
    # As many for each thread, or all wait for one of them.
    turns = math.ceil(n * d * np.dtype(dtype).itemsize / (most * 2**20) / workers.threads)
    shards = max(1, min(max(turns, 1) * workers.threads, n))
    return [n * shard // shards for shard in range(shards + 1)]


def _check_columns(X: Any) -> None:
    wrong = [str(name) for name, kind in X.dtypes.items() if _number(kind).kind not in "fiub"]
    if wrong:
        named = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise DataError(f"X holds no numbers in column {named}: leave it out, or encode it")


def _number(kind: Any) -> np.dtype[Any]:
    # The numpy dtype of a column; of pandas' and pyarrow's numbers, which may be missing, float.
    if isinstance(kind, np.dtype):
        return kind
    bare = getattr(kind, "numpy_dtype", None)
    return bare if isinstance(bare, np.dtype) else np.dtype(object)


# ------------------------------------------------------------------------------ on the workers


def _read(table: Any, start: int, stop: int) -> NDArray[Any]:
    return np.array(table[start:stop], copy=True)


def _checked(block: Any, number: int, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    # A partition as rows of one dtype and width.
    kinds = getattr(block, "dtypes", None)
    found = np.asarray(block) if kinds is None else block.to_numpy(dtype, na_value=np.nan)
    if found.ndim != 2 or found.shape[1] != width:
        raise DataError(
            f"partition {number} of X (from 0) has shape {found.shape}, and there must be {width} "
            "columns in each"
        )
    if found.dtype.kind not in "fiub":
        raise DataError(f"partition {number} of X (from 0) holds {found.dtype}, not numbers")
    if found.dtype.kind == "f" and found.dtype.itemsize > dtype.itemsize:
        raise DataError(
            f"partition {number} of X (from 0) holds {found.dtype}, where X says {dtype}: convert "
            "it, with astype"
        )
    return np.ascontiguousarray(found, dtype)


def _stacked(blocks: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _said(ask: Callable[[Any], Any], rows: Any, like: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(ask(rows)) if len(rows) else like
