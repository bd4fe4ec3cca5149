"""How well a map fits the samples, and keeps their neighbourhoods: measures without targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

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
    from scipy.sparse import csr_array

    from dbgsom_core.api import Evaluation

Floats = NDArray[np.float64]


class _Cost(MeasureComponent):
    greater_is_better = False
    bounds = (0.0, math.inf)


class QuantizationError(_Cost):
    """Mean distance of the samples to their best-matching unit, in the metric's units.

    Where neurons have child maps it is the distance to the leaf at the end of a sample's way down.
    """

    in_metric_units = True
    reference = "Kohonen 2001"

    def compute(self, evaluation: Evaluation) -> float:
        return float(evaluation.leaf_distance.mean())


class DeadNeurons(_Cost):
    """How many neurons are the best-matching unit of no sample."""

    def compute(self, evaluation: Evaluation) -> NotedValue:
        hits, note = evaluation.hits, ""
        if evaluation.drawn_from:
            n = len(evaluation.bmu)
            note = f"of {n} of {evaluation.drawn_from} samples, among all there may be fewer"
            if evaluation.all_hits is not None:
                hits, note = evaluation.all_hits, f"of all {evaluation.drawn_from} samples"
        return NotedValue(float(np.count_nonzero(hits == 0)), note)


class MapEntropy(MeasureComponent):
    """Entropy of how the samples spread over the neurons, in bits.

    log2 of the number of neurons where all won equally many; 0 where one won all.
    """

    greater_is_better = True
    bounds = (0.0, math.inf)
    reference = "Shannon 1948"

    def compute(self, evaluation: Evaluation) -> float:
        shares = evaluation.hits[evaluation.hits > 0] / len(evaluation.bmu)
        return float(-(shares * np.log2(shares)).sum()) + 0.0


class Distortion(_Cost):
    """Mean squared distance to the winner and its neighbours, weighted by closeness on the grid.

    A neuron ``h`` hops from the winner counts with exp(-h²/2) over its number of hits; neurons
    without hits are left out. Samples that were drawn count with the hits that all would have. The
    hits grow with the samples, so that runs measure the training part alone.
    """

    training_only = True
    in_metric_units = True
    reference = "Vasighi & Amini 2017"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        n, hops = len(evaluation.bmu), evaluation.som_map.hops
        value = distortion(evaluation.chunks(), evaluation.bmu, hops, evaluation.hits)
        note = f"of {n} samples, for {evaluation.n_all}" if evaluation.drawn_from else ""
        return NotedValue(value * n / evaluation.n_all, note)


def distortion(
    chunks: Iterable[tuple[slice, NDArray[np.float64]]],
    winners: NDArray[np.integer],
    hops: NDArray[np.integer],
    hit_counts: NDArray[np.integer],
) -> float:
    """Return the distortion measure of Vasighi & Amini (2017): DM of the conformance vectors.

    DM is the mean over the samples x of Σ over the neurons i with hits of
    exp(-hops(i, winner)²/2) · d(x, w_i)² / hits_i.
    """
    live = hit_counts > 0
    closeness = np.exp(-(hops[:, live].astype(np.float64) ** 2) / 2)
    shares = closeness / hit_counts[live]
    per_sample = np.empty(len(winners))  # summed once at the end: no chunk size changes a bit
    for rows, distances in chunks:
        weighted = distances[:, live] ** 2
        weighted *= shares[winners[rows]]
        per_sample[rows] = weighted.sum(axis=1)
    return float(per_sample.mean())


class TopographicError(_Cost):
    """Share of samples whose two nearest neurons are not linked (Kiviluoto 1996).

    A map of a single neuron has no second nearest one; its error is 0.
    """

    bounds = (0.0, 1.0)
    reference = "Kiviluoto 1996"

    def compute(self, evaluation: Evaluation) -> float:
        errors = evaluation.som_map.hops[evaluation.bmu, evaluation.second_bmu] > 1
        return float(np.count_nonzero(errors) / len(errors))


class TopographicError8(_Cost):
    """Share of samples whose two nearest neurons do not touch, not even at a corner.

    The topographic error of Kiviluoto (1996) with 8 neighbours on a square grid: diagonal cells
    count as adjacent, so it is never larger than `topographic_error`. The error of a single neuron
    is 0.
    """

    bounds = (0.0, 1.0)
    reference = "Kiviluoto 1996"

    def compute(self, evaluation: Evaluation) -> float:
        som_map = evaluation.som_map
        cells = som_map.positions[evaluation.bmu], som_map.positions[evaluation.second_bmu]
        errors = som_map.grid.steps(*cells, over_corners=True) > 1
        return float(np.count_nonzero(errors) / len(errors))


class CombinedError(_Cost):
    """Mean length of the way from a sample to its nearest prototype and on to the second nearest.

    The way leads along links of the grid, each as long as its two prototypes lie apart, and is the
    shortest (Kaski & Lagus 1996). It tells quantization and topology in one number, in the
    metric's units; where the two nearest neurons are linked it costs nothing but their distance.
    """

    in_metric_units = True
    reference = "Kaski & Lagus 1996"

    def compute(self, evaluation: Evaluation) -> float:
        return float(evaluation.combined_errors.mean())


class TopographicProduct(MeasureComponent):
    """Topographic product P (Bauer & Pawelzik 1992) of the prototypes; 0 is best.

    Below 0 the grid has too few dimensions for the data and folds, above 0 too many; runs are
    compared by |P|. It looks at the map alone, so that it is the same for every part of the data.
    """

    greater_is_better = False
    zero_is_best = True
    reference = "Bauer & Pawelzik 1992"

    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean",
        description="distance on the grid: between cells as in the paper, or along links",
    )

    def compute(self, evaluation: Evaluation) -> float:
        from dbgsom_core.api import topographic_product

        return topographic_product(evaluation.som_map, evaluation.data.pairwise, self.grid_distance)


class TopographicFunction(_Cost):
    """Topographic function (Villmann et al. 1997) at one k; 0 is perfect.

    At k = 0 it is how many neighbours a neuron has on average on the grid that are none in the
    data, and in the data that are none on the grid: the number to compare maps by.
    """

    reference = "Villmann et al. 1997"

    k: int = Field(
        default=0,
        ge=-(10**6),
        le=10**6,
        description="above 0: neighbours in the data more than k apart on the grid; "
        "below 0: on the grid more than -k apart in the data; 0: those of 1 and -1",
    )
    neighbours: Literal[4, 8] = Field(
        default=8,
        description="how the grid is measured: 8 counts diagonal steps as in the paper, 4 hops",
    )

    def compute(self, evaluation: Evaluation) -> float:
        from dbgsom_core.api import topographic_function

        if len(evaluation.som_map) < 2:
            return 0.0
        function = topographic_function(
            evaluation.som_map, evaluation.bmu, evaluation.second_bmu, self.neighbours
        )
        return function.at(self.k)


# ------------------------------------------------------------------------- pairs of samples

# Up to ``max_samples`` samples are all compared with each other. Of more, n, some are drawn by the
# seed and compared with all, so that there are max_samples² pairs, but at least 200 are drawn;
# notes say how many, and with which standard error. Distances are held in blocks.
_COLUMNS = 1 << 15  # numbers of the samples that a block is compared with at a time: 256 KiB
_HELD = 1 << 17  # distances of a block: 1 MiB, a part of the cache
_MOST_ROWS = 64  # of a block, so that threads have blocks enough
_LEAST = 200  # samples that are drawn at least, for a standard error that says something


class _Sampled(MeasureComponent):
    """A measure of the distances between samples, of some of them where they are many."""

    max_samples: int = Field(
        default=2000,
        ge=2,
        description="up to so many samples the value is exact; of more, a seeded sample is "
        "compared with all",
    )


class _OnGrid(_Sampled):
    bounds = (0.0, 1.0)

    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean", description="distance on the grid: between cells, or along links"
    )


class _Sample:
    """Samples of an evaluation, all or some, and their distances to all in the metric's space.

    A missing value counts as that of the sample's best-matching unit.

    Attributes
    ----------
    n : int
        Of all samples.
    rows : int array (m,)
        Those that are compared with all, in the order of their best-matching units.
    """

    def __init__(self, evaluation: Evaluation, most: int) -> None:
        self._data = _completed(evaluation)
        self.n = n = self._data.n
        self.rows = np.argsort(evaluation.bmu, kind="stable")
        if n > most:
            m = max(min(_LEAST, most), most**2 // n)
            drawn = np.random.default_rng(evaluation.seed).choice(n, m, replace=False)
            self.rows = self.rows[np.sort(drawn)]
        size = int(np.clip(_HELD // n, 1, _MOST_ROWS))
        starts = range(0, len(self.rows), size)
        # They do not depend on the number of threads, on which no bit of a product may.
        self.blocks = [slice(start, start + size) for start in starts]

    def distances(self, block: slice) -> Floats:
        """Return the distances (b, n) of some of the rows to all samples."""
        some = self._data.subset(self.rows[block])
        parts = []
        for _, others in blocks_of(self._data):
            parts.append(np.vstack([distances for _, distances in some.chunks(others)]))
        return np.hstack(parts)

    def note_on(self, values: Floats) -> str:
        """Return the note on a mean of the values (m,) of the rows."""
        m = len(self.rows)
        if m == self.n:
            return ""
        error = float(values.std(ddof=1)) * math.sqrt((1 - m / self.n) / m)
        return f"from {m} of {self.n} samples, drawn by the seed; standard error {error:.2g}"


def blocks_of(data: Any) -> Iterator[tuple[slice, Floats]]:
    """Yield (rows, samples (b, D)) of all samples, dense."""
    size = max(32, _COLUMNS // data.X.shape[1])
    for start in range(0, data.n, size):
        rows = slice(start, start + size)
        X = data.X[rows]
        if hasattr(X, "toarray"):
            X = X.toarray()
        yield rows, np.ascontiguousarray(X, dtype=np.float64)


def _completed(evaluation: Evaluation) -> Any:
    data = evaluation.data
    if not data.incomplete:
        return data
    return replace(data, X=data.completed(evaluation.som_map.prototypes))


# ------------------------------------------------------------------------------- distances


class _Distances(_OnGrid):
    def _sums(self, evaluation: Evaluation) -> _Sums:
        key = "distances", self.grid_distance, self.max_samples
        return evaluation.once(key, lambda: _Sums(evaluation, self))


class CMeasure(_Distances):
    """Whether distances on the grid grow with those in the data, over all pairs of samples.

    Σ d·g / √(Σ d² · Σ g²), d the distance of two samples and g that of their neurons: the C measure
    of Goodhill & Sejnowski (1997) over its upper bound, so that it has no unit and no size of the
    map in it. 1 is perfect: grid distances are the data's, but for their unit.
    """

    greater_is_better = True
    reference = "Goodhill & Sejnowski 1997"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        sums = self._sums(evaluation)
        both, data, grid = sums.products.mean(axis=0).tolist()
        bound = math.sqrt(data * grid)
        if bound <= 0:
            return NotedValue(0.0)
        # The derivatives of the ratio by the three means give the share of each sample.
        slopes = 1 / bound, -both / (2 * data * bound), -both / (2 * grid * bound)
        of_each = sums.products @ slopes
        return NotedValue(min(1.0, both / bound), sums.sample.note_on(of_each))


class KruskalShepard(_Distances):
    """Mean squared difference of distances in the data and on the grid, each over its largest.

    Over all pairs of samples, (d/max d - g/max g)² with d the distance of two samples and g that of
    their neurons (Elend & Kramer 2019, after Shepard 1962 and Kruskal 1964). 0 is perfect.
    """

    greater_is_better = False
    reference = "Elend & Kramer 2019"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        sums = self._sums(evaluation)
        data = 1 / sums.data_most if sums.data_most > 0 else 0.0
        grid = 1 / sums.grid_most if sums.grid_most > 0 else 0.0
        of_each = sums.products @ (-2 * data * grid, data**2, grid**2)
        return NotedValue(max(0.0, float(of_each.mean())), sums.sample.note_on(of_each))


class _Sums:
    """Means of d·g, d² and g² of each sample, ``products`` (m, 3), and the largest d and g."""

    def __init__(self, evaluation: Evaluation, measure: _Distances) -> None:
        self.sample = sample = _Sample(evaluation, measure.max_samples)
        neurons, units = np.unique(evaluation.bmu, return_inverse=True)
        steps = grid_distances(evaluation.som_map, neurons, measure.grid_distance, neurons)
        self.products, self.data_most = np.empty((len(sample.rows), 3)), 0.0
        for block in sample.blocks:
            d = sample.distances(block)
            g = steps[units[sample.rows[block]]].take(units, axis=1)
            for column, (a, b) in enumerate(((d, g), (d, d), (g, g))):
                sums = np.einsum("ij,ij->i", a, b)
                self.products[block, column] = sums / max(1, sample.n - 1)
            self.data_most = max(self.data_most, float(d.max()))
        self.grid_most = float(steps.max())


# ------------------------------------------------------------------------------ neighbours


class _Neighbours(_OnGrid):
    greater_is_better = True

    k: int = Field(
        default=10, ge=1, description="neighbours of a sample; less than half of the samples"
    )

    def _ranks(self, evaluation: Evaluation) -> _Ranks:
        key = "neighbours", self.k, self.grid_distance, self.max_samples
        return evaluation.once(key, lambda: _Ranks(evaluation, self))


class Trustworthiness(_Neighbours):
    """Whether samples that are neighbours on the map are neighbours in the data.

    1 - 2/(nk(2n - 3k - 1)) · Σ (rank - k) over each sample's k nearest on the map that are not
    among its k nearest in the data, with their rank there (Venna & Kaski 2001). Samples at the same
    distance, above all those of one neuron, are ordered at random: the value is the mean over all
    such orders. 1 is perfect, about 0.5 is chance.
    """

    reference = "Venna & Kaski 2001"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        ranks = self._ranks(evaluation)
        return ranks.mean(1 - ranks.scale * ranks.intruders)


class Continuity(_Neighbours):
    """Whether samples that are neighbours in the data are neighbours on the map.

    1 - 2/(nk(2n - 3k - 1)) · Σ (rank - k) over each sample's k nearest in the data that are not
    among its k nearest on the map, with their rank there (Venna & Kaski 2001, who call it the
    preservation of neighbourhoods). Samples at the same distance are ordered at random: the value
    is the mean over all such orders. 1 is perfect, about 0.5 is chance.
    """

    reference = "Venna & Kaski 2001"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        ranks = self._ranks(evaluation)
        return ranks.mean(1 - ranks.scale * ranks.lost)


class NeighbourhoodPreservation(_Neighbours):
    """Share of a sample's nearest neighbours in the data that are its nearest on the map, too.

    The mean over the samples of how many of the k nearest both have in common, over k (Lee &
    Verleysen 2009, Q_NX). Samples at the same distance are ordered at random: the value is the mean
    over all such orders. Chance is k/(n - 1); a neuron's samples are all equally near on the map,
    so that maps with more neurons reach more.
    """

    reference = "Lee & Verleysen 2009"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        ranks = self._ranks(evaluation)
        return ranks.mean(ranks.shared / max(1, ranks.k))


class _Ranks:
    """What becomes of the neighbours of each of some samples, (m,).

    ``intruders`` and ``lost`` are sums of ranks beyond k, of the k nearest on the map in the data,
    and of those in the data on the map; ``shared`` is how many are among both.
    """

    def __init__(self, evaluation: Evaluation, measure: _Neighbours) -> None:
        self._sample = sample = _Sample(evaluation, measure.max_samples)
        self._wanted = measure.k
        self.k = min(measure.k, (sample.n - 1) // 2)
        self.intruders, self.lost, self.shared = np.zeros((3, len(sample.rows)))
        if self.k == 0:
            raise ValueError(f"it needs more than {sample.n} samples: they have no neighbours")
        # So that the mean of a sample's sum is 1 at worst.
        self.scale = 2.0 / (self.k * (2 * sample.n - 3 * self.k - 1))
        self._unit, som_map = evaluation.bmu, evaluation.som_map
        steps = grid_distances(som_map, slice(None), measure.grid_distance)
        # Whole numbers, so that equal distances are equal to the bit.
        self._steps = np.rint(np.square(steps)).astype(np.int64)
        with one_blas_thread():
            share(available_threads(), len(sample.blocks), self._fill)

    def mean(self, values: Floats) -> NotedValue:
        note = self._sample.note_on(values)
        if self.k < self._wanted:
            note = f"k = {self.k}, less than half of {self._sample.n} samples"
        return NotedValue(float(values.mean()), note)

    def _fill(self, worker: int, block: int) -> None:
        where = self._sample.blocks[block]
        distances = self._sample.distances(where)
        rows, k = self._sample.rows[where], self.k
        distances[np.arange(len(rows)), rows] = np.inf  # no sample is its own neighbour
        ordered = np.sort(distances, axis=1)
        last = -1  # the unit of the sample before, as samples are in their order
        for i, row in enumerate(rows.tolist(), start=where.start):
            d, among = distances[i - where.start], ordered[i - where.start]
            if self._unit[row] != last:
                last = self._unit[row]
                steps = self._steps[last][self._unit]
                # Without the sample itself, which is at no distance.
                chances, beyond = _chances(np.sort(steps)[1:], steps, k)
                likely = np.flatnonzero(chances)
            members = likely[likely != row]
            nearest = np.flatnonzero(d <= among[k - 1])
            chosen, _ = _chances(among, d[nearest], k)
            _, lost = _chances(among, d[members], k)
            self.intruders[i] = chances[members] @ lost
            self.lost[i] = chosen @ beyond[nearest]
            self.shared[i] = chosen @ chances[nearest]


def _chances(ordered: NDArray[Any], values: NDArray[Any], k: int) -> tuple[Floats, Floats]:
    """Return for values (V,) among ordered ones, over the orders of equal ones, two means.

    The probability to be among the k least, and max(0, rank - k).
    """
    below = np.searchsorted(ordered, values, "left")
    up_to = np.searchsorted(ordered, values, "right")
    # A value that is not among them counts as a rank of its own.
    n_equal = np.maximum(up_to - below, 1)
    # Ranks below + 1 … up_to are equally likely; those beyond k are off by first … last.
    first, last = np.maximum(below - k, 0) + 1, up_to - k
    n_beyond = np.maximum(last - first + 1, 0)
    beyond = (first + last) * n_beyond / (2 * n_equal)
    return np.clip((k - below) / n_equal, 0.0, 1.0), beyond


# ------------------------------------------------------------------------ groups of samples


class DaviesBouldin(MeasureComponent):
    """Davies-Bouldin index (1979) with each neuron as a cluster and its prototype as the centre.

    The scatter of a neuron is the mean distance of its samples to its prototype. Neurons without
    hits are left out, as are pairs of prototypes at distance zero; fewer than two neurons with
    hits give 0.
    """

    greater_is_better = False
    bounds = (0.0, math.inf)
    reference = "Davies & Bouldin 1979"

    def compute(self, evaluation: Evaluation) -> float:
        return davies_bouldin(
            evaluation.errors, evaluation.hits, evaluation.prototype_distances, evaluation.hits
        )


class _Groups(MeasureComponent):
    greater_is_better = True

    groups: Literal["neurons", "answers"] = Field(
        default="neurons",
        description="what samples have in common: their neuron, of leaves, or what is predicted",
    )

    def _of(self, evaluation: Evaluation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # The group of each sample, 0 and up, and their sizes.
        groups: Any = evaluation.leaf
        if self.groups == "answers":
            groups = evaluation.predictions
            if groups is None:
                raise ValueError("groups: answers needs predictions, and there are none")
        _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        return codes.ravel(), sizes


class CalinskiHarabasz(_Groups):
    """How far groups of samples lie apart, over how far they spread: their variances' ratio.

    The variance ratio criterion of Caliński & Harabasz (1974): Σ n_k‖c_k - c‖²/(k - 1) over
    Σ‖x - c_k‖²/(n - k), with c_k the mean of a group and c that of all samples, in the metric's
    space with Euclidean distances. A missing value counts as that of the best-matching unit. Of
    samples that were drawn, n is the number of all.
    """

    bounds = (0.0, math.inf)
    reference = "Caliński & Harabasz 1974"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        groups, sizes = self._of(evaluation)
        n, k = len(groups), len(sizes)
        if not 1 < k < n:
            return NotedValue(0.0, f"{n} samples in {k} groups have no such ratio")
        data = _completed(evaluation)
        sums, within = np.zeros((k, data.X.shape[1])), 0.0
        for rows, X in blocks_of(data):
            sums += _members(groups[rows], k).T @ X
        centres = sums / sizes[:, None]
        for rows, X in blocks_of(data):
            within += float(np.square(X - centres[groups[rows]]).sum())
        between = float(sizes @ np.square(centres - sums.sum(axis=0) / n).sum(axis=1))
        ratio = 1.0
        if within > 0:
            ratio = between / within * (evaluation.n_all - k) / (k - 1)
        note = f"of {n} samples, for {evaluation.n_all}" if evaluation.drawn_from else ""
        return NotedValue(ratio, note)


def _members(groups: NDArray[np.int64], count: int) -> csr_array:
    # Which samples (rows) are in which group (columns), as 1.
    from scipy.sparse import csr_array

    ones = np.ones(len(groups)), (np.arange(len(groups)), groups)
    return csr_array(ones, shape=(len(groups), count))


class Silhouette(_Sampled, _Groups):
    """Whether samples lie nearer to their own group than to the next one, on average.

    The mean of (b - a)/max(a, b), a being the mean distance of a sample to the others of its group
    and b the least mean distance to those of another group; 0 for a sample that is alone
    (Rousseeuw 1987). 1 is best; neurons that share a cluster among them come out low. It is
    measured where a configuration names it.
    """

    estimators = ()
    bounds = (-1.0, 1.0)
    reference = "Rousseeuw 1987"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        groups, sizes = self._of(evaluation)
        if len(sizes) < 2:
            return NotedValue(0.0, "there is one group")
        sample = _Sample(evaluation, self.max_samples)
        members, values = _members(groups, len(sizes)), np.zeros(len(sample.rows))
        for block in sample.blocks:
            sums = sample.distances(block) @ members
            group, row = groups[sample.rows[block]], np.arange(len(sums))
            within = sums[row, group] / np.maximum(sizes[group] - 1, 1)
            means = sums / sizes
            means[row, group] = np.inf
            nearest = means.min(axis=1)
            most = np.maximum(within, nearest)
            gains = (nearest - within) / np.where(most > 0, most, 1.0)
            values[block] = np.where(sizes[group] > 1, gains, 0.0)
        return NotedValue(float(values.mean()), sample.note_on(values))


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
    distances = separation[np.ix_(live, live)]
    is_pair = distances > 0
    np.fill_diagonal(is_pair, False)
    ratios = np.zeros(distances.shape)
    np.divide(scatter[:, None] + scatter, distances, out=ratios, where=is_pair)
    if ratios.size == 0:
        return 0.0
    return float(ratios.max(axis=0).sum() / np.count_nonzero(hit_counts))
