"""Compiled loops of the fast search: packing, comparing blocks with panels, settling near ties.

Everything here lives in *packed* coordinates: centred, scaled by a power of two so that no entry
exceeds 1, and rounded to a grid so coarse that float64 sums of all samples are exact; they are the
same bits in any order. The value of prototype w for sample x is ‖w‖²/2 - x·w, half the squared
distance less a constant of the sample. `Accuracy` bounds its error; what lies closer than that is
settled by the definition of the distance, in float64 on the samples as given.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled
from dbgsom_core.engine.panel import (
    PANEL_ROWS,
    any_in_reach,
    compare_panel,
    compare_panel_two,
    lanes_of,
)

ALL, IN_REACH, OWN = 0, 1, 2  # which panels a block is compared with

# A lower bound plus a drift is stored in float32 and the drift of later is subtracted: the three
# roundings take less than this share.
_LESS = np.float32(1 - 2.0**-21)
_MORE = np.float32(1 + 2.0**-21)


class Blocks(NamedTuple):
    """Packed samples: ``numbers`` (B, depth, lanes), their ``squares`` (B, lanes) = ‖x‖².

    ``order`` (n,) tells which row of the data sits in a place; ``bmu`` (B*lanes,) is the unit of
    the last pass, by place.
    """

    numbers: NDArray[Any]
    squares: NDArray[Any]
    order: NDArray[np.int32]
    bmu: NDArray[np.int32]


class Panels(NamedTuple):
    """Packed prototypes: ``numbers`` (G, depth, PANEL_ROWS) = -w, ``starts`` (G, PANEL_ROWS).

    ``ids`` (G, PANEL_ROWS) tells which prototype a place holds, -1 for none; ``panel_of`` (K,)
    the panel of a prototype; ``drift`` (G,) how far its prototypes moved at most since the
    bounds began, added up.
    """

    numbers: NDArray[Any]
    starts: NDArray[Any]
    ids: NDArray[np.int32]
    panel_of: NDArray[np.int32]
    drift: NDArray[np.float32]


class Accuracy(NamedTuple):
    """How wrong a value may be, E(x) = by_product*(W²/2 + ‖x‖W) + by_grid*W + by_definition*(‖x‖+W)².

    ``largest`` is W, the largest norm of a prototype; ``unit`` the rounding unit of the dtype.
    """

    largest: float
    by_product: float
    by_grid: float
    by_definition: float
    unit: float


class Tally(NamedTuple):
    """What one worker adds up: ``sums`` (K, depth), ``hits`` (K,), ``errors`` (K,), ``counts`` (2,).

    Errors are whole numbers of 1/``steps`` packed units of distance. ``counts`` holds how many
    panels were compared and how many samples changed their unit.
    """

    sums: NDArray[np.float64]
    hits: NDArray[np.int64]
    errors: NDArray[np.int64]
    counts: NDArray[np.int64]


@compiled
def pack_blocks(
    one: Any,
    X: NDArray[Any],
    centre: NDArray[np.float64],
    scale: float,
    grid: float,
    blocks: Blocks,
    start: int,
    stop: int,
) -> None:
    """Fill blocks ``start`` to ``stop`` from the rows of X (n, D) in their order."""
    numbers, squares, order = blocks.numbers, blocks.squares, blocks.order
    lanes, n, d = lanes_of(one), order.size, X.shape[1]
    steps = 1.0 / grid
    total = np.empty(lanes)
    for b in range(start, stop):
        used = min(lanes, n - b * lanes)
        total[:] = 0.0
        for k in range(d):
            middle = centre[k]
            for lane in range(used):
                value = (np.float64(X[order[b * lanes + lane], k]) - middle) * scale
                packed = np.rint(value * steps) * grid
                numbers[b, k, lane] = packed
                total[lane] += packed * packed
        for lane in range(lanes):
            squares[b, lane] = total[lane]


@compiled
def column_totals(
    X: NDArray[Any], start: int, stop: int, total: NDArray[np.float64], ends: Any
) -> None:
    """Add rows ``start`` to ``stop`` of X (n, D) to ``total`` (D,); lower and raise ``ends`` (2, D)."""
    for i in range(start, stop):
        for k in range(X.shape[1]):
            value = np.float64(X[i, k])
            total[k] += value
            ends[0, k] = min(ends[0, k], value)
            ends[1, k] = max(ends[1, k], value)


@compiled
def sorted_places(
    bmu: NDArray[np.int32], rank: NDArray[np.int32], n: int, order: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return (order (n,), bmu (n,)) sorted by the rank of the units, stable."""
    ends = np.zeros(rank.size + 1, dtype=np.int64)
    for place in range(n):
        ends[rank[bmu[place]] + 1] += 1
    for j in range(rank.size):
        ends[j + 1] += ends[j]
    new_order, new_bmu = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    for place in range(n):
        j = rank[bmu[place]]
        new_order[ends[j]], new_bmu[ends[j]] = order[place], bmu[place]
        ends[j] += 1
    return new_order, new_bmu


@compiled
def euclidean_distance(X: NDArray[Any], i: int, prototypes: NDArray[np.float64], j: int) -> float:
    """Return the distance of X[i] and prototypes[j]: the definition, added up feature by feature."""
    total = 0.0
    for k in range(X.shape[1]):
        difference = np.float64(X[i, k]) - prototypes[j, k]
        total += difference * difference
    return np.sqrt(total)


@compiled
def exact_distances(
    X: NDArray[Any],
    bmu: NDArray[Any],
    prototypes: NDArray[np.float64],
    start: int,
    stop: int,
    out: NDArray[np.float64],
) -> None:
    """Fill out (n,) with the distances of the rows of X (n, D) to their units, by definition."""
    for i in range(start, stop):
        out[i] = euclidean_distance(X, i, prototypes, bmu[i])


@compiled
def _compare_block(
    one: Any,
    places: int,
    b: int,
    used: int,
    mode: int,
    newcomers: int,
    keeps: bool,
    blocks: Blocks,
    panels: Panels,
    bounds: NDArray[np.float32],
    slack: NDArray[Any],
    values: NDArray[Any],
    rows: NDArray[np.int32],
    nearest: NDArray[Any],
    done: NDArray[np.bool_],
    upper: NDArray[np.float32],
) -> int:
    """Compare block ``b`` with the panels that can matter; return how many those were.

    ``slack`` (2, lanes) holds 2E, how close is too close to call, and the error of a squared
    distance. In mode IN_REACH a panel is left out only if none of its values can lie within 2E of
    the best, so that all that follows is the same as after comparing everything.
    """
    numbers, squares, bmu = blocks.numbers, blocks.squares, blocks.bmu
    lanes, depth, n_panels = lanes_of(one), numbers.shape[1], panels.numbers.shape[0]
    x = numbers.ctypes.data + b * depth * 64
    w, start = panels.numbers.ctypes.data, panels.starts.ctypes.data
    ids, near = panels.ids.ctypes.data, nearest.ctypes.data
    size = 64 // lanes
    w_step, start_step = depth * PANEL_ROWS * size, PANEL_ROWS * size
    best, row = values.ctypes.data, rows.ctypes.data
    low = bounds.ctypes.data + b * bounds.shape[1] * lanes * 4
    for lane in range(lanes):
        for p in range(places + 1):
            values[p, lane] = np.inf
    two = one + one
    compared = 0
    if mode == ALL:
        for g in range(n_panels):
            if places == 1:
                compare_panel(
                    one,
                    x,
                    w + g * w_step,
                    start + g * start_step,
                    depth,
                    best,
                    row,
                    ids + g * PANEL_ROWS * 4,
                    near + g * 64,
                )
            else:
                compare_panel_two(
                    one,
                    x,
                    w + g * w_step,
                    start + g * start_step,
                    depth,
                    best,
                    row,
                    ids + g * PANEL_ROWS * 4,
                    near + g * 64,
                )
        if keeps:
            for g in range(n_panels):
                for lane in range(lanes):
                    square = squares[b, lane] + two * nearest[g, lane] - slack[1, lane]
                    root = np.float32(np.sqrt(max(square, one - one)))
                    bounds[b, g, lane] = root * _LESS * _LESS + panels.drift[g] * _LESS
        return n_panels
    for g in range(n_panels):
        done[g] = False
    for lane in range(used):
        done[panels.panel_of[bmu[b * lanes + lane]]] = True
    for turn in range(2):  # first the panels of the block's own units, then those in reach
        for g in range(n_panels):
            if turn == 0:
                if not done[g]:
                    continue
            else:
                if done[g]:
                    continue
                if mode == OWN:
                    if g < newcomers:
                        continue
                elif not any_in_reach(one, low + g * lanes * 4, panels.drift[g], upper.ctypes.data):
                    continue
                done[g] = True
            if places == 1:
                compare_panel(
                    one,
                    x,
                    w + g * w_step,
                    start + g * start_step,
                    depth,
                    best,
                    row,
                    ids + g * PANEL_ROWS * 4,
                    near + g * 64,
                )
            else:
                compare_panel_two(
                    one,
                    x,
                    w + g * w_step,
                    start + g * start_step,
                    depth,
                    best,
                    row,
                    ids + g * PANEL_ROWS * 4,
                    near + g * 64,
                )
            compared += 1
            if keeps:
                for lane in range(lanes):
                    square = squares[b, lane] + two * nearest[g, lane] - slack[1, lane]
                    root = np.float32(np.sqrt(max(square, one - one)))
                    bounds[b, g, lane] = root * _LESS * _LESS + panels.drift[g] * _LESS
            if turn == 1:
                _upper_bounds(one, b, used, places, blocks, slack, values, upper)
        if turn == 0:
            _upper_bounds(one, b, used, places, blocks, slack, values, upper)
    return compared


@compiled
def _upper_bounds(
    one: Any,
    b: int,
    used: int,
    places: int,
    blocks: Blocks,
    slack: NDArray[Any],
    values: NDArray[Any],
    upper: NDArray[np.float32],
) -> None:
    # Up to which distance a prototype may still matter: its value within 2E of the last place.
    two = one + one
    for lane in range(lanes_of(one)):
        square = (
            blocks.squares[b, lane]
            + two * (values[places - 1, lane] + slack[0, lane])
            + slack[1, lane]
        )
        root = np.float32(np.sqrt(max(square, one - one))) * _MORE
        upper[lane] = root if lane < used else np.float32(-1.0)


@compiled
def _slacks(one: Any, b: int, blocks: Blocks, accuracy: Accuracy, slack: NDArray[Any]) -> None:
    # A few per cent are added for the rounding of these lines themselves.
    w, tiny = accuracy.largest, 1e-30
    for lane in range(lanes_of(one)):
        square = np.float64(blocks.squares[b, lane])
        norm = np.sqrt(square)
        error = (
            accuracy.by_product * (0.5 * w * w + norm * w)
            + accuracy.by_grid * w
            + accuracy.by_definition * (norm + w) * (norm + w)
            + tiny
        )
        slack[0, lane] = 2.02 * error
        slack[1, lane] = 2.02 * error + 4.0 * accuracy.unit * square


@compiled
def search_blocks(
    one: Any,
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    scale: float,
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
    numbers, squares, order, bmu = blocks
    lanes, n, depth, n_panels = lanes_of(one), order.size, numbers.shape[1], panels.ids.shape[0]
    values, rows = np.empty((2, lanes), dtype=numbers.dtype), np.zeros((1, lanes), dtype=np.int32)
    nearest, done = np.empty((n_panels, lanes), dtype=numbers.dtype), np.empty(n_panels, np.bool_)
    upper, slack = np.empty(lanes, dtype=np.float32), np.empty((2, lanes), dtype=numbers.dtype)
    roots = np.empty(lanes, dtype=numbers.dtype)
    two, factor = one + one, steps * scale
    compared = 0
    changed = 0
    for b in range(start, stop):
        base = b * lanes
        used = min(lanes, n - base)
        _slacks(one, b, blocks, accuracy, slack)
        compared += _compare_block(
            one,
            1,
            b,
            used,
            mode,
            newcomers,
            keeps,
            blocks,
            panels,
            bounds,
            slack,
            values,
            rows,
            nearest,
            done,
            upper,
        )
        unclear = 0
        for lane in range(lanes):
            square = squares[b, lane] + two * values[0, lane]
            # Where rounding could change the distance by a thousandth it is computed anew.
            poor = square < one * 512 * slack[1, lane]
            roots[lane] = np.sqrt(max(square, one - one))
            tie = values[1, lane] <= values[0, lane] + slack[0, lane]
            unclear += poor or tie
        for lane in range(used):
            j = rows[0, lane]
            distance = np.float64(roots[lane]) * steps
            if unclear:
                square = squares[b, lane] + two * values[0, lane]
                if values[1, lane] <= values[0, lane] + slack[0, lane]:
                    limit = values[0, lane] + slack[0, lane]
                    i = order[base + lane]
                    smallest = np.inf
                    for g in range(n_panels):
                        if (mode != ALL and not done[g]) or nearest[g, lane] > limit:
                            continue
                        for r in range(PANEL_ROWS):
                            other = panels.ids[g, r]
                            if other >= 0:
                                exact = euclidean_distance(X, i, prototypes, other)
                                if exact < smallest or (exact == smallest and other < j):
                                    smallest, j = exact, other
                    distance = smallest * factor
                elif square < one * 512 * slack[1, lane]:
                    distance = euclidean_distance(X, order[base + lane], prototypes, j) * factor
            tally.errors[j] += np.int64(distance)
            before = bmu[base + lane]
            if only_changes:
                if j == before:
                    continue
                tally.hits[before] -= 1
                for k in range(depth):
                    tally.sums[before, k] -= numbers[b, k, lane]
            changed += j != before
            bmu[base + lane] = j
            tally.hits[j] += 1
            for k in range(depth):
                tally.sums[j, k] += numbers[b, k, lane]
    tally.counts[0] += compared
    tally.counts[1] += changed


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
    out: NDArray[np.int64],
    start: int,
    stop: int,
) -> None:
    """Fill out (n, 2) with the rows of the two nearest prototypes of blocks ``start`` to ``stop``."""
    order = blocks.order
    lanes, n, n_panels = lanes_of(one), order.size, panels.ids.shape[0]
    dtype = blocks.numbers.dtype
    values, rows = np.empty((3, lanes), dtype=dtype), np.zeros((2, lanes), dtype=np.int32)
    nearest, done = np.empty((n_panels, lanes), dtype=dtype), np.empty(n_panels, np.bool_)
    upper, slack = np.empty(lanes, dtype=np.float32), np.empty((2, lanes), dtype=dtype)
    for b in range(start, stop):
        used = min(lanes, n - b * lanes)
        _slacks(one, b, blocks, accuracy, slack)
        _compare_block(
            one,
            2,
            b,
            used,
            mode,
            0,
            False,
            blocks,
            panels,
            bounds,
            slack,
            values,
            rows,
            nearest,
            done,
            upper,
        )
        for lane in range(used):
            i = order[b * lanes + lane]
            first, second = rows[0, lane], rows[1, lane]
            limit = values[1, lane] + slack[0, lane]
            if values[2, lane] <= limit or values[1, lane] <= values[0, lane] + slack[0, lane]:
                nearer, farther = np.inf, np.inf
                first = second = np.iinfo(np.int32).max
                for g in range(n_panels):
                    if (mode != ALL and not done[g]) or nearest[g, lane] > limit:
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
            out[i, 0], out[i, 1] = first, second
