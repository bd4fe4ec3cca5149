"""Distances and neighbours between samples, in blocks of bounded memory.

Above ``max_samples`` samples are drawn. Distances on the grid follow those of pairs within groups:
by default 201600 pairs of 6400 samples, which tell more than the two million pairs of 2000. Of
neighbours max_samples²/n, or 200, samples are drawn, one of each so many in the order of their
neurons, and compared with all others. Notes give standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import (
    MeasureComponent,
    NotedValue,
    available_threads,
    grid_distances,
    one_blas_thread,
    share,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from dbgsom_core.api import Evaluation


Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

_BLOCK = 1 << 15  # numbers of a block of samples: 256 KiB
_WIDEST = 2048  # samples in a block
_LEAST = 200  # of a large number of samples so many look at all others, at least
_GROUP = 64  # samples whose pairs are looked at together
_SHARE = 20  # of ``max_samples``: so many groups of 64 are drawn
_TABLE_ROWS = 1 << 18  # distances on the grid that are made at a time
_HELD = 1 << 21  # distances that a thread holds: 16 MiB
_TOGETHER = 128  # rows that are compared with all others together


class Pairs:
    """Distances between the ``n`` samples of an evaluation, in the metric's space.

    A missing value counts as that of the sample's best-matching unit.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        data = evaluation.data
        if data.incomplete:
            data = replace(data, X=data.completed(evaluation.som_map.prototypes))
        self._data, self.n = data, data.n
        self._width = int(np.clip(_BLOCK // max(1, data.X.shape[1]), 32, _WIDEST))

    def distances(self, some: Rows, others: Rows) -> Floats:
        """Return the distances (m, b) of samples to others, of which few are held at a time."""
        samples, width = self._data.subset(some), self._width
        parts = [others[start : start + width] for start in range(0, len(others), width)]
        return np.hstack([self._between(samples, self._dense(part)) for part in parts])

    def blocks_of_distances(self, some: Rows) -> Iterator[tuple[slice, Floats]]:
        """Yield (columns, distances (m, b)) of some samples (m,) to all, block by block."""
        samples = self._data.subset(some)
        for columns, others in self.blocks():
            yield columns, self._between(samples, others)

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        for start in range(0, self.n, self._width):
            rows = slice(start, min(start + self._width, self.n))
            yield rows, self._dense(rows)

    def _between(self, samples: Any, others: Floats) -> Floats:
        return np.vstack([distances for _, distances in samples.chunks(others)])

    def _dense(self, rows: Rows | slice) -> Floats:
        found = self._data.X[rows]
        found = found.toarray() if hasattr(found, "toarray") else found
        return np.ascontiguousarray(found, dtype=np.float64)


def in_threads(m: int, together: int, work: Callable[[slice], None]) -> None:
    """Call ``work`` for slices of m samples, some ``together``, in all threads.

    Slices do not depend on the number of threads, on which no bit of a product may.
    """
    parts = [slice(start, min(start + together, m)) for start in range(0, m, together)]
    with one_blas_thread():
        share(available_threads(), len(parts), lambda worker, task: work(parts[task]))


def sample_size(n: int, most: int) -> int:
    """Return how many samples are compared with all n: all up to ``most``.

    Of more, as many as make most² comparisons, or 200.
    """
    return n if n <= most else min(n, max(min(_LEAST, most), most * most // n))


def note_on(size: int, n: int, values: Floats) -> str:
    """Return the note on a mean of values (m,) of some of n samples."""
    if size == n:
        return ""
    error = float(values.std(ddof=1)) * np.sqrt((1 - size / n) / size)
    return f"from {size} of {n} samples, drawn by the seed; standard error {error:.2g}"


# ------------------------------------------------------------------------------- distances


class _Distances(MeasureComponent):
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean", description="distance on the grid: between cells, or along links"
    )
    max_samples: int = Field(
        default=2000,
        ge=2,
        description="of so many samples all pairs are looked at; of more, the pairs within seeded "
        "groups of 64, one group for each 20 of these",
    )

    def _sums(self, evaluation: Evaluation) -> _Sums:
        key = "distances", self.grid_distance, self.max_samples
        return evaluation.once(key, lambda: _Sums(evaluation, self))


class CMeasure(_Distances):
    """Whether distances on the grid grow with those in the data, over all pairs of samples.

    Σ d·g / √(Σ d² · Σ g²), d the distance of two samples and g that of their neurons: the C measure
    of Goodhill & Sejnowski (1997) over its upper bound, so that it has no unit and no size of the
    map in it. 1 is perfect: grid distances are the data's, but for their unit.
    """

    greater_is_better: ClassVar[bool] = True
    reference: ClassVar[str] = "Goodhill & Sejnowski 1997"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        sums = self._sums(evaluation)
        both, data, grid = sums.parts.mean(axis=0).tolist()
        bound = math.sqrt(data * grid)
        if bound <= 0:
            return NotedValue(0.0, sums.note)
        parts = sums.parts * (1 / bound, -both / (2 * data * bound), -both / (2 * grid * bound))
        return sums.with_note(min(1.0, both / bound), parts.sum(axis=1))


class KruskalShepard(_Distances):
    """Mean squared difference of distances in the data and on the grid, each over its largest.

    Over all pairs of samples, (d/max d - g/max g)² with d the distance of two samples and g that of
    their neurons (Elend & Kramer 2019, after Shepard 1962 and Kruskal 1964). 0 is perfect. Where
    pairs are drawn the largest distance is that among them.
    """

    greater_is_better: ClassVar[bool] = False
    reference: ClassVar[str] = "Elend & Kramer 2019"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        sums = self._sums(evaluation)
        data = 1 / sums.data_most if sums.data_most > 0 else 0.0
        grid = 1 / sums.grid_most if sums.grid_most > 0 else 0.0
        of_each = sums.parts @ (-2 * data * grid, data**2, grid**2)
        return sums.with_note(max(0.0, float(of_each.mean())), of_each)


class _Sums:
    """Means of d·g, d² and g² over pairs in each group, (G, 3), and the largest d and g."""

    def __init__(self, evaluation: Evaluation, measure: _Distances) -> None:
        n, most, pairs, self.note = evaluation.data.n, measure.max_samples, Pairs(evaluation), ""
        groups = np.arange(n)[None]
        if n > most:
            size = min(_GROUP, most)
            count = min(n // size, max(1, most // _SHARE))
            rows = np.random.default_rng(evaluation.seed).choice(n, count * size, replace=False)
            groups = np.sort(rows.reshape(count, size), axis=1)
            within = count * size * (size - 1) // 2
            self.note = f"from {within} pairs of {groups.size} of {n} samples, drawn by the seed"
        self._left = 1 - groups.size / n
        neurons, units = np.unique(evaluation.bmu[groups], return_inverse=True)
        units = units.reshape(groups.shape)
        steps, block = np.empty((len(neurons),) * 2), max(1, _TABLE_ROWS // len(neurons))
        for start in range(0, len(neurons), block):
            some = neurons[start : start + block]
            steps[start : start + block] = grid_distances(
                evaluation.som_map, some, measure.grid_distance, neurons
            )
        found, m = np.zeros((len(groups), 4)), groups.shape[1]
        for group, its_units, out in zip(groups, units, found, strict=True):
            for start in range(0, m, _GROUP):
                d = pairs.distances(group[start : start + _GROUP], group)
                g = steps[its_units[start : start + _GROUP]].take(its_units, axis=1)
                out[:3] += [np.einsum("ij,ij->", a, b) for a, b in ((d, g), (d, d), (g, g))]
                out[3] = max(out[3], d.max())
        self.parts, self.data_most = found[:, :3] / max(1, m * (m - 1)), float(found[:, 3].max())
        self.grid_most = float(steps.max())

    def with_note(self, value: float, of_each: Floats) -> NotedValue:
        if not self.note or len(of_each) < 2:
            return NotedValue(value, self.note)
        error = float(of_each.std(ddof=1)) * math.sqrt(self._left / len(of_each))
        return NotedValue(value, f"{self.note}; standard error {error:.2g}")


# ------------------------------------------------------------------------------ neighbours


class _Neighbours(MeasureComponent):
    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    k: int = Field(
        default=10, ge=1, description="neighbours of a sample; less than half of the samples"
    )
    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean", description="distance on the grid: between cells, or along links"
    )
    max_samples: int = Field(
        default=5000,
        ge=2,
        description="up to so many samples the value is exact; of more, a seeded sample is "
        "compared with all others",
    )

    def _ranking(self, evaluation: Evaluation) -> _Ranking:
        key = "neighbours", self.k, self.grid_distance, self.max_samples
        return evaluation.once(key, lambda: _Ranking(evaluation, self))


class Trustworthiness(_Neighbours):
    """Whether samples that are neighbours on the map are neighbours in the data.

    1 - 2/(nk(2n - 3k - 1)) · Σ (rank - k) over each sample's k nearest on the map that are not
    among its k nearest in the data, with their rank there (Venna & Kaski 2001). Samples at the same
    distance, above all those of one neuron, are ordered at random: the value is the mean over all
    such orders. 1 is perfect, about 0.5 is chance.
    """

    reference: ClassVar[str] = "Venna & Kaski 2001"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        ranking = self._ranking(evaluation)
        return ranking.with_note(1 - ranking.scale * ranking.intruders)


class Continuity(_Neighbours):
    """Whether samples that are neighbours in the data are neighbours on the map.

    1 - 2/(nk(2n - 3k - 1)) · Σ (rank - k) over each sample's k nearest in the data that are not
    among its k nearest on the map, with their rank there (Venna & Kaski 2001, who call it the
    preservation of neighbourhoods). Samples at the same distance are ordered at random: the value
    is the mean over all such orders. 1 is perfect, about 0.5 is chance.
    """

    reference: ClassVar[str] = "Venna & Kaski 2001"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        ranking = self._ranking(evaluation)
        return ranking.with_note(1 - ranking.scale * ranking.lost)


class NeighbourhoodPreservation(_Neighbours):
    """Share of a sample's nearest neighbours in the data that are its nearest on the map, too.

    The mean over the samples of how many of the k nearest both have in common, over k (Lee &
    Verleysen 2009, Q_NX). Samples at the same distance are ordered at random: the value is the mean
    over all such orders. Chance is k/(n - 1); a neuron's samples are all equally near on the map,
    so that maps with more neurons reach more.
    """

    reference: ClassVar[str] = "Lee & Verleysen 2009"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        ranking = self._ranking(evaluation)
        return ranking.with_note(ranking.shared / max(1, ranking.k))


class _Ranking:
    """Ranks of the neighbours of m of n samples, in the data and on the map.

    ``intruders`` and ``lost`` (m,) are sums of ranks beyond k of the nearest on the map, and in the
    data, ``shared`` (m,) how many both share.
    """

    def __init__(self, evaluation: Evaluation, measure: _Neighbours) -> None:
        self.evaluation, self.measure = evaluation, measure
        self.n = n = evaluation.data.n
        self.k, m = min(measure.k, (n - 1) // 2), sample_size(n, measure.max_samples)
        self.intruders, self.lost, self.shared = np.zeros((3, m))
        # So that the mean of a sample's sum is 1 at worst.
        self.scale = 2.0 / (self.k * (2 * n - 3 * self.k - 1)) if self.k else 0.0
        if self.k == 0:
            return
        rows = np.argsort(evaluation.bmu, kind="stable")
        if m < n:
            generator = np.random.default_rng(evaluation.seed)
            rows = rows[((np.arange(m) + generator.random(m)) * (n / m)).astype(np.int64)]
        self.pairs = Pairs(evaluation)
        together = int(np.clip(_HELD // n, 1, _TOGETHER))
        in_threads(m, together, lambda where: self._fill(rows[where], where))

    def with_note(self, of_each: Floats) -> NotedValue:
        if self.k == 0:
            return NotedValue(1.0, f"{self.n} samples have no neighbours to lose")
        notes = [note_on(len(of_each), self.n, of_each)]
        if self.k < self.measure.k:
            notes.append(f"k = {self.k}, less than half of {self.n} samples")
        return NotedValue(float(of_each.mean()), "; ".join(filter(None, notes)))

    def _fill(self, rows: Rows, where: slice) -> None:
        # Write what became of the neighbours of ``rows`` (m,).
        k, units = self.k, self.evaluation.bmu
        neurons, kind = np.unique(units[rows], return_inverse=True)
        worth = self._worth(neurons)[kind.ravel()]
        apart = np.hstack([part for _, part in self.pairs.blocks_of_distances(rows)])
        apart[np.arange(len(rows)), rows] = np.inf  # no sample is its own neighbour
        ordered = np.sort(apart, axis=1)
        for i, (distances, among) in enumerate(zip(apart, ordered, strict=True), where.start):
            of_others = worth[i - where.start]
            nearer, as_far = (
                np.bincount(units[which], minlength=len(of_others)) @ of_others
                for which in (distances < among[k - 1], distances == among[k - 1])
            )
            # Each of those that are as far as the k-th is as likely among the k nearest.
            sure = int(np.searchsorted(among, among[k - 1], "left"))
            tied = int(np.searchsorted(among, among[k - 1], "right")) - sure
            self.lost[i], self.shared[i] = nearer + (k - sure) * as_far / tied
            chances = of_others[:, 1][units]
            chances[rows[i - where.start]] = 0.0
            members = np.flatnonzero(chances)
            self.intruders[i] = chances[members] @ self._mean_excess(among, distances[members])

    def _mean_excess(self, among: Floats, apart: Floats) -> Floats:
        # The mean of max(0, rank - k) over the orders of equal distances.
        low = np.searchsorted(among, apart, "left")
        high = np.searchsorted(among, apart, "right")
        first, last = np.maximum(low - self.k, 0) + 1, high - self.k
        beyond = (first + last) * np.maximum(last - first + 1, 0) / 2
        return np.asarray(beyond / (high - low))

    def _worth(self, neurons: Rows) -> Floats:
        # Of samples of ``neurons`` (u,), by the neuron of another sample, (u, K, 2): the mean of
        # max(0, rank - k) on the map, and the probability to be among the k nearest there. Samples
        # in one ring, equally far on the map, are ranked at random.
        k, hits = self.k, self.evaluation.hits
        found = np.empty((len(neurons), len(hits), 2))
        apart = grid_distances(self.evaluation.som_map, neurons, self.measure.grid_distance)
        squares = np.rint(np.square(apart)).astype(np.int64)
        for i, neuron in enumerate(neurons.tolist()):
            ring = np.unique(squares[i], return_inverse=True)[1]
            size = np.bincount(ring, hits)
            size[ring[neuron]] -= 1  # no sample is its own neighbour
            after = np.cumsum(size)
            before, some = after - size, np.maximum(size, 1)
            low, high = np.maximum(before - k, 0) + 1, after - k
            beyond = (low + high) * np.maximum(high - low + 1, 0) / (2 * some)
            found[i] = np.stack([beyond, np.clip((k - before) / some, 0.0, 1.0)], axis=1)[ring]
        return found


_OF_SILHOUETTES = 64  # samples whose distances to all others are made together


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
        pairs, squares = Pairs(evaluation), np.empty(n)
        sums = np.zeros((k, evaluation.data.X.shape[1]))
        for rows, X in pairs.blocks():
            sums += _members(groups[rows], k).T @ X
        centres = sums / sizes[:, None]
        for rows, X in pairs.blocks():
            squares[rows] = np.square(X - centres[groups[rows]]).sum(axis=1)
        within = float(squares.sum())
        between = float(sizes @ np.square(centres - sums.sum(axis=0) / n).sum(axis=1))
        freedom = evaluation.n_all - k
        note = f"of {n} samples, for {evaluation.n_all}" if evaluation.drawn_from else ""
        return NotedValue(between / within * freedom / (k - 1) if within > 0 else 1.0, note)


def _members(groups: NDArray[np.int64], count: int) -> csr_array:
    # Which samples (rows) are in which group (columns), as 1.
    from scipy.sparse import csr_array

    ones = np.ones(len(groups)), (np.arange(len(groups)), groups)
    return csr_array(ones, shape=(len(groups), count))


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
                sums += distances @ _members(groups[columns], len(sizes))
            own, of_each = groups[rows], np.arange(len(rows))
            within = sums[of_each, own] / np.maximum(sizes[own] - 1, 1)
            means = sums / sizes
            means[of_each, own] = np.inf
            nearest = means.min(axis=1)
            most = np.maximum(within, nearest)
            counted = (sizes[own] > 1) & (most > 0)
            np.divide(nearest - within, most, out=found[where], where=counted)

        in_threads(len(some), _OF_SILHOUETTES, fill)
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
