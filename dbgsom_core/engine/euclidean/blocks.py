"""What the fast search works on: samples in blocks, prototypes in panels, and how they are packed.

Everything here lives in *packed* coordinates: centred, scaled by a power of two so that no entry
exceeds 1, and rounded to a grid so coarse that float64 sums of all samples are exact; they are the
same bits in any order. The value of prototype w for sample x is ‖w‖²/2 - x·w, half the squared
distance less a constant of the sample. `Accuracy` bounds its error; what lies closer than that is
settled by the definition of the distance, in float64 on the samples as given.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, loop
from dbgsom_core.engine.llvm.tile import LINE, ROW_BITS, lanes_of
from dbgsom_core.engine.llvm.transpose import fetch_line, pack_tile
from dbgsom_core.engine.rows import Rows, number_at

_AHEAD = 1
_FETCHED = 512  # bytes of a row, at most
# How wrong values may be, as tests/engine/accuracy.md derives it:
DOUBLE = 2.0**-53  # the rounding unit of float64, u₆₄ above
_MORE = 1.02  # for products of errors, which the derivation leaves out
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

    ``ids`` (G, PANEL_ROWS) tells which prototype a place holds, -1 for none; ``panel_of`` (K,)
    the panel of a prototype; ``drift`` (G,) how far its prototypes moved at most since the
    margins began, added up; ``moves`` (K,) how far each prototype moved since the last pass.
    """

    numbers: NDArray[Any]
    starts: NDArray[Any]
    ids: NDArray[np.int32]
    panel_of: NDArray[np.int32]
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


def error_steps(shape: tuple[int, ...], accuracy: Accuracy) -> float:
    """Return steps of packed distances of samples (n, d): sums of n fit 62 bits, and one 51.

    No packed sample with d features is longer than √d.
    """
    n, d = shape
    _, power = math.frexp(math.sqrt(d) + accuracy.largest)
    return math.ldexp(1.0, min(60 - math.ceil(math.log2(n + 1)), 51) - power)


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

    Errors are whole numbers of 1/``steps`` packed units of distance. ``counts`` holds how many
    panels were compared, how many samples changed their unit, and how many were in doubt.
    """

    sums: NDArray[np.float64]
    hits: NDArray[np.int64]
    errors: NDArray[np.int64]
    counts: NDArray[np.int64]


NO_MARGINS = Margins(
    np.zeros((1, 1), np.uint16), np.zeros(1, np.float32), Accuracy(0.0, 0.0, 0.0, 0.0, 0.0)
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

    ``total`` and ``rows`` (lanes,) are room.
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


@loop
def count_ranks(
    bmu: NDArray[np.int32], rank: NDArray[np.int32], start: int, stop: int, out: NDArray[np.int64]
) -> None:
    """Add to out (K,) how many of the places ``start`` to ``stop`` have a unit of each rank."""
    for place in range(start, stop):
        out[rank[bmu[place]]] += 1


@loop
def move_places(
    order: NDArray[np.int32],
    bmu: NDArray[np.int32],
    rank: NDArray[np.int32],
    start: int,
    stop: int,
    ends: NDArray[np.int64],
    new_order: NDArray[np.int32],
    new_bmu: NDArray[np.int32],
) -> None:
    """Copy places ``start`` to ``stop`` to where ``ends`` (K,) tells for the rank of their unit.

    ``new_order`` and ``new_bmu`` (n,) are filled; ``ends`` is advanced.
    """
    for place in range(start, stop):
        j = rank[bmu[place]]
        new_order[ends[j]], new_bmu[ends[j]] = order[place], bmu[place]
        ends[j] += 1
