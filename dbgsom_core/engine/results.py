"""What a search finds, and what a search is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

_ROWS = 1 << 16  # samples looked up at a time

Rows = NDArray[np.int64]
Centre = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class PerSample(Protocol):
    """What is known of each sample after a pass, made when asked for."""

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
    """The best-matching unit of each sample: ``bmu`` (n,) int64 and ``distance`` (n,) float64."""

    bmu: NDArray[np.int64]
    distance: NDArray[np.float64]


class Found(PerSample, Protocol):
    """What one pass found, of the size of the map; samples themselves only behind `PerSample`.

    It is valid until the next pass of the search that found it. Sums are weighted where samples
    are, ``hits`` are then float64.
    """

    @property
    def hits(self) -> NDArray[Any]:
        """How many samples each neuron won, (K,)."""

    @property
    def errors(self) -> NDArray[np.float64]:
        """Sums of their distances, (K,)."""

    @property
    def total_error(self) -> float:
        """The sum of the errors."""

    @property
    def totals(self) -> Totals:
        """Hits, errors and sums of what each neuron won."""

    @property
    def class_counts(self) -> NDArray[Any] | None:
        """How many samples of each class each neuron won, (K, C); None without classes."""

    @property
    def moved(self) -> float:
        """The share of the samples whose unit is another one than in the pass before."""

    def exactly(self) -> Found:
        """Return the same with every total added up in float64, sample by sample."""

    def reweighed(self, gamma: float) -> Found:
        """Return the same with samples weighed by how far away they are, `smoothed_weights`."""

    def trained_by_class(self, leads: NDArray[np.bool_]) -> Found:
        """Return it with each sample moved to the nearest neuron in which its class leads.

        ``leads`` (K, C) says which classes lead in a neuron. A sample without a class, or whose
        class leads nowhere, stays; equal distances go to the lower row.
        """

    def linked_totals(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Totals:
        """Return what the linked neighbours won that lie nearest to the samples of their units.

        Neighbours in which a sample's class leads come first, where ``leads`` (K, C) are given.
        """

    def updated(
        self,
        graph: MapGraph,
        weights: NDArray[np.float64],
        pull: float = 0.0,
        leads: NDArray[np.bool_] | None = None,
        centre: Centre | None = None,
    ) -> NDArray[np.float64]:
        """Return the prototypes (K, D) as kernel-weighted means of what neurons won.

        ``weights`` (H,) is the kernel at each number of hops, ``pull`` what a sample weighs besides
        in the neuron of `linked_totals`, ``centre`` what makes a prototype of a mean. A neuron, or
        a feature, that nothing reaches keeps its value.
        """

    def formed(
        self,
        graph: MapGraph,
        weights: NDArray[np.float64],
        pull: float = 0.0,
        leads: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Return the prototypes (K, D) that the metric's ``form`` makes of the samples."""


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

    def unlinked(self, prototypes: NDArray[np.float64], graph: MapGraph) -> NDArray[np.bool_]:
        """Return of which samples (n,) the two nearest neurons are not linked."""


def unlinked(nearest: NDArray[np.signedinteger[Any]], graph: MapGraph) -> NDArray[np.bool_]:
    """Return of which samples the two ``nearest`` neurons (n, 2) are not linked, bool (n,)."""
    n = len(nearest)
    found = np.empty(n, dtype=bool)
    for start in range(0, n, _ROWS):  # to look up takes room
        first, second = nearest[start : start + _ROWS].T
        found[start : start + _ROWS] = graph.hops[first, second] != 1
    return found


def groups(keys: NDArray[Any]) -> list[Rows]:
    """Return the rows of each distinct key, each ascending, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]
