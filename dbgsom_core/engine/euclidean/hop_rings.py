"""Smoothing over a full rectangle of neurons: rings of equal hops from sums along diagonals.

All neurons h hops away lie on four edges of a square that stands on its corner. With running sums
along both diagonals each edge is one difference, so that a neuron costs as much as its rings and
not as much as the whole map. That loses nothing where sums are exact in float64 in any order, as
those of packed samples are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, loop
from dbgsom_core.engine.workers import share

_PAYS = 16  # a ring costs as much as so many neurons do in a matrix product
_LEAST_NEURONS = 256  # with fewer a product costs next to nothing
ROWS = 64  # neurons that one task smooths


def pays(n_neurons: int, reach: int) -> bool:
    """Say whether rings up to ``reach`` hops take less than a product over all neurons."""
    return n_neurons >= _LEAST_NEURONS and _PAYS * (reach + 1) < n_neurons


def smoothed_rings(
    grid: tuple[int, int],
    weights: NDArray[np.float64],
    reach: int,
    least: float,
    won: NDArray[np.float64],
    threads: int,
) -> NDArray[np.float64]:
    """Return Σ_i weights[hops(j, i)]*won[i] for every neuron j of a full rectangle.

    Parameters
    ----------
    grid : (rows, columns)
        Neurons are in row-major order.
    weights : float64 array (H,)
        The kernel at each number of hops.
    reach : int
        Hops beyond are left out, but for neurons where the last column of the result is at most
        ``least``.
    won : float64 array (K, M)
        Exact in any order; the last column holds the hits.
    threads : int

    Returns
    -------
    float64 array (K, M)
    """
    down, up = np.zeros((2, len(won) + 1, won.shape[1]))  # the last row stays 0
    run_along_diagonals(*grid, won, down, up)
    out = np.empty_like(won)
    n_neurons = len(won)

    def work(worker: int, task: int) -> None:
        start, stop = task * ROWS, min((task + 1) * ROWS, n_neurons)
        add_rings(*grid, weights, reach, least, won, down, up, start, stop, out)

    share(threads, -(-n_neurons // ROWS), work)
    return out


@loop
def run_along_diagonals(
    rows: int,
    columns: int,
    won: NDArray[np.float64],
    down: NDArray[np.float64],
    up: NDArray[np.float64],
) -> None:
    """Fill ``down`` and ``up`` (K + 1, M) with sums of won along diagonals, from the first row on.

    Those of ``down`` go from the left to the right, those of ``up`` from the right to the left.
    """
    for y in range(rows):
        for x in range(columns):
            j = y * columns + x
            for k in range(won.shape[1]):
                down[j, k] = won[j, k]
                up[j, k] = won[j, k]
            if y > 0 and x > 0:
                for k in range(won.shape[1]):
                    down[j, k] += down[j - columns - 1, k]
            if y > 0 and x < columns - 1:
                for k in range(won.shape[1]):
                    up[j, k] += up[j - columns + 1, k]


@inlined
def _edge(rows: int, columns: int, y: int, x: int, side: int, length: int) -> tuple[int, int]:
    # Which running sums differ by the sum over ``length`` cells (y + s, x + side*s), as many as lie
    # on the map: those up to the last one and before the first one. K stands for 0.
    first = max(0, -y, -x if side > 0 else x - columns + 1)
    last = min(length - 1, rows - 1 - y, columns - 1 - x if side > 0 else x)
    nothing = rows * columns
    if first > last:
        return nothing, nothing
    end, above, beside = (
        (y + last) * columns + x + side * last,
        y + first - 1,
        x + side * (first - 1),
    )
    if above < 0 or beside < 0 or beside >= columns:
        return end, nothing
    return end, above * columns + beside


@loop
def add_rings(
    rows: int,
    columns: int,
    weights: NDArray[np.float64],
    reach: int,
    least: float,
    won: NDArray[np.float64],
    down: NDArray[np.float64],
    up: NDArray[np.float64],
    start: int,
    stop: int,
    out: NDArray[np.float64],
) -> None:
    """Fill rows ``start`` to ``stop`` of out as `smoothed_rings` says."""
    hits = won.shape[1] - 1
    for j in range(start, stop):
        y, x = j // columns, j % columns
        farthest = max(y, rows - 1 - y) + max(x, columns - 1 - x)
        for k in range(won.shape[1]):
            out[j, k] = weights[0] * won[j, k]
        for h in range(1, farthest + 1):
            if h > reach and out[j, hits] > least:
                break
            a, b = _edge(rows, columns, y - h, x, 1, h)
            c, d = _edge(rows, columns, y, x + h, -1, h)
            e, f = _edge(rows, columns, y + 1, x - h + 1, 1, h)
            g, i = _edge(rows, columns, y - h + 1, x - 1, -1, h)
            weight = weights[h]
            for k in range(won.shape[1]):
                falling = down[a, k] - down[b, k] + down[e, k] - down[f, k]
                rising = up[c, k] - up[d, k] + up[g, k] - up[i, k]
                out[j, k] += weight * (falling + rising)
