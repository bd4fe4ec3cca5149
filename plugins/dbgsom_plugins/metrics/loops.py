"""Compiled distance loops shared by the built-in metrics.

All distances are computed directly in float64 (no expansion of the square), so the same pair gives
the same bits whatever else is in the chunk. Prototypes come transposed, (D, K): the inner loop
runs over neurons, which the compiler vectorises without changing the order of any sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled

Float64 = NDArray[np.float64]


@compiled
def squared_euclidean(x: Float64, prototypes: Float64, out: Float64) -> None:
    """out[j] = sum over k of (x[k] - w[k, j])**2."""
    out[:] = 0.0
    for k in range(prototypes.shape[0]):
        for j in range(prototypes.shape[1]):
            difference = x[k] - prototypes[k, j]
            out[j] += difference * difference


@compiled
def one_minus_product(x: Float64, prototypes: Float64, out: Float64) -> None:
    """out[j] = max(0, 1 - sum over k of x[k]*w[k, j])."""
    out[:] = 0.0
    for k in range(prototypes.shape[0]):
        for j in range(prototypes.shape[1]):
            out[j] += x[k] * prototypes[k, j]
    for j in range(prototypes.shape[1]):
        out[j] = max(0.0, 1.0 - out[j])


@compiled
def first_smallest(values: Float64) -> int:
    """Return the index of the smallest value, the lowest one when several are equal."""
    best = 0
    for j in range(1, values.size):
        if values[j] < values[best]:
            best = j
    return best


@compiled
def first_smallest_root(squares: Float64) -> int:
    """Return the lowest index whose square root equals the smallest square root.

    Two squares may differ while their roots, the distances, are the same float64.
    """
    best = first_smallest(squares)
    root = np.sqrt(squares[best])
    for j in range(best):
        if np.sqrt(squares[j]) == root:
            return j
    return best


@compiled
def assign_euclidean(X: Float64, prototypes: Float64, bmu: NDArray[Any], distance: Float64) -> None:
    """Fill bmu (m,) and distance (m,) for samples X (m, D) and prototypes (D, K)."""
    squares = np.empty(prototypes.shape[1])
    for i in range(X.shape[0]):
        squared_euclidean(X[i], prototypes, squares)
        j = first_smallest_root(squares)
        bmu[i] = j
        distance[i] = np.sqrt(squares[j])


@compiled
def assign_cosine(X: Float64, prototypes: Float64, bmu: NDArray[Any], distance: Float64) -> None:
    """Fill bmu (m,) and distance (m,) for unit samples X (m, D) and unit prototypes (D, K)."""
    values = np.empty(prototypes.shape[1])
    for i in range(X.shape[0]):
        one_minus_product(X[i], prototypes, values)
        bmu[i] = first_smallest(values)
        distance[i] = values[bmu[i]]


@compiled
def pairwise_euclidean(X: Float64, prototypes: Float64, out: Float64) -> None:
    """Fill out (m, K) with Euclidean distances."""
    for i in range(X.shape[0]):
        squared_euclidean(X[i], prototypes, out[i])
        for j in range(out.shape[1]):
            out[i, j] = np.sqrt(out[i, j])


@compiled
def pairwise_cosine(X: Float64, prototypes: Float64, out: Float64) -> None:
    """Fill out (m, K) with cosine distances of unit vectors."""
    for i in range(X.shape[0]):
        one_minus_product(X[i], prototypes, out[i])
