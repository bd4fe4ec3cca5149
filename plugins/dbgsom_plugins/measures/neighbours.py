"""Whether samples that are neighbours in the data are neighbours on the map, and the reverse.

Of n samples above ``max_samples`` max_samples²/n, or 200, are drawn, one of each so many in the
order of their neurons. Their k nearest in the data are looked for among all samples, so that what
is lost and shared is exact for each; ranks of up to 256 of the equally near on the map are those
among 4096 samples, times how many these stand for. The note gives the standard error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue, grid_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._pairs import Pairs

_HELD = 1 << 21  # distances among the reference that a thread holds: 16 MiB
_TOGETHER = 128  # rows that are compared with all others together
_ROUNDING = 2.0**-44  # of distances that are made in blocks of other sizes
_REFERENCE = 4096  # of a draw: samples among which ranks are found
_OF_RING = 256  # of a draw: equally near samples on the map whose ranks stand for those of all


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

    def _kept(self, evaluation: Evaluation) -> _Kept:
        key = "neighbours", self.k, self.grid_distance, self.max_samples
        return evaluation.once(key, lambda: _kept(evaluation, self))


class Trustworthiness(_Neighbours):
    """Whether samples that are neighbours on the map are neighbours in the data.

    1 - 2/(nk(2n - 3k - 1)) · Σ (rank - k) over each sample's k nearest on the map that are not
    among its k nearest in the data, with their rank there (Venna & Kaski 2001). Samples at the same
    distance, above all those of one neuron, are ordered at random: the value is the mean over all
    such orders. 1 is perfect, about 0.5 is chance.
    """

    reference: ClassVar[str] = "Venna & Kaski 2001"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the trustworthiness; 1 for fewer than three samples."""
        kept = self._kept(evaluation)
        return kept.value(1 - kept.scale * kept.intruders)


class Continuity(_Neighbours):
    """Whether samples that are neighbours in the data are neighbours on the map.

    1 - 2/(nk(2n - 3k - 1)) · Σ (rank - k) over each sample's k nearest in the data that are not
    among its k nearest on the map, with their rank there (Venna & Kaski 2001, who call it the
    preservation of neighbourhoods). Samples at the same distance are ordered at random: the value
    is the mean over all such orders. 1 is perfect, about 0.5 is chance.
    """

    reference: ClassVar[str] = "Venna & Kaski 2001"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the continuity; 1 for fewer than three samples."""
        kept = self._kept(evaluation)
        return kept.value(1 - kept.scale * kept.lost)


class NeighbourhoodPreservation(_Neighbours):
    """Share of a sample's nearest neighbours in the data that are its nearest on the map, too.

    The mean over the samples of how many of the k nearest both have in common, over k (Lee &
    Verleysen 2009, Q_NX). Samples at the same distance are ordered at random: the value is the mean
    over all such orders. Chance is k/(n - 1); a neuron's samples are all equally near on the map,
    so that maps with more neurons reach more.
    """

    reference: ClassVar[str] = "Lee & Verleysen 2009"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the share; 1 for fewer than three samples."""
        kept = self._kept(evaluation)
        return kept.value(kept.shared / max(1, kept.k))


@dataclass(frozen=True)
class _Kept:
    """What became of the neighbours of m samples out of n.

    Attributes
    ----------
    intruders, lost, shared : float64 arrays (m,)
        Sums of ranks beyond k of the nearest on the map, and in the data; how many both share.
    """

    n: int
    k: int
    asked: int
    intruders: NDArray[np.float64]
    lost: NDArray[np.float64]
    shared: NDArray[np.float64]

    @property
    def scale(self) -> float:
        # So that the mean of a sample's sum is 1 at worst.
        return 2.0 / (self.k * (2 * self.n - 3 * self.k - 1)) if self.k else 0.0

    def value(self, of_each: NDArray[np.float64]) -> NotedValue:
        from dbgsom_plugins.measures._pairs import note_on

        if self.k == 0:
            return NotedValue(1.0, f"{self.n} samples have no neighbours to lose")
        notes = [note_on(len(of_each), self.n, of_each)]
        if self.k < self.asked:
            notes.append(f"k = {self.k}, less than half of {self.n} samples")
        return NotedValue(float(of_each.mean()), "; ".join(filter(None, notes)))


def _kept(evaluation: Evaluation, asked: _Neighbours) -> _Kept:
    from dbgsom_plugins.measures._pairs import Pairs, in_threads, sample_size

    n = evaluation.data.n
    k, m = min(asked.k, (n - 1) // 2), sample_size(n, asked.max_samples)
    found = _Kept(n, k, asked.k, *np.zeros((3, m)))
    if k == 0:
        return found
    by_unit = np.argsort(evaluation.bmu, kind="stable")
    rows, reference = by_unit, np.arange(n)
    if m < n:
        generator = np.random.default_rng(evaluation.seed)
        rows = by_unit[((np.arange(m) + generator.random(m)) * (n / m)).astype(np.int64)]
        reference = np.sort(generator.choice(n, min(n, _REFERENCE), replace=False))
    pairs = Pairs(evaluation, by_products=m < n)
    ranking = _Ranking(evaluation, pairs, asked.grid_distance, by_unit, reference, found)
    together = int(np.clip(_HELD // len(reference), 1, _TOGETHER))
    in_threads(m, together, lambda where: ranking.fill(rows[where], where))
    return found


@dataclass(frozen=True)
class _Ranking:
    """Ranks samples by their distances in the data and on the map.

    Attributes
    ----------
    evaluation : Evaluation
    pairs : Pairs
    grid_distance : {'euclidean', 'hops'}
    by_unit : int64 array (n,)
        Samples in the order of their neurons.
    reference : int64 array (r,)
        Samples among which ranks are found, ascending: all, or a draw that stands for all.
    found : _Kept
        What `fill` writes to.
    """

    evaluation: Evaluation
    pairs: Pairs
    grid_distance: Literal["euclidean", "hops"]
    by_unit: NDArray[np.int64]
    reference: NDArray[np.int64]
    found: _Kept

    def fill(self, rows: NDArray[np.int64], where: slice) -> None:
        """Write what became of the neighbours of ``rows`` (m,)."""
        found, reference = self.found, self.reference
        neurons, kind = np.unique(self.evaluation.bmu[rows], return_inverse=True)
        worth, kind = self._worth(neurons), kind.ravel()
        apart = self.pairs.distances(rows, reference)
        at = np.minimum(np.searchsorted(reference, rows), len(reference) - 1)
        itself = np.flatnonzero(reference[at] == rows)
        apart[itself, at[itself]] = np.inf  # nobody is its own neighbour
        among, is_whole = np.sort(apart, axis=1), len(reference) == found.n
        blocks = [(slice(0, found.n), apart)] if is_whole else self.pairs.blocks_of_distances(rows)
        nearest = self._nearest(rows, blocks, among[:, found.k - 1], worth, kind)
        found.lost[where], found.shared[where] = nearest.T
        for i, neuron in enumerate(neurons.tolist()):
            members, chances = self._members(neuron, worth[i, :, 1])
            for row in np.flatnonzero(kind == i):
                others = members != rows[row]
                own = rows[[row]]
                to_members = (
                    apart[row, members] if is_whole else self.pairs.distances(own, members)[0]
                )
                excess = self._mean_excess(among[row], to_members[others])
                found.intruders[where][row] = chances[others] @ excess

    def _nearest(
        self,
        rows: NDArray[np.int64],
        blocks: Iterable[tuple[slice, NDArray[np.float64]]],
        limits: NDArray[np.float64],
        worth: NDArray[np.float64],
        kind: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        # What the k nearest of all samples to rows (m,) are worth together, (m, 2): worth[kind] by
        # their neurons. There are k within the limits. Of those as far as the k-th each is as
        # likely among the k.
        k, m, units = self.found.k, len(rows), self.evaluation.bmu
        rounding = 0.0 if len(self.reference) == self.found.n else _ROUNDING * np.abs(limits).max()
        as_far = np.zeros((m, 3))  # as the limit: how many, and their worth
        nearer = []
        for columns, apart in blocks:
            which, at = np.divmod(
                np.flatnonzero(apart <= limits[:, None] + rounding), apart.shape[1]
            )
            other = columns.start + at
            which, at, other = (one[other != rows[which]] for one in (which, at, other))
            of_pair = np.column_stack([np.ones(len(at)), worth[kind[which], units[other]]])
            distance = apart[which, at]
            last = distance >= limits[which] - rounding
            np.add.at(as_far, which[last], of_pair[last])
            nearer.append((which[~last], distance[~last], of_pair[~last]))
        which, distance, of_pair = (np.concatenate(one) for one in zip(*nearer, strict=True))
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

    def _mean_excess(
        self, among: NDArray[np.float64], apart: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        # The mean of max(0, rank - k) over the orders of equal distances.
        k, low = self.found.k, np.searchsorted(among, apart, "left")
        high = np.searchsorted(among, apart, "right")
        if len(among) < self.found.n:
            share = (self.found.n - 1) / len(among)
            return np.asarray(np.maximum(1 + 0.5 * (low + high) * share - k, 0.0))
        first, last = np.maximum(low - k, 0) + 1, high - k
        beyond = (first + last) * np.maximum(last - first + 1, 0) / 2
        return np.asarray(beyond / (high - low))

    def _members(
        self, neuron: int, nearest: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # Samples that may be among the k nearest on the map of those of a neuron, and their
        # chances: all of nearer neurons are, and some of those in the ring that follows.
        hits = self.evaluation.hits
        starts = np.cumsum(hits) - hits

        def samples(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
            parts = [np.arange(starts[one], starts[one] + hits[one]) for one in chosen.nonzero()[0]]
            return np.asarray(self.by_unit[np.concatenate([*parts, np.empty(0, np.int64)])])

        sure, ring = samples(nearest == 1), samples((nearest > 0) & (nearest < 1))
        chance = float(nearest[nearest < 1].max(initial=0))
        if len(self.reference) < self.found.n and len(ring) > _OF_RING:
            chance *= len(ring) / _OF_RING
            lots = np.random.default_rng((self.evaluation.seed, neuron))
            ring = lots.choice(ring, _OF_RING, replace=False)
        return np.concatenate([sure, ring]), np.repeat([1.0, chance], [len(sure), len(ring)])

    def _worth(self, neurons: NDArray[np.int64]) -> NDArray[np.float64]:
        # Of samples of ``neurons`` (u,), by the neuron of another sample, (u, K, 2): the mean of
        # max(0, rank - k) on the map, and the probability to be among the k nearest there. Samples
        # in one ring, equally far on the map, are ranked at random.
        k, hits = self.found.k, self.evaluation.hits
        found = np.empty((len(neurons), len(hits), 2))
        apart = grid_distances(self.evaluation.som_map, neurons, self.grid_distance)
        squares = np.rint(np.square(apart)).astype(np.int64)
        for i, neuron in enumerate(neurons.tolist()):
            ring = np.unique(squares[i], return_inverse=True)[1]
            size = np.bincount(ring, hits)
            size[ring[neuron]] -= 1  # nobody is its own neighbour
            after = np.cumsum(size)
            before, some = after - size, np.maximum(size, 1)
            low, high = np.maximum(before - k, 0) + 1, after - k
            beyond = (low + high) * np.maximum(high - low + 1, 0) / (2 * some)
            found[i] = np.stack([beyond, np.clip((k - before) / some, 0.0, 1.0)], axis=1)[ring]
        return found
