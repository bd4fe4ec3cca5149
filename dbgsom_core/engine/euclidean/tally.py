"""How the threads of a pass add up what neurons won, and what fine-tuning remembers of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean import layout, pass_loops
from dbgsom_core.engine.euclidean.blocks import Tally
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.llvm.panel import LINE
from dbgsom_core.engine.workers import share


@dataclass
class Seconds:
    """The neighbour that each place pulled last time, and the packed sums of what they won.

    Attributes
    ----------
    places : int32 array (B*lanes,)
    sums : float64 array (K, depth)
    hits : int64 array (K,)
    """

    places: NDArray[np.int32]
    sums: NDArray[np.float64]
    hits: NDArray[np.int64]

    def sorted(self, before: NDArray[np.int32], after: NDArray[np.int32]) -> Seconds:
        """Return the same for samples whose order (n,) was another one ``before``."""
        of_row, places = np.empty_like(before), np.zeros_like(self.places)
        of_row[before] = self.places[: len(before)]
        places[: len(after)] = of_row[after]
        return Seconds(places, self.sums, self.hits)


def workload(samples: PackedSamples, small: bool) -> tuple[int, list[tuple[int, int]]]:
    """Return how many threads share a pass and the blocks of each task, as (start, stop)."""
    if small or samples.threads == 1:
        return 1, [(0, len(samples.blocks.numbers))]
    return samples.threads, samples.tasks()


def tallied(
    samples: PackedSamples,
    small: bool,
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
    n_panels: int,
    work: Callable[[Tally, NDArray[np.uint8], int, int], None],
) -> Tally:
    """Do ``work(tally, memory, start, stop)`` for all blocks, see `added_up`."""
    threads, tasks = workload(samples, small)
    memory = samples.memories.of(threads, n_panels)

    def of_task(tally: Tally, worker: int, task: int) -> None:
        work(tally, memory[worker], *tasks[task])

    return added_up(threads, len(tasks), sums, hits, of_task)


def added_up(
    threads: int,
    tasks: int,
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
    work: Callable[[Tally, int, int], None],
) -> Tally:
    """Do ``work(tally, worker, task)`` for all tasks; return the workers' tallies, joined.

    ``sums`` and ``hits`` are added to. Additions are exact, so their order does not matter.
    """
    first = _tally(sums, hits)
    others = [_tally(np.zeros_like(sums), np.zeros_like(hits)) for _ in range(threads - 1)]
    own = [first, *others]
    share(threads, tasks, lambda worker, task: work(own[worker], worker, task))
    for other in others:
        first.sums[:] += other.sums
        first.hits[:] += other.hits
        first.errors[:] += other.errors
        first.counts[:] += other.counts
    return first


def halves(tally: Tally, n: int) -> tuple[Tally, Tally]:
    """Return what is added up in the first ``n`` rows of a tally, and in those that follow."""
    parts = (slice(0, n), slice(n, None))
    one, other = (
        Tally(tally.sums[part], tally.hits[part], tally.errors[part], tally.counts)
        for part in parts
    )
    return one, other


def gain(
    samples: PackedSamples,
    before: NDArray[np.int32],
    prototypes: NDArray[np.float64],
    steps: float,
) -> int:
    """Return by how much the sum of distances fell when newcomers took samples from other neurons.

    Distances are those of the definition, packed and in whole ``steps``; ``before`` (B*lanes,) are
    the units so far. Which panels a pass compares decides which samples are in doubt, hence the
    last bits of a sum. The sum of a pass over all panels less this gain is the same however
    prototypes lie in panels, which they do differently after an interruption.
    """
    order, after = samples.blocks.order, samples.blocks.bmu
    return pass_loops.gained(samples.rows, prototypes, order, before, after, steps * samples.scale)


def _tally(sums: NDArray[np.float64], hits: NDArray[np.int64]) -> Tally:
    return Tally(sums, hits, np.zeros(len(hits), np.int64), np.zeros(LINE // 8, np.int64))


def unpacked(
    samples: PackedSamples, sums: NDArray[np.float64], hits: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return sums (K, D) of samples as given, from packed ones (K, depth) and their hits (K,)."""
    out = np.empty((len(hits), samples.X.shape[1]))
    layout.unpack_sums(sums, hits, samples.centre, samples.scale, out)
    return out
