"""Neurons grouped into clusters, by joining linked ones or by k-means."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import LabelEvidence, LabellerComponent
from dbgsom_core.errors import callers_level

if TYPE_CHECKING:
    from dbgsom_core.api import SomMap
    from dbgsom_core.persistence import NamedGroups

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_MOST = 25  # clusters that auto tries: more are no overview of a map
_LEAST_VARIANCE = 1e-9  # of the mean one, so that a cluster of equal samples has a likelihood


class Clusters(LabellerComponent):
    """Neurons that won a sample are grouped into clusters, numbered 0, 1, … by their first neuron.

    ``agglomerative`` joins neighbours on the grid by Ward's criterion on their prototypes (Ward
    1963); neurons without hits pass their links on, and child maps are joined where their
    prototypes are nearest. ``k_means`` looks at the prototypes alone, each weighted by its hits.

    With ``auto`` the number is the middle one of three, each of 2 … L/2, at most 25, for L such
    neurons: those with the largest variance ratio (Caliński & Harabasz 1974), the largest mean
    silhouette of the prototypes by hits (Rousseeuw 1987), and the largest Bayesian information
    criterion, with a Gaussian without correlations in each cluster (Schwarz 1978). In the first and
    the last the samples of a neuron lie as far from its prototype as they do on average.

    Distances between prototypes are Euclidean whatever the metric, in the metric's own space: for
    ``cosine`` between unit vectors, where they order as the cosine distance does; for other metrics
    an approximation.
    """

    estimators = ("vq",)
    file_fields = ("edited",)
    of_this_machine = ("edited",)

    method: Literal["agglomerative", "k_means"] = Field(
        default="agglomerative",
        description="agglomerative: joins linked neurons; k_means: weighted by hits",
    )
    n_clusters: Annotated[int, Field(ge=1, le=10**6)] | Literal["auto"] = Field(
        default="auto",
        description="number of clusters; auto: two or more, the middle one of three criteria's",
    )
    edited: str | None = Field(
        default=None, description="groups.json of the explorer: its groups and their names instead"
    )

    def check(self) -> None:
        if self.edited is not None:
            _read_groups(self.edited)

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        from threadpoolctl import threadpool_limits

        if self.edited is not None:
            return _read_groups(self.edited).labels_of(evidence.som_map.prototypes)
        live = np.flatnonzero(evidence.hits > 0)
        with threadpool_limits(limits=1):  # sums in one order, whatever the machine
            cluster = self._divide(evidence, live)
        # 0 is the cluster of the neuron that was born first, and so on.
        _, first, codes = np.unique(cluster, return_index=True, return_inverse=True)
        labels = np.zeros(len(evidence.som_map), dtype=np.int64)
        labels[live] = np.argsort(np.argsort(first))[codes]
        return labels

    def _divide(self, evidence: LabelEvidence, live: Numbers) -> Numbers:
        """Return the cluster of each live neuron (L,)."""
        som_map = evidence.som_map
        hits = np.asarray(evidence.hits[live], dtype=np.float64)
        prototypes = np.asarray(som_map.prototypes[live], dtype=np.float64)
        divide: Callable[[int], Numbers]
        if self.method == "k_means":
            most = len(np.unique(prototypes, axis=0))
            divide = partial(_k_means, prototypes, hits)
        else:
            most = len(live)
            joins, _ = ward_joins(prototypes, live_links(som_map, live))
            divide = partial(cut, joins, most)
        largest = min(most, max(2, len(live) // 2), _MOST)
        if self.n_clusters == "auto":
            if largest < 2:
                return np.zeros(len(live), dtype=np.int64)
            scatter = np.zeros(len(live))
            if evidence.errors is not None:
                scatter = evidence.errors[live] ** 2 / hits
            divisions = [divide(k) for k in range(2, largest + 1)]
            values = criteria(prototypes, hits, scatter, divisions)
            middle: int = np.sort(values.argmax(axis=1))[1]
            return divisions[middle]
        if self.n_clusters > most:
            warnings.warn(
                f"labeller 'clusters' makes {most} clusters instead of n_clusters="
                f"{self.n_clusters}: no more neurons won samples; let the map grow larger",
                stacklevel=callers_level(),
            )
        return divide(min(self.n_clusters, most))


def _read_groups(path: str) -> NamedGroups:
    from dbgsom_core.persistence import NamedGroups  # slow to import

    return NamedGroups.read(path)


def live_links(som_map: SomMap, live: Numbers) -> Any:
    """Return the sparse links (L, L) among live neurons of a map.

    Live neurons beside the same gap, a set of linked dead neurons, are linked across it: a map that
    dead neurons do not take apart stays in one piece.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, edges = len(som_map), som_map.edges()
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(n, n)).tocsr()
    graph = (graph + graph.T).tocsr()
    dead = np.setdiff1d(np.arange(n), live)
    direct = graph[live][:, live]
    if not len(dead):
        return direct
    n_gaps, gap = connected_components(graph[dead][:, dead], directed=False)
    members = np.arange(len(dead)), gap
    gap_of_dead = coo_array((np.ones(len(dead)), members), shape=(len(dead), n_gaps))
    beside_gap = graph[live][:, dead] @ gap_of_dead.tocsr()
    links = (direct + beside_gap @ beside_gap.T).tocsr()
    links.setdiag(0)
    links.eliminate_zeros()
    return links


def ward_joins(points: Array, links: Any) -> tuple[Numbers, Array]:
    """Return which clusters are joined (n - 1, 2), by sparse links (n, n), and how far apart.

    Join i makes cluster n + i of two earlier ones, points being the first n (Ward 1963).
    """
    from sklearn.cluster import ward_tree

    if len(points) < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that it links parts where they are nearest
        tree = ward_tree(points, connectivity=links, return_distance=True)
    return np.asarray(tree[0]), tree[-1]


def cut(joins: Numbers, n: int, k: int) -> Numbers:
    """Return the cluster of each of n points when k clusters are left."""
    cluster = np.arange(n + len(joins))
    for join in reversed(range(n - k)):
        cluster[joins[join]] = cluster[n + join]
    return cluster[:n]


def criteria(
    points: Array, weights: Array, scatter: Array, divisions: list[Numbers]
) -> NDArray[np.float64]:
    """Return how well points (n, D) are divided, by weight, of several divisions (n,): (3, k).

    The rows are variance ratio, silhouette and Bayesian information criterion. ``scatter`` (n,) is
    the sum of squares of what each point stands for around it.
    """
    total, dimensions = float(weights.sum()), points.shape[1]
    centred = points - np.average(points, axis=0, weights=weights)
    around_mean = float(weights @ np.square(centred).sum(axis=1) + scatter.sum())
    least = _LEAST_VARIANCE * around_mean / total / dimensions or 1.0
    ratios, information = [], []
    for division in divisions:
        _, cluster = np.unique(division, return_inverse=True)
        hits = np.bincount(cluster, weights)
        k = len(hits)
        member = np.zeros((k, len(points)))
        member[cluster, np.arange(len(points))] = weights
        centres = member @ centred / hits[:, None]
        squares = member @ np.square(centred - centres[cluster])
        scatters = np.bincount(cluster, scatter)
        within = float(squares.sum() + scatters.sum())
        ratio = np.inf
        if within > 0:
            ratio = (around_mean - within) / within * max(total - k, 0.0) / (k - 1)
        ratios.append(ratio)
        variances = (squares + scatters[:, None] / dimensions) / hits[:, None] + least
        # The logarithm of the likelihood, less what is the same for all divisions.
        likelihood = hits @ (np.log(hits / total) - np.log(variances).sum(axis=1) / 2)
        information.append(likelihood - k * dimensions * math.log(max(total, 1.0)))
    return np.array([ratios, silhouettes(points, weights, divisions), information])


def silhouettes(points: Array, weights: Array, divisions: list[Numbers]) -> list[float]:
    """Return the mean silhouette of points (n, D) by weight for each of several divisions (n,).

    The silhouette of a point is (b - a) / max(a, b), with a its mean distance to the others of its
    cluster and b that to the points of the nearest other one; 0 for a point alone in its cluster.
    """
    from scipy.spatial.distance import cdist

    distances, rows = cdist(points, points), np.arange(len(points))
    averages = []
    for division in divisions:
        _, cluster, size = np.unique(division, return_inverse=True, return_counts=True)
        member = np.zeros((len(points), len(size)))
        member[rows, cluster] = weights
        totals, sums = member.sum(axis=0), distances @ member
        is_alone = size[cluster] == 1
        others = np.where(is_alone, 1.0, totals[cluster] - weights)
        a = sums[rows, cluster] / others
        means = sums / totals
        means[rows, cluster] = np.inf
        b = means.min(axis=1)
        top = np.maximum(a, b)
        width = np.zeros_like(top)
        np.divide(b - a, top, out=width, where=(top > 0) & ~is_alone)
        averages.append(float(np.average(width, weights=weights)))
    return averages


def _k_means(prototypes: Array, hits: Array, k: int) -> Numbers:
    from sklearn.cluster import KMeans

    model = KMeans(k, n_init=10, random_state=0).fit(prototypes, sample_weight=hits)
    return np.asarray(model.labels_, dtype=np.int64)
