"""Groups of neurons between which the density of the samples has valleys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from dbgsom_core.api import LabelEvidence
from dbgsom_plugins.labellers._trees import Array, Numbers, ward_tree

_ROWS = 2500  # samples that are looked at: a group of a five-hundredth then has five
_DIVIDED = 5  # parts of a link, between which its density is asked
# How many standard errors a valley lies below its lower peak, at least; the root of a count has an
# error of 1/2, whatever the count (Anscombe 1948).
_VALLEY = 3.0
_VALLEY_ON_LINE = 4.0  # as many lines are tried
_SMALL = 0.002  # of the weight: what has less is no group
_FEWEST = 5.0  # samples, likewise
_FEWEST_ON_LINE = 20.0  # samples of either side of a line
_COARSE = 0.1  # of the variance along a line: a bandwidth above it hides valleys
_BALANCE = 4  # times as many samples of the larger side of a line as of the smaller one
_POINTS = 128  # of a line, at which its density is asked: far nearer than its width
# Times s n^-0.2: wider than is best for a Gaussian (Silverman 1986), for few false valleys.
_SMOOTH = 1.4
_BOX_ROWS = 300  # samples that are compared with uniform ones
_BOXES = 3  # of these
_BEYOND_BOX = 0.12  # of a logarithm: as much less is within clusters than in the boxes
_ROUNDING = 1e-12  # of a sum, below which a part of it is 0


@dataclass(frozen=True)
class Rows:
    """Some samples beside the L neurons that won any, all in the metric's own space.

    Attributes
    ----------
    prototypes, hits : float64 arrays (L, D) and (L,)
    X : float array or CSR matrix (m, D)
        The samples, nan where a value is missing.
    weights : float64 array (m,)
        Theirs: a sample of weight 2 counts as two.
    products : float64 array (m, L)
        Scalar products of samples and prototypes.
    squares : float64 array (m, L)
        Squared Euclidean distances of samples and prototypes.
    """

    prototypes: Array
    hits: Array
    X: Any
    weights: Array
    products: Array
    squares: Array

    @classmethod
    def from_evidence(cls, evidence: LabelEvidence, live: Numbers) -> Self:
        """Return some samples of the training, or the prototypes where those are not known."""
        prototypes = np.asarray(evidence.som_map.prototypes[live], dtype=np.float64)
        hits = np.asarray(evidence.hits[live], dtype=np.float64)
        X: Any = prototypes
        weights = hits
        if evidence.context is not None:
            chunk = evidence.context.sample(_ROWS)
            known = np.flatnonzero(chunk.weights > 0)
            X, weights = chunk.X[known], np.asarray(chunk.weights[known], np.float64)
            if not hasattr(X, "indptr"):
                X = _completed(np.asarray(X, np.float64), prototypes)
        products = np.asarray(X @ prototypes.T)
        norms = _squared_norms(X)[:, None] + np.square(prototypes).sum(axis=1)
        squares = np.maximum(norms - 2 * products, 0.0)
        return cls(prototypes, hits, X, weights, products, squares)

    @cached_property
    def units(self) -> Numbers:
        """The nearest neuron of each sample (m,)."""
        return np.asarray(self.squares.argmin(axis=1), dtype=np.int64)

    @cached_property
    def bandwidth(self) -> float:
        """The squared width of the Gaussian by which the density is estimated.

        The mean distance of samples to their prototypes, squared, is a sum over columns; √D
        stands between a width that keeps this distance and one that keeps that of a column.
        """
        distance = np.average(np.sqrt(self.squares.min(axis=1)), weights=self.weights)
        return float(distance**2 / np.sqrt(self.prototypes.shape[1]))

    @cached_property
    def steps(self) -> Array:
        """The step from value to value of each column (D,), the median one; 0 of sparse samples."""
        n_columns = self.prototypes.shape[1]
        if hasattr(self.X, "indptr"):
            return np.zeros(n_columns)
        ordered = np.sort(self.X, axis=0)
        steps = np.zeros(n_columns)
        for column, values in enumerate(ordered.T):
            gaps = np.diff(values)
            gaps = gaps[gaps > 0]
            if len(gaps):
                steps[column] = np.median(gaps)
        return steps


def _completed(X: Array, prototypes: Array) -> Array:
    """Return samples, a missing value as in the prototype that is nearest by the known ones."""
    is_missing = np.isnan(X)
    rows = np.flatnonzero(is_missing.any(axis=1))
    known = np.where(is_missing[rows], 0.0, X[rows])
    squares = (~is_missing[rows]) @ np.square(prototypes).T - 2 * known @ prototypes.T
    X = X.copy()
    X[rows] = np.where(is_missing[rows], prototypes[squares.argmin(axis=1)], X[rows])
    return X


def _squared_norms(X: Any) -> Array:
    squares = X.multiply(X) if hasattr(X, "indptr") else np.square(X)
    return np.asarray(squares.sum(axis=1), np.float64).ravel()  # of a sparse matrix it is a matrix


# ------------------------------------------------------------------------------------------- modes


def groups_of_modes(rows: Rows, links: Numbers) -> Numbers:
    """Return the group of each neuron (L,), of which each has a peak of the density.

    Neurons linked on the map, (M, 2), or as the two nearest of a sample (Taşdemir & Merényi 2009)
    are in one group unless the density between two peaks, a Gaussian's of the sampled rows, has a
    valley that is deeper than chance makes one (Chazal et al. 2013).
    """
    links = _with_nearest(rows, links)
    bandwidth = rows.bandwidth
    if bandwidth == 0 or not len(links):
        return np.zeros(len(rows.hits), dtype=np.int64)
    density = rows.weights @ np.exp(rows.squares / (-2 * bandwidth))
    saddles = np.minimum(density[links].min(axis=1), _density_along(rows, links, bandwidth))
    return without_small(rows, _joined_peaks(density, links, saddles))


def _with_nearest(rows: Rows, links: Numbers) -> Numbers:
    """Return links (M, 2), and between the two nearest neurons of each sample."""
    if len(rows.hits) < 2:
        return links[:0]
    nearest = np.argpartition(rows.squares, 1, axis=1)[:, :2]
    return np.unique(np.sort(np.vstack([links, nearest]), axis=1), axis=0)


def _density_along(rows: Rows, links: Numbers, bandwidth: float) -> Array:
    """Return the least density (M,) at four points of each link, which divide it in five.

    The squared distance of a sample to a point of a line follows from those to its ends, a and c:
    at a share t it is (1 - t) a + t c - t (1 - t) l, for a line of length √l. So a density is a sum
    over samples of powers of two factors, for all pairs of neurons the product of two matrices.
    """
    first, second = links.T
    lengths = np.square(rows.prototypes[first] - rows.prototypes[second]).sum(axis=1)
    fifth = np.exp(rows.squares / (-2 * _DIVIDED * bandwidth))
    weighted = fifth * rows.weights[:, None]
    least = np.full(len(links), np.inf)
    for power in (1, 2):
        sums = (fifth ** (_DIVIDED - power)).T @ (weighted * fifth ** (power - 1))
        share = power / _DIVIDED
        lower = np.minimum(sums[first, second], sums[second, first])
        with np.errstate(divide="ignore"):
            logarithm = np.log(lower) + share * (1 - share) * lengths / (2 * bandwidth)
        least = np.minimum(least, np.exp(logarithm))
    return least


def _joined_peaks(density: Array, links: Numbers, saddles: Array) -> Numbers:
    """Return the group of each neuron; the highest saddle first, lower peaks join higher ones."""
    above = np.arange(len(density))

    def peak_of(neuron: int) -> int:
        while above[neuron] != neuron:
            above[neuron] = above[above[neuron]]
            neuron = int(above[neuron])
        return neuron

    for link in np.argsort(-saddles, kind="stable"):
        low, high = sorted(map(peak_of, links[link]), key=lambda peak: (density[peak], -peak))
        depth = 2 * (np.sqrt(density[low]) - np.sqrt(saddles[link]))
        if low != high and depth < _VALLEY:
            above[low] = high
    return np.array([peak_of(neuron) for neuron in range(len(density))])


def without_small(rows: Rows, groups: Numbers) -> Numbers:
    """Return groups (L,) whose small ones have gone, each neuron to the nearest one of a large."""
    from scipy.spatial.distance import cdist

    _, group = np.unique(groups, return_inverse=True)
    weights = rows.hits * (rows.weights.sum() / rows.hits.sum())
    is_large = np.bincount(group, weights) >= max(_SMALL * rows.weights.sum(), _FEWEST)
    kept = np.flatnonzero(is_large[group])
    if not len(kept):
        return np.zeros_like(group)
    nearest = kept[cdist(rows.prototypes, rows.prototypes[kept]).argmin(axis=1)]
    return np.where(is_large[group], group, group[nearest])


# ------------------------------------------------------------------------------------------- lines


def divided_along_lines(rows: Rows, groups: Numbers) -> Numbers:
    """Return groups (L,) that are divided where samples have a valley along a line.

    In many columns the density is too coarse for valleys. Each group has a tree of joins; two that
    are joined stay apart where samples, projected on the line between their means, have a valley,
    in the manner of a test of one mode (Hartigan & Hartigan 1985), or where a part of one does.
    """
    divided = np.empty_like(groups)
    n_parts = 0
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        for part in _parts(rows, members):
            divided[part] = n_parts
            n_parts += 1
    return divided


def _parts(rows: Rows, members: Numbers) -> list[Numbers]:
    """Return the neurons of each part of a group of neurons."""
    weights: Array = np.bincount(rows.units, rows.weights, len(rows.hits)).astype(np.float64)
    few = max(_FEWEST_ON_LINE, _SMALL * rows.weights.sum())
    nodes = [[members[i : i + 1]] for i in range(len(members))]
    for pair in ward_tree(rows.prototypes[members], rows.hits[members])[0]:
        lighter, parts = sorted((nodes[son] for son in pair), key=lambda son: _weight(son, weights))
        parts = list(parts)
        apart = []
        for part in lighter:
            nearest = _nearest(rows, parts, part)
            is_small = weights[part].sum() < few
            if is_small or not _has_valley(rows, part, parts[nearest]):
                parts[nearest] = np.concatenate([part, parts[nearest]])
            else:
                apart.append(part)
        nodes.append(parts + apart)
    return nodes[-1]


def _weight(parts: list[Numbers], weights: Array) -> float:
    return float(sum(weights[part].sum() for part in parts))


def _nearest(rows: Rows, parts: list[Numbers], part: Numbers) -> int:
    """Return which of some parts has its mean nearest to that of another one."""
    if len(parts) == 1:
        return 0
    means = np.array([_mean(rows, other) for other in parts])
    return int(np.square(means - _mean(rows, part)).sum(axis=1).argmin())


def _mean(rows: Rows, neurons: Numbers) -> Array:
    return np.average(rows.prototypes[neurons], axis=0, weights=rows.hits[neurons])


def _has_valley(rows: Rows, fewer: Numbers, more: Numbers) -> bool:
    """Return whether samples have a valley on the line between the means of two sets of neurons."""
    side = np.zeros(len(rows.hits))
    side[fewer], side[more] = 1.0, -1.0
    direction = np.zeros(len(rows.hits))
    for neurons in (fewer, more):
        direction[neurons] = side[neurons] * rows.hits[neurons] / rows.hits[neurons].sum()
    length = np.sqrt(np.square(direction @ rows.prototypes).sum())
    if length == 0:
        return False
    places = rows.products @ (direction / length)
    side_of_row = side[rows.units]
    low, high = np.flatnonzero(side_of_row < 0), np.flatnonzero(side_of_row > 0)
    if rows.bandwidth < _COARSE * _variance(rows, places, np.concatenate([low, high])):
        return False  # the density would have shown it
    middle = np.average(places[high], weights=rows.weights[high])
    nearest = low[np.argsort(np.abs(places[low] - middle), kind="stable")]
    before = np.cumsum(rows.weights[nearest]) - rows.weights[nearest]
    low = nearest[before < _BALANCE * rows.weights[high].sum()]
    both = np.concatenate([low, high])
    total = rows.weights[both].sum()
    within = sum(_variance(rows, places, part) * rows.weights[part].sum() for part in (low, high))
    variance = (_SMOOTH * np.sqrt(within / total) * total**-0.2) ** 2
    # What is counted or rounded lies on a comb, whose gaps are no valleys.
    variance += float(np.square(direction @ rows.prototypes / length) @ np.square(rows.steps))
    if variance == 0:
        return True
    counts, edges = np.histogram(places[both], _POINTS, weights=rows.weights[both])
    apart = np.square(np.subtract.outer(edges[:-1], edges[:-1]))
    density = np.exp(apart / (-2 * variance)) @ counts
    peaks = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    depths = 2 * (np.sqrt(peaks) - np.sqrt(density))
    return bool(depths.max() >= _VALLEY_ON_LINE)


def _variance(rows: Rows, places: Array, some: Numbers) -> float:
    weights = rows.weights[some]
    mean = np.average(places[some], weights=weights)
    return float(np.average(np.square(places[some] - mean), weights=weights))


# --------------------------------------------------------------------------------------- one group


def is_more_than_a_box(rows: Rows) -> bool:
    """Return whether samples divide into two or three clusters better than uniform ones do.

    The scatter within clusters, as a share of all, is compared with that of samples of the box
    along their principal axes, as in the gap statistic (Tibshirani, Walther & Hastie 2001).
    """
    n = len(rows.weights)
    some = np.unique(np.linspace(0, n - 1, min(n, _BOX_ROWS)).astype(int))
    weights = rows.weights[some]
    count = min(round(weights.sum()), _BOX_ROWS)
    products = rows.X[some] @ rows.X[some].T
    products = np.asarray(products.toarray() if hasattr(products, "toarray") else products)
    means = np.average(products, axis=0, weights=weights)
    products = products - means - means[:, None] + np.average(means, weights=weights)
    roots = np.sqrt(weights)
    variances, axes = np.linalg.eigh(roots[:, None] * products * roots)
    if variances[-1] <= 0 or count < _FEWEST:
        return False
    is_axis = variances > _ROUNDING * variances[-1]
    scores = axes[:, is_axis] * np.sqrt(variances[is_axis]) / roots[:, None]
    random = np.random.default_rng(0)
    low, high = scores.min(axis=0), scores.max(axis=0)
    boxes = [random.uniform(low, high, (count, len(low))) for _ in range(_BOXES)]
    usual = np.mean([_scatters(box, np.ones(count)) for box in boxes], axis=0)
    return bool((_scatters(scores, weights) < usual - _BEYOND_BOX).any())


def _scatters(X: Array, weights: Array) -> Array:
    """Return the logarithm of the share of the scatter that is within two and three clusters."""
    # The squares of the heights of Ward's joins are twice what each adds to the scatter within.
    added = np.square(ward_tree(X, weights)[1]) / 2
    whole = added.sum()
    within = whole - np.array([added[-1], added[-1] + added[-2]])
    return np.asarray(np.log(np.maximum(within / whole, _ROUNDING)))
