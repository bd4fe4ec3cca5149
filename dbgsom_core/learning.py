"""Metrics that learn from training samples which may have weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.fitted_metric import fitted, restored, state_of


def learnt(metric: Any, X: Any, weights: NDArray[np.float64] | None) -> Any:
    """Return the metric fitted to raw samples X (n, D); itself where it learns nothing.

    Parameters
    ----------
    metric : Metric
        One that ``learns_weighted`` is given the weights, too: ``fit(X, weights)``.
    X : array or CSR matrix (n, D)
        Samples of weight 0 are left out.
    weights : float64 array (n,) or None
    """
    if weights is None or not hasattr(metric, "fit"):
        return fitted(metric, X)
    kept = weights > 0
    X, weights = X[kept], weights[kept]
    if not getattr(metric, "learns_weighted", False):
        return fitted(metric, X)
    return restored(metric, state_of(fitted(_Weighing(metric, weights), X)))


@dataclass(frozen=True)
class _Weighing:
    metric: Any
    weights: NDArray[np.float64]

    def fit(self, X: Any) -> Any:
        return self.metric.fit(X, self.weights)
