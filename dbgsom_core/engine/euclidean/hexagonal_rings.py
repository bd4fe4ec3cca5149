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

_NUMBERS = 256  # that are added up together, of neurons beside each other


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
    n_neurons, m = won.shape
    runs = np.zeros((3 * (n_neurons + 1) + grid[1], m))
    corners = np.empty((6 * n_neurons, m))
    # The last row of each stays 0, as do those after them.
    along, rising, falling = runs[: 3 * (n_neurons + 1)].reshape(3, n_neurons + 1, m)
    run_along_links(*grid, won, along, rising, falling, corners)
    out = np.empty((n_neurons, m))

    def work(worker: int, task: int) -> None:
        start, stop = task * ROWS, min((task + 1) * ROWS, n_neurons)
        ends = np.empty(14, np.int64)
        add_hexagons(*grid, weights, reach, least, won, runs, corners, start, stop, ends, out)

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
    corners: NDArray[np.float64],
) -> None:
    """Fill the running sums (K + 1, M) of won along (1, 0), (0, 1) and (-1, 1).

    A hexagon goes from edge to edge at its corners: ``corners`` (6*K, M) is what the two edges that
    meet at a corner take from their running sums there, one kind of corner below the other, counted
    against the clock from (h, 0) on. Their sum over the corners is that over the hexagon.
    """
    n_neurons = rows * columns
    for y in range(rows):
        for column in range(columns):
            j, x = y * columns + column, column - y // 2
            before = _row_of(rows, columns, x - 1, y)
            below = _row_of(rows, columns, x, y - 1)
            beside = _row_of(rows, columns, x + 1, y - 1)
            for k in range(won.shape[1]):
                along[j, k] = along[before, k] + won[j, k]
            for k in range(won.shape[1]):
                rising[j, k] = rising[below, k] + won[j, k]
            for k in range(won.shape[1]):
                falling[j, k] = falling[beside, k] + won[j, k]
            for k in range(won.shape[1]):
                corners[j, k] = rising[j, k] - falling[j, k]
            for k in range(won.shape[1]):
                corners[n_neurons + j, k] = falling[j, k] + along[before, k]
            for k in range(won.shape[1]):
                corners[2 * n_neurons + j, k] = rising[below, k] - along[before, k]
            for k in range(won.shape[1]):
                corners[3 * n_neurons + j, k] = falling[beside, k] - rising[below, k]
            for k in range(won.shape[1]):
                corners[4 * n_neurons + j, k] = -along[j, k] - falling[beside, k]
            for k in range(won.shape[1]):
                corners[5 * n_neurons + j, k] = along[j, k] - rising[j, k]


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


@inlined
def _note(
    rows: int, columns: int, x: int, y: int, way: int, length: int, n: int, ends: NDArray[np.int64]
) -> int:
    # Write down as number ``n`` what `_edge` says of an edge; return how many there are then.
    end, before = _edge(rows, columns, x, y, way, length)
    nothing = rows * columns
    if end == nothing:
        return n
    zeros = 3 * (nothing + 1)
    ends[2 * n] = way * (nothing + 1) + end
    ends[2 * n + 1] = zeros if before == nothing else way * (nothing + 1) + before
    return n + 1


@inlined
def _add_edges(
    rows: int,
    columns: int,
    column: int,
    y: int,
    h: int,
    weight: float,
    m: int,
    size: int,
    runs: NDArray[np.float64],
    ends: NDArray[np.int64],
    out: NDArray[np.float64],
) -> bool:
    # Add to the ``size`` numbers of out from a neuron on the sum over the edges of its hexagon that
    # lie on the map, times weight; False where none does, and then none of a wider one. Of several
    # neurons beside each other the edges are cut alike, by no side of the map.
    x, nothing = column - y // 2, rows * columns
    n = _note(rows, columns, x - h, y + h, 0, h, 0, ends)
    n = _note(rows, columns, x + 1, y - h, 0, h, n, ends)
    n = _note(rows, columns, x + h, y - h + 1, 1, h, n, ends)
    n = _note(rows, columns, x - h, y, 1, h, n, ends)
    n = _note(rows, columns, x + h - 1, y + 1, 2, h, n, ends)
    n = _note(rows, columns, x, y - h, 2, h, n, ends)
    ends[2 * n] = ends[2 * n + 1] = 3 * (nothing + 1)  # where their number is odd
    at = (y * columns + column) * m
    to = out[at : at + size]
    a, b = runs[ends[0] * m : ends[0] * m + size], runs[ends[1] * m : ends[1] * m + size]
    c, d = runs[ends[2] * m : ends[2] * m + size], runs[ends[3] * m : ends[3] * m + size]
    if 0 < n <= 2:
        for k in range(size):
            to[k] += weight * (a[k] - b[k] + c[k] - d[k])
    if n <= 2:
        return n > 0
    e, f = runs[ends[4] * m : ends[4] * m + size], runs[ends[5] * m : ends[5] * m + size]
    g, i = runs[ends[6] * m : ends[6] * m + size], runs[ends[7] * m : ends[7] * m + size]
    if n <= 4:
        for k in range(size):
            to[k] += weight * (a[k] - b[k] + c[k] - d[k] + (e[k] - f[k] + g[k] - i[k]))
        return True
    p, q = runs[ends[8] * m : ends[8] * m + size], runs[ends[9] * m : ends[9] * m + size]
    r, s = runs[ends[10] * m : ends[10] * m + size], runs[ends[11] * m : ends[11] * m + size]
    for k in range(size):
        one = a[k] - b[k] + c[k] - d[k]
        other = e[k] - f[k] + g[k] - i[k]
        to[k] += weight * (one + other + (p[k] - q[k] + r[k] - s[k]))
    return True


@loop
def add_hexagons(
    rows: int,
    columns: int,
    weights: NDArray[np.float64],
    reach: int,
    least: float,
    won: NDArray[np.float64],
    runs: NDArray[np.float64],
    corners: NDArray[np.float64],
    start: int,
    stop: int,
    ends: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Fill rows ``start`` to ``stop`` of out as `smoothed_rings` says.

    ``ends`` (14,) is room. ``runs`` (3*(K + 1) + columns, M) are the running sums along (1, 0),
    (0, 1) and (-1, 1), one below the other, and zeros; ``corners`` those of `run_along_links`. Of
    hexagons that do not lie on the map as a whole only the edges are added up that do in part: of
    neurons beside each other together, where only the lowest and highest row cut them.
    """
    m, n_neurons = won.shape[1], rows * columns
    together = max(1, _NUMBERS // m)
    flat, edges, all_out = corners.reshape(-1), runs.reshape(-1), out.reshape(-1)
    for j in range(start, stop):
        for k in range(m):
            out[j, k] = weights[0] * won[j, k]
    first = start
    while first < stop:  # neurons of one row at a time
        y, left = first // columns, first % columns
        right = min(columns, left + stop - first)
        first += right - left
        for h in range(1, min(reach + 1, len(weights))):
            whole = h <= y < rows - h
            # Between these no side of the map cuts a hexagon, nor what lies before its edges.
            low = min(max(left, h if whole else h + 1), right)
            high = max(low, min(right, columns - h))
            some = low < high and whole
            for column in range(left, right):
                if column < low or column >= high:
                    some |= _add_edges(
                        rows, columns, column, y, h, weights[h], m, m, edges, ends, all_out
                    )
            if not whole:
                for column in range(low, high, together):
                    size = min(together, high - column) * m
                    some |= _add_edges(
                        rows, columns, column, y, h, weights[h], m, size, edges, ends, all_out
                    )
            if not some:
                break
            if low < high and whole:
                x, size = low - y // 2, (high - low) * m
                east = y * columns + low
                northeast = n_neurons + (y + h) * columns + x + (y + h) // 2
                southwest = 4 * n_neurons + (y - h) * columns + x + (y - h) // 2
                a = flat[(east + h) * m : (east + h) * m + size]
                b = flat[northeast * m : northeast * m + size]
                c = flat[(n_neurons + northeast - h) * m : (n_neurons + northeast - h) * m + size]
                d = flat[(3 * n_neurons + east - h) * m : (3 * n_neurons + east - h) * m + size]
                e = flat[southwest * m : southwest * m + size]
                f = flat[(n_neurons + southwest + h) * m : (n_neurons + southwest + h) * m + size]
                to = all_out[east * m : east * m + size]
                weight = weights[h]
                for k in range(size):
                    to[k] += weight * (a[k] + b[k] + c[k] + (d[k] + e[k] + f[k]))
        for column in range(left, right):
            j = y * columns + column
            for h in range(reach + 1, len(weights)):
                if out[j, m - 1] > least or not _add_edges(
                    rows, columns, column, y, h, weights[h], m, m, edges, ends, all_out
                ):
                    break
