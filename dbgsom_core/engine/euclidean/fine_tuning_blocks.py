"""Fine-tuning on what the fast search holds: which samples train which neurons besides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean import fine_tuning_loops
from dbgsom_core.engine.euclidean.blocks import Tally
from dbgsom_core.engine.euclidean.fine_tuning_loops import Classes
from dbgsom_core.engine.euclidean.fine_tuning_rows import own_neurons
from dbgsom_core.engine.euclidean.layout import Laid
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.tally import Seconds, tallied

_SMALL_WORK = 1 << 19  # numbers in the data below which a second thread costs more than it saves


def own_class(
    samples: PackedSamples,
    prototypes: NDArray[np.float64],
    classes: Classes,
    units: NDArray[np.int32],
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
) -> None:
    """Move each sample whose class does not lead in its unit to the nearest neuron where it does.

    ``units`` (B*lanes,), packed ``sums`` (K, depth) and ``hits`` (K,) are changed.
    """
    own = own_neurons(prototypes, classes.leads)

    def work(tally: Tally, memory: NDArray[np.uint8], start: int, stop: int) -> None:
        squares, packed = np.empty(len(own.rows)), np.empty(samples.X.shape[1])
        fine_tuning_loops.own_blocks(
            samples.one, samples.rows, samples.frame, samples.blocks, classes, own, units, tally,
            squares, packed, start, stop,
        )  # fmt: skip

    tallied(samples, samples.X.size < _SMALL_WORK, sums, hits, 1, work)


def linked_seconds(
    samples: PackedSamples,
    laid: Laid,
    prototypes: NDArray[np.float64],
    units: NDArray[np.int32],
    links: NDArray[np.int32],
    classes: Classes,
    before: Seconds | None,
) -> Seconds:
    """Return what the linked neighbours nearest to the samples won, until the next call.

    Parameters
    ----------
    samples : PackedSamples
    laid : Laid
        The prototypes (K, D) in panels.
    prototypes : float64 array (K, D)
    units : int32 array (B*lanes,)
        Those whose neighbours count.
    links : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    classes : Classes
    before : Seconds or None
        What the last call returned; it is changed and returned where it fits.
    """
    n_neurons = len(links)
    known = before is not None and len(before.hits) == n_neurons
    if before is None or not known:
        shape = (n_neurons, samples.blocks.numbers.shape[1])
        before = Seconds(np.zeros_like(units), np.zeros(shape), np.zeros(n_neurons, int))
    places = before.places

    def work(tally: Tally, memory: NDArray[np.uint8], start: int, stop: int) -> None:
        fine_tuning_loops.linked_blocks(
            samples.one, samples.rows, prototypes, samples.frame, samples.blocks, units,
            links, laid.rows, laid.halves, laid.accuracy, classes, known, places, tally,
            memory, start, stop,
        )  # fmt: skip

    tallied(samples, samples.X.size < _SMALL_WORK, before.sums, before.hits, 1, work)
    return before
