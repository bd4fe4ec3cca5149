"""Sums of squared distances, of the samples of each neuron to every prototype."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.loops import add_weighted, distances_to
from dbgsom_core.engine.rows import for_loops
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.tables import pieces


def offsets(
    data: PlainSamples, prototypes: NDArray[np.float64], bmu: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance (n,) of each sample x to its unit b, and Σ(x - w_b) of each unit (K, D).

    The samples are of Euclidean geometry, and read once.
    """
    distance, out = np.empty(data.n), np.zeros(prototypes.shape)
    for rows in pieces(0, data.n):
        X, units = for_loops(data.X[rows]), bmu[rows]
        distances_to(X, prototypes, units, distance[rows])
        add_weighted(X - prototypes[units], np.ones(len(X)), units, out)
    return distance, out


def won_squares(
    prototypes: NDArray[np.float64],
    hits: NDArray[np.int64],
    squares: NDArray[np.float64],
    offsets: NDArray[np.float64],
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
    """
    out = np.empty((len(prototypes), len(prototypes)))
    for b, won in enumerate(hits):
        apart = prototypes[b] - prototypes
        out[b] = squares[b] + (apart * (won * apart + 2 * offsets[b])).sum(axis=1)
    return out
