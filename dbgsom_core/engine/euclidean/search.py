"""The search that remembers: what one epoch found makes the next one cheap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.aligned import aligned
from dbgsom_core.engine.contract import Found, MapGraph, unlinked
from dbgsom_core.engine.euclidean import layout, pass_loops
from dbgsom_core.engine.euclidean.assignment import ExactSamples, FastFound
from dbgsom_core.engine.euclidean.blocks import Tally
from dbgsom_core.engine.euclidean.comparisons import ALL, IN_REACH, OWN
from dbgsom_core.engine.euclidean.layout import Laid, PanelRoom
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.panel_groups import in_rows, patches
from dbgsom_core.engine.euclidean.tally import Seconds, gain, tallied, workload
from dbgsom_core.engine.llvm.panel import PANEL_ROWS, UNROLL
from dbgsom_core.engine.workers import share

_UNSORTED = 0.25  # share of samples with another unit from which sorting may be of use
_LEAST_COMPARED = 2.0  # panels a block that a pass compares at best, about
_LEAST_PANELS = 4  # with fewer there is nothing to leave out
_BOUND_BYTES = 1 << 28, 1 << 30  # memory that bounds may take at least and at most
_SMALL_WORK = 1 << 24  # multiplications below which a second thread costs more than it saves
DOUBTS = 1 / 16  # share of the samples that may be in doubt
NO_BOUNDS = np.empty((1, 1, 1), np.float32)
_NO_MEMORY = np.empty(0, np.float32)


class FastSearch:
    """Exact best-matching units of one data set, epoch after epoch (Euclidean geometry).

    A lower bound on the distance of each sample to each panel of prototypes, lowered by how far
    the panel moved since, tells which panels need no comparison (Ding et al. 2015, "Yinyang
    K-means"). What is found does not depend on whether bounds are used.

    Parameters
    ----------
    data : ExactSamples
        Finds units where packed numbers cannot: prototypes far away from the data.
    samples : PackedSamples
        The data's.
    prunes : bool or None
        Use bounds always, never, or (None) while they pay.
    """

    def __init__(
        self, data: ExactSamples, samples: PackedSamples, prunes: bool | None = None
    ) -> None:
        self.data = data
        self.samples = samples
        self.prunes = prunes
        self.panels_compared = 0  # over all passes
        self._passes = 0
        self._changed = 1.0  # share of the samples whose unit the last pass changed
        self._unsorted = 1.0  # and all passes since samples were sorted
        self._sorting = _Sorting(samples.X.shape[1])
        self._room = PanelRoom(samples)
        self._ids = np.empty((0, PANEL_ROWS), np.int32)
        self._spare = 0  # panels that the bounds still have room for
        self._grows = False
        self._bounds: NDArray[np.float32] | None = None
        self._memory = _NO_MEMORY  # where they are; fresh memory would cost as much as a pass
        self.packed = np.empty((0, samples.X.shape[1]))  # prototypes of the last pass
        self.seconds: Seconds | None = None  # what fine-tuning found
        self._laid: Laid | None = None  # in the panels of the last pass
        self._drift = np.empty(0)
        self._patience = _Patience()
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
        if not known or self._spare < 0:
            self._regroup(positions, len(prototypes))
        elif self._bounds is not None and self._sort_is_due():
            if self._grows:  # newborns sit in panels of their own, far from each other on the map
                self._regroup(positions, len(prototypes))
            self._sorting.before = self._sorting.compared
            self._sort()
        begins = self._bounds is None and known and self._passes > 0 and self._may_prune()
        if begins:
            self._begin_bounds()
        laid = self._lay(prototypes, known)
        if laid is None:
            self.packed = self.packed[:0]  # what was remembered is no longer the last pass
            self._bounds = None
            return self.data.found(prototypes, self.data.assign_plainly(prototypes))
        if self._bounds is None or begins:
            self._run(prototypes, laid, ALL, known)
        else:
            n_blocks, d = len(self.samples.blocks.numbers), prototypes.shape[1]
            compared = self._run(prototypes, laid, IN_REACH, known) / n_blocks
            self._sorting.saw(compared)
            share_compared = compared / len(self._ids)
            paid = self._patience.pays(share_compared, d, self._changed, len(prototypes))
            if self.prunes is None and not paid:
                self._bounds = None
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
        newborn = in_rows(np.arange(known, len(prototypes)), PANEL_ROWS)
        ids = np.concatenate([self._ids, newborn])
        drift = np.concatenate([self._drift, np.zeros(len(newborn))])
        laid = self._room.lay(prototypes, ids, drift)
        if laid is None:
            return self.assign(prototypes, positions)
        first = len(self._ids)
        self._ids, self._drift, self.packed, self._laid = ids, drift, laid.packed, laid
        self._grows = True
        self._sorting.before, self._sorting.reluctance = 0.0, 1.0
        self._spare -= len(newborn)
        if self._spare < 0:
            self._bounds = None
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
            self._regroup(None, len(prototypes))
        laid = self._lay(prototypes, known)
        if laid is None:
            self.packed = self.packed[:0]
            return self.data.nearest_plainly(prototypes, 2)[0]
        samples = self.samples
        threads, tasks = workload(samples, self._is_small(len(prototypes)))
        bounds, mode = (NO_BOUNDS, ALL) if self._bounds is None else (self._bounds, IN_REACH)
        out = np.empty((len(samples.X), 2), np.int32)

        memory = samples.memories.of(threads, len(laid.panels.ids))

        def work(worker: int, task: int) -> None:
            pass_loops.nearest_two_blocks(
                samples.one, samples.rows, prototypes, samples.blocks, laid.panels, laid.accuracy,
                bounds, mode, out, memory[worker], *tasks[task],
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
        keeps = self._bounds is not None
        bounds = NO_BOUNDS if self._bounds is None else self._bounds
        if not only_changes:
            self._sums = np.zeros((n_neurons, samples.blocks.numbers.shape[1]))
            self._hits = np.zeros(n_neurons, np.int64)

        def work(tally: Tally, memory: NDArray[np.uint8], start: int, stop: int) -> None:
            pass_loops.search_blocks(
                samples.one, samples.rows, prototypes, samples.frame, steps, samples.blocks,
                laid.panels, laid.accuracy, bounds, mode, newcomers, keeps, only_changes, tally,
                memory, start, stop,
            )  # fmt: skip

        small, n_panels = self._is_small(n_neurons), len(laid.panels.ids)
        total = tallied(samples, small, self._sums, self._hits, n_panels, work)
        self.whole_errors, self._errors = total.errors, np.empty(n_neurons)
        self._total_error = layout.unpack_errors(total.errors, steps * samples.scale, self._errors)
        compared, changed, self.doubts = total.counts[:3].tolist()
        self.panels_compared += compared
        self._changed = changed / len(samples.X)
        self._unsorted += self._changed
        # Which samples are in doubt does not depend on blocks where all panels are looked at.
        if mode != OWN and not samples.among and self.doubts > DOUBTS * len(samples.X):
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
        self._bounds = self.seconds = None
        self._memory = _NO_MEMORY

    def _assignment(self, prototypes: NDArray[np.float64]) -> FastFound:
        moved = self._changed if self._passes else 1.0
        return FastFound(
            self, prototypes, self._hits.copy(), self._errors, self._total_error, self._sums,
            self.samples.blocks.bmu, moved,
        )  # fmt: skip

    # ------------------------------------------------------------------ panels and bounds

    def _regroup(self, positions: NDArray[np.int64] | None, n_neurons: int = 0) -> None:
        if positions is None:
            self._ids = in_rows(np.arange(n_neurons), PANEL_ROWS)
        else:
            self._ids = patches(positions, PANEL_ROWS)
        self._bounds = None
        self._spare = len(self._ids) // 4 + 2 if self._grows else 0

    def _lay(self, prototypes: NDArray[np.float64], known: bool) -> Laid | None:
        # In panels; notes how far the prototypes of each panel moved since the last pass.
        before = self.packed
        if self._bounds is None or not known:
            self._drift, before = np.zeros(len(self._ids)), before[:0]
        laid = self._room.lay(prototypes, self._ids, self._drift, before)
        if laid is not None:
            self.packed, self._laid = laid.packed, laid
        return laid

    def laid(self, prototypes: NDArray[np.float64]) -> Laid:
        """Return the prototypes (K, D) of the last pass, packed; valid until the next one."""
        if self._laid is None:  # blocks are of another dtype since
            self._laid = self._room.lay(prototypes, self._ids, self._drift)
        assert self._laid is not None  # the pass could lay them out
        return self._laid

    def _may_prune(self) -> bool:
        if self.prunes is not None:
            return self.prunes
        n_blocks, _, lanes = self.samples.blocks.numbers.shape
        size = n_blocks * lanes * 4 * (len(self._ids) + max(self._spare, 0))
        affordable = size <= self._room_for_bounds()
        worth = self._patience.tries(self._changed, len(self.packed))
        return worth and len(self._ids) >= _LEAST_PANELS and affordable

    def _room_for_bounds(self) -> int:
        least, most = _BOUND_BYTES
        blocks = self.samples.blocks.numbers
        if self.data.working_memory is not None:
            copy = self.samples.bytes_for(self.data.X, blocks.dtype)
            return self.data.working_memory - copy
        return min(max(4 * blocks.nbytes, least), most)

    def _begin_bounds(self) -> None:
        if self._unsorted > _UNSORTED:
            self._sort()
        n_blocks, _, lanes = self.samples.blocks.numbers.shape
        shape = (n_blocks, len(self._ids) + self._spare, lanes)
        size = math.prod(shape)
        if self._memory.size < size:
            self._memory = _NO_MEMORY  # given back before more is taken
            self._memory = aligned((size,), np.float32)
        self._bounds = self._memory[:size].reshape(shape)
        self._drift = np.zeros(len(self._ids))
        self._sorting.excess = 0.0

    def _sort_is_due(self) -> bool:
        return self._unsorted > _UNSORTED and self._sorting.pays(len(self._ids))

    def _sort(self) -> None:
        rank = np.empty(len(self.packed), np.int32)
        rank[self._ids[self._ids >= 0]] = np.arange(len(rank), dtype=np.int32)
        before = None if self.seconds is None else self.samples.blocks.order.copy()
        self.samples.sort(rank)
        if self.seconds is not None and before is not None:
            self.seconds = self.seconds.sorted(before, self.samples.blocks.order)
        self._unsorted = 0.0
        self._bounds = None

    def _widen(self, n_neurons: int) -> None:
        more = n_neurons - len(self._hits)
        self._hits = np.concatenate([self._hits, np.zeros(more, np.int64)])
        self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])


@dataclass
class _Sorting:
    """Decides when samples are laid out anew, beside their like, and bounds begin anew.

    Where a cost grows evenly it is least to pay for a fresh start when what was lost since the
    last one amounts to it: here sorting and a whole pass. A fresh start that saved little makes
    the next one wait twice as long.

    Attributes
    ----------
    d : int
        Features.
    compared : float
        Panels a block that the last pass compared.
    excess : float
        What passes since the bounds began compared beyond the least that they could.
    before : float
        What was compared before samples were sorted last.
    """

    d: int
    compared: float = math.inf
    excess: float = 0.0
    before: float = 0.0
    reluctance: float = 1.0

    def saw(self, compared: float) -> None:
        """Note how many panels a block were compared."""
        self.compared = compared
        self.excess += compared - _LEAST_COMPARED
        if self.before > 0:
            helped = compared < 0.75 * self.before
            self.reluctance, self.before = 1.0 if helped else 2 * self.reluctance, 0.0

    def pays(self, n_panels: int) -> bool:
        """Say whether to sort now."""
        cost = 9 + 180 / self.d + n_panels  # in panels, as measured
        return self.excess > self.reluctance * cost


@dataclass
class _Patience:
    """Decides from the share of panels compared whether bounds are worth keeping.

    After a pass that did not pay, the next try waits until a third as many samples change their
    unit, or the map has grown by a quarter. One such pass after some that did is forgiven: what it
    compared, it has bounded anew.
    """

    changed: float = math.inf  # what the share of samples must fall below
    neurons: float = 0.0  # or how many there must be
    forgives: bool = False

    def tries(self, changed: float, n_neurons: int) -> bool:
        """Say whether to begin bounds now, after a pass that changed a share of the units."""
        return changed < self.changed or n_neurons > self.neurons

    def pays(self, share_compared: float, d: int, changed: float, n_neurons: int) -> bool:
        """Say whether a pass that compared this share of the panels was worth its bounds."""
        comparison = PANEL_ROWS * (-(-d // UNROLL) * UNROLL)
        # Measured on AVX-512: writing a bound and looking at one, in steps of a comparison.
        if share_compared * (comparison + 90) + 8 < comparison:
            self.changed, self.neurons, self.forgives = math.inf, 0.0, True
            return True
        if self.forgives:
            self.forgives = False
            return True
        self.changed, self.neurons = changed / 3, 1.25 * n_neurons
        return False
