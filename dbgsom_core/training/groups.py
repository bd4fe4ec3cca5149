"""Micro-clusters: groups of training samples that a map remembers, and novelty as they show it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.loops import bisect_groups
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.results import PerSample, Totals, units_of, won_sums
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.context import FloatArray
from dbgsom_core.training.targets import UNLABELLED, Target

BLOCK = 1 << 13  # samples whose nearest groups are sought at a time: what is made of them is cached
_HALVINGS, _HALVED = 2, 4.0  # each of groups that weigh so much at least
_EPS = float(np.finfo(np.float64).eps)
_MOST_CUT, _MOST_NUMBERS = 10_000, 1 << 22  # samples, and numbers of theirs
_ROUNDING = 1e-9  # of what a group holds: less is nothing

Near = tuple[NDArray[np.int64], NDArray[np.float64]]  # groups (n, k) and how far away they are
Members = Callable[[NDArray[np.int64]], NDArray[np.int64]]  # the group of each of some samples


@dataclass(frozen=True)
class MicroClusters:
    """What stands for the samples of each neuron that won some, or of each neuron and class.

    One group each, or up to four of few samples: groups of four and more are cut in two across
    where they are longest, and these once more, where the geometry is Euclidean, the samples are
    complete, and no more than 10,000 of 4 million numbers. Such groups tell better what is near a
    sample than the neurons do (tests/benchmarks). Numeric targets have one group for each neuron.
    ``scatter`` is the mean distance of the samples of a group to their unit; the root of the mean
    squared one to their mean where neurons have several groups.
    """

    X: NDArray[np.float64]  # (m, D), means of samples, prepared; nan where nothing was observed
    weights: NDArray[np.float64]  # (m,): how many samples that were, or the sum of their weights
    scatter: NDArray[np.float64]  # (m,)
    labels: NDArray[Any] | None = None  # (m,), classes or mean targets; any where not ``labelled``
    labelled: NDArray[np.bool_] | None = None  # (m,): which groups are of samples with a class
    units: NDArray[np.int64] | None = None  # (m,), leaves; None in maps of earlier versions

    @classmethod
    def of(
        cls,
        data: Samples,
        found: PerSample,
        n_neurons: int,
        target: Target | None,
        totals: Totals | None = None,
    ) -> tuple[Self, Members]:
        """Group samples by their best-matching unit and class.

        ``totals`` are what the neurons won, where that is known. Returned, too, is what gives the
        groups (m,) of some of the samples.
        """
        classes = None if target is None else target.classes
        numeric = target is not None and classes is None
        rows = None  # the samples where they are few enough to be cut, and lie where it is sensible
        few = data.n <= _MOST_CUT and data.n * data.X.shape[1] <= _MOST_NUMBERS
        if not numeric and few and data.metric.is_euclidean and not data.incomplete:
            some = data.X[0 : data.n]
            rows = np.asarray(some.toarray() if issparse(some) else some)
        if target is None and rows is None:
            won = data.found(np.empty((n_neurons, 0)), found).totals if totals is None else totals
            live = np.flatnonzero(won.hits > 0)
            seen = None if won.seen is None else won.seen[live]
            hits = won.hits[live].astype(np.float64)
            means = _means(won.sums[live], hits, seen)
            won_by = units_of(found)
            return (
                cls(means, hits, won.errors[live] / hits, units=live),
                lambda some: np.searchsorted(live, won_by[some].astype(np.int64)),
            )
        n_kinds, keys = 1, found.bmu
        if target is not None and classes is not None:
            assert target.codes is not None
            n_kinds = len(classes) + 1
            keys = keys * n_kinds + target.codes + 1
        if rows is not None:
            keys = bisect_groups(
                rows, data.sample_weights, keys.astype(np.int64), _HALVINGS, _HALVED
            )
        kinds = np.flatnonzero(np.bincount(keys))
        numbers = np.zeros(int(kinds[-1]) + 1, dtype=np.int64)
        numbers[kinds] = np.arange(len(kinds))
        groups = numbers[keys]
        hits = np.bincount(groups, data.weights, len(kinds)).astype(np.float64)
        if rows is None:
            sums, seen = data.sums_seen(groups, len(kinds))
            means, apart = _means(sums, hits, seen), found.distance
        else:
            kinds = kinds >> _HALVINGS
            means = won_sums(rows, data.weights, False, groups, len(kinds))[0] / hits[:, None]
            # No distance where means are off by as much through rounding, or equal samples would
            # lie apart, and novelty would be in units of that.
            apart = np.linalg.norm(rows - means[groups], axis=1)
            rounding = _EPS * np.bincount(groups, minlength=len(means))
            rounding = rounding * np.linalg.norm(means, axis=1)
            apart = np.where(apart <= rounding[groups], 0.0, apart)
        if data.scatter is not None:
            apart = np.hypot(apart, data.scatter)
        if rows is None:
            scatter = np.bincount(groups, data.sample_weights * apart, len(hits)) / hits
        else:
            size = 2.0 ** np.frexp(apart.max(initial=0.0))[1]  # of any size that float64 holds
            squares = np.bincount(groups, data.sample_weights * np.square(apart / size), len(hits))
            scatter = np.asarray(size * np.sqrt(squares / hits))
        units, codes = np.divmod(kinds, n_kinds)
        labels = labelled = None
        if numeric:
            assert target is not None
            labels = np.bincount(groups, data.sample_weights * target.y, len(kinds)) / hits
        elif classes is not None:
            labels, labelled = classes[codes - 1], codes - 1 != UNLABELLED
        return cls(means, hits, scatter, labels, labelled, units), groups.__getitem__

    def centres(self, prototypes: NDArray[np.float64], metric: MetricCalls) -> NDArray[np.float64]:
        """Return where the groups lie among prototypes (L, D) of leaves, (m, D).

        At their means, a value that nobody observed as that of the leaf. A metric that forms
        prototypes in a way of its own (medians, modes) knows no place of a mean: the prototype
        stands for it.
        """
        assert self.units is not None
        own = prototypes[self.units]
        if metric.form is not None:
            return own
        means = np.where(np.isnan(self.X), own, self.X)
        return means if metric.centre is None else np.asarray(metric.centre(means), np.float64)


def _means(
    sums: NDArray[np.float64], hits: NDArray[Any], seen: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if seen is None:
        return np.asarray(sums / hits[:, None])
    return np.divide(sums, seen, out=np.full_like(sums, np.nan), where=seen > 0)


def followed_by(target: Target, memory: MicroClusters) -> Target:
    """Return the targets of new samples followed by those of what is remembered."""
    labels = memory.labels
    if labels is None:
        raise ValueError(
            "the map was trained without targets so far: give y from the first call on"
        )
    if target.classes is None or target.codes is None:
        return Target(np.concatenate([target.y, labels]))
    labelled = np.ones(len(labels), bool) if memory.labelled is None else memory.labelled
    mine = target.with_classes(labels[labelled])
    assert mine.classes is not None
    assert mine.codes is not None
    codes = np.full(len(labels), UNLABELLED, dtype=np.int64)
    codes[labelled] = np.searchsorted(mine.classes, labels[labelled])
    codes = np.concatenate([mine.codes, codes])
    return Target(mine.classes[codes], mine.classes, codes)


def nearest_groups(data: Samples, centres: NDArray[np.float64], k: int) -> Near:
    """Return the ``k`` nearest of the centres (M, D), or all where there are fewer."""
    rows, distances = data.nearest_units(centres, min(k, len(centres)))
    if distances is None:
        columns = [data.distances_to(centres, rows[:, j]) for j in range(rows.shape[1])]
        distances = np.column_stack(columns)
    return rows, distances


def without_themselves(
    distances: FloatArray,
    weights: FloatArray,
    mine: NDArray[np.bool_],
    sample_weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return distances to groups and what they hold, (m, k), without the samples themselves.

    Of a group of n samples without one of them, at distance d from their mean, the mean lies at
    distance d n/(n - 1). A sample that stands for several leaves one of them out. ``mine`` (m, k):
    which group is a sample's own. Nearest come first and empty groups last; the third array says
    which entries came where.
    """
    sample, column = np.nonzero(mine)
    held = weights[sample, column]
    taken = 1.0 if sample_weights is None else np.minimum(sample_weights[sample], 1.0)
    left = np.maximum(held - taken, 0.0)
    left[left <= _ROUNDING * held] = 0.0
    away, holds = distances.astype(np.float64), weights.astype(np.float64)
    away[sample, column] *= np.divide(held, left, out=np.ones_like(held), where=left > 0)
    holds[sample, column] = left
    order = np.argsort(np.where(holds > 0, away, np.inf), axis=1, kind="stable")
    return np.take_along_axis(away, order, 1), np.take_along_axis(holds, order, 1), order


# -------------------------------------------------------------------------------- novelty

SOFT_MASS = 10.0  # how many training samples count, about
_FAR = 10 * SOFT_MASS  # samples: the next one would count less than 1/22000 of the nearest
_GROUPS = 40  # that are searched for them, at most; fewer where any so many hold them
# Samples at most, evenly spaced: held out ones, and those of the training, which every fit asks.
_CALIBRATED_BY, _LEFT_OUT = 5000, 1000


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
    """

    centres: NDArray[np.float64]  # (M, D)
    weights: NDArray[np.float64]  # (M,): samples in a group
    spreads: NDArray[np.float64]  # (M,): s² in the metric's units
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
        spreads = np.square(clusters.scatter)
        unit = math.sqrt(float(np.average(spreads, weights=clusters.weights)))
        centres = clusters.centres(prototypes, metric)
        return cls(centres, clusters.weights, spreads, unit if unit > 0 else 1.0)

    def scores(self, data: Samples, own: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the scores of prepared samples, (n,).

        ``own`` (n,): the group of each, of which it was one; it is scored as if it had not been.
        """
        from dbgsom_core.engine.loops import Groups, soft_means  # numba is slow to import

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
    """Scores of samples that the map has not seen, beside which those of others are ranked."""

    scores: NDArray[np.float64]  # (m,), ascending
    weights: NDArray[np.float64]  # (m,)
    offset: float = -math.inf  # below it, and only there, p-values are at most the contamination

    @classmethod
    def of(
        cls, density: Density, data: Samples, contamination: float, members: Members | None = None
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
        from dbgsom_core.engine.loops import ranks_among

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
