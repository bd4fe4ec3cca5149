"""Fine-tuning: which neurons samples train besides their units, in packed sums or row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean import fine_tuning_loops
from dbgsom_core.engine.euclidean.blocks import Tally
from dbgsom_core.engine.euclidean.fine_tuning_loops import Classes, OwnNeurons
from dbgsom_core.engine.euclidean.layout import Laid
from dbgsom_core.engine.euclidean.packing import Chunk, Packed, PackedAnew, PackedSamples
from dbgsom_core.engine.rows import Rows
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.workers import share

_SMALL_WORK = 1 << 19  # numbers in the data below which a second thread costs more than it saves
_ROWS = 4096  # samples a task
NO_CLASSES = Classes(np.empty(0, np.int64), np.empty((0, 0), np.bool_))


@dataclass
class Seconds:
    """What linked neighbours won: packed ``sums`` (K, depth) and ``hits`` (K,).

    ``places`` (B*lanes,) is the neighbour that each place pulled last time, of samples in memory.
    """

    places: NDArray[np.int32] | None
    sums: NDArray[np.float64]
    hits: NDArray[np.int64]

    def sorted(self, before: NDArray[np.int32], after: NDArray[np.int32]) -> Seconds:
        """Return the same for samples whose order (n,) was another one ``before``."""
        assert self.places is not None
        of_row, places = np.empty_like(before), np.zeros_like(self.places)
        of_row[before] = self.places[: len(before)]
        places[: len(after)] = of_row[after]
        return Seconds(places, self.sums, self.hits)


def classes_of(codes: NDArray[np.int64] | None, leads: NDArray[np.bool_] | None) -> Classes:
    """Return classes (n,) and where they lead (K, C) for the loops; None: there are none."""
    if codes is None or leads is None:
        return NO_CLASSES
    return Classes(np.ascontiguousarray(codes, np.int64), np.ascontiguousarray(leads))


def own_neurons(prototypes: NDArray[np.float64], leads: NDArray[np.bool_]) -> OwnNeurons:
    """Return for each class the neurons in which it leads, and their prototypes."""
    code, rows = np.nonzero(leads.T)  # by class, then by row
    ends = np.searchsorted(code, np.arange(leads.shape[1] + 1))
    return OwnNeurons(
        rows.astype(np.int64), ends.astype(np.int64), np.ascontiguousarray(prototypes[rows].T)
    )


# ------------------------------------------------------------------------- in packed sums


def own_class(
    samples: PackedSamples | PackedAnew,
    prototypes: NDArray[np.float64],
    classes: Classes,
    units: NDArray[np.int32],
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
) -> None:
    """Move each sample whose class does not lead in its unit to the nearest neuron where it does.

    ``units``, packed ``sums`` (K, depth) and ``hits`` (K,) are changed.
    """
    own, d = own_neurons(prototypes, classes.leads), samples.X.shape[1]

    def work(tally: Tally, memory: NDArray[np.uint8], chunk: Chunk) -> None:
        fine_tuning_loops.own_blocks(
            samples.one, chunk.samples, samples.frame, chunk.blocks, _in(classes, chunk), own,
            chunk.units, tally, np.empty(len(own.rows)), np.empty(d), chunk.start, chunk.stop,
        )  # fmt: skip

    samples.each(units, sums, hits, 1, work, samples.X.size < _SMALL_WORK)


def linked_seconds(
    samples: PackedSamples | PackedAnew,
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
    samples : PackedSamples or PackedAnew
    laid : Laid
        The prototypes (K, D) in panels.
    prototypes : float64 array (K, D)
    units : int array
        Those whose neighbours count.
    links : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    classes : Classes
    before : Seconds or None
        What the last call returned of samples in memory; it is changed and returned where it fits.
    """
    n_neurons, stay = len(links), isinstance(samples, PackedSamples)
    if before is None or len(before.hits) != n_neurons or not stay:
        sums = np.zeros((n_neurons, samples.depth))
        before = Seconds(None, sums, np.zeros(n_neurons, np.int64))
    known, places = before.places is not None, before.places
    if stay and places is None:
        before.places = places = np.zeros_like(units)

    def work(tally: Tally, memory: NDArray[np.uint8], chunk: Chunk) -> None:
        here = np.zeros_like(chunk.units) if places is None else places
        classes_here = _in(classes, chunk)
        look_beside(
            samples, prototypes, laid, links, classes_here, here, tally, memory, chunk, known
        )

    samples.each(units, before.sums, before.hits, 1, work, samples.X.size < _SMALL_WORK)
    return before


def look_beside(
    samples: Packed,
    prototypes: NDArray[np.float64],
    laid: Laid,
    links: NDArray[np.int32],
    classes: Classes,
    places: NDArray[np.int32],
    tally: Tally,
    memory: NDArray[np.uint8],
    chunk: Chunk,
    known: bool = False,
) -> None:
    """Tally what the linked neighbours of the units of a chunk win, or what is new of it."""
    fine_tuning_loops.linked_blocks(
        samples.one, chunk.samples, prototypes, samples.frame, chunk.blocks, chunk.units, links,
        laid.rows, laid.halves, laid.accuracy, classes, known, places, tally, memory,
        chunk.start, chunk.stop,
    )  # fmt: skip


def _in(classes: Classes, chunk: Chunk) -> Classes:
    if not len(classes.codes):
        return classes
    return classes._replace(codes=classes.codes[chunk.of])


# ------------------------------------------------------------------------------ row by row


def linked_rows(
    samples: PlainSamples,
    codes: NDArray[np.int64] | None,
    units: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    links: NDArray[np.int32],
    leads: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    """Return the linked neighbour (n,) of each sample's unit that lies nearest to it."""
    X, out = np.ascontiguousarray(samples.X), np.empty_like(units)
    rows, classes = Rows.of(X), classes_of(codes, leads)
    _by_rows(
        samples,
        lambda start, stop: fine_tuning_loops.linked_rows(
            rows, prototypes, units, links, classes, start, stop, out
        ),
    )
    return out


def own_rows(
    samples: PlainSamples,
    codes: NDArray[np.int64],
    units: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    leads: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the nearest neuron in which its class leads, or its unit."""
    own, classes = own_neurons(prototypes, leads), classes_of(codes, leads)
    X, out = np.ascontiguousarray(samples.X), np.empty_like(units)
    rows = Rows.of(X)

    def work(start: int, stop: int) -> None:
        squares = np.empty(len(own.rows))
        fine_tuning_loops.own_rows(rows, units, classes, own, squares, start, stop, out)

    _by_rows(samples, work)
    return out


def _by_rows(samples: PlainSamples, work: Callable[[int, int], None]) -> None:
    n = samples.n
    tasks = 1 if samples.X.size < _SMALL_WORK else -(-n // _ROWS)
    ends = [n * task // tasks for task in range(tasks + 1)]
    share(samples.threads, tasks, lambda worker, task: work(ends[task], ends[task + 1]))
