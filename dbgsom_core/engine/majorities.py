"""Totals of what neurons won that depend on samples alone: classes, and weights by distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

_MILD = 0.1  # a sample at the median distance keeps 0.69 of its weight, one ten times as far none


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
    flat = np.bincount(bmu * np.int64(n_classes) + codes, weights, n_neurons * n_classes)
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


def robust_weights(data: Any, gamma: float | None) -> tuple[NDArray[np.float64], float]:
    """Return weights (n,) by the distances to the column medians, and γ.

    γ None is 0.1 over the median squared distance to the medians.
    """
    distance = data.assign(data.metric.centred(_medians(data)[None])).distance
    if gamma is None:
        middle = weighted_median(distance, data.sample_weights) or float(distance.max()) or 1.0
        gamma = _MILD / middle**2
    return smoothed_weights(distance, data.sample_weights, gamma), gamma


def _medians(data: Any) -> NDArray[np.float64]:
    """Return the weighted medians (D,) of the columns, of what is observed in them."""
    X, weights, medians = data.X, data.sample_weights, np.zeros(data.X.shape[1])
    columns = list(range(X.shape[1]))
    if issparse(X):
        # Where less than half of the weight is stored the median is 0.
        X = X.tocsc()
        stored = np.bincount(
            data.X.indices, np.repeat(weights, np.diff(data.X.indptr)), len(medians)
        )
        columns = np.flatnonzero(2 * stored >= data.total_weight).tolist()
    for k in columns:
        column = X[:, [k]].toarray().ravel() if issparse(X) else X[:, k]
        observed = ~np.isnan(column)
        medians[k] = weighted_median(column[observed], weights[observed])
    return medians


def weighted_median(values: NDArray[Any], weights: NDArray[np.float64]) -> float:
    """Return the lowest of the values (m,) up to which lies at least half of the weight."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(reached, reached[-1] / 2)]])
