"""How well the neurons separate the data when each is seen as a cluster."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue
from dbgsom_plugins.measures.pairs import Pairs, in_threads, note_on, sample_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


_TOGETHER = 64  # samples whose distances to all others are made together
_ROUNDING = 1e-12  # of squares around prototypes: less of them around means is none


class DaviesBouldin(MeasureComponent):
    """Davies-Bouldin index (1979) with each neuron as a cluster and its prototype as the centre.

    The scatter of a neuron is the mean distance of its samples to its prototype. Neurons without
    hits are left out, as are pairs of prototypes at distance zero; fewer than two neurons with
    hits give 0.
    """

    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Davies & Bouldin 1979"

    def compute(self, evaluation: Evaluation) -> float:
        return davies_bouldin(
            evaluation.errors, evaluation.hits, evaluation.prototype_distances, evaluation.hits
        )


class _Groups(MeasureComponent):
    greater_is_better: ClassVar[bool] = True

    groups: Literal["neurons", "answers"] = Field(
        default="neurons",
        description="what samples have in common: their neuron, of leaves, or what is predicted",
    )

    def _of(self, evaluation: Evaluation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # The group of each sample, 0 and up, and their sizes.
        if self.groups == "neurons":
            sizes = np.bincount(evaluation.leaf)
            live = sizes > 0
            return (np.cumsum(live) - 1)[evaluation.leaf], sizes[live]
        groups: Any = evaluation.predictions
        if groups is None:
            raise ValueError("groups: answers needs predictions, and there are none")
        _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        return codes.ravel().astype(np.int64), sizes


class CalinskiHarabasz(_Groups):
    """How far groups of samples lie apart, over how far they spread: their variances' ratio.

    The variance ratio criterion of Caliński & Harabasz (1974): Σ n_k‖c_k - c‖²/(k - 1) over
    Σ‖x - c_k‖²/(n - k), with c_k the mean of a group and c that of all samples, in the metric's
    space with Euclidean distances. A missing value counts as that of the best-matching unit. Of
    samples that were drawn, n is the number of all.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Caliński & Harabasz 1974"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        groups, sizes = self._of(evaluation)
        n, k = len(groups), len(sizes)
        if not 1 < k < n:
            return NotedValue(0.0, f"{n} samples in {k} groups have no such ratio")
        data, som_map = evaluation.data, evaluation.som_map
        # Of neurons the samples' sums are known from their prototypes.
        offsets = None if self.groups == "answers" or som_map.children else evaluation.offsets
        if offsets is not None:
            live = np.flatnonzero(evaluation.hits)
            off = offsets[live] / sizes[:, None]
            centres = (som_map.prototypes[live] + off) * sizes[:, None]
        elif data.incomplete:
            centres = np.zeros((k, data.X.shape[1]))
            for rows, X in Pairs(evaluation).blocks():
                np.add.at(centres, groups[rows], X)
        else:
            centres = data.sums_seen(groups, k)[0]
        centre = centres.sum(axis=0) / n
        centres = centres / sizes[:, None]
        if self.groups == "neurons" and data.is_euclidean:
            # ‖x - w‖² summed up over a group is Σ‖x - c‖² + n‖c - w‖².
            if offsets is None:
                live = np.flatnonzero(np.bincount(evaluation.leaf))
                off = centres - evaluation.tree.weights[live]
            squares = np.square(evaluation.leaf_distance).sum()
            within = float(squares - sizes @ np.square(off).sum(axis=1))
            within = within if within > _ROUNDING * squares else 0.0
        else:
            of_each = np.empty(n)
            for rows, X in Pairs(evaluation).blocks():
                of_each[rows] = np.square(X - centres[groups[rows]]).sum(axis=1)
            within = float(of_each.sum())
        between = float(sizes @ np.square(centres - centre).sum(axis=1))
        freedom = evaluation.n_all - k
        note = f"of {n} samples, for {evaluation.n_all}" if evaluation.drawn_from else ""
        return NotedValue(between / within * freedom / (k - 1) if within > 0 else 1.0, note)


class Silhouette(_Groups):
    """Whether samples lie nearer to their own group than to the next one, on average.

    The mean of (b - a)/max(a, b), a being the mean distance of a sample to the others of its group
    and b the least mean distance to those of another group; 0 for a sample that is alone
    (Rousseeuw 1987). 1 is best; neurons that share a cluster among them come out low. It is
    measured where a configuration names it.
    """

    estimators: ClassVar[tuple[str, ...]] = ()
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    reference: ClassVar[str] = "Rousseeuw 1987"

    max_samples: int = Field(
        default=5000,
        ge=2,
        description="up to so many samples the value is exact; of more, a seeded sample is "
        "compared with all others",
    )

    def compute(self, evaluation: Evaluation) -> NotedValue:
        from scipy.sparse import csr_array

        groups, sizes = self._of(evaluation)
        n = len(groups)
        if len(sizes) < 2:
            return NotedValue(0.0, "there is one group")
        size, pairs, some = sample_size(n, self.max_samples), Pairs(evaluation), np.arange(n)
        if size < n:
            generator = np.random.default_rng(evaluation.seed)
            some = np.sort(generator.choice(n, size, replace=False))
        found = np.zeros(size)

        def fill(where: slice) -> None:
            rows = some[where]
            sums = np.zeros((len(rows), len(sizes)))
            for columns, distances in pairs.blocks_of_distances(rows):
                of = np.arange(distances.shape[1]), groups[columns]
                members = csr_array((np.ones(len(of[0])), of), shape=(len(of[0]), len(sizes)))
                sums += distances @ members
            own, of_each = groups[rows], np.arange(len(rows))
            within = sums[of_each, own] / np.maximum(sizes[own] - 1, 1)
            means = sums / sizes
            means[of_each, own] = np.inf
            nearest = means.min(axis=1)
            most = np.maximum(within, nearest)
            counted = (sizes[own] > 1) & (most > 0)
            np.divide(nearest - within, most, out=found[where], where=counted)

        in_threads(len(some), _TOGETHER, fill)
        return NotedValue(float(found.mean()), note_on(len(some), n, found))


def davies_bouldin(
    errors: NDArray[np.floating],
    hits: NDArray[np.integer],
    separation: NDArray[np.floating],
    hit_counts: NDArray[np.integer],
) -> float:
    """Return the Davies-Bouldin index (Davies & Bouldin 1979, eq. 4-6 with p = q = 1) of a map.

    DB = Σ over i of max over j ≠ i of (s_i + s_j) / d(w_i, w_j), divided by the number of nonzero
    ``hit_counts``, where s_i is the mean distance of neuron i's samples to its prototype w_i.
    """
    live = np.flatnonzero((hits > 0) & (hit_counts > 0))
    scatter = errors[live] / hits[live]
    apart = separation[np.ix_(live, live)]
    pairs = apart > 0
    np.fill_diagonal(pairs, False)
    ratios = np.divide(
        scatter[:, None] + scatter, apart, out=np.zeros_like(apart, dtype=float), where=pairs
    )
    if ratios.size == 0:
        return 0.0
    return float(ratios.max(axis=0).sum() / np.count_nonzero(hit_counts))
