"""What new rows say that a map did not know: the statistics of `check`, each with its error rate.

Known rows are like those of the training, and scored as if the map had not seen them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.som_map.som_map import SomMap

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_TAILS = (0.005, 0.02)  # of the known scores: what is new lies in the end of them
_CLEAR = 0.01  # p-value of neurons beside a new group that belong to it, and against each file
_LEAST_FILE = 0.05  # of the new rows: a smaller file of known rows says nothing alone
_WEIGHT = 0.1  # of the newest row in the moving average (Montgomery 2019)
_SLACK = 0.5  # of the sum, in standard deviations: it answers to shifts of twice as much
_PATHS, _LENGTHS = 400, 10  # simulated paths, each so many times the run length
_MOST_STEPS = 1 << 22  # of all paths, else there are fewer
_LEAST_WINDOW = 64  # rows of a chart that are followed together
_LEAST_CHART = 100  # known rows: fewer say nothing of rare values


class PlacedRows(NamedTuple):
    """Rows (n,) on a map: their nearest neurons, and scores, the lower the stranger."""

    nearest: Integers  # (n, 2): the best-matching unit and the second one
    scores: Floats

    @property
    def neurons(self) -> Integers:
        return self.nearest[:, 0]


def conformal_pvalues(known: Floats, scores: Floats) -> Floats:
    """Return p-values (n,) of scores beside those of known rows (Vovk et al. 2005)."""
    rank = np.searchsorted(np.sort(known), scores, side="right")
    return np.asarray((1 + rank) / (1 + len(known)))


def own_pvalues(scores: Floats) -> Floats:
    """Return p-values (n,) of scores beside the others of them."""
    rank = np.searchsorted(np.sort(scores), scores, side="right")
    return np.asarray(rank / len(scores))


def adjusted(pvalues: Floats) -> Floats:
    """Return p-values adjusted for the false discovery rate (Benjamini & Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(pvalues)) if pvalues.size else pvalues


# -------------------------------------------------------------------------------- new groups


class NewGroup(NamedTuple):
    """Neurons with more strange rows than known rows let expect."""

    neurons: Integers  # (g,)
    rows: Integers  # (m,): numbers of the new rows
    expected: float  # so many of them, were they like the known ones
    pvalue: float  # adjusted for all regions


def find_new_groups(
    som_map: SomMap,
    known: PlacedRows,
    new: PlacedRows,
    files: NDArray[Any] | None = None,
    rate: float = 0.05,
) -> list[NewGroup]:
    """Return groups of new rows that the known rows do not have, the largest first.

    Regions are neurons, and pairs of neurons that are a row's nearest two: rows far from the map
    have neurons that are not linked. In each region the strange rows, below a quantile of the known
    scores, are counted: given their total those of the new rows are binomial. ``rate`` of the
    regions found are wrong on average (Benjamini & Hochberg 1995). A region also has to have more
    of them than each of the ``files`` (M,) of the known rows, so that what differs between any two
    files is not new. Regions that are clear by themselves and meet, or are linked, are one group.
    """
    n, m, limits = len(new.scores), len(known.scores), np.quantile(known.scores, _TAILS)
    ours, theirs = (_Strange.of(part, len(som_map), limits.max()) for part in (new, known))
    if not len(ours.rows):
        return []
    regions, numbers = np.unique(np.vstack([ours.regions, theirs.regions]), return_inverse=True)
    count = len(regions)
    parts = np.split(numbers.reshape(-1, 2), [len(ours.rows)])
    ours, theirs = ours._replace(regions=parts[0]), theirs._replace(regions=parts[1])
    files_of = np.zeros(len(theirs.rows), bool) if files is None else files[theirs.rows]
    sizes = Counter([] if files is None else files.tolist())
    pvalues, clear = np.ones((len(limits), count)), np.zeros((len(limits), count), bool)
    for tail, limit in enumerate(limits):
        new_counts = ours.counts(limit, count)
        pvalues[tail] = _binomial(new_counts, theirs.counts(limit, count), n, m)
        clear[tail] = pvalues[tail] <= _CLEAR
        for file, size in sizes.items():
            if size >= _LEAST_FILE * n:
                there = theirs.counts(limit, count, files_of == file)
                clear[tail] &= (_binomial(new_counts, there, n, size) <= _CLEAR) | (there == 0)
    qvalues = adjusted(pvalues.ravel()).reshape(pvalues.shape)
    is_found = ((qvalues <= rate) & clear).any(axis=0)
    is_clear: Flags = np.asarray(clear.any(axis=0))
    group_of = _joined(som_map, regions, is_clear)
    groups = []
    for group in np.unique(group_of[is_found]).tolist():
        members = is_clear & (group_of == group)
        best = qvalues[:, members].min(axis=1)
        limit = limits[best.argmin()]
        rows = ours.rows[ours.within(members, limit)]
        expected = float(theirs.within(members, limit).sum()) * n / m
        neurons = np.unique(new.neurons[rows])
        groups.append(NewGroup(neurons, rows, expected, float(best.min())))
    return sorted(groups, key=lambda group: -len(group.rows))


class _Strange(NamedTuple):
    """Strange rows (s,): their numbers, scores, and regions (s, 2), a neuron and a pair."""

    rows: Integers
    scores: Floats
    regions: Integers

    @classmethod
    def of(cls, placed: PlacedRows, size: int, limit: float) -> Self:
        rows = np.flatnonzero(placed.scores <= limit)
        nearest = placed.nearest[rows]
        pairs = size + nearest.min(axis=1) * size + nearest.max(axis=1)
        return cls(rows, placed.scores[rows], np.column_stack([nearest[:, 0], pairs]))

    def counts(self, limit: float, count: int, among: Flags | None = None) -> Integers:
        """Return how many rows below a limit each region has, (R,)."""
        is_counted = self.scores <= limit
        if among is not None:
            is_counted &= among
        return np.bincount(self.regions[is_counted].ravel(), minlength=count)

    def within(self, regions: Flags, limit: float) -> Flags:
        """Return which rows (s,) lie in one of the regions, below a limit."""
        is_member: Flags = regions[self.regions].any(axis=1) & (self.scores <= limit)
        return is_member


def least_group(n: int, m: int, neurons: int, rate: float) -> int:
    """Return about how many of n rows in one place, with none of the m known ones, are a group."""
    tests = len(_TAILS) * 2 * neurons
    return math.ceil(math.log(rate / tests) / math.log(n / (n + m)))


def _joined(som_map: SomMap, regions: Integers, is_clear: Flags) -> Integers:
    """Return the group (R,) of each region: clear ones that meet, or whose neurons are linked."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(som_map)
    pairs = regions - size
    is_pair = pairs >= 0
    first = np.where(is_pair, pairs // size, regions)
    second = np.where(is_pair, pairs % size, regions)
    members = np.unique(np.concatenate([first[is_clear], second[is_clear]]))
    unit, way = np.nonzero(som_map.links >= 0)
    other = som_map.links[unit, way]
    is_within = np.isin(unit, members) & np.isin(other, members)
    starts = np.concatenate([unit[is_within], first[is_clear]])
    ends = np.concatenate([other[is_within], second[is_clear]])
    graph = coo_array((np.ones(len(starts)), (starts, ends)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][first])


def _binomial(ours: Integers, theirs: Integers, n: int, m: int) -> Floats:
    """Return how likely at least so many of both counts are ours, of n rows beside m."""
    from scipy.stats import binom

    return np.asarray(binom.sf(ours - 1, ours + theirs, n / (n + m)))


# ------------------------------------------------------------------------------------- drift


class Shares(NamedTuple):
    """Shares of C categories among known and new rows, and their differences, each (C,)."""

    known: Floats
    new: Floats
    low: Floats  # ends of 95 % intervals of the difference
    high: Floats
    pvalues: Floats  # adjusted

    @property
    def moved(self) -> Flags:
        return self.pvalues <= 0.05


def compare_shares(known: Integers, new: Integers) -> Shares:
    """Compare the counts (C,) of categories, with intervals of Agresti & Caffo (2000)."""
    from scipy.special import ndtr, ndtri

    n, m = max(new.sum(), 1), max(known.sum(), 1)
    ours, theirs = (new + 1) / (n + 2), (known + 1) / (m + 2)
    error = np.sqrt(ours * (1 - ours) / (n + 2) + theirs * (1 - theirs) / (m + 2))
    reach = ndtri(0.975) * error
    difference = ours - theirs
    pvalues = adjusted(2 * ndtr(-abs(difference) / error))
    return Shares(known / m, new / n, difference - reach, difference + reach, pvalues)


def stability_index(known: Integers, new: Integers) -> tuple[float, float]:
    """Return the population stability index of counts (C,), and what chance alone exceeds in 5 %.

    The index is Σ (q - p) ln(q / p), each count enlarged by a half; without drift it is a
    chi-square of C - 1 degrees times 1/n + 1/m (Yurdakul & Naranjo 2020).
    """
    from scipy.stats import chi2

    is_used = known + new > 0
    theirs, ours = known[is_used] + 0.5, new[is_used] + 0.5
    p, q = theirs / theirs.sum(), ours / ours.sum()
    index = float(((q - p) * np.log(q / p)).sum())
    limit = float(chi2.ppf(0.95, max(1, len(p) - 1))) * (1 / theirs.sum() + 1 / ours.sum())
    return index, limit


class Means(NamedTuple):
    """Means of D columns among known and new rows, each (D,), and Welch's test of both."""

    known: Floats
    new: Floats
    effects: Floats  # differences in standard deviations of the known rows
    pvalues: Floats  # adjusted


def compare_means(known: Floats, new: Floats) -> Means:
    """Compare the columns of known (m, D) and new (n, D) rows by Welch's t; nan does not count."""
    from scipy.special import stdtr

    moments = []
    for rows in (known, new):
        counts = np.maximum((~np.isnan(rows)).sum(axis=0), 1)
        means = np.nansum(rows, axis=0) / counts
        squares = np.nansum(np.square(rows - means), axis=0) / np.maximum(counts - 1, 1)
        moments.append((means, squares, squares / counts, counts))
    (theirs, spread, error, m), (ours, _, our_error, n) = moments
    total = error + our_error
    effects, pvalues = np.zeros_like(total), np.ones_like(total)
    np.divide(ours - theirs, np.sqrt(spread), out=effects, where=spread > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = total**2 / (error**2 / np.maximum(m - 1, 1) + our_error**2 / np.maximum(n - 1, 1))
        found = 2 * stdtr(freedom, -abs(ours - theirs) / np.sqrt(total))
    np.copyto(pvalues, found, where=(total > 0) & np.isfinite(found))
    return Means(theirs, ours, effects, adjusted(pvalues))


# ------------------------------------------------------------------------------------- charts


class Charts(NamedTuple):
    """Two control charts of rows in the order of time, each (n,)."""

    average: Floats  # exponentially weighted moving average (Roberts 1959)
    total: Floats  # cumulative sum (Page 1954)


def follow(values: Floats) -> Charts:
    """Return the charts of standardised values (n,), or of paths (B, n) beside each other."""
    from scipy.signal import lfilter

    average = lfilter([_WEIGHT], [1.0, _WEIGHT - 1.0], values)
    summed = np.cumsum(values - _SLACK, axis=-1)
    # A sum that begins anew at 0 is how far the plain one is above its lowest value so far.
    total = summed - np.minimum(0.0, np.minimum.accumulate(summed, axis=-1))
    return Charts(average, total)


@dataclass(frozen=True)
class ControlLimits:
    """Limits of both charts of -log p that known rows reach once in ``run_length`` on average."""

    mean: float  # of -log p of known rows
    deviation: float
    average: float
    total: float
    run_length: float

    @classmethod
    def from_known(cls, pvalues: Floats, run_length: float, seed: int = 0) -> Self:
        """Find the limits on paths of known p-values (M,), which are in the order of time.

        Blocks as long as the values remember each other are drawn (Künsch 1989). Both charts get
        the same quantile of their values as a limit.

        Raises
        ------
        ValueError
            There are fewer than 100.
        """
        if len(pvalues) < _LEAST_CHART:
            raise ValueError(f"limits in time need {_LEAST_CHART} known rows, not {len(pvalues)}")
        values = -np.log(pvalues)
        mean, deviation = float(values.mean()), float(values.std()) or 1.0
        values = (values - mean) / deviation
        length = math.ceil(_LENGTHS * run_length)
        block = _memory(values)
        rng = np.random.default_rng(seed)
        paths = min(_PATHS, math.ceil(_MOST_STEPS / length))
        starts = rng.integers(0, len(values), (paths, math.ceil(length / block)))
        rows = (starts[..., None] + np.arange(block)) % len(values)
        charts = follow(values[rows.reshape(paths, -1)[:, :length]])
        ordered = [np.sort(chart, axis=None) for chart in charts]
        low, high = 0.0, 1.0
        for _ in range(25):
            share = (low + high) / 2
            limits = [chart[int(share * (chart.size - 1))] for chart in ordered]
            is_out = (charts.average > limits[0]) | (charts.total > limits[1])
            ends = is_out.any(axis=1)
            waited = np.where(ends, is_out.argmax(axis=1) + 1, length)
            if waited.sum() < run_length * ends.sum():
                low = share
            else:
                high = share
        return cls(mean, deviation, float(limits[0]), float(limits[1]), run_length)

    def charts(self, pvalues: Floats) -> tuple[Charts, Flags]:
        """Return both charts of p-values (n,) and their alarms; after one both begin anew."""
        values = (-np.log(pvalues) - self.mean) / self.deviation
        averages, totals = np.empty_like(values), np.empty_like(values)
        alarms, first, size = np.zeros(len(values), bool), 0, _LEAST_WINDOW
        while first < len(values):
            part = follow(values[first : first + size])
            is_out = (part.average > self.average) | (part.total > self.total)
            if not is_out.any() and first + size < len(values):
                size *= 4  # begins with the same row: charts remember all of them
                continue
            end = first + (int(is_out.argmax()) + 1 if is_out.any() else len(is_out))
            averages[first:end], totals[first:end] = (chart[: end - first] for chart in part)
            alarms[end - 1] = is_out.any()
            first, size = end, _LEAST_WINDOW
        return Charts(averages, totals), alarms


def _memory(values: Floats) -> int:
    """Return the number of rows after which values (n,) no longer remember each other."""
    n = len(values)
    most = max(1, n // 10)
    for lag in range(1, most):
        if np.mean(values[lag:] * values[:-lag]) < 2 / math.sqrt(n):
            return min(most, max(1, 6 * (lag - 1)))
    return most


# ------------------------------------------------------------------------------ wrong labels


class Suspects(NamedTuple):
    """Rows whose label is probably wrong, the least likely first."""

    table: dict[str, Any]  # columns (s,)
    expected: float  # of wrong labels among all rows
    own: Floats  # (n,): held-out probability of the given label; nan without one

    @property
    def sentence(self) -> str:
        n = int((~np.isnan(self.own)).sum())
        listed = len(self.table["label"])
        if not listed:
            return f"None of {n:,} labels is doubtful"
        text = f"At most about {math.ceil(self.expected):,} of {n:,} labels are wrong"
        return f"{text}: see the {listed:,} in suspects.csv"


def doubtful_rows(
    estimator: Any,
    neurons: Integers,
    y: NDArray[Any],
    probabilities: Floats,
    ids: Mapping[str, NDArray[Any]],
) -> Suspects:
    """Return rows whose given label is doubtful, with what is likelier and what stands around.

    ``neurons`` and labels ``y`` are (n,), ``probabilities`` (n, C) of maps that have not seen the
    row, in the order of the estimator's classes; ``ids`` (n,) name rows.
    """
    classes = estimator.classes_
    places = {label: code for code, label in enumerate(classes.tolist())}
    codes = np.array([places.get(label, -1) for label in y.tolist()])
    rows, expected = find_suspects(codes, probabilities)
    likely = probabilities.argmax(axis=1)
    own = np.where(codes >= 0, probabilities[np.arange(len(codes)), codes], np.nan)
    around = share_around(estimator.som_map_, neurons, codes, len(classes))
    columns = {"row": np.arange(len(codes)), **ids, "label": y, "likelier": classes[likely]}
    columns |= {"probability": own, "probability_likelier": probabilities.max(axis=1)}
    columns["share_around"] = around
    return Suspects(
        {name: np.asarray(values)[rows] for name, values in columns.items()}, expected, own
    )


def find_suspects(codes: Integers, probabilities: Floats) -> tuple[Integers, float]:
    """Return rows whose class is doubtful, the least likely first, and how many are expected wrong.

    Confident learning (Northcutt et al. 2021): ``codes`` (n,) are the given classes as columns of
    the ``probabilities`` (n, C), which are of a model that has not seen the row; -1: none is given.
    A row counts for the likeliest of the classes whose probability is at least its mean among the
    rows that are given this class.
    """
    known = np.flatnonzero(codes >= 0)
    given, shares = codes[known], probabilities[known]
    count = shares.shape[1]
    own = shares[np.arange(len(given)), given]
    sizes = np.bincount(given, minlength=count)
    thresholds = np.bincount(given, own, count) / np.maximum(sizes, 1)
    thresholds[sizes == 0] = 0.5  # of a class that no row is given
    confident = np.where(shares >= thresholds, shares, -1.0)
    likely = confident.argmax(axis=1)
    is_counted = confident.max(axis=1) >= 0
    joint = np.zeros((count, count))
    np.add.at(joint, (given[is_counted], likely[is_counted]), 1)
    joint *= (sizes / np.maximum(joint.sum(axis=1), 1))[:, None]  # to the counts of given classes
    expected = float(joint.sum() - np.trace(joint))
    is_doubtful = shares.argmax(axis=1) != given
    order = np.argsort(own, kind="stable")
    doubtful = order[is_doubtful[order]][: math.ceil(expected)]
    return known[doubtful], expected


def share_around(som_map: SomMap, neurons: Integers, codes: Integers, count: int) -> Floats:
    """Return how many of the other rows in its neuron and the linked ones share a row's class (n,).

    nan where there are none.
    """
    counts = np.zeros((len(som_map), count + 1))
    np.add.at(counts, (neurons, codes), 1)
    counts = counts[:, :count]  # rows without a class, -1, are the last column
    links = som_map.links
    beside = np.where(links[..., None] >= 0, counts[links], 0).sum(axis=1)
    around = (counts + beside)[neurons]
    same = around[np.arange(len(codes)), codes] - 1
    with np.errstate(invalid="ignore"):
        return np.asarray(same / (around.sum(axis=1) - 1))
