"""What the fast search works on: samples in blocks, prototypes in panels, and how they are packed.

Everything here lives in *packed* coordinates: centred, scaled by a power of two so that no entry
exceeds 1, and rounded to a grid so coarse that float64 sums of all samples are exact; they are the
same bits in any order. The value of prototype w for sample x is ‖w‖²/2 - x·w, half the squared
distance less a constant of the sample. `Accuracy` bounds its error; what lies closer than that is
settled by the definition of the distance, in float64 on the samples as given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, loop
from dbgsom_core.engine.llvm.lanes import fetch_line, lanes_of, pack_tile
from dbgsom_core.engine.llvm.tile import (
    LINE,
    ROW_BITS,
    SLACKS,
    TOGETHER,
    UNROLL,
    VALUES,
)
from dbgsom_core.engine.rows import Rows, aligned, for_loops, number_at
from dbgsom_core.engine.tables import each_range, pieces
from dbgsom_core.engine.workers import share

_AHEAD = 1
_FETCHED = 512  # bytes of a row, at most
# How wrong values may be, as tests/engine/accuracy.md derives it:
DOUBLE = 2.0**-53  # the rounding unit of float64, u₆₄ above
_MORE = 1.02  # for products of errors, which the derivation leaves out
# Of float64 samples a squared distance below this share of the longest prototype's square is that
# of all their digits, any other that of samples rounded to float32.
NEAR = 2.0**-28
TINY = 1e-30  # for what float32 rounds to 0
TWICE = 2.02  # errors E of two values, and one per cent for the rounding of the slack itself
OF_SQUARES = 4.0  # rounding units of ‖x‖² that a squared distance may be wrong by, besides


class Blocks(NamedTuple):
    """Packed samples: ``numbers`` (B, depth, lanes), their ``squares`` (B, lanes) = ‖x‖².

    ``order`` (n,) tells which row of the data sits in a place; ``bmu`` (B*lanes,) is the unit of
    the last pass, by place.
    """

    numbers: NDArray[Any]
    squares: NDArray[Any]
    order: NDArray[np.int32]
    bmu: NDArray[np.int32]


class Frame(NamedTuple):
    """What packed coordinates are: (x - centre)*scale, rounded to multiples of ``grid``.

    ``scale`` and ``grid`` are powers of two. Sums are of such numbers in the dtype of the samples;
    blocks hold them in float32 where that is exact enough to tell most neurons apart.
    """

    centre: NDArray[np.float64]
    scale: float
    grid: float


class Panels(NamedTuple):
    """Packed prototypes: ``numbers`` (G, depth, PANEL_ROWS) = -w, ``starts`` (G, PANEL_ROWS).

    ``ids`` (G, PANEL_ROWS) tells which prototype a place holds, -1 for none; ``drift`` (G,) how far
    its prototypes moved at most since the margins began, added up; ``moves`` (K,) how far each
    prototype moved since the last pass.
    """

    numbers: NDArray[Any]
    starts: NDArray[Any]
    ids: NDArray[np.int32]
    drift: NDArray[np.float32]
    moves: NDArray[np.float32]


class Accuracy(NamedTuple):
    """How wrong a value may be, E(x) = constant + by_norm*‖x‖ + by_square*‖x‖².

    ``unit`` is the rounding unit of the dtype, ``largest`` the largest norm of a prototype.
    """

    constant: float
    by_norm: float
    by_square: float
    unit: float
    largest: float


def accuracy_of(d: int, unit: float, grid: float, largest: float) -> Accuracy:
    """Return E for samples with d features in blocks of a dtype with this rounding unit.

    ``grid`` is the step of packed numbers, at most 2⁻⁵² for none; ``largest`` at least the norm of
    the longest packed prototype.
    """
    product = _MORE * (d + 5 + (1 << ROW_BITS)) * unit
    start = _MORE * (d + 1) * unit if unit == DOUBLE and grid <= 2 * DOUBLE else 0.0
    definition = _MORE / 2 * (d + 6) * DOUBLE
    constant = (product / 2 + definition + start / 2) * largest**2
    moved = _MORE / 2 * math.sqrt(d) * grid * largest
    by_norm = (product + 2 * definition) * largest
    return Accuracy(constant + moved + TINY, by_norm, definition, unit, largest)


class Margins(NamedTuple):
    """By how much panels are at least farther away than the units of a block, when last compared.

    ``least`` (B, G) are margins plus what had moved by then, see `llvm.bounds`; ``slides`` (B,) how
    far units of samples of a block moved at most in each pass since they began, added up;
    ``accuracy`` that of the least exact pass for which they are good.
    """

    least: NDArray[np.uint16]
    slides: NDArray[np.float32]
    accuracy: Accuracy


class Tally(NamedTuple):
    """What one worker adds up: ``sums`` (K, depth), ``hits``, ``errors`` (K,), ``counts``.

    Errors are whole numbers of 1/``steps`` packed units of distance. ``counts`` hold how many
    panels were compared, how many samples changed their unit, and how many were in doubt.
    """

    sums: NDArray[np.float64]
    hits: NDArray[np.int64]
    errors: NDArray[np.int64]
    counts: NDArray[np.int64]


NO_MARGINS = Margins(
    np.zeros((1, 1), np.uint16), np.zeros(1, np.float32), Accuracy(0.0, 0.0, 0.0, 0.0, 0.0)
)


class Workspace(NamedTuple):
    """Arrays of one worker for the TOGETHER blocks (C) that it compares; nothing of it lasts.

    ``values`` (C, VALUES, lanes) are the smallest so far; ``rows`` (C, 2, lanes) whose the first
    two are; ``places`` (C, 2, lanes) where these are in the panels; ``nearest`` (C, G, lanes) the
    smallest of each panel; ``slack`` (C, SLACKS, lanes) how close is too close to call; ``done``
    (C, words) a bit for each panel compared. ``tops`` (1 + SLACKS, lanes) are distances of one
    block, and their slack. ``transposed`` and ``packed`` (lanes, depth) are the samples of a block,
    in its dtype and, more exactly, in float64.
    """

    values: NDArray[Any]
    rows: NDArray[np.int32]
    places: NDArray[np.int32]
    nearest: NDArray[Any]
    slack: NDArray[Any]
    tops: NDArray[Any]
    done: NDArray[np.int64]
    transposed: NDArray[Any]
    packed: NDArray[np.float64]


def workspace(n_panels: int, depth: int, dtype: Any) -> Workspace:
    """Return a workspace for blocks of a dtype and samples of so many features, padded."""
    lanes = LINE // np.dtype(dtype).itemsize
    return Workspace(
        aligned((TOGETHER, VALUES, lanes), dtype),
        aligned((TOGETHER, 2, lanes), np.int32),
        aligned((TOGETHER, 2, lanes), np.int32),
        aligned((TOGETHER, n_panels, lanes), dtype),
        aligned((TOGETHER, SLACKS, lanes), dtype),
        aligned((1 + SLACKS, lanes), dtype),
        aligned((TOGETHER, -(-n_panels // 64)), np.int64),
        aligned((lanes, depth), dtype),
        aligned((lanes, depth), np.float64),
    )


@loop
def pack_blocks(
    one: Any,
    samples: Rows,
    frame: Frame,
    blocks: Blocks,
    total: NDArray[np.float64],
    rows: NDArray[np.int64],
    start: int,
    stop: int,
) -> None:
    """Fill blocks ``start`` to ``stop`` from the samples (n, D) in their order.

    ``total`` and ``rows`` (lanes,) are overwritten.
    """
    numbers, squares, order = blocks.numbers, blocks.squares, blocks.order
    lanes, n, d = lanes_of(one), order.size, samples.columns
    steps, middle, grid = frame.scale / frame.grid, frame.centre, frame.grid
    size, x_at, long = samples.size, samples.at, d * samples.size
    numbers_at, middle_at = numbers.ctypes.data, middle.ctypes.data
    rows_at, total_at = rows.ctypes.data, total.ctypes.data
    for b in range(start, stop):
        used = min(lanes, n - b * lanes)
        # Rows in the order of their units lie anywhere: memory is asked for them early.
        for place in range((b + _AHEAD) * lanes, min((b + 1 + _AHEAD) * lanes, n)):
            row = x_at + order[place] * long
            for offset in range(0, min(long, _FETCHED), LINE):
                fetch_line(row + offset)
            fetch_line(row + min(long, _FETCHED) - 1)
        for lane in range(lanes):
            total[lane] = 0.0
        tiled = d - d % lanes if used == lanes else 0  # the rest is packed one by one
        for lane in range(used):
            rows[lane] = x_at + order[b * lanes + lane] * long
        for k in range(0, tiled, lanes):
            out = numbers_at + (b * numbers.shape[1] + k) * LINE
            if size == 4:
                kind = np.float32(0)
                pack_tile(one, kind, rows_at, middle_at + k * 8, steps, grid, out, total_at)
            else:
                pack_tile(one, 0.0, rows_at, middle_at + k * 8, steps, grid, out, total_at)
            for lane in range(lanes):
                rows[lane] += lanes * size
        for k in range(tiled, d):
            for lane in range(used):
                at = x_at + order[b * lanes + lane] * long
                value = (number_at(at, k, size) - middle[k]) * steps
                packed = type(one)(np.rint(value) * grid)
                numbers[b, k, lane] = packed
                total[lane] += np.float64(packed) * packed
        for lane in range(lanes):
            squares[b, lane] = total[lane]


@inlined
def pack_row(samples: Rows, i: int, frame: Frame, out: NDArray[np.float64]) -> None:
    """Fill the first D of out with the packed numbers of sample i, exact to its dtype."""
    steps, size = frame.scale / frame.grid, samples.size
    at = samples.at + i * samples.columns * size
    for k in range(samples.columns):
        value = np.rint((number_at(at, k, size) - frame.centre[k]) * steps) * frame.grid
        out[k] = np.float64(np.float32(value)) if size == 4 else value


@loop
def column_totals(
    X: NDArray[Any], start: int, stop: int, total: NDArray[np.float64], ends: Any
) -> None:
    """Add rows ``start`` to ``stop`` of X (n, D) to ``total`` (D,), note extremes in ``ends``."""
    for i in range(start, stop):
        for k in range(X.shape[1]):
            value = np.float64(X[i, k])
            total[k] += value
            ends[0, k] = min(ends[0, k], value)
            ends[1, k] = max(ends[1, k], value)


_TASKS = 16  # chunks of blocks that the workers share, at most
_TASK_NUMBERS = 1 << 16  # numbers in a chunk, at least: smaller ones cost more to start than to do
_TASK_PACKED = 1 << 18  # and where each is only packed
_MARGIN_BYTES = 1 << 28  # that margins in memory may take, or half of the packed copy
_ROW_BYTES = 6  # that places and margins may take of each row that is read anew


class Chunk(NamedTuple):
    """Packed samples that a task goes through: ``blocks`` from ``start`` to ``stop``.

    ``blocks.order`` are rows of ``samples``; ``units`` (B*lanes,) are by place, to be read and
    changed. ``of`` says which of all samples these are, ``numbers`` which of all blocks.
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


# Goes through a chunk: (tally, workspace of the worker, chunk).
Work = Callable[[Tally, Workspace, Chunk], None]


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
    _workspaces: list[Workspace] = field(default_factory=list, repr=False)

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
        return np.dtype(self.dtype).itemsize == 8

    def workspaces(self, threads: int, n_panels: int) -> list[Workspace]:
        """Return a workspace for each worker, the same ones while the panels are as many or 0."""
        known = self._workspaces
        if len(known) < threads or n_panels not in (0, known[0].nearest.shape[1]):
            known[:] = [workspace(n_panels or 1, self.depth, self.dtype) for _ in range(threads)]
        return known

    @property
    def unit(self) -> float:
        """The rounding unit of the blocks."""
        return float(np.finfo(self.dtype).eps) / 2

    def steps(self, accuracy: Accuracy) -> float:
        """Return the steps of packed distances in which errors are added up.

        Sums of all samples fit 62 bits, and one 51; no packed sample is longer than √D.
        """
        n, d = self.X.shape
        _, power = math.frexp(math.sqrt(d) + accuracy.largest)
        return math.ldexp(1.0, min(60 - math.ceil(math.log2((self.among or n) + 1)), 51) - power)

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
        spaces = self.workspaces(threads, n_panels)
        whole = slice(0, len(self.X)), slice(0, len(self.blocks.numbers))

        def of_task(tally: Tally, worker: int, task: int) -> None:
            work(tally, spaces[worker], Chunk(self.rows, self.blocks, units, *tasks[task], *whole))

        return added_up(threads, len(tasks), sums, hits, of_task)

    def blocks_for(self, size: int, working_memory: int | None) -> int:
        """Return for how many blocks a search may keep so many bytes each: for all, or for none."""
        n_blocks, memory = len(self.blocks.numbers), working_memory
        if memory is None:
            memory = max(_MARGIN_BYTES, self.blocks.numbers.nbytes // 2)
        else:
            memory -= self.bytes_for(self.X, self.dtype)
        return n_blocks if n_blocks * size <= memory else 0

    def reserve(self, n_neurons: int, n_blocks: int) -> bool:
        """Return whether an order of so many blocks is to be kept that is a new one."""
        return False

    def sort(self, rank: NDArray[np.int32]) -> None:
        """Sort the samples by the rank (K,) of their units, so that those of a block are alike."""
        blocks, n = self.blocks, len(self.X)
        ranks = rank.astype(np.min_scalar_type(len(rank)))[blocks.bmu[:n]]
        places = np.argsort(ranks, kind="stable")
        blocks.order[:], blocks.bmu[:n] = blocks.order[places], blocks.bmu[places]
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
        self._buffers = [
            (
                empty_blocks(self._as_read.copy(), self.depth, self.dtype),
                np.empty((self.size, d), self.X.dtype),
            )
            for _ in range(self.threads)
        ]
        self._together = len(self._buffers[0][0].numbers)  # blocks of a read

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
        spaces, rank = self.workspaces(self.threads, n_panels), self._rank
        n, size, self._rank = len(self.X), self.size, None

        def of_task(tally: Tally, worker: int, task: int) -> None:
            space, given = self._buffers[worker]
            rows = slice(task * size, min((task + 1) * size, n))
            X = for_loops(self.X.read(rows.start, rows.stop, given))
            order, kept, places = space.order[: len(X)], units[rows], self._places[rows]
            if rank is not None and len(places):
                places[:] = np.argsort(rank[kept], kind="stable")
            order[:] = places if len(places) else self._as_read[: len(X)]
            n_blocks, at = -(-len(X) // space.numbers.shape[2]), task * self._together
            here = Blocks(space.numbers[:n_blocks], space.squares[:n_blocks], order, space.bmu)
            space.bmu[: len(X)] = kept[order]
            samples = Rows.of(X)
            _pack(self.one, samples, self.frame, here, 0, n_blocks)
            numbers = slice(at, at + n_blocks)
            work(tally, spaces[worker], Chunk(samples, here, space.bmu, 0, n_blocks, rows, numbers))
            kept[order] = space.bmu[: len(X)]

        return added_up(self.threads, -(-n // size), sums, hits, of_task)

    def blocks_for(self, size: int, working_memory: int | None) -> int:
        """Return for how many of the first blocks a search may keep so many bytes each.

        The places of the rows that are read together are kept besides.
        """
        memory = _ROW_BYTES * len(self.X) if working_memory is None else working_memory
        of_read = self._together * size + self.size * np.min_scalar_type(self.size).itemsize
        reads = min(-(-len(self.X) // self.size), max(memory, 0) // of_read)
        return reads * self._together

    def reserve(self, n_neurons: int, n_blocks: int) -> bool:
        """Reserve memory for units and places in the first blocks; return whether these are new."""
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
    tallies = []
    for worker in range(threads):
        own = (np.zeros_like(sums), np.zeros_like(hits)) if worker else (sums, hits)
        tallies.append(Tally(*own, np.zeros(len(hits), np.int64), np.zeros(LINE // 8, np.int64)))
    share(threads, tasks, lambda worker, task: work(tallies[worker], worker, task))
    first, *others = tallies
    for other in others:
        for total, more in zip(first, other, strict=True):
            total += more
    return first


def _pack(one: Any, samples: Rows, frame: Frame, blocks: Blocks, start: int, stop: int) -> None:
    lanes = blocks.numbers.shape[2]
    total, rows = np.empty(lanes), np.empty(lanes, np.int64)
    pack_blocks(one, samples, frame, blocks, total, rows, start, stop)


def frame_of(X: Any, threads: int) -> Frame:
    """Return centre, scale and grid in which all rows of X, an array or a table, are packed.

    The centre are column means up to rounding, the same for any number of threads.
    """
    n, tasks = len(X), min(_TASKS, X.size // _TASK_NUMBERS + 1)
    ranges = list(pairwise(n * task // tasks for task in range(tasks + 1)))
    found = each_range(X, ranges, _totals, threads if X.size >= _TASK_PACKED else 1)
    centre = np.sum([total for total, _ in found], axis=0) / n
    ends = np.array([ends for _, ends in found])
    farthest = np.maximum(ends[:, 1].max(axis=0) - centre, centre - ends[:, 0].min(axis=0))
    reach = float(farthest.max())
    digits = min(30 if X.dtype.itemsize == 4 else 52, 52 - math.ceil(math.log2(n + 1)))
    scale = 2.0 ** -math.ceil(math.log2(reach)) if reach > 0 else 1.0
    return Frame(centre, scale, 2.0**-digits)


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
