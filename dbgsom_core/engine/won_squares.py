"""Sums of squared distances, of the samples of each neuron to every prototype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop
from dbgsom_core.engine.loops import distances_to
from dbgsom_core.engine.rows import for_loops
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.tables import pieces
from dbgsom_core.engine.workers import share

_TASKS = 16  # sums of so many parts of the data are joined in their order, whatever the threads,
_PART_NUMBERS = 1 << 22  # and of fewer where all parts together would hold more numbers
_SMALL_WORK = 1 << 18  # numbers below which a second thread costs more than it saves


def offsets(
    data: PlainSamples, prototypes: NDArray[np.float64], bmu: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance (n,) of each sample x to its unit b, and Σ(x - w_b) of each unit (K, D).

    Both in one look at the samples, of which there are n of Euclidean geometry: to read them takes
    longer than to add up.
    """
    n, X = data.n, data.X
    tasks = int(np.clip(_PART_NUMBERS // prototypes.size, 1, min(_TASKS, n)))
    parts, distance = np.zeros((tasks, *prototypes.shape)), np.empty(n)

    def add(worker: int, task: int) -> None:
        for rows in pieces(n * task // tasks, n * (task + 1) // tasks):
            _add_offsets(for_loops(X[rows]), bmu[rows], prototypes, distance[rows], parts[task])

    share(1 if n * prototypes.shape[1] < _SMALL_WORK else data.threads, tasks, add)
    return distance, parts.sum(axis=0)


def won_squares(
    prototypes: NDArray[np.float64],
    hits: NDArray[np.int64],
    squares: NDArray[np.float64],
    offsets: NDArray[np.float64],
    threads: int,
) -> NDArray[np.float64]:
    """Return the sums (K, K) of ‖x - w_j‖² over the samples x that neuron b won, for all b and j.

    The samples enter by their sums alone. With e = x - w_b and v = w_b - w_j,

        Σ‖x - w_j‖² = Σ‖e‖² + n_b‖v‖² + 2 v·Σe.

    w_b is the nearest prototype of each x, so ‖e‖ <= ‖x - w_j‖ and ‖v‖ <= 2‖x - w_j‖: no term is
    more than four times the whole, and nothing cancels.

    Parameters
    ----------
    prototypes : float64 array (K, D)
    hits : int64 array (K,)
        How many samples each won.
    squares : float64 array (K,)
        Σ‖e‖² of each.
    offsets : float64 array (K, D)
        Σe of each, see `offsets`.
    threads : int
    """
    n_neurons, d = prototypes.shape
    out = np.empty((n_neurons, n_neurons))
    out[:] = squares[:, None]
    columns = np.ascontiguousarray(prototypes.T)
    shares = min(_TASKS, n_neurons)

    def spread(worker: int, task: int) -> None:
        start, stop = n_neurons * task // shares, n_neurons * (task + 1) // shares
        _add_apart(columns, hits, offsets, start, stop, out)

    share(1 if out.size * d < _SMALL_WORK else threads, shares, spread)
    return out


@loop
def _add_offsets(
    X: NDArray[Any],
    bmu: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    distance: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    # Fill in distances by definition, and add x - w of each sample and its unit to out (K, D), in
    # the order of the rows.
    distances_to(X, prototypes, bmu, distance)
    for i in range(bmu.size):
        b = bmu[i]
        for k in range(X.shape[1]):
            out[b, k] += X[i, k] - prototypes[b, k]


@loop
def _add_apart(
    columns: NDArray[np.float64],
    hits: NDArray[np.int64],
    offsets: NDArray[np.float64],
    start: int,
    stop: int,
    out: NDArray[np.float64],
) -> None:
    # Add hits*‖v‖² + 2 v·offset to rows of out (K, K), v = w_b - w_j; columns (D, K) hold the w.
    for b in range(start, stop):
        if hits[b] == 0:
            continue
        row = out[b]
        for k in range(columns.shape[0]):
            own, twice = columns[k, b], 2.0 * offsets[b, k]
            for j in range(row.size):
                apart = own - columns[k, j]
                row[j] += apart * (hits[b] * apart + twice)
