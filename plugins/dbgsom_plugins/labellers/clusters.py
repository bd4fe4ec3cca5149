"""Neurons grouped into clusters, by joining linked ones or by k-means."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dbgsom_core.api import LabelEvidence, LabellerComponent
from dbgsom_core.errors import callers_level
from dbgsom_plugins.labellers._trees import average_tree, cut, tree_of_groups

if TYPE_CHECKING:
    from dbgsom_core.persistence import NamedGroups
    from dbgsom_plugins.labellers._modes import Rows

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_Count = Annotated[int, Field(ge=1, le=10**6)]
_MOST = 25  # clusters that auto tries: more are no overview of a map
_LEAST_VARIANCE = 1e-9  # of the mean one, so that a cluster of equal samples has a likelihood


class Clusters(LabellerComponent):
    """Neurons that won a sample are grouped into clusters, numbered 0, 1, … by their first neuron.

    ``modes`` parts neurons where the density of the samples, asked at neurons and along links, has
    a valley deeper than chance makes one (Taşdemir & Merényi 2009; Chazal et al. 2013), and, where
    there are too many columns for that, where samples projected between two parts have one
    (Hartigan & Hartigan 1985). One cluster is an answer, too.

    ``auto`` does the same. Where it finds one cluster, but samples divide better than those of a
    uniform box do (Tibshirani, Walther & Hastie 2001), it goes on as ``ward`` does.

    ``ward`` joins the prototypes, each weighed by its hits (Ward 1963), ``average`` by their mean
    distance, each counted once, so that rare groups stay apart (Sokal & Michener 1958), and
    ``k_means`` divides them, weighed by hits, and then the samples: each belongs to the nearest
    centre, whatever its neuron does. For these ``n_clusters: auto`` is the middle one of
    three numbers of 2 … L/2, at most 25, for L such neurons: those with the largest variance ratio
    (Caliński & Harabasz 1974), the largest mean silhouette of the prototypes by hits (Rousseeuw
    1987), and the largest Bayesian information criterion, with a Gaussian without correlations in
    each cluster (Schwarz 1978). In the first and the last the samples of a neuron lie as far from
    its prototype as they do on average.

    With a number, or a range that does not hold the number found, clusters of ``modes`` and
    ``auto`` are joined, or divided further, by Ward's criterion.

    Distances are Euclidean whatever the metric, in the metric's own space: for ``cosine`` between
    unit vectors, where they order as the cosine distance does; for other metrics an approximation.
    """

    estimators = ("vq",)
    file_fields = ("edited",)
    of_this_machine = ("edited",)

    method: Literal["auto", "modes", "average", "ward", "k_means"] = Field(
        default="auto",
        description="auto: modes, or ward where there is one; modes: valleys of the density; "
        "average: joins by mean distance; ward: joins by hits; k_means: the nearest centre",
    )
    n_clusters: _Count | Literal["auto"] | tuple[_Count, _Count] = Field(
        default="auto",
        description="number of clusters; [2, 12]: the best one of these; auto: of all",
    )
    edited: str | None = Field(
        default=None, description="groups.json of the explorer: its groups and their names instead"
    )

    @field_validator("n_clusters")
    @classmethod
    def _is_ascending(cls, value: Any) -> Any:
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError(f"must be a range that ascends, not {list(value)}")
        return value

    def check(self) -> None:
        if self.edited is not None:
            _read_groups(self.edited)

    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        if self.edited is not None:
            return _read_groups(self.edited).labels_of(evidence.som_map.prototypes)
        live = np.flatnonzero(evidence.hits > 0)
        labels = np.zeros(len(evidence.som_map), dtype=np.int64)
        labels[live] = self._clusters(evidence, live)
        return labels

    def centres(self, evidence: LabelEvidence) -> Array | None:
        """Return the centres of ``k_means`` (C, D), which go on from prototypes to samples."""
        if self.method != "k_means" or self.edited is not None:
            return None
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        live = np.flatnonzero(evidence.hits > 0)
        clusters = self._clusters(evidence, live)
        with threadpool_limits(limits=1):
            rows = _rows(evidence, live)
            centres = [
                np.average(rows.prototypes[clusters == k], axis=0, weights=rows.hits[clusters == k])
                for k in range(clusters.max() + 1)
            ]
            init = np.array(centres, dtype=rows.X.dtype)  # of sparse samples KMeans wants both
            model = KMeans(len(centres), init=init, n_init=1)
            model.fit(rows.X, sample_weight=rows.weights)
            nearest = model.predict(rows.prototypes.astype(rows.X.dtype))
            _, first = np.unique(nearest, return_index=True)
        if len(first) < len(centres):  # one would have samples, but no neuron
            return np.array(centres)
        return np.asarray(model.cluster_centers_[np.argsort(first)], np.float64)

    def _clusters(self, evidence: LabelEvidence, live: Numbers) -> Numbers:
        """Return the cluster of each live neuron (L,): 0 is that of the first-born, and so on."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):  # sums in one order, whatever the machine
            cluster = self._divide(evidence, live)
        _, first, codes = np.unique(cluster, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[codes]

    def _divide(self, evidence: LabelEvidence, live: Numbers) -> Numbers:
        """Return the cluster of each live neuron (L,)."""
        rows, n = _rows(evidence, live), len(live)
        most = n
        found: int | None = None
        divide: Callable[[int], Numbers]
        if self.method == "k_means":
            most = len(np.unique(rows.prototypes, axis=0))
            divide = partial(_k_means, rows)
        else:
            joins, found = _tree(self.method, evidence, live)
            divide = partial(cut, joins, n)
        least, largest = self._range(most, n)
        if least == largest:
            return divide(least)
        if found is not None:
            return divide(min(max(found, least), largest))
        scatter = np.zeros(n)
        if evidence.errors is not None:
            scatter = evidence.errors[live] ** 2 / rows.hits
        divisions = [divide(k) for k in range(max(least, 2), largest + 1)]
        values = criteria(rows.prototypes, rows.hits, scatter, divisions)
        middle: int = np.sort(values.argmax(axis=1))[1]
        return divisions[middle]

    def _range(self, most: int, n: int) -> tuple[int, int]:
        """Return the least and the largest number of clusters of n neurons, at most ``most``."""
        if self.n_clusters == "auto":
            return 1, min(most, max(2, n // 2), _MOST)
        if isinstance(self.n_clusters, tuple):
            least, largest = self.n_clusters
        else:
            least = largest = self.n_clusters
        if least > most:
            warnings.warn(
                f"labeller 'clusters' makes {most} clusters instead of n_clusters="
                f"{least}: no more neurons won samples; let the map grow larger",
                stacklevel=callers_level(),
            )
        return min(least, most), min(largest, most)


def _rows(evidence: LabelEvidence, live: Numbers) -> Rows:
    """Return some samples beside the live neurons, the same ones for the same evidence."""
    from dbgsom_plugins.labellers._modes import Rows

    if "rows" not in evidence.kept:
        evidence.kept["rows"] = Rows.from_evidence(evidence, live)
    rows: Rows = evidence.kept["rows"]
    return rows


def _tree(method: str, evidence: LabelEvidence, live: Numbers) -> tuple[Numbers, int | None]:
    """Return joins of the live neurons, and how many groups there are; None: criteria say it."""
    from dbgsom_plugins.labellers import _modes

    if method in evidence.kept:
        kept: tuple[Numbers, int | None] = evidence.kept[method]
        return kept
    rows = _rows(evidence, live)
    groups = np.zeros(len(live), dtype=np.int64)
    found: int | None = None
    if method in ("auto", "modes"):
        groups = _modes.groups_of_modes(rows, _links(evidence, live))
        groups = _modes.divided_along_lines(rows, groups)
        found = len(np.unique(groups))
        if method == "auto" and found == 1 and _modes.is_more_than_a_box(rows):
            found = None
    if method == "average":
        joins = average_tree(rows.prototypes)
    else:
        joins, _ = tree_of_groups(rows.prototypes, rows.hits, groups)
    evidence.kept[method] = joins, found
    return joins, found


def _links(evidence: LabelEvidence, live: Numbers) -> Numbers:
    """Return the links (M, 2) between live neurons of a map, by their numbers among these."""
    number = np.full(len(evidence.som_map), -1)
    number[live] = np.arange(len(live))
    links = number[evidence.som_map.edges()]
    return links[(links >= 0).all(axis=1)]


def _read_groups(path: str) -> NamedGroups:
    from dbgsom_core.persistence import NamedGroups  # slow to import

    return NamedGroups.read(path)


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


def _k_means(rows: Rows, k: int) -> Numbers:
    from sklearn.cluster import KMeans

    model = KMeans(k, n_init=10, random_state=0)
    labels = model.fit(rows.prototypes, sample_weight=rows.hits).labels_
    return np.asarray(labels, dtype=np.int64)
