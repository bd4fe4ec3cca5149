"""Compiled loops over distances between samples, a block of them at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@compiled
def square_distances(samples: Float64, columns: Float64, out: Float64) -> None:
    """Fill out (m, b) with squared Euclidean distances of samples (m, D) to columns (D, b).

    Each is added up in the same order wherever it stands, so that equal samples are equally far.
    """
    d = columns.shape[0]
    for i in range(out.shape[0]):
        row, x = out[i], samples[i]
        row[:] = 0.0
        k = 0
        while k + 3 < d:
            one, two, three, four = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for j in range(row.size):
                a, b = x[k] - one[j], x[k + 1] - two[j]
                c, e = x[k + 2] - three[j], x[k + 3] - four[j]
                row[j] += (a * a + b * b) + (c * c + e * e)
            k += 4
        while k < d:
            one = columns[k]
            for j in range(row.size):
                a = x[k] - one[j]
                row[j] += a * a
            k += 1


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
