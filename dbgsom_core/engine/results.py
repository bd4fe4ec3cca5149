"""What a search finds, and what a search is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Found(Protocol):
    """The best-matching unit of each sample and its distance."""

    @property
    def bmu(self) -> NDArray[np.int64]:
        """Rows of the prototypes, int64 (n,)."""

    @property
    def distance(self) -> NDArray[np.float64]:
        """Distances to them in the metric's units, float64 (n,)."""


class MapGraph(NamedTuple):
    """How the K neurons of a map are linked, as far as a pass needs it.

    Attributes
    ----------
    hops : uint16 array (K, K)
        The least number of links between two neurons.
    links : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    rectangle : (rows, columns) or None
        Where neurons fill a rectangle of four links each in row-major order.
    """

    hops: NDArray[np.uint16]
    links: NDArray[np.int32]
    rectangle: tuple[int, int] | None


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


def groups(keys: NDArray[Any]) -> list[Rows]:
    """Return the rows of each distinct key, each ascending, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]
