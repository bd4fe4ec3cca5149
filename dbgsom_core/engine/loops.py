"""Compiled loops of the pass over the data that do not depend on the metric."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled


@compiled
def add_samples(X: NDArray[Any], bmu: NDArray[np.int64], sums: NDArray[np.float64]) -> None:
    """Add every row of X (n, D) to ``sums[bmu[i]]``, sums (K, D), in the order of the rows."""
    for i in range(X.shape[0]):
        j = bmu[i]
        for k in range(X.shape[1]):
            sums[j, k] += X[i, k]


@compiled
def add_columns(X: NDArray[Any], total: NDArray[np.float64]) -> None:
    """Add every row of X (n, D) to ``total`` (D,)."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            total[k] += X[i, k]


@compiled
def add_squares(X: NDArray[Any], centre: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    """Add (X[i, k] - centre[k])**2 of every row of X (n, D) to ``total`` (D,)."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            difference = X[i, k] - centre[k]
            total[k] += difference * difference
