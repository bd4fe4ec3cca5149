"""The engine `dask`: rows that stay where they are, with threads here or workers of a cluster."""

from __future__ import annotations

import math
import os
import sys
import uuid
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
_THREAD_MIB, _WORKER_MIB = 4.0, 128.0  # what stays in a cache; what is worth a task elsewhere


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
        description="MiB of the data that one task takes, about; null: 4 for threads, 128 for "
        "workers",
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
        """Keep a cluster for the length of a fit; a session within another one uses its workers."""
        _check_installed()
        is_named = self.address is not None or self.workers is not None
        if _SESSION.get() is not None or not (is_named or _has_client()):
            yield
            return
        from dbgsom_plugins.engines.dask_workers import Workers

        mine = Workers(self.address, self.workers, self.timeout)
        token = _SESSION.set(mine)
        try:
            if self.address is not None:
                mine.client  # noqa: B018 # a wrong address is known before data are read
            yield
        finally:
            _SESSION.reset(token)
            mine.close()

    def opened(self, X: Any) -> Partitions | None:
        if isinstance(X, Partitions):
            return X
        if _is_dask(X):
            return self._partitions(partial(_array_of, X, _SESSION.get()))
        return self._partitions(partial(array_of_stored, X)) if stays_outside(X) else None

    def over(self, X: Any, metric: MetricComponent, weights: Any = None) -> Samples:
        table = self.opened(X)
        if table is None and _SESSION.get() is not None:
            if not isinstance(X, np.ndarray):
                raise DataError(
                    f"workers of dask take no {type(X).__name__}: make X dense, or take engine: "
                    "local"
                )
            table = self._partitions(partial(array_of_stored, X))
        if table is None:
            return samples_in_memory(X, metric, weights)
        return samples_in_partitions(table, metric, weights)

    def _partitions(self, make: Callable[[], Any]) -> Partitions:
        workers = _SESSION.get()
        if workers is None:
            return DaskPartitions(make(), self.shard or _THREAD_MIB)
        from dbgsom_plugins.engines.dask_workers import ClusterPartitions

        array = workers.repeated(make)
        return ClusterPartitions(array, make, self.shard or _WORKER_MIB, workers)

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

        blocks, sizes = _blocks_of(X)
        example = X._meta_nonempty if _is_frame(X) else np.ones((2, X.shape[1]), X.dtype)
        none = array(ask(example))[:0]
        # Dask 2024.8 knows how sparse matrices are put together, and takes sparse arrays for dense.
        if issparse(none) and concatenate_lookup.dispatch(type(none)) is np.concatenate:

            def joined(parts: Any, axis: int = 0) -> Any:
                return vstack(parts, format="csr") if axis == 0 else hstack(parts, format="csr")

            concatenate_lookup.register(type(none), joined)
        answer = dask.delayed(lambda rows: array(ask(rows)) if len(rows) else none, pure=False)
        answers = [
            da.from_delayed(answer(block), (size, *none.shape[1:]), meta=none)
            for block, size in zip(blocks, sizes, strict=True)
        ]
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
        _check_installed()
        self._mib = mib
        n, d = array.shape
        rows = self._partition_rows(n, d, array.dtype)
        self.array = array.rechunk({0: rows, 1: -1})
        self.shape, self.dtype = (n, d), array.dtype
        self.ends = (0, *np.cumsum(self.array.chunks[0]).tolist())

    def _partition_rows(self, n: int, d: int, dtype: np.dtype[Any]) -> int:
        least = range_rows(d)
        mib = least * d * dtype.itemsize / 2**20
        return least * max(1, round(self._mib / mib))

    def _over(self, derive: Callable[[Any], Any]) -> Partitions:
        return DaskPartitions(derive(self.array), self._mib)

    # Rows of a graph that is made anew for each question, as its functions differ.

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
        name, tasks = f"ask-{uuid.uuid4().hex}", {}
        bounds = pairwise(self.ends)
        for i, (key, entries, rows) in enumerate(zip(self._graph[1], given, bounds, strict=True)):
            tasks[name, i] = (partial(_asked, ask, entries, keep, slice(*rows)), key)
        return self._get(tasks, list(tasks))

    def fold(self, ask: Callable[..., Any], start: Any, given: Sequence[tuple[Any, ...]]) -> Any:
        name = f"fold-{uuid.uuid4().hex}"
        tasks: dict[Any, Any] = {(name, 0): start}
        for i, (key, entries) in enumerate(zip(self._graph[1], given, strict=True)):
            tasks[name, i + 1] = (partial(_folded, ask, entries), key, (name, i))
        return self._get(tasks, [(name, len(given))])[0]

    def _compute(self, derive: Callable[[Any], Any]) -> NDArray[Any]:
        threads = available_threads()
        return np.asarray(derive(self.array).compute(scheduler="threads", num_workers=threads))

    # ------------------------------------------------------------------------------ other rows

    def __getitem__(self, rows: Any) -> NDArray[np.floating[Any]]:
        if (part := self._slice(rows)) is not None:
            return self._compute(lambda array: array[part])
        distinct, at = np.unique(self.row_numbers(rows), return_inverse=True)
        return self._compute(lambda array: _some(array, distinct))[at]

    def take(self, rows: Any) -> Partitions:
        if (part := self._slice(rows)) is not None:
            return self._over(lambda array: array[part])
        numbers = self.row_numbers(rows)
        if (np.diff(numbers) > 0).all():
            return self._over(lambda array: _some(array, numbers))
        return self._over(lambda array: array[numbers])

    def _slice(self, rows: Any) -> slice | None:
        # A plain slice, from its first to its last row, else None.
        if not isinstance(rows, slice):
            return None
        start, stop, step = rows.indices(len(self))
        return slice(start, max(start, stop)) if step == 1 else None

    def map(self, transform: Callable[[NDArray[Any]], NDArray[Any]]) -> Partitions:
        example = np.asarray(transform(self[:1].copy()))
        if example.ndim != 2:  # as a sparse matrix is
            raise DataError("it makes no dense table of the rows")
        return self._over(
            lambda array: array.map_blocks(
                partial(_transformed, transform=transform, dtype=example.dtype),
                dtype=example.dtype,
                chunks=(array.chunks[0], (example.shape[1],)),
                meta=example[:0],
            )
        )

    def followed_by(self, more: NDArray[Any]) -> Partitions:
        import dask.array as da

        rest = more.astype(self.dtype)
        return self._over(lambda array: da.concatenate([array, da.from_array(rest)]))


def _some(array: Any, rows: NDArray[Any]) -> Any:
    # The array of ascending rows.
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"take-{uuid.uuid4().hex}"
    if not len(rows):
        return array[:0]
    ends = (0, *np.cumsum(array.chunks[0]).tolist())
    cuts = np.searchsorted(rows, ends)
    tasks: dict[Any, Any] = {}
    sizes: list[int] = []
    for i, (start, stop) in enumerate(pairwise(cuts.tolist())):
        if start < stop:
            local = rows[start:stop] - ends[i]
            tasks[name, len(sizes), 0] = (partial(_take_rows, rows=local), (array.name, i, 0))
            sizes.append(stop - start)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[array])
    return da.Array(graph, name, (tuple(sizes), (array.shape[1],)), array.dtype)


def _asked(ask: Any, given: tuple[Any, ...], keep: Any, rows: slice, block: NDArray[Any]) -> Any:
    answer = ask(np.ascontiguousarray(block), *given)
    return answer if keep is None else keep(rows, answer)


def _folded(ask: Any, given: tuple[Any, ...], block: NDArray[Any], state: Any) -> Any:
    return ask(np.ascontiguousarray(block), state, *given)


def _take_rows(block: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(block[rows])


def _transformed(
    block: NDArray[Any], transform: Callable[[NDArray[Any]], NDArray[Any]], dtype: Any
) -> NDArray[Any]:
    if not len(block):
        return np.empty((0, 0), dtype)  # dask asks what an empty block becomes
    return np.ascontiguousarray(transform(block.copy()), dtype)


# ------------------------------------------------------------------------------ what is stored


def array_of_stored(X: Any) -> Any:
    import dask.array as da

    if not isinstance(X, np.ndarray) or isinstance(X, np.memmap):
        X = NpyRows.of_map(X) or StoredRows(X)
    dtype = X.dtype if X.dtype in _FLOATS else np.dtype(np.float64)
    size = range_rows(X.shape[1])
    rows = max(1, int(_THREAD_MIB * 2**20) // (size * X.shape[1] * X.dtype.itemsize)) * size
    array = da.from_array(
        X, (rows, X.shape[1]), name=f"rows-{uuid.uuid4().hex}", asarray=False, fancy=False,
        inline_array=not isinstance(X, np.ndarray), meta=np.empty((0, 0), X.dtype),
    )  # fmt: skip
    return array.astype(dtype)


class NpyRows:
    """Rows (n, D) of an array in a file, read, not mapped: a truncated file raises an exception.

    The first row begins at byte ``offset``; ``before`` are the file's size and time. A worker opens
    it at its first reading: an object that cannot be unpickled would end one worker after another.
    """

    ndim = 2

    def __init__(
        self,
        path: str,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        before: tuple[int, int] | None = None,
    ) -> None:
        self.path, self._offset, self.shape, self.dtype = path, offset, shape, dtype
        self._before = before or self._size_and_time()
        # Pages of new memory cost as much as reading them.
        self._spare = defaultdict[int, deque[bytearray]](deque)

    @classmethod
    def of_map(cls, X: Any) -> NpyRows | None:
        """Return the rows of a memory map, or None where they are not, as they are, in its file."""
        if not isinstance(X, np.memmap) or X.mode == "c" or not X.filename:  # c: copy on write
            return None
        if not hasattr(os, "preadv"):  # as on Windows: the map itself is read
            return None
        whole = X
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        if not X.flags.c_contiguous or not isinstance(whole.base, mmap):
            return None
        offset = whole.offset + X.ctypes.data - whole.ctypes.data
        return cls(os.fspath(X.filename), offset, X.shape, X.dtype)

    def __reduce__(self) -> Any:
        return NpyRows, (self.path, self._offset, self.shape, self.dtype, self._before)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        start, stop, _ = key[0].indices(self.shape[0])
        size = (stop - start) * self.shape[1] * self.dtype.itemsize
        spare = self._spare[size]
        try:
            buffer = spare.pop()
        except IndexError:
            buffer = bytearray(size)
        memory = memoryview(buffer)
        numbers = np.frombuffer(buffer, self.dtype)  # all views of it have it as their base
        weakref.finalize(numbers, spare.append, buffer)
        rows = numbers.reshape(stop - start, self.shape[1])
        done, first = 0, self._offset + start * self.shape[1] * self.dtype.itemsize
        while done < len(memory):  # one call reads 2 GiB at most
            try:
                count = os.preadv(self._file, [memory[done:]], first + done)
            except OSError as error:
                raise self._unreadable(error) from error
            if count == 0:
                raise DataError(
                    f"{self.path} ends before its last row: it is cut short, write it again"
                )
            done += count
        if self._size_and_time() != self._before:
            raise DataError(
                f"{self.path} changed while it was read: start again, and do not change it "
                "until the end"
            )
        return rows[:, key[1]]

    @cached_property
    def _file(self) -> int:
        try:
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise self._unreadable(error) from error
        weakref.finalize(self, os.close, file)
        return file

    def _size_and_time(self) -> tuple[int, int]:
        facts = os.fstat(self._file)
        return facts.st_size, facts.st_mtime_ns

    def _unreadable(self, error: OSError) -> DataError:
        return DataError(f"{self.path} cannot be read: {error.strerror or error}")


class StoredRows:
    """Rows (n, D) of any object with a shape, a dtype and slices of rows."""

    ndim = 2

    def __init__(self, source: Any) -> None:
        self._source, self.shape, self.dtype = source, tuple(source.shape), np.dtype(source.dtype)
        self._digests: dict[Any, int] = {}

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        start, stop, _ = key[0].indices(self.shape[0])
        where = f"rows {start} to {stop} of the {type(self._source).__name__}"
        try:
            found = self._source[start:stop]
            is_masked = np.ma.is_masked(found)
            rows = np.ascontiguousarray(found)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{where} cannot be read ({type(error).__name__}: {error})") from error
        if is_masked:
            raise DataError(f"{where} hold masked values, where they must be complete: fill them")
        if rows.shape != (stop - start, self.shape[1]):
            raise DataError(f"{where} have shape {rows.shape}, not {(stop - start, self.shape[1])}")
        _check_same(self._digests, (start, stop), rows, where)
        return rows[:, key[1]]


def _check_same(digests: dict[Any, int], key: Any, rows: NDArray[Any], where: str) -> None:
    # What is known of a row from one reading is used in the next one.
    digest = zlib.crc32(rows.data)
    if digests.setdefault(key, digest) != digest:
        raise DataError(
            f"{where} changed between two readings, in values or in the order of rows, as after a "
            "shuffle: leave X as it is until the end, and persist a merged or sorted collection of "
            "dask first, or write it to Parquet"
        )


# ------------------------------------------------------------------------- collections of dask


def _is_dask(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] in ("dask", "dask_expr")


def _is_frame(X: Any) -> bool:
    # A Delayed has any attribute that one asks for.
    return hasattr(type(X), "columns") and X.ndim == 2


def _array_of(X: Any, workers: Workers | None) -> Any:
    # The checked rows of a dask collection as a dask array of floats with known chunks.
    import dask
    import dask.array as da

    blocks, sizes = _blocks_of(X)
    names = X.columns.tolist() if _is_frame(X) else None
    dtype = X.dtype if names is None else np.result_type(*map(_number, X.dtypes))
    dtype = dtype if dtype in _FLOATS else np.dtype(np.float64)
    width, check = X.shape[1], dask.delayed(partial(_checked, digests={}), pure=False)
    rows = [
        check(block, i, (size, width), dtype, names)
        for i, (block, size) in enumerate(zip(blocks, sizes, strict=True))
    ]
    if any(math.isnan(size) for size in sizes):
        count = dask.delayed(len)
        if workers is None:
            sizes = dask.compute(*map(count, rows), scheduler="threads")
        else:
            rows, sizes = workers.hold(rows)
    if not sum(sizes):
        raise DataError("X has no rows")
    parts = zip(rows, sizes, strict=True)
    return da.concatenate([da.from_delayed(part, (size, width), dtype) for part, size in parts])


def _blocks_of(X: Any) -> tuple[list[Any], Sequence[float]]:
    # The partitions of a table of numbers, delayed, and their sizes, nan where unknown.
    import dask.array as da

    if _is_frame(X):
        wrong = [str(name) for name, kind in X.dtypes.items() if _number(kind).kind not in "fiub"]
        if wrong:
            raise DataError(f"X holds no numbers in column {wrong[0]}: leave it out, or encode it")
        if not X.columns.is_unique:
            raise DataError("X has more than one column of a name: give each a name of its own")
        blocks, sizes = list(X.to_delayed()), [math.nan] * X.npartitions
    elif isinstance(X, da.Array) and X.ndim == 2 and X.dtype.kind in "fiub":
        if math.isnan(X.shape[1]):
            raise DataError("X has an unknown number of columns: call X.compute_chunk_sizes()")
        whole = X.rechunk({1: -1}) if len(X.chunks[1]) > 1 else X
        blocks, sizes = list(whole.to_delayed()[:, 0]), list(whole.chunks[0])
    else:
        raise DataError(
            f"X is a dask {type(X).__name__}, not a two-dimensional array or a data frame of "
            "numbers: convert it"
        )
    if X.shape[1] == 0:
        raise DataError("X has no columns: 0 feature(s), where 1 is the least")
    return blocks, sizes


def _number(kind: Any) -> np.dtype[Any]:
    # The numpy dtype of a column, also of numbers of pandas and pyarrow that may be missing.
    bare = kind if isinstance(kind, np.dtype) else getattr(kind, "numpy_dtype", None)
    return bare if isinstance(bare, np.dtype) else np.dtype(object)


def _checked(
    block: Any,
    number: int,
    shape: tuple[float, int],
    dtype: Any,
    names: list[Any] | None,
    digests: dict[Any, int],
) -> NDArray[Any]:
    # A partition as rows of what X says that all of them are, nan rows for any number.
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
    expected = (len(found) if math.isnan(shape[0]) else int(shape[0]), shape[1])
    if found.shape != expected:
        raise DataError(f"{where} has shape {found.shape}, and by X it has {expected}")
    _check_same(digests, number, found, where)
    return found
