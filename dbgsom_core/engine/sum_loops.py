"""Compiled sums of what neurons won, where samples are weighted, incomplete or sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop


@loop
def add_weighted(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    bmu: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Add ``weights[i]*X[i]`` to ``sums[bmu[i]]``, X (n, D), sums (K, D), row by row."""
    for i in range(X.shape[0]):
        j, weight = bmu[i], weights[i]
        for k in range(X.shape[1]):
            sums[j, k] += weight * X[i, k]


@loop
def add_observed(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    bmu: NDArray[np.int64],
    sums: NDArray[np.float64],
    seen: NDArray[np.float64],
) -> None:
    """Do as `add_weighted` for what is not nan, and add the weights of that to ``seen`` (K, D)."""
    for i in range(X.shape[0]):
        j, weight = bmu[i], weights[i]
        for k in range(X.shape[1]):
            if not np.isnan(X[i, k]):
                sums[j, k] += weight * X[i, k]
                seen[j, k] += weight


@loop
def add_sparse(
    values: NDArray[Any],
    columns: NDArray[Any],
    starts: NDArray[Any],
    weights: NDArray[np.float64],
    bmu: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Do as `add_weighted` for the rows of a CSR matrix (values, columns, row starts)."""
    for i in range(starts.size - 1):
        j, weight = bmu[i], weights[i]
        for p in range(starts[i], starts[i + 1]):
            sums[j, columns[p]] += weight * values[p]
