"""Samples in blocks and prototypes in panels, packed for the fast search of Euclidean maps.

*Packed* coordinates are centred, scaled by a power of two so that no entry of the data exceeds 1,
and quantised on a grid so coarse that float64 sums of all samples are exact, in any order. The
*value* of prototype w for sample x is ‖w‖²/2 - x·w, half the squared distance less a constant of
the sample. `Accuracy` bounds its error; closer values are compared by exact float64 distances of
the unpacked samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import Floats, Integers, inlined, inner_loop, loop
from dbgsom_core.engine.lanes import fetch_line, lanes_of, pack_tile, read_number
from dbgsom_core.engine.loops import writeable_view
from dbgsom_core.engine.partitions import Partitions, each_range
from dbgsom_core.engine.runtime import share
from dbgsom_core.engine.tile import LINE, PANEL_ROWS, ROW_BITS, SLACKS, UNROLL, VALUES

_FETCHED = 512  # bytes of a row to prefetch, at most: the processor itself fetches what follows
_TASKS = 16  # chunks of blocks, at most: some for each thread, as chunks take different times
_TASK_NUMBERS = 1 << 16  # numbers in a chunk, at least: a smaller one costs more to start
_TASK_PACKED = 1 << 18  # the same where chunks are only packed
# Error bounds, derived in tests/engine/accuracy.md:
DOUBLE = 2.0**-53  # the rounding unit of float64, u₆₄
_MORE = 1.02  # for products of errors, which the derivation leaves out
# Errors of float64 samples: a squared distance below this share of the longest prototype's square
# is computed from all digits, a larger one from samples rounded to float32.
NEAR = 2.0**-28
TINY = 1e-30  # bound on underflow to 0 in float32
TWICE = 2.02  # errors E of two values, and one per cent for the rounding of the slack itself
OF_SQUARES = 4.0  # additional error of a squared distance, in rounding units of ‖x‖²
# Value of an empty panel slot; row bits in the mantissa of inf would make it nan.
NO_PROTOTYPE = 1e38
FAR = 1e9  # largest packed prototype entry (data: 1) that the search supports


def padded(d: int) -> int:
    """Return the depth of d features, padded with 0 for the inner loop."""
    return -(-d // UNROLL) * UNROLL


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE
    array: NDArray[Any] = memory[start : start + size].view(dtype).reshape(shape)
    return array


# ---------------------------------------------------------------------------- samples as given


class Rows(NamedTuple):
    """Address of samples (n, D), C-contiguous, their D columns, and bytes of a number, 4 or 8."""

    at: int
    columns: int
    size: int

    @classmethod
    def from_samples(cls, X: NDArray[Any]) -> Rows:
        """Return the rows of X, which the caller must keep in memory."""
        return cls(X.ctypes.data, X.shape[1], X.itemsize)


@inlined
def number_at(row: int, k: int, size: int) -> float:
    """Return number k, of ``size`` bytes, of a row that begins at an address, as float64."""
    if size == 4:  # LLVM hoists the test out of loops
        number: float = read_number(np.float32(0), row, k)
    else:
        number = read_number(np.float64(0), row, k)
    return number


@inner_loop
def row_distance(samples: Rows, i: int, prototypes: Floats, j: int) -> float:
    """Return the exact distance of sample i and prototypes[j], summed by feature."""
    total = 0.0
    row = samples.at + i * samples.columns * samples.size
    for k in range(samples.columns):
        difference = number_at(row, k, samples.size) - prototypes[j, k]
        total += difference * difference
    distance: float = np.sqrt(total)
    return distance


# --------------------------------------------------------------------------- packed samples


class Quantisation(NamedTuple):
    """Packed coordinates: (x - centre)*scale, rounded to multiples of ``grid``.

    ``scale`` and ``grid`` are powers of two. Numbers rounded to one grid add without rounding, in
    any order (Demmel & Nguyen 2013, "Fast reproducible floating-point summation"), as README.md,
    "Sums", shows. Sums are of packed numbers in the samples' dtype;
    blocks are float32 unless too many distances are then ambiguous.
    """

    centre: Floats
    scale: float
    grid: float


class SampleTiles(NamedTuple):
    """Packed samples in blocks: ``numbers`` (B, depth, lanes), ``squares`` (B, lanes) = ‖x‖².

    ``order`` (n,) is the row of the data in each slot; ``bmu`` (B*lanes,) the unit of the last
    pass, by slot.
    """

    numbers: NDArray[Any]
    squares: NDArray[Any]
    order: NDArray[np.int32]
    bmu: NDArray[np.int32]


class PackedRows(NamedTuple):
    """Samples as compiled loops take them: as given, how they are packed, and packed."""

    rows: Rows
    how: Quantisation
    tiles: SampleTiles


@inlined
def tile_at(tiles: SampleTiles, b: int) -> int:
    """Return the address of the numbers (depth, lanes) of block b."""
    address: int = tiles.numbers.ctypes.data + b * tiles.numbers.shape[1] * LINE
    return address


@inlined
def squares_at(tiles: SampleTiles, b: int) -> int:
    """Return the address of the squares (lanes,) of block b."""
    address: int = tiles.squares.ctypes.data + b * LINE
    return address


class Accumulator(NamedTuple):
    """Totals of one worker: ``sums`` (K, depth), ``hits``, ``errors`` (K,), ``counts``.

    Errors are in whole steps, see `error_steps`. ``counts`` are panels compared, samples that
    changed their unit, and ambiguous samples.
    """

    sums: Floats
    hits: Integers
    errors: Integers
    counts: Integers


class Workspace(NamedTuple):
    """Scratch arrays of one worker for one block, for at least as many panels as there are.

    ``values`` (VALUES, lanes) are the smallest values so far; ``rows`` (2, lanes) the prototypes of
    the first two, ``slots`` (2, lanes) their panels and rows; ``nearest`` (G, lanes) the smallest
    value of each panel; ``slack`` (SLACKS, lanes) differences within which values are ambiguous;
    ``done`` (words,) a bit for each panel compared; ``upper`` (1 + SLACKS, lanes) upper bounds on
    distances, and their slack; ``packed`` (1, depth) a sample in the dtype of the data.
    """

    values: NDArray[Any]
    rows: NDArray[np.int32]
    slots: NDArray[np.int32]
    nearest: NDArray[Any]
    slack: NDArray[Any]
    upper: NDArray[Any]
    done: Integers
    packed: Floats


def workspace(n_panels: int, depth: int, dtype: Any) -> Workspace:
    """Return a workspace for blocks of a dtype and samples of ``depth`` features, padded."""
    lanes = LINE // np.dtype(dtype).itemsize
    return Workspace(
        aligned((VALUES, lanes), dtype),
        aligned((2, lanes), np.int32),
        aligned((2, lanes), np.int32),
        aligned((n_panels, lanes), dtype),
        aligned((SLACKS, lanes), dtype),
        aligned((1 + SLACKS, lanes), dtype),
        aligned((-(-n_panels // 64),), np.int64),
        aligned((1, depth), np.float64),
    )


@loop
def pack_blocks(
    tag: Any, data: PackedRows, total: Floats, addresses: Integers, start: int, stop: int
) -> None:
    """Fill blocks ``start`` to ``stop`` from the samples in their order.

    ``total`` and ``addresses`` (lanes,) are overwritten.
    """
    samples = data.rows
    how = data.how
    tiles = data.tiles
    order = tiles.order
    lanes = lanes_of(tag)
    n = order.size
    d = samples.columns
    size = samples.size
    long = d * size  # bytes of a row
    steps = how.scale / how.grid
    total_at = total.ctypes.data
    addresses_at = addresses.ctypes.data
    for b in range(start, stop):
        used = min(lanes, n - b * lanes)
        # Rows sorted by unit are scattered in memory: prefetch the next block's.
        for slot in range((b + 1) * lanes, min((b + 2) * lanes, n)):
            row = samples.at + order[slot] * long
            for offset in range(0, min(long, _FETCHED), LINE):
                fetch_line(tag, row + offset)
            fetch_line(tag, row + min(long, _FETCHED) - 1)
        for lane in range(lanes):
            total[lane] = 0.0
        for lane in range(used):
            addresses[lane] = samples.at + order[b * lanes + lane] * long
        tiled = 0  # features that are packed in squares of lanes samples; others one by one
        if used == lanes:
            tiled = d - d % lanes
        for k in range(0, tiled, lanes):
            out = tile_at(tiles, b) + k * LINE
            centre_at = how.centre.ctypes.data + k * 8
            if size == 4:
                kind = np.float32(0)
                pack_tile(tag, kind, addresses_at, centre_at, steps, how.grid, out, total_at)
            else:
                pack_tile(tag, 0.0, addresses_at, centre_at, steps, how.grid, out, total_at)
            for lane in range(lanes):
                addresses[lane] += lanes * size
        for k in range(tiled, d):
            for lane in range(used):
                row = samples.at + order[b * lanes + lane] * long
                value = (number_at(row, k, size) - how.centre[k]) * steps
                packed = type(tag)(np.rint(value) * how.grid)
                tiles.numbers[b, k, lane] = packed
                total[lane] += np.float64(packed) * packed
        for lane in range(lanes):
            tiles.squares[b, lane] = total[lane]


@inlined
def pack_row(samples: Rows, i: int, how: Quantisation, out: Floats) -> None:
    """Fill the first D of out with the packed numbers of sample i, in its dtype."""
    steps = how.scale / how.grid
    size = samples.size
    at = samples.at + i * samples.columns * size
    for k in range(samples.columns):
        centred = number_at(at, k, size) - how.centre[k]
        value = np.rint(centred * steps) * how.grid
        out[k] = np.float64(np.float32(value)) if size == 4 else value


@loop
def column_totals(X: NDArray[Any], total: Floats, ends: Any) -> None:
    """Add the rows of X (n, D) to ``total`` (D,), and update the extremes ``ends`` (2, D)."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            value = np.float64(X[i, k])
            total[k] += value
            ends[0, k] = min(ends[0, k], value)
            ends[1, k] = max(ends[1, k], value)


class ColumnSummaries(NamedTuple):
    """Sums (R, D) of ranges of rows, and the extremes (D,) of the columns.

    Where a number is not finite some sum is not, and extremes are those of other numbers.
    """

    totals: Floats
    low: Floats
    high: Floats


def column_summaries(X: Any, threads: int) -> ColumnSummaries:
    """Summarise the columns of an array or of partitions, whose rows are then read once."""
    known = getattr(X, "summaries", None)
    if known is not None:
        return ColumnSummaries(*known)
    ranges = each_range(X, _totals, threads if X.size >= _TASK_PACKED else 1)
    totals, ends = map(np.array, zip(*ranges, strict=True))
    low = ends[:, 0].min(axis=0)
    high = ends[:, 1].max(axis=0)
    summaries = ColumnSummaries(totals, low, high)
    if isinstance(X, Partitions):
        X.summaries = summaries
    return summaries


def scale_of(reach: float) -> float:
    """Return the power of two that brings numbers up to ``reach`` to 1 at most."""
    return 2.0 ** -math.ceil(math.log2(reach)) if reach > 0 else 1.0


def quantisation_of(X: Any, summaries: ColumnSummaries) -> Quantisation:
    """Return the quantisation of all rows of X, an array or partitions, from its summaries.

    The centre is the column means up to rounding, the same for any threads and partitions.
    """
    n = len(X)
    centre = summaries.totals.sum(axis=0) / n
    reach = float(np.maximum(summaries.high - centre, centre - summaries.low).max())
    # No more digits than numbers of this dtype have, next to 1, with some to spare for float32
    # numbers near the centre; and so few that sums of n numbers up to 1 fit the 53 of float64.
    most_digits = 30 if X.dtype.itemsize == 4 else 52
    exact_digits = 52 - math.ceil(math.log2(n + 1))
    return Quantisation(centre, scale_of(reach), 2.0 ** -min(most_digits, exact_digits))


def _totals(X: Any) -> tuple[Floats, Floats]:
    total = np.zeros(X.shape[1])
    ends = np.empty((2, X.shape[1]))
    ends[0] = np.inf
    ends[1] = -np.inf
    column_totals(writeable_view(X), total, ends)
    return total, ends


class PackedSamples:
    """A packed copy of samples X (n, D), in any ``order`` (n,) of the rows.

    Blocks are float32 for any dtype of X: most distances are unambiguous in it, at twice the speed.
    Ambiguous ones are compared exactly, and sums are of X itself. ``spare`` are arrays that may be
    overwritten, where they have the right shape.
    """

    def __init__(
        self,
        X: NDArray[Any],
        quantisation: Quantisation,
        threads: int = 1,
        dtype: Any = np.float32,
        order: NDArray[np.int32] | None = None,
        spare: SampleTiles | None = None,
    ) -> None:
        self.X = np.ascontiguousarray(writeable_view(X))
        self.quantisation = quantisation
        self.threads = threads
        self.dtype = np.dtype(dtype)
        self.tag = self.dtype.type(1)  # its type selects the loops' dtype
        n, d = self.X.shape
        self.depth = padded(d)
        lanes = LINE // self.dtype.itemsize
        n_blocks = -(-n // lanes)
        if order is None:
            order = np.arange(n, dtype=np.int32)
        shape = n_blocks, self.depth, lanes
        if spare is None or spare.numbers.shape != shape or spare.numbers.dtype != self.dtype:
            squares = np.zeros((n_blocks, lanes), dtype)
            bmu = np.zeros(n_blocks * lanes, np.int32)
            self.blocks = SampleTiles(aligned(shape, dtype), squares, order, bmu)
        else:
            self.blocks = spare._replace(order=order)
            spare.numbers[-1] = 0  # lanes without a sample
            spare.bmu[:] = 0
        self.packed = PackedRows(Rows.from_samples(self.X), quantisation, self.blocks)
        self._workspaces: list[Workspace] = []
        self._fill()

    @staticmethod
    def bytes_for(X: NDArray[Any], dtype: Any = np.float32) -> int:
        """Return the bytes of a packed copy of X (n, D) in blocks of a dtype."""
        n, d = X.shape
        numbers = padded(d) + 1  # with ‖x‖²
        return int(n * (numbers * np.dtype(dtype).itemsize + 8))  # 8: row and unit, int32

    @property
    def is_double(self) -> bool:
        return self.dtype.itemsize == 8

    def doubled(self) -> PackedSamples:
        """Return the same samples in blocks of float64."""
        n = len(self.X)
        order = self.blocks.order.copy()
        samples = PackedSamples(self.X, self.quantisation, self.threads, np.float64, order)
        samples.blocks.bmu[:n] = self.blocks.bmu[:n]
        return samples

    def units_by_row(self) -> Integers:
        """Return the units (n,) of the last pass."""
        units = np.empty(len(self.X), np.int64)
        units[self.blocks.order] = self.blocks.bmu[: len(units)]
        return units

    def workspaces(self, threads: int, n_panels: int) -> list[Workspace]:
        """Return a workspace for each worker, for at least ``n_panels``: a map may grow."""
        spaces = self._workspaces
        if len(spaces) < threads or len(spaces[0].nearest) < n_panels:
            capacity = 2 * n_panels + 1
            spaces[:] = [workspace(capacity, self.depth, self.dtype) for _ in range(threads)]
        return spaces

    def each(
        self,
        sums: Floats,
        hits: Integers,
        n_panels: int,
        work: Callable[[Accumulator, Workspace, int, int], None],
        is_small: bool,
    ) -> Accumulator:
        """Call ``work(accumulator, workspace, start, stop)`` for all blocks; return the totals.

        ``sums`` and ``hits`` are updated. Additions are exact, so their order does not matter.
        """
        threads = 1 if is_small else self.threads
        tasks = self._tasks(_TASK_NUMBERS)
        if is_small:
            tasks = [(0, len(self.blocks.numbers))]
        spaces = self.workspaces(threads, n_panels)
        added = []
        for worker in range(threads):
            if worker > 0:
                sums = np.zeros_like(sums)
                hits = np.zeros_like(hits)
            errors = np.zeros(len(hits), np.int64)
            counts = np.zeros(LINE // 8, np.int64)  # a cache line, which no two threads share
            added.append(Accumulator(sums, hits, errors, counts))
        share(threads, len(tasks), lambda w, task: work(added[w], spaces[w], *tasks[task]))
        first, *others = added
        for other in others:
            for total, more in zip(first, other, strict=True):
                total += more
        return first

    def sort(self, rank: NDArray[np.int32]) -> None:
        """Sort the samples by the rank (K,) of their units, so that blocks share few units."""
        blocks = self.blocks
        n = len(self.X)
        ranks = rank.astype(np.min_scalar_type(len(rank)))[blocks.bmu[:n]]
        places = np.argsort(ranks, kind="stable")
        blocks.order[:] = blocks.order[places]
        blocks.bmu[:n] = blocks.bmu[places]
        self._fill()

    def _fill(self) -> None:
        # Pack the samples in the blocks' order.
        tasks = self._tasks(_TASK_PACKED)
        lanes = self.blocks.numbers.shape[2]

        def work(worker: int, task: int) -> None:
            total = np.empty(lanes)
            addresses = np.empty(lanes, np.int64)
            pack_blocks(self.tag, self.packed, total, addresses, *tasks[task])

        share(self.threads, len(tasks), work)

    def _tasks(self, numbers: int) -> list[tuple[int, int]]:
        # The blocks of each task, with that many ``numbers`` about, as (start, stop).
        blocks = self.blocks.numbers
        tasks = 1
        if self.threads > 1:
            tasks = min(_TASKS, blocks.size // numbers + 1)
        return list(pairwise(len(blocks) * task // tasks for task in range(tasks + 1)))


# ------------------------------------------------------------------------- packed prototypes


class PrototypeTiles(NamedTuple):
    """Packed prototypes in panels: ``numbers`` (G, depth, PANEL_ROWS) = -w, ``starts`` (G, rows).

    ``ids`` (G, PANEL_ROWS) is the prototype of each slot, -1 for none; ``drift`` (G,) the sum over
    passes of the longest step of a panel's prototypes since the bounds were made; ``moves`` (K,)
    the step of each prototype since the last pass.
    """

    numbers: NDArray[Any]
    starts: NDArray[Any]
    ids: NDArray[np.int32]
    drift: NDArray[np.float32]
    moves: NDArray[np.float32]


class Accuracy(NamedTuple):
    """Error bound of a value, E(x) = constant + by_norm*‖x‖ + by_square*‖x‖².

    ``unit`` is the rounding unit of the dtype, ``largest`` the largest norm of a prototype.
    """

    constant: float
    by_norm: float
    by_square: float
    unit: float
    largest: float


def accuracy_of(d: int, dtype: Any, grid: float, largest: float) -> Accuracy:
    """Return E for samples of d features in blocks of a dtype.

    ``grid`` is the step of packed numbers, at most 2⁻⁵² for none; ``largest`` at least the norm of
    the longest packed prototype.
    """
    # tests/engine/accuracy.md derives each term, "Values".
    unit = float(np.finfo(dtype).eps) / 2
    # Of a value, with the row bits: (D + 5 + 8) u (‖w‖²/2 + ‖x‖‖w‖).
    product = _MORE * (d + 5 + (1 << ROW_BITS)) * unit
    # Of the start ‖w‖²/2 in float64 blocks without a grid, whose error nothing else covers.
    start = _MORE * (d + 1) * unit if unit == DOUBLE and grid <= 2 * DOUBLE else 0.0
    # Of half a squared distance by definition: (D + 6)/2 u₆₄ (‖x‖ + ‖w‖)².
    definition = _MORE / 2 * (d + 6) * DOUBLE
    # Of rounding the sample to the grid: √D grid/2 ‖w‖.
    rounding = _MORE / 2 * math.sqrt(d) * grid * largest
    constant = (product / 2 + definition + start / 2) * largest**2
    by_norm = (product + 2 * definition) * largest
    return Accuracy(constant + rounding + TINY, by_norm, definition, unit, largest)


def error_steps(n: int, d: int, largest: float) -> float:
    """Return how many integer steps a packed distance of 1 has in sums of errors of n samples.

    Sums of all samples fit 62 bits, and a distance 51; no packed sample is longer than √D.
    """
    _, power = math.frexp(math.sqrt(d) + largest)  # no packed distance is above 2^power
    bits = min(60 - math.ceil(math.log2(n + 1)), 51)
    return math.ldexp(1.0, bits - power)


class LowerBounds(NamedTuple):
    """Lower bounds on d(sample, panel) - d(sample, unit) by block, of its last comparison.

    ``lower`` (B, G) are bounds plus the drift up to then, see `lanes.write_lower_bound`;
    ``unit_drift`` (B,) the sum over passes of the longest step of a unit of the block's samples;
    ``accuracy`` that of the least exact pass for which they hold.
    """

    lower: NDArray[np.uint16]
    unit_drift: NDArray[np.float32]
    accuracy: Accuracy


NO_BOUNDS = LowerBounds(
    np.zeros((1, 1), np.uint16), np.zeros(1, np.float32), Accuracy(0.0, 0.0, 0.0, 0.0, 0.0)
)


@loop
def pack_prototypes(
    prototypes: Floats,
    how: Quantisation,
    before: Floats,
    packed: Floats,
    steps: Floats,
    drift: Floats,
    panels: PrototypeTiles,
    rows: NDArray[Any],
    halves: NDArray[Any],
) -> float:
    """Pack prototypes (K, D): exactly in ``packed`` (K, depth), rounded in rows and ``panels``.

    ``rows`` (K, depth) = -w and ``halves`` (K,) = ‖w‖²/2 are the contents of panels. Entries beyond
    feature D and of empty slots stay 0. Where ``before`` has the packed prototypes of the last
    pass, ``drift`` (G,) grows by the longest step of each panel's prototypes; drift and moves of
    the panels are rounded up, as bounds must not be too tight. ``steps`` (K,) is overwritten.

    Returns the largest norm, or -1 without changing panels where an entry is nan or beyond FAR.
    """
    # A step or norm of D numbers is wrong by D + 2 roundings of float64: far less than 10⁻⁹ of
    # itself. Steps are also added up over passes, with 10⁻⁶ for each.
    largest = 0.0
    moves = before.shape[0] > 0
    d = prototypes.shape[1]
    up = np.float32(np.inf)
    for j in range(prototypes.shape[0]):
        # Two sums take as long as one: their additions run in parallel.
        square = square_of_step = 0.0
        for k in range(d):
            value = (prototypes[j, k] - how.centre[k]) * how.scale
            if not abs(value) < FAR:  # also where it is nan
                return -1.0
            packed[j, k] = value
            square += value * value
            if moves:
                step = value - before[j, k]
                square_of_step += step * step
        halves[j] = 0.5 * square
        steps[j] = np.sqrt(square_of_step)
        largest = max(largest, square)
    for j in range(packed.shape[0]):
        step = steps[j] * (1 + 2e-6)
        panels.moves[j] = 0.0
        if step > 0:
            panels.moves[j] = np.nextafter(np.float32(step), up)
        for k in range(d):
            rows[j, k] = -packed[j, k]
    for g in range(panels.ids.shape[0]):
        farthest = 0.0
        for r in range(panels.ids.shape[1]):
            j = panels.ids[g, r]
            if j < 0:
                continue
            panels.starts[g, r] = halves[j]
            for k in range(d):
                panels.numbers[g, k, r] = rows[j, k]
            farthest = max(farthest, steps[j])
        drift[g] += farthest * (1 + 1e-6)
        panels.drift[g] = np.nextafter(np.float32(drift[g] * (1 + 1e-6)), up)
    return float(np.sqrt(largest) * (1 + 1e-9))


def patches(positions: Integers, rows: int) -> NDArray[np.int32]:
    """Divide neurons at ``positions`` (K, 2) into compact patches of ``rows`` neurons, (G, rows).

    Patches follow a serpentine path in strips two cells high. The last one is filled with -1.
    """
    x, y = (positions - np.minimum.reduce(positions)).T
    strip = y >> 1
    width = int(np.maximum.reduce(x)) + 1
    from_left = (strip & 1) == 0
    column = np.where(from_left, x, width - 1 - x)
    place = 2 * (strip * width + column) + (y & 1)  # on the path
    return in_rows(np.argsort(place), rows)


def in_rows(neurons: NDArray[np.intp], rows: int) -> NDArray[np.int32]:
    """Divide neurons into rows (G, rows), in order; the last one is filled with -1."""
    filled = np.full(-(-len(neurons) // rows) * rows, -1, np.int32)
    filled[: len(neurons)] = neurons
    return filled.reshape(-1, rows)


class PackedPrototypes(NamedTuple):
    """Prototypes in packed coordinates (K, depth), in panels, and the accuracy of their values.

    ``given`` (K, D) are those of the data; ``rows`` (K, depth) = -w and ``halves`` (K,) = ‖w‖²/2
    the contents of panels, by neuron.
    """

    given: Floats
    packed: Floats
    panels: PrototypeTiles
    accuracy: Accuracy
    rows: NDArray[Any]
    halves: NDArray[Any]


def packed_coordinates(prototypes: Floats, how: Quantisation) -> Floats:
    """Return the packed coordinates (K, depth) of prototypes (K, D)."""
    k, d = prototypes.shape
    packed = np.zeros((k, padded(d)))
    packed[:, :d] = (prototypes - how.centre) * how.scale
    return packed


def packed_prototypes(
    prototypes: Floats,
    how: Quantisation,
    dtype: Any,
    ids: NDArray[np.int32],
    drift: Floats,
    before: Floats | None = None,
) -> PackedPrototypes | None:
    """Pack prototypes (K, D) in panels of rows ``ids`` (G, PANEL_ROWS).

    The panels' ``drift`` (G,) grows by their steps since ``before``, the packed prototypes of the
    last pass. None where a prototype is too far from the data for packed numbers.
    """
    k, d = prototypes.shape
    n_panels = len(ids)
    depth = padded(d)
    packed = np.zeros((k, depth))
    rows = aligned((k, depth), dtype)
    halves = np.empty(k, dtype)
    panels = PrototypeTiles(
        numbers=aligned((n_panels, depth, PANEL_ROWS), dtype),
        starts=np.full(ids.shape, NO_PROTOTYPE, dtype),
        ids=ids,
        drift=np.empty(n_panels, np.float32),
        moves=np.empty(k, np.float32),
    )
    if before is None:
        before = packed[:0]
    steps = np.empty(k)
    largest = pack_prototypes(prototypes, how, before, packed, steps, drift, panels, rows, halves)
    if largest < 0:
        return None
    accuracy = accuracy_of(d, dtype, how.grid, largest)
    return PackedPrototypes(prototypes, packed, panels, accuracy, rows, halves)
