"""Compiled loops that look for the nearest samples among those of neurons, shell by shell."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled, inner_loop
from dbgsom_plugins.measures._nearest_loops import square
from dbgsom_plugins.measures._pair_loops import keep

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

ALL, OWN, OTHERS = 0, 1, 2  # whose samples are looked at
TOGETHER = 64  # samples that are compared together
_ROUNDED = 1 + 2.0**-20  # limits may have been rounded to float32
_SAME = 1 + 2.0**-40  # distances in float64 have a smaller error
_TINY = 2.0**-530  # what squares lose that fall below the least numbers of float64


class Looking(NamedTuple):
    """Those that look, m of them.

    Attributes
    ----------
    own, samples : int64 array (m,), float64 array (m, D)
    rows, least : float32 array (m, D), float64 array (m,)
        -2 q less the centre in its unit, and the least norms, as of `_nearest._View`.
    apart : float64 array (m, K)
        Distances to the prototypes.
    worth, kind : float64 array (u, K, 2), int64 array (m,)
        As of `_nearest.nearest`.
    """

    own: Int64
    samples: Float64
    rows: Float32
    least: Float64
    apart: Float64
    worth: Float64
    kind: Int64


@inner_loop
def _fill(
    samples: NDArray[Any], some: Int64, centre: Float64, scale: float, share: float, rows: Float32,
    tile: Float32, total: Float64, norms: Float32,
) -> None:  # fmt: skip
    # Samples less the centre in the columns of a tile (D, TOGETHER), and ``share`` of their norms;
    # by way of ``rows``, as many of which are read at once as the processor can wait for.
    for place in range(some.size):
        one, row = samples[some[place]], rows[place]
        for c in range(row.size):
            row[c] = (one[c] - centre[c]) * scale
    for c in range(tile.shape[0]):
        column = tile[c]
        for place in range(TOGETHER):
            column[place] = rows[place, c]
    total[:] = 0.0
    for c in range(tile.shape[0]):
        column = tile[c]
        for place in range(TOGETHER):
            total[place] += np.float64(column[place]) * column[place]
    for place in range(TOGETHER):
        norms[place] = share * total[place]


@compiled
def see_shells(
    samples: NDArray[Any],
    order: Int64,
    units: Int64,
    distance: Float64,
    centre: Float64,
    scale: float,
    share: float,
    looking: Looking,
    limits: Float64,
    bounds: Float32,
    whose: int,
    near: Float64,
    near_worth: Float64,
    tied: Float64,
) -> int:
    """Keep the nearest samples of some that lie in the ``order`` of their neurons and distances.

    Return how many pairs were compared in float32.

    Parameters
    ----------
    samples, units, distance : float array (n, D), int64 and float64 arrays (n,)
        All, with their neurons and the distances to these.
    order : int64 array (s,)
        Those that are looked at.
    centre, scale, share : float64 array (D,), float, float
        As ``looking.rows`` are made; what norms are multiplied by.
    limits, bounds : float64 and float32 arrays (m,)
        Distances beyond which no sample is among the nearest; the same as of `_nearest._View`.
    whose : {ALL, OWN, OTHERS}
        Look at all samples, or those of the own neuron, or all but these.
    near, near_worth, tied
        As of `_pair_loops.count`.
    """
    own, asking, small, least, apart, worth, kind = looking
    m, d, k, compared, first = own.size, samples.shape[1], near.shape[1], 0, 0
    rows = np.full((TOGETHER, d), np.inf, np.float32)
    tile, row = np.full((d, TOGETHER), np.inf, np.float32), np.empty(TOGETHER, np.float32)
    total, norms = np.empty(TOGETHER), np.empty(TOGETHER, np.float32)
    bounds, within = bounds.copy(), np.empty(m)
    for i in range(m):
        within[i] = limits[i] * _ROUNDED + _TINY
    while first < order.size:
        unit, stop = units[order[first]], first
        low = high = distance[order[first]]
        while stop < min(order.size, first + TOGETHER) and units[order[stop]] == unit:
            low, high = min(low, distance[order[stop]]), max(high, distance[order[stop]])
            stop += 1
        low, high, filled = low / _SAME, high * _SAME, False
        for i in range(m):
            way = apart[i, unit]
            if way > (high + within[i]) * _SAME or way * _SAME + within[i] < low:
                continue
            if whose != ALL and (units[own[i]] == unit) != (whose == OWN):
                continue
            if not filled:
                _fill(samples, order[first:stop], centre, scale, share, rows, tile, total, norms)
                filled = True
            x = small[i]
            row[:] = norms
            c = 0
            while c + 3 < d:
                one, two, three, four = tile[c], tile[c + 1], tile[c + 2], tile[c + 3]
                for j in range(TOGETHER):
                    left = x[c] * one[j] + x[c + 1] * two[j]
                    row[j] += left + (x[c + 2] * three[j] + x[c + 3] * four[j])
                c += 4
            while c < d:
                one = tile[c]
                for j in range(TOGETHER):
                    row[j] += x[c] * one[j]
                c += 1
            compared += stop - first
            close = np.int32(0)
            for j in range(TOGETHER):  # nan is close: it is none where nothing overflows
                close = np.int32(close + np.int32(not row[j] > bounds[i]))
            if close == 0:
                continue
            for place in range(first, stop):
                j = order[place]
                if row[place - first] > bounds[i] or j == own[i]:
                    continue
                exact = square(samples[j], asking[i])
                if exact <= near[i, k - 1]:
                    of = worth[kind[i], unit]
                    keep(i, exact, of[0], of[1], near, near_worth, tied)
                    within[i] = min(within[i], math.sqrt(near[i, k - 1]) * _ROUNDED + _TINY)
                    limit = near[i, k - 1] * scale * scale - least[i]
                    bounds[i] = min(bounds[i], np.float32(limit))
        first = stop
    return compared


@compiled
def join(
    near: Float64,
    near_worth: Float64,
    tied: Float64,
    all_near: Float64,
    all_worth: Float64,
    all_tied: Float64,
) -> None:
    """Put the nearest of some samples among the nearest of others, see `_pair_loops.count`."""
    k = near.shape[1]
    for i in range(near.shape[0]):
        for place in range(k):
            if near[i, place] <= all_near[i, k - 1]:
                of = near_worth[i, place]
                keep(i, near[i, place], of[0], of[1], all_near, all_worth, all_tied)
        if near[i, k - 1] == all_near[i, k - 1] and near[i, k - 1] < math.inf:
            for c in range(3):
                all_tied[i, c] += tied[i, c]
