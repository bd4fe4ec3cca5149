"""Compiled passes of the fast search: units of all blocks, and what each unit won.

See `blocks` for what blocks, panels and their coordinates are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, loop
from dbgsom_core.engine.euclidean.blocks import (
    OF_SQUARES,
    TWICE,
    Accuracy,
    Blocks,
    Frame,
    Margins,
    Panels,
    Tally,
    pack_row,
)
from dbgsom_core.engine.euclidean.comparisons import (
    ALL,
    Addresses,
    begin,
    compare_blocks,
    keep_margins,
    room_in,
    settle,
    slide,
)
from dbgsom_core.engine.llvm.bounds import (
    add_lanes,
    count_of,
    lanes_other,
    lanes_with,
    lowest_bit,
    write_distances,
    write_slack,
    write_units,
    write_whole,
)
from dbgsom_core.engine.llvm.tile import LINE, SLACKS, TOGETHER, VALUES, lanes_of
from dbgsom_core.engine.llvm.transpose import add_row, fetch_line, turn_tile
from dbgsom_core.engine.rows import Rows, row_distance


@inlined
def slack_of_block(one: Any, squares: int, accuracy: Accuracy, slack: int) -> None:
    """Fill slack (2, lanes): 2E and 2E + 4 units of ‖x‖², for the ``squares`` of a block.

    Both are addresses.
    """
    kind = type(one)
    write_slack(
        one,
        squares,
        kind(TWICE * accuracy.constant),
        kind(TWICE * accuracy.by_norm),
        kind(TWICE * accuracy.by_square),
        kind(OF_SQUARES * accuracy.unit),
        slack,
    )


@inlined
def _fetch(b: int, depth: int, at: Addresses) -> None:
    # Ask for block b, which need not exist. When few panels are compared the processor would wait
    # for memory: what it fetches by itself ends with each page.
    for k in range(depth):
        fetch_line(at.numbers + (b * depth + k) * LINE)


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
    lanes, depth = lanes_of(one), turned.shape[1]
    tiled = depth - depth % lanes
    for k in range(0, tiled, lanes):
        tile, out = numbers_at + (b * depth + k) * LINE, turned_at + k * turned.itemsize
        turn_tile(one, tile, LINE, out, depth * turned.itemsize)
    for k in range(tiled, depth):
        for lane in range(lanes):
            turned[lane, k] = numbers[b, k, lane]


@inlined
def add_turned(
    one: Any, alike: bool, lane: int, depth: int, turned: int, packed: int, sign: float, sums: int,
    j: int,
) -> None:  # fmt: skip
    """Add ``sign`` times the sample in a lane of `Room`'s arrays to row j of the sums.

    It is in ``turned`` where that is ``alike`` in dtype to the samples, else in ``packed``.
    """
    place, row = lane * depth, sums + j * depth * 8
    if alike:
        add_row(one, turned + place * (LINE // lanes_of(one)), depth, sign, row)
    else:
        add_row(np.float64(0), packed + place * 8, depth, sign, row)


@inlined
def _hand_over(leading: NDArray[np.int64], errors: NDArray[np.int64], leader: int) -> None:
    # Add the errors that lie in lanes to those of the unit that led.
    for lane in range(leading.size):
        errors[leader] += leading[lane]
        leading[lane] = 0


@loop
def search_blocks(
    one: Any,
    samples: Rows,
    prototypes: NDArray[np.float64],
    frame: Frame,
    steps: float,
    blocks: Blocks,
    panels: Panels,
    accuracy: Accuracy,
    margins: Margins,
    mode: int,
    keeps: bool,
    only_changes: bool,
    tally: Tally,
    memory: NDArray[np.uint8],
    start: int,
    stop: int,
) -> None:
    """Find the units of blocks ``start`` to ``stop`` and add up what they won.

    Parameters
    ----------
    mode : {ALL, IN_REACH}
        Compare with all panels, or with those that ``margins`` do not exclude.
    keeps : bool
        Write ``margins`` to the panels compared.
    only_changes : bool
        Move only samples whose unit changed from one sum to the other, else add all.
    """
    numbers, _, order, bmu = blocks
    lanes, n, depth, n_panels = lanes_of(one), order.size, numbers.shape[1], panels.ids.shape[0]
    room = room_in(one, memory, n_panels, depth, samples.columns)
    values, rows, nearest, slack = room.values, room.rows, room.nearest, room.slack
    done, drift, wide, slides = room.done, panels.drift, margins.least.shape[1], margins.slides
    at = begin(one, blocks, panels, margins.least, room)
    whole, leading = room.whole, room.leading
    whole_at, leading_at = whole.ctypes.data, leading.ctypes.data
    for lane in range(lanes):
        leading[lane] = 0
    sums, hits, errors, _ = tally
    alike, turned, packed = samples.size == numbers.itemsize, room.turned, room.packed
    turned_at, packed_at, sums_at = turned.ctypes.data, packed.ctypes.data, sums.ctypes.data
    compared, changed, doubts, leader = 0, 0, 0, np.int32(0)
    for first in range(start, stop, TOGETHER):
        together = min(TOGETHER, stop - first)
        for b in range(first, first + together):
            if keeps:
                _fetch(b + TOGETHER, depth, at)
                slide(b, min(lanes, n - b * lanes), bmu, lanes, panels.moves, slides)
            slack_at = at.slack + (b - first) * SLACKS * LINE
            slack_of_block(one, at.squares + b * LINE, accuracy, slack_at)
        compared += compare_blocks(
            one, 1, first, together, mode, depth, wide, n_panels, drift, slides,
            values, done, at,
        )  # fmt: skip
        for i in range(together):
            b = first + i
            base = b * lanes
            used = min(lanes, n - base)
            inside = (1 << used) - 1
            squares, units = at.squares + b * LINE, at.units + base * 4
            rows_at, slack_at = at.rows + i * 2 * lanes * 4, at.slack + i * SLACKS * LINE
            write_units(one, at.places + i * 2 * lanes * 4, at.ids, rows_at)
            if keeps:
                slack_of_block(one, squares, margins.accuracy, at.tops + LINE)
                keep_margins(one, b, i, inside, wide, n_panels, drift, slides, done, at)
            values_at = at.values + i * VALUES * LINE
            distances = values_at + 2 * LINE
            ties, poor = write_distances(one, values_at, squares, slack_at, distances)
            write_whole(one, distances, steps, whole_at)
            doubtful = (ties | poor) & inside
            doubts += count_of(doubtful)
            while doubtful != 0:
                lane = lowest_bit(doubtful)
                doubtful &= doubtful - 1
                row = np.int64(order[base + lane])
                if ties >> lane & 1:
                    limit = values[i, 0, lane] + slack[i, 0, lane]
                    j, exact, _ = settle(
                        samples, row, prototypes, panels, done, nearest, i, lane, limit
                    )
                    rows[i, 0, lane] = j
                else:
                    exact = row_distance(samples, row, prototypes, np.int64(rows[i, 0, lane]))
                whole[lane] = np.int64(exact * (steps * frame.scale))
            same = lanes_with(one, rows_at, leader) & inside
            if 2 * count_of(same) < used:
                other = lanes_with(one, rows_at, rows[i, 0, 0]) & inside
                if 2 * count_of(other) >= used:
                    _hand_over(leading, errors, leader)
                    leader, same = rows[i, 0, 0], other
            add_lanes(one, whole_at, same, leading_at)
            left = inside & ~same
            while left != 0:
                lane = lowest_bit(left)
                left &= left - 1
                errors[rows[i, 0, lane]] += whole[lane]
            moved = lanes_other(one, rows_at, units) & inside
            changed += count_of(moved)
            if not only_changes:
                moved = inside
            if moved != 0 and alike:
                turn_block(one, b, numbers, at.numbers, turned, turned_at)
            while moved != 0:
                lane = lowest_bit(moved)
                moved &= moved - 1
                j, before = rows[i, 0, lane], bmu[base + lane]
                bmu[base + lane] = j
                if not alike:
                    pack_row(samples, order[base + lane], frame, packed[lane])
                if only_changes:
                    hits[before] -= 1
                    add_turned(one, alike, lane, depth, turned_at, packed_at, -1.0, sums_at, before)
                hits[j] += 1
                add_turned(one, alike, lane, depth, turned_at, packed_at, 1.0, sums_at, j)
    _hand_over(leading, errors, leader)
    tally.counts[0] += compared
    tally.counts[1] += changed
    tally.counts[2] += doubts


@loop
def nearest_blocks(
    one: Any,
    places: int,
    samples: Rows,
    prototypes: NDArray[np.float64],
    blocks: Blocks,
    panels: Panels,
    accuracy: Accuracy,
    margins: Margins,
    out: NDArray[np.int32],
    memory: NDArray[np.uint8],
    start: int,
    stop: int,
) -> int:
    """Fill out (m, places) with the 1 or 2 nearest prototypes of blocks ``start`` to ``stop``.

    Returns how many samples were in doubt.
    """
    order = blocks.order
    lanes, n, n_panels = lanes_of(one), order.size, panels.ids.shape[0]
    depth, drift = blocks.numbers.shape[1], panels.drift
    room = room_in(one, memory, n_panels, depth, samples.columns)
    values, rows, nearest, slack = room.values, room.rows, room.nearest, room.slack
    done = room.done
    at = begin(one, blocks, panels, margins.least, room)
    doubts = 0
    for base in range(start, stop, TOGETHER):
        together = min(TOGETHER, stop - base)
        for i in range(together):
            squares, slack_at = at.squares + (base + i) * LINE, at.slack + i * SLACKS * LINE
            slack_of_block(one, squares, accuracy, slack_at)
        compare_blocks(
            one, places, base, together, ALL, depth, 1, n_panels, drift, margins.slides, values,
            done, at,
        )  # fmt: skip
        for i in range(together):
            b, line = base + i, i * 2 * lanes * 4
            for p in range(places):
                place_at, row_at = at.places + line + p * lanes * 4, at.rows + line + p * lanes * 4
                write_units(one, place_at, at.ids, row_at)
            for lane in range(min(lanes, n - b * lanes)):
                row, place = np.int64(order[b * lanes + lane]), (b - start) * lanes + lane
                first, second = np.int64(rows[i, 0, lane]), np.int64(rows[i, 1, lane])
                least, best = np.float64(values[i, 0, lane]), np.float64(values[i, 1, lane])
                third = np.float64(values[i, 2, lane]) if places == 2 else np.inf
                close = np.float64(slack[i, 0, lane])
                if third <= best + close or best <= least + close:
                    doubts += 1
                    limit = (best if places == 2 else least) + close
                    first, _, second = settle(
                        samples, row, prototypes, panels, done, nearest, i, lane, limit
                    )
                out[place, 0] = first
                if places == 2:
                    out[place, 1] = second
    return doubts
