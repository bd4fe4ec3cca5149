"""Micro-clusters of training samples, kept with a map, and novelty scores from them."""

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
from dbgsom_core.engine.results import PerSample, Totals, sum_by_unit, units_of
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.context import FloatArray
from dbgsom_core.training.targets import UNLABELLED, Target

BLOCK = 1 << 13  # samples per chunk of a nearest-group search: intermediate arrays stay in cache
_BISECTIONS, _MIN_BISECTED = 2, 4.0  # of groups, and their weight at least
_EPS = float(np.finfo(np.float64).eps)
_MAX_BISECTED, _MOST_NUMBERS = (
    10_000,
    1 << 22,
)  # samples and numbers up to which groups are bisected
_ROUNDING = 1e-9  # share of a group's weight below which the remainder is 0

Nearest = tuple[NDArray[np.int64], NDArray[np.float64]]  # groups (n, k) and their distances
Members = Callable[[NDArray[np.int64]], NDArray[np.int64]]  # the group of each of some rows


@dataclass(frozen=True)
class MicroClusters:
    """Summaries of the samples of each neuron, or of each neuron and class.

    One group each, or up to four: where the geometry is Euclidean, samples are complete, and at
    most 10,000 with 4 million numbers, groups of weight four and more are bisected across their
    first principal axis, twice. Distances to groups are better estimates of local density than
    distances to neurons (tests/benchmarks). Numeric targets have one group per neuron. ``scatter``
    is the mean distance of the samples of a group to their unit, or, of bisected groups, the root
    mean squared distance to their mean.
    """

    X: NDArray[np.float64]  # (m, D), means of prepared samples; nan without observed values
    weights: NDArray[np.float64]  # (m,): numbers of samples, or sums of their weights
    scatter: NDArray[np.float64]  # (m,)
    labels: NDArray[Any] | None = None  # (m,), classes or mean targets; any where not ``labelled``
    labelled: NDArray[np.bool_] | None = None  # (m,): groups of samples with a class
    units: NDArray[np.int64] | None = None  # (m,), leaves; None in maps of earlier versions
    limits: NDArray[np.float64] | None = None  # (2,): least and largest of numeric targets

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

        ``totals`` by neuron save a pass. The second result is a function from rows (m,) to groups.
        """
        classes = None if target is None else target.classes
        numeric = target is not None and classes is None
        rows = None  # dense samples, where groups are bisected
        few = data.n <= _MAX_BISECTED and data.n * data.X.shape[1] <= _MOST_NUMBERS
        if not numeric and few and data.metric.is_euclidean and not data.incomplete:
            some = data.X[0 : data.n]
            rows = np.asarray(some.toarray() if issparse(some) else some)
        if target is None and rows is None:
            won = data.found(np.empty((n_neurons, 0)), found).totals if totals is None else totals
            live = np.flatnonzero(won.hits > 0)
            seen = None if won.seen is None else won.seen[live]
            hits = won.hits[live].astype(np.float64)
            means = _means(won.sums[live], hits, seen)
            units_by_row = units_of(found)
            return (
                cls(means, hits, won.errors[live] / hits, units=live),
                lambda some: np.searchsorted(live, units_by_row[some].astype(np.int64)),
            )
        n_kinds, keys = 1, found.bmu
        if target is not None and classes is not None:
            assert target.codes is not None
            n_kinds = len(classes) + 1
            keys = keys * n_kinds + target.codes + 1
        if rows is not None:
            keys = bisect_groups(
                rows, data.sample_weights, keys.astype(np.int64), _BISECTIONS, _MIN_BISECTED
            )
        kinds = np.flatnonzero(np.bincount(keys))
        numbers = np.zeros(int(kinds[-1]) + 1, dtype=np.int64)
        numbers[kinds] = np.arange(len(kinds))
        groups = numbers[keys]
        hits = np.bincount(groups, data.weights, len(kinds)).astype(np.float64)
        if rows is None:
            sums, seen = data.sums_seen(groups, len(kinds))
            means, distances = _means(sums, hits, seen), found.distance
        else:
            kinds = kinds >> _BISECTIONS
            means = sum_by_unit(rows, data.weights, False, groups, len(kinds))[0] / hits[:, None]
            # 0 within the rounding error of means: equal samples must have no distance, which would
            # be the unit of novelty.
            distances = np.linalg.norm(rows - means[groups], axis=1)
            rounding = _EPS * np.bincount(groups, minlength=len(means))
            rounding = rounding * np.linalg.norm(means, axis=1)
            distances = np.where(distances <= rounding[groups], 0.0, distances)
        if data.scatter is not None:
            distances = np.hypot(distances, data.scatter)
        if rows is None:
            scatter = np.bincount(groups, data.sample_weights * distances, len(hits)) / hits
        else:
            size = 2.0 ** np.frexp(distances.max(initial=0.0))[1]  # against overflow
            squares = data.sample_weights * np.square(distances / size)
            squares = np.bincount(groups, squares, len(hits))
            scatter = np.asarray(size * np.sqrt(squares / hits))
        units, codes = np.divmod(kinds, n_kinds)
        labels = labelled = limits = None
        if numeric:
            assert target is not None
            limits = target.limits
            labels = np.bincount(groups, data.sample_weights * target.y, len(kinds)) / hits
        elif classes is not None:
            labels, labelled = classes[codes - 1], codes - 1 != UNLABELLED
        return cls(means, hits, scatter, labels, labelled, units, limits), groups.__getitem__

    def centres(self, prototypes: NDArray[np.float64], metric: MetricCalls) -> NDArray[np.float64]:
        """Return the centres (m, D) of the groups, with prototypes (L, D) of leaves.

        Their means, with the leaf's value where none was observed; the leaf's prototype for a
        metric with ``form`` (medians, modes), as means have no meaning there.
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


def append_clusters(target: Target, clusters: MicroClusters) -> Target:
    """Return the targets of new samples and, after them, of micro-clusters."""
    labels = clusters.labels
    if labels is None:
        raise ValueError(
            "the map was trained without targets until now: give y from the first call on"
        )
    if target.classes is None or target.codes is None:
        return Target(np.concatenate([target.y, labels]), earlier=clusters.limits)
    labelled = np.ones(len(labels), bool) if clusters.labelled is None else clusters.labelled
    merged = target.with_classes(labels[labelled])
    assert merged.classes is not None
    assert merged.codes is not None
    codes = np.full(len(labels), UNLABELLED, dtype=np.int64)
    codes[labelled] = np.searchsorted(merged.classes, labels[labelled])
    codes = np.concatenate([merged.codes, codes])
    return Target(merged.classes[codes], merged.classes, codes)


def nearest_groups(data: Samples, centres: NDArray[np.float64], k: int) -> Nearest:
    """Return the ``k`` nearest of the centres (M, D), or all where there are fewer."""
    rows, distances = data.nearest_units(centres, min(k, len(centres)))
    if distances is None:
        columns = [data.distances_to(centres, rows[:, j]) for j in range(rows.shape[1])]
        distances = np.column_stack(columns)
    return rows, distances


def leave_one_out(
    distances: FloatArray,
    weights: FloatArray,
    is_own: NDArray[np.bool_],
    sample_weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return distances to groups and their weights, (m, k), without the sample itself, and order.

    A sample at distance d from the mean of its n samples is at distance d n/(n - 1) from the mean
    of the others. A weighted sample loses a weight of 1. ``is_own`` (m, k) marks a sample's own
    group. Columns are sorted by distance, empty groups last; the third array is the argsort.
    """
    sample, column = np.nonzero(is_own)
    total = weights[sample, column]
    removed = 1.0 if sample_weights is None else np.minimum(sample_weights[sample], 1.0)
    left = np.maximum(total - removed, 0.0)
    left[left <= _ROUNDING * total] = 0.0
    adjusted, counts = distances.astype(np.float64), weights.astype(np.float64)
    adjusted[sample, column] *= np.divide(total, left, out=np.ones_like(total), where=left > 0)
    counts[sample, column] = left
    order = np.argsort(np.where(counts > 0, adjusted, np.inf), axis=1, kind="stable")
    return np.take_along_axis(adjusted, order, 1), np.take_along_axis(counts, order, 1), order


# -------------------------------------------------------------------------------- novelty

SOFT_MASS = 10.0  # decay in samples of the weights of nearest samples
_MAX_SAMPLES = 10 * SOFT_MASS  # the next sample would weigh less than 1/22000 of the nearest
_MAX_GROUPS = 40  # groups searched for them, at most
# Samples at most, evenly spaced: held out, and of the training, scored in every fit.
_MAX_CALIBRATION, _MAX_LEFT_OUT = 5000, 1000


@dataclass(frozen=True)
class Density:
    """Novelty scores from the micro-clusters of the training samples.

    The score of a sample is minus the root of the mean squared distance to the training samples,
    the r-th nearest weighted by exp(-r/10): a distance to a measure (Chazal, Cohen-Steiner &
    Mérigot 2011) with soft mass. The samples of a micro-cluster count at squared distance d² + s²,
    d that of its mean and s its `MicroClusters.scatter`. Of the nearest 40 micro-clusters those
    count that have fewer than 100 samples nearer than them. The unit is the root mean square of s,
    or the metric's where all s are 0.
    """

    centres: NDArray[np.float64]  # (M, D)
    weights: NDArray[np.float64]  # (M,): samples of a micro-cluster
    spreads: NDArray[np.float64]  # (M,): s² in the metric's units
    unit: float

    @cached_property
    def neighbours(self) -> int:
        """Groups that hold `_MAX_SAMPLES` samples in any case, and one more."""
        held = np.cumsum(np.sort(self.weights))
        return min(_MAX_GROUPS, int(np.searchsorted(held, _MAX_SAMPLES)) + 2)

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

        With ``own`` (n,), the group of each training sample, scores are leave-one-out.
        """
        from dbgsom_core.engine.loops import Groups, soft_means  # numba is slow to import

        found, held = np.empty(data.n), np.empty(data.n)
        all_groups = Groups.of(self.weights, self.spreads, SOFT_MASS)

        def score(rows: slice, part: Samples) -> None:
            groups, distances = nearest_groups(part, self.centres, self.neighbours)
            if own is None:
                groups_of = all_groups
            else:
                if part.scatter is not None:  # micro-clusters among the samples
                    distances = np.hypot(distances, part.scatter[:, None])
                distances, weights, order = leave_one_out(
                    distances, self.weights[groups], groups == own[rows, None], part.weights
                )
                spreads = self.spreads[np.take_along_axis(groups, order, 1)]
                groups_of = Groups.of(weights.ravel(), spreads.ravel(), SOFT_MASS)
                groups = np.arange(groups.size).reshape(groups.shape)
            groups, distances = np.ascontiguousarray(groups), np.ascontiguousarray(distances)
            count = min(groups.shape[1], self.neighbours)
            soft_means(groups, distances, count, groups_of, _MAX_SAMPLES, found[rows], held[rows])

        data.in_parts(BLOCK, score)
        return np.asarray(-np.sqrt(found) / self.unit)


@dataclass(frozen=True)
class Calibration:
    """Scores of samples that the map was not trained on, as a reference for p-values."""

    scores: NDArray[np.float64]  # (m,), ascending
    weights: NDArray[np.float64]  # (m,)
    offset: float = -math.inf  # below it, and only there, p-values are at most the contamination

    @classmethod
    def of(
        cls, density: Density, data: Samples, contamination: float, members: Members | None = None
    ) -> Self:
        """Score held-out samples, or training samples by leave-one-out.

        The latter where ``members`` gives their groups. At most 5000 held-out or 1000 training
        samples, evenly spaced, are scored.
        """
        limit = _MAX_CALIBRATION if members is None else _MAX_LEFT_OUT
        some = np.linspace(0, data.n - 1, limit).astype(np.int64)
        rows = some if data.n > limit else np.arange(data.n)
        part = data if len(rows) == data.n else data.subset(rows)
        scores = density.scores(part, None if members is None else members(rows))
        order = np.argsort(scores, kind="stable")
        calibration = cls(scores[order], part.sample_weights[order])
        return replace(calibration, offset=calibration.offset_at(contamination))

    def pvalues(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (1 + number of reference scores <= score) / (1 + all), shape (n,)."""
        from dbgsom_core.engine.loops import count_at_most

        up_to = np.concatenate([[0.0], np.cumsum(self.weights)])
        rank = np.zeros(len(scores), np.int64)
        if len(self.scores):
            count_at_most(self.scores, np.ascontiguousarray(scores), rank)
        return np.asarray((1 + up_to.take(rank)) / (1 + up_to[-1]))

    def offset_at(self, level: float) -> float:
        """Return the score below which, and only there, p-values are at most ``level``."""
        known = np.unique(self.scores)
        first = int(np.searchsorted(self.pvalues(known) > level, True))
        if first == 0 and 1 / (1 + self.weights.sum()) > level:
            return -math.inf
        return float(known[first])
