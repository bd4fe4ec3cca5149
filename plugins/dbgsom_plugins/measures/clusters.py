"""How well the neurons separate the data when each is seen as a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dbgsom_core.api import MeasureComponent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class DaviesBouldin(MeasureComponent):
    """Davies-Bouldin index (1979) with each neuron as a cluster and its prototype as the centre.

    The scatter of a neuron is the mean distance of its samples to its prototype. Neurons without
    hits are left out, as are pairs of prototypes at distance zero; fewer than two neurons with
    hits give 0.
    """

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation: Evaluation) -> float:
        """Return the index of the evaluation's samples; it has no unit."""
        return davies_bouldin(
            evaluation.errors, evaluation.hits, evaluation.prototype_distances, evaluation.hits
        )


def davies_bouldin(
    errors: NDArray[np.floating],
    hits: NDArray[np.integer],
    separation: NDArray[np.floating],
    hit_counts: NDArray[np.integer],
) -> float:
    """Return the Davies-Bouldin index (Davies & Bouldin 1979, eq. 4-6 with p = q = 1) of a map.

    DB = Σ over i of max over j ≠ i of (s_i + s_j) / d(w_i, w_j), divided by the number of nonzero
    ``hit_counts``, where s_i is the mean distance of neuron i's samples to its prototype w_i.

    Parameters
    ----------
    errors : float array (K,)
        Sum of the distances of the samples that each neuron won.
    hits : int array (K,)
        Number of those samples; a neuron without any has no s_i and takes part in no pair.
    separation : float array (K, K)
        Distances between the prototypes. A pair at distance 0 has no ratio and is left out, as
        scikit-learn does with clusters that share a centroid.
    hit_counts : int array (K,)
        Counts that say which neurons take part: ``hits``, or the binned counts of a reference.

    Returns
    -------
    float
        Without a unit; 0 when no pair takes part.
    """
    live = np.flatnonzero((hits > 0) & (hit_counts > 0))
    scatter = errors[live] / hits[live]
    apart = separation[np.ix_(live, live)]
    pairs = apart > 0
    np.fill_diagonal(pairs, False)
    ratios = np.divide(
        scatter[:, None] + scatter, apart, out=np.zeros_like(apart, dtype=float), where=pairs
    )
    if ratios.size == 0:
        return 0.0
    return float(ratios.max(axis=0).sum() / np.count_nonzero(hit_counts))
