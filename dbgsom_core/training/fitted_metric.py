"""A metric together with what it learned from the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.errors import PluginError

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FittedMetric:
    """A metric whose ``prepare`` gets the state that its ``fit`` returned.

    Everything else is the metric's own: methods, fields and attributes.

    Attributes
    ----------
    metric : Metric
    state : mapping of str to array
        Read-only; saved with the model.
    """

    metric: Any
    state: State

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        """Map samples (n, D) into the space of the map."""
        prepared: NDArray[Any] = self.metric.prepare(X, self.state)
        return prepared

    def __getattr__(self, name: str) -> Any:
        if name in ("metric", "state") or name.startswith("__"):  # not there while unpickling
            raise AttributeError(name)
        return getattr(self.metric, name)


def fitted(metric: Any, X: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Any:
    """Return the metric fitted to raw training samples X (n, D); itself where it learns nothing.

    Samples of weight 0 are left out; the weights (n,) of the others go to a metric that
    ``learns_weighted``.

    Raises
    ------
    PluginError
        ``fit`` returned something other than a mapping of names to arrays.
    """
    if not hasattr(metric, "fit"):
        return metric
    given: tuple[Any, ...] = (X,)
    if weights is not None:
        kept = weights > 0
        given = (X[kept], weights[kept])[: 2 if getattr(metric, "learns_weighted", False) else 1]
    with one_blas_thread():
        state = metric.fit(*given)
    plain = isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, np.ndarray) for name, value in state.items()
    )
    if not plain:
        raise PluginError(
            f"fit of metric {type(metric).__name__} must return a mapping of names to numpy "
            f"arrays, not {type(state).__name__}"
        )
    return restored(metric, state)


def restored(metric: Any, state: State | None) -> Any:
    """Return the metric with the state that it had once; itself where there is none."""
    if state is None:
        return metric
    kept = {name: value.copy() for name, value in state.items()}
    for value in kept.values():
        value.flags.writeable = False
    return FittedMetric(metric, kept)


def state_of(metric: Any) -> State | None:
    """Return what a metric learned, or None where it learns nothing."""
    return metric.state if isinstance(metric, FittedMetric) else None


def component_of(metric: Any) -> Any:
    """Return the component itself, without what it learned."""
    return metric.metric if isinstance(metric, FittedMetric) else metric
