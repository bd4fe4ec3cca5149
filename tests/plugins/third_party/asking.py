"""Components that ask the run; one labels several targets at once."""

from typing import ClassVar

import numpy as np

from dbgsom_core.api import Birth, GrowthComponent, LabellerComponent, MetricComponent, hookimpl

DBGSOM_API_VERSION = 1


class Scaled(MetricComponent):
    """Manhattan distance in steps of each column's median absolute deviation, which it learns."""

    uses_state: ClassVar[bool] = True

    def fit(self, X):
        return {"step": np.maximum(np.median(np.abs(X - np.median(X, axis=0)), axis=0), 1e-9)}

    def pairwise(self, X, prototypes, state):
        return (np.abs(X[:, None] - prototypes) / state["step"]).sum(axis=2)


class Split(GrowthComponent):
    """Beside the neuron of the widest samples one is born at one of them, drawn by lot."""

    def grow(self, som_map, state):
        ask, widest = state.context, -1.0
        if state.epoch % 3 or len(som_map) > 20:
            return []
        for neuron in np.flatnonzero(som_map.boundary()).tolist():
            own = som_map.prototypes[[neuron]]
            for chunk in ask.samples(neuron):
                width = float((ask.distances(chunk.X, own)[:, 0] * chunk.weights).max())
                if width > widest:
                    sample = chunk.X[ask.generator.integers(len(chunk.X))]
                    widest, born = width, (som_map.free_cells(neuron)[0], sample, neuron)
        return [] if widest < 0 else [Birth(*born)]


class Medians(LabellerComponent):
    """The median of each target among a neuron's samples; of all where nobody knows it there."""

    needs_target: ClassVar[bool] = True
    several_targets: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)

    def label(self, evidence):
        labels = np.array([usual := np.nanmedian(evidence.y, axis=0)] * len(evidence.som_map))
        for neuron in np.flatnonzero(evidence.hits):
            rows = np.concatenate([one.rows for one in evidence.context.samples(neuron)])
            own = np.where(np.isnan(evidence.y[rows]).all(axis=0), usual, evidence.y[rows])
            labels[neuron] = np.nanmedian(own, axis=0)
        return labels


dbgsom_metrics = hookimpl(lambda: {"scaled": Scaled})
dbgsom_growth_strategies = hookimpl(lambda: {"split": Split})
dbgsom_labellers = hookimpl(lambda: {"medians": Medians})
