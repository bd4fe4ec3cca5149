"""Compiled loops of the fast search: comparing blocks with panels, settling near ties.

See `block_loops` for what blocks, panels and their coordinates are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled, inlined
from dbgsom_core.engine.fast.block_loops import (
    Accuracy,
    Blocks,
    Frame,
    Panels,
    Tally,
    euclidean_distance,
    pack_row,
)
from dbgsom_core.engine.fast.lanes import (
    any_in_reach,
    count_of,
    lanes_other,
    lanes_with,
    lowest_bit,
    sum_of_lanes,
    write_distances,
    write_lower_bounds,
    write_slack,
    write_upper_bounds,
    write_whole,
)
from dbgsom_core.engine.fast.panel import (
    LINE,
    PANEL_ROWS,
    compare_panel,
    compare_panel_two,
    lanes_of,
)
from dbgsom_core.engine.fast.tiles import turn_tile

ALL, IN_REACH, OWN = 0, 1, 2  # which panels a block is compared with
_UNITS = 3  # errors are added up unit by unit for so many of a block, lane by lane beyond


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
    values: int
    rows: int
    nearest: int
    slack: int
    upper: int


@compiled
def addresses_of(
    blocks: Blocks,
    panels: Panels,
    bounds: NDArray[np.float32],
    values: NDArray[Any],
    rows: NDArray[np.int32],
    nearest: NDArray[Any],
    slack: NDArray[Any],
    upper: NDArray[np.float32],
) -> Addresses:
    """Return where the arrays of a search begin."""
    return Addresses(
        blocks.numbers.ctypes.data,
        blocks.squares.ctypes.data,
        blocks.bmu.ctypes.data,
        bounds.ctypes.data,
        panels.numbers.ctypes.data,
        panels.starts.ctypes.data,
        panels.ids.ctypes.data,
        values.ctypes.data,
        rows.ctypes.data,
        nearest.ctypes.data,
        slack.ctypes.data,
        upper.ctypes.data,
    )


@inlined
def _compare(
    one: Any,
    places: int,
    b: int,
    g: int,
    keeps: bool,
    depth: int,
    wide: int,
    drift: NDArray[np.float32],
    at: Addresses,
) -> None:
    # One block with one panel; ``wide`` is how many panels the bounds have room for.
    row = LINE // lanes_of(one) * PANEL_ROWS
    x = at.numbers + b * depth * LINE
    w, start = at.panels + g * depth * row, at.starts + g * row
    ids, near = at.ids + g * PANEL_ROWS * 4, at.nearest + g * LINE
    if places == 1:
        compare_panel(one, x, w, start, depth, at.values, at.rows, ids, at.slack, near)
    else:
        compare_panel_two(one, x, w, start, depth, at.values, at.rows, ids, at.slack, near)
    if keeps:
        lower = at.bounds + (b * wide + g) * lanes_of(one) * 4
        write_lower_bounds(one, near, at.squares + b * LINE, at.slack, drift[g], lower)


@inlined
def _compare_block(
    one: Any,
    places: int,
    b: int,
    used: int,
    mode: int,
    newcomers: int,
    keeps: bool,
    depth: int,
    wide: int,
    bmu: NDArray[np.int32],
    panels: Panels,
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
    lanes, n_panels, drift = lanes_of(one), panels.ids.shape[0], panels.drift
    for p in range(places + 1):
        for lane in range(lanes):
            values[p, lane] = np.inf
    if mode == ALL:
        for g in range(n_panels):
            _compare(one, places, b, g, keeps, depth, wide, drift, at)
        return n_panels
    compared = 0
    for word in range(done.size):
        own = np.int64(0)
        for lane in range(used):  # the panels of the block's own units give the upper bounds
            g = panels.panel_of[bmu[b * lanes + lane]]
            own |= np.int64(g >> 6 == word) << (g & 63)
        done[word] = own
        while own != 0:
            g = (word << 6) + lowest_bit(own)
            own &= own - 1
            compared += 1
            _compare(one, places, b, g, keeps, depth, wide, drift, at)
    squares, last = at.squares + b * LINE, at.values + (places - 1) * LINE
    write_upper_bounds(one, last, squares, at.slack, at.upper)
    for lane in range(used, lanes):
        upper[lane] = -1.0
    lower = at.bounds + b * wide * lanes * 4
    for word in range(newcomers >> 6, done.size):
        near = np.int64(0)
        first = max(newcomers - (word << 6), 0)
        for bit in range(first, min(n_panels - (word << 6), 64)):
            g = (word << 6) + bit
            reaches = mode == OWN or any_in_reach(one, lower + g * lanes * 4, drift[g], at.upper)
            near |= np.int64(reaches) << bit
        near &= ~done[word]
        done[word] |= near
        while near != 0:
            g = (word << 6) + lowest_bit(near)
            near &= near - 1
            compared += 1
            _compare(one, places, b, g, keeps, depth, wide, drift, at)
    return compared


@inlined
def slack_of_block(one: Any, squares: int, accuracy: Accuracy, slack: int) -> None:
    """Fill slack (2, lanes): 2E and 2E + 4 units of ‖x‖², for the ``squares`` of a block.

    Both are addresses.
    """
    # One per cent more for the rounding of the sum itself.
    kind = type(one)
    write_slack(
        one,
        squares,
        kind(2.02 * accuracy.constant),
        kind(2.02 * accuracy.by_norm),
        kind(2.02 * accuracy.by_square),
        kind(4 * accuracy.unit),
        slack,
    )


@compiled
def _settle(
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
    # (unit, distance, second unit) of row i by definition, among the panels within the limit.
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


@inlined
def turn_block(
    one: Any,
    b: int,
    numbers: NDArray[Any],
    numbers_at: int,
    turned: NDArray[Any],
    turned_at: int,
) -> None:
    """Fill turned (lanes, depth) with the numbers of block b, which are of the same dtype."""
    lanes, depth = turned.shape
    tiled = depth - depth % lanes
    for k in range(0, tiled, lanes):
        tile, out = numbers_at + (b * depth + k) * LINE, turned_at + k * turned.itemsize
        turn_tile(one, tile, LINE, out, depth * turned.itemsize)
    for k in range(tiled, depth):
        for lane in range(lanes):
            turned[lane, k] = numbers[b, k, lane]


@compiled
def search_blocks(
    one: Any,
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    frame: Frame,
    steps: float,
    blocks: Blocks,
    panels: Panels,
    accuracy: Accuracy,
    bounds: NDArray[np.float32],
    mode: int,
    newcomers: int,
    keeps: bool,
    only_changes: bool,
    tally: Tally,
    start: int,
    stop: int,
) -> None:
    """Find the units of blocks ``start`` to ``stop`` and add up what they won.

    Parameters
    ----------
    mode : {ALL, IN_REACH, OWN}
        Compare with all panels; with those that ``bounds`` do not exclude; with those of the last
        units and those from ``newcomers`` on.
    keeps : bool
        Write ``bounds`` (B, G, lanes): distances to panels are at least bounds - later drift.
    only_changes : bool
        Move only samples whose unit changed from one sum to the other, else add all.
    """
    numbers, _, order, bmu = blocks
    lanes, n, depth, n_panels = lanes_of(one), order.size, numbers.shape[1], panels.ids.shape[0]
    dtype = numbers.dtype
    # A last row of the values for the distances.
    values, rows = np.empty((3, lanes), dtype=dtype), np.zeros((1, lanes), dtype=np.int32)
    nearest = np.empty((n_panels, lanes), dtype=dtype)
    done = np.empty((n_panels + 63) >> 6, np.int64)
    upper, slack = np.empty(lanes, dtype=np.float32), np.empty((2, lanes), dtype=dtype)
    whole, wide = np.empty(lanes, dtype=np.int64), bounds.shape[1]
    at = addresses_of(blocks, panels, bounds, values, rows, nearest, slack, upper)
    distances, whole_at = at.values + 2 * LINE, whole.ctypes.data
    turned, alike = np.zeros((lanes, depth), X.dtype), X.itemsize == numbers.itemsize
    turned_at = turned.ctypes.data
    sums, hits, errors, _ = tally
    compared, changed, doubts = 0, 0, 0
    for b in range(start, stop):
        base = b * lanes
        used = min(lanes, n - base)
        squares, units = at.squares + b * LINE, at.units + base * 4
        slack_of_block(one, squares, accuracy, at.slack)
        compared += _compare_block(
            one, 1, b, used, mode, newcomers, keeps, depth, wide, bmu, panels, values, done,
            upper, at,
        )  # fmt: skip
        ties, poor = write_distances(one, at.values, squares, at.slack, distances)
        write_whole(one, distances, steps, whole_at)
        inside = (1 << used) - 1
        doubtful = (ties | poor) & inside
        doubts += count_of(doubtful)
        while doubtful != 0:
            lane = lowest_bit(doubtful)
            doubtful &= doubtful - 1
            i = order[base + lane]
            if ties >> lane & 1:
                limit = values[0, lane] + slack[0, lane]
                j, exact, _ = _settle(
                    X, i, prototypes, panels, mode == ALL, done, nearest, lane, limit
                )
                rows[0, lane] = j
            else:
                exact = euclidean_distance(X, i, prototypes, rows[0, lane])
            whole[lane] = np.int64(exact * (steps * frame.scale))
        left = inside
        for _ in range(_UNITS):
            if left == 0:
                break
            j = rows[0, lowest_bit(left)]
            same = lanes_with(one, at.rows, j) & left
            left &= ~same
            errors[j] += sum_of_lanes(one, whole_at, same)
        while left != 0:
            lane = lowest_bit(left)
            left &= left - 1
            errors[rows[0, lane]] += whole[lane]
        moved = lanes_other(one, at.rows, units) & inside
        changed += count_of(moved)
        if not only_changes:
            moved = inside
        if moved != 0 and alike:
            turn_block(one, b, numbers, at.numbers, turned, turned_at)
        while moved != 0:
            lane = lowest_bit(moved)
            moved &= moved - 1
            j, before = rows[0, lane], bmu[base + lane]
            bmu[base + lane] = j
            if not alike:
                pack_row(X, order[base + lane], frame, turned[lane])
            if only_changes:
                hits[before] -= 1
                for k in range(depth):
                    sums[before, k] -= turned[lane, k]
            hits[j] += 1
            for k in range(depth):
                sums[j, k] += turned[lane, k]
    tally.counts[0] += compared
    tally.counts[1] += changed
    tally.counts[2] += doubts


@compiled
def nearest_two_blocks(
    one: Any,
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    blocks: Blocks,
    panels: Panels,
    accuracy: Accuracy,
    bounds: NDArray[np.float32],
    mode: int,
    out: NDArray[np.int32],
    start: int,
    stop: int,
) -> int:
    """Fill out (n, 2) with the two nearest prototypes of blocks ``start`` to ``stop``.

    Returns how many samples were in doubt.
    """
    order = blocks.order
    lanes, n, n_panels = lanes_of(one), order.size, panels.ids.shape[0]
    dtype = blocks.numbers.dtype
    depth, wide, bmu = blocks.numbers.shape[1], bounds.shape[1], blocks.bmu
    values, rows = np.empty((3, lanes), dtype=dtype), np.zeros((2, lanes), dtype=np.int32)
    nearest = np.empty((n_panels, lanes), dtype=dtype)
    done = np.empty((n_panels + 63) >> 6, np.int64)
    upper, slack = np.empty(lanes, dtype=np.float32), np.empty((2, lanes), dtype=dtype)
    at = addresses_of(blocks, panels, bounds, values, rows, nearest, slack, upper)
    doubts = 0
    for b in range(start, stop):
        used = min(lanes, n - b * lanes)
        slack_of_block(one, at.squares + b * LINE, accuracy, at.slack)
        _compare_block(
            one, 2, b, used, mode, 0, False, depth, wide, bmu, panels, values, done, upper, at
        )
        for lane in range(used):
            i = order[b * lanes + lane]
            first, second = np.int64(rows[0, lane]), np.int64(rows[1, lane])
            limit = values[1, lane] + slack[0, lane]
            if values[2, lane] <= limit or values[1, lane] <= values[0, lane] + slack[0, lane]:
                doubts += 1
                first, _, second = _settle(
                    X, i, prototypes, panels, mode == ALL, done, nearest, lane, limit
                )
            out[i, 0], out[i, 1] = first, second
    return doubts
