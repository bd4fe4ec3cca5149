"""Rows that stay where they are, in files or in a dask array, as partitions of threads."""

from __future__ import annotations

import math
import os
import weakref
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import pairwise
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, Partitions, available_threads, range_rows

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
THREAD_MIB = 4.0  # stays in a cache


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
        X = NpyRows.from_map(X) or StoredRows(X)
    chunks = (_partition_rows(THREAD_MIB, X.shape[1], X.dtype), X.shape[1])
    none = np.empty((0, 0), X.dtype)
    array = da.from_array(X, chunks, name=False, fancy=False, meta=none)
    return array.astype(X.dtype if X.dtype in FLOATS else np.float64)


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
    def from_map(cls, X: Any) -> NpyRows | None:
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
        return checked(block, where, shape, self.dtype, self._digests)[:, key[1]]


def checked(
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
