"""Tables outside memory: read in blocks of rows, or in shards with computations on workers."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from mmap import mmap
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.runtime import share

_NEAR_BYTES = 1 << 18  # rows that lie closer to each other are read together
_PIECE = 8192  # rows
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
Block = NDArray[np.floating[Any]]


class BlockTable(ABC):
    """Rows (n, D) of float32 or float64 that are read on indexing.

    Slices, row numbers and masks return arrays, as indexing an array does.

    Attributes
    ----------
    failure : type of exception
        Raised where rows cannot be read.
    in_order : bool
        Whether sequential reads are faster than reads in several threads.
    path : str or None
        The file of the rows, where another process can read it too.
    is_complete : bool
        Whether all numbers are known to be finite.
    extremes : (float array (D,), float array (D,)) or None
        The smallest and the largest number of each column, where known.
    ends : tuple of int or None
        The first rows of shards, and n; None without shards.
    """

    ndim = 2
    is_complete = False
    extremes: tuple[NDArray[Any], NDArray[Any]] | None = None
    path: str | None = None
    in_order = False
    ends: tuple[int, ...] | None = None

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], failure: type[Exception]
    ) -> None:
        self.failure = failure
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = dtype if dtype in _FLOATS else np.dtype(np.float64)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self.read(0, len(self)), dtype)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @abstractmethod
    def read(self, start: int, stop: int) -> Block:
        """Return rows ``start`` to ``stop``, C-contiguous, or raise ``failure``."""

    def __getitem__(self, rows: Any) -> Block:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self.read(start, max(start, stop))
        return self._gather(row_numbers(rows, len(self)))

    def take(self, rows: Any) -> BlockTable:
        return SubsetTable(self, row_numbers(rows, len(self)))

    def first_non_finite(self, rows: int) -> tuple[int, int] | None:
        """Return row and column of the first number that is nan or infinite, or None.

        Reads ``rows`` at a time; a complete table is read once only.
        """
        for start in range(0, 0 if self.is_complete else len(self), rows):
            found = find_non_finite(self.read(start, min(start + rows, len(self))))
            if found is not None:
                return start + found[0], found[1]
        self.is_complete = True
        return None

    def column(self, number: int) -> Block:
        return np.concatenate([self[piece][:, number] for piece in pieces(0, len(self))])

    def _gather(self, rows: NDArray[np.int64]) -> Block:
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        near = max(1, _NEAR_BYTES // max(1, self.shape[1] * self.dtype.itemsize))
        at = 0
        while at < len(rows):
            first = int(ascending[at])
            stop = int(np.searchsorted(ascending, first + near))
            part = self.read(first, int(ascending[stop - 1]) + 1)
            out[order[at:stop]] = part[ascending[at:stop] - first]
            at = stop
        return out


class FileTable(BlockTable):
    """Rows of an array in a file, read, not mapped: a truncated file raises an exception.

    The first row begins at byte ``offset``; ``dtype`` is that of the file.
    """

    def __init__(
        self,
        path: str,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        failure: type[Exception] = ValueError,
    ) -> None:
        super().__init__(shape, dtype, failure)
        self._recipe = (path, offset, shape, dtype, failure)
        self.path, self._offset, self._stored = path, offset, dtype
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(error) from error
        weakref.finalize(self, os.close, self._file)
        self._before = self._size_and_time()

    def __reduce__(self) -> Any:
        return FileTable, self._recipe

    def read(self, start: int, stop: int) -> Block:
        rows = np.empty((stop - start, self.shape[1]), self._stored)
        memory = rows.data.cast("B") if rows.size else b""
        done, first = 0, self._offset + start * self.shape[1] * rows.itemsize
        while done < len(memory):  # one call reads 2 GiB at most
            try:
                count = os.preadv(self._file, [memory[done:]], first + done)
            except OSError as error:
                raise self._unreadable(error) from error
            if count == 0:
                raise self.failure(
                    f"{self.path} ends before its last row: it is cut short, write it again"
                )
            done += count
        if self._size_and_time() != self._before:
            raise self.failure(
                f"{self.path} changed while it was read: start again, and do not change it "
                "until the end"
            )
        return rows.astype(self.dtype, copy=False)

    def _size_and_time(self) -> tuple[int, int]:
        facts = os.fstat(self._file)
        return facts.st_size, facts.st_mtime_ns

    def _unreadable(self, error: OSError) -> Exception:
        return self.failure(f"{self.path} cannot be read: {error.strerror or error}")


class SlicedTable(BlockTable):
    """Rows of any object with a shape, a dtype and slices."""

    def __init__(self, source: Any, failure: type[Exception] = ValueError) -> None:
        super().__init__(source.shape, np.dtype(source.dtype), failure)
        self._source = source
        self.path = next(iter(getattr(source, "files", ())), None)
        self.in_order = bool(getattr(source, "in_order", False))

    def read(self, start: int, stop: int) -> Block:
        where = f"rows {start} to {stop} of the {type(self._source).__name__}"
        try:
            rows = np.ascontiguousarray(self._source[start:stop], self.dtype)
        except self.failure:
            raise
        except Exception as error:
            hint = "; read fewer at a time" if isinstance(error, MemoryError) else ""
            raise self.failure(
                f"{where} cannot be read ({type(error).__name__}: {error}){hint}"
            ) from error
        if rows.shape != (stop - start, self.shape[1]):
            raise self.failure(
                f"{where} have shape {rows.shape}, not {(stop - start, self.shape[1])}"
            )
        return rows


class SubsetTable(BlockTable):
    """Some rows (m,) of another table."""

    def __init__(self, table: BlockTable, rows: NDArray[np.int64]) -> None:
        super().__init__((len(rows), table.shape[1]), table.dtype, table.failure)
        self._table, self._rows = table, rows
        self.is_complete, self.in_order = table.is_complete, table.in_order

    def read(self, start: int, stop: int) -> Block:
        return self._table[self._rows[start:stop]]


class TransformedTable(BlockTable):
    """The rows of another table, which has at least one, transformed when they are read.

    ``transform(rows)`` returns rows (m, D') for rows (m, D), which it may overwrite, row by row.
    """

    def __init__(self, table: BlockTable, transform: Callable[[NDArray[Any]], Block]) -> None:
        self._table, self._transform = table, transform
        example = np.asarray(transform(table.read(0, 1).copy()))
        super().__init__((len(table), example.shape[1]), example.dtype, table.failure)
        self.path, self.in_order = table.path, table.in_order

    def read(self, start: int, stop: int) -> Block:
        if start == stop:
            return np.empty((0, self.shape[1]), self.dtype)
        rows = self._table.read(start, stop)
        writeable = rows if rows.flags.owndata and rows.flags.writeable else rows.copy()
        return np.ascontiguousarray(self._transform(writeable), self.dtype)


class ConcatenatedTable(BlockTable):
    """A table, and rows in memory (m, D) after its last one."""

    def __init__(self, table: BlockTable, more: Block) -> None:
        super().__init__((len(table) + len(more), table.shape[1]), table.dtype, table.failure)
        self._table, self._more, self.in_order = table, more.astype(table.dtype), table.in_order

    def read(self, start: int, stop: int) -> Block:
        n = len(self._table)
        if stop <= n:
            return self._table.read(start, stop)
        more = self._more[max(start - n, 0) : stop - n]
        return np.vstack([self._table.read(start, n), more]) if start < n else more


class Parts(Protocol):
    """Objects, one for each part of a table, in the process that has its rows."""

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        """Return ``answer(question, *given)`` of each object, in the order of the parts.

        With ``add`` the caller needs only the exact sum of the results: they may be summed in any
        order, to fewer results.
        """


class Shards(Protocol):
    """Rows (n, D) of float32 or float64 in shards in other processes, as workers of a cluster.

    Functions and their arguments are pickled. A lost shard is made again from the source of its
    rows.

    Attributes
    ----------
    shape : (n, D)
    dtype : numpy.dtype
    ends : tuple of int
        The first rows of shards, and n.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    ends: tuple[int, ...]

    def take(self, rows: NDArray[np.int64]) -> Shards:
        """Return shards with some rows, ascending, on the same workers."""

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Callable[..., Any], own: Sequence[Any]
    ) -> list[Any]:
        """Return ``ask(rows, slice(0, m), *own[i])`` for the rows (m, D) of each range i."""

    def hold(self, make: Callable[..., Any], own: Sequence[Any]) -> Parts:
        """Make an object ``make(rows, *own[i])`` in shard i's process, again if it is lost."""


class ShardTable(BlockTable):
    """The rows of shards as a table."""

    def __init__(self, shards: Shards, failure: type[Exception] = ValueError) -> None:
        super().__init__(shards.shape, np.dtype(shards.dtype), failure)
        self.shards, self.ends, self.hold = shards, shards.ends, shards.hold

    def read(self, start: int, stop: int) -> Block:
        if start >= stop:
            return np.empty((0, self.shape[1]), self.dtype)
        return np.asarray(self.shards.each_range([(start, stop)], _rows, [()])[0])

    def take(self, rows: Any) -> BlockTable:
        numbers = row_numbers(rows, len(self))
        if len(numbers) and (np.diff(numbers) > 0).all():
            return ShardTable(self.shards.take(numbers), self.failure)
        return super().take(rows)

    def first_non_finite(self, rows: int) -> tuple[int, int] | None:
        ranges = list(pairwise(self.shards.ends))
        for (start, _), bad in zip(
            ranges, each_range(self, ranges, _part_not_finite, 1), strict=True
        ):
            if bad is not None:
                return start + bad[0], bad[1]
        return None

    def _gather(self, rows: NDArray[np.int64]) -> Block:
        if not len(rows):
            return self.read(0, 0)
        distinct, at = np.unique(rows, return_inverse=True)
        return ShardTable(self.shards.take(distinct)).read(0, len(distinct))[at]


# Pickled by name, for shards.


def _rows(X: NDArray[Any], rows: slice) -> NDArray[Any]:
    return X[rows]


def _part_not_finite(X: NDArray[Any], rows: slice) -> tuple[int, int] | None:
    return find_non_finite(X[rows])


def as_table(X: Any, failure: type[Exception] = ValueError) -> BlockTable | None:
    """Return a table over X (n, D), or None where X has no blocks of rows of real numbers.

    A memory map of a whole file is read by its name. None for a data frame, a list, a sparse
    matrix.
    """
    if isinstance(X, BlockTable):
        return X
    if hasattr(X, "hold"):
        return ShardTable(X, failure)
    from scipy.sparse import issparse  # which a light command does not need

    if issparse(X) or len(getattr(X, "shape", ())) != 2 or not hasattr(X, "__getitem__"):
        return None
    try:
        kind = np.dtype(X.dtype).kind
    except (AttributeError, TypeError):
        return None
    if kind not in "fiub" or X.shape[1] == 0 or X.shape[0] != X.shape[0]:  # nan: not known
        return None
    if isinstance(X, np.memmap) and X.mode != "c" and X.filename and X.flags.c_contiguous:
        # Changes of a copy-on-write map (mode c) are not in the file.
        whole = X
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        if isinstance(whole.base, mmap):
            offset = whole.offset + X.ctypes.data - whole.ctypes.data
            return FileTable(os.fspath(X.filename), offset, X.shape, X.dtype, failure)
    return SlicedTable(X, failure)


def find_non_finite(block: NDArray[Any]) -> tuple[int, int] | None:
    """Return row and column of the first number of an array that is nan or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.add.reduce(block, axis=None)):
            return None
    bad = np.argwhere(~np.isfinite(block))
    return (int(bad[0, 0]), int(bad[0, 1])) if len(bad) else None


def has_missing(X: NDArray[Any]) -> bool:
    """Return whether a dense array holds nan."""
    # A sum is nan where an entry is: usually no array of flags is needed.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(np.sum(X)) and np.isnan(X).any())


def block_rows(table: BlockTable, block_bytes: int) -> int:
    return max(1, block_bytes // (table.shape[1] * table.dtype.itemsize))


def each_range(
    X: Any,
    ranges: Sequence[tuple[int, int]],
    ask: Callable[..., Any],
    threads: int,
    *beside: NDArray[Any] | None,
    own: Sequence[tuple[Any, ...]] | None = None,
    keep: Callable[[slice, Any], None] | None = None,
) -> list[Any]:
    """Return ``ask(X, rows, *own)`` for the rows of each range (start, stop).

    ``own`` are arguments by range; without it, each range's rows of the arrays ``beside`` (n,).
    For a table in shards ``ask`` is pickled and runs on the workers, where X is an array of the
    range's rows. With ``keep(rows, answer)`` results are passed on at once, and none is returned.
    """
    rows = [slice(*bounds) for bounds in ranges]
    if own is None:
        own = [tuple(None if b is None else b[some] for b in beside) for some in rows]
    answers: list[Any] = [None] * len(ranges)

    def work(worker: int, task: int) -> None:
        answer = ask(X, rows[task], *own[task])
        if keep is None:
            answers[task] = answer
        else:
            keep(rows[task], answer)

    if isinstance(X, ShardTable):
        answers = X.shards.each_range(ranges, ask, own)
        if keep is not None:
            for some, answer in zip(rows, answers, strict=True):
                keep(some, answer)
    else:
        share(1 if getattr(X, "in_order", False) else threads, len(ranges), work)
    return answers


def pieces(start: int, stop: int) -> Iterator[slice]:
    """Yield slices of rows ``start`` to ``stop``, small enough to be read at once."""
    for first in range(start, stop, _PIECE):
        yield slice(first, min(first + _PIECE, stop))


def row_numbers(rows: Any, n: int) -> NDArray[np.int64]:
    """Return the row numbers of a slice, a mask (n,) or row numbers of a table of n rows."""
    if isinstance(rows, slice):
        return np.arange(*rows.indices(n))
    rows = np.asarray(rows)
    if rows.dtype == bool:
        return np.flatnonzero(rows)
    numbers = rows.astype(np.int64)
    if len(numbers) and not -n <= numbers.min() <= numbers.max() < n:
        raise IndexError(f"the table has {n} rows")
    return np.asarray(np.where(numbers < 0, numbers + n, numbers))


def take(table: Any, rows: Any) -> Any:
    return table.take(rows) if isinstance(table, BlockTable) else table[rows]
