"""The batch update from the packed sums of a pass: smoothed over the map, divided, unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.fast import layout, rings
from dbgsom_core.engine.fast.tuning import classes_of, linked_seconds
from dbgsom_core.engine.smoothing import reach_of, smoothed

if TYPE_CHECKING:
    from dbgsom_core.engine.fast.assignment import FastAssignment
    from dbgsom_core.fine_tuning import ClassLeads
    from dbgsom_core.som_map import SomMap


def updated(
    found: FastAssignment,
    som_map: SomMap,
    weights: NDArray[np.float64],
    pull: float,
    classes: ClassLeads | None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) after the batch update.

    Parameters
    ----------
    found : FastAssignment
        What the neurons won.
    som_map : SomMap
        Where nothing reaches a neuron, its prototype stays.
    weights : float64 array (H,)
        The kernel at each number of hops.
    pull : float
        How often a sample counts in the linked neighbour of its unit that lies nearest to it.
    classes : ClassLeads or None
        Neighbours in which a sample's class leads come first.
    """
    samples = found.search.samples
    sums, reached = _smoothed(found, som_map, weights)
    more, hits = sums[:0], found.hits[:0]
    if pull > 0:
        pulled = linked_seconds(found, som_map.sides, classes_of(classes))
        more, hits = pulled.sums, pulled.hits
    after = np.empty(som_map.prototypes.shape)
    layout.unpack_means(
        som_map.prototypes, sums, reached, pull, more, hits, samples.centre, samples.scale, after
    )
    return after


def _smoothed(
    found: FastAssignment, som_map: SomMap, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Packed sums (K, at least D) and hits (K,), kernel-weighted: by rings on a large rectangle.
    samples, n_neurons = found.search.samples, len(som_map)
    reach, least = reach_of(weights, float(len(samples.X)))
    if rings.pays(n_neurons, reach):
        grid = som_map.full_grid
        if grid is not None:
            won = np.column_stack([found.packed_sums, found.hits.astype(np.float64)])
            smooth = rings.smoothed_rings(grid, weights, reach, least, won, samples.threads)
            return smooth, smooth[:, -1].copy()
    return smoothed(
        som_map.hops, weights, (reach, least), found.hits, found.packed_sums, samples.threads
    )
