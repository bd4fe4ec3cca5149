"""Labels for a whole map from a few labelled samples."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import DataError, LabelEvidence, LabellerComponent


class Propagated(LabellerComponent):
    """Spread the classes of labelled samples over the prototypes (Zhou et al. 2004).

    Samples whose class is ``unknown`` train the map and teach no label. Neurons that won labelled
    samples start with their most frequent class; all neurons then take what their nearest
    prototypes say, through scikit-learn's LabelSpreading.
    """

    needs_target: ClassVar[bool] = True

    unknown: str | int | None = Field(default=None, description="what stands for no class")
    neighbours: int = Field(default=5, ge=1, description="prototypes that a neuron listens to")
    alpha: float = Field(default=0.2, gt=0, lt=1, description="trust in neighbours over oneself")

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        assert evidence.classes is not None
        return np.asarray(evidence.classes[self.probabilities(evidence).argmax(axis=1)])

    def probabilities(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        from sklearn.semi_supervised import LabelSpreading

        if evidence.class_counts is None or evidence.classes is None:
            raise DataError("labeller 'propagated' needs class labels: give y to fit")
        known = np.flatnonzero([one != self.unknown for one in evidence.classes.tolist()])
        counts = evidence.class_counts[:, known]
        start = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), -1)
        shares = np.zeros(evidence.class_counts.shape)
        taught = np.unique(start[start >= 0])
        if not len(taught):
            raise DataError(f"labeller 'propagated' found no sample but of class {self.unknown!r}")
        if len(taught) == 1:
            shares[:, known[taught[0]]] = 1.0
            return shares
        near = min(self.neighbours, len(start) - 1)
        spreading = LabelSpreading(kernel="knn", n_neighbors=near, alpha=self.alpha, max_iter=1000)
        spreading.fit(evidence.som_map.prototypes, start)
        spread = np.nan_to_num(spreading.label_distributions_)
        lost = spread.sum(axis=1) == 0  # no path leads to a labelled neuron
        spread[lost] = 1.0
        shares[:, known[spreading.classes_]] = spread / spread.sum(axis=1, keepdims=True)
        return shares
