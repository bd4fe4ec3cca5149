"""Samples and prototypes as the fast loops want them: centred, scaled, aligned, in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.aligned import aligned, for_loops
from dbgsom_core.engine.euclidean.accuracy import accuracy_of, error_steps
from dbgsom_core.engine.euclidean.blocks import (
    Accuracy,
    Blocks,
    Frame,
    column_totals,
    count_ranks,
    move_places,
    pack_blocks,
)
from dbgsom_core.engine.euclidean.comparisons import Memories
from dbgsom_core.engine.llvm.panel import LINE, UNROLL
from dbgsom_core.engine.ranges import Question, each_range
from dbgsom_core.engine.rows import Rows
from dbgsom_core.engine.tables import pieces
from dbgsom_core.engine.workers import share

_TASKS = 16  # chunks of blocks that the workers share, at most
_TASK_PLACES = 1 << 16  # samples in a chunk that is sorted, at least
_TASK_NUMBERS = 1 << 16  # numbers in a chunk, at least: smaller ones cost more to start than to do
_TASK_PACKED = 1 << 18  # and where each is only packed


@dataclass(frozen=True)
class PackedSamples:
    """A packed copy of X (n, D): (x - centre)*scale, rounded to multiples of ``grid``.

    Blocks are of float32, whatever X is, since most neurons can be told apart in it at twice the
    speed; what cannot is settled by the definition, and sums are of X itself.

    Attributes
    ----------
    X : float array (n, D)
        The samples as given.
    blocks : Blocks
    centre : float64 array (D,)
        About the column means.
    scale : float
        A power of two: no packed entry exceeds 1.
    grid : float
        A power of two: sums of n packed entries are exact in float64. 0 where nobody adds them up.
    threads : int
    among : int
        How many rows there are in all, where X holds some of them; 0: it holds all.
    """

    X: NDArray[Any]
    blocks: Blocks
    centre: NDArray[np.float64]
    scale: float
    grid: float
    threads: int
    among: int = 0

    @classmethod
    def of(
        cls, X: NDArray[Any], threads: int, frame: Frame | None = None, among: int = 0
    ) -> PackedSamples:
        """Pack the rows of X in the order in which they come, in their own frame or a given one."""
        X, (n, d) = np.ascontiguousarray(for_loops(X)), X.shape
        frame = frame_of(X, threads) if frame is None else frame
        blocks = room_for(d, np.arange(n, dtype=np.int32), np.float32)
        packed = cls(X, blocks, *frame, threads, among)
        packed.fill()
        return packed

    @staticmethod
    def bytes_for(X: NDArray[Any], dtype: Any = np.float32) -> int:
        """Return how much memory the packed copy of X (n, D) takes in blocks of a dtype."""
        n, d = X.shape
        return int(n * ((_depth(d) + 1) * np.dtype(dtype).itemsize + 8))

    @cached_property
    def one(self) -> Any:
        """The number 1 in the dtype of the blocks: tells the loops which they are for."""
        return self.blocks.numbers.dtype.type(1)

    @cached_property
    def rows(self) -> Rows:
        """The samples as given, for the loops."""
        return Rows.of(self.X)

    @cached_property
    def memories(self) -> Memories:
        """Of the workers that go through the blocks."""
        return Memories(self.blocks.numbers.shape[1])

    @cached_property
    def unit(self) -> float:
        """The rounding unit of the blocks."""
        return float(np.finfo(self.blocks.numbers.dtype).eps) / 2

    def steps(self, accuracy: Accuracy) -> float:
        """Return the steps in which errors are added up, see `error_steps`."""
        n, d = self.X.shape
        return error_steps((self.among or n, d), accuracy)

    @cached_property
    def frame(self) -> Frame:
        """What packed coordinates are, for the loops."""
        return Frame(self.centre, self.scale, self.grid)

    def doubled(self) -> PackedSamples:
        """Return the same samples in blocks of float64, where float32 leaves too many in doubt."""
        before, n = self.blocks, len(self.X)
        blocks = room_for(self.X.shape[1], before.order.copy(), np.float64)
        blocks.bmu[:n] = before.bmu[:n]
        doubled = replace(self, blocks=blocks)
        doubled.fill()
        return doubled

    def tasks(self, least: int = _TASK_NUMBERS) -> list[tuple[int, int]]:
        """Return the blocks of each task, ``least`` numbers about, as (start, stop)."""
        n_blocks = len(self.blocks.numbers)
        tasks = min(_TASKS, self.blocks.numbers.size // least + 1)
        return list(pairwise(n_blocks * t // tasks for t in range(tasks + 1)))

    def sort(self, rank: NDArray[np.int32]) -> None:
        """Sort the samples by the rank (K,) of their units, so that those of a block are alike."""
        n, blocks = len(self.X), self.blocks
        tasks = min(_TASKS, n // _TASK_PLACES + 1)
        starts = [n * task // tasks for task in range(tasks + 1)]
        counts = np.zeros((tasks, len(rank)), np.int64)
        order, bmu = np.empty(n, np.int32), np.empty(n, np.int32)

        def count(worker: int, task: int) -> None:
            count_ranks(blocks.bmu, rank, starts[task], starts[task + 1], counts[task])

        share(self.threads, tasks, count)
        # Before the samples of a rank come all of lower ranks, and those of it in earlier tasks.
        ends = np.ascontiguousarray(np.cumsum(counts.T).reshape(counts.T.shape).T) - counts

        def move(worker: int, task: int) -> None:
            at = starts[task], starts[task + 1]
            # Arrays alone: numba 0.60 takes blocks of float32 for those of float64.
            move_places(blocks.order, blocks.bmu, rank, *at, ends[task], order, bmu)

        share(self.threads, tasks, move)
        blocks.order[:], blocks.bmu[:n] = order, bmu
        self.fill()

    def accuracy(self, largest: float) -> Accuracy:
        """Return how wrong values may be where no packed prototype is longer than ``largest``."""
        return accuracy_of(self.X.shape[1], self.unit, self.grid, largest)

    def fill(self) -> None:
        """Pack the samples in the order that the blocks have."""
        tasks, lanes = self.tasks(_TASK_PACKED), self.blocks.numbers.shape[2]

        def work(worker: int, task: int) -> None:
            total, rows = np.empty(lanes), np.empty(lanes, np.int64)
            pack_blocks(self.one, self.rows, self.frame, self.blocks, total, rows, *tasks[task])

        share(self.threads, len(tasks), work)


def frame_of(X: Any, threads: int) -> Frame:
    """Return centre, scale and grid in which all rows of X, an array or a table, are packed."""
    n, (centre, reach) = len(X), _middle(X, threads)
    digits = min(30 if X.dtype.itemsize == 4 else 52, 52 - math.ceil(math.log2(n + 1)))
    scale = 2.0 ** -math.ceil(math.log2(reach)) if reach > 0 else 1.0
    return Frame(centre, scale, 2.0**-digits)


def _middle(X: Any, threads: int) -> tuple[NDArray[np.float64], float]:
    # Column means up to rounding, the same for any number of threads, and max |x - mean|.
    n = len(X)
    found = each_range(X, *middle_of(X), threads if X.size >= _TASK_PACKED else 1)
    centre = np.sum([total for total, _ in found], axis=0) / n
    ends = np.array([ends for _, ends in found])
    reach = np.maximum(ends[:, 1].max(axis=0) - centre, centre - ends[:, 0].min(axis=0))
    return centre, float(reach.max())


def middle_of(X: Any) -> Question:
    """Return what `frame_of` asks of X (n, D)."""
    tasks = min(_TASKS, X.size // _TASK_NUMBERS + 1)
    return list(pairwise(len(X) * task // tasks for task in range(tasks + 1))), _totals


def _totals(X: Any, rows: slice, weights: None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total, ends = np.zeros(X.shape[1]), np.empty((2, X.shape[1]))
    ends[0], ends[1] = np.inf, -np.inf
    for piece in pieces(rows.start, rows.stop):
        part = for_loops(X[piece])
        column_totals(part, 0, len(part), total, ends)
    return total, ends


def _depth(d: int) -> int:
    return -(-d // UNROLL) * UNROLL


def room_for(d: int, order: NDArray[np.int32], dtype: Any) -> Blocks:
    """Return blocks for samples with d features in this order, yet to be filled."""
    lanes = LINE // np.dtype(dtype).itemsize
    n_blocks = -(-len(order) // lanes)
    return Blocks(
        aligned((n_blocks, _depth(d), lanes), dtype),
        np.zeros((n_blocks, lanes), dtype),
        order,
        np.zeros(n_blocks * lanes, np.int32),
    )
