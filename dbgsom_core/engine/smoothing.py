"""The batch update of the prototypes (Kohonen 2001, eq. 3.34), from sums by neuron.

    w_j = Σ_i h_ij s_i / Σ_i h_ij n_i

with the sum s_i of the samples of neuron i, their number n_i, and the kernel's weight h_ij between
the neurons. `smooth_totals` computes both sums; what stands before it makes prototypes of them.
Width and pull of an epoch are `training.train`'s, totals come from `results`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.runtime import share

if TYPE_CHECKING:
    from dbgsom_core.engine.packing import Quantisation

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Centre = Callable[[Floats], Floats]

_ROWS = 64  # neurons that one task updates
_SMALL_WORK = 1 << 20  # multiplications below which threads cost more than they save
_NEGLIGIBLE = 2.0**-70  # share of the largest weight below which hops may be skipped
_LOSES_REST = 2.0**60  # a sum so many times larger loses the rest in rounding, at 2⁻⁵³
_WIDE_SHARE = 4  # a quarter of the neurons: from there on a matrix product is faster


@dataclass(frozen=True)
class Neighbourhood:
    """Weights with which samples train the neurons around their units in one update.

    ``weights`` (H,) are the kernel's; some may be negative. ``index`` (K, K) uint16 is that of the
    weight with which a neuron (row) learns from another's samples (column): the hops between them,
    or of another table of distances. A sample trains also the nearest linked neighbour of its unit,
    with weight ``link_pull``; neighbours with the sample's class in the ``majority`` (K, C) come
    first. ``links`` (K, degree) int32 are the linked neighbours of each neuron, -1 for none; a
    neuron without links is its own neighbour.
    """

    weights: Floats
    index: NDArray[np.uint16]
    links: NDArray[np.int32]
    link_pull: float = 0.0
    majority: Flags | None = None

    @property
    def inhibits(self) -> bool:
        """Whether some weights are negative."""
        lowest: float = min(self.weights.tolist())  # few: faster than numpy
        return lowest < 0


@dataclass(frozen=True)
class Totals:
    """Sums over the samples of each neuron, weighted where samples have weights.

    ``hits`` (K,) are int64, or float64 with weights; ``sums`` (K, D) of observed values; ``errors``
    (K,) of distances. Where values are missing ``seen`` (K, D) are the hits by observed feature.
    """

    hits: NDArray[Any]
    sums: Floats
    errors: Floats
    seen: Floats | None = None


def prototypes_from_totals(
    totals: Totals,
    before: Floats,
    kernel: Neighbourhood,
    runners_up: Totals | None,
    centre: Centre | None,
    threads: int,
) -> Floats:
    """Return the prototypes (K, D) of the batch update from totals in the data's units.

    With negative weights a weighted mean may lie anywhere: a prototype then moves by the step
    Σ h (x - m) / Σ |h|, which is the mean where no weight is negative and never longer than the
    distance of the farthest sample; it stays where inhibition prevails.
    """
    index = kernel.index
    weights = kernel.weights
    pull = kernel.link_pull
    reach = kernel_reach(weights, float(totals.hits.sum()))
    sums, reached = smooth_totals(index, weights, reach, totals.hits, totals.sums, threads)
    seen = totals.seen
    if seen is not None:
        seen = smooth_totals(index, weights, reach, totals.hits, seen, threads)[0]
    if runners_up is not None:
        reached = reached + pull * runners_up.hits
        sums = sums + pull * runners_up.sums
        if seen is not None and runners_up.seen is not None:
            seen = seen + pull * runners_up.seen
    # A feature without observed values, as a neuron without samples, keeps its value.
    if kernel.inhibits:
        a_column = totals.sums[:, :1]  # only hits are needed
        _, amount = smooth_totals(index, np.abs(weights), reach, totals.hits, a_column, threads)
        total = amount[:, None]
        if runners_up is not None:
            total = total + pull * runners_up.hits[:, None]
        counted = reached[:, None] if seen is None else seen
        moves = (counted > 0) & (total > 0)
        steps = np.zeros(before.shape)
        np.divide(sums - counted * before, total, out=steps, where=moves)
        after = before + steps
    elif seen is None:
        alive = reached[:, None] > 0
        after = np.divide(sums, reached[:, None], out=before.copy(), where=alive)
    else:
        observed = (seen > 0) & (reached[:, None] > 0)
        after = np.divide(sums, seen, out=before.copy(), where=observed)
    if centre is not None:
        alive = reached > 0
        after[alive] = centre(after[alive])
    return after


def prototypes_from_packed_sums(
    packed_sums: Floats,
    hits: Integers,
    before: Floats,
    kernel: Neighbourhood,
    linked: tuple[Floats, Integers] | None,
    how: Quantisation,
    threads: int,
) -> Floats:
    """Return the prototypes (K, D) of the batch update from exact sums of packed samples.

    Sums (K, depth) and hits (K,) are by unit, ``linked`` those by nearest linked neighbour. They
    are divided before they are unpacked.
    """
    reach = kernel_reach(kernel.weights, float(hits.sum()))
    sums, reached = smooth_totals(kernel.index, kernel.weights, reach, hits, packed_sums, threads)
    if linked is not None:
        linked_sums, linked_hits = linked
        sums = sums + kernel.link_pull * linked_sums
        reached = reached + kernel.link_pull * linked_hits
    dead = np.flatnonzero(reached <= 0)
    reached[dead] = 1.0
    after: Floats = sums[:, : before.shape[1]] * (1.0 / (reached * how.scale))[:, None]
    after += how.centre
    after[dead] = before[dead]
    return after


def smooth_totals(
    index: NDArray[np.uint16],
    weights: Floats,
    reach: tuple[int, float],
    hits: NDArray[Any],
    sums: Floats,
    threads: int,
) -> tuple[Floats, Floats]:
    """Return Σ_i h_ij sums[i] and Σ_i h_ij hits[i] of all neurons j, h_ij = weights[index[j, i]].

    ``hits`` (K,) and ``sums`` (K, D) are totals by neuron; ``index`` (K, K) are hops, or any index
    of weights by distance; ``reach`` is from `kernel_reach`. Hops with less than 2**-70 of the
    largest weight are skipped where their sum is lost in rounding.
    """
    from dbgsom_core.engine.loops import fill_influence, smooth_rows  # numba is slow to import

    n_neurons, d = sums.shape
    farthest, min_hits = reach
    in_reach = 2 * farthest * (farthest + 1)  # neurons within so many hops on squares
    is_wide = in_reach > n_neurons / _WIDE_SHARE
    float_hits = hits.astype(np.float64)
    out_sums = np.empty((n_neurons, d))
    out_hits = np.empty(n_neurons)

    def smooth(start: int, stop: int) -> None:
        if is_wide:
            influence = np.empty((stop - start, n_neurons))
            fill_influence(index, weights, start, influence)
            np.matmul(influence, sums, out=out_sums[start:stop])
            np.matmul(influence, float_hits, out=out_hits[start:stop])
        else:
            smooth_rows(
                index, weights, farthest, min_hits, hits, sums, start, stop, out_sums, out_hits
            )

    if n_neurons * n_neurons * d < _SMALL_WORK:
        smooth(0, n_neurons)
    else:

        def work(worker: int, task: int) -> None:
            smooth(task * _ROWS, min((task + 1) * _ROWS, n_neurons))

        share(threads, -(-n_neurons // _ROWS), work)
    return out_sums, out_hits


def kernel_reach(weights: Floats, hits: float) -> tuple[int, float]:
    """Return the hops up to which a kernel counts, and the weighted hits that this requires.

    With fewer hits within reach, of all ``hits``, the rest could matter. A kernel of zeros counts
    at all hops.
    """
    by_hops = np.abs(weights).tolist()
    negligible = _NEGLIGIBLE * max(by_hops)
    reach = last = len(by_hops) - 1
    while by_hops[reach] <= negligible and reach > 0:
        reach -= 1
    if by_hops[reach] <= negligible:
        reach = last
    rest = 0.0  # what all samples add at most if they lie beyond
    if reach < last:
        rest = max(by_hops[reach + 1 :]) * hits
    return reach, rest * _LOSES_REST


def step_length(before: Floats, after: Floats) -> float:
    """Return the root mean square length of the steps from one (K, D) to the other."""
    by_feature = np.square(after - before).sum(axis=0)
    return math.sqrt(np.add.accumulate(by_feature)[-1] / len(after))
