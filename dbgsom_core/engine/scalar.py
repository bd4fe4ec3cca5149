"""A compiled loop around a metric that is written for one pair."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.metric_calls import MetricCalls


def scalar_assign(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D).

    Raises
    ------
    TypeError
        ``metric.scalar`` is not compiled with numba.
    """
    distances = scalar_pairwise(metric, X, prototypes)
    bmu = distances.argmin(axis=1)
    return bmu, distances[np.arange(len(bmu)), bmu]


def scalar_pairwise(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the distances (m, K); arguments and errors are those of `scalar_assign`."""
    if metric.judge is None:
        return _pairwise(metric, X, prototypes)
    found: NDArray[np.float64] = metric.judge(_pairwise, metric, X, prototypes)
    return found


def _pairwise(
    metric: MetricCalls, X: NDArray[Any], prototypes: NDArray[Any]
) -> NDArray[np.float64]:
    distances = np.empty((len(X), len(prototypes)))
    # Writeable, so that the loop is compiled for one kind of array only.
    given = (np.require(a, np.float64, ["C", "W"]) for a in (X, prototypes, metric.scalar_params()))
    with _compiling:  # threads ask at the same time
        fill_distances = _loop_around(metric.scalar)
    fill_distances(*given, distances)
    return distances


_compiling = Lock()


@lru_cache(maxsize=64)
def _loop_around(scalar: Any) -> Callable[..., None]:
    # Compiled in each process: numba's cache does not see when the metric's function changes.
    from numba import njit, types  # slow to import
    from numba.extending import is_jitted

    if not is_jitted(scalar):
        raise TypeError(f"{scalar!r} is not compiled with numba")
    rows, numbers = types.float64[:, ::1], types.float64[::1]

    def fill_distances(X: Any, prototypes: Any, params: Any, out: Any) -> None:
        for i in range(X.shape[0]):
            for j in range(prototypes.shape[0]):
                out[i, j] = scalar(X[i], prototypes[j], params)

    compiled: Callable[..., None] = njit(
        [types.void(rows, rows, numbers, rows)], nogil=True, error_model="numpy"
    )(fill_distances)
    return compiled
