"""The batch update from the packed sums of a pass: smoothed over the map, divided, unpacked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Neighbourhood
from dbgsom_core.engine.euclidean import layout
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.tally import Seconds
from dbgsom_core.engine.smoothing import reach_of, smoothed


def updated(
    samples: PackedSamples,
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
    before: NDArray[np.float64],
    around: Neighbourhood,
    pulled: Seconds | None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) after the batch update.

    Parameters
    ----------
    samples : PackedSamples
    sums, hits : float64 array (K, depth), int64 array (K,)
        What the neurons won, packed.
    before : float64 array (K, D)
        The prototypes so far: where nothing reaches a neuron, its own stays.
    around : Neighbourhood
    pulled : Seconds or None
        What the linked neighbours won that pull samples.
    """
    reach = reach_of(around.weights, float(len(samples.X)))
    smooth, reached = smoothed(around.which, around.weights, reach, hits, sums, samples.threads)
    more, pulled_hits = (smooth[:0], hits[:0]) if pulled is None else (pulled.sums, pulled.hits)
    after = np.empty(before.shape)
    layout.unpack_means(
        before, smooth, reached, around.pull, more, pulled_hits, samples.centre, samples.scale,
        after,
    )  # fmt: skip
    return after
