"""Compiled passes: panels to compare with a block, its units, and sums by unit.

Lanes and panels are selected by bits of an int64, from the lowest on: ``left &= left - 1`` removes
the lowest one. A block's panels are compared first, all of them or those within bounds; then lanes
that are ambiguous are compared exactly; then the sums of those that changed their unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import Floats, Integers, inlined, inner_loop, loop
from dbgsom_core.engine.lanes import (
    SPARE,
    count_of,
    distances_of,
    fetch_line,
    lanes_of,
    lanes_other,
    lanes_with,
    lowest_bit,
    read_lower_bound,
    ties_of,
    write_lower_bound,
    write_slack,
    write_upper_bounds,
)
from dbgsom_core.engine.packing import (
    NEAR,
    OF_SQUARES,
    TWICE,
    Accumulator,
    Accuracy,
    LowerBounds,
    PackedPrototypes,
    PackedRows,
    PrototypeTiles,
    Rows,
    SampleTiles,
    Workspace,
    pack_row,
    row_distance,
    squares_at,
    tile_at,
)
from dbgsom_core.engine.tile import LINE, PANEL_ROWS, ROW_BITS, sweep_panels

ALL = 0  # mode: compare all panels
IN_REACH = 1  # mode: compare the panels within bounds
_WORD = 64  # panels per word of bits
_BOUND = 2  # bytes of a lower bound
_MORE = np.float32(1 + SPARE)  # drifts are rounded up, so that no bound is too high
_NONE = 2**31 - 1  # above every prototype: at the same distance any of them comes first


@inlined
def compare_block(
    tag: Any, n_best: int, b: int, mode: int, tiles: SampleTiles, panels: PrototypeTiles,
    bounds: LowerBounds, space: Workspace,
) -> int:  # fmt: skip
    """Compare block b with panels by ``mode``; return how many were compared.

    In mode IN_REACH a panel is skipped only if none of its values can be within 2E of the smallest,
    so that results are those of ALL. Panels are selected as bits, without branches. ``space.done``
    gets a bit for each panel compared.
    """
    n_panels = panels.ids.shape[0]
    wide = bounds.lower.shape[1]
    compared = 0
    bounds_at = bounds.lower.ctypes.data + b * wide * _BOUND
    for p in range(n_best + 1):
        for lane in range(lanes_of(tag)):
            space.values[p, lane] = np.inf
    for word in range((n_panels + _WORD - 1) // _WORD):
        first = word * _WORD
        end = min(n_panels, first + _WORD)
        which: Any = np.int64(0)  # numba types a plain 0 as a literal
        if mode == IN_REACH:
            for g in range(first, end):
                drift = (panels.drift[g] + bounds.unit_drift[b]) * _MORE
                is_near = read_lower_bound(tag, bounds_at + g * _BOUND) <= drift
                which |= int(is_near) << (g - first)
        elif end - first == _WORD:
            which = np.int64(-1)
        else:
            which = np.int64((1 << (end - first)) - 1)
        space.done[word] = which
        if which != 0:
            sweep_panels(
                tag, n_best, tile_at(tiles, b), panels.numbers.ctypes.data,
                panels.starts.ctypes.data, tiles.numbers.shape[1], which, first,
                space.values.ctypes.data, space.slots.ctypes.data, space.nearest.ctypes.data,
            )  # fmt: skip
        compared += count_of(tag, which)
    return compared


@inlined
def write_units(panels: PrototypeTiles, space: Workspace, p: int) -> None:
    """Fill ``space.rows[p]`` with the prototypes in the slots ``space.slots[p]``."""
    for lane in range(space.slots.shape[1]):
        slot = space.slots[p, lane]
        space.rows[p, lane] = panels.ids[slot >> ROW_BITS, slot & ((1 << ROW_BITS) - 1)]


@inlined
def store_lower_bounds(
    tag: Any, b: int, inside: int, tiles: SampleTiles, panels: PrototypeTiles, bounds: LowerBounds,
    space: Workspace,
) -> None:  # fmt: skip
    """Write the lower bounds of block b for all panels compared."""
    squares = squares_at(tiles, b)
    slack = space.slack.ctypes.data
    upper = space.upper.ctypes.data
    upper_slack = space.upper.ctypes.data + LINE
    nearest = space.nearest.ctypes.data
    bounds_at = bounds.lower.ctypes.data + b * bounds.lower.shape[1] * _BOUND
    slack_of_block(tag, squares, bounds.accuracy, upper_slack)  # of the least exact pass to come
    write_upper_bounds(tag, space.values.ctypes.data, squares, upper_slack, inside, upper)
    for word in range((panels.ids.shape[0] + _WORD - 1) // _WORD):
        left = space.done[word]
        while left != 0:
            g = word * _WORD + lowest_bit(tag, left)
            left &= left - 1
            drift = panels.drift[g] + bounds.unit_drift[b]
            bound_at = bounds_at + g * _BOUND
            write_lower_bound(tag, nearest + g * LINE, squares, slack, upper, drift, bound_at)


@inner_loop
def recheck_exactly(
    samples: Rows, i: int, prototypes: Floats, panels: PrototypeTiles, space: Workspace, lane: int,
    limit: float,
) -> tuple[int, int]:  # fmt: skip
    """Return the nearest and the second nearest unit of sample i, in a lane, by exact distances.

    Among panels that were compared and whose smallest value is within ``limit``.
    """
    first = second = _NONE
    nearer = farther = np.inf
    for g in range(panels.ids.shape[0]):
        word = space.done[g >> 6]  # of 64 panels
        was_compared = word >> (g & 63) & 1
        if not was_compared or space.nearest[g, lane] > limit:
            continue
        for r in range(PANEL_ROWS):
            j: Any = np.int64(panels.ids[g, r])
            if j < 0:
                continue
            exact = row_distance(samples, i, prototypes, j)
            if exact < nearer or (exact == nearer and j < first):
                farther = nearer
                second = first
                nearer = exact
                first = j
            elif exact < farther or (exact == farther and j < second):
                farther = exact
                second = j
    return first, second


@inlined
def slack_of_block(tag: Any, squares: int, accuracy: Accuracy, slack: int) -> None:
    """Fill slack (2, lanes): 2E and 2E + 4 units of ‖x‖², for the ``squares`` of a block.

    Both are addresses.
    """
    real = type(tag)
    constant = real(TWICE * accuracy.constant)
    by_norm = real(TWICE * accuracy.by_norm)
    by_square = real(TWICE * accuracy.by_square)
    write_slack(tag, squares, constant, by_norm, by_square, real(OF_SQUARES * accuracy.unit), slack)


@inlined
def move_samples(
    tag: Any, data: PackedRows, b: int, moved: int, units: NDArray[np.int32],
    known: NDArray[np.int32], only_changes: bool, added: Accumulator, space: Workspace,
) -> None:  # fmt: skip
    """Add the samples of block b with a bit in ``moved`` to the sums of their ``units`` (lanes,).

    ``known`` (B*lanes,) are the former units by slot, overwritten; with ``only_changes`` samples
    are subtracted from their sums.
    """
    samples = data.rows
    numbers = data.tiles.numbers
    row = space.packed[0]
    sums = added.sums
    hits = added.hits
    is_packed_alike = samples.size == numbers.itemsize  # else blocks are rounded to float32
    while moved != 0:
        lane = lowest_bit(tag, moved)
        moved &= moved - 1
        slot = b * lanes_of(tag) + lane
        unit = units[lane]
        former = known[slot]
        known[slot] = unit
        if is_packed_alike:
            for k in range(row.size):
                row[k] = numbers[b, k, lane]
        else:
            pack_row(samples, data.tiles.order[slot], data.how, row)
        if only_changes:
            hits[former] -= 1
            for k in range(row.size):
                sums[former, k] -= row[k]
        hits[unit] += 1
        for k in range(row.size):
            sums[unit, k] += row[k]


@inlined
def add_errors(
    tag: Any, data: PackedRows, b: int, inside: int, prototypes: PackedPrototypes, steps: float,
    units: NDArray[np.int32], errors: Integers, space: Workspace,
) -> None:  # fmt: skip
    """Add the packed distances of the samples of block b to the errors of their ``units`` (lanes,).

    They are in whole ``steps``. Small ones are computed from all digits of the sample.
    """
    samples = data.rows
    tiles = data.tiles
    packed = prototypes.packed
    depth = tiles.numbers.shape[1]
    block = tile_at(tiles, b)
    first_at = packed.ctypes.data
    size = depth * 8  # bytes of a prototype
    near = -1.0  # no square is below it
    if samples.size == 8:
        near = NEAR * prototypes.accuracy.largest**2
    left = inside
    close = np.int64(0)
    while left != 0:  # up to three units at a time: most blocks have no more
        j, lanes_j = _unit_of(tag, units, left)
        left &= ~lanes_j
        row_j = first_at + j * size
        if left == 0:
            error_j, near_lanes = distances_of(tag, block, (row_j,), (lanes_j,), depth, near, steps)
            errors[j] += error_j
        else:
            k, lanes_k = _unit_of(tag, units, left)
            left &= ~lanes_k
            m = k  # where there are two units the third has no lane
            lanes_m = np.int64(0)
            if left != 0:
                m, lanes_m = _unit_of(tag, units, left)
            left &= ~lanes_m
            rows = row_j, first_at + k * size, first_at + m * size
            error_j, error_k, error_m, near_lanes = distances_of(
                tag, block, rows, (lanes_j, lanes_k, lanes_m), depth, near, steps
            )
            errors[j] += error_j
            errors[k] += error_k
            errors[m] += error_m
        close |= near_lanes
    row = space.packed[0]
    while close != 0:
        lane = lowest_bit(tag, close)
        close &= close - 1
        unit = units[lane]
        pack_row(samples, np.int64(tiles.order[b * lanes_of(tag) + lane]), data.how, row)
        square = 0.0
        for k in range(samples.columns):
            square += (row[k] - packed[unit, k]) ** 2
        errors[unit] += np.int64(np.rint(np.sqrt(square) * steps))


@inlined
def _unit_of(tag: Any, units: NDArray[np.int32], lanes: int) -> tuple[int, int]:
    # The unit of the first lane, and bits of all lanes with the same unit.
    unit = units[lowest_bit(tag, lanes)]
    return int(unit), lanes_with(tag, units.ctypes.data, unit) & lanes


@inlined
def lanes_inside(tag: Any, tiles: SampleTiles, b: int) -> int:
    """Return a bit for each lane of block b that has a sample."""
    return (1 << min(lanes_of(tag), tiles.order.size - b * lanes_of(tag))) - 1


@loop
def error_blocks(
    tag: Any, data: PackedRows, prototypes: PackedPrototypes, steps: float, errors: Integers,
    space: Workspace,
) -> None:  # fmt: skip
    """Add the distances of the samples of all blocks to the errors (K,) of their units."""
    tiles = data.tiles
    lanes = lanes_of(tag)
    for b in range(tiles.numbers.shape[0]):
        units = tiles.bmu[b * lanes : (b + 1) * lanes]
        inside = lanes_inside(tag, tiles, b)
        add_errors(tag, data, b, inside, prototypes, steps, units, errors, space)


@inlined
def add_unit_drift(
    tag: Any, b: int, tiles: SampleTiles, panels: PrototypeTiles, bounds: LowerBounds
) -> None:
    """Add the longest step of the units of block b since the last pass to its drift."""
    start = b * lanes_of(tag)
    stop = min(start + lanes_of(tag), tiles.order.size)
    farthest = np.float32(0)
    for slot in range(start, stop):
        farthest = max(farthest, panels.moves[tiles.bmu[slot]])
    bounds.unit_drift[b] = (bounds.unit_drift[b] + farthest) * _MORE


@loop
def search_blocks(
    tag: Any, data: PackedRows, prototypes: PackedPrototypes, steps: float, bounds: LowerBounds,
    mode: int, keeps: bool, only_changes: bool, added: Accumulator, space: Workspace, start: int,
    stop: int,
) -> None:  # fmt: skip
    """Find the units of blocks ``start`` to ``stop`` and sum the samples by unit.

    In mode IN_REACH panels with positive ``bounds`` are skipped. With ``keeps`` bounds are written
    for the panels compared, with ``only_changes`` samples with another unit move between sums, else
    all are added. Errors are in whole ``steps``, see `error_steps`.
    """
    tiles = data.tiles
    panels = prototypes.panels
    values = space.values
    rows = space.rows
    lanes = lanes_of(tag)
    bmu = tiles.bmu
    compared = 0
    changed = 0
    ambiguous = 0
    for b in range(start, stop):
        base = b * lanes
        inside = lanes_inside(tag, tiles, b)
        if keeps:
            # With few panels memory is the limit, and hardware prefetching stops at each page:
            # prefetch the next block, which need not exist.
            for k in range(tiles.numbers.shape[1]):
                fetch_line(tag, tile_at(tiles, b + 1) + k * LINE)
            add_unit_drift(tag, b, tiles, panels, bounds)
        slack_of_block(tag, squares_at(tiles, b), prototypes.accuracy, space.slack.ctypes.data)
        compared += compare_block(tag, 1, b, mode, tiles, panels, bounds, space)
        write_units(panels, space, 0)
        if keeps:
            store_lower_bounds(tag, b, inside, tiles, panels, bounds, space)
        ties = ties_of(tag, values.ctypes.data, space.slack.ctypes.data) & inside
        ambiguous += count_of(tag, ties)
        while ties != 0:
            lane = lowest_bit(tag, ties)
            ties &= ties - 1
            row = np.int64(tiles.order[base + lane])
            limit = values[0, lane] + space.slack[0, lane]
            rows[0, lane], _ = recheck_exactly(
                data.rows, row, prototypes.given, panels, space, lane, limit
            )
        add_errors(tag, data, b, inside, prototypes, steps, rows[0], added.errors, space)
        moved = lanes_other(tag, rows.ctypes.data, bmu.ctypes.data + base * 4) & inside
        changed += count_of(tag, moved)
        if not only_changes:
            moved = inside
        move_samples(tag, data, b, moved, rows[0], bmu, only_changes, added, space)
    added.counts[0] += compared
    added.counts[1] += changed
    added.counts[2] += ambiguous


@loop
def nearest_blocks(
    tag: Any, n_best: int, data: PackedRows, prototypes: PackedPrototypes, bounds: LowerBounds,
    out: NDArray[np.int32], space: Workspace,
) -> int:  # fmt: skip
    """Fill out (n, n_best) with the 1 or 2 nearest prototypes; return the ambiguous samples."""
    tiles = data.tiles
    panels = prototypes.panels
    values = space.values
    rows = space.rows
    order = tiles.order
    lanes = lanes_of(tag)
    ambiguous = 0
    for b in range(tiles.numbers.shape[0]):
        slack_of_block(tag, squares_at(tiles, b), prototypes.accuracy, space.slack.ctypes.data)
        compare_block(tag, n_best, b, ALL, tiles, panels, bounds, space)
        for p in range(n_best):
            write_units(panels, space, p)
        for lane in range(min(lanes, order.size - b * lanes)):
            row = np.int64(order[b * lanes + lane])
            first = np.int64(rows[0, lane])
            second = np.int64(rows[1, lane])
            first_value = np.float64(values[0, lane])
            second_value = np.float64(values[1, lane])
            slack = np.float64(space.slack[0, lane])
            is_ambiguous = second_value <= first_value + slack
            limit = first_value + slack
            if n_best == 2:
                third_value = np.float64(values[2, lane])
                limit = second_value + slack
                is_ambiguous = is_ambiguous or third_value <= limit
            if is_ambiguous:
                ambiguous += 1
                first, second = recheck_exactly(
                    data.rows, row, prototypes.given, panels, space, lane, limit
                )
            out[row, 0] = first
            if n_best == 2:
                out[row, 1] = second
    return ambiguous
