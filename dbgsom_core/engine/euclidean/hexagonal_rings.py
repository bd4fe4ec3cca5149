"""Smoothing over a full rectangle of hexagons, as `hop_rings` does it over one of squares.

All neurons h hops away lie on the six edges of a hexagon. With running sums along the three
directions of links each edge is one difference. In axial coordinates, see `Grid`, these are
(1, 0), (0, 1) and (-1, 1); cell (x, y) stands in column x + y // 2 of its row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, loop
from dbgsom_core.engine.euclidean.hop_rings import ROWS
from dbgsom_core.engine.workers import share


def smoothed_rings(
    grid: tuple[int, int],
    weights: NDArray[np.float64],
    reach: int,
    least: float,
    won: NDArray[np.float64],
    threads: int,
) -> NDArray[np.float64]:
    """Return Σ_i weights[hops(j, i)]*won[i] for every neuron j of a full rectangle of hexagons.

    Its first row is an even one. Parameters are those of `hop_rings.smoothed_rings`.
    """
    along, rising, falling = np.zeros((3, len(won) + 1, won.shape[1]))  # the last row stays 0
    run_along_links(*grid, won, along, rising, falling)
    out = np.empty_like(won)
    n_neurons = len(won)

    def work(worker: int, task: int) -> None:
        start, stop = task * ROWS, min((task + 1) * ROWS, n_neurons)
        add_hexagons(*grid, weights, reach, least, won, along, rising, falling, start, stop, out)

    share(threads, -(-n_neurons // ROWS), work)
    return out


@inlined
def _row_of(rows: int, columns: int, x: int, y: int) -> int:
    # Of a cell in row-major order; K where it is not on the map.
    column = x + y // 2
    if 0 <= y < rows and 0 <= column < columns:
        return y * columns + column
    return rows * columns


@loop
def run_along_links(
    rows: int,
    columns: int,
    won: NDArray[np.float64],
    along: NDArray[np.float64],
    rising: NDArray[np.float64],
    falling: NDArray[np.float64],
) -> None:
    """Fill the running sums (K + 1, M) of won along (1, 0), (0, 1) and (-1, 1)."""
    for y in range(rows):
        for column in range(columns):
            j, x = y * columns + column, column - y // 2
            before = _row_of(rows, columns, x - 1, y)
            below = _row_of(rows, columns, x, y - 1)
            beside = _row_of(rows, columns, x + 1, y - 1)
            for k in range(won.shape[1]):
                along[j, k] = along[before, k] + won[j, k]
                rising[j, k] = rising[below, k] + won[j, k]
                falling[j, k] = falling[beside, k] + won[j, k]


@inlined
def _edge(rows: int, columns: int, x: int, y: int, way: int, length: int) -> tuple[int, int]:
    # Which running sums differ by the sum over ``length`` cells from (x, y) on, as many as lie on
    # the map, along way 0: (1, 0), 1: (0, 1), 2: (-1, 1). K stands for 0.
    nothing = rows * columns
    if way == 0:
        if y < 0 or y >= rows:
            return nothing, nothing
        column = x + y // 2
        first, last = max(0, -column), min(length - 1, columns - 1 - column)
        dx, dy = 1, 0
    elif way == 1:
        first = max(0, -y, -2 * x - y)
        last = min(length - 1, rows - 1 - y, 2 * (columns - x) - 1 - y)
        dx, dy = 0, 1
    else:
        first = max(0, -y, 2 * (x - columns) + 1 + y)
        last = min(length - 1, rows - 1 - y, 2 * x + y)
        dx, dy = -1, 1
    if first > last:
        return nothing, nothing
    end = _row_of(rows, columns, x + last * dx, y + last * dy)
    return end, _row_of(rows, columns, x + (first - 1) * dx, y + (first - 1) * dy)


@loop
def add_hexagons(
    rows: int,
    columns: int,
    weights: NDArray[np.float64],
    reach: int,
    least: float,
    won: NDArray[np.float64],
    along: NDArray[np.float64],
    rising: NDArray[np.float64],
    falling: NDArray[np.float64],
    start: int,
    stop: int,
    out: NDArray[np.float64],
) -> None:
    """Fill rows ``start`` to ``stop`` of out as `smoothed_rings` says."""
    hits = won.shape[1] - 1
    for j in range(start, stop):
        y, column = j // columns, j % columns
        x = column - y // 2
        for k in range(won.shape[1]):
            out[j, k] = weights[0] * won[j, k]
        for h in range(1, len(weights)):
            if h > reach and out[j, hits] > least:
                break
            a, b = _edge(rows, columns, x - h, y + h, 0, h)
            c, d = _edge(rows, columns, x + 1, y - h, 0, h)
            e, f = _edge(rows, columns, x + h, y - h + 1, 1, h)
            g, i = _edge(rows, columns, x - h, y, 1, h)
            p, q = _edge(rows, columns, x + h - 1, y + 1, 2, h)
            n, o = _edge(rows, columns, x, y - h, 2, h)
            weight = weights[h]
            for k in range(won.shape[1]):
                flat = along[a, k] - along[b, k] + along[c, k] - along[d, k]
                right = rising[e, k] - rising[f, k] + rising[g, k] - rising[i, k]
                left = falling[p, k] - falling[q, k] + falling[n, k] - falling[o, k]
                out[j, k] += weight * (flat + right + left)
