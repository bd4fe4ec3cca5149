"""A metric together with what it learned from the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.interfaces.metrics import Metric, MetricAbilities

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FittedMetric:
    """A metric and the state that its ``fit`` returned.

    Attributes
    ----------
    metric : Metric
    state : mapping of str to array, or None
        Read-only; saved with the model. None: it learns nothing.
    """

    metric: Metric
    state: State | None = None

    @cached_property
    def abilities(self) -> MetricAbilities:
        """What the metric can do, its ``prepare`` with what it learned."""
        found = MetricAbilities.of(self.metric)
        return found if self.state is None else found.knowing(self.state)

    def __getstate__(self) -> dict[str, Any]:
        return {"metric": self.metric, "state": self.state}  # the rest is found out again


def fitted(
    metric: Metric, X: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> FittedMetric:
    """Return the metric fitted to raw training samples X (n, D), where it learns anything.

    Samples of weight 0 are left out; the weights (n,) of the others go to a metric that
    ``learns_weighted``.

    Raises
    ------
    PluginError
        ``scalar`` is not compiled, or ``fit`` of a component returned something other than a
        mapping of names to arrays.
    """
    abilities = MetricAbilities.of(metric)
    if abilities.fit is None:
        return FittedMetric(metric)
    given: tuple[Any, ...] = (X,)
    if weights is not None:
        kept = weights > 0
        given = (X[kept], weights[kept])[: 2 if abilities.learns_weighted else 1]
    with one_blas_thread():
        state = abilities.fit(*given)
    return restored(metric, state)


def restored(metric: Metric, state: State | None) -> FittedMetric:
    """Return the metric with the state that it had once."""
    if state is None:
        return FittedMetric(metric)
    kept = {name: value.copy() for name, value in state.items()}
    for value in kept.values():
        value.flags.writeable = False
    return FittedMetric(metric, kept)
