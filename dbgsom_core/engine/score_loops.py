"""Compiled loops of how unusual samples are: what numpy would make of a row alone costs more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop

_TOGETHER = 16


@loop
def add_up(weights: NDArray[np.float64], up_to: NDArray[np.float64]) -> None:
    """Fill up_to (m, k + 1) with the sums of the first 0, 1, …, k of each row of weights (m, k)."""
    for i in range(weights.shape[0]):
        up_to[i, 0] = 0.0
        for j in range(weights.shape[1]):
            up_to[i, j + 1] = up_to[i, j] + weights[i, j]


@loop
def soft_means(
    distances: NDArray[np.float64],
    spreads: NDArray[np.float64],
    weights: NDArray[np.float64],
    fading: NDArray[np.float64],
    far: float,
    out: NDArray[np.float64],
) -> None:
    """Fill out (m,) with the mean of distances² + spreads (m, k), nearest first.

    Each counts as much as ``fading`` (m, k + 1) falls along it, and none behind ``far`` of the
    weights (m, k). Where nothing counts it is that of the first one.
    """
    for i in range(distances.shape[0]):
        before = total = added = 0.0
        for j in range(distances.shape[1]):
            if before >= far:
                break
            counted = fading[i, j] - fading[i, j + 1]
            added += (distances[i, j] * distances[i, j] + spreads[i, j]) * counted
            total += counted
            before += weights[i, j]
        first = distances[i, 0] * distances[i, 0] + spreads[i, 0]
        out[i] = added / total if total > 0.0 else first


@loop
def ranks_among(
    known: NDArray[np.float64], values: NDArray[np.float64], out: NDArray[np.int64]
) -> None:
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
