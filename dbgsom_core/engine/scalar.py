"""The loop around a metric that is written for one pair: compiled once per function."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.fitted_metric import component_of
from dbgsom_core.errors import PluginError

Loops = tuple[Callable[..., None], Callable[..., None]]


def scalar_assign(
    metric: Any, X: NDArray[Any], prototypes: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D).

    Raises
    ------
    PluginError
        ``metric.scalar`` is not compiled with numba.
    """
    bmu, distance = np.empty(len(X), dtype=np.int64), np.empty(len(X))
    assign, _ = _loops(metric.scalar)
    assign(*_arguments(metric, X, prototypes), bmu, distance)
    return bmu, distance


def scalar_pairwise(metric: Any, X: NDArray[Any], prototypes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the distances (m, K); arguments and errors are those of `scalar_assign`."""
    distances = np.empty((len(X), len(prototypes)))
    _, pairwise = _loops(metric.scalar)
    pairwise(*_arguments(metric, X, prototypes), distances)
    return distances


def scalar_params(metric: Any) -> NDArray[np.float64]:
    """Return what ``metric.scalar`` gets as params, float64 (P,)."""
    given = getattr(metric, "scalar_params", None)
    if given is not None:
        return np.ascontiguousarray(given(), dtype=np.float64)
    metric = component_of(metric)
    values = (getattr(metric, field) for field in type(metric).model_fields)
    return np.array([value for value in values if isinstance(value, (bool, int, float))], float)


def _arguments(metric: Any, X: NDArray[Any], prototypes: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    samples = np.ascontiguousarray(X, dtype=np.float64)
    return samples, np.ascontiguousarray(prototypes, dtype=np.float64), scalar_params(metric)


@lru_cache(maxsize=64)
def _loops(scalar: Any) -> Loops:
    # Loops that close over the metric: a call inside costs nothing, where a function handed over
    # as an argument would cost more than the distance.
    from numba import njit
    from numba.extending import is_jitted

    if not is_jitted(scalar):
        raise PluginError(
            f"{getattr(scalar, '__qualname__', scalar)!s} is no compiled function: write "
            "scalar = staticmethod(numba.njit(f)) in the metric's class"
        )

    def assign(
        X: NDArray[np.float64],
        prototypes: NDArray[np.float64],
        params: NDArray[np.float64],
        bmu: NDArray[np.int64],
        distance: NDArray[np.float64],
    ) -> None:
        for i in range(X.shape[0]):
            best, nearest = 0, scalar(X[i], prototypes[0], params)
            for j in range(1, prototypes.shape[0]):
                found = scalar(X[i], prototypes[j], params)
                if found < nearest:
                    best, nearest = j, found
            bmu[i], distance[i] = best, nearest

    def pairwise(
        X: NDArray[np.float64],
        prototypes: NDArray[np.float64],
        params: NDArray[np.float64],
        out: NDArray[np.float64],
    ) -> None:
        for i in range(X.shape[0]):
            for j in range(prototypes.shape[0]):
                out[i, j] = scalar(X[i], prototypes[j], params)

    compile_ = njit(nogil=True, error_model="numpy")
    return compile_(assign), compile_(pairwise)
