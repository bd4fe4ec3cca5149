"""Which panels a block of samples is compared with, and what settles a near tie.

See `blocks` for what blocks, panels and their coordinates are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, inner_loop
from dbgsom_core.engine.euclidean.blocks import Blocks, Panels
from dbgsom_core.engine.llvm.bounds import (
    SPARE,
    count_of,
    lowest_bit,
    margin_at,
    write_margin,
    write_tops,
)
from dbgsom_core.engine.llvm.memory import array_at
from dbgsom_core.engine.llvm.tile import (
    LINE,
    PANEL_ROWS,
    SLACKS,
    TOGETHER,
    VALUES,
    lanes_of,
    sweep_panels,
    sweep_panels_two,
)
from dbgsom_core.engine.rows import Rows, aligned, row_distance

ALL, IN_REACH = 0, 1  # which panels a block is compared with
_WORD = 64  # panels that have a bit in one number
_LARGEST = 1e38  # of float32, about
_MARGIN = 2  # bytes
_MORE = np.float32(1 + SPARE)
_NONE = 2**31 - 1


class Room(NamedTuple):
    """What one worker needs for the blocks that it is at; nothing of it lasts.

    The first ones for TOGETHER blocks (C): ``values`` (C, VALUES, lanes) are the smallest so far,
    with a last row to spare; ``rows`` (C, 2, lanes) int32 whose they are; ``places`` (C, 2, lanes)
    int32 where in the panels they are; ``nearest`` (C, G, lanes) the smallest of each
    panel; ``slack`` (C, SLACKS, lanes) how close is too close to call; ``done`` (C, words) a bit
    for each panel compared. ``tops`` (1 + SLACKS, lanes) are distances of one block, and their
    slack. ``starts`` (G, PANEL_ROWS) are those of the panels, all finite. ``whole`` and ``leading``
    (lanes,) are distances in steps, ``total`` (lanes,) is float64. ``turned`` and ``packed``
    (lanes, depth) are the samples of a block, in its dtype and, more exactly, in float64, there
    with 0 from column D on.
    """

    values: NDArray[Any]
    rows: NDArray[np.int32]
    places: NDArray[np.int32]
    nearest: NDArray[Any]
    slack: NDArray[Any]
    tops: NDArray[Any]
    done: NDArray[np.int64]
    starts: NDArray[Any]
    whole: NDArray[np.int64]
    leading: NDArray[np.int64]
    total: NDArray[np.float64]
    turned: NDArray[Any]
    packed: NDArray[np.float64]


@inlined
def _parts(n_panels: int, depth: int) -> tuple[int, ...]:
    # Where the arrays of `Room` begin in one memory, and its length, in bytes. A line holds the
    # lanes of a block's dtype, or more of four bytes; two hold those of eight.
    words = (n_panels + _WORD - 1) // _WORD
    rows = TOGETHER * VALUES * LINE
    places = rows + TOGETHER * 2 * LINE
    nearest = places + TOGETHER * 2 * LINE
    slack = nearest + TOGETHER * n_panels * LINE
    tops = slack + TOGETHER * SLACKS * LINE
    done = tops + (1 + SLACKS) * LINE
    starts = done + (TOGETHER * words * 8 + LINE - 1) // LINE * LINE
    whole = starts + n_panels * LINE
    leading = whole + 2 * LINE
    total = leading + 2 * LINE
    turned = total + 2 * LINE
    packed = turned + depth * LINE
    end = packed + 2 * depth * LINE
    return (
        0, rows, places, nearest, slack, tops, done, starts, whole, leading, total, turned, packed,
        end,
    )  # fmt: skip


def memory_for(n_panels: int, depth: int) -> NDArray[np.uint8]:
    """Return memory for the `Room` of one worker: so many panels at most, samples of a depth."""
    return aligned((_parts(n_panels, depth)[-1],), np.uint8)


class Memories:
    """The memory of each worker, used again from pass to pass, for samples of a depth."""

    def __init__(self, depth: int) -> None:
        self._depth, self._panels = depth, 0
        self._kept: list[NDArray[np.uint8]] = []

    def of(self, threads: int, n_panels: int) -> list[NDArray[np.uint8]]:
        """Return that of so many workers or more, for so many panels or more."""
        if len(self._kept) < threads or self._panels < n_panels:
            self._panels = max(n_panels + n_panels // 2, self._panels)  # for a map that grows, too
            self._kept = [memory_for(self._panels, self._depth) for _ in range(threads)]
        return self._kept


@inlined
def room_in(one: Any, memory: NDArray[np.uint8], n_panels: int, depth: int, columns: int) -> Room:
    """Return the arrays of one worker in its memory, see `memory_for`, for samples (n, columns)."""
    lanes, at, words = lanes_of(one), memory.ctypes.data, (n_panels + _WORD - 1) // _WORD
    place, whole, real = np.int32(0), np.int64(0), np.float64(0)
    parts = _parts(n_panels, depth)
    packed = array_at(real, at + parts[12], (lanes, depth))
    for lane in range(lanes):
        for k in range(columns, depth):
            packed[lane, k] = 0.0
    return Room(
        array_at(one, at + parts[0], (TOGETHER, VALUES, lanes)),
        array_at(place, at + parts[1], (TOGETHER, 2, lanes)),
        array_at(place, at + parts[2], (TOGETHER, 2, lanes)),
        array_at(one, at + parts[3], (TOGETHER, n_panels, lanes)),
        array_at(one, at + parts[4], (TOGETHER, SLACKS, lanes)),
        array_at(one, at + parts[5], (1 + SLACKS, lanes)),
        array_at(whole, at + parts[6], (TOGETHER, words)),
        array_at(one, at + parts[7], (n_panels, PANEL_ROWS)),
        array_at(whole, at + parts[8], (lanes,)),
        array_at(whole, at + parts[9], (lanes,)),
        array_at(real, at + parts[10], (lanes,)),
        array_at(one, at + parts[11], (lanes, depth)),
        packed,
    )


class Addresses(NamedTuple):
    """Where arrays begin: an argument each, where an array is seven of a compiled function."""

    numbers: int
    squares: int
    units: int
    margins: int
    panels: int
    starts: int
    ids: int
    panel_of: int
    values: int
    rows: int
    places: int
    nearest: int
    slack: int
    tops: int


@inlined
def begin(
    one: Any, blocks: Blocks, panels: Panels, margins: NDArray[np.uint16], room: Room
) -> Addresses:
    """Fill in the starts of the panels; return where the arrays of a search begin."""
    # A place that holds no prototype begins with inf. The row that the search keeps in the lowest
    # bits of a value would make that no number.
    largest = type(one)(_LARGEST)
    for g in range(panels.starts.shape[0]):
        for r in range(PANEL_ROWS):
            start = panels.starts[g, r]
            room.starts[g, r] = start if start < largest else largest
    return Addresses(
        blocks.numbers.ctypes.data,
        blocks.squares.ctypes.data,
        blocks.bmu.ctypes.data,
        margins.ctypes.data,
        panels.numbers.ctypes.data,
        room.starts.ctypes.data,
        panels.ids.ctypes.data,
        panels.panel_of.ctypes.data,
        room.values.ctypes.data,
        room.rows.ctypes.data,
        room.places.ctypes.data,
        room.nearest.ctypes.data,
        room.slack.ctypes.data,
        room.tops.ctypes.data,
    )


@inlined
def _compare(
    one: Any, places: int, b: int, i: int, together: int, which: int, first: int, depth: int,
    n_panels: int, at: Addresses,
) -> None:  # fmt: skip
    # ``together`` blocks, from the i-th of those at b on, with panel first + j for each bit j of
    # ``which``, at least one.
    lanes = lanes_of(one)
    x = at.numbers + (b + i) * depth * LINE
    values, nearest = at.values + i * VALUES * LINE, at.nearest + i * n_panels * LINE
    found = at.places + i * 2 * lanes * 4
    if places == 1:
        sweep_panels(
            one, together, x, at.panels, at.starts, depth, which, first, values, found, nearest,
            n_panels,
        )  # fmt: skip
    else:
        sweep_panels_two(
            one, together, x, at.panels, at.starts, depth, which, first, values, found, nearest,
            n_panels,
        )  # fmt: skip


@inlined
def _compare_each(
    one: Any, places: int, b: int, which: int, other: int, first: int, depth: int, n_panels: int,
    at: Addresses,
) -> int:  # fmt: skip
    # Block b with panels ``which`` and, if blocks go together, b + 1 with panels ``other``; alone
    # only with panels that the other one does not want. Returns how many comparisons of a block
    # with a panel those are.
    both = which & other
    for step in range(3):
        bits = both if step == 0 else (which if step == 1 else other) & ~both
        if bits != 0:
            i, together = step // 2, TOGETHER if step == 0 else 1
            _compare(one, places, b, i, together, bits, first, depth, n_panels, at)
    return int(count_of(which) + count_of(other))


@inlined
def _wanted(
    one: Any, b: int, mode: int, word: int, wide: int, n_panels: int,
    drift: NDArray[np.float32], slides: NDArray[np.float32], at: Addresses,
) -> int:  # fmt: skip
    # A bit for each of the 64 panels of a word with which block b may have to be compared.
    first = word * _WORD
    end = min(n_panels, first + _WORD)
    wanted: Any = np.int64(0)  # of a plain 0 numba makes a type of its own
    if mode == ALL:
        return -1 if end - first == _WORD else (1 << (end - first)) - 1
    margins, slid = at.margins + b * wide * _MARGIN, slides[b]
    for g in range(first, end):
        reaches = margin_at(margins + g * _MARGIN) <= (drift[g] + slid) * _MORE
        wanted |= int(reaches) << (g - first)
    return int(wanted)


@inlined
def compare_blocks(
    one: Any,
    places: int,
    b: int,
    together: int,
    mode: int,
    depth: int,
    wide: int,
    n_panels: int,
    drift: NDArray[np.float32],
    slides: NDArray[np.float32],
    values: NDArray[Any],
    done: NDArray[np.int64],
    at: Addresses,
) -> int:
    """Compare ``together`` blocks from ``b`` on, up to TOGETHER, with panels that can matter.

    Returns how many comparisons of a block with a panel those were. In mode IN_REACH a panel is
    left out only if none of its values can lie within 2E of the best, so that all that follows is
    the same as after comparing everything. Panels are told apart by bits first, without a branch
    for each. ``done`` gets a bit for each panel compared.
    """
    compared = 0
    for i in range(together):
        for p in range(places + 1):
            for lane in range(lanes_of(one)):
                values[i, p, lane] = np.inf
    for word in range(done.shape[1]):
        which: Any = np.int64(0)
        other: Any = np.int64(0)
        for i in range(together):
            more = _wanted(one, b + i, mode, word, wide, n_panels, drift, slides, at)
            done[i, word] = more
            which, other = (more, other) if i == 0 else (which, more)
        compared += _compare_each(one, places, b, which, other, word * _WORD, depth, n_panels, at)
    return compared


@inlined
def slide(
    b: int, used: int, units: NDArray[np.int32], lanes: int, moves: NDArray[np.float32],
    slides: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add to what block b slid how far a unit of its samples moved at most."""
    farthest = np.float32(0)
    for lane in range(used):
        farthest = max(farthest, moves[units[b * lanes + lane]])
    slides[b] = (slides[b] + farthest) * _MORE


@inlined
def keep_margins(
    one: Any, b: int, i: int, inside: int, wide: int, n_panels: int, drift: NDArray[np.float32],
    slides: NDArray[np.float32], done: NDArray[np.int64], at: Addresses,
) -> None:  # fmt: skip
    """Write the margins of block b, the i-th of those together, to all panels compared.

    The last lines of ``tops`` hold the slack of the least exact pass to come.
    """
    squares, slack = at.squares + b * LINE, at.slack + i * SLACKS * LINE
    nearest, margins = at.nearest + i * n_panels * LINE, at.margins + b * wide * _MARGIN
    write_tops(one, at.values + i * VALUES * LINE, squares, at.tops + LINE, inside, at.tops)
    for word in range(done.shape[1]):
        left = done[i, word]
        while left != 0:
            g = word * _WORD + lowest_bit(left)
            left &= left - 1
            moved = drift[g] + slides[b]
            write_margin(
                one, nearest + g * LINE, squares, slack, at.tops, moved, margins + g * _MARGIN
            )


@inner_loop
def settle(
    samples: Rows,
    i: int,
    prototypes: NDArray[np.float64],
    panels: Panels,
    done: NDArray[np.int64],
    nearest: NDArray[Any],
    place: int,
    lane: int,
    limit: float,
) -> tuple[int, float, int]:
    """Return (unit, distance, second unit) of sample i by definition.

    It lies in a lane of the block that has this ``place`` among those compared together. Only
    panels that have a bit in ``done`` are looked at, and whose ``nearest`` (C, G, lanes) lies
    within the limit.
    """
    first = second = _NONE
    nearer = farther = np.inf
    for g in range(nearest.shape[1]):
        if not done[place, g >> 6] >> (g & 63) & 1:
            continue
        if nearest[place, g, lane] > limit:
            continue
        for r in range(PANEL_ROWS):
            j: Any = np.int64(panels.ids[g, r])
            if j < 0:
                continue
            exact = row_distance(samples, i, prototypes, j)
            if exact < nearer or (exact == nearer and j < first):
                farther, second, nearer, first = nearer, first, exact, j
            elif exact < farther or (exact == farther and j < second):
                farther, second = exact, j
    return first, nearer, second
