"""Whether samples that are neighbours in the data are neighbours on the map, and the reverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue, grid_distances
from dbgsom_plugins.measures._pair_loops import count, excess_ranks, look_up_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._pairs import Pairs

_SLOTS = 256  # of the tables in which distances are looked up
_BOUNDS = 1 << 21  # distances that are held to be ranked


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
    from dbgsom_plugins.measures._pairs import LOOKING, Pairs, drawn

    n, units = evaluation.data.n, evaluation.bmu
    k = min(asked.k, (n - 1) // 2)
    some = drawn(n, asked.max_samples, evaluation.seed)
    nothing = np.zeros(len(some))
    if k == 0:
        return _Kept(n, k, asked.k, nothing, nothing, nothing)
    some = some[np.argsort(units[some], kind="stable")]  # those of one neuron see the same
    found = _Kept(n, k, asked.k, nothing, nothing.copy(), nothing.copy())
    rings, pairs = _Rings(evaluation, k, asked.grid_distance), Pairs(evaluation)
    together = int(np.clip(_BOUNDS // (8 * int(evaluation.hits.max()) + k), 1, LOOKING))
    pairs.each(some, lambda where: _Ranking(some[where], where, rings, pairs, found), together)
    return found


class _Rings:
    """Which samples are how near on the map, by neuron: all in one ring are equally far."""

    def __init__(self, evaluation: Evaluation, k: int, grid_distance: Literal["euclidean", "hops"]):
        self.k, self.units, self._hits = k, evaluation.bmu, evaluation.hits
        self._som_map, self._distance = evaluation.som_map, grid_distance
        self._order = np.argsort(self.units, kind="stable")
        self._ends = np.cumsum(self._hits)
        self.n_neurons = len(self._hits)

    def around(self, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what a sample of this neuron makes of another one, by its neuron: (K,) each.

        The probability that it is among the k nearest, and the mean of max(0, rank - k).
        """
        apart = grid_distances(self._som_map, slice(neuron, neuron + 1), self._distance)[0]
        _, ring = np.unique(apart, return_inverse=True)
        ring = ring.ravel()
        sizes = np.bincount(ring, self._hits)
        sizes[ring[neuron]] -= 1  # nobody is its own neighbour
        after = np.cumsum(sizes)
        before, some = after - sizes, np.maximum(sizes, 1)
        nearest = np.clip((self.k - before) / some, 0, 1)
        low, high = np.maximum(before - self.k, 0) + 1, after - self.k
        beyond = np.where(high >= low, (low + high) * (high - low + 1) / (2 * some), 0.0)
        return nearest[ring], beyond[ring]

    def samples(self, neurons: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples of some neurons, those of each ascending."""
        ends, hits = self._ends, self._hits
        parts = [self._order[ends[one] - hits[one] : ends[one]] for one in neurons.tolist()]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


class _Ranking:
    """Ranks what samples ``rows`` see, and writes it at the places ``where`` of ``found``."""

    def __init__(
        self,
        rows: NDArray[np.int64],
        where: slice,
        rings: _Rings,
        pairs: Pairs,
        found: _Kept,
    ) -> None:
        self._rows, self._where, self._units, self._found = rows, where, rings.units, found
        m, n_neurons, k = len(rows), rings.n_neurons, rings.k
        of_each: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self._worth = np.empty((m, n_neurons, 2))
        self._known = np.zeros(m)
        neurons, groups = np.unique(rings.units[rows], return_index=True)
        for neuron, some in zip(neurons.tolist(), np.split(rows, groups[1:]), strict=True):
            here = slice(len(of_each), len(of_each) + len(some))
            nearest, beyond = rings.around(neuron)
            self._worth[here, :, 0], self._worth[here, :, 1] = beyond, nearest
            others = rings.samples(np.flatnonzero(nearest))
            if len(others) == len(rings.units) and np.ptp(nearest[rings.units]) == 0:
                # All are equally near on the map: every rank occurs, in whatever order.
                below = len(others) - 1 - k
                self._known[here] = nearest[neuron] * below * (below + 1) / 2
                of_each += [(np.empty(0), np.empty(0))] * len(some)
                continue
            apart, chances = pairs.distances(some, others), nearest[rings.units[others]]
            for own, distances in zip(some.tolist(), apart, strict=True):
                order = np.argsort(distances)
                weights = np.where(others == own, 0.0, chances)
                of_each.append((distances[order], weights[order]))
        self._lengths = np.array([len(bounds) for bounds, _ in of_each])
        self._bounds, self._weights = np.zeros((2, m, max(1, self._lengths.max())))
        for i, (bounds, weights) in enumerate(of_each):
            self._bounds[i, : len(bounds)], self._weights[i, : len(bounds)] = bounds, weights
        self._tables, self._scales = np.empty((m, _SLOTS + 1), np.int64), np.empty(m)
        look_up_tables(self._bounds, self._lengths, self._tables, self._scales)
        self._counts = np.zeros((*self._bounds.shape, 2), np.int64)
        self._near, self._near_worth = np.full((m, k), np.inf), np.zeros((m, k, 2))
        self._tied = np.zeros((m, 3))

    def see(self, start: int, distances: NDArray[np.float64]) -> None:
        """See `Looker`."""
        count(
            distances,
            start,
            self._rows,
            self._units[start : start + distances.shape[1]],
            self._bounds,
            self._lengths,
            self._tables,
            self._scales,
            self._counts,
            self._near,
            self._worth,
            self._near_worth,
            self._tied,
        )

    def done(self) -> None:
        """See `Looker`."""
        found, where, k = self._found, self._where, self._near.shape[1]
        ranks = np.empty(len(self._rows))
        excess_ranks(self._bounds, self._lengths, self._weights, self._counts, k, ranks)
        found.intruders[where] = ranks + self._known
        last = self._near == self._near[:, -1:]  # those that others are as far as, too
        sure = (self._near_worth * ~last[:, :, None]).sum(axis=1)
        equal = (self._near_worth * last[:, :, None]).sum(axis=1) + self._tied[:, 1:]
        places = last.sum(axis=1)
        chance = places / (places + self._tied[:, 0])
        both = sure + chance[:, None] * equal
        found.lost[where], found.shared[where] = both.T
