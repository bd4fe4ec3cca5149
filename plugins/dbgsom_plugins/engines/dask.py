"""The engine `dask`: rows that stay where they are, with threads here or workers of a cluster."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, model_validator

from dbgsom_core.api import (
    DataError,
    EngineComponent,
    MetricComponent,
    Partitions,
    Samples,
    samples_in_memory,
    samples_in_partitions,
)
from dbgsom_plugins.engines.dask_partitions import (
    FLOATS,
    THREAD_MIB,
    DaskPartitions,
    array_of_stored,
    checked,
)
from dbgsom_plugins.engines.local import stays_outside

if TYPE_CHECKING:
    from dbgsom_plugins.engines.dask_workers import Workers

_SESSION: ContextVar[Workers | None] = ContextVar("dbgsom_dask", default=None)
_WORKER_MIB = 32.0  # is worth a task elsewhere


class DaskEngine(EngineComponent):
    """Leave the data where they are, which may be more than memory; needs the extra ``dask``.

    For dask arrays and data frames, memory-mapped .npy files, Parquet files, and what has a shape,
    a dtype and slices, as datasets of h5py and zarr have; float32 or float64 without missing
    values, metric euclidean. Threads of this process read the rows in each epoch, and keep of each
    row its unit and what saves comparisons, some 3 to 8 bytes. With an address, a number of
    workers, or a client of Dask that is there, the workers of a cluster hold the rows: prototypes
    go to them once a pass, and sums come back. The map is that of the engine ``local``, to the bit.
    """

    of_this_machine = ("address",)
    out_of_memory = True

    address: str | None = Field(
        default=None, min_length=1, description="the scheduler's, as tcp://host:8786"
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="processes of a cluster on this machine; null: the cluster of the current "
        "client, and without one threads of this process",
    )
    shard: float | None = Field(
        default=None,
        gt=0,
        le=65536,
        description="MiB of the data that one task takes, about; null: 4 for threads, 32 for "
        "workers",
    )
    timeout: float = Field(
        default=60.0,
        gt=0,
        le=1e6,
        description="seconds that a fit waits while no worker is there; then it ends",
    )

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.address is not None and self.workers is not None:
            raise ValueError("an address and workers: give one of them")
        return self

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep a cluster for the length of a fit; a session within another one uses its workers."""
        _check_installed()
        is_named = self.address is not None or self.workers is not None
        if _SESSION.get() is not None or not (is_named or _has_client()):
            yield
            return
        from dbgsom_plugins.engines.dask_workers import connect

        with connect(self.address, self.workers, self.timeout) as workers:
            token = _SESSION.set(workers)
            try:
                yield
            finally:
                _SESSION.reset(token)

    def opened(self, X: Any) -> Partitions | None:
        if isinstance(X, Partitions):
            return X
        if _is_dask(X):
            return self._partitions(_array_of(X, _SESSION.get()))
        if stays_outside(X):
            return self._partitions(array_of_stored(X))
        return None

    def over(self, X: Any, metric: MetricComponent, weights: Any = None) -> Samples:
        table = self.opened(X)
        if table is None and _SESSION.get() is not None:
            if not isinstance(X, np.ndarray):
                raise DataError(
                    f"workers of dask take no {type(X).__name__}: make X dense, or take engine: "
                    "local"
                )
            table = self._partitions(array_of_stored(X))
        if table is None:
            return samples_in_memory(X, metric, weights)
        return samples_in_partitions(table, metric, weights)

    def _partitions(self, array: Any) -> Partitions:
        workers = _SESSION.get()
        if workers is None:
            return DaskPartitions(array, self.shard or THREAD_MIB)
        from dbgsom_plugins.engines.dask_workers import WorkerPartitions

        return WorkerPartitions(array, self.shard or _WORKER_MIB, workers)

    def lazily(self, X: Any, ask: Callable[[Any], Any]) -> Any:
        """Return ``ask(rows)`` of each partition of a dask collection as a lazy dask array.

        ``ask`` is pickled; its answer has an entry for each row.
        """
        import dask
        import dask.array as da
        from scipy.sparse import issparse

        def answer(rows: Any) -> Any:
            entries = ask(rows)
            return entries if issparse(entries) else np.asarray(entries)

        def answer_some(rows: Any) -> Any:
            return answer(rows) if len(rows) else none

        example = X._meta_nonempty if _is_frame(X) else np.ones((2, X.shape[1]), X.dtype)
        none = answer(example)[:0]
        ask_block = dask.delayed(answer_some, pure=False)
        answers = []
        for block, size in zip(*_blocks_of(X), strict=True):
            shape = (size, *none.shape[1:])
            answers.append(da.from_delayed(ask_block(block), shape, meta=none))
        return da.concatenate(answers, allow_unknown_chunksizes=True)


def _check_installed() -> None:
    if find_spec("dask") is None:
        raise DataError("engine dask needs the package dask: pip install '.[dask]'")


def _has_client() -> bool:
    distributed: Any = sys.modules.get("distributed")
    try:
        return distributed is not None and distributed.default_client() is not None
    except ValueError:  # there is none
        return False


# ------------------------------------------------------------------------- collections of dask


def _is_dask(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "dask"


def _is_frame(X: Any) -> bool:
    # A Delayed has any attribute that one asks for.
    return hasattr(type(X), "columns") and X.ndim == 2


def _array_of(X: Any, workers: Workers | None) -> Any:
    # The checked rows of a dask collection as a dask array of floats with known chunks.
    import dask
    import dask.array as da

    _check_installed()
    blocks, sizes = _blocks_of(X)
    dtype = np.result_type(*map(_number, X.dtypes)) if _is_frame(X) else X.dtype
    if dtype not in FLOATS:
        dtype = np.dtype(np.float64)
    width = X.shape[1]
    check = dask.delayed(partial(checked, digests={}), pure=False)
    rows = []
    for i, (block, size) in enumerate(zip(blocks, sizes, strict=True)):
        rows.append(check(block, f"partition {i} of X (from 0)", (size, width), dtype))
    if any(math.isnan(size) for size in sizes):
        count = dask.delayed(len)
        if workers is None:
            sizes = dask.compute(*map(count, rows), scheduler="threads")
        else:
            rows = workers.client.persist(rows)
            sizes = workers.gather(workers.client.compute(list(map(count, rows))))
    if not sum(sizes):
        raise DataError("X has no rows")
    parts = zip(rows, sizes, strict=True)
    return da.concatenate([da.from_delayed(part, (size, width), dtype) for part, size in parts])


def _blocks_of(X: Any) -> tuple[list[Any], Sequence[float]]:
    # The partitions of a table of numbers, delayed, and their sizes, nan where unknown.
    import dask.array as da

    is_array = isinstance(X, da.Array) and X.ndim == 2 and X.dtype.kind in "fiub"
    if not (is_array or _is_frame(X)):
        raise DataError(
            f"X is a dask {type(X).__name__}, not a two-dimensional array or a data frame of "
            "numbers: convert it"
        )
    if not X.shape[1] > 0:  # nan is unknown
        raise DataError(f"X has no columns: {X.shape[1]}, where 1 feature(s) is the least")
    if not is_array:
        return list(X.to_delayed()), [math.nan] * X.npartitions
    whole = X.rechunk({1: -1})
    return list(whole.to_delayed()[:, 0]), list(whole.chunks[0])


def _number(kind: Any) -> np.dtype[Any]:
    # The numpy dtype of a column, also of numbers of pandas and pyarrow that may be missing.
    bare = getattr(kind, "numpy_dtype", kind)
    if not isinstance(bare, np.dtype) or bare.kind not in "fiub":
        raise DataError(f"X holds no numbers in a column of {kind}: leave it out, or encode it")
    return bare
