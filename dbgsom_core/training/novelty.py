"""How unusual a sample is: how far away the training samples nearest to it are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.training.groups import (
    BLOCK,
    Members,
    MicroClusters,
    nearest_groups,
    without_themselves,
)

SOFT_MASS = 10.0  # how many training samples count, about
_FAR = 10 * SOFT_MASS  # samples: the next one would count less than 1/22000 of the nearest
_GROUPS = 40  # that are searched for them, at most; fewer where any so many hold them
# Samples at most, evenly spaced: held out ones, and those of the training, which every fit asks.
_CALIBRATED_BY, _LEFT_OUT = 5000, 1000


@dataclass(frozen=True)
class Novelty:
    """What maps of earlier versions know of the distances of their training samples.

    Attributes
    ----------
    means, deviations : float64 arrays (K,)
        Of each neuron's training distances, in the units of the metric.
    offset : float
        The score below which a sample is an outlier.
    """

    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    offset: float

    def scores(
        self, units: NDArray[np.int64], distance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (mean - distance) / deviation of the neurons ``units`` (m,), shape (m,)."""
        return np.asarray((self.means[units] - distance) / self.deviations[units])


@dataclass(frozen=True)
class Density:
    """Where the training samples of a map lie, and how far away they are from others.

    The score of a sample is minus the root of the mean squared distance to the training samples,
    where the r-th nearest weighs exp(-r/10), as far as the map knows: a distance to a measure
    (Chazal, Cohen-Steiner & Mérigot 2011) whose mass ends softly. Groups count that are among the
    nearest 40 and in front of which fewer than 100 samples are. What the map knows are groups,
    what a neuron won (of one class where there are some), or parts of it: their samples lie at
    squared distance d² + s², d that to their mean and s their `MicroClusters.scatter`. All is in
    units of the root mean square of s, or of the metric where that is 0: all groups are of equal
    samples.

    Attributes
    ----------
    centres : float64 array (M, D)
        Of the groups.
    weights, spreads : float64 arrays (M,)
        Samples in a group, and s² in the metric's units.
    unit : float
    """

    centres: NDArray[np.float64]
    weights: NDArray[np.float64]
    spreads: NDArray[np.float64]
    unit: float

    @cached_property
    def neighbours(self) -> int:
        """How many groups hold `_FAR` samples and one more group, whichever they are."""
        held = np.cumsum(np.sort(self.weights))
        return min(_GROUPS, int(np.searchsorted(held, _FAR)) + 2)

    @classmethod
    def of(
        cls, clusters: MicroClusters, prototypes: NDArray[np.float64], metric: MetricCalls
    ) -> Self:
        """Return what is known from micro-clusters and prototypes (L, D)."""
        spreads = np.square(clusters.scatter)
        unit = math.sqrt(float(np.average(spreads, weights=clusters.weights)))
        centres = clusters.centres(prototypes, metric)
        return cls(centres, clusters.weights, spreads, unit if unit > 0 else 1.0)

    def scores(self, data: Samples, own: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the scores of prepared samples, (n,).

        ``own`` (n,): the group of each, of which it was one; it is scored as if it had not been.
        """
        from dbgsom_core.engine.score_loops import Groups, soft_means  # numba is slow to import

        found, held = np.empty(data.n), np.empty(data.n)
        all_groups = Groups.of(self.weights, self.spreads, SOFT_MASS)

        def score(rows: slice, part: Samples) -> None:
            groups, distances = nearest_groups(part, self.centres, self.neighbours)
            if own is None:
                of = all_groups
            else:
                if part.scatter is not None:  # samples stand for others that lie beside them
                    distances = np.hypot(distances, part.scatter[:, None])
                distances, weights, order = without_themselves(
                    distances, self.weights[groups], groups == own[rows, None], part.weights
                )
                spreads = self.spreads[np.take_along_axis(groups, order, 1)]
                of = Groups.of(weights.ravel(), spreads.ravel(), SOFT_MASS)
                groups = np.arange(groups.size).reshape(groups.shape)
            groups, distances = np.ascontiguousarray(groups), np.ascontiguousarray(distances)
            count = min(groups.shape[1], self.neighbours)
            soft_means(groups, distances, count, of, _FAR, found[rows], held[rows])

        data.in_parts(BLOCK, score)
        return np.asarray(-np.sqrt(found) / self.unit)


@dataclass(frozen=True)
class Calibration:
    """Scores of samples that the map has not seen, beside which those of others are ranked.

    Attributes
    ----------
    scores : float64 array (m,)
        Ascending.
    weights : float64 array (m,)
        Their weights.
    offset : float
        The score below which, and only there, p-values are at most the contamination.
    """

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: float = -math.inf

    @classmethod
    def of(
        cls,
        density: Density,
        data: Samples,
        contamination: float,
        members: Members | None = None,
    ) -> Self:
        """Score samples that the map has not seen, or each as if it had not seen it.

        The latter where ``members`` gives the groups of some rows. At most 5000 samples, evenly
        spaced, are scored, or 1000 of those that it has seen.
        """
        most = _CALIBRATED_BY if members is None else _LEFT_OUT
        some = np.linspace(0, data.n - 1, most).astype(np.int64)
        rows = some if data.n > most else np.arange(data.n)
        part = data if len(rows) == data.n else data.subset(rows)
        scores = density.scores(part, None if members is None else members(rows))
        order = np.argsort(scores, kind="stable")
        made = cls(scores[order], part.sample_weights[order])
        return replace(made, offset=made.offset_of(contamination))

    def pvalues(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (1 + how many known scores are at most this one) / (1 + all), shape (n,)."""
        from dbgsom_core.engine.score_loops import ranks_among

        up_to = np.concatenate([[0.0], np.cumsum(self.weights)])
        rank = np.zeros(len(scores), np.int64)
        if len(self.scores):
            ranks_among(self.scores, np.ascontiguousarray(scores), rank)
        return np.asarray((1 + up_to.take(rank)) / (1 + up_to[-1]))

    def offset_of(self, level: float) -> float:
        """Return the score below which, and only there, p-values are at most ``level``."""
        known = np.unique(self.scores)
        first = int(np.searchsorted(self.pvalues(known) > level, True))
        if first == 0 and 1 / (1 + self.weights.sum()) > level:
            return -math.inf
        return float(known[first])
