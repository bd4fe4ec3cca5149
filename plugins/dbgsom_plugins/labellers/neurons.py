"""Labels of neurons by what they won: their number, most frequent class, or mean target."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import LabelEvidence, LabellerComponent


class Index(LabellerComponent):
    """Each neuron that won a sample is a cluster of its own: 0, 1, … in order of birth."""

    estimators: ClassVar[tuple[str, ...]] = ("vq",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.int64]:
        """Return contiguous cluster numbers (K,); those of neurons without hits mean nothing."""
        return np.cumsum(evidence.hits > 0) - 1


class Majority(LabellerComponent):
    """Each neuron answers with the most frequent class among the samples that it won.

    Equal counts go to the class that sorts first.
    """

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        """Return one class per neuron, shape (K,)."""
        counts, classes = np.asarray(evidence.class_counts), np.asarray(evidence.classes)
        return np.asarray(classes[counts.argmax(axis=1)])

    def probabilities(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        """Return the shares of the classes per neuron, shape (K, C); uniform without hits."""
        counts = np.asarray(evidence.class_counts)
        totals = counts.sum(axis=1, keepdims=True)
        uniform = np.full(counts.shape, 1 / counts.shape[1])
        return np.asarray(np.divide(counts, totals, out=uniform, where=totals > 0))


class Mean(LabellerComponent):
    """Each neuron answers with the mean target of the samples that it won, by sample weight."""

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        """Return one number per neuron, float64 (K,); the mean of all without hits."""
        y, weights = np.asarray(evidence.y, dtype=np.float64), evidence.weights
        weights = np.ones(len(y)) if weights is None else weights
        n_neurons = len(evidence.som_map)
        centre = np.average(y, weights=weights)  # taken off, so that a large offset costs no digits
        sums = np.bincount(evidence.bmu, weights * (y - centre), n_neurons)
        totals = np.bincount(evidence.bmu, weights, n_neurons)
        means = np.divide(sums, totals, out=np.zeros(n_neurons), where=totals > 0)
        return np.asarray(centre + means)
