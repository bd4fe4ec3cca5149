"""Compiled loops that find the samples nearest to a few, and how near some are in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled, inner_loop
from dbgsom_plugins.measures._pair_loops import keep

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@inner_loop
def square(one: NDArray[Any], other: Float64) -> float:
    """Return the squared distance of two samples (D,), differences being in float64."""
    total, more = 0.0, 0.0
    k, d = 0, one.size
    while k + 3 < d:
        a, b = one[k] - other[k], one[k + 1] - other[k + 1]
        c, e = one[k + 2] - other[k + 2], one[k + 3] - other[k + 3]
        total += a * a + b * b
        more += c * c + e * e
        k += 4
    while k < d:
        a = one[k] - other[k]
        total += a * a
        k += 1
    return total + more


@compiled
def squares_between(samples: Float64, others: Float64, out: Float64) -> None:
    """Fill out (m, w) with squared distances of samples (m, D) to w others each, (m*w, D)."""
    width = out.shape[1]
    for i in range(out.shape[0]):
        for j in range(width):
            out[i, j] = square(others[i * width + j], samples[i])


@compiled
def centred(
    samples: NDArray[Any], centre: Float64, scale: float, share: float, out: Float32, norms: Float32
) -> None:
    """Fill out (b, D) with (samples - centre)*scale, and norms (b,) with ``share`` of ‖.‖²."""
    for i in range(samples.shape[0]):
        total = 0.0
        for k in range(samples.shape[1]):
            value = (samples[i, k] - centre[k]) * scale
            out[i, k] = value
            total += value * value
        norms[i] = share * total


@compiled
def see_nearest(
    products: Float32,
    norms: Float32,
    samples: NDArray[Any],
    start: int,
    units: Int64,
    own: Int64,
    looking: Float64,
    worth: Float64,
    kind: Int64,
    scale: float,
    looking_norms: Float64,
    limits: Float32,
    near: Float64,
    near_worth: Float64,
    tied: Float64,
) -> int:
    """Keep the nearest samples of a block, b of them from ``start`` on, of m that look at it.

    Return how many pairs were compared.

    Parameters
    ----------
    products : float32 array (b, m)
        -2 x·q of the samples and those that look, both as `centred` makes them.
    norms : float32 array (b,)
        The least that ‖x‖² may be, as `_nearest.Scan` derives it.
    samples, units : float array (b, D), int64 array (b,)
    own, looking : int64 array (m,), float64 array (m, D)
        Which samples look.
    worth, kind : float64 array (u, K, 2), int64 array (m,)
        What a sample is worth that lies nearest, by its neuron, and which row of that counts.
    scale : float
        What squared distances are multiplied by to be comparable with products and norms.
    looking_norms : float64 array (m,)
        The least that ‖q‖² may be.
    limits : float32 array (m,)
        A pair is looked at unless its product is above the limit less the norm.
    near, near_worth, tied
        As of `_pair_loops.count`.
    """
    k, compared = near.shape[1], 0
    for j in range(products.shape[0]):
        row, norm = products[j], norms[j]
        close = np.int32(0)
        for i in range(row.size):  # nan is close: it is none where nothing overflows
            close = np.int32(close + np.int32(not row[i] > limits[i] - norm))
        if close == 0:
            continue
        for i in range(row.size):
            if row[i] > limits[i] - norm or start + j == own[i]:
                continue
            d = square(samples[j], looking[i])
            compared += 1
            if d <= near[i, k - 1]:
                of = worth[kind[i], units[j]]
                keep(i, d, of[0], of[1], near, near_worth, tied)
                limit = near[i, k - 1] * scale - looking_norms[i]
                limits[i] = min(limits[i], np.float32(limit))
    return compared


@compiled
def ring_worth(order: Int64, squares: Int64, hits: Int64, own: Int64, k: int, out: Float64) -> None:
    """Fill out (u, K, 2) with what samples of one neuron make of others, by their neuron.

    The mean of max(0, rank - k) on the map, and the probability to be among the k nearest there:
    samples in one ring, equally far on the map, are ranked at random.

    Parameters
    ----------
    order, squares : int64 arrays (u, K)
        All neurons, the nearest first, and whole numbers that grow with how far they are.
    hits : int64 array (K,)
    own : int64 array (u,)
        The neurons that look, each with a sample at least.
    """
    n_neurons = hits.size
    for i in range(order.shape[0]):
        before, j = 0, 0
        while j < n_neurons:
            stop, size = j, 0
            while stop < n_neurons and squares[i, order[i, stop]] == squares[i, order[i, j]]:
                neuron = order[i, stop]
                size += hits[neuron] - int(neuron == own[i])  # nobody is its own neighbour
                stop += 1
            after = before + size
            nearest = min(max((k - before) / max(size, 1), 0.0), 1.0)
            low, high = float(max(before - k, 0) + 1), float(after - k)
            beyond = 0.0
            if high >= low and size > 0:
                beyond = (low + high) * (high - low + 1.0) / (2.0 * size)
            for at in range(j, stop):
                out[i, order[i, at], 0], out[i, order[i, at], 1] = beyond, nearest
            before, j = after, stop


@compiled
def draw_members(
    worth: Float64,
    kind: Int64,
    by_unit: Int64,
    ends: Int64,
    hits: Int64,
    place: Int64,
    lots: Float64,
    members: Int64,
    weights: Float64,
) -> None:
    """Fill members and weights (m, w) with samples that may be nearest on the map.

    All that surely are, and of a ring that has more samples than places as many as there are
    ``lots`` (m, s), each with the weight of those that it stands for; the rest are the sample
    itself, without weight.

    Parameters
    ----------
    worth, kind
        As of `see_nearest`; the second number is the probability.
    by_unit, ends, hits : int64 arrays (n,), (K,), (K,)
        The samples in the order of their neurons, where those of each end, and how many.
    place : int64 array (m,)
        Where among ``by_unit`` the sample that looks is.
    """
    n_neurons, most = hits.size, lots.shape[1]
    for i in range(kind.size):
        chances, own = worth[kind[i], :, 1], place[i]
        members[i, :], weights[i, :] = by_unit[own], 0.0
        found, ring, chance = 0, 0, 0.0
        for neuron in range(n_neurons):
            if chances[neuron] <= 0.0 or hits[neuron] == 0:
                continue
            first = ends[neuron] - hits[neuron]
            holds_own = first <= own < ends[neuron]
            if chances[neuron] < 1.0:
                ring += hits[neuron] - int(holds_own)
                chance = chances[neuron]
                continue
            for at in range(first, ends[neuron]):
                if at != own:
                    members[i, found], weights[i, found] = by_unit[at], 1.0
                    found += 1
        drawn = min(most, ring)
        weight = chance * ring / max(drawn, 1)
        neuron, passed = 0, 0  # samples of the ring in neurons before this one
        for lot in range(drawn):
            wanted = (
                lot if drawn == ring else min(int((lot + lots[i, lot]) / most * ring), ring - 1)
            )
            while True:
                first, here = ends[neuron] - hits[neuron], 0
                holds_own = first <= own < ends[neuron]
                if 0.0 < chances[neuron] < 1.0:
                    here = hits[neuron] - int(holds_own)
                if wanted < passed + here:
                    break
                passed += here
                neuron += 1
            at = first + wanted - passed
            if holds_own and at >= own:
                at += 1
            members[i, found], weights[i, found] = by_unit[at], weight
            found += 1


@compiled
def mean_excess(
    distances: Float32,
    members: Float32,
    weights: Float64,
    where: Int64,
    own: Int64,
    n: int,
    k: int,
    out: Float64,
) -> None:
    """Fill out (m,) with Σ weight·max(0, rank - k), ranks being those among a part of n samples.

    Parameters
    ----------
    distances : float32 array (m, r)
        To that part.
    members, weights : float32 and float64 arrays (m, w)
        Distances to the samples that are ranked, and what they count; 0: not at all.
    where, own : int64 arrays (m, w), (m,)
        Which of the r each of them is, and the sample that looks: -1 for none.
    """
    for i in range(out.size):
        row, looks, total = distances[i], int(own[i] >= 0), 0.0
        for j in range(weights.shape[1]):
            if weights[i, j] == 0.0:
                continue
            d, below, upto = members[i, j], np.int32(0), np.int32(0)
            for other in range(row.size):
                below = np.int32(below + np.int32(row[other] < d))
                upto = np.int32(upto + np.int32(row[other] <= d))
            # Neither the one that looks nor the one that is ranked counts.
            nearer, seen = 0.5 * (below + upto), row.size - looks - int(where[i, j] >= 0)
            for one in (own[i], where[i, j]):
                if one >= 0:
                    nearer -= 0.5 * (int(row[one] < d) + int(row[one] <= d))
            rank = 1.0 + nearer * (n - 2) / max(seen, 1)
            total += weights[i, j] * max(0.0, rank - k)
        out[i] = total
