"""Rows outside the arrays of this process, in partitions: in files, or on workers of a cluster."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.runtime import share

# Rows that are summed together: part of the order of additions, so of the bits of every map.
_RANGE_ROWS = 8192
_RANGE_NUMBERS = 1 << 23  # numbers of a range, at most: 64 MiB, which a worker may have to read
Block = NDArray[np.floating[Any]]


def range_rows(d: int) -> int:
    """Return how many rows of D numbers are summed together, wherever they lie.

    Sums of float64 depend on their order. Those of such ranges, added one after the other, are the
    same for rows in memory and in any partitions that begin where a range begins.
    """
    rows = _RANGE_ROWS
    while rows > 1 and rows * d > _RANGE_NUMBERS:
        rows //= 2
    return rows


Question = Literal["assign", "units", "linked", "reassigned", "unlinked"]  # methods of `Shard`


class Shards(Protocol):
    """Objects, one for each partition, where the rows are; `shards.Shard` says what they answer.

    Attributes
    ----------
    rereads : bool
        Whether each question reads the rows, so that several at once are cheaper.
    """

    rereads: bool

    def ask(
        self, question: Question, *arguments: Any, add: Callable[[Any, Any], Any] | None
    ) -> list[Any]:
        """Return ``answer(question, *arguments)`` of each object, in the order of the partitions.

        With ``add`` the caller needs only the exact sum of the results: they may be summed in any
        order, to fewer results.
        """


class Partitions(ABC):
    """Rows (n, D) of float32 or float64 in partitions, which begin at multiples of `range_rows`.

    Functions that are asked get the rows (m, D) of a partition as an array, C-contiguous, and may
    be pickled.

    Attributes
    ----------
    shape : (n, D)
    dtype : numpy.dtype
    ends : tuple of int
        The first row of each partition, and n.
    failure : type of exception
        Raised where rows cannot be read or used.
    summaries : ColumnSummaries or None
        Sums and extremes of the columns, once they are known.
    """

    ndim = 2
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    ends: tuple[int, ...]
    failure: type[Exception]
    summaries: tuple[NDArray[Any], ...] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @abstractmethod
    def each(
        self,
        ask: Callable[..., Any],
        given: Sequence[tuple[Any, ...]],
        keep: Callable[[slice, Any], None] | None = None,
    ) -> list[Any]:
        """Return ``ask(rows, *given[i])`` of each partition i.

        With ``keep(rows, answer)`` answers are passed on at once, and None is returned for each.
        """

    @abstractmethod
    def fold(self, ask: Callable[..., Any], start: Any, given: Sequence[tuple[Any, ...]]) -> Any:
        """Return the last of ``state = ask(rows, state, *given[i])``, partition after partition."""

    @abstractmethod
    def __getitem__(self, rows: Any) -> Block:
        """Return the rows of a slice, a mask or row numbers as an array."""

    @abstractmethod
    def take(self, rows: Any) -> Partitions:
        """Return some rows, where they are."""

    @abstractmethod
    def map(self, transform: Callable[[NDArray[Any]], Block]) -> Partitions:
        """Return the rows as ``transform(rows)`` makes them, which it may overwrite."""

    @abstractmethod
    def followed_by(self, more: Block) -> Partitions:
        """Return the rows with those of an array (m, D) after them."""

    def row_numbers(self, rows: Any) -> NDArray[np.int64]:
        """Return the row numbers, from 0, of a slice, a mask (n,) or row numbers."""
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        if rows.dtype == bool:
            return np.flatnonzero(rows)
        numbers = rows.astype(np.int64)
        if len(numbers) and not -len(self) <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"the table has {len(self)} rows")
        return np.asarray(np.where(numbers < 0, numbers + len(self), numbers))

    def hold(self, make: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> Shards:
        """Return the shards ``make(rows, *given[i], None, None)``, see `RereadShards`."""
        return RereadShards(self, make, given)

    def beside(self, *arrays: NDArray[Any] | None) -> list[tuple[Any, ...]]:
        """Return the entries of arrays (n,) or None beside each partition's rows."""
        return [_entries(arrays, slice(*bounds)) for bounds in pairwise(self.ends)]


class RereadShards:
    """Shards of partitions whose rows are read anew for each question, see `Shards`.

    ``make(rows, *given, state, spare)`` makes one; what it is to know in the next pass it returns
    as ``state()``, with ``units_by_row()``. ``spare`` are its arrays, ``shard.samples.blocks``, for
    another one: pages of new memory cost as much as reading them.
    """

    rereads = True

    def __init__(
        self, table: Partitions, make: Callable[..., Any], given: Sequence[tuple[Any, ...]]
    ) -> None:
        self._table = table
        self._make = make
        self._given = given
        self._states: list[Any] = [None] * len(given)
        self._spare: deque[Any] = deque()

    def ask(
        self, question: Question, *arguments: Any, add: Callable[[Any, Any], Any] | None
    ) -> list[Any]:
        if question == "units" and arguments[1] is None:  # of the last pass: the states have them
            return [state.units_by_row() for state in self._states]
        totals: deque[Any] = deque()

        def answer(rows: Block, i: int) -> Any:
            shard = self._make(rows, *self._given[i], self._states[i], _pop(self._spare))
            value = shard.answer(question, *arguments)
            self._states[i] = shard.state()
            self._spare.append(shard.samples.blocks)
            if add is None:
                return value
            # All results together may take more memory than the rows.
            total = _pop(totals)
            totals.append(value if total is None else add(total, value))
            return None

        answers = self._table.each(answer, [(i,) for i in range(len(self._given))])
        return answers if add is None else list(totals)


def _pop(items: deque[Any]) -> Any:
    # The last item, or None where other threads have all of them.
    try:
        return items.pop()
    except IndexError:
        return None


def each_range(
    X: Any, ask: Callable[..., Any], threads: int, *beside: NDArray[Any] | None
) -> list[Any]:
    """Return ``ask(rows, *entries)`` of each range of rows of X (n, D), see `range_rows`.

    ``entries`` are those of the arrays ``beside`` (n,) or None; X is an array of any dimension, a
    CSR matrix or `Partitions`, for which ``ask`` may be pickled.
    """
    if isinstance(X, Partitions):
        given = [(ask, 1, *entries) for entries in X.beside(*beside)]
        return list(chain.from_iterable(X.each(each_range, given)))
    size = range_rows(math.prod(X.shape[1:]))
    starts = range(0, X.shape[0], size)
    answers: list[Any] = [None] * len(starts)

    def work(worker: int, task: int) -> None:
        rows = slice(starts[task], min(starts[task] + size, X.shape[0]))
        answers[task] = ask(X[rows], *_entries(beside, rows))

    share(threads, len(starts), work)
    return answers


def _entries(arrays: tuple[NDArray[Any] | None, ...], rows: slice) -> tuple[Any, ...]:
    return tuple(None if array is None else array[rows] for array in arrays)


def take(table: Any, rows: Any) -> Any:
    return table.take(rows) if isinstance(table, Partitions) else table[rows]
