"""A labeller."""

from typing import ClassVar

import numpy as np

from dbgsom_core.api import LabellerComponent


class Confident(LabellerComponent):
    """Each neuron answers with its most frequent class; shares are smoothed towards even ones."""

    needs_target: ClassVar[bool] = True

    def label(self, evidence):
        """Return one class per neuron, shape (K,)."""
        return np.asarray(evidence.classes)[evidence.class_counts.argmax(axis=1)]

    def probabilities(self, evidence):
        """Return the class shares per neuron, shape (K, C): one extra sample of each class."""
        counts = evidence.class_counts + 1.0
        return counts / counts.sum(axis=1, keepdims=True)
