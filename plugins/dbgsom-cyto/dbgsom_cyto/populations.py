"""Populations of cells, rare ones among them, from the neurons of a map."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import LabelEvidence, LabellerComponent

_MOST = 50  # populations that auto tries
_WORTH = 0.95  # of the best silhouette
_MOST_ARCSINH = 50.0  # no arcsinh of an intensity: e^50 / 2 is 2.6e21


class Populations(LabellerComponent):
    """Neurons are joined by the mean distance of their prototypes (Sokal & Michener 1958).

    A neuron counts once and not by its cells, so that rare populations stay apart as frequent ones
    do. What holds less than ``least`` of the cells is no population and goes to the nearest one;
    so do neurons whose cells lie farther from their prototype than those of the median population
    from its mean, ``diffuse`` times, such as doublets, and groups that lie where two larger ones
    add up to, no larger than doublets of these are (Wolock, Lopez & Klein 2019): where cells went
    through ``arcsinh`` alone. ``auto`` takes the largest number, 50 at
    most, whose silhouette of the prototypes (Rousseeuw 1987) is 0.95 of the best or more, before
    such are left out: rare populations hardly change it. They are numbered by their first neuron.
    """

    estimators: ClassVar[tuple[str, ...]] = ("vq",)

    n_clusters: Annotated[int, Field(ge=1, le=10**6)] | Literal["auto"] = Field(
        default="auto", description="number of populations; auto: by the silhouette"
    )
    least: float = Field(
        default=0.0005, ge=0, lt=1, description="share of the cells of a population, at least"
    )
    diffuse: float | None = Field(
        default=1.3, gt=0, description="times the usual spread, where a neuron is none; null: never"
    )
    doublets: float = Field(
        default=0.05, ge=0, lt=1, description="share of doublets among the cells, at most"
    )

    def label(self, evidence: LabelEvidence) -> Any:
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import pdist, squareform
        from sklearn.metrics import silhouette_score

        labels, live = np.zeros(len(evidence.som_map), np.int64), np.flatnonzero(evidence.hits > 0)
        n, hits = len(live), np.asarray(evidence.hits[live], dtype=np.float64)
        if n < 2:
            return labels
        prototypes = np.asarray(evidence.som_map.prototypes[live], dtype=np.float64)
        distances = pdist(prototypes)
        sons, apart = linkage(distances, "average")[:, :2].astype(int), squareform(distances)

        def count(cells: Any) -> tuple[Any, Any]:
            """Return which nodes of the tree are large, and how many are after each join."""
            sizes = np.concatenate([cells, np.zeros(n - 1)])
            for join, pair in enumerate(sons):
                sizes[n + join] = sizes[pair].sum()
            large = (sizes > 0) & (sizes >= self.least * hits.sum())
            lost = large[sons].sum(axis=1) - large[n:]
            return large, large[:n].sum() - np.concatenate([[0], lost.cumsum()])

        def nodes_of(joins: int) -> Any:
            node = np.arange(n + joins)
            for join in reversed(range(joins)):
                node[sons[join]] = node[n + join]
            return node[:n]

        def divide(joins: int, large: Any) -> Any:
            node = nodes_of(joins)
            known = np.flatnonzero(large[node])
            node = node[known][apart[:, known].argmin(axis=1)] if len(known) else np.zeros(n, int)
            _, first, found = np.unique(node, return_index=True, return_inverse=True)
            return first.argsort().argsort()[found]

        by_size, counts = count(hits)
        large, worth = by_size, dict[Any, Any]()
        for k in range(2, min(counts.max(), _MOST) + 1):
            joins = np.flatnonzero(counts >= k)[-1]
            found = divide(joins, large)
            if found.max() + 1 < n:
                worth[joins] = silhouette_score(apart, found, metric="precomputed")
        enough = _WORTH * max(worth.values(), default=0)
        joins = min((joins for joins, value in worth.items() if value >= enough), default=n - 1)
        if evidence.errors is not None and self.diffuse is not None:
            cluster, spread = divide(joins, large), np.square(evidence.errors[live] / hits)
            share = hits / np.bincount(cluster, hits)[cluster]
            member = np.eye(cluster.max() + 1)[cluster] * share[:, None]
            squares = np.square(prototypes - (member.T @ prototypes)[cluster]).sum(axis=1) + spread
            spreads = member.T @ squares
            within = spreads[cluster]
            order = within.argsort()
            middle = within[order[hits[order].cumsum().searchsorted(hits.sum() / 2)]]
            sizes = np.bincount(cluster, hits) / hits.sum()
            is_double = _lie_where_two_add_up(member.T @ prototypes, sizes, spreads, self.doublets)
            is_none = (spread > self.diffuse**2 * middle) | is_double[cluster]
            large, counts = count(np.where(is_none, 0, hits))
        if self.n_clusters != "auto":
            most = int(counts.max())
            if self.n_clusters > most:
                message = f"labeller 'populations' finds {most} clusters, not {self.n_clusters}"
                warnings.warn(f"{message}: let the map grow larger, or lower least", stacklevel=2)
            joins = np.flatnonzero(counts >= min(self.n_clusters, most))[-1]
        if (lost := (by_size & ~large)[nodes_of(joins)]).any():
            share = f"{100 * hits[lost].sum() / hits.sum():.2g} % of the cells"
            warnings.warn(
                f"labeller 'populations': {share}, in {lost.sum()} of {n} neurons, lie as "
                "doublets do and went to the nearest population: diffuse: null keeps these neurons "
                "as they are, and a larger map (max_neurons) has purer ones",
                stacklevel=2,
            )
        labels[live] = divide(joins, large)
        return labels


def _lie_where_two_add_up(centres: Any, sizes: Any, within: Any, share: float) -> Any:
    """Return which populations (C,) are as near to sums of two larger ones, and as small, as these
    have doublets.

    ``centres`` (C, D) are arcsinh of intensities, of which the cells of a doublet have the sum;
    ``sizes`` and ``share`` are of all cells, ``within`` (C,) mean squares of distances to centres.
    """
    from scipy.spatial.distance import cdist

    if np.abs(centres).max() > _MOST_ARCSINH or len(centres) < 3:
        return np.zeros(len(centres), dtype=bool)
    first, second = np.triu_indices(len(centres), 1)
    intensities = np.sinh(centres)
    doublets = np.arcsinh(intensities[first] + intensities[second])
    is_near = cdist(centres, doublets, "sqeuclidean") < within[:, None]
    is_larger = np.minimum(sizes[first], sizes[second]) > sizes[:, None]
    expected = 2 * share * sizes[first] * sizes[second]
    return (is_near & is_larger) @ expected >= sizes
