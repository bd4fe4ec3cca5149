"""What a search finds, and what a search is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Found(Protocol):
    """The best-matching unit of each sample and its distance."""

    @property
    def bmu(self) -> NDArray[np.int64]:
        """Rows of the prototypes, int64 (n,)."""

    @property
    def distance(self) -> NDArray[np.float64]:
        """Distances to them in the metric's units, float64 (n,)."""


@dataclass(frozen=True)
class Totals:
    """What each neuron won.

    Attributes
    ----------
    hits : int64 array (K,)
        float64 where samples are weighted: the sum of the weights.
    sums : float64 array (K, D)
        Of the samples, weighted; of what is observed of them.
    errors : float64 array (K,)
        Weighted sums of the distances. Where a fast search adds them up they are as exact as its
        dtype.
    seen : float64 array (K, D) or None
        Where values are missing: the hits of each neuron in which a feature was observed.
    """

    hits: NDArray[Any]
    sums: NDArray[np.float64]
    errors: NDArray[np.float64]
    seen: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Assignment:
    """The best-matching unit of each sample: ``bmu`` (n,) int64 and ``distance`` (n,) float64.

    ``totals`` are there when they have been added up already.
    """

    bmu: NDArray[np.int64]
    distance: NDArray[np.float64]
    totals: Totals | None = None


class Search(Protocol):
    """Finds units epoch after epoch; it may remember what it found to be faster next time.

    ``prototypes`` are float64 (K, D), ``positions`` their grid cells, int (K, 2).
    """

    def assign(self, prototypes: NDArray[np.float64], positions: NDArray[np.int64]) -> Found:
        """Find the nearest prototype of every sample, ties to the lowest row."""

    def admit(
        self,
        found: Found,
        prototypes: NDArray[np.float64],
        positions: NDArray[np.int64],
        known: int,
    ) -> Found:
        """Return the last result, for the first ``known`` prototypes, extended to all."""

    def nearest_two(self, prototypes: NDArray[np.float64]) -> NDArray[np.signedinteger[Any]]:
        """Return the rows (n, 2) of the two nearest prototypes, nearest first."""
