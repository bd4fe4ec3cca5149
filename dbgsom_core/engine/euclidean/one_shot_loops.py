"""Compiled loops of a search that is done once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled
from dbgsom_core.engine.euclidean.blocks import Accuracy, Blocks, Panels
from dbgsom_core.engine.euclidean.comparisons import (
    ALL,
    addresses_of,
    compare_blocks,
    hold,
    room_for,
)
from dbgsom_core.engine.euclidean.layout import FAR
from dbgsom_core.engine.euclidean.pass_loops import nearest_two_blocks, slack_of_block
from dbgsom_core.engine.llvm.bounds import write_units
from dbgsom_core.engine.llvm.panel import LINE, SLACKS, TOGETHER, lanes_of
from dbgsom_core.engine.llvm.transpose import turn_tile
from dbgsom_core.engine.loops import euclidean_distance

_DOUBT = 1e36  # a square whose error is larger than any value; of infinity it could be nan


@compiled
def nearest_units(
    one: Any,
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: float,
    room: Blocks,
    panels: Panels,
    accuracy: Accuracy,
    out: NDArray[np.int64],
    most: int,
    start: int,
    stop: int,
) -> int:
    """Fill out (1 or 2, n) from row ``start`` to ``stop`` of X (n, D); ``room`` holds a chunk.

    Returns how many samples were in doubt; the rest is left where that is more than ``most``, or
    a value is missing: -1 then.
    """
    lanes, size, places = lanes_of(one), room.order.size, out.shape[0]
    found, no_bounds = np.empty((size, 2), np.int32), np.empty((1, 1, 1), np.float32)
    doubts = 0
    for first in range(start, stop, size):
        rows = X[first : min(first + size, stop)]
        used = rows.shape[0]
        n_blocks = (used + lanes - 1) // lanes
        if not _pack(one, rows, centre, scale, room):
            return -1
        chunk = Blocks(room.numbers, room.squares, room.order[:used], room.bmu)
        if places == 1:
            doubts += _nearest_blocks(
                one, rows, prototypes, chunk, panels, accuracy, found, n_blocks
            )
        else:
            doubts += nearest_two_blocks(
                one, rows, prototypes, chunk, panels, accuracy, no_bounds, ALL, found, 0, n_blocks
            )
        for place in range(places):
            for i in range(used):
                out[place, first + i] = found[i, place]
        if doubts > most:
            break
    return doubts


@compiled
def _nearest_blocks(
    one: Any,
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    blocks: Blocks,
    panels: Panels,
    accuracy: Accuracy,
    out: NDArray[np.int32],
    n_blocks: int,
) -> int:
    # The nearest prototypes in out[:, 0]; returns how many samples were in doubt. A block with a
    # near tie, one in a hundred, is searched once more by the loop that settles them.
    lanes, n, depth = lanes_of(one), blocks.order.size, blocks.numbers.shape[1]
    n_panels, drift = panels.ids.shape[0], panels.drift
    no_bounds, room = np.empty((1, 1, 1), np.float32), room_for(one, panels)
    values, rows, slack, upper, done = room.values, room.rows, room.slack, room.upper, room.done
    at = addresses_of(blocks, panels, no_bounds, room)
    doubts = 0
    for first in range(0, n_blocks, TOGETHER):
        together = min(TOGETHER, n_blocks - first)
        for i in range(together):
            squares, slack_at = at.squares + (first + i) * LINE, at.slack + i * SLACKS * LINE
            slack_of_block(one, squares, accuracy, slack_at)
        compare_blocks(
            one, 1, first, together, n, ALL, 0, False, depth, 1, n_panels, drift, values, done,
            upper, at,
        )  # fmt: skip
        for i in range(together):
            b, sure = first + i, True
            write_units(one, at.places + i * lanes * 4, at.ids, at.rows + i * 2 * lanes * 4)
            for lane in range(min(lanes, n - b * lanes)):
                out[b * lanes + lane, 0] = rows[i, 0, lane]
                sure &= values[i, 1, lane] > values[i, 0, lane] + slack[i, 0, lane]
            if not sure:
                doubts += nearest_two_blocks(
                    one, X, prototypes, blocks, panels, accuracy, no_bounds, ALL, out, b, b + 1
                )
    hold(room)
    return doubts


@compiled
def _pack(
    one: Any, X: NDArray[Any], centre: NDArray[np.float64], scale: float, room: Blocks
) -> bool:
    # Rows into blocks, in their order; False where a value is missing. What is too far for packed
    # numbers gets a square so large that its doubt is settled by the definition.
    numbers, squares = room.numbers, room.squares
    lanes, d = lanes_of(one), X.shape[1]
    total, packed = np.empty(lanes), np.zeros((lanes, d), numbers.dtype)
    whole, size = d - d % lanes, numbers.itemsize
    packed_at, numbers_at = packed.ctypes.data, numbers.ctypes.data
    for first in range(0, X.shape[0], lanes):
        block = numbers[first // lanes]
        used = min(lanes, X.shape[0] - first)
        packed[used:] = 0.0
        for lane in range(used):
            for k in range(d):
                packed[lane, k] = (np.float64(X[first + lane, k]) - centre[k]) * scale
        at = numbers_at + (first // lanes) * numbers.shape[1] * LINE
        for k in range(0, whole, lanes):
            turn_tile(one, packed_at + k * size, d * size, at + k * LINE, LINE)
        for k in range(whole, d):
            for lane in range(lanes):
                block[k, lane] = packed[lane, k]
        total[:] = 0.0
        for k in range(d):
            for lane in range(lanes):
                value = np.float64(block[k, lane])
                total[lane] += value * value
        for lane in range(lanes):
            if not total[lane] < FAR * FAR:
                if np.isnan(total[lane]):
                    return False
                total[lane] = _DOUBT
                block[:, lane] = 0.0
            squares[first // lanes, lane] = total[lane]
    return True


@compiled
def distances_to(
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    units: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Fill out (n,) with the distances of the rows of X (n, D) to their units, by definition."""
    n = units.size
    whole = n - n % 4
    for i in range(0, whole, 4):  # four sums side by side: an addition waits for the one before
        a, b, c, d = units[i], units[i + 1], units[i + 2], units[i + 3]
        sum_a = sum_b = sum_c = sum_d = 0.0
        for k in range(X.shape[1]):
            step_a = np.float64(X[i, k]) - prototypes[a, k]
            step_b = np.float64(X[i + 1, k]) - prototypes[b, k]
            step_c = np.float64(X[i + 2, k]) - prototypes[c, k]
            step_d = np.float64(X[i + 3, k]) - prototypes[d, k]
            sum_a += step_a * step_a
            sum_b += step_b * step_b
            sum_c += step_c * step_c
            sum_d += step_d * step_d
        out[i], out[i + 1] = np.sqrt(sum_a), np.sqrt(sum_b)
        out[i + 2], out[i + 3] = np.sqrt(sum_c), np.sqrt(sum_d)
    for i in range(whole, n):
        out[i] = euclidean_distance(X, i, prototypes, units[i])
