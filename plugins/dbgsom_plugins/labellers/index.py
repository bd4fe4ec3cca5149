"""Neurons that are called by their number."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import LabelEvidence, LabellerComponent


class Index(LabellerComponent):
    """Each neuron that won a sample is a cluster of its own: 0, 1, … in order of birth."""

    estimators: ClassVar[tuple[str, ...]] = ("vq",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.int64]:
        """Return contiguous cluster numbers (K,); those of neurons without hits mean nothing."""
        return np.cumsum(evidence.hits > 0) - 1
