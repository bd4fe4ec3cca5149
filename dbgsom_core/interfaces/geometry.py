"""Whether a metric that says it is Euclidean is: the fast search never asks it again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.errors import UnfitError

_ROWS = 6  # samples on either side of the pairs that are compared
_AGREES = 1e-6  # relative; a float32 metric is no other


def euclidean(metric: MetricCalls, X: NDArray[Any]) -> NDArray[np.float64]:
    """Return distances by a metric between some of its prepared samples X (n, D).

    Raises
    ------
    UnfitError
        They are not Euclidean.
    """
    spaced = X[np.linspace(0, len(X) - 1, min(len(X), 2 * _ROWS)).astype(np.intp)]
    complete = spaced[np.isfinite(spaced).all(axis=1)]
    some, others = complete[::2], complete[1::2].astype(np.float64)
    expected = np.sqrt(np.square(some[:, None].astype(np.float64) - others).sum(axis=2))
    found = _distances(metric, some, others)
    off = np.abs(found - expected)
    if not (off <= _AGREES * (1.0 + expected)).all():
        worst = np.unravel_index(np.argmax(off), off.shape)
        raise UnfitError(
            f"is not 'euclidean': it calls two samples {found[worst]:g} apart that are "
            f"{expected[worst]:g} apart; leave geometry out"
        )
    return found


def _distances(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[np.float64]
) -> NDArray[np.float64]:
    found = np.empty((len(X), len(prototypes)))
    if metric.pairwise is not None:
        found[:] = metric.pairwise(X, prototypes) if found.size else 0.0
    elif metric.assign is not None:
        for column, prototype in enumerate(prototypes):
            found[:, column] = metric.assign(X, prototype[None])[1]
    else:  # pair by pair: the loops around it may never be needed
        params = np.asarray(metric.scalar_params(), np.float64)
        for row, column in np.ndindex(found.shape):
            x = X[row].astype(np.float64)
            found[row, column] = metric.scalar(x, prototypes[column], params)  # type: ignore[misc]
    return found
