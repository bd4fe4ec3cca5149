"""What an engine hands out: samples, searches over them, and what a pass finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

from dbgsom_core.engine.metric_calls import MetricCalls

Rows = NDArray[np.int64]
Centre = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class PerSample(Protocol):
    """What is known of each sample after a pass, made when asked for.

    Where samples are not in memory it may have ``of_rows(rows) -> (bmu, distance)``, which tells of
    a slice of them alone, and ``units`` (n,), of a type that may be too small for what is computed
    of them; ``bmu`` is int32 there, and may be made anew each time. See `units_of`.
    """

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
    weights: NDArray[np.float64]
    pull: float = 0.0
    leads: NDArray[np.bool_] | None = None
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
class Moments:
    """Weighted column means (D,) and population standard deviations (D,) in float64.

    Of a column with missing values they are those of what was observed.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


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
        """The sum of the errors, as exact as they are; the same bits whatever came before."""

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

    def updated(self, around: Neighbourhood, centre: Centre | None = None) -> NDArray[np.float64]:
        """Return the prototypes (K, D) as kernel-weighted means of what neurons won.

        ``centre`` is what makes a prototype of a mean. A neuron, or a feature, that nothing reaches
        keeps its value.
        """

    def formed(self, around: Neighbourhood) -> NDArray[np.float64]:
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

    def remembered(self) -> Any:
        """Return in plain values what of earlier passes bits of the next ones depend on.

        None: nothing. A checkpoint holds it.
        """

    def remember(self, value: Any) -> None:
        """Take what another search of the same samples remembered, before the first pass."""


class Samples(Protocol):
    """Samples that an engine holds: n of them, prepared by the metric, as training asks of them.

    Training itself asks for totals, moments and searches, which are of the size of the map or of
    a sample. Arrays with a row for each sample (units, distances, weights, classes) are made when
    somebody asks for them. Wherever the samples are and however they are divided, each answer
    has the bits that `dbgsom_core.api.samples_in_memory` gives: sums are added in an order that
    does not matter, or in the order of the samples. Prototypes are float64 (K, D).
    """

    @property
    def X(self) -> Any:  # noqa: N802
        """What has ``shape`` (n, D), ``dtype``, and rows where slices of them are asked for.

        Dense, nan where a value is missing, or CSR.
        """

    @property
    def metric(self) -> MetricCalls:
        """The metric's methods."""

    @property
    def n(self) -> int:
        """The number of samples."""

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """The weights (n,), or None."""

    @property
    def scatter(self) -> NDArray[np.float64] | None:
        """Where a sample stands for several, their mean distance to it, (n,); else None."""

    @property
    def codes(self) -> NDArray[np.int64] | None:
        """The classes (n,), 0 and up, negative for none; None without classes."""

    @property
    def sample_weights(self) -> NDArray[np.float64]:
        """The weights (n,), 1 where none were given."""

    @property
    def total_weight(self) -> float:
        """The sum of the weights: how many samples there are in effect."""

    @property
    def incomplete(self) -> bool:
        """Whether values are missing."""

    @property
    def is_euclidean(self) -> bool:
        """Whether the metric is Euclidean and the samples are dense and complete."""

    def subset(self, rows: NDArray[Any] | slice) -> Self:
        """Return the same for some of the samples, in the order of ``rows``."""

    def with_classes(self, codes: NDArray[np.int64] | None, n_classes: int) -> Self:
        """Return the same with classes ``codes`` (n,)."""

    def followed_by(
        self, X: NDArray[np.float64], weights: NDArray[np.float64], scatter: NDArray[np.float64]
    ) -> Self:
        """Return the same with m more samples, prepared, each of which stands for several."""

    def moments(self) -> Moments:
        """Return the means and deviations; ValueError where a column has no observed value."""

    def check_varies(self, moments: Moments | None = None) -> None:
        """Raise ValueError when no column varies, or squares leave the range of float64."""

    def extremes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the smallest and the largest observed value of each column, (D,)."""

    def principal_axes(self, moments: Moments) -> list[NDArray[np.float64]]:
        """Return the first two principal axes (D,), each as long as the deviation along it."""

    def robust(self, gamma: float | None) -> tuple[Self, float]:
        """Return the same with outliers weighed down, and γ: ``gamma``, or one that suits."""

    def root_mean_square_distance(self, point: NDArray[np.float64]) -> float:
        """Return the root of the (weighted) mean squared distance to one point (1, D)."""

    def total_distance(self, point: NDArray[np.float64]) -> float:
        """Return the (weighted) sum of the distances to one point (1, D)."""

    def search(self) -> Search:
        """Return a search for the epochs of one training."""

    def lasting(self, prototypes: NDArray[np.float64], of: PerSample) -> PerSample:
        """Return units and distances ``of`` a pass so that they outlive its search."""

    def found(self, prototypes: NDArray[np.float64], of: PerSample) -> Found:
        """Return totals of what units won that are known already, added up exactly.

        Of the ``prototypes`` their number counts alone, unless the result is asked for new ones.
        """

    def sums_seen(
        self, units: NDArray[np.int64], n_units: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the ``sums`` and ``seen`` of `Totals` of what ``units`` (n,) won."""

    def groups(self, of: PerSample) -> list[Rows]:
        """Return the samples of each unit that won some, ascending, in the order of the units."""

    def assign(self, prototypes: NDArray[np.float64]) -> PerSample:
        """Find the nearest prototype of every sample, ties to the lowest row."""

    def nearest_units(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        """Return the ``k`` nearest prototypes (n, k) of each sample, ties to lower rows.

        And their distances (n, k), or None where `distances_to` is to be asked.
        """

    def distances_to(
        self,
        prototypes: NDArray[np.float64],
        units: NDArray[np.int64],
        among: slice | None = None,
    ) -> NDArray[np.float64]:
        """Return the distance of each sample to the prototype in its entry of ``units`` (n,).

        Or of the rows ``among`` the samples whose ``units`` (m,) these are. Only asked for where
        `nearest_units` returned no distances.
        """

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        """Do ``use(rows, part)`` for samples ``size`` at a time, perhaps from several threads."""

    def chunks(
        self, prototypes: NDArray[np.float64]
    ) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (rows, distances (m, K)) over all samples, a bounded block at a time."""

    def pairwise(
        self, X: NDArray[np.floating[Any]], prototypes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the distances (m, K) of other prepared samples ``X`` (m, D), held in memory."""

    def distances(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """Return the distances (n, K), in the dtype of the samples."""

    def mixtures(
        self, prototypes: NDArray[np.float64], sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """Return what to mix of the prototypes to get nearest to each sample, (n, K)."""

    def completed(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """Return the samples (n, D) with the nearest prototype's value where one is missing."""

    def offsets(
        self, prototypes: NDArray[np.float64], units: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the distances (n,) to ``units`` (n,), and Σ(x - w) of each unit's samples (K, D).

        Where `is_euclidean`.
        """
