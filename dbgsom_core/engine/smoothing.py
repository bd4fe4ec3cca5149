"""Sums over neurons, smoothed over the map by a kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import Floats, Integers, loop
from dbgsom_core.engine.runtime import share

_ROWS = 64  # neurons that one task updates
_SMALL_WORK = 1 << 20  # multiplications below which threads cost more than they save
_NEGLIGIBLE = 2.0**-70


def smooth_totals(
    hops: NDArray[np.uint16],
    weights: Floats,
    reach: tuple[int, float],
    hits: NDArray[Any],
    sums: Floats,
    threads: int,
) -> tuple[Floats, Floats]:
    """Return Σ_i weights[hops[j, i]]*sums[i] and Σ_i weights[hops[j, i]]*hits[i] of all neurons j.

    ``hits`` (K,) and ``sums`` (K, D) are totals by neuron; ``hops`` (K, K) may be any index of
    weights by distance; ``reach`` is from `kernel_reach`. Hops with less than 2**-70 of the largest
    weight are skipped where their sum is lost in rounding.
    """
    n_neurons, d = sums.shape
    farthest, min_hits = reach
    wide = 2 * farthest * (farthest + 1) > n_neurons / 4  # most neurons reach most others
    hits_won = hits.astype(np.float64) if wide else hits
    out_sums, out_hits = np.empty((n_neurons, d)), np.empty(n_neurons)

    def smooth(start: int, stop: int) -> None:
        if wide:
            influence = np.empty((stop - start, n_neurons))
            fill_influence(hops, weights, start, influence)
            np.matmul(influence, sums, out=out_sums[start:stop])
            np.matmul(influence, hits_won, out=out_hits[start:stop])
        else:
            smooth_rows(
                hops, weights, farthest, min_hits, hits, sums, start, stop, out_sums, out_hits
            )

    if n_neurons * n_neurons * d < _SMALL_WORK:
        smooth(0, n_neurons)
    else:
        tasks = -(-n_neurons // _ROWS)
        share(
            threads, tasks, lambda _, task: smooth(task * _ROWS, min((task + 1) * _ROWS, n_neurons))
        )
    return out_sums, out_hits


def kernel_reach(weights: Floats, hits: float) -> tuple[int, float]:
    """Return the hops up to which a kernel counts, and the weighted hits that this requires.

    With fewer hits within reach, of all ``hits``, the rest could matter. A kernel of zeros counts
    at all hops.
    """
    by_hops = np.abs(weights).tolist()
    min_hits = _NEGLIGIBLE * max(by_hops)
    reach = len(by_hops) - 1
    while by_hops[reach] <= min_hits and reach > 0:
        reach -= 1
    if by_hops[reach] <= min_hits:
        reach = len(by_hops) - 1
    rest = 0.0 if reach + 1 == len(by_hops) else max(by_hops[reach + 1 :]) * hits
    return reach, rest * 2.0**60


def means(before: Floats, sums: Floats, reached: Floats) -> Floats:
    """Return ``sums`` (K, D) over ``reached`` (K,), and ``before`` (K, D) where that is 0."""
    return np.divide(sums, reached[:, None], out=before.copy(), where=reached[:, None] > 0)


def step_length(before: Floats, after: Floats) -> float:
    """Return the root mean square length of the steps from one (K, D) to the other."""
    by_feature = np.square(after - before).sum(axis=0)
    return math.sqrt(np.add.accumulate(by_feature)[-1] / len(after))


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
