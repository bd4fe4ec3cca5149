"""Totals of what neurons won that depend on samples alone: classes, and weights by distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def leading(counts: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which classes are in the majority in each neuron, from their counts (K, C).

    In a tie every tied class leads, so nothing depends on how the classes are numbered; none does
    in a neuron that won no labelled sample.
    """
    return np.asarray((counts == counts.max(axis=1, keepdims=True)) & (counts > 0))


def strangers(
    codes: NDArray[np.int64], leads: NDArray[np.bool_], neurons: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say of which samples (n,) the class does not lead in their neuron of ``neurons`` (n,)."""
    return np.asarray((codes >= 0) & ~leads[neurons, codes])


def count_classes(
    bmu: NDArray[np.int64],
    codes: NDArray[np.int64],
    n_neurons: int,
    n_classes: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """Return how many samples of each class every neuron won, (K, C), or their weights' sums.

    A sample with a negative code has no class and is not counted.
    """
    if codes.min(initial=0) < 0:
        labelled = codes >= 0
        bmu, codes = bmu[labelled], codes[labelled]
        weights = None if weights is None else weights[labelled]
    flat = np.bincount(bmu * n_classes + codes, weights, n_neurons * n_classes)
    return flat.reshape(n_neurons, n_classes)


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
