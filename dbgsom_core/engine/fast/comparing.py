"""Which panels a block of samples is compared with, and what settles a near tie.

See `block_loops` for what blocks, panels and their coordinates are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled, inlined
from dbgsom_core.engine.fast.block_loops import Blocks, Panels, euclidean_distance
from dbgsom_core.engine.fast.lanes import (
    any_in_reach,
    count_of,
    lowest_bit,
    panels_of_units,
    write_upper_bounds,
)
from dbgsom_core.engine.fast.panel import LINE, PANEL_ROWS, compare_panel_two, lanes_of
from dbgsom_core.engine.fast.sweep import sweep_panels

ALL, IN_REACH, OWN = 0, 1, 2  # which panels a block is compared with
_WORD = 64  # panels that have a bit in one number
_LARGEST = 1e38  # of float32, about


class Room(NamedTuple):
    """What one task needs for the block that it is at.

    ``values`` (3, lanes) are the smallest so far, with a last row to spare; ``rows`` (2, lanes)
    int32 whose they are; ``places`` (lanes,) int32 where in the panels the first of them is;
    ``nearest`` (G, lanes) the smallest of each panel; ``slack`` (2, lanes) how close is too close
    to call; ``upper`` (lanes,) float32 bounds; ``done`` a bit for each panel compared; ``starts``
    those of the panels, all finite.
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
        np.empty((3, lanes), dtype),
        np.zeros((2, lanes), np.int32),
        np.zeros(lanes, np.int32),
        np.empty((n_panels, lanes), dtype),
        np.empty((2, lanes), dtype),
        np.empty(lanes, np.float32),
        np.empty((n_panels + _WORD - 1) // _WORD, np.int64),
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
    room.starts[0, 0] = room.places[0] = 0
    room.upper[0] = 0.0


@inlined
def _compare(
    one: Any, places: int, b: int, which: int, first: int, keeps: bool, depth: int, wide: int,
    at: Addresses,
) -> None:  # fmt: skip
    # One block with panel first + i for each bit i of ``which``, at least one; ``wide`` is how
    # many panels the bounds have room for.
    lanes = lanes_of(one)
    x, row = at.numbers + b * depth * LINE, LINE // lanes * PANEL_ROWS
    if places == 1:
        lower = at.bounds + b * wide * lanes * 4 if keeps else 0
        sweep_panels(
            one, x, at.panels, at.starts, depth, which, first, at.values, at.places, at.nearest,
            at.squares + b * LINE, at.slack, at.drift, lower,
        )  # fmt: skip
    else:
        while which != 0:
            g = first + lowest_bit(which)
            which &= which - 1
            w, start, near = at.panels + g * depth * row, at.starts + g * row, at.nearest + g * LINE
            ids = at.ids + g * PANEL_ROWS * 4
            compare_panel_two(one, x, w, start, depth, at.values, at.rows, ids, at.slack, near)


@inlined
def compare_block(
    one: Any,
    places: int,
    b: int,
    used: int,
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
    """Compare block ``b`` with the panels that can matter; return how many those were.

    In mode IN_REACH a panel is left out only if none of its values can lie within 2E of the best,
    so that all that follows is the same as after comparing everything. Panels are told apart by
    bits first, without a branch for each. ``done`` gets a bit for each panel compared, but not in
    mode ALL.
    """
    lanes = lanes_of(one)
    for p in range(places + 1):
        for lane in range(lanes):
            values[p, lane] = np.inf
    if mode == ALL:
        for first in range(0, n_panels, _WORD):
            every = -1 if n_panels - first >= _WORD else (1 << (n_panels - first)) - 1
            _compare(one, places, b, every, first, keeps, depth, wide, at)
        return n_panels
    compared, inside = 0, (1 << used) - 1
    for word in range(done.size):  # the panels of the block's own units give the upper bounds
        own = panels_of_units(one, at.units + b * lanes * 4, inside, at.panel_of, word * _WORD)
        done[word] = own
        if own != 0:
            compared += count_of(own)
            _compare(one, places, b, own, word * _WORD, keeps, depth, wide, at)
    squares, last = at.squares + b * LINE, at.values + (places - 1) * LINE
    write_upper_bounds(one, last, squares, at.slack, at.upper)
    for lane in range(used, lanes):
        upper[lane] = -1.0
    lower = at.bounds + b * wide * lanes * 4
    for word in range(newcomers // _WORD, done.size):
        near = np.int64(0)
        for g in range(max(newcomers, word * _WORD), min(n_panels, (word + 1) * _WORD)):
            reaches = mode == OWN or any_in_reach(one, lower + g * lanes * 4, drift[g], at.upper)
            near |= np.int64(reaches) << (g - word * _WORD)
        near &= ~done[word]
        done[word] |= near
        if near != 0:
            compared += count_of(near)
            _compare(one, places, b, near, word * _WORD, keeps, depth, wide, at)
    return compared


@compiled
def settle(
    X: NDArray[Any],
    i: int,
    prototypes: NDArray[np.float64],
    panels: Panels,
    everything: bool,
    done: NDArray[np.int64],
    nearest: NDArray[Any],
    lane: int,
    limit: float,
) -> tuple[int, float, int]:
    """Return (unit, distance, second unit) of row i by definition.

    Only panels whose ``nearest`` (G, lanes) lies within the limit are looked at, and unless
    ``everything`` was compared only those that have a bit in ``done``.
    """
    first = second = np.iinfo(np.int32).max
    nearer = farther = np.inf
    for g in range(nearest.shape[0]):
        if (not everything and not done[g >> 6] >> (g & 63) & 1) or nearest[g, lane] > limit:
            continue
        for r in range(PANEL_ROWS):
            j = panels.ids[g, r]
            if j < 0:
                continue
            exact = euclidean_distance(X, i, prototypes, j)
            if exact < nearer or (exact == nearer and j < first):
                farther, second, nearer, first = nearer, first, exact, j
            elif exact < farther or (exact == farther and j < second):
                farther, second = exact, j
    return first, nearer, second
