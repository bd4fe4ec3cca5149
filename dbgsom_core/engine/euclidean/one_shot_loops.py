"""Compiled loops of a search that is done once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop
from dbgsom_core.engine.euclidean.blocks import Accuracy, Blocks, Margins, Panels
from dbgsom_core.engine.euclidean.comparisons import (
    ALL,
    begin,
    compare_blocks,
    room_in,
)
from dbgsom_core.engine.euclidean.layout import FAR
from dbgsom_core.engine.euclidean.pass_loops import (
    apart_from,
    nearest_two_blocks,
    slack_of_block,
)
from dbgsom_core.engine.llvm.bounds import write_units
from dbgsom_core.engine.llvm.panel import LINE, SLACKS, TOGETHER, lanes_of
from dbgsom_core.engine.llvm.transpose import turn_tile
from dbgsom_core.engine.rows import Rows, number_at

_DOUBT = 1e36  # a square whose error is larger than any value; of infinity it could be nan


class Chunk(NamedTuple):
    """What a worker needs: ``blocks`` for some samples, units ``found`` (size, 2), ``memory``."""

    blocks: Blocks
    found: NDArray[np.int32]
    margins: Margins
    memory: NDArray[np.uint8]


@loop
def nearest_units(
    one: Any,
    samples: Rows,
    prototypes: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: float,
    chunk: Chunk,
    panels: Panels,
    accuracy: Accuracy,
    out: NDArray[np.int64],
    most: int,
    start: int,
    stop: int,
) -> int:
    """Fill out (1 or 2, n) from row ``start`` to ``stop`` of X (n, D), a ``chunk`` at a time.

    Returns how many samples were in doubt; the rest is left where that is more than ``most``, or
    a value is missing: -1 then.
    """
    all_blocks, found, margins, memory = chunk
    lanes, size, places = lanes_of(one), all_blocks.order.size, out.shape[0]
    doubts = 0
    for first in range(start, stop, size):
        used = min(size, stop - first)
        n_blocks = (used + lanes - 1) // lanes
        step = samples.columns * samples.size
        rows = Rows(samples.at + first * step, samples.columns, samples.size)
        if not _pack(one, rows, used, centre, scale, all_blocks, memory):
            return -1
        order = all_blocks.order[:used]
        blocks = Blocks(all_blocks.numbers, all_blocks.squares, order, all_blocks.bmu)
        if places == 1:
            doubts += _nearest_blocks(
                one, rows, prototypes, blocks, panels, accuracy, found, margins, memory, n_blocks
            )
        else:
            doubts += nearest_two_blocks(
                one, rows, prototypes, blocks, panels, accuracy, margins, found, memory, 0,
                n_blocks,
            )  # fmt: skip
        for place in range(places):
            for i in range(used):
                out[place, first + i] = found[i, place]
        if doubts > most:
            break
    return doubts


@inner_loop
def _nearest_blocks(
    one: Any,
    samples: Rows,
    prototypes: NDArray[np.float64],
    blocks: Blocks,
    panels: Panels,
    accuracy: Accuracy,
    out: NDArray[np.int32],
    margins: Margins,
    memory: NDArray[np.uint8],
    n_blocks: int,
) -> int:
    # The nearest prototypes in out[:, 0]; returns how many samples were in doubt. A block with a
    # near tie, one in a hundred, is searched once more by the loop that settles them.
    lanes, n, depth = lanes_of(one), blocks.order.size, blocks.numbers.shape[1]
    n_panels, drift = panels.ids.shape[0], panels.drift
    room = room_in(one, memory, n_panels, depth, samples.columns)
    values, rows, slack, done = room.values, room.rows, room.slack, room.done
    at = begin(one, blocks, panels, margins.least, room)
    doubts = 0
    for first in range(0, n_blocks, TOGETHER):
        together = min(TOGETHER, n_blocks - first)
        for i in range(together):
            squares, slack_at = at.squares + (first + i) * LINE, at.slack + i * SLACKS * LINE
            slack_of_block(one, squares, accuracy, slack_at)
        compare_blocks(
            one, 1, first, together, n, ALL, 0, depth, 1, n_panels, drift, margins.slides, values,
            done, at,
        )  # fmt: skip
        unsure: Any = np.int64(0)
        for i in range(together):
            b, sure = first + i, True
            write_units(one, at.places + i * lanes * 4, at.ids, at.rows + i * 2 * lanes * 4)
            for lane in range(min(lanes, n - b * lanes)):
                out[b * lanes + lane, 0] = rows[i, 0, lane]
                best, second = np.float64(values[i, 0, lane]), np.float64(values[i, 1, lane])
                if not second > best + slack[i, 0, lane]:
                    square = np.float64(blocks.squares[b, lane])
                    if not second > best + apart_from(best, square, accuracy):
                        sure = False
            unsure |= np.int64(not sure) << i
        for i in range(together):
            if unsure >> i & 1:
                b = first + i
                doubts += nearest_two_blocks(
                    one, samples, prototypes, blocks, panels, accuracy, margins, out, memory, b,
                    b + 1,
                )  # fmt: skip
    return doubts


@inner_loop
def _pack(
    one: Any, samples: Rows, n: int, centre: NDArray[np.float64], scale: float, blocks: Blocks,
    memory: NDArray[np.uint8],
) -> bool:  # fmt: skip
    # Rows into blocks, in their order; False where a value is missing. What is too far for packed
    # numbers gets a square so large that its doubt is settled by the definition.
    numbers, squares = blocks.numbers, blocks.squares
    lanes, d, depth = lanes_of(one), samples.columns, numbers.shape[1]
    room = room_in(one, memory, 1, depth, d)
    packed, total = room.turned, room.total
    whole, size, width = d - d % lanes, numbers.itemsize, samples.size
    packed_at, numbers_at = packed.ctypes.data, numbers.ctypes.data
    for first in range(0, n, lanes):
        block = numbers[first // lanes]
        used = min(lanes, n - first)
        for lane in range(used, lanes):
            for k in range(d):
                packed[lane, k] = 0.0
        for lane in range(used):
            row = samples.at + (first + lane) * d * width
            for k in range(d):
                packed[lane, k] = (number_at(row, k, width) - centre[k]) * scale
        at = numbers_at + (first // lanes) * depth * LINE
        for k in range(0, whole, lanes):
            turn_tile(one, packed_at + k * size, depth * size, at + k * LINE, LINE)
        for k in range(whole, d):
            for lane in range(lanes):
                block[k, lane] = packed[lane, k]
        for lane in range(lanes):
            total[lane] = 0.0
        for k in range(d):
            for lane in range(lanes):
                value = np.float64(block[k, lane])
                total[lane] += value * value
        for lane in range(lanes):
            if not total[lane] < FAR * FAR:
                if np.isnan(total[lane]):
                    return False
                total[lane] = _DOUBT
                for k in range(d):
                    block[k, lane] = 0.0
            squares[first // lanes, lane] = total[lane]
    return True
