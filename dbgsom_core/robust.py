"""Weights that let outliers count less, in the centres and in the counts alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def smoothed_weights(
    distance: NDArray[np.float64], weights: NDArray[np.float64], gamma: float
) -> NDArray[np.float64]:
    """Return the weights (n,) that samples have in one robust epoch.

    s_i = 1 - √(1 - exp(-γ d_i²)) for the distance d_i to the best-matching unit (D'Urso, De
    Giovanni & Massari 2019, smoothed self-organizing map). The weights are scaled to keep their
    sum, so that what depends on the number of samples, such as the growing threshold, still fits.

    Parameters
    ----------
    distance : float64 array (n,)
    weights : float64 array (n,)
        The samples' own.
    gamma : float
        In the inverse of the squared distance's units.
    """
    smoothed = weights * (1.0 - np.sqrt(-np.expm1(-gamma * np.square(distance))))
    total = smoothed.sum()
    # When every sample is far from every prototype none of them is an outlier.
    return smoothed * (weights.sum() / total) if total > 0 else weights
