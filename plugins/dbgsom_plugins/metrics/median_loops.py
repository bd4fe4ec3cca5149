"""Compiled loops of the weighted median."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled

Float64 = NDArray[np.float64]
_ROUNDING = 1e-12  # share of the whole weight within which its half counts as reached exactly


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
    own = np.zeros(influence.shape[0])
    observed = 0
    blocks[:] = 0.0
    for b in range(blocks.shape[0]):
        own[:] = 0.0
        for i in range(b * size, min((b + 1) * size, order.size)):
            if np.isnan(X[order[i], feature]):
                break
            own[units[order[i]]] += weights[order[i]] if weights.size > 0 else 1.0
            observed += 1
        for g in range(own.size):
            if own[g] > 0.0:
                for j in range(blocks.shape[1]):
                    blocks[b, j] += own[g] * influence[g, j]
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
            weight = influence[units[order[i]], j]
            if weights.size > 0:
                weight *= weights[order[i]]
            if weight > 0.0:
                value = X[order[i], feature]
                if below >= least:  # exactly one half came before
                    median += 0.5 * (value - median)
                    break
                below += weight
                median = value
                if below > most:
                    break
        out[j, feature] = median
