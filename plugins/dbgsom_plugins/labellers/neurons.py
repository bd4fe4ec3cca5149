"""Labels of neurons by what they won, and neurons that are grouped into clusters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import LabelEvidence, LabellerComponent
from dbgsom_core.errors import callers_level

if TYPE_CHECKING:
    from dbgsom_core.api import SomMap


class Index(LabellerComponent):
    """Each neuron that won a sample is a cluster of its own: 0, 1, … in order of birth."""

    estimators: ClassVar[tuple[str, ...]] = ("vq",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.int64]:
        return np.cumsum(evidence.hits > 0) - 1


class Majority(LabellerComponent):
    """Each neuron answers with the most frequent class among the samples that it won.

    Equal counts go to the class that sorts first.
    """

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        counts, classes = np.asarray(evidence.class_counts), np.asarray(evidence.classes)
        return np.asarray(classes[counts.argmax(axis=1)])

    def probabilities(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        counts = np.asarray(evidence.class_counts)
        totals = counts.sum(axis=1, keepdims=True)
        uniform = np.full(counts.shape, 1 / counts.shape[1])
        return np.asarray(np.divide(counts, totals, out=uniform, where=totals > 0))


class Mean(LabellerComponent):
    """Each neuron answers with the mean target of the samples that it won, by sample weight."""

    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)

    def label(self, evidence: LabelEvidence) -> NDArray[np.float64]:
        y, weights = np.asarray(evidence.y, dtype=np.float64), evidence.weights
        weights = np.ones(len(y)) if weights is None else weights
        n_neurons = len(evidence.som_map)
        centre = np.average(y, weights=weights)  # taken off, so that a large offset costs no digits
        sums = np.bincount(evidence.bmu, weights * (y - centre), n_neurons)
        totals = np.bincount(evidence.bmu, weights, n_neurons)
        means = np.divide(sums, totals, out=np.zeros(n_neurons), where=totals > 0)
        return np.asarray(centre + means)


_MOST = 25  # clusters that auto tries


class Clusters(LabellerComponent):
    """Neurons that won a sample are grouped into clusters, numbered 0, 1, … by their first neuron.

    ``agglomerative`` joins neighbours on the grid by Ward's criterion on their prototypes, each
    neuron counting once; neurons without hits pass their links on, and child maps are joined where
    their prototypes are nearest. ``k_means`` looks at the
    prototypes alone, each weighted by its hits. With ``auto`` the number is the one of 2 … L/2, at
    most 25, for L such neurons with the largest variance ratio (Caliński & Harabasz 1974), in which
    the samples of a neuron lie as far from its prototype as they do on average.

    Distances between prototypes are Euclidean whatever the metric, in the metric's own space: for
    ``cosine`` between unit vectors, where they order as the cosine distance does; for other metrics
    an approximation.
    """

    estimators: ClassVar[tuple[str, ...]] = ("vq",)

    method: Literal["agglomerative", "k_means"] = Field(
        default="agglomerative",
        description="agglomerative: joins linked neurons (Ward); k_means: weighted by hits",
    )
    n_clusters: Annotated[int, Field(ge=1, le=10**6)] | Literal["auto"] = Field(
        default="auto",
        description="number of clusters; auto: by the variance ratio (Caliński & Harabasz)",
    )

    def label(self, evidence: LabelEvidence) -> NDArray[np.int64]:
        live = np.flatnonzero(evidence.hits > 0)
        prototypes = evidence.som_map.prototypes[live]
        weights = np.asarray(evidence.hits[live], dtype=np.float64)
        if self.method == "agglomerative":
            most, divide = len(live), _tree(evidence.som_map, live)
        else:
            most, divide = len(np.unique(prototypes, axis=0)), _k_means(prototypes, weights)
        largest = min(most, max(2, len(live) // 2), _MOST)
        if self.n_clusters != "auto":
            if self.n_clusters > most:
                warnings.warn(
                    f"labeller 'clusters' makes {most} clusters instead of n_clusters="
                    f"{self.n_clusters}: no more neurons won samples; let the map grow larger",
                    stacklevel=callers_level(),
                )
            cluster = divide(min(self.n_clusters, most))
        elif largest < 2:
            cluster = divide(1)
        else:
            errors = 0.0 if evidence.errors is None else evidence.errors[live]
            within = float((errors**2 / weights).sum())  # of the samples around their prototypes
            divisions = [divide(k) for k in range(2, largest + 1)]
            ratios = [_variance_ratio(prototypes, weights, within, one) for one in divisions]
            cluster = divisions[int(np.argmax(ratios))]
        # 0 is the cluster of the neuron that was born first, and so on.
        _, first, codes = np.unique(cluster, return_index=True, return_inverse=True)
        rank = np.empty(len(first), dtype=np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        labels = np.zeros(len(evidence.som_map), dtype=np.int64)
        labels[live] = rank[codes]
        return labels


def live_links(som_map: SomMap, live: NDArray[np.int64]) -> Any:
    """Return the sparse links (L, L) among live neurons of a map."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, links = len(som_map), som_map.edges()
    graph = coo_array((np.ones(len(links)), links.T), shape=(n, n)).tocsr()
    graph = (graph + graph.T).tocsr()
    dead = np.setdiff1d(np.arange(n), live)
    direct = graph[live][:, live]
    if not len(dead):
        return direct
    count, gap = connected_components(graph[dead][:, dead], directed=False)
    of_gap = coo_array((np.ones(len(dead)), (np.arange(len(dead)), gap)), shape=(len(dead), count))
    around = graph[live][:, dead] @ of_gap.tocsr()  # which gaps a live neuron stands beside
    joined = (direct + around @ around.T).tocsr()
    joined.setdiag(0)
    joined.eliminate_zeros()
    return joined


def _tree(som_map: SomMap, live: NDArray[np.int64]) -> Callable[[int], NDArray[np.int64]]:
    """Join live neurons one by one; return what gives each one's cluster when k are left."""
    n = len(live)
    if n < 2:
        return lambda k: np.zeros(n, dtype=np.int64)
    from sklearn.cluster import AgglomerativeClustering

    model = AgglomerativeClustering(
        n_clusters=1, connectivity=live_links(som_map, live), compute_full_tree=True
    )
    with warnings.catch_warnings():
        # Child maps are not linked; that they are joined where they are nearest is wanted.
        warnings.filterwarnings("ignore", message="the number of connected components")
        model.fit(som_map.prototypes[live])

    def divide(k: int) -> NDArray[np.int64]:
        cluster = np.arange(2 * n - 1)  # of each neuron, then of each join
        for join, (first, second) in enumerate(model.children_[: n - k]):
            cluster[[first, second]] = n + join
        for node in range(2 * n - 2, -1, -1):  # parents come after their children
            cluster[node] = cluster[cluster[node]]
        return cluster[:n]

    return divide


def _k_means(
    prototypes: NDArray[np.float64], weights: NDArray[np.float64]
) -> Callable[[int], NDArray[np.int64]]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    def divide(k: int) -> NDArray[np.int64]:
        with threadpool_limits(limits=1):  # sums in one order, whatever the machine
            model = KMeans(k, n_init=10, random_state=0).fit(prototypes, sample_weight=weights)
        return np.asarray(model.labels_, dtype=np.int64)

    return divide


def _variance_ratio(
    prototypes: NDArray[np.float64],
    weights: NDArray[np.float64],
    within: float,
    cluster: NDArray[np.int64],
) -> float:
    _, cluster = np.unique(cluster, return_inverse=True)
    hits = np.bincount(cluster, weights)
    sums = np.zeros((len(hits), prototypes.shape[1]))
    np.add.at(sums, cluster, weights[:, None] * prototypes)
    centres, n = sums / hits[:, None], weights.sum()
    within += float(weights @ np.square(prototypes - centres[cluster]).sum(axis=1))
    between = float(hits @ np.square(centres - sums.sum(axis=0) / n).sum(axis=1))
    if within <= 0:
        return math.inf
    return float(between / within * max(n - len(hits), 0.0) / (len(hits) - 1))
