"""The engine `dask`, and where the rows of its shards come from.

They are dask collections, files that workers read, or arrays.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dbgsom_core.api import (
    Component,
    DataError,
    MetricAbilities,
    Samples,
    Table,
    opened_table,
    samples_in_blocks,
    samples_in_memory,
)
from dbgsom_core.errors import callers_level

if TYPE_CHECKING:
    from dbgsom_plugins.engines.dask_workers import DaskShards, Workers

_SESSION: ContextVar[Workers | None] = ContextVar("dbgsom_dask", default=None)


class DaskEngine(Component):
    """Let the workers of a Dask cluster hold the data and find units; needs the extra ``dask``.

    For dask arrays and data frames, .npy files that the workers can open, and arrays, which travel
    with their tasks; float32 or float64 without missing values, metric euclidean. Prototypes go to
    the workers once a pass, and sums come back. The map is that of the engine ``local``, to the
    bit, whatever the partitions and workers, and whether workers die. Without an address the
    current client's cluster is used, or one on this machine for the length of a fit.
    """

    of_this_machine: ClassVar[tuple[str, ...]] = ("address",)

    address: str | None = Field(
        default=None, min_length=1, description="the scheduler's, as tcp://host:8786"
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="processes of a cluster on this machine; null: the current client's cluster, "
        "or as many as this process may use threads",
    )
    processes: bool = Field(
        default=True,
        examples=[False],  # of the kit, as processes take seconds to start
        description="whether the workers on this machine are processes, or threads",
    )
    shard: float = Field(
        default=128.0, gt=0, le=65536, description="MiB of the data that one task holds, at most"
    )

    timeout: float = Field(
        default=60.0,
        gt=0,
        le=1e6,
        description="seconds that a fit waits while no worker is there, which it says after 10, or "
        "while the scheduler does not answer; then it ends",
    )

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.address is not None and self.workers is not None:
            raise ValueError("an address and workers: give one of them")
        return self

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep workers for the length of a fit; a session within another one uses its workers."""
        if _SESSION.get() is not None:
            yield
            return
        try:
            from dbgsom_plugins.engines.dask_workers import Workers
        except ImportError as error:
            raise DataError(
                "engine dask needs the packages dask and distributed: pip install '.[dask]'"
            ) from error
        mine = Workers(self.address, self.workers, self.processes, self.timeout)
        token = _SESSION.set(mine)
        try:
            if self.address is not None:
                mine.client  # noqa: B018 # a wrong address is known before data are read
            yield
        finally:
            _SESSION.reset(token)
            mine.close()

    def opened(self, X: Any) -> Table | None:
        workers, is_dask = _SESSION.get(), type(X).__module__.startswith("dask")
        table = None if is_dask else opened_table(X)
        if workers is None or not (is_dask or getattr(table, "path", None)):
            return table
        return opened_table(shards_of(X if is_dask else table, workers, self.shard))

    def over(self, X: Any, metric: MetricAbilities, weights: Any = None) -> Samples:
        workers = _SESSION.get()
        if opened_table(X) is None:
            if workers is None:
                return samples_in_memory(X, metric, weights)
            if not isinstance(X, np.ndarray):
                raise DataError(
                    f"engine dask takes no {type(X).__name__}: make X dense, or take engine: local"
                )
            X = shards_of(X, workers, self.shard)
        return samples_in_blocks(X, metric, weights)

    def lazily(self, X: Any, ask: Callable[[Any], Any]) -> Any:
        """Return ``ask(rows)`` of each partition of a dask collection as a lazy dask array.

        ``ask`` is pickled; its answer has an entry for each row.
        """
        import dask
        import dask.array as da
        from dask.array.core import concatenate_lookup
        from scipy.sparse import hstack, issparse, vstack

        def array(answers: Any) -> Any:
            return answers if issparse(answers) else np.asarray(answers)

        partitions, sizes = _partitions(X)
        example = X._meta_nonempty if _is_frame(X) else np.ones((2, X.shape[1]), X.dtype)
        none = array(ask(example))[:0]
        # Dask 2024.8 knows how sparse matrices are put together, and takes sparse arrays for dense.
        if issparse(none) and concatenate_lookup.dispatch(type(none)) is np.concatenate:

            def joined(parts: Any, axis: int = 0) -> Any:
                return vstack(parts, format="csr") if axis == 0 else hstack(parts, format="csr")

            concatenate_lookup.register(type(none), joined)
        answer = dask.delayed(lambda rows: array(ask(rows)) if len(rows) else none, pure=False)
        answers = [
            da.from_delayed(answer(part), (size, *none.shape[1:]), meta=none)
            for part, size in zip(partitions, sizes, strict=True)
        ]
        return da.concatenate(answers, allow_unknown_chunksizes=True)


def shards_of(X: Any, workers: Workers, most: float) -> DaskShards:
    """Return shards of X, each of at most about so many MiB.

    The workers read the rows of a table in a file; those of an array travel with their tasks.
    DataError: partitions cannot be used.
    """
    from dbgsom_plugins.engines.dask_workers import DaskShards

    if type(X).__module__.startswith("dask"):
        return _of_collection(X, workers, most)
    ends, is_array = workers.cuts(X.shape, X.dtype, most), isinstance(X, np.ndarray)
    tables = [(X[a:b], 0, b - a) if is_array else (X, a, b) for a, b in pairwise(ends)]
    parts = [workers.submit(_read, *table) for table in tables]
    return DaskShards(workers, parts, ends, X.shape[1], X.dtype)


def _of_collection(X: Any, workers: Workers, most: float) -> DaskShards:
    import dask

    from dbgsom_plugins.engines.dask_workers import DaskShards

    blocks, known = _partitions(X)
    if _is_frame(X):
        names = X.columns.tolist()
        dtype = np.result_type(*map(_number, X.dtypes))
    else:
        names, dtype = None, X.dtype
    dtype = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
    width, check = X.shape[1], dask.delayed(_check, pure=False)
    if any(math.isnan(size) for size in known):
        if not _is_frame(X):
            warnings.warn(
                "the chunk sizes of X are unknown: they are counted first",
                stacklevel=callers_level(),
            )
        checked = [check(block, i, width, dtype, names) for i, block in enumerate(blocks)]
        parts = workers.client.compute(checked)
        sizes = workers.gather([workers.submit(len, part) for part in parts])
    else:
        # Small partitions that follow each other make one shard: each costs a task in every pass.
        cuts = workers.cuts((int(sum(known)), width), dtype, most)
        aim, rows = max(1, -(-cuts[-1] // (len(cuts) - 1))), math.inf
        groups: list[list[int]] = []
        for i, size in enumerate(known):
            if rows + size > aim:
                groups.append([])
                rows = 0
            groups[-1].append(i)
            rows += size
        stack = dask.delayed(np.concatenate, pure=False)
        parts = workers.client.compute(
            [
                stack([check(blocks[i], i, width, dtype, names, known[i]) for i in group])
                for group in groups
            ]
        )
        sizes = [int(sum(known[i] for i in group)) for group in groups]
    full = [i for i, size in enumerate(sizes) if size]
    if not full:
        raise DataError("X has no rows")
    ends = np.concatenate([[0], np.cumsum([sizes[i] for i in full])]).tolist()
    return DaskShards(workers, [parts[i] for i in full], ends, width, dtype)


def _partitions(X: Any) -> tuple[list[Any], Sequence[float]]:
    # The partitions of a table of numbers, delayed, and their sizes, nan where unknown.
    import dask.array as da

    if _is_frame(X):
        wrong = [str(name) for name, kind in X.dtypes.items() if _number(kind).kind not in "fiub"]
        if wrong:
            raise DataError(f"X holds no numbers in column {wrong[0]}: leave it out, or encode it")
        if not X.columns.is_unique:
            raise DataError("X has more than one column of a name: give each a name of its own")
        partitions, sizes = list(X.to_delayed()), [math.nan] * X.npartitions
    elif isinstance(X, da.Array) and X.ndim == 2 and X.dtype.kind in "fiub":
        if math.isnan(X.shape[1]):
            raise DataError("X has an unknown number of columns: call X.compute_chunk_sizes()")
        whole = X.rechunk({1: -1}) if len(X.chunks[1]) > 1 else X
        partitions, sizes = list(whole.to_delayed()[:, 0]), list(whole.chunks[0])
    else:
        raise DataError(
            f"X is a dask {type(X).__name__}, not a two-dimensional array or a data frame of "
            "numbers: convert it"
        )
    if X.shape[1] == 0:
        raise DataError("X has no columns: 0 feature(s), where 1 is the least")
    return partitions, sizes


def _is_frame(X: Any) -> bool:
    # A Delayed has any attribute that one asks for.
    return hasattr(type(X), "columns") and X.ndim == 2


def _number(kind: Any) -> np.dtype[Any]:
    # The numpy dtype of a column, also of numbers of pandas and pyarrow that may be missing.
    bare = kind if isinstance(kind, np.dtype) else getattr(kind, "numpy_dtype", None)
    return bare if isinstance(bare, np.dtype) else np.dtype(object)


# ------------------------------------------------------------------------------ on the workers


def _read(table: Any, start: int, stop: int) -> NDArray[Any]:
    # Of an array the same memory: a worker in this process has the array itself.
    return np.ascontiguousarray(table[start:stop])


def _check(
    block: Any, number: int, width: int, dtype: Any, names: list[Any] | None, rows: float = math.nan
) -> NDArray[Any]:
    # A partition as rows of what X says that all of them are.
    where = f"partition {number} of X (from 0)"
    if names is not None and block.columns.tolist() != names:
        raise DataError(
            f"{where} has the columns {block.columns.tolist()}, and X says {names}: give all "
            "partitions the same in one order"
        )
    if np.ma.is_masked(block):
        raise DataError(f"{where} holds masked values, where it must be complete: fill them")
    try:
        numbers = np.asarray(block) if names is None else block.to_numpy(dtype, na_value=np.nan)
        found = np.ascontiguousarray(numbers, dtype)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where} holds no numbers: {error}") from error
    expected = len(found) if math.isnan(rows) else int(rows)
    if found.shape != (expected, width):
        raise DataError(f"{where} has shape {found.shape}, and by X it has {(expected, width)}")
    return found
