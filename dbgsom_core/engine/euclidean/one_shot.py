"""One search over samples that no other will follow: nothing is kept from one chunk to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine import loops
from dbgsom_core.engine.euclidean import search_loops
from dbgsom_core.engine.euclidean.layout import FAR, PrototypePacker, in_rows
from dbgsom_core.engine.euclidean.packing import (
    NO_MARGINS,
    Chunk,
    Frame,
    PackedAnew,
    Tally,
    Workspace,
)
from dbgsom_core.engine.llvm.tile import LINE, PANEL_ROWS
from dbgsom_core.engine.rows import for_loops
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.tables import SlicedTable
from dbgsom_core.engine.workers import share

_TASKS = 32  # shares of the rows, at most
_TASK_NUMBERS = 1 << 18  # numbers in the samples of one, about: to wake a thread takes a while
_CENTRED = 256  # prototypes whose median is the centre
_DOUBTS = 16  # one sample in so many may be in doubt
_LONGEST = 2.0**450  # beyond, and below its inverse, squares of the definition leave float64
_ROWS = 8192  # that are packed at a time
_GRID = 2.0**-52  # sums are of no interest, so packed numbers need none


@dataclass(frozen=True)
class FoundOnce:
    """Best-matching units ``bmu`` (n,); their distances are made when asked for."""

    data: PlainSamples
    prototypes: NDArray[np.float64]
    bmu: NDArray[np.int64]

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each sample to its unit by definition, float64 (n,)."""
        return distances_to(self.data.X, self.prototypes, self.bmu, self.data.threads)


def nearest_units(
    data: PlainSamples, prototypes: NDArray[np.float64], places: int
) -> NDArray[np.int64] | None:
    """Return the nearest or two nearest of at least two prototypes (K, D), int64 (n, places).

    The units are those of the definition in float64, ties to the lower row. Samples are packed
    about the prototypes, a chunk at a time, so that neither a pass over the data to learn its
    extent is needed nor memory for a packed copy. None where a value is missing or the prototypes
    are no finite numbers of a usual size.
    """
    some = prototypes[:: -(-len(prototypes) // _CENTRED)]
    centre = np.asarray(np.median(some, axis=0))  # in the midst, wherever a few of them are
    reach = float(np.abs(prototypes - centre).max())
    if reach != 0 and not 1 / _LONGEST < reach < _LONGEST:  # also where it is nan
        return None
    scale = 2.0 ** -math.ceil(math.log2(reach)) if reach > 0 else 1.0
    frame, most = Frame(centre, scale, _GRID), data.n // _DOUBTS + LINE
    out, doubts = _nearest(data, prototypes, places, frame, np.float32, most)
    if doubts > most:
        out, doubts = _nearest(data, prototypes, places, frame, np.float64, data.n)
    return None if doubts < 0 else out


def _nearest(
    data: PlainSamples,
    prototypes: NDArray[np.float64],
    places: int,
    frame: Frame,
    dtype: Any,
    most: int,
) -> tuple[NDArray[np.int64], int]:
    # Units (n, places), and how many samples were in doubt in blocks of this dtype: not all is
    # done where those are more than ``most``, or a value is missing: -1 then.
    table = SlicedTable(np.ascontiguousarray(for_loops(data.X)))
    samples = PackedAnew(table, frame, data.threads, dtype, size=_ROWS)
    ids, out = in_rows(np.arange(len(prototypes)), PANEL_ROWS), np.empty((data.n, places), np.int64)
    laid = PrototypePacker(samples).pack(prototypes, ids, np.zeros(len(ids)))
    if laid is None:
        return out, -1
    doubts = np.zeros(-(-data.n // samples.size), np.int64)

    def work(tally: Tally, space: Workspace, chunk: Chunk) -> None:
        if doubts.min() < 0 or doubts.sum() > most:
            return
        rows, squares = chunk.of, chunk.blocks.squares.reshape(-1)[: len(chunk.blocks.order)]
        if not squares.max() < FAR**2:  # also where it is nan
            if np.isnan(data.X[rows]).any():
                doubts[rows.start // samples.size] = -1
            else:
                out[rows] = data.subset(rows).nearest_plainly(prototypes, places)[0]
            return
        nearest = np.empty((len(squares), places), np.int32)
        doubts[rows.start // samples.size] = search_loops.nearest_blocks(
            samples.one, places, chunk.samples, prototypes, chunk.blocks, laid.panels,
            laid.accuracy, NO_MARGINS, nearest, space, chunk.start, chunk.stop,
        )  # fmt: skip
        out[rows] = nearest

    nothing = np.empty((0, 0)), np.empty(0, np.int64)
    samples.each(samples.units, *nothing, len(ids), work)
    return out, -1 if doubts.min() < 0 else int(doubts.sum())


def distances_to(
    X: NDArray[Any], prototypes: NDArray[np.float64], units: NDArray[np.int64], threads: int
) -> NDArray[np.float64]:
    """Return the distance of each sample to the prototype in its entry of units, float64 (n,)."""
    X, n = for_loops(X), len(X)
    out = np.empty(n)
    tasks = min(_TASKS, n, X.size // _TASK_NUMBERS + 1)

    def work(worker: int, task: int) -> None:
        rows = slice(n * task // tasks, n * (task + 1) // tasks)
        loops.distances_to(X[rows], prototypes, units[rows], out[rows])

    share(threads, tasks, work)
    return out
