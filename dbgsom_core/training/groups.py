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
from dbgsom_core.engine.results import Assignment, Flags, Floats, Integers, PerSample, sum_by_unit
from dbgsom_core.engine.samples import Samples
from dbgsom_core.engine.smoothing import Totals
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.training.targets import UNLABELLED, Target

BLOCK = 1 << 13  # samples per chunk of a nearest-group search: intermediate arrays stay in cache
_BISECTIONS, _MIN_BISECTED = 2, 4.0  # of groups, and their weight at least
_MAX_BISECTED, _MOST_NUMBERS = 10_000, 1 << 22  # samples and numbers up to which they are
_EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 1e-9  # share of a group's weight below which the remainder is 0

Members = Callable[[Integers], Integers]  # the group of each of some rows


@dataclass(frozen=True)
class MicroClusters:
    """Summaries of the samples of each neuron, or of each neuron and class.

    One group each, or up to four: where the geometry is Euclidean, samples are complete, and at
    most 10,000 with 4 million numbers, groups of weight four and more are bisected across their
    first principal axis, twice. Distances to groups are better estimates of local density than
    distances to neurons (tests/benchmarks). Numeric targets have one group per neuron, and one
    more of samples whose target is unknown. ``scatter`` is the mean distance of the samples of a
    group to their unit, or, of bisected groups, the root mean squared distance to their mean.
    """

    X: Floats  # (m, D), means of prepared samples; nan without observed values
    weights: Floats  # (m,): numbers of samples, or sums of their weights
    scatter: Floats  # (m,)
    labels: NDArray[Any] | None = None  # (m,), classes or mean targets; any where not ``labelled``
    labelled: Flags | None = None  # (m,): groups of samples with a target; None: all
    units: Integers | None = None  # (m,), leaves; None in maps of earlier versions
    limits: Floats | None = None  # (2,): least and largest of numeric targets

    def centres(self, prototypes: Floats, metric: MetricComponent) -> Floats:
        """Return the centres (m, D) of the groups, with prototypes (L, D) of leaves.

        Their means, with the leaf's value where none was observed; the leaf's prototype for a
        metric with ``form`` (medians, modes), as means have no meaning there.
        """
        assert self.units is not None
        leaves = prototypes[self.units]
        if metric.form is not None:
            return leaves
        means = np.where(np.isnan(self.X), leaves, self.X)
        return means if metric.centre is None else np.asarray(metric.centre(means), np.float64)


def group_samples(
    data: Samples,
    assignment: PerSample,
    n_units: int,
    target: Target | None,
    totals: Totals | None = None,
) -> tuple[MicroClusters, Members]:
    """Group samples by their best-matching unit and class.

    ``totals`` by unit save a pass. The second result is a function from rows (m,) to groups.
    """
    bisects = _is_bisected(data, target)
    if target is None and not bisects:
        return _units_as_groups(data, assignment, n_units, totals)
    n_kinds, kinds = _kinds(target)  # of samples, which a unit keeps apart
    keys = assignment.bmu * n_kinds + kinds
    if not bisects:
        present, groups = _numbered(keys)
        by_group = Assignment(groups, assignment.distance)
        numbers = np.arange(len(present))
        totals = data.found(np.empty((len(present), 0)), by_group).totals
        clusters = _clusters_of_totals(totals, numbers, present // n_kinds)
    else:
        X = data.X[0 : data.n]
        X = np.asarray(X.toarray() if issparse(X) else X)
        weights = data.sample_weights
        keys = bisect_groups(X, weights, keys.astype(np.int64), _BISECTIONS, _MIN_BISECTED)
        present, groups = _numbered(keys)
        present = present >> _BISECTIONS
        clusters = _clusters_of_halves(data, X, groups, present // n_kinds)
    return _with_labels(clusters, data, groups, present % n_kinds, target), groups.__getitem__


def _is_bisected(data: Samples, target: Target | None) -> bool:
    if target is not None and target.classes is None:  # groups of numbers
        return False
    few = data.n <= _MAX_BISECTED and data.n * data.X.shape[1] <= _MOST_NUMBERS
    return few and data.metric.is_euclidean and not data.incomplete


def _kinds(target: Target | None) -> tuple[int, Integers | int]:
    # How many kinds of samples there are, and the kind of each: 0 without a target.
    if target is None:
        return 1, 0
    if target.classes is not None:
        assert target.codes is not None
        return len(target.classes) + 1, target.codes - UNLABELLED
    if target.known.all():
        return 1, 0
    return 2, target.known.astype(np.int64)


def _numbered(keys: NDArray[Any]) -> tuple[Integers, Integers]:
    # The distinct keys (m,), ascending, and the number of each sample's (n,).
    present = np.flatnonzero(np.bincount(keys))
    number = np.zeros(int(present[-1]) + 1, dtype=np.int64)
    number[present] = np.arange(len(present))
    return present, number[keys]


def _units_as_groups(
    data: Samples, assignment: PerSample, n_units: int, totals: Totals | None
) -> tuple[MicroClusters, Members]:
    if totals is None:
        totals = data.found(np.empty((n_units, 0)), assignment).totals
    units = assignment.units
    live = np.flatnonzero(totals.hits > 0)

    def members(rows: Integers) -> Integers:
        return np.searchsorted(live, units[rows].astype(np.int64))

    return _clusters_of_totals(totals, live, live), members


def _clusters_of_totals(totals: Totals, rows: Integers, units: Integers) -> MicroClusters:
    # The scatter is the mean of the distances to the units.
    hits = totals.hits[rows].astype(np.float64)
    sums = totals.sums[rows]
    if totals.seen is None:
        means = sums / hits[:, None]
    else:
        seen = totals.seen[rows]
        means = np.divide(sums, seen, out=np.full_like(sums, np.nan), where=seen > 0)
    return MicroClusters(means, hits, totals.errors[rows] / hits, units=units)


def _clusters_of_halves(
    data: Samples, X: NDArray[Any], groups: Integers, units: Any
) -> MicroClusters:
    # The scatter is the root mean squared distance to the mean.
    hits = np.bincount(groups, data.weights).astype(np.float64)
    means = sum_by_unit(X, data.weights, False, groups, len(hits))[0] / hits[:, None]
    distances = np.linalg.norm(X - means[groups], axis=1)
    # 0 within the rounding error of means: equal samples must have no distance, which would be the
    # unit of novelty.
    rounding = _EPS * np.bincount(groups, minlength=len(means))
    rounding = rounding * np.linalg.norm(means, axis=1)
    distances = np.where(distances <= rounding[groups], 0.0, distances)
    if data.scatter is not None:
        distances = np.hypot(distances, data.scatter)
    squares = data.sample_weights * np.square(distances)
    scatter = np.sqrt(np.bincount(groups, squares, len(hits)) / hits)
    return MicroClusters(means, hits, np.asarray(scatter), units=units)


def _with_labels(
    clusters: MicroClusters,
    data: Samples,
    groups: Integers,
    kinds: Integers,
    target: Target | None,
) -> MicroClusters:
    if target is None:
        return clusters
    if target.classes is not None:
        codes = kinds + UNLABELLED
        return replace(clusters, labels=target.classes[codes], labelled=codes != UNLABELLED)
    known = target.known
    y = np.where(known, target.y, 0.0)
    labels = np.bincount(groups, data.sample_weights * y, len(kinds)) / clusters.weights
    labelled = None if known.all() else kinds == 1
    return replace(clusters, labels=labels, labelled=labelled, limits=target.limits)


def append_clusters(target: Target, clusters: MicroClusters) -> Target:
    """Return the targets of new samples and, after them, of micro-clusters."""
    labels = clusters.labels
    labelled = clusters.labelled
    if labels is None:
        raise ValueError(
            "the map was trained without targets until now: give y from the first call on"
        )
    if labelled is None:
        labelled = np.ones(len(labels), bool)
    if target.classes is None or target.codes is None:
        numbers = np.where(labelled, labels, np.nan)
        y = np.concatenate([target.y, numbers])
        return replace(target, y=y, earlier=clusters.limits)
    merged = target.with_classes(labels[labelled])
    assert merged.classes is not None
    assert merged.codes is not None
    codes = np.full(len(labels), UNLABELLED, dtype=np.int64)
    codes[labelled] = np.searchsorted(merged.classes, labels[labelled])
    codes = np.concatenate([merged.codes, codes])
    return Target(merged.classes[codes], merged.classes, codes)


def leave_one_out(
    distances: NDArray[np.floating[Any]],
    weights: NDArray[np.floating[Any]],
    is_own: Flags,
    sample_weights: Floats | None,
) -> tuple[Floats, Floats, Integers]:
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
    adjusted = distances.astype(np.float64)
    counts = weights.astype(np.float64)
    adjusted[sample, column] *= np.divide(total, left, out=np.ones_like(total), where=left > 0)
    counts[sample, column] = left
    order = np.argsort(np.where(counts > 0, adjusted, np.inf), axis=1, kind="stable")
    return np.take_along_axis(adjusted, order, 1), np.take_along_axis(counts, order, 1), order


# -------------------------------------------------------------------------------- novelty

SOFT_MASS = 10.0  # decay in samples of the weights of nearest samples
_MAX_SAMPLES = 10 * SOFT_MASS  # the next sample would weigh less than 1/22000 of the nearest
_MAX_GROUPS = 40  # groups searched for them, at most
# Samples at most, evenly spaced: held out, and of the training, scored in every fit.
_MAX_CALIBRATION = 5000
_MAX_LEFT_OUT = 1000


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

    centres: Floats  # (M, D)
    weights: Floats  # (M,): samples of a micro-cluster
    spreads: Floats  # (M,): s² in the metric's units
    unit: float

    @cached_property
    def neighbours(self) -> int:
        """Groups that hold `_MAX_SAMPLES` samples in any case, and one more."""
        samples = np.cumsum(np.sort(self.weights))
        enough = int(np.searchsorted(samples, _MAX_SAMPLES)) + 2
        return min(_MAX_GROUPS, enough)

    @classmethod
    def from_clusters(
        cls, clusters: MicroClusters, prototypes: Floats, metric: MetricComponent
    ) -> Self:
        spreads = np.square(clusters.scatter)
        unit = math.sqrt(float(np.average(spreads, weights=clusters.weights)))
        centres = clusters.centres(prototypes, metric)
        return cls(centres, clusters.weights, spreads, unit if unit > 0 else 1.0)

    def scores(self, data: Samples, group_of: Integers | None = None) -> Floats:
        """Return the scores of prepared samples, (n,).

        With ``group_of`` (n,), the group of each training sample, scores are leave-one-out.
        """
        from dbgsom_core.engine.loops import Groups, soft_means  # numba is slow to import

        squares = np.empty(data.n)
        all_groups = Groups.from_weights(self.weights, self.spreads, SOFT_MASS)

        def score(rows: slice, part: Samples) -> None:
            groups, distances = part.nearest(self.centres, self.neighbours)
            if group_of is None:
                weighted = all_groups
            else:
                if part.scatter is not None:  # micro-clusters among the samples
                    distances = np.hypot(distances, part.scatter[:, None])
                is_own = groups == group_of[rows, None]
                distances, weights, order = leave_one_out(
                    distances, self.weights[groups], is_own, part.weights
                )
                spreads = self.spreads[np.take_along_axis(groups, order, 1)]
                weighted = Groups.from_weights(weights.ravel(), spreads.ravel(), SOFT_MASS)
                groups = np.arange(groups.size).reshape(groups.shape)
            groups = np.ascontiguousarray(groups)
            distances = np.ascontiguousarray(distances)
            count = min(groups.shape[1], self.neighbours)
            soft_means(groups, distances, count, weighted, _MAX_SAMPLES, squares[rows])

        data.in_parts(BLOCK, score)
        return np.asarray(-np.sqrt(squares) / self.unit)


@dataclass(frozen=True)
class Calibration:
    """Scores of samples that the map was not trained on, as a reference for p-values.

    A conformal p-value (Bates, Candès, Lei, Romano & Sesia 2023) is the rank of a score among them:
    of samples like these at most a share p has a p-value of p or less.
    """

    scores: Floats  # (m,), ascending
    weights: Floats  # (m,)
    offset: float = -math.inf  # below it, and only there, p-values are at most the contamination

    @classmethod
    def from_samples(
        cls, density: Density, data: Samples, contamination: float, members: Members | None = None
    ) -> Self:
        """Score held-out samples, or training samples by leave-one-out.

        The latter where ``members`` gives their groups. At most 5000 held-out or 1000 training
        samples, evenly spaced, are scored.
        """
        limit = _MAX_CALIBRATION if members is None else _MAX_LEFT_OUT
        rows = np.arange(data.n)
        part = data
        if data.n > limit:
            rows = np.linspace(0, data.n - 1, limit).astype(np.int64)
            part = data.subset(rows)
        scores = density.scores(part, None if members is None else members(rows))
        order = np.argsort(scores, kind="stable")
        calibration = cls(scores[order], part.sample_weights[order])
        return replace(calibration, offset=calibration.offset_at(contamination))

    def pvalues(self, scores: Floats) -> Floats:
        """Return (1 + number of reference scores <= score) / (1 + all), shape (n,)."""
        up_to = np.concatenate([[0.0], np.cumsum(self.weights)])
        rank = np.searchsorted(self.scores, scores, side="right")
        return np.asarray((1 + up_to.take(rank)) / (1 + up_to[-1]))

    def offset_at(self, level: float) -> float:
        """Return the score below which, and only there, p-values are at most ``level``."""
        known = np.unique(self.scores)
        first = int(np.searchsorted(self.pvalues(known) > level, True))
        if first == 0 and 1 / (1 + self.weights.sum()) > level:
            return -math.inf
        return float(known[first])
