"""Which classes are in the majority in each neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassLeads:
    """Which classes are in the majority in each neuron.

    In a tie every tied class leads, so nothing depends on how the classes are numbered.

    Attributes
    ----------
    codes : int array (n,)
        Classes 0..C-1 of the samples; negative for a sample without a class.
    leads : bool array (K, C)
        All False for a neuron that won no labelled sample.
    """

    codes: NDArray[np.int64]
    leads: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        bmu: NDArray[np.int64],
        codes: NDArray[np.int64],
        n_neurons: int,
        n_classes: int | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> Self:
        """Count the classes of the samples that each neuron won."""
        n_classes = int(codes.max()) + 1 if n_classes is None else n_classes
        counts = count_classes(bmu, codes, n_neurons, n_classes, weights)
        return cls(codes, (counts == counts.max(axis=1, keepdims=True)) & (counts > 0))

    def strangers(self, neurons: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of which samples (n,) the class does not lead in their neuron of ``neurons`` (n,)."""
        return np.asarray((self.codes >= 0) & ~self.leads[neurons, self.codes])


def count_classes(
    bmu: NDArray[np.int64],
    codes: NDArray[np.int64],
    n_neurons: int,
    n_classes: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """Return how many samples of each class every neuron won, (K, C), or their weights' sums.

    A sample with a negative code has no class and is not counted.
    """
    if codes.min(initial=0) < 0:
        labelled = codes >= 0
        bmu, codes = bmu[labelled], codes[labelled]
        weights = None if weights is None else weights[labelled]
    flat = np.bincount(bmu * n_classes + codes, weights, n_neurons * n_classes)
    return flat.reshape(n_neurons, n_classes)
