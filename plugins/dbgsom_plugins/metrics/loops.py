"""Compiled loops of the metrics: distances and weighted medians.

Samples are (m, D), prototypes come transposed, (D, K), results are (m, K), all float64. The
inner loop runs over neurons, so the compiler vectorises it and the order of every sum is that of
the features. A feature that is nan in a sample is skipped once, outside the inner loop, and sums
are scaled by D/observed; whole samples are not scaled, so they get the same bits as ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled

Float64 = NDArray[np.float64]

_ROUNDING = 1e-12  # share of the whole weight within which its half counts as reached exactly
_SMALL = 0.01  # squared relative difference below which a series is more exact than logarithms
_HALF_LN_2 = 0.5 * float(np.log(2.0))
_MULTIPLIED = 8  # whole powers up to this one are multiplied out: more products cost as much


@compiled
def first_smallest_rows(values: Float64, bmu: NDArray[Any], distance: Float64) -> None:
    """Fill bmu (m,) and distance (m,) with the lowest index of each row's smallest value."""
    for i in range(values.shape[0]):
        best = 0
        for j in range(1, values.shape[1]):
            if values[i, j] < values[i, best]:
                best = j
        bmu[i] = best
        distance[i] = values[i, best]


@compiled
def scale_up(out: Float64, observed: int, features: int) -> None:
    """Multiply out (K,) by features/observed; nan where nothing is observed."""
    if observed < features:
        for j in range(out.size):
            out[j] *= features / observed if observed > 0 else np.nan


def _pairwise(kind: int) -> Any:
    # The loop of one kind: a number that is known when it is compiled, so that no other is left.

    @compiled
    def pairwise(X: Float64, prototypes: Float64, out: Float64) -> None:
        features = prototypes.shape[0]
        for i in range(X.shape[0]):
            row, observed = out[i], 0
            row[:] = 0.0
            for k in range(features):
                x = X[i, k]
                if np.isnan(x):
                    continue
                observed += 1
                for j in range(row.size):
                    w = prototypes[k, j]
                    if kind == _MANHATTAN:
                        row[j] += abs(x - w)
                    elif kind == _EUCLIDEAN:
                        difference = x - w
                        row[j] += difference * difference
                    elif kind == _CHEBYSHEV:
                        row[j] = max(row[j], abs(x - w))
                    elif kind == _CANBERRA:
                        size = abs(x) + abs(w)
                        row[j] += abs(x - w) / size if size > 0.0 else 0.0
                    else:
                        row[j] += 1.0 if x != w else 0.0
            if kind == _CHEBYSHEV:
                if observed == 0:
                    row[:] = np.nan
            elif kind == _HAMMING:
                for j in range(row.size):
                    row[j] /= observed
            else:
                scale_up(row, observed, features)
            if kind == _EUCLIDEAN:
                for j in range(row.size):
                    row[j] = np.sqrt(row[j])

    return pairwise


_MANHATTAN, _EUCLIDEAN, _CHEBYSHEV, _CANBERRA, _HAMMING = range(5)
pairwise_manhattan = _pairwise(_MANHATTAN)  # sum of |x - w|
pairwise_euclidean = _pairwise(_EUCLIDEAN)  # square root of the sum of (x - w)**2
pairwise_chebyshev = _pairwise(_CHEBYSHEV)  # largest |x - w|
pairwise_canberra = _pairwise(_CANBERRA)  # sum of |x - w|/(|x| + |w|), where 0/0 counts as 0
pairwise_hamming = _pairwise(_HAMMING)  # share of the features with x != w


@compiled
def pairwise_cosine(X: Float64, prototypes: Float64, out: Float64) -> None:
    """1 - the product of unit vectors, at least 0."""
    for i in range(X.shape[0]):
        row = out[i]
        row[:] = 0.0
        for k in range(prototypes.shape[0]):
            x = X[i, k]
            for j in range(row.size):
                row[j] += x * prototypes[k, j]
        for j in range(row.size):
            row[j] = max(0.0, 1.0 - row[j])


@compiled
def add_powers(terms: Float64, power: float, scratch: Float64, sums: Float64) -> None:
    """Add terms**power to sums, all (K,); a small whole power is multiplied out, which is fast."""
    if power != np.floor(power) or power > _MULTIPLIED:
        for j in range(terms.size):
            sums[j] += terms[j] ** power
        return
    scratch[:] = terms
    for _ in range(int(power) - 1):
        for j in range(terms.size):
            scratch[j] *= terms[j]
    for j in range(terms.size):
        sums[j] += scratch[j]


@compiled
def pairwise_minkowski(X: Float64, prototypes: Float64, power: float, out: Float64) -> None:
    """(sum of |x - w|**power)**(1/power), in units of the largest term: no power overflows."""
    features, n_neurons = prototypes.shape
    sums, terms, scratch = np.empty(n_neurons), np.empty(n_neurons), np.empty(n_neurons)
    pairwise_chebyshev(X, prototypes, out)
    for i in range(X.shape[0]):
        row, observed = out[i], 0
        sums[:] = 0.0
        for k in range(features):
            x = X[i, k]
            if np.isnan(x):
                continue
            observed += 1
            for j in range(n_neurons):
                terms[j] = abs(x - prototypes[k, j]) / row[j] if row[j] > 0.0 else 0.0
            add_powers(terms, power, scratch, sums)
        scale_up(sums, observed, features)
        for j in range(n_neurons):
            row[j] *= sums[j] ** (1.0 / power)


@compiled
def pairwise_jensen_shannon(X: Float64, prototypes: Float64, out: Float64) -> None:
    """Root of the Jensen-Shannon divergence (nats) of distributions; negative shares count as 0.

    With s = p + q one feature adds (p*ln(p) + q*ln(q) - s*ln(s/2))/2. Where p and q are nearly
    equal that is the difference of nearly equal numbers, so a series in t = (p - q)/s replaces it.
    """
    features, n_neurons = prototypes.shape
    shares, entropies = np.empty(prototypes.shape), np.empty(prototypes.shape)
    for k in range(features):
        for j in range(n_neurons):
            shares[k, j] = max(prototypes[k, j], 0.0)
            entropies[k, j] = x_log_x(shares[k, j])
    means, logs = np.empty(n_neurons), np.empty(n_neurons)
    for i in range(X.shape[0]):
        row = out[i]
        row[:] = 0.0
        for k in range(features):
            p = max(X[i, k], 0.0)
            if p == 0.0:
                for j in range(n_neurons):
                    row[j] += shares[k, j] * _HALF_LN_2
                continue
            entropy = x_log_x(p)
            for j in range(n_neurons):
                means[j] = 0.5 * (p + shares[k, j])
            for j in range(n_neurons):  # apart, so that all else is vectorised
                logs[j] = np.log(means[j])
            for j in range(n_neurons):
                q, m = shares[k, j], means[j]
                t = 0.5 * (p - q) / m
                square = t * t
                near = 0.5 * m * square * even_series(square)
                far = 0.5 * (entropy + entropies[k, j]) - m * logs[j]
                distant = p * _HALF_LN_2 if q == 0.0 else far
                row[j] += near if square < _SMALL else distant
        for j in range(n_neurons):
            row[j] = np.sqrt(row[j])


@compiled
def x_log_x(x: float) -> float:
    """Return x*ln(x), 0 at 0."""
    return x * np.log(x) if x > 0.0 else 0.0


@compiled
def even_series(square: float) -> float:
    """((1 + t)*ln(1 + t) + (1 - t)*ln(1 - t))/t**2: the sum over n of t**(2n-2) / (n*(2n - 1))."""
    a = ((square * (1 / 120) + 1 / 91) * square + 1 / 66) * square + 1 / 45
    return (((a * square + 1 / 28) * square + 1 / 15) * square + 1 / 6) * square + 1.0


@compiled
def map_rows(X: Any, mean: Float64, matrix: Float64, start: int, stop: int, out: Any) -> None:
    """out[i] = (X[i] - mean) @ matrix for rows start..stop, added in the order of the features."""
    row = np.empty(matrix.shape[1])
    for i in range(start, stop):
        row[:] = 0.0
        for k in range(matrix.shape[0]):
            difference = X[i, k] - mean[k]
            for j in range(row.size):
                row[j] += difference * matrix[k, j]
        for j in range(row.size):
            out[i, j] = row[j]


@compiled
def is_sorted(X: Any, feature: int, order: NDArray[Any]) -> bool:
    """Say whether ``order`` (n,) sorts the feature, nan last."""
    for i in range(1, order.size):
        before, value = X[order[i - 1], feature], X[order[i], feature]
        if value < before or (np.isnan(before) and not np.isnan(value)):
            return False
    return True


@compiled
def block_weights(
    X: Any,
    feature: int,
    order: NDArray[Any],
    units: NDArray[np.int64],
    weights: Float64,
    influence: Float64,
    size: int,
    blocks: Float64,
) -> int:
    """Fill blocks (B, K): what each ``size`` samples in ``order`` weigh in each neuron.

    Returns how many samples are observed.
    """
    sums = np.zeros(influence.shape[0])  # of weights, by groups
    observed = 0
    blocks[:] = 0.0
    for b in range(blocks.shape[0]):
        sums[:] = 0.0
        for i in range(b * size, min((b + 1) * size, order.size)):
            sample = order[i]
            if np.isnan(X[sample, feature]):
                break
            sums[units[sample]] += weights[sample] if weights.size > 0 else 1.0
            observed += 1
        for g in range(sums.size):
            if sums[g] > 0.0:
                for j in range(blocks.shape[1]):
                    blocks[b, j] += sums[g] * influence[g, j]
    return observed


@compiled
def weighted_medians(
    X: Any,
    feature: int,
    order: NDArray[Any],
    units: NDArray[np.int64],
    weights: Float64,
    influence: Float64,
    size: int,
    out: Float64,
) -> None:
    """Fill column ``feature`` of out (K, D) with the weighted medians of that feature of X (n, D).

    A sample weighs weights[i]*influence[units[i], j] in neuron j; empty ``weights`` are ones. The
    middle between two values where one half of the weight lies on either side; what nothing
    reaches is left as it is. Whole blocks are passed over before samples are looked at singly.
    """
    n_neurons = influence.shape[1]
    blocks = np.empty(((order.size + size - 1) // size, n_neurons))
    observed = block_weights(X, feature, order, units, weights, influence, size, blocks)
    for j in range(n_neurons):
        total = 0.0
        for b in range(blocks.shape[0]):
            total += blocks[b, j]
        if not total > 0.0:
            continue
        least, most = (0.5 - _ROUNDING) * total, (0.5 + _ROUNDING) * total
        below, b = 0.0, 0
        while b < blocks.shape[0] - 1 and below + blocks[b, j] < least:
            below += blocks[b, j]
            b += 1
        median = np.nan
        for i in range(b * size, observed):
            sample = order[i]
            weight = influence[units[sample], j]
            if weights.size > 0:
                weight *= weights[sample]
            if weight > 0.0:
                value = X[sample, feature]
                if below >= least:  # exactly one half came before
                    median += 0.5 * (value - median)
                    break
                below += weight
                median = value
                if below > most:
                    break
        out[j, feature] = median
