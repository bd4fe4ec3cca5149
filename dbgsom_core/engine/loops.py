"""Compiled loops of the pass over the data that do not depend on the metric."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop


@loop
def add_weighted(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    bmu: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Add ``weights[i]*X[i]`` to ``sums[bmu[i]]``, X (n, D), sums (K, D), row by row."""
    for i in range(X.shape[0]):
        j, weight = bmu[i], weights[i]
        for k in range(X.shape[1]):
            sums[j, k] += weight * X[i, k]


@loop
def add_observed(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    bmu: NDArray[np.int64],
    sums: NDArray[np.float64],
    seen: NDArray[np.float64],
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
    weights: NDArray[np.float64],
    bmu: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Do as `add_weighted` for the rows of a CSR matrix (values, columns, row starts)."""
    for i in range(starts.size - 1):
        j, weight = bmu[i], weights[i]
        for p in range(starts[i], starts[i + 1]):
            sums[j, columns[p]] += weight * values[p]


@loop
def add_columns(X: NDArray[Any], total: NDArray[np.float64]) -> None:
    """Add every row of X (n, D) to ``total`` (D,)."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            total[k] += X[i, k]


@loop
def add_squares(X: NDArray[Any], centre: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    """Add (X[i, k] - centre[k])**2 of every row of X (n, D) to ``total`` (D,)."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            difference = X[i, k] - centre[k]
            total[k] += difference * difference


@loop
def squared_steps(
    before: NDArray[np.float64], after: NDArray[np.float64], by_feature: NDArray[np.float64]
) -> float:
    """Return Σ (after - before)² over two arrays (K, D); ``by_feature`` (D,) zeros are overwritten.

    Features are added up apart, so that the additions need not wait for each other.
    """
    for j in range(after.shape[0]):
        for k in range(after.shape[1]):
            step = after[j, k] - before[j, k]
            by_feature[k] += step * step
    total = 0.0
    for k in range(after.shape[1]):
        total += by_feature[k]
    return total


@loop
def divide_reached(
    before: NDArray[np.float64],
    sums: NDArray[np.float64],
    reached: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill out (K, D) with ``sums`` over ``reached`` (K,), or ``before`` where that is not above 0.

    All but ``reached`` are (K, D).
    """
    for j in range(out.shape[0]):
        weight = reached[j]
        if weight > 0:
            for k in range(out.shape[1]):
                out[j, k] = sums[j, k] / weight
        else:
            for k in range(out.shape[1]):
                out[j, k] = before[j, k]


@loop
def fill_influence(
    hops: NDArray[np.uint16], weights: NDArray[np.float64], start: int, out: NDArray[np.float64]
) -> None:
    """Fill out (m, K) with the weights at the hops (K, K) of the rows from ``start`` on."""
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = weights[hops[start + j, i]]


@loop
def smooth_rows(
    hops: NDArray[np.uint16],
    weights: NDArray[np.float64],
    reach: int,
    least: float,
    hits: NDArray[np.int64],
    sums: NDArray[np.float64],
    start: int,
    stop: int,
    out_sums: NDArray[np.float64],
    out_hits: NDArray[np.float64],
) -> None:
    """Fill rows ``start`` to ``stop`` of the smoothed sums (K, D) and hits (K,).

    Neurons within ``reach`` hops count; all of them where those have fewer than ``least`` hits.
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
            if total > least:
                break


@loop
def smallest(
    block: NDArray[np.float64], columns: NDArray[np.int64], values: NDArray[np.float64]
) -> None:
    """Fill ``columns`` and ``values`` (m, k) with the k smallest of each row of block (m, K).

    They are in order, the first of equal ones; k is at most K.
    """
    k = columns.shape[1]
    for i in range(block.shape[0]):
        row, where, found = block[i], columns[i], values[i]
        limit = np.inf  # of those that may enter once there are k
        for j in range(row.size):
            value = row[j]
            if j < k or value < limit:
                rank = min(j, k - 1)
                while rank > 0 and value < found[rank - 1]:
                    found[rank], where[rank] = found[rank - 1], where[rank - 1]
                    rank -= 1
                found[rank], where[rank] = value, j
                if j >= k - 1:
                    limit = found[k - 1]


@inner_loop
def euclidean_distance(X: NDArray[Any], i: int, prototypes: NDArray[np.float64], j: int) -> float:
    """Return the distance of X[i] and prototypes[j]: its definition, added up by feature."""
    total = 0.0
    for k in range(X.shape[1]):
        difference = np.float64(X[i, k]) - prototypes[j, k]
        total += difference * difference
    return float(np.sqrt(total))


@loop
def fill_distances(X: NDArray[Any], columns: NDArray[np.float64], out: NDArray[np.float64]) -> None:
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
            one, two, three, four = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for j in range(n_neurons):
                first, second, third, fourth = x - one[j], y - two[j], z - three[j], u - four[j]
                total = row[j] + first * first
                total += second * second
                total += third * third
                row[j] = total + fourth * fourth
        for k in range(whole, d):
            x, one = np.float64(X[i, k]), columns[k]
            for j in range(n_neurons):
                first = x - one[j]
                row[j] += first * first
        for j in range(n_neurons):
            row[j] = np.sqrt(row[j])


@loop
def distances_to(
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    units: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Fill out (n,) with the distances of the rows of X (n, D) to their units, by definition."""
    n = units.size
    whole = n - n % 4
    for i in range(0, whole, 4):  # four sums side by side: an addition waits for the one before
        a, b, c, d = units[i], units[i + 1], units[i + 2], units[i + 3]
        sum_a = sum_b = sum_c = sum_d = 0.0
        for k in range(X.shape[1]):
            step_a = np.float64(X[i, k]) - prototypes[a, k]
            step_b = np.float64(X[i + 1, k]) - prototypes[b, k]
            step_c = np.float64(X[i + 2, k]) - prototypes[c, k]
            step_d = np.float64(X[i + 3, k]) - prototypes[d, k]
            sum_a += step_a * step_a
            sum_b += step_b * step_b
            sum_c += step_c * step_c
            sum_d += step_d * step_d
        out[i], out[i + 1] = np.sqrt(sum_a), np.sqrt(sum_b)
        out[i + 2], out[i + 3] = np.sqrt(sum_c), np.sqrt(sum_d)
    for i in range(whole, n):
        out[i] = euclidean_distance(X, i, prototypes, units[i])
