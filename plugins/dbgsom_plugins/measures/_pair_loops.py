"""Compiled loops over distances between samples, a block of them at a time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled, inner_loop

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@compiled
def square_distances(samples: Float64, columns: Float64, out: Float64) -> None:
    """Fill out (m, b) with squared Euclidean distances of samples (m, D) to columns (D, b).

    Each is added up in the same order wherever it stands, so that equal samples are equally far.
    """
    d = columns.shape[0]
    for i in range(out.shape[0]):
        row, x = out[i], samples[i]
        row[:] = 0.0
        k = 0
        while k + 3 < d:
            one, two, three, four = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for j in range(row.size):
                a, b = x[k] - one[j], x[k + 1] - two[j]
                c, e = x[k + 2] - three[j], x[k + 3] - four[j]
                row[j] += (a * a + b * b) + (c * c + e * e)
            k += 4
        while k < d:
            one = columns[k]
            for j in range(row.size):
                a = x[k] - one[j]
                row[j] += a * a
            k += 1


@compiled
def look_up_tables(bounds: Float64, lengths: Int64, tables: Int64, scales: Float64) -> None:
    """Fill in where to look for a distance among bounds (m, T), each row ascending.

    Of row i the first ``lengths[i]`` count. ``tables`` (m, S + 1) and ``scales`` (m,): for a
    distance d not above the last of them, the first that is not below d lies between entries s and
    s + 1 of the table, s = min(⌊d·scale⌋, S - 1).
    """
    slots = tables.shape[1] - 1
    for i in range(bounds.shape[0]):
        row, table = bounds[i, : lengths[i]], tables[i]
        last = row[row.size - 1] if row.size else 0.0
        scales[i] = slots / last if last > 0.0 and slots / last < math.inf else 0.0
        slot = 0
        for j in range(row.size):
            its = min(int(row[j] * scales[i]), slots - 1)
            while slot <= its:
                table[slot] = j
                slot += 1
        while slot <= slots:
            table[slot] = row.size
            slot += 1


@inner_loop
def keep(
    i: int,
    d: float,
    first: float,
    second: float,
    near: Float64,
    near_worth: Float64,
    tied: Float64,
) -> None:
    """Put a sample at distance ``d``, worth two numbers, among the nearest of sample i.

    The arrays are those of `count`; ``d`` is not above the last of ``near[i]``.
    """
    k = near.shape[1]
    if d == near[i, k - 1]:
        if d < math.inf:
            tied[i, 0] += 1
            tied[i, 1] += first
            tied[i, 2] += second
        return
    out = near[i, k - 1]
    out_first, out_second = near_worth[i, k - 1, 0], near_worth[i, k - 1, 1]
    place = k - 1
    while place > 0 and near[i, place - 1] > d:
        near[i, place] = near[i, place - 1]
        near_worth[i, place, 0] = near_worth[i, place - 1, 0]
        near_worth[i, place, 1] = near_worth[i, place - 1, 1]
        place -= 1
    near[i, place], near_worth[i, place, 0], near_worth[i, place, 1] = d, first, second
    if out == near[i, k - 1] and out < math.inf:
        tied[i, 0] += 1
        tied[i, 1] += out_first
        tied[i, 2] += out_second
    else:
        tied[i, 0] = tied[i, 1] = tied[i, 2] = 0.0


@compiled
def count(
    distances: Float64,
    start: int,
    own: Int64,
    units: Int64,
    bounds: Float64,
    lengths: Int64,
    tables: Int64,
    scales: Float64,
    counts: Int64,
    near: Float64,
    worth: Float64,
    near_worth: Float64,
    tied: Float64,
) -> None:
    """Rank one block of samples, b of them from ``start`` on, as seen by each of m samples.

    Parameters
    ----------
    distances : float64 array (m, b)
        No matter in which units.
    start : int
        The block's first sample.
    own : int64 array (m,)
        Which samples look: nobody sees itself.
    units : int64 array (b,)
        The neuron of each sample of the block.
    bounds, lengths, tables, scales
        As of `look_up_tables`: distances that are ranked.
    counts : int64 array (m, T, 2)
        How many lie below a bound and above the one before it, and how many at it; of equal bounds
        the first one counts.
    near : float64 array (m, k)
        The least distances, ascending, inf where there are none yet.
    worth : float64 array (m, K, 2)
        What a sample is worth that lies nearest, by its neuron: two numbers.
    near_worth : float64 array (m, k, 2)
        That of those at ``near``.
    tied : float64 array (m, 3)
        How many others are as far as the last of ``near``, and what they are worth together.
    """
    k = near.shape[1]
    slots = tables.shape[1] - 1
    for i in range(distances.shape[0]):
        row, limits, table, scale = distances[i], bounds[i, : lengths[i]], tables[i], scales[i]
        last = limits[limits.size - 1] if limits.size else -1.0
        farthest = max(last, near[i, k - 1])
        for j in range(row.size):
            d = row[j]
            if not d <= farthest or start + j == own[i]:
                continue
            if d <= last:
                slot = min(int(d * scale), slots - 1)
                low, high = table[slot], table[slot + 1]
                while low < high:
                    middle = (low + high) >> 1
                    if limits[middle] < d:
                        low = middle + 1
                    else:
                        high = middle
                counts[i, low, 1 if limits[low] == d else 0] += 1
            if d <= near[i, k - 1]:
                keep(i, d, worth[i, units[j], 0], worth[i, units[j], 1], near, near_worth, tied)
            farthest = max(last, near[i, k - 1])


@compiled
def excess_ranks(
    bounds: Float64, lengths: Int64, weights: Float64, counts: Int64, k: int, out: Float64
) -> None:
    """Fill out (m,) with Σ weight · E[max(0, rank - k)] over the bounds, as of `look_up_tables`.

    Ranks among equal distances are drawn; `count` has filled in ``counts``.
    """
    for i in range(bounds.shape[0]):
        total, below, j = 0.0, 0.0, 0
        while j < lengths[i]:
            together, stop = 0.0, j
            while stop < lengths[i] and bounds[i, stop] == bounds[i, j]:
                together += weights[i, stop]
                stop += 1
            below += counts[i, j, 0]
            equal = float(counts[i, j, 1])
            if together > 0.0 and equal > 0.0:
                low, high = max(below + 1.0, k + 1.0) - k, below + equal - k
                if high >= low:
                    total += together * 0.5 * (low + high) * (high - low + 1.0) / equal
            below += equal
            j = stop
        out[i] = total


@compiled
def add_to_groups(distances: Float64, groups: Int64, squared: bool, sums: Float64) -> None:
    """Add distances (m, b), or their roots, to sums (m, C) of the group of each column (b,)."""
    for i in range(distances.shape[0]):
        row, of = distances[i], sums[i]
        for j in range(row.size):
            of[groups[j]] += math.sqrt(row[j]) if squared else row[j]


@compiled
def add_products(
    distances: Float64, squared: bool, units: Int64, others: Int64, steps: Float64, out: Float64
) -> None:
    """Add Σ d·g, Σ d² and Σ g² over distances d (m, b), or their roots, to three numbers of out.

    The fourth becomes the largest d. g is that of ``steps`` (u, u) between the ``units`` (m,) of
    the samples and those of the ``others`` (b,). Each row is added up apart.
    """
    for i in range(distances.shape[0]):
        row, on_grid, both, data, grid = distances[i], steps[units[i]], 0.0, 0.0, 0.0
        for j in range(row.size):
            d, g = math.sqrt(row[j]) if squared else row[j], on_grid[others[j]]
            both += d * g
            data += d * d
            grid += g * g
            out[3] = max(out[3], d)
        out[0] += both
        out[1] += data
        out[2] += grid
