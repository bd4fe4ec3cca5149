"""Distances and neighbours between samples, a block at a time: never are all of them held.

Above ``max_samples`` samples are drawn. Distances on the grid follow those of pairs within groups:
by default 201600 pairs of 6400 samples, which tell more than the two million pairs of 2000. Of
neighbours max_samples²/n, or 200, samples are drawn, one of each so many in the order of their
neurons. Their k nearest in the data are looked for among all samples, so that what is lost and
shared is exact for each; ranks of up to 256 of the equally near on the map are those among 4096
samples, times how many these stand for. Notes give standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
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
    from dbgsom_core.api import Evaluation

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

_BLOCK = 1 << 15  # numbers of a block of samples: 256 KiB
_PRODUCTS = 1 << 17  # where distances are matrix products
_WIDEST = 2048  # samples in a block
_LEAST = 200  # of a large number of samples so many look at all others, at least
_GROUP = 64  # samples whose pairs are looked at together
_SHARE = 20  # of ``max_samples``: so many groups of 64 are drawn
_OUTER = 256  # samples far from the middle among which two are farthest apart
_TABLE_ROWS = 1 << 18  # distances on the grid that are made at a time
_HELD = 1 << 21  # distances among the reference that a thread holds: 16 MiB
_TOGETHER = 128  # rows that are compared with all others together
_ROUNDING = 2.0**-44  # of distances that are made in blocks of other sizes
_REFERENCE = 4096  # of a draw: samples among which ranks are found
_OF_RING = 256  # of a draw: equally near samples on the map whose ranks stand for those of all


class Pairs:
    """Distances between the ``n`` samples of an evaluation, in the metric's space.

    A missing value counts as that of the sample's best-matching unit. With ``by_products`` those of
    a sample x to others y are, where the metric is Euclidean, ‖y‖² - 2 x·y: they rank as distances
    do but for rounding, in a third of the time. Else equal samples are equally far.
    """

    def __init__(self, evaluation: Evaluation, by_products: bool = False) -> None:
        data, prototypes = evaluation.data, evaluation.som_map.prototypes
        if data.incomplete:
            data = replace(data, X=data.completed(prototypes))
        self._data, self.n = data, data.n
        self._centre = np.average(prototypes, axis=0) if by_products and data.is_euclidean else None

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

    @property
    def _width(self) -> int:
        block = _BLOCK if self._centre is None else _PRODUCTS
        return int(np.clip(block // max(1, self._data.X.shape[1]), 32, _WIDEST))

    def _between(self, samples: Any, others: Floats) -> Floats:
        if self._centre is None:
            return np.vstack([distances for _, distances in samples.chunks(others)])
        others = others - self._centre
        found = (samples.X - self._centre) @ (-2 * others.T)
        found += np.einsum("ij,ij->i", others, others)
        return np.asarray(found)

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
    """Return how many samples look at all n: all up to ``most``.

    Of more, as many as make most² comparisons, or 200.
    """
    return n if n <= most else min(n, max(min(_LEAST, most), most * most // n))


def note_on(size: int, n: int, values: Floats) -> str:
    """Return what is to be said of the mean of values (m,) of some of n samples."""
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
        return sums.noted(min(1.0, both / bound), parts.sum(axis=1))


class KruskalShepard(_Distances):
    """Mean squared difference of distances in the data and on the grid, each over its largest.

    Over all pairs of samples, (d/max d - g/max g)² with d the distance of two samples and g that of
    their neurons (Elend & Kramer 2019, after Shepard 1962 and Kruskal 1964). 0 is perfect. Where
    pairs are drawn the largest distance is that of the 256 samples that lie farthest from the
    middle, judged by their neurons and the distance to these.
    """

    greater_is_better: ClassVar[bool] = False
    reference: ClassVar[str] = "Elend & Kramer 2019"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        sums = self._sums(evaluation)
        data = 1 / sums.data_most if sums.data_most > 0 else 0.0
        grid = 1 / sums.grid_most if sums.grid_most > 0 else 0.0
        of_each = sums.parts @ (-2 * data * grid, data**2, grid**2)
        return sums.noted(max(0.0, float(of_each.mean())), of_each)


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
        if self.note:
            # The way to a neuron and from there to a sample are about at right angles where there
            # are many features.
            prototypes = evaluation.som_map.prototypes
            middle = np.average(prototypes, axis=0, weights=evaluation.hits)
            outward = evaluation.data.pairwise(prototypes, middle[None])[:, 0]
            reach = np.hypot(outward[evaluation.bmu], evaluation.distance)
            outer = np.sort(np.argpartition(reach, len(reach) - min(_OUTER, len(reach)))[-_OUTER:])
            self.data_most = max(self.data_most, float(pairs.distances(outer, outer).max()))

    def noted(self, value: float, of_each: Floats) -> NotedValue:
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
        return ranking.noted(1 - ranking.scale * ranking.intruders)


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
        return ranking.noted(1 - ranking.scale * ranking.lost)


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
        return ranking.noted(ranking.shared / max(1, ranking.k))


class _Ranking:
    """What became of the neighbours of m samples out of n, in the data and on the map.

    ``intruders`` and ``lost`` (m,) are sums of ranks beyond k of the nearest on the map, and in the
    data, ``shared`` (m,) how many both share. Ranks are found among ``reference`` (r,): all, or a
    draw that stands for all.
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
        self.by_unit = np.argsort(evaluation.bmu, kind="stable")
        rows, self.reference, self.is_whole = self.by_unit, np.arange(n), m == n
        if m < n:
            generator = np.random.default_rng(evaluation.seed)
            rows = rows[((np.arange(m) + generator.random(m)) * (n / m)).astype(np.int64)]
            self.reference = np.sort(generator.choice(n, min(n, _REFERENCE), replace=False))
            self.is_whole = len(self.reference) == n
        self.pairs = Pairs(evaluation, by_products=m < n)
        together = int(np.clip(_HELD // len(self.reference), 1, _TOGETHER))
        in_threads(m, together, lambda where: self._fill(rows[where], where))

    def noted(self, of_each: Floats) -> NotedValue:
        if self.k == 0:
            return NotedValue(1.0, f"{self.n} samples have no neighbours to lose")
        notes = [note_on(len(of_each), self.n, of_each)]
        if self.k < self.measure.k:
            notes.append(f"k = {self.k}, less than half of {self.n} samples")
        return NotedValue(float(of_each.mean()), "; ".join(filter(None, notes)))

    def _fill(self, rows: Rows, where: slice) -> None:
        # Write what became of the neighbours of ``rows`` (m,).
        reference = self.reference
        neurons, kind = np.unique(self.evaluation.bmu[rows], return_inverse=True)
        worth, kind = self._worth(neurons), kind.ravel()
        apart = self.pairs.distances(rows, reference)
        at = np.minimum(np.searchsorted(reference, rows), len(reference) - 1)
        itself = np.flatnonzero(reference[at] == rows)
        apart[itself, at[itself]] = np.inf  # no sample is its own neighbour
        among = np.sort(apart, axis=1)
        whole = [(slice(0, self.n), apart)]
        blocks = whole if self.is_whole else self.pairs.blocks_of_distances(rows)
        nearest = self._nearest(rows, blocks, among[:, self.k - 1], worth, kind)
        self.lost[where], self.shared[where] = nearest.T
        for i, neuron in enumerate(neurons.tolist()):
            members, chances = self._members(neuron, worth[i, :, 1])
            for row in np.flatnonzero(kind == i):
                others = members != rows[row]
                to_members = (
                    apart[row, members]
                    if self.is_whole
                    else self.pairs.distances(rows[[row]], members)[0]
                )
                excess = self._mean_excess(among[row], to_members[others])
                self.intruders[where][row] = chances[others] @ excess

    def _nearest(
        self, rows: Rows, blocks: Iterable[tuple[slice, Floats]], limits: Floats, worth: Floats,
        kind: Rows,
    ) -> Floats:  # fmt: skip
        # What the k nearest of all samples to rows (m,) are worth together, (m, 2): worth[kind] by
        # their neurons. There are k within the limits. Of those as far as the k-th each is as
        # likely among the k.
        k, m, units = self.k, len(rows), self.evaluation.bmu
        rounding = 0.0 if self.is_whole else _ROUNDING * np.abs(limits).max()
        as_far = np.zeros((m, 3))  # as the limit: how many, and their worth
        nearer = []
        for columns, apart in blocks:
            within = np.flatnonzero(apart <= limits[:, None] + rounding)
            which, at = np.divmod(within, apart.shape[1])
            others = columns.start + at != rows[which]
            which, at = which[others], at[others]
            its_units = units[columns.start + at]
            of_pair = np.column_stack([np.ones(len(at)), worth[kind[which], its_units]])
            distance = apart[which, at]
            last = distance >= limits[which] - rounding
            np.add.at(as_far, which[last], of_pair[last])
            nearer.append((which[~last], distance[~last], of_pair[~last]))
        which, distance, of_pair = (np.concatenate(part) for part in zip(*nearer, strict=True))
        order = np.lexsort((distance, which))
        distance, of_pair = distance[order], of_pair[order]
        ends = np.cumsum(np.bincount(which, minlength=m))
        found = np.empty((m, 2))
        for i, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            sure, last = of_pair[start:end], as_far[i]
            if end - start >= k:
                own, kth = distance[start:end], distance[start + k - 1]
                sure, last = sure[own < kth], sure[own == kth].sum(axis=0)
            found[i] = (sure.sum(axis=0) + (k - len(sure)) * last / last[0])[1:]
        return found

    def _mean_excess(self, among: Floats, apart: Floats) -> Floats:
        # The mean of max(0, rank - k) over the orders of equal distances.
        k, low = self.k, np.searchsorted(among, apart, "left")
        high = np.searchsorted(among, apart, "right")
        if not self.is_whole:
            scale = (self.n - 1) / len(among)
            return np.asarray(np.maximum(1 + 0.5 * (low + high) * scale - k, 0.0))
        first, last = np.maximum(low - k, 0) + 1, high - k
        beyond = (first + last) * np.maximum(last - first + 1, 0) / 2
        return np.asarray(beyond / (high - low))

    def _members(self, neuron: int, nearest: Floats) -> tuple[Rows, Floats]:
        # Samples that may be among the k nearest on the map of those of a neuron, and their
        # chances: all of nearer neurons are, and some of those in the ring that follows.
        hits = self.evaluation.hits
        starts = np.cumsum(hits) - hits

        def samples(chosen: NDArray[np.bool_]) -> Rows:
            parts = [np.arange(starts[j], starts[j] + hits[j]) for j in chosen.nonzero()[0]]
            return np.asarray(self.by_unit[np.concatenate([*parts, np.empty(0, np.int64)])])

        sure, ring = samples(nearest == 1), samples((nearest > 0) & (nearest < 1))
        chance = float(nearest[nearest < 1].max(initial=0))
        if not self.is_whole and len(ring) > _OF_RING:
            chance *= len(ring) / _OF_RING
            lots = np.random.default_rng((self.evaluation.seed, neuron))
            ring = lots.choice(ring, _OF_RING, replace=False)
        return np.concatenate([sure, ring]), np.repeat([1.0, chance], [len(sure), len(ring)])

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
