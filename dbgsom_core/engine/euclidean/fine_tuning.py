"""Fine-tuning on what the fast search holds: which samples train which neurons besides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean import fine_tuning_loops
from dbgsom_core.engine.euclidean.assignment import FastAssignment, Seconds, tallied
from dbgsom_core.engine.euclidean.blocks import Tally
from dbgsom_core.engine.euclidean.fine_tuning_loops import Classes, OwnNeurons
from dbgsom_core.engine.samples import Samples
from dbgsom_core.engine.workers import share

if TYPE_CHECKING:
    from dbgsom_core.engine.majorities import ClassLeads

_SMALL_WORK = 1 << 19  # numbers in the data below which a second thread costs more than it saves
_ROWS = 4096  # samples a task


NO_CLASSES = Classes(np.empty(0, np.int64), np.empty((0, 0), np.bool_))


def classes_of(classes: ClassLeads | None) -> Classes:
    """Return classes for the loops; None: there are none."""
    if classes is None:
        return NO_CLASSES
    return Classes(
        np.ascontiguousarray(classes.codes, np.int64), np.ascontiguousarray(classes.leads)
    )


def own_class(found: FastAssignment, classes: Classes) -> FastAssignment:
    """Move each sample whose class does not lead in its unit to the nearest neuron where it does.

    Valid until the next pass, as what was found is.
    """
    samples = found.search.samples
    own = _own_neurons(found.prototypes, classes)
    units, sums, hits = found.units.copy(), found.packed_sums.copy(), found.hits.copy()

    def work(tally: Tally, start: int, stop: int) -> None:
        fine_tuning_loops.own_blocks(
            samples.one, samples.X, samples.frame, samples.blocks, classes, own, units, tally,
            start, stop,
        )  # fmt: skip

    tallied(samples, samples.X.size < _SMALL_WORK, sums, hits, work)
    return replace(found, hits=hits, packed_sums=sums, units=units)


def linked_seconds(found: FastAssignment, sides: NDArray[np.int32], classes: Classes) -> Seconds:
    """Return what the linked neighbours nearest to the samples won, until the next call.

    Parameters
    ----------
    found : FastAssignment
        Of the last pass; its units are those whose neighbours count.
    sides : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    classes : Classes
    """
    search, samples = found.search, found.search.samples
    n_neurons = len(sides)
    seconds = search.seconds
    known = seconds is not None and len(seconds.hits) == n_neurons
    if seconds is None or not known:
        shape = (n_neurons, samples.blocks.numbers.shape[1])
        seconds = Seconds(np.zeros_like(found.units), np.zeros(shape), np.zeros(n_neurons, int))
        search.seconds = seconds
    laid = search.laid(found.prototypes)
    places = seconds.places

    def work(tally: Tally, start: int, stop: int) -> None:
        fine_tuning_loops.linked_blocks(
            samples.one, samples.X, found.prototypes, samples.frame, samples.blocks, found.units,
            sides, laid.rows, laid.halves, laid.accuracy, classes, known, places, tally,
            start, stop,
        )  # fmt: skip

    tallied(samples, samples.X.size < _SMALL_WORK, seconds.sums, seconds.hits, work)
    return seconds


def linked_rows(
    data: Samples,
    units: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    sides: NDArray[np.int32],
    classes: Classes,
) -> NDArray[np.int64]:
    """Return the linked neighbour (n,) of each sample's unit that lies nearest to it."""
    out = np.empty_like(units)
    _by_rows(
        data,
        lambda start, stop: fine_tuning_loops.linked_rows(
            data.X, prototypes, units, sides, classes, start, stop, out
        ),
    )
    return out


def own_rows(
    data: Samples, units: NDArray[np.int64], prototypes: NDArray[np.float64], classes: Classes
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the nearest neuron in which its class leads, or its unit."""
    own = _own_neurons(prototypes, classes)
    out = np.empty_like(units)
    _by_rows(
        data,
        lambda start, stop: fine_tuning_loops.own_rows(
            data.X, units, classes, own, start, stop, out
        ),
    )
    return out


def _by_rows(data: Samples, work: Any) -> None:
    n = len(data.X)
    tasks = 1 if data.X.size < _SMALL_WORK else -(-n // _ROWS)
    ends = [n * task // tasks for task in range(tasks + 1)]
    share(data.threads, tasks, lambda worker, task: work(ends[task], ends[task + 1]))


def _own_neurons(prototypes: NDArray[np.float64], classes: Classes) -> OwnNeurons:
    code, rows = np.nonzero(classes.leads.T)  # by class, then by row
    ends = np.searchsorted(code, np.arange(classes.leads.shape[1] + 1))
    return OwnNeurons(
        rows.astype(np.int64), ends.astype(np.int64), np.ascontiguousarray(prototypes[rows].T)
    )
