"""Predictions of a fitted map for samples."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Flags, Floats, Integers
from dbgsom_core.engine.samples import Samples
from dbgsom_core.som_map.tree import Descent


class Answers:
    """Label, unit, distance and novelty of n samples, each computed when it is read.

    They are of the map at construction, whatever is trained later. The array of the samples is not
    copied: do not write to it before all are read.

    A sample belongs to the nearest neuron with training samples, and in hierarchical maps to such
    a neuron of its child map.
    """

    def __init__(self, estimator: Any, data: Samples) -> None:
        """Hold prepared samples and a copy of a fitted estimator."""
        self._estimator, self._data = copy(estimator), data

    @cached_property
    def descent(self) -> Descent:
        """Paths and leaves of the samples, among leaves with training samples."""
        found: Descent = self._estimator._predictor.descend(self._data)
        return found

    @property
    def unit(self) -> Integers:
        """Rows of ``weights_`` that the samples belong to, int64 (n,)."""
        return self.descent.path[:, 0]

    @property
    def leaf(self) -> Integers:
        """Rows of ``leaf_weights_``, int64 (n,); those of ``unit`` without child maps."""
        return self.descent.leaf

    @property
    def distance(self) -> Floats:
        """Distances to the leaf's prototype in the metric's units, float64 (n,)."""
        return self.descent.distance

    @property
    def cell(self) -> Integers:
        """Where the units are on the grid, (x, y) = (column, row), int64 (n, 2)."""
        cells: Integers = self._estimator.som_map_.positions[self.unit]
        return cells

    @cached_property
    def _answered(self) -> Floats | None:
        # Predictions of a labeller that predicts by sample; None: labels of neurons.
        answering = self._estimator._answering
        return None if answering is None else answering(self._data)

    @cached_property
    def label(self) -> NDArray[Any]:
        """As `predict` gives it, (n,), or (n, T) of several numbers."""
        if self._answered is None:
            return np.asarray(self._estimator.leaf_labels_[self.leaf])
        if not hasattr(self._estimator, "classes_"):
            return self._answered
        return np.asarray(self._estimator.classes_[self._answered.argmax(axis=1)])

    @property
    def probabilities(self) -> Floats | None:
        """As `predict_proba` gives them, float64 (n, C) in the order of ``classes_``, or None."""
        if not hasattr(self._estimator, "classes_"):
            return None
        if self._answered is not None:
            return self._answered
        shares = self._estimator._leaf_probabilities
        return None if shares is None else np.asarray(shares[self.leaf])

    @cached_property
    def novelty(self) -> Floats:
        """As `score_samples` gives it, float64 (n,)."""
        return np.asarray(self._estimator._scores(self._data))

    @property
    def pvalue(self) -> Floats:
        """As `novelty_pvalue` gives it, float64 (n,)."""
        return np.asarray(self._estimator._novelty.pvalues(self.novelty))

    @property
    def outlier(self) -> Flags:
        """Where the novelty is below ``offset_``, bool (n,)."""
        return np.asarray(self.novelty < self._estimator._novelty.offset)


def usual_distance(estimator: Any, leaf: int) -> float:
    """Return the mean distance of a leaf's training samples to it; 0 without samples."""
    memory = estimator._memory
    in_leaf = memory.units == leaf
    if not in_leaf.any():
        return 0.0
    return float(np.average(memory.scatter[in_leaf], weights=memory.weights[in_leaf]))


def data_frame(index: str, columns: Sequence[str], rows: Any) -> Any:
    """Return rows by name as a pandas data frame, whose index has a name."""
    import pandas as pd  # nothing else of estimators, training and engine needs it

    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns))
    return frame.rename_axis(index=index)
