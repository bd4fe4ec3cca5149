"""The batch update: what the neurons won, smoothed over the map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Centre, Neighbourhood, Totals
from dbgsom_core.engine.loops import divide_reached, fill_influence, smooth_rows, squared_steps
from dbgsom_core.engine.workers import share

_ROWS = 64  # neurons that one task updates
_SMALL_WORK = 1 << 20  # multiplications below which threads cost more than they save
_NEGLIGIBLE = 2.0**-70


def smoothed(
    hops: NDArray[np.uint16],
    weights: NDArray[np.float64],
    reach: tuple[int, float],
    hits: NDArray[Any],
    sums: NDArray[np.float64],
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Σ_i weights[hops[j, i]]*sums[i] and the same of the hits, for every neuron j.

    ``hops`` may be any other table of what stands farther and farther. Hops at which the kernel
    weighs less than 2**-70 of its largest weight are left out where what they could add is lost in
    rounding.

    Parameters
    ----------
    hops : uint16 array (K, K)
    weights : float64 array (H,)
        The kernel at each number of hops.
    reach : (int, float)
        What `reach_of` says.
    hits, sums : array (K,), float64 array (K, D)
        Of what the neurons won.
    threads : int

    Returns
    -------
    (sums (K, D), hits (K,)), float64
    """
    n_neurons, d = sums.shape
    farthest, least = reach
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
            smooth_rows(hops, weights, farthest, least, hits, sums, start, stop, out_sums, out_hits)

    if n_neurons * n_neurons * d < _SMALL_WORK:
        smooth(0, n_neurons)
    else:
        tasks = -(-n_neurons // _ROWS)
        share(
            threads, tasks, lambda _, task: smooth(task * _ROWS, min((task + 1) * _ROWS, n_neurons))
        )
    return out_sums, out_hits


def reach_of(weights: NDArray[np.float64], hits: float) -> tuple[int, float]:
    """Return up to how many hops a kernel counts, and how many hits a neuron needs there.

    With fewer of all ``hits``, weighted, what is left out could matter. A kernel that is 0
    everywhere counts at all hops.
    """
    by_hops = np.abs(weights).tolist()
    least = _NEGLIGIBLE * max(by_hops)
    reach = len(by_hops) - 1
    while by_hops[reach] <= least and reach > 0:
        reach -= 1
    if by_hops[reach] <= least:
        reach = len(by_hops) - 1
    rest = 0.0 if reach + 1 == len(by_hops) else max(by_hops[reach + 1 :]) * hits
    return reach, rest * 2.0**60


def updated_from(
    won: Totals,
    before: NDArray[np.float64],
    around: Neighbourhood,
    pulled: Totals | None,
    centre: Centre | None,
    threads: int,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) that follow from what neurons ``won``, see `Found.updated`.

    With negative weights a weighted mean may lie anywhere. A prototype then goes the step
    Σ h (x - m) / Σ |h|, which is the whole way to the mean where no weight is negative and never
    longer than the farthest sample is away; it stays where inhibition prevails.
    """
    hops, weights, pull = around.which, around.weights, around.pull
    reach = reach_of(weights, float(won.hits.sum()))
    sums, reached = smoothed(hops, weights, reach, won.hits, won.sums, threads)
    seen = won.seen
    if seen is not None:
        seen = smoothed(hops, weights, reach, won.hits, seen, threads)[0]
    if pulled is not None:
        reached = reached + pull * pulled.hits
        sums = sums + pull * pulled.sums
        seen = None if seen is None or pulled.seen is None else seen + pull * pulled.seen
    # A feature that nothing observed reaches keeps its value, as a neuron without samples does.
    if around.inhibits:
        amount = smoothed(hops, np.abs(weights), reach, won.hits, won.sums[:, :1], threads)[1]
        held = reached[:, None] if seen is None else seen
        total = amount[:, None] + (0.0 if pulled is None else pull * pulled.hits[:, None])
        steps = np.divide(
            sums - held * before, total, out=np.zeros(before.shape), where=(held > 0) & (total > 0)
        )
        after = before + steps
    elif seen is None:
        after = means(before, sums, reached)
    else:
        observed = (seen > 0) & (reached[:, None] > 0)
        after = np.divide(sums, seen, out=before.copy(), where=observed)
    if centre is not None:
        alive = reached > 0
        after[alive] = centre(after[alive])
    return after


def means(
    before: NDArray[np.float64], sums: NDArray[np.float64], reached: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``sums`` (K, D) over ``reached`` (K,), and ``before`` (K, D) where that is 0."""
    after = np.empty(before.shape)
    divide_reached(before, sums, reached, after)
    return after


def step_length(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Return the root mean square length of the steps from one (K, D) to the other."""
    steps = squared_steps(before, after, np.zeros(after.shape[1]))
    return math.sqrt(steps / len(after))
