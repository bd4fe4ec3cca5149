"""Compiled loops of the pass over the data that do not depend on the metric."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop
from dbgsom_core.engine.llvm.bounds import bits_up_to, lowest_bit


@loop
def add_samples(X: NDArray[Any], bmu: NDArray[np.int64], sums: NDArray[np.float64]) -> None:
    """Add every row of X (n, D) to ``sums[bmu[i]]``, sums (K, D), in the order of the rows."""
    for i in range(X.shape[0]):
        j = bmu[i]
        for k in range(X.shape[1]):
            sums[j, k] += X[i, k]


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
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            _insert(block[i, j], j, j, columns[i], values[i])


@inner_loop
def _insert(
    value: float, column: int, held: int, columns: NDArray[np.int64], values: NDArray[np.float64]
) -> None:
    # Into the k smallest so far of a row, of which ``held`` were seen before.
    k = columns.size
    if held >= k and not value < values[k - 1]:
        return
    rank = min(held, k - 1)
    while rank > 0 and value < values[rank - 1]:
        values[rank] = values[rank - 1]
        columns[rank] = columns[rank - 1]
        rank -= 1
    values[rank] = value
    columns[rank] = column


@loop
def nearest_few(
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    near: NDArray[np.int32],
    room: NDArray[np.int64],
    apart: NDArray[np.float64],
    columns: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Fill columns and values (m, k) with the k nearest of prototypes (K, D) to each of X (m, D).

    ``near`` (m, K) are the bits of their distances in float32, each within two units in the last
    place, which sort as the distances do. Only those are compared by definition that may be among
    the k. ``room`` (3, K + 4) and ``apart`` (K + 4,) are overwritten. Memory of 63 more numbers
    behind ``near`` is read, and of no consequence.
    """
    k, n_neurons = columns.shape[1], near.shape[1]
    enough = k + (k >> 2)  # a limit below which so many are is not worth lowering
    share = k / n_neurons  # of the way from the nearest to the farthest one, where the limit lies
    few, ranks, order = room[0], room[1], room[2]
    near_at = near.ctypes.data
    for i in range(near.shape[0]):
        at_row = near_at + 4 * n_neurons * i
        least = most = near[i, 0]
        for j in range(n_neurons):
            least = near[i, j] if near[i, j] < least else least
            most = near[i, j] if near[i, j] > most else most
        low, limit = np.int64(least) - 1, np.int64(most)
        at = low + np.int64((limit - low) * share)
        while limit - low > 1:
            up_to, below = np.int32(at), np.int32(0)  # as narrow as what they are compared with
            for j in range(n_neurons):
                below = np.int32(below + np.int32(near[i, j] <= up_to))
            if below < k:
                low = at
            else:
                limit = at
                if below <= enough:
                    break
            at = (low + limit) >> 1
        share = (limit - least) / (np.int64(most) - least + 1)
        limit += 4
        found = 0
        for j in range(0, n_neurons, 64):
            bits = bits_up_to(at_row + 4 * j, np.int32(limit))
            if j + 64 > n_neurons:
                bits &= (1 << (n_neurons - j)) - 1
            while bits:
                few[found] = j + lowest_bit(bits)
                bits &= bits - 1
                found += 1
        _distances_of_few(X, i, prototypes, few, found, apart)
        # Each pair moves the farther one back: no branch that a processor would have to guess.
        for c in range(found):
            value, back = apart[c], c
            for j in range(c):
                nearer = int(value < apart[j])
                ranks[j] += nearer
                back -= nearer
            ranks[c] = back
        for c in range(found):
            order[ranks[c]] = c
        for rank in range(k):
            columns[i, rank] = few[order[rank]]
            values[i, rank] = apart[order[rank]]


@inner_loop
def _distances_of_few(
    X: NDArray[Any],
    i: int,
    prototypes: NDArray[np.float64],
    few: NDArray[np.int64],
    found: int,
    out: NDArray[np.float64],
) -> None:
    # Of X[i] to the first ``found`` of few prototypes, as `euclidean_distance` adds them up: four
    # sums side by side, as an addition waits for the one before. Up to three more are overwritten.
    for at in range(found, found + 3):
        few[at] = few[0]
    for at in range(0, found, 4):
        a, b, c, d = few[at], few[at + 1], few[at + 2], few[at + 3]
        sum_a = sum_b = sum_c = sum_d = 0.0
        for k in range(X.shape[1]):
            x = np.float64(X[i, k])
            step_a, step_b = x - prototypes[a, k], x - prototypes[b, k]
            step_c, step_d = x - prototypes[c, k], x - prototypes[d, k]
            sum_a += step_a * step_a
            sum_b += step_b * step_b
            sum_c += step_c * step_c
            sum_d += step_d * step_d
        out[at], out[at + 1] = np.sqrt(sum_a), np.sqrt(sum_b)
        out[at + 2], out[at + 3] = np.sqrt(sum_c), np.sqrt(sum_d)


@inner_loop
def euclidean_distance(X: NDArray[Any], i: int, prototypes: NDArray[np.float64], j: int) -> float:
    """Return the distance of X[i] and prototypes[j]: its definition, added up by feature."""
    total = 0.0
    for k in range(X.shape[1]):
        difference = np.float64(X[i, k]) - prototypes[j, k]
        total += difference * difference
    return float(np.sqrt(total))


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
