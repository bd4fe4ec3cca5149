"""Fine-tuning sample by sample: which neurons samples train besides, as rows of the map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean import fine_tuning_loops
from dbgsom_core.engine.euclidean.fine_tuning_loops import Classes, OwnNeurons
from dbgsom_core.engine.rows import Rows
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.workers import share

_SMALL_WORK = 1 << 19  # numbers in the data below which a second thread costs more than it saves
_ROWS = 4096  # samples a task


NO_CLASSES = Classes(np.empty(0, np.int64), np.empty((0, 0), np.bool_))


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
