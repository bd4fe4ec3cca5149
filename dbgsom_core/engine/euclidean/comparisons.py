"""Which panels a block of samples is compared with, and what settles a near tie.

See `blocks` for what blocks, panels and their coordinates are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled, inlined
from dbgsom_core.engine.euclidean.blocks import Blocks, Panels
from dbgsom_core.engine.llvm.bounds import (
    any_in_reach,
    count_of,
    lowest_bit,
    panels_of_units,
    write_upper_bounds,
)
from dbgsom_core.engine.llvm.compare import sweep_panels
from dbgsom_core.engine.llvm.panel import (
    LINE,
    PANEL_ROWS,
    SLACKS,
    TOGETHER,
    VALUES,
    compare_panel_two,
    lanes_of,
)
from dbgsom_core.engine.loops import euclidean_distance

ALL, IN_REACH, OWN = 0, 1, 2  # which panels a block is compared with
_WORD = 64  # panels that have a bit in one number
_LARGEST = 1e38  # of float32, about


class Room(NamedTuple):
    """What one task needs for the blocks that it is at.

    Each but the last for TOGETHER blocks (C): ``values`` (C, VALUES, lanes) are the smallest so
    far, with a last row to spare; ``rows`` (C, 2, lanes) int32 whose they are; ``places``
    (C, lanes) int32 where in the panels the first of them is; ``nearest`` (C, G, lanes) the
    smallest of each panel; ``slack`` (C, SLACKS, lanes) how close is too close to call; ``upper``
    (C, lanes) float32 bounds; ``done`` a bit for each panel compared; ``starts`` those of the
    panels, all finite.
    """

    values: NDArray[Any]
    rows: NDArray[np.int32]
    places: NDArray[np.int32]
    nearest: NDArray[Any]
    slack: NDArray[Any]
    upper: NDArray[np.float32]
    done: NDArray[np.int64]
    starts: NDArray[Any]


class Addresses(NamedTuple):
    """Where arrays begin.

    Asking an array of a tuple for its address counts a reference, an atomic step of memory that
    costs as much as a comparison: it is done once a task. Arrays whose addresses are used must be
    used themselves later on, or numba frees them.
    """

    numbers: int
    squares: int
    units: int
    bounds: int
    panels: int
    starts: int
    ids: int
    panel_of: int
    drift: int
    values: int
    rows: int
    places: int
    nearest: int
    slack: int
    upper: int


@compiled
def room_for(one: Any, panels: Panels) -> Room:
    """Return the memory of one task."""
    lanes, n_panels, dtype = lanes_of(one), panels.ids.shape[0], panels.numbers.dtype
    # A place that holds no prototype begins with inf. The row that the search keeps in the lowest
    # bits of a value would make that no number. Here and elsewhere loops stand for functions of
    # whole arrays: with them numba would need 0.1 s to load what is cached.
    starts, largest = np.empty(panels.starts.shape, dtype), type(one)(_LARGEST)
    for g in range(n_panels):
        for r in range(PANEL_ROWS):
            starts[g, r] = min(panels.starts[g, r], largest)
    return Room(
        np.empty((TOGETHER, VALUES, lanes), dtype),
        np.zeros((TOGETHER, 2, lanes), np.int32),
        np.zeros((TOGETHER, lanes), np.int32),
        np.empty((TOGETHER, n_panels, lanes), dtype),
        np.empty((TOGETHER, SLACKS, lanes), dtype),
        np.empty((TOGETHER, lanes), np.float32),
        np.empty((TOGETHER, (n_panels + _WORD - 1) // _WORD), np.int64),
        starts,
    )


@compiled
def addresses_of(
    blocks: Blocks, panels: Panels, bounds: NDArray[np.float32], room: Room
) -> Addresses:
    """Return where the arrays of a search begin."""
    return Addresses(
        blocks.numbers.ctypes.data,
        blocks.squares.ctypes.data,
        blocks.bmu.ctypes.data,
        bounds.ctypes.data,
        panels.numbers.ctypes.data,
        room.starts.ctypes.data,
        panels.ids.ctypes.data,
        panels.panel_of.ctypes.data,
        panels.drift.ctypes.data,
        room.values.ctypes.data,
        room.rows.ctypes.data,
        room.places.ctypes.data,
        room.nearest.ctypes.data,
        room.slack.ctypes.data,
        room.upper.ctypes.data,
    )


@inlined
def hold(room: Room) -> None:
    """Keep the arrays whose addresses alone are used until here."""
    room.starts[0, 0] = room.places[0, 0] = 0
    room.upper[0, 0] = 0.0


@inlined
def _compare(
    one: Any, places: int, b: int, i: int, together: int, which: int, first: int, keeps: bool,
    depth: int, wide: int, n_panels: int, at: Addresses,
) -> None:  # fmt: skip
    # ``together`` blocks, from the i-th of those at b on, with panel first + j for each bit j of
    # ``which``, at least one; ``wide`` is how many panels the bounds have room for.
    lanes = lanes_of(one)
    x, row = at.numbers + (b + i) * depth * LINE, LINE // lanes * PANEL_ROWS
    values, nearest = at.values + i * VALUES * LINE, at.nearest + i * n_panels * LINE
    slack = at.slack + i * SLACKS * LINE
    if places == 1:
        lower = at.bounds + (b + i) * wide * lanes * 4 if keeps else 0
        sweep_panels(
            one, together, x, at.panels, at.starts, depth, which, first, values,
            at.places + i * lanes * 4, nearest, at.squares + (b + i) * LINE, slack, at.drift,
            lower, n_panels, wide,
        )  # fmt: skip
    else:
        while which != 0:
            g = first + lowest_bit(which)
            which &= which - 1
            compare_panel_two(
                one, together, x, at.panels + g * depth * row, at.starts + g * row, depth, values,
                at.rows + i * 2 * lanes * 4, at.ids + g * PANEL_ROWS * 4, slack,
                nearest + g * LINE, n_panels,
            )  # fmt: skip


@inlined
def _compare_each(
    one: Any, places: int, b: int, which: int, other: int, first: int, keeps: bool, depth: int,
    wide: int, n_panels: int, at: Addresses,
) -> int:  # fmt: skip
    # Block b with panels ``which`` and, if blocks go together, b + 1 with panels ``other``; alone
    # only with panels that the other one does not want. Returns how many comparisons of a block
    # with a panel those are.
    both = which & other
    for step in range(3):
        bits = both if step == 0 else (which if step == 1 else other) & ~both
        if bits != 0:
            i, together = step // 2, TOGETHER if step == 0 else 1
            _compare(one, places, b, i, together, bits, first, keeps, depth, wide, n_panels, at)
    return int(count_of(which) + count_of(other))


@inlined
def _wanted(
    one: Any, b: int, i: int, n: int, mode: int, phase: int, newcomers: int, word: int, wide: int,
    n_panels: int, drift: NDArray[np.float32], at: Addresses,
) -> int:  # fmt: skip
    # A bit for each of the 64 panels of a word with which block b + i may have to be compared.
    lanes, base, first = lanes_of(one), (b + i) * lanes_of(one), word * _WORD
    if mode == ALL:
        return -1 if n_panels - first >= _WORD else (1 << (n_panels - first)) - 1
    if phase == 0:  # the panels of the samples' own units give the upper bounds
        inside = (1 << min(lanes, n - base)) - 1
        return int(panels_of_units(one, at.units + base * 4, inside, at.panel_of, first))
    wanted, upper = 0, at.upper + i * lanes * 4
    lower = at.bounds + base * wide * 4
    for g in range(max(newcomers, first), min(n_panels, first + _WORD)):
        reaches = mode == OWN or any_in_reach(one, lower + g * lanes * 4, drift[g], upper)
        wanted |= int(reaches) << (g - first)
    return wanted


@inlined
def compare_blocks(
    one: Any,
    places: int,
    b: int,
    together: int,
    n: int,
    mode: int,
    newcomers: int,
    keeps: bool,
    depth: int,
    wide: int,
    n_panels: int,
    drift: NDArray[np.float32],
    values: NDArray[Any],
    done: NDArray[np.int64],
    upper: NDArray[np.float32],
    at: Addresses,
) -> int:
    """Compare ``together`` blocks from ``b`` on, up to TOGETHER, with panels that can matter.

    Returns how many comparisons of a block with a panel those were. In mode IN_REACH a panel is
    left out only if none of its values can lie within 2E of the best, so that all that follows is
    the same as after comparing everything. Panels are told apart by bits first, without a branch
    for each. ``done`` gets a bit for each panel compared; ``n`` is how many samples there are.
    """
    lanes, words, compared = lanes_of(one), done.shape[1], 0
    for i in range(together):
        for p in range(places + 1):
            for lane in range(lanes):
                values[i, p, lane] = np.inf
        for word in range(words):
            done[i, word] = 0
    for phase in range(1 if mode == ALL else 2):
        for i in range(together if phase == 1 else 0):
            last = at.values + (i * VALUES + places - 1) * LINE
            squares, slack = at.squares + (b + i) * LINE, at.slack + i * SLACKS * LINE
            write_upper_bounds(one, last, squares, slack, at.upper + i * lanes * 4)
            for lane in range(min(lanes, n - (b + i) * lanes), lanes):
                upper[i, lane] = -1.0
        for word in range(newcomers // _WORD if phase == 1 else 0, words):
            which: Any = np.int64(0)  # of a plain 0 numba makes a type of its own
            other: Any = np.int64(0)
            for i in range(together):
                more = _wanted(
                    one, b, i, n, mode, phase, newcomers, word, wide, n_panels, drift, at
                )
                more &= ~done[i, word]
                done[i, word] |= more
                which, other = (more, other) if i == 0 else (which, more)
            compared += _compare_each(
                one, places, b, which, other, word * _WORD, keeps, depth, wide, n_panels, at
            )
    return compared


@compiled
def settle(
    X: NDArray[Any],
    i: int,
    prototypes: NDArray[np.float64],
    panels: Panels,
    done: NDArray[np.int64],
    nearest: NDArray[Any],
    place: int,
    lane: int,
    limit: float,
) -> tuple[int, float, int]:
    """Return (unit, distance, second unit) of row i by definition.

    It lies in a lane of the block that has this ``place`` among those compared together. Only
    panels that have a bit in ``done`` are looked at, and whose ``nearest`` (C, G, lanes) lies
    within the limit.
    """
    first = second = np.iinfo(np.int32).max
    nearer = farther = np.inf
    for g in range(nearest.shape[1]):
        if not done[place, g >> 6] >> (g & 63) & 1:
            continue
        if nearest[place, g, lane] > limit:
            continue
        for r in range(PANEL_ROWS):
            j = int(panels.ids[g, r])
            if j < 0:
                continue
            exact = euclidean_distance(X, i, prototypes, j)
            if exact < nearer or (exact == nearer and j < first):
                farther, second, nearer, first = nearer, first, exact, j
            elif exact < farther or (exact == farther and j < second):
                farther, second = exact, j
    return first, nearer, second
