"""Weights that let outliers count less, in the centres and in the counts alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.contract import Samples
from dbgsom_core.engine.majorities import smoothed_weights

_MILD = 0.1  # a sample at the median distance keeps 0.69 of its weight, one ten times as far none


def robust_weights(data: Samples, gamma: float | None) -> tuple[NDArray[np.float64], float]:
    """Return weights (n,) by the distances to the column medians, and γ.

    γ None is 0.1 over the median squared distance to the medians.
    """
    distance = data.assign(data.metric.centred(_medians(data)[None])).distance
    if gamma is None:
        middle = weighted_median(distance, data.sample_weights) or float(distance.max()) or 1.0
        gamma = _MILD / middle**2
    return smoothed_weights(distance, data.sample_weights, gamma), gamma


def _medians(data: Samples) -> NDArray[np.float64]:
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
