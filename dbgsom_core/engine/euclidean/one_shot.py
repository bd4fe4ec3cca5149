"""One search over samples that no other will follow: nothing is kept from one chunk to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine import loops
from dbgsom_core.engine.aligned import aligned, for_loops
from dbgsom_core.engine.euclidean import one_shot_loops
from dbgsom_core.engine.euclidean.blocks import NO_MARGINS, Blocks, Frame
from dbgsom_core.engine.euclidean.comparisons import memory_for
from dbgsom_core.engine.euclidean.layout import PanelRoom
from dbgsom_core.engine.euclidean.one_shot_loops import Chunk
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.panel_groups import in_rows
from dbgsom_core.engine.llvm.panel import LINE, PANEL_ROWS, UNROLL
from dbgsom_core.engine.workers import share

_TASKS = 32  # shares of the rows, at most
_TASK_NUMBERS = 1 << 18  # numbers in the samples of one, about: to wake a thread takes a while
_CENTRED = 256  # prototypes whose median is the centre
_DOUBTS = 16  # one sample in so many may be in doubt
_LONGEST = 2.0**450  # beyond, and below its inverse, squares of the definition leave float64
_CHUNK_BYTES = 1 << 17  # packed samples that stay in the cache while all panels pass by


def _centre_of(prototypes: NDArray[np.float64]) -> NDArray[np.float64]:
    # A point (D,) in the midst of prototypes (K, D), wherever a few of them are.
    some = prototypes[:: -(-len(prototypes) // _CENTRED)]
    return np.asarray(np.median(some, axis=0))


@dataclass(frozen=True)
class FoundOnce:
    """Best-matching units ``bmu`` (n,); their distances are made when asked for."""

    X: NDArray[Any]
    prototypes: NDArray[np.float64]
    bmu: NDArray[np.int64]
    threads: int

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each sample to its unit by definition, float64 (n,)."""
        return distances_to(self.X, self.prototypes, self.bmu, self.threads)


def nearest_units(
    X: NDArray[Any], prototypes: NDArray[np.float64], places: int, threads: int
) -> NDArray[np.int64] | None:
    """Return the nearest or two nearest of at least two prototypes (K, D) for samples X (n, D).

    The units are those of the definition in float64, ties to the lower row. Samples are packed
    about the prototypes, a chunk at a time, so that neither a pass over the data to learn its
    extent is needed nor memory for a packed copy.

    Returns
    -------
    int64 array (places, n) or None
        None where a value is missing or the prototypes are no finite numbers of a usual size.
    """
    X, centre = np.ascontiguousarray(for_loops(X)), _centre_of(prototypes)
    reach = float(np.abs(prototypes - centre).max())
    if reach != 0 and not 1 / _LONGEST < reach < _LONGEST:  # also where it is nan
        return None
    scale = 2.0 ** -math.ceil(math.log2(reach)) if reach > 0 else 1.0
    frame = Frame(centre, scale, 0.0)  # sums are of no interest, so these need no grid
    most = len(X) // _DOUBTS + LINE
    out, doubts = _nearest(X, prototypes, places, threads, frame, np.float32, most)
    if doubts > most:
        out, doubts = _nearest(X, prototypes, places, threads, frame, np.float64, len(X))
    return None if doubts < 0 else out


def _nearest(
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    places: int,
    threads: int,
    frame: Frame,
    dtype: Any,
    most: int,
) -> tuple[NDArray[np.int64], int]:
    # Units (places, n), and how many samples were in doubt in blocks of this dtype: not all is
    # done where those are more than ``most``, or a value is missing: -1 then.
    n, d = X.shape
    depth, lanes = -(-d // UNROLL) * UNROLL, LINE // np.dtype(dtype).itemsize
    row_blocks = max(1, _CHUNK_BYTES // (depth * LINE))

    ids = in_rows(np.arange(len(prototypes)), PANEL_ROWS)

    def chunk() -> Chunk:
        blocks = Blocks(
            aligned((row_blocks, depth, lanes), dtype),
            aligned((row_blocks, lanes), dtype),
            np.arange(row_blocks * lanes, dtype=np.int32),
            np.zeros(row_blocks * lanes, np.int32),
        )
        found, memory = np.empty((len(blocks.order), 2), np.int32), memory_for(len(ids), depth)
        return Chunk(blocks, found, NO_MARGINS, memory)

    chunks = [chunk() for _ in range(threads)]
    out = np.empty((places, n), np.int64)
    samples = PackedSamples(X, chunks[0].blocks, *frame, threads)
    laid = PanelRoom(samples).lay(prototypes, ids, np.zeros(len(ids)))
    if laid is None:
        return out, -1
    tasks = min(_TASKS, -(-n // (row_blocks * lanes)))
    doubts = np.zeros(tasks, np.int64)

    def work(worker: int, task: int) -> None:
        if doubts.min() < 0 or doubts.sum() > most:
            return
        doubts[task] = one_shot_loops.nearest_units(
            samples.one,
            samples.rows,
            prototypes,
            frame.centre,
            frame.scale,
            chunks[worker],
            laid.panels,
            laid.accuracy,
            out,
            most,
            n * task // tasks,
            n * (task + 1) // tasks,
        )

    share(threads, tasks, work)
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
