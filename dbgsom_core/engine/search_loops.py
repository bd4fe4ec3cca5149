"""Compiled passes: which panels a block is compared with, its units, and what each unit won."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import Floats, Integers, inlined, inner_loop, loop
from dbgsom_core.engine.lanes import (
    SPARE,
    add_row,
    count_of,
    distances_of,
    fetch_line,
    lanes_of,
    lanes_other,
    lanes_with,
    lowest_bit,
    margin_at,
    ties_of,
    transpose_tile,
    write_margin,
    write_slack,
    write_tops,
)
from dbgsom_core.engine.packing import (
    NEAR,
    OF_SQUARES,
    TWICE,
    Accumulator,
    Accuracy,
    Margins,
    PrototypeTiles,
    Quantisation,
    Rows,
    SampleTiles,
    Workspace,
    pack_row,
    row_distance,
)
from dbgsom_core.engine.tile import (
    LINE,
    PANEL_ROWS,
    ROW_BITS,
    SLACKS,
    TOGETHER,
    VALUES,
    sweep_panels,
)

ALL, IN_REACH = 0, 1  # which panels a block is compared with
_WORD = 64  # panels that have a bit in one number
_MARGIN = 2  # bytes
_MORE = np.float32(1 + SPARE)
_NONE = 2**31 - 1


@inlined
def compare_blocks(
    tag: Any, places: int, b: int, together: int, mode: int, blocks: SampleTiles,
    panels: PrototypeTiles, margins: Margins, space: Workspace,
) -> int:  # fmt: skip
    """Compare ``together`` blocks from ``b`` on, up to TOGETHER, with panels that can matter.

    Returns how many comparisons of a block with a panel those were. In mode IN_REACH a panel is
    left out only if none of its values can lie within 2E of the best, so that all that follows is
    the same as after comparing everything. Panels are told apart by bits first, without a branch
    for each. ``space.done`` gets a bit for each panel compared.
    """
    n_panels, wide, compared = panels.ids.shape[0], margins.least.shape[1], 0
    lanes, depth = lanes_of(tag), blocks.numbers.shape[1]
    numbers_at, margins_at = blocks.numbers.ctypes.data, margins.least.ctypes.data
    panels_at, starts_at = panels.numbers.ctypes.data, panels.starts.ctypes.data
    values_at, places_at = space.values.ctypes.data, space.places.ctypes.data
    nearest_at = space.nearest.ctypes.data
    for i in range(together):
        for p in range(places + 1):
            for lane in range(lanes):
                space.values[i, p, lane] = np.inf
    for word in range(space.done.shape[1]):
        first = word * _WORD
        end = min(n_panels, first + _WORD)
        which: Any = np.int64(0)  # of a plain 0 numba makes a type of its own
        other: Any = np.int64(0)
        for i in range(together):
            more: Any = np.int64(0)
            if mode == ALL:
                more = np.int64(-1 if end - first == _WORD else (1 << (end - first)) - 1)
            else:
                least, slid = margins_at + (b + i) * wide * _MARGIN, margins.slides[b + i]
                for g in range(first, end):
                    reaches = margin_at(least + g * _MARGIN) <= (panels.drift[g] + slid) * _MORE
                    more |= int(reaches) << (g - first)
            space.done[i, word] = more
            which, other = (more, other) if i == 0 else (which, more)
        # A block goes alone only with panels that the other one does not want.
        both = which & other
        for step in range(3):
            bits = both if step == 0 else (which if step == 1 else other) & ~both
            if bits != 0:
                i = step // 2
                sweep_panels(
                    tag, places, TOGETHER if step == 0 else 1,
                    numbers_at + (b + i) * depth * LINE, panels_at, starts_at, depth, bits, first,
                    values_at + i * VALUES * LINE, places_at + i * 2 * lanes * 4,
                    nearest_at + i * n_panels * LINE, n_panels,
                )  # fmt: skip
        compared += count_of(which) + count_of(other)
    return compared


@inlined
def write_units(panels: PrototypeTiles, space: Workspace, i: int, p: int) -> None:
    """Fill ``space.rows[i, p]`` with the prototypes at the places found."""
    for lane in range(space.places.shape[2]):
        place = space.places[i, p, lane]
        space.rows[i, p, lane] = panels.ids[place >> ROW_BITS, place & ((1 << ROW_BITS) - 1)]


@inlined
def keep_margins(
    tag: Any, b: int, i: int, inside: int, blocks: SampleTiles,
    panels: PrototypeTiles, margins: Margins, space: Workspace,
) -> None:  # fmt: skip
    """Write the margins of block b, the i-th of those together, to all panels compared."""
    squares = blocks.squares.ctypes.data + b * LINE
    slack = space.slack.ctypes.data + i * SLACKS * LINE
    values, tops = space.values.ctypes.data + i * VALUES * LINE, space.tops.ctypes.data
    nearest = space.nearest.ctypes.data + i * panels.ids.shape[0] * LINE
    least = margins.least.ctypes.data + b * margins.least.shape[1] * _MARGIN
    slack_of_block(tag, squares, margins.accuracy, tops + LINE)  # of the least exact pass to come
    write_tops(tag, values, squares, tops + LINE, inside, tops)
    for word in range(space.done.shape[1]):
        left = space.done[i, word]
        while left != 0:
            g = word * _WORD + lowest_bit(left)
            left &= left - 1
            moved = panels.drift[g] + margins.slides[b]
            write_margin(tag, nearest + g * LINE, squares, slack, tops, moved, least + g * _MARGIN)


@inner_loop
def recheck_exactly(
    samples: Rows, i: int, prototypes: Floats, panels: PrototypeTiles,
    space: Workspace, place: int, lane: int, limit: float,
) -> tuple[int, int]:  # fmt: skip
    """Return the nearest and the second nearest unit of sample i by definition.

    It lies in a lane of the block that has this ``place`` among those compared together. Only
    panels that were compared and whose nearest value lies within the limit are looked at.
    """
    first = second = _NONE
    nearer = farther = np.inf
    for g in range(panels.ids.shape[0]):
        if not space.done[place, g >> 6] >> (g & 63) & 1 or space.nearest[place, g, lane] > limit:
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
    return first, second


@inlined
def slack_of_block(tag: Any, squares: int, accuracy: Accuracy, slack: int) -> None:
    """Fill slack (2, lanes): 2E and 2E + 4 units of ‖x‖², for the ``squares`` of a block.

    Both are addresses.
    """
    kind = type(tag)
    write_slack(
        tag,
        squares,
        kind(TWICE * accuracy.constant),
        kind(TWICE * accuracy.by_norm),
        kind(TWICE * accuracy.by_square),
        kind(OF_SQUARES * accuracy.unit),
        slack,
    )


@inlined
def move_samples(
    tag: Any, samples: Rows, how: Quantisation, blocks: SampleTiles, b: int, moved: int,
    units: NDArray[np.int32], known: NDArray[np.int32], only_changes: bool, added: Accumulator,
    space: Workspace,
) -> None:  # fmt: skip
    """Add the samples of block b with a bit in ``moved`` to the sums of their ``units`` (lanes,).

    ``known`` (B*lanes,) are the units by place so far, from whose sums they are taken away if
    ``only_changes``; they become the new ones.
    """
    numbers, lanes, depth = blocks.numbers, lanes_of(tag), space.transposed.shape[1]
    alike, transposed, packed = samples.size == numbers.itemsize, space.transposed, space.packed
    transposed_at, packed_at = transposed.ctypes.data, packed.ctypes.data
    sums_at, hits, tiled = added.sums.ctypes.data, added.hits, depth - depth % lanes
    if moved != 0 and alike:
        for k in range(0, tiled, lanes):
            tile, out = numbers.ctypes.data + (b * depth + k) * LINE, k * transposed.itemsize
            transpose_tile(tag, tile, LINE, transposed_at + out, depth * transposed.itemsize)
        for k in range(tiled, depth):
            for lane in range(lanes):
                transposed[lane, k] = numbers[b, k, lane]
    while moved != 0:
        lane = lowest_bit(moved)
        moved &= moved - 1
        j, before = units[lane], known[b * lanes + lane]
        known[b * lanes + lane] = j
        if not alike:
            pack_row(samples, blocks.order[b * lanes + lane], how, packed[lane])
        x = transposed_at + lane * depth * transposed.itemsize
        x = x if alike else packed_at + lane * depth * 8
        if only_changes:
            hits[before] -= 1
            _add_sample(tag, alike, x, depth, -1.0, sums_at, before)
        hits[j] += 1
        _add_sample(tag, alike, x, depth, 1.0, sums_at, j)


@inlined
def _add_sample(
    tag: Any, alike: bool, x: int, depth: int, sign: float, sums: int, unit: int
) -> None:
    row = sums + unit * depth * 8
    if alike:
        add_row(tag, x, depth, sign, row)
    else:
        add_row(np.float64(0), x, depth, sign, row)


@inlined
def add_errors(
    tag: Any, samples: Rows, how: Quantisation, blocks: SampleTiles, b: int, inside: int,
    packed: Floats, near: float, steps: float, units: NDArray[np.int32],
    errors: Integers, space: Workspace,
) -> None:  # fmt: skip
    """Add the distances of the samples of block b to the errors of their ``units`` (lanes,).

    ``packed`` (K, depth) are the packed prototypes. A squared distance below ``near`` is computed
    anew from all digits of the sample.
    """
    lanes, depth, left = lanes_of(tag), blocks.numbers.shape[1], inside
    block, at, size = blocks.numbers.ctypes.data + b * depth * LINE, packed.ctypes.data, depth * 8
    close = np.int64(0)
    while left != 0:  # up to three units a turn: most blocks have no more
        j, same = _unit_of(tag, units, left)
        left &= ~same
        if left == 0:
            total, near_ones = distances_of(
                tag, block, (at + j * size,), (same,), depth, near, steps
            )
            errors[j] += total
        else:
            k, others = _unit_of(tag, units, left)
            left &= ~others
            m, rest = _unit_of(tag, units, left) if left != 0 else (k, np.int64(0))
            left &= ~rest
            rows = at + j * size, at + k * size, at + m * size
            total, more, most, near_ones = distances_of(
                tag, block, rows, (same, others, rest), depth, near, steps
            )
            errors[j] += total
            errors[k] += more
            errors[m] += most
        close |= near_ones
    while close != 0:
        lane = lowest_bit(close)
        close &= close - 1
        row, j = space.packed[lane], units[lane]
        pack_row(samples, np.int64(blocks.order[b * lanes + lane]), how, row)
        square = 0.0
        for k in range(samples.columns):
            square += (row[k] - packed[j, k]) ** 2
        errors[j] += np.int64(np.rint(np.sqrt(square) * steps))


@inlined
def _unit_of(tag: Any, units: NDArray[np.int32], lanes: int) -> tuple[int, int]:
    # The unit of the first of some lanes, and a bit for each of them that has it.
    unit = units[lowest_bit(lanes)]
    return int(unit), lanes_with(tag, units.ctypes.data, unit) & lanes


@loop
def error_blocks(
    tag: Any,
    samples: Rows,
    how: Quantisation,
    blocks: SampleTiles,
    packed: Floats,
    near: float,
    steps: float,
    errors: Integers,
    space: Workspace,
) -> None:
    """Add the distances of the samples of all blocks to the errors (K,) of their units."""
    lanes = lanes_of(tag)
    for b in range(blocks.numbers.shape[0]):
        inside = (1 << min(lanes, blocks.order.size - b * lanes)) - 1
        units = blocks.bmu[b * lanes : (b + 1) * lanes]
        add_errors(tag, samples, how, blocks, b, inside, packed, near, steps, units, errors, space)


@loop
def search_blocks(
    tag: Any,
    samples: Rows,
    prototypes: Floats,
    packed: Floats,
    how: Quantisation,
    steps: float,
    blocks: SampleTiles,
    panels: PrototypeTiles,
    accuracy: Accuracy,
    margins: Margins,
    mode: int,
    keeps: bool,
    only_changes: bool,
    added: Accumulator,
    space: Workspace,
    start: int,
    stop: int,
) -> None:
    """Find the units of blocks ``start`` to ``stop`` and add up what they won.

    In mode IN_REACH blocks are compared with those panels that ``margins`` do not exclude, else
    with all. With ``keeps`` margins are written to the panels compared, with ``only_changes``
    samples whose unit changed move from one sum to the other, else all are added. ``packed`` (K,
    depth) are the packed prototypes, ``steps`` those of errors.
    """
    order, bmu, values = blocks.order, blocks.bmu, space.values
    rows, slack = space.rows, space.slack
    lanes, n, depth = lanes_of(tag), order.size, blocks.numbers.shape[1]
    numbers_at, squares_at = blocks.numbers.ctypes.data, blocks.squares.ctypes.data
    values_at, slack_at = values.ctypes.data, slack.ctypes.data
    near = NEAR * accuracy.largest**2 if samples.size == 8 else -1.0
    compared, changed, doubts = 0, 0, 0
    for first in range(start, stop, TOGETHER):
        together = min(TOGETHER, stop - first)
        for b in range(first, first + together):
            if keeps:
                # When few panels are compared the processor would wait for memory: what it
                # fetches by itself ends with each page. The block need not exist.
                for k in range(depth):
                    fetch_line(numbers_at + ((b + TOGETHER) * depth + k) * LINE)
                farthest = np.float32(0)  # that a unit of its samples moved
                for lane in range(min(lanes, n - b * lanes)):
                    farthest = max(farthest, panels.moves[bmu[b * lanes + lane]])
                margins.slides[b] = (margins.slides[b] + farthest) * _MORE
            of_block = slack_at + (b - first) * SLACKS * LINE
            slack_of_block(tag, squares_at + b * LINE, accuracy, of_block)
        compared += compare_blocks(tag, 1, first, together, mode, blocks, panels, margins, space)
        for i in range(together):
            b = first + i
            base = b * lanes
            inside = (1 << min(lanes, n - base)) - 1
            rows_at = rows[i].ctypes.data
            write_units(panels, space, i, 0)
            if keeps:
                keep_margins(tag, b, i, inside, blocks, panels, margins, space)
            of_block = slack_at + i * SLACKS * LINE
            ties = ties_of(tag, values_at + i * VALUES * LINE, of_block) & inside
            doubts += count_of(ties)
            while ties != 0:
                lane = lowest_bit(ties)
                ties &= ties - 1
                row, limit = np.int64(order[base + lane]), values[i, 0, lane] + slack[i, 0, lane]
                rows[i, 0, lane], _ = recheck_exactly(
                    samples, row, prototypes, panels, space, i, lane, limit
                )
            add_errors(
                tag, samples, how, blocks, b, inside, packed, near, steps, rows[i, 0],
                added.errors, space,
            )  # fmt: skip
            moved = lanes_other(tag, rows_at, bmu.ctypes.data + base * 4) & inside
            changed += count_of(moved)
            if not only_changes:
                moved = inside
            move_samples(
                tag, samples, how, blocks, b, moved, rows[i, 0], bmu, only_changes, added, space
            )
    added.counts[0] += compared
    added.counts[1] += changed
    added.counts[2] += doubts


@loop
def nearest_blocks(
    tag: Any,
    places: int,
    samples: Rows,
    prototypes: Floats,
    blocks: SampleTiles,
    panels: PrototypeTiles,
    accuracy: Accuracy,
    margins: Margins,
    out: NDArray[np.int32],
    space: Workspace,
    start: int,
    stop: int,
) -> int:
    """Fill out (m, places) with the 1 or 2 nearest prototypes of blocks ``start`` to ``stop``.

    Returns how many samples were in doubt.
    """
    order, values, rows = blocks.order, space.values, space.rows
    lanes, n = lanes_of(tag), order.size
    squares_at, slack_at = blocks.squares.ctypes.data, space.slack.ctypes.data
    doubts = 0
    for base in range(start, stop, TOGETHER):
        together = min(TOGETHER, stop - base)
        for i in range(together):
            squares, slack = squares_at + (base + i) * LINE, slack_at + i * SLACKS * LINE
            slack_of_block(tag, squares, accuracy, slack)
        compare_blocks(tag, places, base, together, ALL, blocks, panels, margins, space)
        for i in range(together):
            b = base + i
            for p in range(places):
                write_units(panels, space, i, p)
            for lane in range(min(lanes, n - b * lanes)):
                row, place = np.int64(order[b * lanes + lane]), (b - start) * lanes + lane
                first, second = np.int64(rows[i, 0, lane]), np.int64(rows[i, 1, lane])
                least, best = np.float64(values[i, 0, lane]), np.float64(values[i, 1, lane])
                third = np.float64(values[i, 2, lane]) if places == 2 else np.inf
                close = np.float64(space.slack[i, 0, lane])
                if third <= best + close or best <= least + close:
                    doubts += 1
                    limit = (best if places == 2 else least) + close
                    first, second = recheck_exactly(
                        samples, row, prototypes, panels, space, i, lane, limit
                    )
                out[place, 0] = first
                if places == 2:
                    out[place, 1] = second
    return doubts
