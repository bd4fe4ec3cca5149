"""The search that remembers: what one epoch found makes the next one cheap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Found, MapGraph
from dbgsom_core.engine.euclidean import layout, pass_loops
from dbgsom_core.engine.euclidean.assignment import ExactSamples, FastFound
from dbgsom_core.engine.euclidean.blocks import NO_MARGINS, Tally
from dbgsom_core.engine.euclidean.comparisons import ALL, IN_REACH, OWN
from dbgsom_core.engine.euclidean.layout import Laid, PanelRoom
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.pruning import Pruning, Room
from dbgsom_core.engine.euclidean.tally import Seconds, gain, tallied, workload
from dbgsom_core.engine.per_sample import unlinked
from dbgsom_core.engine.workers import share

_MARGIN_BYTES = 1 << 28  # that margins may take, or half of the packed copy
_SMALL_WORK = 1 << 24  # multiplications below which a second thread costs more than it saves
DOUBTS = 1 / 16  # share of the samples that may be in doubt, for few neurons
_FEW = 256


class FastSearch:
    """Exact best-matching units of one data set, epoch after epoch (Euclidean geometry).

    Parameters
    ----------
    data : ExactSamples
        Finds units where packed numbers cannot: prototypes far away from the data.
    samples : PackedSamples
        The data's.
    prunes : bool or None
        Keep margins always, never, or (None) while they pay, see `Pruning`.
    """

    def __init__(
        self, data: ExactSamples, samples: PackedSamples, prunes: bool | None = None
    ) -> None:
        self.data = data
        self.samples = samples
        self.pruning = Pruning(samples.X.shape[1], prunes)
        self.panels_compared = 0  # over all passes
        self._passes = 0
        self._room = PanelRoom(samples)
        self.packed = np.empty((0, samples.X.shape[1]))  # prototypes of the last pass
        self.seconds: Seconds | None = None  # what fine-tuning found
        self._laid: Laid | None = None  # in the panels of the last pass
        self._sums = np.empty((0, 0))
        self._hits = np.empty(0, np.int64)
        self._errors, self._total_error = np.empty(0), 0.0
        # Of the last pass: errors in whole steps, samples in doubt, what newcomers gained in steps.
        self.whole_errors, self.doubts, self.gained = np.empty(0, np.int64), 0, 0

    # ------------------------------------------------------------------------------- passes

    def assign(
        self, prototypes: NDArray[np.float64], positions: NDArray[np.int64] | None = None
    ) -> Found:
        """See `Search`; without positions neighbours in the list count as neighbours."""
        known = len(prototypes) == len(self.packed) == len(self._hits)
        pruning = self.pruning
        if pruning.prepare(positions, len(prototypes), known, self._room_for_margins()):
            self._sort()
        laid = self._lay(prototypes, known)
        if laid is None:
            self.packed = self.packed[:0]  # what was remembered is no longer the last pass
            pruning.margins = None
            return self.data.found(prototypes, self.data.assign_plainly(prototypes))
        pruning.take(self.samples, laid)
        if pruning.margins is None or pruning.begins:
            self._run(prototypes, laid, ALL, known)
        else:
            compared = self._run(prototypes, laid, IN_REACH, known)
            pruning.judge(compared / len(self.samples.blocks.numbers), len(prototypes))
        found = self._assignment(prototypes)
        self._passes += 1
        return found

    def admit(
        self,
        found: Found,
        prototypes: NDArray[np.float64],
        positions: NDArray[np.int64],
        known: int,
    ) -> Found:
        """See `Search`; compares samples with newcomers and the panel of their unit so far."""
        if known == len(prototypes):
            return found
        if len(self.packed) != known:
            return self.assign(prototypes, positions)
        ids, drift = self.pruning.grown(known, len(prototypes))
        laid = self._room.lay(prototypes, ids, drift)
        if laid is None:
            return self.assign(prototypes, positions)
        first = len(self.pruning.ids)
        self.pruning.grow(ids, drift)
        self.packed, self._laid = laid.packed, laid
        self._widen(len(prototypes))
        before, total = self.samples.blocks.bmu.copy(), self._total_error
        self._run(prototypes, laid, OWN, True, first)
        steps = self.samples.steps(laid.accuracy)
        self.gained = gain(self.samples, before, prototypes, steps)
        self._total_error = max(total - self.gained / (steps * self.samples.scale), 0.0)
        return self._assignment(prototypes)

    def remembered(self) -> bool:
        """Return whether doubts made it go on in float64, in which errors have other bits."""
        return bool(self.samples.one.itemsize == 8)

    def remember(self, doubled: bool) -> None:
        """Go on in float64 where an interrupted search did."""
        if doubled:
            self.double()

    def unlinked(self, prototypes: NDArray[np.float64], graph: MapGraph) -> NDArray[np.bool_]:
        """See `Search`."""
        return unlinked(self.nearest_two(prototypes), graph)

    def nearest_two(self, prototypes: NDArray[np.float64]) -> NDArray[np.signedinteger[Any]]:
        """Return the two nearest prototypes (n, 2) of each sample, int32 if packed ones serve."""
        if len(prototypes) < 2:
            return self.data.nearest_plainly(prototypes, 2)[0]
        known = len(prototypes) == len(self.packed)
        if not known:
            self.pruning.regroup(None, len(prototypes))
        ids, samples = self.pruning.ids, self.samples
        laid, self._laid = self._room.lay(prototypes, ids, np.zeros(len(ids))), None
        if laid is None:
            return self.data.nearest_plainly(prototypes, 2)[0]
        threads, tasks = workload(samples, self._is_small(len(prototypes)))
        out = np.empty((len(samples.X), 2), np.int32)

        memory = samples.memories.of(threads, len(laid.panels.ids))

        def work(worker: int, task: int) -> None:
            pass_loops.nearest_two_blocks(
                samples.one, samples.rows, prototypes, samples.blocks, laid.panels, laid.accuracy,
                NO_MARGINS, out, memory[worker], *tasks[task],
            )  # fmt: skip

        share(threads, len(tasks), work)
        return out

    def _run(
        self,
        prototypes: NDArray[np.float64],
        laid: Laid,
        mode: int,
        only_changes: bool,
        newcomers: int = 0,
    ) -> int:
        samples, n_neurons = self.samples, len(prototypes)
        steps = samples.steps(laid.accuracy)
        keeps = self.pruning.margins is not None
        margins = self.pruning.margins or NO_MARGINS
        if not only_changes:
            self._sums = np.zeros((n_neurons, samples.blocks.numbers.shape[1]))
            self._hits = np.zeros(n_neurons, np.int64)

        def work(tally: Tally, memory: NDArray[np.uint8], start: int, stop: int) -> None:
            pass_loops.search_blocks(
                samples.one, samples.rows, prototypes, samples.frame, steps, samples.blocks,
                laid.panels, laid.accuracy, margins, mode, newcomers, keeps, only_changes, tally,
                memory, start, stop,
            )  # fmt: skip

        small, n_panels = self._is_small(n_neurons), len(laid.panels.ids)
        total = tallied(samples, small, self._sums, self._hits, n_panels, work)
        self.whole_errors, self._errors = total.errors, np.empty(n_neurons)
        self._total_error = layout.unpack_errors(total.errors, steps * samples.scale, self._errors)
        compared, changed, self.doubts = total.counts[:3].tolist()
        self.panels_compared += compared
        self.pruning.saw(changed / len(samples.X))
        # Which samples are in doubt does not depend on blocks where all panels are looked at.
        may = mode != OWN and not samples.among
        if may and is_too_much(self.doubts, len(samples.X), n_neurons):
            self.double()
        return int(compared)

    def _is_small(self, n_neurons: int) -> bool:
        return self.samples.X.size * n_neurons < _SMALL_WORK

    def double(self) -> None:
        """Go on in float64, where to settle many doubts takes longer than to have few."""
        if self.samples.one.itemsize == 8:
            return
        size, room = self.samples.bytes_for(self.data.X, np.float64), self.data.working_memory
        if room is not None and size > room:
            return
        self.samples = self.samples.doubled()
        self._room, self._laid = PanelRoom(self.samples), None
        self.seconds = None
        self.pruning.margins = None

    def _assignment(self, prototypes: NDArray[np.float64]) -> FastFound:
        moved = self.pruning.changed if self._passes else 1.0
        return FastFound(
            self, prototypes, self._hits.copy(), self._errors, self._total_error, self._sums,
            self.samples.blocks.bmu, moved,
        )  # fmt: skip

    # ----------------------------------------------------------------- panels and samples

    def _lay(self, prototypes: NDArray[np.float64], known: bool) -> Laid | None:
        # In panels; notes how far the prototypes of each panel moved since the last pass.
        before, pruning = self.packed, self.pruning
        if pruning.margins is None or not known:
            pruning.drift, before = np.zeros(len(pruning.ids)), before[:0]
        laid = self._room.lay(prototypes, pruning.ids, pruning.drift, before)
        if laid is not None:
            self.packed, self._laid = laid.packed, laid
        return laid

    def laid(self, prototypes: NDArray[np.float64]) -> Laid:
        """Return the prototypes (K, D) of the last pass, packed; valid until the next one."""
        if self._laid is None:  # blocks are of another dtype since
            self._laid = self._room.lay(prototypes, self.pruning.ids, self.pruning.drift)
        assert self._laid is not None  # the pass could lay them out
        return self._laid

    def _room_for_margins(self) -> Room:
        blocks, room = self.samples.blocks.numbers, self.data.working_memory
        if room is None:
            room = max(_MARGIN_BYTES, blocks.nbytes // 2)
        else:
            room -= self.samples.bytes_for(self.data.X, blocks.dtype)
        return Room(len(blocks), len(blocks), max(room, 0))

    def _sort(self) -> None:
        ids = self.pruning.ids
        rank = np.empty(len(self.packed), np.int32)
        rank[ids[ids >= 0]] = np.arange(len(rank), dtype=np.int32)
        before = None if self.seconds is None else self.samples.blocks.order.copy()
        self.samples.sort(rank)
        if self.seconds is not None and before is not None:
            self.seconds = self.seconds.sorted(before, self.samples.blocks.order)

    def _widen(self, n_neurons: int) -> None:
        more = n_neurons - len(self._hits)
        self._hits = np.concatenate([self._hits, np.zeros(more, np.int64)])
        self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])


def is_too_much(doubts: int, n_samples: int, n_neurons: int) -> bool:
    """Say whether so many samples in doubt take longer to settle than float64 takes to have few.

    Measured on AVX-512, to settle a sample of 64 features takes 0.5 to 0.8 µs, and a comparison of
    one with K neurons takes K/2000 µs longer in float64: both are even where a fifth of the samples
    is in doubt with 100 neurons, and three quarters with 900. A third of that, as later passes
    compare fewer neurons; a map that begins as a plane leaves doubts to its first passes alone.
    """
    return doubts > DOUBTS * min(max(n_neurons / _FEW, 1.0), 4.0) * n_samples
