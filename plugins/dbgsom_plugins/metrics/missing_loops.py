"""Compiled Euclidean distances of samples with missing values.

What is missing (nan) is left out, and the sum over the rest is scaled by D/observed, as
`sklearn.metrics.pairwise.nan_euclidean_distances` does. A complete sample gets the same bits as
from the loops for complete samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled
from dbgsom_plugins.metrics.loops import first_smallest_root

Float64 = NDArray[np.float64]


@compiled
def squared_partial(x: Float64, prototypes: Float64, out: Float64) -> None:
    """out[j] = D/observed * sum over the observed k of (x[k] - w[k, j])**2."""
    out[:] = 0.0
    observed = 0
    for k in range(prototypes.shape[0]):
        if np.isnan(x[k]):
            continue
        observed += 1
        for j in range(prototypes.shape[1]):
            difference = x[k] - prototypes[k, j]
            out[j] += difference * difference
    scale = prototypes.shape[0] / observed if observed > 0 else np.nan
    for j in range(out.size):
        out[j] *= scale


@compiled
def assign_missing_euclidean(
    X: Float64, prototypes: Float64, bmu: NDArray[Any], distance: Float64
) -> None:
    """Fill bmu (m,) and distance (m,) for samples X (m, D) with nan and prototypes (D, K)."""
    squares = np.empty(prototypes.shape[1])
    for i in range(X.shape[0]):
        squared_partial(X[i], prototypes, squares)
        j = first_smallest_root(squares)
        bmu[i] = j
        distance[i] = np.sqrt(squares[j])


@compiled
def pairwise_missing_euclidean(X: Float64, prototypes: Float64, out: Float64) -> None:
    """Fill out (m, K) with Euclidean distances of samples with nan."""
    for i in range(X.shape[0]):
        squared_partial(X[i], prototypes, out[i])
        for j in range(out.shape[1]):
            out[i, j] = np.sqrt(out[i, j])
