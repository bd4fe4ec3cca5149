"""Whether samples that are neighbours in the data are neighbours on the map, and the reverse.

Above ``max_samples``, n samples, max_samples²/n of them or 200 look for neighbours, every so many
in the order of their neurons; the note tells the standard error. Measured at 100000 × 64 with 20 ×
20 neurons, 250 samples, the deviation over 30 seeds and what the notes told: of trustworthiness
0.0003 for clusters (0.0003 told) and digits, 0.0034 (0.0032) for noise; of continuity 0.0026
(0.0031), 0.0017 (0.0016) and 0.0061 (0.0071); of the preservation 0.0007, 0.0020 and 0.0002. The
means lie within one standard error of the values of 2000 samples that were compared with all
others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue
from dbgsom_plugins.measures._nearest import Nearest
from dbgsom_plugins.measures._pair_loops import count, excess_ranks, look_up_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._pairs import Pairs
    from dbgsom_plugins.measures._rings import Rings

_SLOTS = 2048  # of the tables in which distances are looked up
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
    from dbgsom_plugins.measures._pairs import LOOKING, Pairs, how_many_look
    from dbgsom_plugins.measures._rings import Rings
    from dbgsom_plugins.measures._sampled import neighbours

    n = evaluation.data.n
    k, m = min(asked.k, (n - 1) // 2), how_many_look(n, asked.max_samples)
    if k == 0:
        return _Kept(n, k, asked.k, *np.zeros((3, n)))
    rings = Rings(evaluation, k, asked.grid_distance)
    if m < n:
        # Every so many of the samples, in the order of their neurons.
        start = np.random.default_rng(evaluation.seed).random()
        some = ((np.arange(m) + start) * (n / m)).astype(np.int64)
        return _Kept(n, k, asked.k, *neighbours(evaluation, some, rings))
    found = _Kept(n, k, asked.k, *np.zeros((3, n)))
    some, pairs = rings.by_unit, Pairs(evaluation)  # samples of one neuron see the same
    together = int(np.clip(_BOUNDS // (8 * int(evaluation.hits.max()) + k), 1, LOOKING))
    pairs.each(some, lambda where: _Ranking(some[where], where, rings, pairs, found), together)
    return found


class _Ranking:
    """Ranks what samples ``rows`` see, and writes it at the places ``where`` of ``found``."""

    def __init__(
        self,
        rows: NDArray[np.int64],
        where: slice,
        rings: Rings,
        pairs: Pairs,
        found: _Kept,
    ) -> None:
        self._rows, self._where, self._units, self._found = rows, where, rings.units, found
        m, k = len(rows), rings.k
        of_each: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self._known = np.zeros(m)
        neurons, groups, which = np.unique(
            rings.units[rows], return_index=True, return_inverse=True
        )
        worth = rings.worth(neurons)
        self._worth = worth[which.ravel()]
        parts = zip(neurons.tolist(), worth[:, :, 1], np.split(rows, groups[1:]), strict=True)
        for neuron, nearest, some in parts:
            here = slice(len(of_each), len(of_each) + len(some))
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
        self._nearest = Nearest.none(m, k)

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
            self._nearest.near,
            self._worth,
            self._nearest.near_worth,
            self._nearest.tied,
        )

    def done(self) -> None:
        """See `Looker`."""
        found, where, k = self._found, self._where, self._nearest.near.shape[1]
        ranks = np.empty(len(self._rows))
        excess_ranks(self._bounds, self._lengths, self._weights, self._counts, k, ranks)
        found.intruders[where] = ranks + self._known
        found.lost[where], found.shared[where] = self._nearest.worth().T
