"""The batch update: what the neurons won, smoothed over the map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.found import Totals
from dbgsom_core.engine.workers import share

_ROWS = 64  # neurons that one task updates
_SMALL_WORK = 1 << 20  # multiplications below which threads cost more than they save
_NEGLIGIBLE = 2.0**-70


def smoothed(
    hops: NDArray[np.uint16], weights: NDArray[np.float64], won: Totals, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Σ_i weights[hops[j, i]]*sums[i] and the same of the hits, for every neuron j.

    Hops at which the kernel weighs less than 2**-70 of its largest weight are left out where what
    they could add is lost in rounding.

    Parameters
    ----------
    hops : uint16 array (K, K)
    weights : float64 array (H,)
        The kernel at each number of hops.
    won : Totals
    threads : int

    Returns
    -------
    (sums (K, D), hits (K,)), float64
    """
    from dbgsom_core.engine.loops import fill_influence, smooth_rows

    n_neurons, d = won.sums.shape
    hits_won = won.hits.astype(np.float64)
    reach, least = reach_of(weights, float(hits_won.sum()))
    wide = 2 * reach * (reach + 1) > n_neurons / 4  # most neurons reach most others
    sums, hits = np.empty((n_neurons, d)), np.empty(n_neurons)
    small = n_neurons * n_neurons * d < _SMALL_WORK
    rows = n_neurons if small else _ROWS

    def work(worker: int, task: int) -> None:
        start, stop = task * rows, min((task + 1) * rows, n_neurons)
        if wide:
            influence = np.empty((stop - start, n_neurons))
            fill_influence(hops, weights, start, influence)
            np.matmul(influence, won.sums, out=sums[start:stop])
            np.matmul(influence, hits_won, out=hits[start:stop])
        else:
            smooth_rows(hops, weights, reach, least, won.hits, won.sums, start, stop, sums, hits)

    share(1 if small else threads, -(-n_neurons // rows), work)
    return sums, hits


def reach_of(weights: NDArray[np.float64], hits: float) -> tuple[int, float]:
    """Return up to how many hops a kernel counts, and how many hits a neuron needs there.

    With fewer of all ``hits``, weighted, what is left out could matter. A kernel that is 0
    everywhere counts at all hops.
    """
    by_hops = weights.tolist()
    least = _NEGLIGIBLE * max(by_hops)
    counts = (hops for hops in range(len(by_hops) - 1, -1, -1) if by_hops[hops] > least)
    reach = next(counts, len(by_hops) - 1)
    rest = 0.0 if reach + 1 == len(by_hops) else max(by_hops[reach + 1 :]) * hits
    return reach, rest * 2.0**60


def means(
    before: NDArray[np.float64], sums: NDArray[np.float64], reached: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``sums`` (K, D) over ``reached`` (K,), and ``before`` (K, D) where that is 0."""
    from dbgsom_core.engine.loops import divide_reached

    after = np.empty(before.shape)
    divide_reached(before, sums, reached, after)
    return after
