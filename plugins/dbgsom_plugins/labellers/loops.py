"""Compiled loops of labellers: what numpy would make of each row alone costs more than it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled


@compiled
def add_votes(
    kernel: NDArray[np.float64],
    weights: NDArray[np.float64],
    values: NDArray[np.int64],
    votes: NDArray[np.float64],
) -> bool:
    """Add ``weights`` times ``kernel`` (m, k) to votes (m, C), each to the class in ``values``."""
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            value = values[i, j]
            if not 0 <= value < votes.shape[1]:
                return False
            votes[i, value] += weights[i, j] * kernel[i, j]
    return True


@compiled
def to_probabilities(
    votes: NDArray[np.float64], strength: float, shares: NDArray[np.float64]
) -> None:
    """Make probabilities of votes (m, C), ``strength`` of which go by the ``shares`` (C,)."""
    for i in range(votes.shape[0]):
        total = 0.0
        for c in range(votes.shape[1]):
            total += votes[i, c]
        for c in range(votes.shape[1]):
            votes[i, c] = (votes[i, c] + strength * shares[c]) / (total + strength)


@compiled
def add_mean_of_models(
    kernel: NDArray[np.float64],
    units: NDArray[np.int64],
    along: NDArray[np.float64],
    offsets: NDArray[np.float64],
    slopes: NDArray[np.float64],
    out: NDArray[np.float64],
) -> bool:
    """Add to out (m,) what linear models (K, R) tell of samples ``along`` (m, R), in the mean."""
    for i in range(kernel.shape[0]):
        told = total = 0.0
        for j in range(kernel.shape[1]):
            unit = units[i, j]
            if not 0 <= unit < offsets.size:
                return False
            one = offsets[unit]
            for r in range(along.shape[1]):
                one += along[i, r] * slopes[unit, r]
            told += kernel[i, j] * one
            total += kernel[i, j]
        out[i] += told / total
    return True
