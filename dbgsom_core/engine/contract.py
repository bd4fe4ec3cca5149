"""What a pass over samples takes and finds: units, totals of the size of the map, searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = Integers
Centre = Callable[[Floats], Floats]


class PerSample(Protocol):
    """What is known of each sample after a pass, made when asked for.

    Where samples are not in memory it may have ``of_rows(rows) -> (bmu, distance)``, which tells of
    a slice of them alone, and ``units`` (n,), of a type that may be too small for what is computed
    of them; ``bmu`` is int32 there, and may be made anew each time. See `units_of`.
    """

    @property
    def bmu(self) -> Integers:
        """Rows of the prototypes, int64 (n,)."""

    @property
    def distance(self) -> Floats:
        """Distances to them in the metric's units, float64 (n,)."""


class MapGraph(NamedTuple):
    """How the K neurons of a map are linked, as far as a pass needs it.

    Attributes
    ----------
    hops : uint16 array (K, K)
        The least number of links between two neurons.
    links : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none; itself where nothing links it.
    """

    hops: NDArray[np.uint16]
    links: NDArray[np.int32]


@dataclass(frozen=True)
class Neighbourhood:
    """How samples train the neurons around their units in one update.

    Attributes
    ----------
    graph : MapGraph
    weights : float64 array (H,)
        The kernel at each number of hops; some may be negative.
    pull : float
        What a sample weighs besides in the linked neighbour of its unit that lies nearest to it.
    leads : bool array (K, C) or None
        Which classes lead in a neuron: neighbours in which a sample's class leads come first.
    table : uint16 array (K, K) or None
        Which of the weights a neuron (row) learns with from samples of another (column); None: that
        of the hops between them. A number is the greater the farther they are apart.
    """

    graph: MapGraph
    weights: Floats
    pull: float = 0.0
    leads: Flags | None = None
    table: NDArray[np.uint16] | None = None

    @property
    def which(self) -> NDArray[np.uint16]:
        """The ``table``, or the hops (K, K)."""
        return self.graph.hops if self.table is None else self.table

    @property
    def inhibits(self) -> bool:
        """Whether some weights are negative."""
        lowest: float = min(self.weights.tolist())  # they are few, and asked about in each pass
        return lowest < 0


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
        Weighted sums of the distances.
    seen : float64 array (K, D) or None
        Where values are missing: the hits of each neuron in which a feature was observed.
    """

    hits: NDArray[Any]
    sums: Floats
    errors: Floats
    seen: Floats | None = None


@dataclass(frozen=True)
class Moments:
    """Weighted column means (D,) and population standard deviations (D,) in float64.

    Of a column with missing values they are those of what was observed.
    """

    mean: Floats
    deviation: Floats


@dataclass(frozen=True)
class Assignment:
    """The best-matching unit of each sample: ``bmu`` (n,) int64 and ``distance`` (n,) float64."""

    bmu: Integers
    distance: Floats


class Found(PerSample, Protocol):
    """What one pass found, of the size of the map; samples themselves only behind `PerSample`.

    It is valid until the next pass of the search that found it. Sums are weighted where samples
    are, ``hits`` are then float64.
    """

    @property
    def hits(self) -> NDArray[Any]:
        """How many samples each neuron won, (K,)."""

    @property
    def errors(self) -> Floats:
        """Sums of their distances, (K,)."""

    @property
    def total_error(self) -> float:
        """The sum of the errors; the same bits whatever came before."""

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

    def trained_by_class(self, leads: Flags) -> Found:
        """Return it with each sample moved to the nearest neuron in which its class leads.

        ``leads`` (K, C) says which classes lead in a neuron. A sample without a class, or whose
        class leads nowhere, stays; equal distances go to the lower row.
        """

    def linked_totals(self, graph: MapGraph, leads: Flags | None) -> Totals:
        """Return what the linked neighbours won that lie nearest to the samples of their units.

        Neighbours in which a sample's class leads come first, where ``leads`` (K, C) are given.
        """

    def updated(self, around: Neighbourhood, centre: Centre | None = None) -> Floats:
        """Return the prototypes (K, D) as kernel-weighted means of what neurons won.

        ``centre`` is what makes a prototype of a mean. A neuron, or a feature, that nothing reaches
        keeps its value.
        """

    def formed(self, around: Neighbourhood) -> Floats:
        """Return the prototypes (K, D) that the metric's ``form`` makes of the samples."""


class Search(Protocol):
    """Finds units epoch after epoch; it may keep what it found to be faster next time.

    ``prototypes`` are float64 (K, D), ``positions`` their grid cells, int (K, 2).
    """

    def assign(self, prototypes: Floats, positions: Integers) -> Found:
        """Find the nearest prototype of every sample, ties to the lowest row."""

    def admit(self, found: Found, prototypes: Floats, positions: Integers, known: int) -> Found:
        """Return the last result, for the first ``known`` prototypes, extended to all."""

    def unlinked(self, prototypes: Floats, graph: MapGraph) -> Flags:
        """Return of which samples (n,) the two nearest neurons are not linked."""
