"""Compiled distances of sparse samples, in time that goes with what they store.

The inner loop runs over neurons where prototypes are transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled

Float64 = NDArray[np.float64]
Ints = NDArray[Any]
# The rows of a CSR matrix (m, D): values, columns, starts.
Sparse = tuple[NDArray[Any], Ints, Ints]
# Dense prototypes: transposed (D, K), as they are (K, D), and their squared lengths (K,).
Prototypes = tuple[Float64, Float64, Float64]

_UNIT = 2.0**-53
_EXPANDABLE = 1e-3  # of ‖x‖² + ‖w‖²: below, the expanded square has lost too many digits


@compiled
def first_smallest(values: Float64) -> int:
    """Return the index of the smallest value, the lowest one when several are equal."""
    best = 0
    for j in range(1, values.size):
        if values[j] < values[best]:
            best = j
    return best


@compiled
def products(
    values: NDArray[Any], columns: Ints, start: int, stop: int, prototypes: Float64, out: Float64
) -> None:
    """out[j] = sum over the stored k of x[k]*w[k, j]."""
    out[:] = 0.0
    for p in range(start, stop):
        x, k = np.float64(values[p]), columns[p]
        for j in range(out.size):
            out[j] += x * prototypes[k, j]


@compiled
def direct_square(values: NDArray[Any], columns: Ints, start: int, stop: int, w: Float64) -> float:
    """Return the sum over all k of (x[k] - w[k])**2, feature by feature as for a dense sample."""
    total = 0.0
    p = start
    for k in range(w.size):
        x = 0.0
        if p < stop and columns[p] == k:
            x = np.float64(values[p])
            p += 1
        difference = x - w[k]
        total += difference * difference
    return total


@compiled
def squares(
    values: NDArray[Any],
    columns: Ints,
    start: int,
    stop: int,
    prototypes: Float64,
    norms: Float64,
    out: Float64,
) -> float:
    """Fill out (K,) with ‖x‖² - 2 x·w + ‖w‖² and return ‖x‖²."""
    products(values, columns, start, stop, prototypes, out)
    norm = 0.0
    for p in range(start, stop):
        norm += np.float64(values[p]) * np.float64(values[p])
    for j in range(out.size):
        out[j] = norm - 2.0 * out[j] + norms[j]
    return norm


@compiled
def assign_euclidean(X: Sparse, prototypes: Prototypes, bmu: Ints, distance: Float64) -> None:
    """Fill bmu (m,) and distance (m,): the nearest by the direct distance, ties to the lowest.

    Prototypes that lie within the rounding of the expanded square are compared directly.
    """
    (values, columns, starts), (transposed, rows, norms) = X, prototypes
    expanded = np.empty(norms.size)
    longest = norms.max()
    for i in range(bmu.size):
        start, stop = starts[i], starts[i + 1]
        norm = squares(values, columns, start, stop, transposed, norms, expanded)
        best = first_smallest(expanded)
        smallest = expanded[best]
        # An upper bound on twice the error of an expanded square and of the definition's.
        slack = 4.0 * _UNIT * (rows.shape[1] + 8.0) * (norm + longest)
        direct = smallest < _EXPANDABLE * (norm + norms[best])
        for j in range(expanded.size):
            direct = direct or (j != best and expanded[j] <= smallest + slack)
        if not direct:
            bmu[i], distance[i] = best, np.sqrt(smallest)
            continue
        nearest = np.inf
        for j in range(expanded.size):
            if expanded[j] <= smallest + slack:
                found = np.sqrt(direct_square(values, columns, start, stop, rows[j]))
                if found < nearest:
                    nearest, best = found, j
        bmu[i], distance[i] = best, nearest


@compiled
def pairwise_euclidean(X: Sparse, prototypes: Prototypes, out: Float64) -> None:
    """Fill out (m, K) with Euclidean distances."""
    (values, columns, starts), (transposed, rows, norms) = X, prototypes
    for i in range(out.shape[0]):
        start, stop = starts[i], starts[i + 1]
        norm = squares(values, columns, start, stop, transposed, norms, out[i])
        for j in range(out.shape[1]):
            if out[i, j] < _EXPANDABLE * (norm + norms[j]):
                out[i, j] = direct_square(values, columns, start, stop, rows[j])
            out[i, j] = np.sqrt(out[i, j])


@compiled
def assign_cosine(X: Sparse, prototypes: Prototypes, bmu: Ints, distance: Float64) -> None:
    """Fill bmu (m,) and distance (m,) of unit samples and prototypes; see the Euclidean loop."""
    (values, columns, starts), (transposed, _, norms) = X, prototypes
    found = np.empty(norms.size)
    for i in range(bmu.size):
        products(values, columns, starts[i], starts[i + 1], transposed, found)
        for j in range(found.size):
            found[j] = max(0.0, 1.0 - found[j])
        bmu[i] = first_smallest(found)
        distance[i] = found[bmu[i]]


@compiled
def pairwise_cosine(X: Sparse, prototypes: Prototypes, out: Float64) -> None:
    """Fill out (m, K) with cosine distances of unit vectors."""
    (values, columns, starts), (transposed, _, _) = X, prototypes
    for i in range(out.shape[0]):
        products(values, columns, starts[i], starts[i + 1], transposed, out[i])
        for j in range(out.shape[1]):
            out[i, j] = max(0.0, 1.0 - out[i, j])
