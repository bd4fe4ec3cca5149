"""Neurons that are called by the most frequent class of their samples."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import LabelEvidence, LabellerComponent


class Majority(LabellerComponent):
    """Each neuron answers with the most frequent class among the samples that it won.

    Equal counts go to the class that sorts first.
    """

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        """Return one class per neuron, shape (K,)."""
        counts, classes = _classes_of(evidence)
        return np.asarray(classes[counts.argmax(axis=1)])

    def probabilities(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        """Return the shares of the classes per neuron, shape (K, C); uniform without hits."""
        counts, classes = _classes_of(evidence)
        totals = counts.sum(axis=1, keepdims=True)
        uniform = np.full(counts.shape, 1 / len(classes))
        return np.asarray(np.divide(counts, totals, out=uniform, where=totals > 0))


def _classes_of(evidence: LabelEvidence) -> tuple[NDArray[Any], NDArray[Any]]:
    if evidence.class_counts is None or evidence.classes is None:
        raise ValueError("labeller 'majority' needs class labels: give y to fit")
    return evidence.class_counts, evidence.classes
