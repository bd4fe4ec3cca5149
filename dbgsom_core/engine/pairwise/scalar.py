"""Calling the compiled loops around a metric that is written for one pair."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.pairwise.scalar_loops import loops_around


def scalar_assign(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D).

    Raises
    ------
    TypeError
        ``metric.scalar`` is not compiled with numba.
    """
    answer: tuple[NDArray[np.int64], NDArray[np.float64]] = _judged(_assign, metric, X, prototypes)
    return answer


def scalar_pairwise(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the distances (m, K); arguments and errors are those of `scalar_assign`."""
    answer: NDArray[np.float64] = _judged(_pairwise, metric, X, prototypes)
    return answer


def _judged(loop: Any, metric: MetricCalls, *given: Any) -> Any:
    return loop(metric, *given) if metric.judge is None else metric.judge(loop, metric, *given)


def _assign(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    bmu, distance = np.empty(len(X), dtype=np.int64), np.empty(len(X))
    loops = loops_around(metric.scalar)
    loops.assign(_samples(X), *loops.prototypes(*_prototypes(metric, prototypes)), bmu, distance)
    return bmu, distance


def _pairwise(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[Any]
) -> NDArray[np.float64]:
    distances = np.empty((len(X), len(prototypes)))
    loops = loops_around(metric.scalar)
    loops.pairwise(_samples(X), *loops.prototypes(*_prototypes(metric, prototypes)), distances)
    return distances


def _samples(X: NDArray[Any]) -> NDArray[np.float64]:
    # Writeable, so that the loops are compiled for one kind of array only.
    return np.require(X, np.float64, ["C", "W"])


def _prototypes(
    metric: MetricCalls, prototypes: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return _samples(prototypes), _samples(metric.scalar_params())
