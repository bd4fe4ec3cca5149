"""Samples as the fast loops want them: centred, scaled, in blocks; in memory, or read anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean.blocks import (
    Accuracy,
    Blocks,
    Frame,
    Tally,
    accuracy_of,
    column_totals,
    count_ranks,
    error_steps,
    move_places,
    pack_blocks,
)
from dbgsom_core.engine.euclidean.comparisons import Memories
from dbgsom_core.engine.llvm.tile import LINE, UNROLL
from dbgsom_core.engine.rows import Rows, aligned, for_loops
from dbgsom_core.engine.tables import each_range, pieces
from dbgsom_core.engine.workers import share

_TASKS = 16  # chunks of blocks that the workers share, at most
_TASK_PLACES = 1 << 16  # samples in a chunk that is sorted, at least
_TASK_NUMBERS = 1 << 16  # numbers in a chunk, at least: smaller ones cost more to start than to do
_TASK_PACKED = 1 << 18  # and where each is only packed
_MARGIN_BYTES = 1 << 28  # that margins in memory may take, or half of the packed copy
_ROW_BYTES = 6  # that places and margins may take of each row that is read anew


class Room(NamedTuple):
    """Memory for margins.

    Attributes
    ----------
    n_blocks : int
        How many blocks there are.
    together : int
        Of so many that follow each other all have margins, or none.
    bytes : int
    beside : int
        Bytes that those of together take besides.
    """

    n_blocks: int
    together: int
    bytes: int
    beside: int = 0

    def blocks_with(self, size: int) -> int:
        """Return for how many blocks there is room, where each takes ``size`` bytes."""
        parts = max(self.bytes, 0) // (self.together * size + self.beside)
        return min(self.n_blocks, parts * self.together)


class Chunk(NamedTuple):
    """Packed samples that a task goes through.

    Attributes
    ----------
    samples : Rows
        As given; ``blocks.order`` are rows of these.
    blocks : Blocks
    units : int32 array (B*lanes,)
        By place, to be read and changed.
    start, stop : int
        The blocks of the task.
    of : slice
        Which of all samples ``samples`` are.
    numbers : slice
        Which of all blocks ``blocks`` are.
    """

    samples: Rows
    blocks: Blocks
    units: NDArray[np.int32]
    start: int
    stop: int
    of: slice
    numbers: slice

    @property
    def places(self) -> slice:
        """The places of the task that hold samples."""
        lanes = self.blocks.numbers.shape[2]
        return slice(self.start * lanes, min(self.stop * lanes, len(self.blocks.order)))


# Goes through a chunk: (tally, memory of the worker, chunk).
Work = Callable[[Tally, NDArray[np.uint8], Chunk], None]


@dataclass(eq=False)
class Packed:
    """How X (n, D) is packed: (x - centre)*scale, rounded to multiples of ``grid``.

    Blocks are of float32, whatever X is, since most neurons can be told apart in it at twice the
    speed; what cannot is settled by the definition, and sums are of X itself.

    Attributes
    ----------
    X : float array (n, D) or BlockTable
        The samples as given.
    frame : Frame
        The centre (D,) is about the column means. The scale is a power of two: no packed entry
        exceeds 1. So is the grid: sums of n packed entries are exact in float64.
    threads : int
    dtype : numpy.dtype
        Of the blocks.
    among : int
        How many rows there are in all, where X holds some of them; 0: it holds all.
    """

    X: Any
    frame: Frame
    threads: int
    dtype: Any = np.float32
    among: int = 0

    @cached_property
    def depth(self) -> int:
        """The features of a packed sample, some of which are 0."""
        return -(-int(self.X.shape[1]) // UNROLL) * UNROLL

    @cached_property
    def one(self) -> Any:
        """The number 1 in the dtype of the blocks: tells the loops which they are for."""
        return np.dtype(self.dtype).type(1)

    @property
    def is_double(self) -> bool:
        """Whether blocks are of float64."""
        return bool(self.one.itemsize == 8)

    @cached_property
    def memories(self) -> Memories:
        """Of the workers that go through the blocks."""
        return Memories(self.depth)

    @cached_property
    def unit(self) -> float:
        """The rounding unit of the blocks."""
        return float(np.finfo(self.dtype).eps) / 2

    def steps(self, accuracy: Accuracy) -> float:
        """Return the steps in which errors are added up, see `error_steps`."""
        n, d = self.X.shape
        return error_steps((self.among or n, d), accuracy)

    def accuracy(self, largest: float) -> Accuracy:
        """Return how wrong values may be where no packed prototype is longer than ``largest``."""
        return accuracy_of(self.X.shape[1], self.unit, self.frame.grid, largest)


class PackedSamples(Packed):
    """A packed copy of X (n, D) in memory, in any ``order`` (n,) of the rows."""

    def __init__(self, *given: Any, order: NDArray[np.int32] | None = None) -> None:
        super().__init__(*given)
        self.rows = Rows.of(self.X)
        first = np.arange(len(self.X), dtype=np.int32) if order is None else order
        self.blocks = empty_blocks(first, self.depth, self.dtype)
        self._fill()

    @classmethod
    def of(
        cls, X: NDArray[Any], threads: int, frame: Frame | None = None, among: int = 0
    ) -> PackedSamples:
        """Pack the rows of X in the order in which they come, in their own frame or a given one."""
        X = np.ascontiguousarray(for_loops(X))
        return cls(X, frame or frame_of(X, threads), threads, np.float32, among)

    @staticmethod
    def bytes_for(X: NDArray[Any], dtype: Any = np.float32) -> int:
        """Return how much memory the packed copy of X (n, D) takes in blocks of a dtype."""
        n, d = X.shape
        return int(n * ((-(-d // UNROLL) * UNROLL + 1) * np.dtype(dtype).itemsize + 8))

    @property
    def units(self) -> NDArray[np.int32]:
        """The unit of each place (B*lanes,)."""
        return self.blocks.bmu

    def doubled(self, most: int | None = None) -> PackedSamples:
        """Return the same samples in blocks of float64, if they take as many bytes at ``most``."""
        if most is not None and self.bytes_for(self.X, np.float64) > most:
            return self
        n, order = len(self.X), self.blocks.order.copy()
        given = self.X, self.frame, self.threads, np.float64, self.among
        made = PackedSamples(*given, order=order)
        made.blocks.bmu[:n] = self.blocks.bmu[:n]
        return made

    def by_row(self, units: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return ``units`` (B*lanes,) in the order of the samples (n,)."""
        found = np.empty(len(self.X), np.int64)
        found[self.blocks.order] = units[: len(found)]
        return found

    def each(
        self,
        units: NDArray[np.int32],
        sums: NDArray[np.float64],
        hits: NDArray[np.int64],
        n_panels: int,
        work: Work,
        is_small: bool = False,
    ) -> Tally:
        """Do ``work`` for all samples and their ``units`` (B*lanes,), see `added_up`."""
        threads, tasks = 1 if is_small else self.threads, [(0, len(self.blocks.numbers))]
        if threads > 1:
            tasks = self._tasks(_TASK_NUMBERS)
        memory = self.memories.of(threads, n_panels)
        whole = slice(0, len(self.X)), slice(0, len(self.blocks.numbers))

        def of_task(tally: Tally, worker: int, task: int) -> None:
            work(tally, memory[worker], Chunk(self.rows, self.blocks, units, *tasks[task], *whole))

        return added_up(threads, len(tasks), sums, hits, of_task)

    def room_for_margins(self, working_memory: int | None) -> Room:
        """Return the memory that margins may take, all told in bytes that a search may."""
        n_blocks, room = len(self.blocks.numbers), working_memory
        if room is None:
            room = max(_MARGIN_BYTES, self.blocks.numbers.nbytes // 2)
        else:
            room -= self.bytes_for(self.X, self.dtype)
        return Room(n_blocks, n_blocks, room)

    def make_room(self, n_neurons: int, n_blocks: int) -> bool:
        """Return whether an order of so many blocks is to be kept that is a new one."""
        return False

    def sort(self, rank: NDArray[np.int32]) -> None:
        """Sort the samples by the rank (K,) of their units, so that those of a block are alike."""
        n, blocks = len(self.X), self.blocks
        tasks = min(_TASKS, n // _TASK_PLACES + 1)
        starts = [n * task // tasks for task in range(tasks + 1)]
        counts = np.zeros((tasks, len(rank)), np.int64)
        order, bmu = np.empty(n, np.int32), np.empty(n, np.int32)

        def count(worker: int, task: int) -> None:
            count_ranks(blocks.bmu, rank, starts[task], starts[task + 1], counts[task])

        share(self.threads, tasks, count)
        # Before the samples of a rank come all of lower ranks, and those of it in earlier tasks.
        ends = np.ascontiguousarray(np.cumsum(counts.T).reshape(counts.T.shape).T) - counts

        def move(worker: int, task: int) -> None:
            at = starts[task], starts[task + 1]
            # Arrays alone: numba 0.60 takes blocks of float32 for those of float64.
            move_places(blocks.order, blocks.bmu, rank, *at, ends[task], order, bmu)

        share(self.threads, tasks, move)
        blocks.order[:], blocks.bmu[:n] = order, bmu
        self._fill()

    def _fill(self) -> None:
        # Pack the samples in the order that the blocks have.
        tasks = self._tasks(_TASK_PACKED)

        def work(worker: int, task: int) -> None:
            _pack(self.one, self.rows, self.frame, self.blocks, *tasks[task])

        share(self.threads, len(tasks), work)

    def _tasks(self, least: int) -> list[tuple[int, int]]:
        # The blocks of each task, ``least`` numbers about, as (start, stop).
        n_blocks = len(self.blocks.numbers)
        tasks = min(_TASKS, self.blocks.numbers.size // least + 1)
        return list(pairwise(n_blocks * t // tasks for t in range(tasks + 1)))


class PackedAnew(Packed):
    """Rows X of a table that are read and packed anew in each pass, ``size`` of them at a time.

    What is kept of a row is its unit, 2 bytes up to 65536 neurons, and of the first ones 2 more:
    their place among those that are read together.
    """

    def __init__(self, *given: Any, size: int, before: PackedAnew | None = None) -> None:
        super().__init__(*given)
        n, d = self.X.shape
        self.size = min(size, n)
        self.units: NDArray[Any] = np.zeros(n, np.uint16) if before is None else before.units
        self._places: NDArray[Any] = np.empty(0, np.uint16) if before is None else before._places
        self._rank: NDArray[Any] | None = None  # of units, by which places are to be sorted
        self._as_read = np.arange(self.size, dtype=np.int32)
        self._rooms = [
            (
                empty_blocks(self._as_read.copy(), self.depth, self.dtype),
                np.empty((self.size, d), self.X.dtype),
            )
            for _ in range(self.threads)
        ]
        self._together = len(self._rooms[0][0].numbers)  # blocks of a read

    def doubled(self, most: int | None = None) -> PackedAnew:
        """Return the same rows in blocks of float64; they take no memory."""
        given = self.X, self.frame, self.threads, np.float64
        return PackedAnew(*given, size=self.size, before=self)

    def by_row(self, units: NDArray[Any]) -> NDArray[Any]:
        """Return ``units`` (n,)."""
        return units

    def each(
        self,
        units: NDArray[Any],
        sums: NDArray[np.float64],
        hits: NDArray[np.int64],
        n_panels: int,
        work: Work,
        is_small: bool = False,
    ) -> Tally:
        """Do ``work`` for all rows, as they are read, and their ``units`` (n,), see `added_up`."""
        memory, rank = self.memories.of(self.threads, n_panels), self._rank
        n, size, self._rank = len(self.X), self.size, None

        def of_task(tally: Tally, worker: int, task: int) -> None:
            room, given = self._rooms[worker]
            rows = slice(task * size, min((task + 1) * size, n))
            X = for_loops(self.X.read(rows.start, rows.stop, given))
            order, kept, places = room.order[: len(X)], units[rows], self._places[rows]
            if rank is not None and len(places):
                places[:] = np.argsort(rank[kept], kind="stable")
            order[:] = places if len(places) else self._as_read[: len(X)]
            n_blocks, at = -(-len(X) // room.numbers.shape[2]), task * self._together
            here = Blocks(room.numbers[:n_blocks], room.squares[:n_blocks], order, room.bmu)
            room.bmu[: len(X)] = kept[order]
            samples = Rows.of(X)
            _pack(self.one, samples, self.frame, here, 0, n_blocks)
            numbers = slice(at, at + n_blocks)
            work(tally, memory[worker], Chunk(samples, here, room.bmu, 0, n_blocks, rows, numbers))
            kept[order] = room.bmu[: len(X)]

        return added_up(self.threads, -(-n // size), sums, hits, of_task)

    def room_for_margins(self, working_memory: int | None) -> Room:
        """Return the memory that margins, and places, may take."""
        room = _ROW_BYTES * len(self.X) if working_memory is None else working_memory
        of_places = self.size * np.min_scalar_type(self.size).itemsize
        return Room(-(-len(self.X) // self.size) * self._together, self._together, room, of_places)

    def make_room(self, n_neurons: int, n_blocks: int) -> bool:
        """Make room for units, and places in the first blocks; return whether those are new."""
        if n_neurons - 1 > np.iinfo(self.units.dtype).max:
            self.units = self.units.astype(np.int32)
        rows = min(n_blocks // self._together * self.size, len(self.X))
        if not n_blocks or len(self._places) == rows:
            return False
        self._places = np.empty(0, np.uint16)  # given back before more is taken
        self._places = np.empty(rows, np.min_scalar_type(self.size))
        return True

    def sort(self, rank: NDArray[np.int32]) -> None:
        """Sort rows that are read together by the rank (K,) of their units, in the next pass."""
        self._rank = rank.astype(np.min_scalar_type(len(rank)))

    def forget(self) -> None:
        """Give back the places: training has ended."""
        self._places = np.empty(0, np.uint16)


def added_up(
    threads: int,
    tasks: int,
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
    work: Callable[[Tally, int, int], None],
) -> Tally:
    """Do ``work(tally, worker, task)`` for all tasks; return the workers' tallies, joined.

    ``sums`` and ``hits`` are added to. Additions are exact, so their order does not matter.
    """
    first = _tally(sums, hits)
    others = [_tally(np.zeros_like(sums), np.zeros_like(hits)) for _ in range(threads - 1)]
    own = [first, *others]
    share(threads, tasks, lambda worker, task: work(own[worker], worker, task))
    for other in others:
        first.sums[:] += other.sums
        first.hits[:] += other.hits
        first.errors[:] += other.errors
        first.counts[:] += other.counts
    return first


def _tally(sums: NDArray[np.float64], hits: NDArray[np.int64]) -> Tally:
    return Tally(sums, hits, np.zeros(len(hits), np.int64), np.zeros(LINE // 8, np.int64))


def _pack(one: Any, samples: Rows, frame: Frame, blocks: Blocks, start: int, stop: int) -> None:
    lanes = blocks.numbers.shape[2]
    total, rows = np.empty(lanes), np.empty(lanes, np.int64)
    pack_blocks(one, samples, frame, blocks, total, rows, start, stop)


def frame_of(X: Any, threads: int) -> Frame:
    """Return centre, scale and grid in which all rows of X, an array or a table, are packed."""
    n, (centre, reach) = len(X), _middle(X, threads)
    digits = min(30 if X.dtype.itemsize == 4 else 52, 52 - math.ceil(math.log2(n + 1)))
    scale = 2.0 ** -math.ceil(math.log2(reach)) if reach > 0 else 1.0
    return Frame(centre, scale, 2.0**-digits)


def _middle(X: Any, threads: int) -> tuple[NDArray[np.float64], float]:
    # Column means up to rounding, the same for any number of threads, and max |x - mean|.
    n, tasks = len(X), min(_TASKS, X.size // _TASK_NUMBERS + 1)
    ranges = list(pairwise(n * task // tasks for task in range(tasks + 1)))
    found = each_range(X, ranges, _totals, threads if X.size >= _TASK_PACKED else 1)
    centre = np.sum([total for total, _ in found], axis=0) / n
    ends = np.array([ends for _, ends in found])
    reach = np.maximum(ends[:, 1].max(axis=0) - centre, centre - ends[:, 0].min(axis=0))
    return centre, float(reach.max())


def _totals(X: Any, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total, ends = np.zeros(X.shape[1]), np.empty((2, X.shape[1]))
    ends[0], ends[1] = np.inf, -np.inf
    for piece in pieces(rows.start, rows.stop):
        part = for_loops(X[piece])
        column_totals(part, 0, len(part), total, ends)
    return total, ends


def empty_blocks(order: NDArray[np.int32], depth: int, dtype: Any) -> Blocks:
    """Return blocks for samples of so many features in this order, yet to be filled."""
    lanes = LINE // np.dtype(dtype).itemsize
    n_blocks = -(-len(order) // lanes)
    return Blocks(
        aligned((n_blocks, depth, lanes), dtype),
        np.zeros((n_blocks, lanes), dtype),
        order,
        np.zeros(n_blocks * lanes, np.int32),
    )
