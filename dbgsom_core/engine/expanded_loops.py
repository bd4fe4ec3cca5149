"""The last step from products to distances, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled


@compiled
def finish_distances(
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    sample_norms: NDArray[np.float64],
    norms: NDArray[np.float64],
    cancelled: float,
    products: NDArray[np.float64],
) -> None:
    """Turn ``products`` (m, K), -2 x·w of centred vectors, into distances.

    Where the square is below ``cancelled`` of ‖x‖² + ‖w‖² it is the sum over the features of X
    (m, D) and the prototypes (K, D).
    """
    for i in range(products.shape[0]):
        row = products[i]
        lost = False
        for j in range(row.size):
            both = sample_norms[i] + norms[j]
            square = row[j] + both
            lost |= not square >= cancelled * both  # nan counts as lost
            row[j] = np.sqrt(max(square, 0.0))
        if not lost:
            continue
        for j in range(row.size):
            if not row[j] * row[j] >= 1.01 * cancelled * (sample_norms[i] + norms[j]):
                total = 0.0
                for k in range(X.shape[1]):
                    difference = X[i, k] - prototypes[j, k]
                    total += difference * difference
                row[j] = np.sqrt(total)
