"""Compiled loops that fill a matrix of distances tile by tile."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop
from dbgsom_core.engine.llvm.expanded_tile import LANES, write_tile
from dbgsom_core.engine.llvm.panel import PANEL_ROWS, TOGETHER
from dbgsom_core.engine.loops import euclidean_distance

PANELS = 4  # panels of samples that see a block of prototypes while it is in the nearest cache


class Room(NamedTuple):
    """Memory of one worker, all of it float64 but ``tile``.

    ``panels`` (PANELS, depth, PANEL_ROWS) are packed samples, ``squares`` (PANELS, PANEL_ROWS)
    their ‖x‖², ``tile`` (PANEL_ROWS, TOGETHER*LANES) distances that do not fit the result as they
    are.
    """

    panels: NDArray[np.float64]
    squares: NDArray[np.float64]
    tile: NDArray[Any]


class Care(NamedTuple):
    """What a square must be, in packed units, to be as exact as its distance has to be.

    At least ``cancelled`` of ‖x‖² + ‖w‖² and at least ``lowest``; neither ‖x‖² nor ‖w‖² may exceed
    ``highest``. ``unit`` is what a packed unit of distance stands for.
    """

    cancelled: float
    lowest: float
    highest: float
    unit: float


@loop
def pack_blocks(
    packed: NDArray[np.float64],
    care: Care,
    blocks: NDArray[np.float64],
    norms: NDArray[np.float64],
) -> None:
    """Fill blocks (B, depth, LANES) and norms (B, 2, LANES) from packed rows w (K, D).

    They are -2w, ‖w‖² and the limit for `write_tile`.
    """
    for j in range(packed.shape[0]):
        total = 0.0
        for k in range(packed.shape[1]):
            value = packed[j, k]
            blocks[j // LANES, k, j % LANES] = -2.0 * value
            total += value * value
        norms[j // LANES, 0, j % LANES] = _usable(total, care)
        norms[j // LANES, 1, j % LANES] = max(care.cancelled * total, care.lowest)


@inner_loop
def _usable(square: float, care: Care) -> float:
    return square if square <= care.highest else np.nan  # every square with it counts as lost


@loop
def fill_distances(
    one: Any,
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    blocks: NDArray[np.float64],
    norms: NDArray[np.float64],
    centre: NDArray[np.float64],
    care: Care,
    room: Room,
    out: NDArray[Any],
    start: int,
    stop: int,
) -> None:
    """Fill rows ``start`` to ``stop`` of out (n, K) with the distances of X (n, D) to prototypes.

    Parameters
    ----------
    one : scalar of the dtype of ``out``
    blocks, norms
        See `pack_blocks`: of the prototypes less the centre, in packed units.
    """
    depth, n_neurons, size = blocks.shape[1], prototypes.shape[0], out.itemsize
    # Asked for once: it costs as much as a tile.
    block_at, norms_at, out_at = blocks.ctypes.data, norms.ctypes.data, out.ctypes.data
    panel_at, square_at, tile_at = (
        room.panels.ctypes.data,
        room.squares.ctypes.data,
        room.tile.ctypes.data,
    )
    for first in range(start, stop, PANELS * PANEL_ROWS):
        last = min(first + PANELS * PANEL_ROWS, stop)
        _pack_samples(X, first, last, centre, care, room)
        for g in range(0, blocks.shape[0], TOGETHER):
            together = min(TOGETHER, blocks.shape[0] - g)
            columns = min(together * LANES, n_neurons - g * LANES)
            for i in range(first, last, PANEL_ROWS):
                p, rows = (i - first) // PANEL_ROWS, min(PANEL_ROWS, last - i)
                whole = rows == PANEL_ROWS and columns == together * LANES
                lost, lost_too = write_tile(
                    one,
                    together,
                    block_at + g * depth * LANES * 8,
                    panel_at + p * depth * PANEL_ROWS * 8,
                    square_at + p * PANEL_ROWS * 8,
                    depth,
                    norms_at + g * 2 * LANES * 8,
                    out_at + (i * n_neurons + g * LANES) * size if whole else tile_at,
                    (n_neurons if whole else TOGETHER * LANES) * size,
                    care.cancelled,
                    care.unit,
                )
                if not whole:
                    for r in range(rows):
                        for column in range(columns):
                            out[i + r, g * LANES + column] = room.tile[r, column]
                if lost:
                    _by_definition(X, prototypes, i, rows, g * LANES, columns, lost, out)
                if lost_too:
                    j, more = (g + 1) * LANES, columns - LANES
                    _by_definition(X, prototypes, i, rows, j, more, lost_too, out)


@inner_loop
def _pack_samples(
    X: NDArray[Any], first: int, last: int, centre: NDArray[np.float64], care: Care, room: Room
) -> None:
    scale = 1.0 / care.unit
    for i in range(first, last):
        panel = room.panels[(i - first) // PANEL_ROWS]
        r, total = (i - first) % PANEL_ROWS, 0.0
        for k in range(X.shape[1]):
            value = (np.float64(X[i, k]) - centre[k]) * scale
            panel[k, r] = value
            total += value * value
        room.squares[(i - first) // PANEL_ROWS, r] = _usable(total, care)


@inner_loop
def _by_definition(
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    i: int,
    rows: int,
    j: int,
    columns: int,
    lost: int,
    out: NDArray[Any],
) -> None:
    for r in range(rows):
        for lane in range(min(columns, LANES)):
            if lost >> (r * LANES + lane) & 1:
                out[i + r, j + lane] = euclidean_distance(X, i + r, prototypes, j + lane)
