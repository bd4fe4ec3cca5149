"""Neurons that answer with the mean target of their samples."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import LabelEvidence, LabellerComponent


class Mean(LabellerComponent):
    """Each neuron answers with the mean target of the samples that it won, by sample weight."""

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        """Return one number per neuron, float64 (K,); the mean of all without hits."""
        y = _numbers(evidence)
        weights = evidence.weights
        weights = np.ones(len(y)) if weights is None else weights
        n_neurons = len(evidence.som_map)
        centre = np.average(y, weights=weights)  # taken off, so that a large offset costs no digits
        sums = np.bincount(evidence.bmu, weights * (y - centre), n_neurons)
        totals = np.bincount(evidence.bmu, weights, n_neurons)
        means = np.divide(sums, totals, out=np.zeros(n_neurons), where=totals > 0)
        return np.asarray(centre + means)


def _numbers(evidence: LabelEvidence) -> NDArray[np.float64]:
    if evidence.y is None or np.asarray(evidence.y).dtype.kind not in "fiub":
        raise ValueError("labeller 'mean' needs numbers as targets: give y to fit")
    return np.asarray(evidence.y, dtype=np.float64)
