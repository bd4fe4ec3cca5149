"""The engine `dask`: rows that stay where they are, with threads here or workers of a cluster."""

from __future__ import annotations

import math
import os
import sys
import weakref
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, partial
from importlib.util import find_spec
from itertools import pairwise
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dbgsom_core.api import (
    DataError,
    EngineComponent,
    MetricComponent,
    Partitions,
    Samples,
    available_threads,
    range_rows,
    samples_in_memory,
    samples_in_partitions,
)
from dbgsom_plugins.engines.local import stays_outside

if TYPE_CHECKING:
    from dbgsom_plugins.engines.dask_workers import Workers

_SESSION: ContextVar[Workers | None] = ContextVar("dbgsom_dask", default=None)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_THREAD_MIB = 4.0  # stays in a cache
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

    of_this_machine: ClassVar[tuple[str, ...]] = ("address",)
    out_of_memory: ClassVar[bool] = True

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
            return DaskPartitions(array, self.shard or _THREAD_MIB)
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
            found = ask(rows)
            return found if issparse(found) else np.asarray(found)

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


# --------------------------------------------------------------------------------- partitions


class DaskPartitions(Partitions):
    """A dask array (n, D) of floats, whose rows threads of this process read for each question."""

    failure = DataError

    def __init__(self, array: Any, mib: float) -> None:
        self._mib = mib
        n, d = array.shape
        self.array = array.rechunk({0: _partition_rows(mib, d, array.dtype), 1: -1})
        self.shape, self.dtype = (n, d), array.dtype
        self.ends = (0, *np.cumsum(self.array.chunks[0]).tolist())

    def _with(self, array: Any) -> Partitions:
        return DaskPartitions(array, self._mib)

    # The graph of the rows is made once; functions that are asked come to it for each question.

    @cached_property
    def _graph(self) -> tuple[dict[Any, Any], list[Any]]:
        import dask

        (array,) = dask.optimize(self.array)
        keys = [key for (key,) in array.__dask_keys__()]
        return dict(array.__dask_graph__()), keys

    def _get(self, tasks: dict[Any, Any], keys: list[Any]) -> list[Any]:
        from dask.threaded import get

        return list(get({**self._graph[0], **tasks}, keys, num_workers=available_threads()))

    def each(
        self,
        ask: Callable[..., Any],
        given: Sequence[tuple[Any, ...]],
        keep: Callable[[slice, Any], None] | None = None,
    ) -> list[Any]:
        tasks: dict[Any, Any] = {}
        wanted = "ask" if keep is None else "keep"
        bounds = pairwise(self.ends)
        for i, (key, entries, rows) in enumerate(zip(self._graph[1], given, bounds, strict=True)):
            tasks["ask", i] = (partial(ask_block, ask, entries), key)
            if keep is not None:
                tasks["keep", i] = (partial(keep, slice(*rows)), ("ask", i))
        return self._get(tasks, [(wanted, i) for i in range(len(given))])

    def fold(self, ask: Callable[..., Any], start: Any, given: Sequence[tuple[Any, ...]]) -> Any:
        tasks: dict[Any, Any] = {("fold", 0): start}
        for i, (key, entries) in enumerate(zip(self._graph[1], given, strict=True)):
            tasks["fold", i + 1] = (partial(ask_block, ask, entries), key, ("fold", i))
        return self._get(tasks, [("fold", len(given))])[0]

    def _compute(self, array: Any) -> NDArray[Any]:
        return np.asarray(array.compute(scheduler="threads", num_workers=available_threads()))

    # ------------------------------------------------------------------------------ other rows

    def __getitem__(self, rows: Any) -> NDArray[np.floating[Any]]:
        distinct, at = np.unique(self.row_numbers(rows), return_inverse=True)
        return self._compute(self.array[distinct])[at]

    def take(self, rows: Any) -> Partitions:
        return self._with(self.array[self.row_numbers(rows)])

    def map(self, transform: Callable[[NDArray[Any]], NDArray[Any]]) -> Partitions:
        example = np.asarray(transform(self[:1].copy()))
        if example.ndim != 2:  # as a sparse matrix is
            raise DataError("it makes no dense table of the rows")
        mapped = self.array.map_blocks(
            partial(_transformed, transform=transform, dtype=example.dtype),
            dtype=example.dtype,
            chunks=(self.array.chunks[0], (example.shape[1],)),
            meta=example[:0],
        )
        return self._with(mapped)

    def followed_by(self, more: NDArray[Any]) -> Partitions:
        import dask.array as da

        return self._with(da.concatenate([self.array, da.from_array(more.astype(self.dtype))]))


def _partition_rows(mib: float, d: int, dtype: np.dtype[Any]) -> int:
    least = range_rows(d)
    return least * max(1, round(mib * 2**20 / (least * d * dtype.itemsize)))


def ask_block(ask: Any, given: tuple[Any, ...], block: NDArray[Any], *state: Any) -> Any:
    """Return ``ask(block, *state, *given)`` of a block of rows."""
    return ask(np.ascontiguousarray(block), *state, *given)


def _transformed(
    block: NDArray[Any], transform: Callable[[NDArray[Any]], NDArray[Any]], dtype: Any
) -> NDArray[Any]:
    if not len(block):
        return np.empty((0, 0), dtype)  # dask asks what an empty block becomes
    return np.ascontiguousarray(transform(block.copy()), dtype)


# ------------------------------------------------------------------------------ what is stored


def array_of_stored(X: Any) -> Any:
    """Return rows (n, D) in a file, or of an object with slices, as a dask array of floats."""
    import dask.array as da

    if not isinstance(X, np.ndarray) or isinstance(X, np.memmap):
        X = NpyRows.of_map(X) or StoredRows(X)
    chunks = (_partition_rows(_THREAD_MIB, X.shape[1], X.dtype), X.shape[1])
    none = np.empty((0, 0), X.dtype)
    array = da.from_array(X, chunks, name=False, fancy=False, meta=none)
    return array.astype(X.dtype if X.dtype in _FLOATS else np.float64)


class NpyRows:
    """Rows (n, D) of an array in a file, read, not mapped: a truncated file raises an exception.

    The first row begins at byte ``offset``.
    """

    ndim = 2

    def __init__(
        self, path: str | os.PathLike[str], offset: int, shape: tuple[int, ...], dtype: Any
    ) -> None:
        self.path, self._offset = Path(path), offset
        self.shape, self.dtype = shape, dtype
        self._before = _size_and_time(self.path.stat())
        # Pages of new memory cost as much as reading them: a fifth of a fit.
        self._spare = defaultdict[int, deque[bytearray]](deque)

    @classmethod
    def of_map(cls, X: Any) -> NpyRows | None:
        """Return the rows of a memory map, or None where they are not, as they are, in its file."""
        if not isinstance(X, np.memmap) or X.mode == "c" or not X.filename:  # c: copy on write
            return None
        whole = X
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        if not X.flags.c_contiguous or not isinstance(whole.base, mmap):
            return None
        offset = whole.offset + X.ctypes.data - whole.ctypes.data
        return cls(X.filename, offset, X.shape, X.dtype)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        start, stop, _ = key[0].indices(self.shape[0])
        row_bytes = self.shape[1] * self.dtype.itemsize
        size = (stop - start) * row_bytes
        spare = self._spare[size]
        try:
            buffer = spare.pop()
        except IndexError:
            buffer = bytearray(size)
        numbers = np.frombuffer(buffer, self.dtype)  # all views of it have it as their base
        weakref.finalize(numbers, spare.append, buffer)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self._offset + start * row_bytes)
                count = file.readinto(buffer)
                now = _size_and_time(os.fstat(file.fileno()))
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        if count != size or now != self._before:
            raise DataError(
                f"{self.path} changed while it was read, or is cut short: start again, and do not "
                "change it until the end"
            )
        return numbers.reshape(stop - start, self.shape[1])[:, key[1]]


def _size_and_time(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_size, facts.st_mtime_ns


class StoredRows:
    """Rows (n, D) of any object with a shape, a dtype and slices of rows."""

    ndim = 2

    def __init__(self, source: Any) -> None:
        self._source, self.shape, self.dtype = source, tuple(source.shape), np.dtype(source.dtype)
        self._digests: dict[str, int] = {}

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        start, stop, _ = key[0].indices(self.shape[0])
        where = f"rows {start} to {stop} of the {type(self._source).__name__}"
        try:
            block = self._source[start:stop]
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{where} cannot be read ({type(error).__name__}: {error})") from error
        shape = (stop - start, self.shape[1])
        return _checked(block, where, shape, self.dtype, self._digests)[:, key[1]]


def _checked(
    block: Any, where: str, shape: tuple[float, int], dtype: Any, digests: dict[str, int]
) -> NDArray[Any]:
    # A block as rows of a shape, whose first number may be nan, for any, and the same each time.
    if np.ma.is_masked(block):
        raise DataError(f"{where} holds masked values, where it must be complete: fill them")
    try:
        if hasattr(block, "columns"):
            block = block.to_numpy(dtype, na_value=np.nan)
        rows = np.ascontiguousarray(block, dtype)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where} holds no numbers: {error}") from error
    size = len(rows) if math.isnan(shape[0]) else shape[0]
    if rows.shape != (size, shape[1]):
        raise DataError(f"{where} has shape {rows.shape}, and by X it has {(size, shape[1])}")
    digest = zlib.crc32(rows.data)  # what is known of a row is used in the next reading
    if digests.setdefault(where, digest) != digest:
        raise DataError(
            f"{where} changed between two readings, in values or in the order of rows, as after a "
            "shuffle: leave X as it is until the end, and persist a merged or sorted collection of "
            "dask first, or write it to Parquet"
        )
    return rows


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
    if dtype not in _FLOATS:
        dtype = np.dtype(np.float64)
    width = X.shape[1]
    check = dask.delayed(partial(_checked, digests={}), pure=False)
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
