"""Compiled loops for any metric: sums of samples and neurons, distances, hops, scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import Floats, Integers, compiled, loop

NO_PATH = 2**16 - 1  # hops (uint16) between neurons without a path
_POWER_STEPS = 3  # of the power iteration from the farthest sample: any axis near the first serves
_EQUAL_WITHIN = 1e-9  # relative to the farthest sample: smaller differences are rounding
_MEAN = 0  # rows of the workspace of `bisect_across`
_AXIS = 1
_NEXT = 2


class _SameMemory:
    """Array interface over a read-only array's memory, marked writeable."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # a reference, so that the memory stays
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def writeable_view(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array over the same memory with the writeable flag set, for compiled loops.

    Numba would compile every loop again for read-only arrays, as joblib's. No loop writes to X.
    """
    return array if array.flags.writeable else np.asarray(_SameMemory(array))


# ------------------------------------------------------------------------------- sums of samples


@loop
def add_weighted(X: NDArray[Any], weights: Floats, bmu: Integers, sums: Floats) -> None:
    """Add ``weights[i]*X[i]`` to ``sums[bmu[i]]``, X (n, D), sums (K, D), row by row."""
    for i in range(X.shape[0]):
        j = bmu[i]
        weight = weights[i]
        for k in range(X.shape[1]):
            sums[j, k] += weight * X[i, k]


@loop
def add_observed(
    X: NDArray[Any], weights: Floats, bmu: Integers, sums: Floats, observed: Floats
) -> None:
    """Do as `add_weighted` for entries that are not nan; add their weights to observed (K, D)."""
    for i in range(X.shape[0]):
        j = bmu[i]
        weight = weights[i]
        for k in range(X.shape[1]):
            if not np.isnan(X[i, k]):
                sums[j, k] += weight * X[i, k]
                observed[j, k] += weight


@loop
def add_sparse(
    values: NDArray[Any],
    columns: NDArray[Any],
    starts: NDArray[Any],
    weights: Floats,
    bmu: Integers,
    sums: Floats,
) -> None:
    """Do as `add_weighted` for the rows of a CSR matrix (values, columns, row starts)."""
    for i in range(starts.size - 1):
        j = bmu[i]
        weight = weights[i]
        for p in range(starts[i], starts[i + 1]):
            sums[j, columns[p]] += weight * values[p]


@loop
def add_squares(X: NDArray[Any], centre: Floats, total: Floats) -> None:
    """Add (X[i, k] - centre[k])**2 of every row of X (n, D) to ``total`` (D,)."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            difference = X[i, k] - centre[k]
            total[k] += difference * difference


# ------------------------------------------------------------------------------------ distances


@loop
def fill_distances(X: NDArray[Any], columns: Floats, out: Floats) -> None:
    """Fill out (n, K) with exact distances of X (n, D) to transposed prototypes, columns (D, K)."""
    d, n_neurons = columns.shape
    whole = d - d % 4
    for i in range(X.shape[0]):
        row = out[i]
        for j in range(n_neurons):
            row[j] = 0.0
        for k in range(0, whole, 4):  # unrolled: fewer loads and stores of the sums
            x = np.float64(X[i, k])
            y = np.float64(X[i, k + 1])
            z = np.float64(X[i, k + 2])
            u = np.float64(X[i, k + 3])
            p = columns[k]
            q = columns[k + 1]
            r = columns[k + 2]
            s = columns[k + 3]
            for j in range(n_neurons):
                first = x - p[j]
                second = y - q[j]
                third = z - r[j]
                fourth = u - s[j]
                total = row[j] + first * first
                total += second * second
                total += third * third
                row[j] = total + fourth * fourth
        for k in range(whole, d):
            x = np.float64(X[i, k])
            p = columns[k]
            for j in range(n_neurons):
                first = x - p[j]
                row[j] += first * first
        for j in range(n_neurons):
            row[j] = np.sqrt(row[j])


@loop
def distances_to(X: NDArray[Any], prototypes: Floats, units: Integers, out: Floats) -> None:
    """Fill out (n,) with the exact distances of the rows of X (n, D) to their units."""
    for i in range(units.size):
        total = 0.0
        for k in range(X.shape[1]):
            difference = np.float64(X[i, k]) - prototypes[units[i], k]
            total += difference * difference
        out[i] = np.sqrt(total)


@compiled
def fill_hops(hops: NDArray[np.uint16], links: NDArray[np.int32]) -> None:
    """Fill hops (K, K), or larger, by a breadth-first search over links (K, degree); -1: none."""
    neurons = len(links)
    waiting = np.empty(neurons, np.int32)
    for start in range(neurons):
        hops[start, :neurons] = NO_PATH
        hops[start, start] = 0
        waiting[0] = start
        first = 0
        last = 1
        while first < last:
            neuron = waiting[first]
            first += 1
            farther = int(hops[start, neuron]) + 1
            if farther >= NO_PATH:
                continue
            for linked in links[neuron]:
                if linked >= 0 and hops[start, linked] == NO_PATH:
                    hops[start, linked] = farther
                    waiting[last] = linked
                    last += 1


# ----------------------------------------------------------------------- sums of neurons


@loop
def fill_influence(hops: NDArray[np.uint16], weights: Floats, start: int, out: Floats) -> None:
    """Fill out (m, K) with the weights at the hops (K, K) of the rows from ``start`` on."""
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = weights[hops[start + j, i]]


@loop
def smooth_rows(
    hops: NDArray[np.uint16],
    weights: Floats,
    reach: int,
    min_hits: float,
    hits: Integers,
    sums: Floats,
    start: int,
    stop: int,
    out_sums: Floats,
    out_hits: Floats,
) -> None:
    """Fill rows ``start`` to ``stop`` of the smoothed sums (K, D) and hits (K,).

    Neurons within ``reach`` hops count, or all where those have fewer than ``min_hits`` hits.
    """
    for j in range(start, stop):
        for limit in (reach, weights.size - 1):
            for k in range(sums.shape[1]):
                out_sums[j, k] = 0.0
            total = 0.0
            for i in range(hits.size):
                if hits[i] == 0 or hops[j, i] > limit:
                    continue
                weight = weights[hops[j, i]]
                total += weight * hits[i]
                for k in range(sums.shape[1]):
                    out_sums[j, k] += weight * sums[i, k]
            out_hits[j] = total
            if total > min_hits:
                break


# --------------------------------------------------------------------------- groups of samples


def bisect_groups(
    X: NDArray[Any], weights: Floats, groups: Integers, depth: int, smallest: float
) -> Integers:
    """Return groups (n,) of samples X (n, D) after ``depth`` bisections, as binary codes.

    A group is bisected at its mean across its first principal axis (principal direction divisive
    partitioning, Boley 1998), found by power iteration. Groups of a weight below ``smallest`` stay
    whole.
    """
    # The power iteration has fourth powers, which would leave float64 before the squares do.
    size = np.frexp(np.abs(X).max(initial=0.0))[1]
    numbers = np.ldexp(np.ascontiguousarray(X, dtype=np.float64), -size)
    space = np.empty((3, X.shape[1]))
    for _ in range(depth):
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
        upper = np.zeros(len(groups), np.int64)
        bisect_across(numbers, weights, order, starts, smallest, space, upper)
        groups = 2 * groups + upper
    return groups


@loop
def bisect_across(
    X: Floats,
    weights: Floats,
    order: Integers,
    starts: Integers,
    smallest: float,
    space: Floats,
    upper: Integers,
) -> None:
    """Write 1 to ``upper`` (n,) for samples above their group's mean along its first axis.

    Group g are the samples ``order[starts[g]:starts[g + 1]]``; ``space`` is (3, D).
    """
    d = X.shape[1]
    for g in range(starts.size - 1):
        total = 0.0
        for k in range(d):
            space[_MEAN, k] = 0.0
        for row in range(starts[g], starts[g + 1]):
            i = order[row]
            total += weights[i]
            for k in range(d):
                space[_MEAN, k] += weights[i] * X[i, k]
        if total < smallest:
            continue
        for k in range(d):
            space[_MEAN, k] /= total
        farthest = 0.0
        for row in range(starts[g], starts[g + 1]):
            i = order[row]
            square = 0.0
            for k in range(d):
                square += (X[i, k] - space[_MEAN, k]) ** 2
            if square > farthest * (1 + _EQUAL_WITHIN):  # ties are not left to rounding
                farthest = square
                for k in range(d):
                    space[_NEXT, k] = X[i, k] - space[_MEAN, k]
        if farthest == 0.0:
            continue
        for turn in range(_POWER_STEPS + 1):
            square = 0.0
            for k in range(d):
                square += space[_NEXT, k] ** 2
            for k in range(d):
                space[_AXIS, k] = space[_NEXT, k] / np.sqrt(square)
                space[_NEXT, k] = 0.0
            for row in range(starts[g], starts[g + 1]):
                i = order[row]
                along = 0.0
                for k in range(d):
                    along += (X[i, k] - space[_MEAN, k]) * space[_AXIS, k]
                if turn == _POWER_STEPS:
                    upper[i] = along > _EQUAL_WITHIN * np.sqrt(farthest)
                else:
                    for k in range(d):
                        space[_NEXT, k] += weights[i] * along * (X[i, k] - space[_MEAN, k])


# ------------------------------------------------------------------------------------- scores


class Groups(NamedTuple):
    """Micro-clusters (M,): their weights, mean squared radii, and decay of the density kernel.

    A score is the mean distance to the nearest samples (after Angiulli & Pizzuti 2002). Ours is
    that the r-th nearest sample weighs in proportion to exp(-r/mass), instead of 1 up to the k-th
    and then 0: a micro-cluster holds many samples, and with a cut the score would jump where it
    enters. Of the weight that remains, ``parts`` goes to a micro-cluster, the integral of the decay
    over its samples, and ``fades`` remains for those farther away.
    """

    weights: Floats
    spreads: Floats
    parts: Floats
    fades: Floats

    @classmethod
    def from_weights(cls, weights: Floats, spreads: Floats, mass: float) -> Groups:
        """Return micro-clusters of ``weights`` (M,) samples at distance² + ``spreads`` (M,)."""
        weights = np.array(weights, np.float64)
        spreads = np.array(spreads, np.float64)
        decay = -weights / mass
        return cls(weights, spreads, -np.expm1(decay), np.exp(decay))


@loop
def soft_means(
    rows: Integers,
    distances: Floats,
    k: int,
    groups: Groups,
    far: float,
    means: Floats,
) -> None:
    """Fill means (m,) with weighted means of distances² + spreads to the ``k`` nearest groups.

    ``rows`` (m, …) are the groups, nearest first, at ``distances`` (m, …). Groups count until they
    hold ``far`` samples. A mean of no weight is that of the first group.
    """
    for i in range(rows.shape[0]):
        before = total = added = 0.0
        left = 1.0
        for j in range(k):
            if before >= far:
                break
            group = rows[i, j]
            counted = left * groups.parts[group]
            added += (distances[i, j] * distances[i, j] + groups.spreads[group]) * counted
            total += counted
            left *= groups.fades[group]
            before += groups.weights[group]
        first = distances[i, 0] * distances[i, 0] + groups.spreads[rows[i, 0]]
        means[i] = added / total if total > 0.0 else first
