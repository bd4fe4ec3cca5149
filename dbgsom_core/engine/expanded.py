"""Euclidean distances of many samples to all prototypes through one matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# Of ‖x‖² + ‖w‖², centred: below, the expanded square has lost more than three of its 16 digits.
_CANCELLED = 1e-3
_BLOCK_NUMBERS = 1 << 17  # distances in a block: it stays in the cache
_MOST_ROWS = 1024


@dataclass(frozen=True)
class Expanded:
    """Prototypes ready for ‖x - w‖² = ‖x‖² - 2 x·w + ‖w‖² in float64, about their mean.

    Pairs whose square would lose digits are compared directly, so every distance has a relative
    error of about 1e-12 at most.
    """

    prototypes: NDArray[np.float64]
    centre: NDArray[np.float64]
    factors: NDArray[np.float64]
    norms: NDArray[np.float64]

    @classmethod
    def of(cls, prototypes: NDArray[np.float64]) -> Self:
        """Prepare prototypes (K, D)."""
        centre = prototypes.mean(axis=0)
        centred = prototypes - centre
        factors = np.ascontiguousarray(-2.0 * centred.T)
        return cls(prototypes, centre, factors, np.einsum("ij,ij->i", centred, centred))

    @property
    def block_rows(self) -> int:
        """How many samples one call should take; what a sample gets may depend on it."""
        return int(np.clip(_BLOCK_NUMBERS // len(self.prototypes), 16, _MOST_ROWS))

    def distances(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of samples X (m, D)."""
        from dbgsom_core.engine.expanded_loops import finish_distances

        samples = X - self.centre
        found: NDArray[np.float64] = samples @ self.factors
        lengths = np.einsum("ij,ij->i", samples, samples)
        finish_distances(X, self.prototypes, lengths, self.norms, _CANCELLED, found)
        return found
