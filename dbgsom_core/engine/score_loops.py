"""Compiled loops of how unusual samples are: what numpy would make of a row alone costs more."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop

_TOGETHER = 16


class Groups(NamedTuple):
    """What groups (M,) hold: samples, how far apart these are, and what comes of their number.

    Of what is left of the weight of all samples, exp(-r/mass) behind the r-th nearest, ``parts``
    fall to a group and ``fades`` are left behind it.
    """

    weights: NDArray[np.float64]
    spreads: NDArray[np.float64]
    parts: NDArray[np.float64]
    fades: NDArray[np.float64]

    @classmethod
    def of(cls, weights: NDArray[np.float64], spreads: NDArray[np.float64], mass: float) -> Groups:
        """Return groups of so many samples, (M,), which lie at distance² + ``spreads`` (M,)."""
        weights, spreads = (np.array(one, np.float64) for one in (weights, spreads))
        return cls(weights, spreads, -np.expm1(-weights / mass), np.exp(-weights / mass))


@loop
def soft_means(
    rows: NDArray[np.int64],
    distances: NDArray[np.float64],
    k: int,
    groups: Groups,
    far: float,
    means: NDArray[np.float64],
    held: NDArray[np.float64],
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
