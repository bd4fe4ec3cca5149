"""The batch update from the packed sums of a pass: smoothed over the map, divided, unpacked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean import hop_rings, layout
from dbgsom_core.engine.euclidean.assignment import FastAssignment
from dbgsom_core.engine.euclidean.fine_tuning import classes_of, linked_seconds
from dbgsom_core.engine.majorities import ClassLeads
from dbgsom_core.engine.results import MapGraph
from dbgsom_core.engine.smoothing import reach_of, smoothed


def updated(
    found: FastAssignment,
    before: NDArray[np.float64],
    graph: MapGraph,
    weights: NDArray[np.float64],
    pull: float,
    classes: ClassLeads | None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) after the batch update.

    Parameters
    ----------
    found : FastAssignment
        What the neurons won.
    before : float64 array (K, D)
        The prototypes so far: where nothing reaches a neuron, its own stays.
    graph : MapGraph
    weights : float64 array (H,)
        The kernel at each number of hops.
    pull : float
        How often a sample counts in the linked neighbour of its unit that lies nearest to it.
    classes : ClassLeads or None
        Neighbours in which a sample's class leads come first.
    """
    samples = found.search.samples
    sums, reached = _smoothed(found, graph, weights)
    more, hits = sums[:0], found.hits[:0]
    if pull > 0:
        pulled = linked_seconds(found, graph.links, classes_of(classes))
        more, hits = pulled.sums, pulled.hits
    after = np.empty(before.shape)
    layout.unpack_means(
        before, sums, reached, pull, more, hits, samples.centre, samples.scale, after
    )
    return after


def _smoothed(
    found: FastAssignment, graph: MapGraph, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Packed sums (K, at least D) and hits (K,), kernel-weighted: by rings on a large rectangle.
    samples, n_neurons = found.search.samples, len(found.hits)
    reach, least = reach_of(weights, float(len(samples.X)))
    if hop_rings.pays(n_neurons, reach):
        grid = graph.rectangle
        if grid is not None:
            won = np.column_stack([found.packed_sums, found.hits.astype(np.float64)])
            smooth = hop_rings.smoothed_rings(grid, weights, reach, least, won, samples.threads)
            return smooth, smooth[:, -1].copy()
    return smoothed(
        graph.hops, weights, (reach, least), found.hits, found.packed_sums, samples.threads
    )
