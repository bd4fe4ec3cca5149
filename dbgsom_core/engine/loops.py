"""Compiled loops over samples that any metric may use: sums, distances, groups, scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import Floats, Integers, compiled, loop

FAR = 2**16 - 1  # of uint16: hops between neurons that no path links
_TURNS = 3  # of the power iteration, whose start is the sample farthest out
_ALIKE = 1e-9  # what differs less, relative to the farthest, does so by rounding
_MEAN, _AXIS, _NEXT = 0, 1, 2  # rows of the workspace of `bisect_across`
_TOGETHER = 16  # values that are ranked together


class _SameMemory:
    """Offers the memory of an array that may not be written as if it might."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # lives as long as what is made of it
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def writeable_view(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array over the same memory that loops may read: numba knows one kind of array.

    A read-only array, as joblib hands out, would have every loop compiled once more. No loop writes
    to the samples.
    """
    return array if array.flags.writeable else np.asarray(_SameMemory(array))


# ------------------------------------------------------------------------------- sums of samples


@loop
def add_weighted(X: NDArray[Any], weights: Floats, bmu: Integers, sums: Floats) -> None:
    """Add ``weights[i]*X[i]`` to ``sums[bmu[i]]``, X (n, D), sums (K, D), row by row."""
    for i in range(X.shape[0]):
        j, weight = bmu[i], weights[i]
        for k in range(X.shape[1]):
            sums[j, k] += weight * X[i, k]


@loop
def add_observed(
    X: NDArray[Any], weights: Floats, bmu: Integers, sums: Floats, seen: Floats
) -> None:
    """Do as `add_weighted` for what is not nan, and add the weights of that to ``seen`` (K, D)."""
    for i in range(X.shape[0]):
        j, weight = bmu[i], weights[i]
        for k in range(X.shape[1]):
            if not np.isnan(X[i, k]):
                sums[j, k] += weight * X[i, k]
                seen[j, k] += weight


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
        j, weight = bmu[i], weights[i]
        for p in range(starts[i], starts[i + 1]):
            sums[j, columns[p]] += weight * values[p]


@loop
def add_columns(X: NDArray[Any], total: Floats) -> None:
    """Add every row of X (n, D) to ``total`` (D,)."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            total[k] += X[i, k]


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
    """Fill out (n, K) with the distances of X (n, D) to prototypes, ``columns`` (D, K), each by
    definition: squares are added up by feature, for many prototypes side by side.
    """
    d, n_neurons = columns.shape
    whole = d - d % 4
    for i in range(X.shape[0]):
        row = out[i]
        for j in range(n_neurons):
            row[j] = 0.0
        for k in range(0, whole, 4):  # four at a time: sums are fetched and put back less often
            x, y = np.float64(X[i, k]), np.float64(X[i, k + 1])
            z, u = np.float64(X[i, k + 2]), np.float64(X[i, k + 3])
            p, q, r, s = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for j in range(n_neurons):
                first, second, third, fourth = x - p[j], y - q[j], z - r[j], u - s[j]
                total = row[j] + first * first
                total += second * second
                total += third * third
                row[j] = total + fourth * fourth
        for k in range(whole, d):
            x, p = np.float64(X[i, k]), columns[k]
            for j in range(n_neurons):
                first = x - p[j]
                row[j] += first * first
        for j in range(n_neurons):
            row[j] = np.sqrt(row[j])


@loop
def distances_to(X: NDArray[Any], prototypes: Floats, units: Integers, out: Floats) -> None:
    """Fill out (n,) with the distances of the rows of X (n, D) to their units, by definition."""
    for i in range(units.size):
        total = 0.0
        for k in range(X.shape[1]):
            difference = np.float64(X[i, k]) - prototypes[units[i], k]
            total += difference * difference
        out[i] = np.sqrt(total)


def won_squares(prototypes: Floats, hits: Integers, squares: Floats, offsets: Floats) -> Floats:
    """Return the sums (K, K) of ‖x - w_j‖² over the samples x that neuron b won, for all b and j.

    The samples enter by their sums alone. With e = x - w_b and v = w_b - w_j,

        Σ‖x - w_j‖² = Σ‖e‖² + n_b‖v‖² + 2 v·Σe.

    w_b is the nearest prototype of each x, so ‖e‖ <= ‖x - w_j‖ and ‖v‖ <= 2‖x - w_j‖: no term is
    more than four times the whole, and nothing cancels. ``squares`` (K,) are Σ‖e‖² of what each
    neuron won, ``offsets`` (K, D) Σe.
    """
    out = np.empty((len(prototypes), len(prototypes)))
    for b, won in enumerate(hits):
        apart = prototypes[b] - prototypes
        out[b] = squares[b] + (apart * (won * apart + 2 * offsets[b])).sum(axis=1)
    return out


@compiled
def fill_hops(hops: NDArray[np.uint16], links: NDArray[np.int32]) -> None:
    """Fill hops (K, K), or larger, by a breadth-first search over links (K, degree); -1: none."""
    neurons = len(links)
    waiting = np.empty(neurons, np.int32)
    for start in range(neurons):
        hops[start, :neurons] = FAR
        hops[start, start] = 0
        waiting[0], first, last = start, 0, 1
        while first < last:
            neuron = waiting[first]
            first += 1
            farther = int(hops[start, neuron]) + 1
            if farther >= FAR:
                continue
            for linked in links[neuron]:
                if linked >= 0 and hops[start, linked] == FAR:
                    hops[start, linked] = farther
                    waiting[last] = linked
                    last += 1


# --------------------------------------------------------------------------- groups of samples


def bisect_groups(
    X: NDArray[Any], weights: Floats, groups: Integers, times: int, least: float
) -> Integers:
    """Return groups of samples in up to ``2**times`` parts, (n,): ``groups << times`` and the part.

    A group of samples X (n, D) is cut in two across its longest direction, nearly its first
    principal component, at its mean, and so are its parts. Those of a ``least`` weight or less stay
    whole.
    """
    size = np.frexp(np.abs(X).max(initial=0.0))[1]  # so that no square leaves float64
    numbers = np.ldexp(np.ascontiguousarray(X, dtype=np.float64), -size)
    space = np.empty((3, X.shape[1]))
    for _ in range(times):
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
        beyond = np.zeros(len(groups), np.int64)
        bisect_across(numbers, weights, order, starts, least, space, beyond)
        groups = 2 * groups + beyond
    return groups


@loop
def bisect_across(
    X: Floats,
    weights: Floats,
    order: Integers,
    starts: Integers,
    least: float,
    space: Floats,
    beyond: Integers,
) -> None:
    """Write 1 to ``beyond`` (n,) of samples on one side of their group's mean.

    The g-th group are the samples ``order[starts[g]:starts[g + 1]]``; ``space`` is (3, D).
    """
    d = X.shape[1]
    for g in range(starts.size - 1):
        total = 0.0
        for k in range(d):
            space[_MEAN, k] = 0.0
        for at in range(starts[g], starts[g + 1]):
            i = order[at]
            total += weights[i]
            for k in range(d):
                space[_MEAN, k] += weights[i] * X[i, k]
        if total < least:
            continue
        for k in range(d):
            space[_MEAN, k] /= total
        farthest = 0.0
        for at in range(starts[g], starts[g + 1]):
            i, square = order[at], 0.0
            for k in range(d):
                square += (X[i, k] - space[_MEAN, k]) ** 2
            if square > farthest * (1 + _ALIKE):  # or else rounding chooses among equals
                farthest = square
                for k in range(d):
                    space[_NEXT, k] = X[i, k] - space[_MEAN, k]
        if farthest == 0.0:
            continue
        for turn in range(_TURNS + 1):
            square = 0.0
            for k in range(d):
                square += space[_NEXT, k] ** 2
            for k in range(d):
                space[_AXIS, k] = space[_NEXT, k] / np.sqrt(square)
                space[_NEXT, k] = 0.0
            for at in range(starts[g], starts[g + 1]):
                i, along = order[at], 0.0
                for k in range(d):
                    along += (X[i, k] - space[_MEAN, k]) * space[_AXIS, k]
                if turn == _TURNS:
                    beyond[i] = along > _ALIKE * np.sqrt(farthest)
                else:
                    for k in range(d):
                        space[_NEXT, k] += weights[i] * along * (X[i, k] - space[_MEAN, k])


# ------------------------------------------------------------------------------------- scores


class Groups(NamedTuple):
    """What groups (M,) hold: samples, how far apart these are, and what comes of their number.

    Of what is left of the weight of all samples, exp(-r/mass) behind the r-th nearest, ``parts``
    fall to a group and ``fades`` are left behind it.
    """

    weights: Floats
    spreads: Floats
    parts: Floats
    fades: Floats

    @classmethod
    def of(cls, weights: Floats, spreads: Floats, mass: float) -> Groups:
        """Return groups of so many samples, (M,), which lie at distance² + ``spreads`` (M,)."""
        weights, spreads = (np.array(values, np.float64) for values in (weights, spreads))
        return cls(weights, spreads, -np.expm1(-weights / mass), np.exp(-weights / mass))


@loop
def soft_means(
    rows: Integers,
    distances: Floats,
    k: int,
    groups: Groups,
    far: float,
    means: Floats,
    held: Floats,
) -> None:
    """Fill means (m,) with those of distances² + spreads of the first ``k`` groups ``rows`` (m, …).

    The groups are nearest first, at ``distances`` (m, …). None counts behind those that hold
    ``far`` samples; held (m,) become the samples of all that did. Where nothing counts the mean is
    that of the first one.
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
        held[i] = before


@loop
def ranks_among(known: Floats, values: Floats, out: Integers) -> None:
    """Fill out (n,) with how many of the ascending known (m,), m > 0, are at most each value.

    It is all of them for nan. Some values are halved together: none waits for another, and no
    branch depends on them.
    """
    for begin in range(0, values.size, _TOGETHER):
        end = min(begin + _TOGETHER, values.size)
        for i in range(begin, end):
            out[i] = 0
        left = known.size
        while left > 1:
            half = left >> 1
            for i in range(begin, end):
                out[i] += half * int(not known[out[i] + half - 1] > values[i])
            left -= half
        for i in range(begin, end):
            out[i] += int(not known[out[i]] > values[i])
