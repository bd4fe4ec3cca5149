"""Search of packed samples: with bounds kept between epochs (`PackedShard`), and in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine import search_loops
from dbgsom_core.engine.fine_tuning import LinkedRunnersUp, classes_of
from dbgsom_core.engine.packing import (
    FAR,
    NO_BOUNDS,
    Accumulator,
    LowerBounds,
    PackedPrototypes,
    PackedSamples,
    Quantisation,
    SampleTiles,
    Workspace,
    accuracy_of,
    error_steps,
    in_rows,
    packed_coordinates,
    packed_prototypes,
    padded,
    patches,
    scale_of,
)
from dbgsom_core.engine.results import (
    Flags,
    Floats,
    Integers,
    PartialSums,
    PassSpec,
    count_classes,
)
from dbgsom_core.engine.runtime import share
from dbgsom_core.engine.search_loops import ALL, IN_REACH
from dbgsom_core.engine.shards import Shard
from dbgsom_core.engine.tile import LINE, PANEL_ROWS

# Choices of `Pruning`, which change the time of a pass and never a result. Costs were measured on
# AVX-512, in multiplications for each sample, unless said otherwise.
_UNSORTED = 0.25  # share of samples with another unit from which sorting may pay
_LEAST_COMPARED = 2.0  # panels that a pass compares per block at best, about
_LEAST_PANELS = 4  # with fewer no panel is skipped
# Growth of the longest prototype up to which bounds hold. They allow for errors of prototypes as
# long as that: a larger factor makes them looser, a smaller one ends them earlier.
_LARGER = 4.0
_MARGIN_BYTES = 1 << 28  # memory of bounds, or half of the packed copy
_WRITE_BOUND = 16
_READ_BOUND = 2
# Sorting, in panels compared with each block: to pack the samples in another order takes as long as
# 9 panels; the sort itself is the same for any D, where a panel takes D multiplications.
_SORT_AND_PACK = 9
_SORT_FEATURES = 180
_SMALL_WORK = 1 << 24  # multiplications below which a second thread costs more than it saves

# Share of the samples that may be ambiguous before blocks are packed in float64, for up to _FEW
# neurons. Measured with 64 features: a recheck takes 0.5 to 0.8 µs, a comparison with K neurons
# K/2000 µs longer in float64. They break even where a fifth of the samples is ambiguous with 100
# neurons, three quarters with 900. The limit is a third of that, as later passes compare fewer
# panels: so it grows with the neurons, up to _MOST_SHARES times.
MOST_AMBIGUOUS = 1 / 16
_FEW = 256
_MOST_SHARES = 4.0


class Pruning:
    """Lower bounds on d(sample, panel) - d(sample, unit), by block of samples and panel.

    The bound is the least difference over the block's samples when it was made. A step of a
    prototype of the panel lowers it by no more than the step's length, as does a step of a sample's
    unit (triangle inequality): less the summed longest steps of panel and units it is still a
    bound. While it is positive no prototype of the panel is nearer than the unit, and the panel is
    skipped (after Ding et al. 2015, "Yinyang K-means", of single samples). README.md, "Bounds",
    adds the rounding errors. So results do not depend on what is chosen here: when bounds are kept,
    which prototypes share a panel, when samples are sorted.

    Attributes
    ----------
    ids : int32 array (G, PANEL_ROWS)
        The prototypes of each panel.
    drift : float64 array (G,)
        Summed drift of each panel since the bounds were made.
    begins : bool
        Whether this pass computes the first bounds, and can skip no panel.
    unsorted : float
        Share of the samples that changed their unit since the last sorting, summed over passes.
    """

    def __init__(self, d: int, always: bool | None = None) -> None:
        self.ids = np.empty((0, PANEL_ROWS), np.int32)
        self.bounds: LowerBounds | None = None
        self.drift = np.empty(0)
        self.begins = False
        self.unsorted = 1.0
        self._d = d
        self._always = always
        self._grows = False
        self._spare = 0  # panels for which the bounds have memory left
        # Sorting and new bounds pay when the excess comparisons of past passes cost as much.
        self._excess = 0.0
        self._pause = 0  # passes without bounds, which did not pay
        self._next_pause = 1

    def prepare(
        self, positions: Integers | None, n_neurons: int, known: bool, n_blocks: int, memory: int
    ) -> bool:
        """Choose panels and bounds for a pass; return whether to sort the samples by unit first.

        Panels hold neighbours by ``positions`` (K, 2), or by row. ``known``: the last pass had as
        many prototypes; ``memory`` are bytes that bounds may take.
        """
        sorts = False
        # Other prototypes than in the last pass: no step of them is known, so no bound holds.
        if not known or self._spare < 0:
            self.regroup(positions, n_neurons)
        elif self._sorting_pays():
            if self._grows:  # new neurons have panels of their own, far apart on the map
                self.regroup(positions, n_neurons)
            self.bounds = None
            sorts = True
        self.begins = self.bounds is None and known and self._begin_bounds(n_blocks, memory)
        sorts = sorts or (self.begins and self.unsorted > _UNSORTED)
        if sorts:
            self.unsorted = 0.0
        return sorts

    def _sorting_pays(self) -> bool:
        # The bounds of a block are loose once its samples have units far apart, whose steps all
        # count. Samples are sorted when the comparisons lost so far amount to sorting them, and to
        # the pass with new bounds that follows, which compares all panels: as in renting or buying
        # no more is lost than about twice of what the best moment would have cost.
        cost = _SORT_AND_PACK + _SORT_FEATURES / self._d + len(self.ids)
        is_mixed = self.unsorted > _UNSORTED
        return self.bounds is not None and is_mixed and self._excess > cost

    def _begin_bounds(self, n_blocks: int, memory: int) -> bool:
        # Allocate bounds, which the next pass fills, where they may pay; return whether they do.
        self._pause -= 1
        may_pay = self._pause < 0 if self._always is None else self._always
        wide = len(self.ids) + max(self._spare, 0)
        size = n_blocks * (wide * 2 + 4)  # bytes of ``lower`` and ``unit_drift``
        if not may_pay or size > memory or len(self.ids) < _LEAST_PANELS:
            return False
        lower = np.zeros((n_blocks, wide), np.uint16)
        unit_drift = np.zeros(n_blocks, np.float32)
        self.bounds = NO_BOUNDS._replace(lower=lower, unit_drift=unit_drift)
        self.drift = np.zeros(len(self.ids))
        self._excess = 0.0
        return True

    def fit_accuracy(self, samples: PackedSamples, largest: float) -> None:
        """Drop the bounds where prototypes got longer, so that values are less exact.

        Bounds allow for prototypes up to ``_LARGER`` times as long.
        """
        if self.bounds is not None and self.begins:
            grid = samples.quantisation.grid
            accuracy = accuracy_of(self._d, samples.dtype, grid, _LARGER * largest)
            self.bounds = self.bounds._replace(accuracy=accuracy)
        elif self.bounds is not None and largest > self.bounds.accuracy.largest:
            self.bounds = None

    def regroup(self, positions: Integers | None, n_neurons: int) -> None:
        if positions is None:
            self.ids = in_rows(np.arange(n_neurons), PANEL_ROWS)
        else:
            self.ids = patches(positions, PANEL_ROWS)
        self.bounds = None
        self._spare = len(self.ids) // 4 + 2 if self._grows else 0

    def grow(self, known: int, n_neurons: int) -> None:
        more = in_rows(np.arange(known, n_neurons), PANEL_ROWS)
        self.ids = np.concatenate([self.ids, more])
        self.begins = False
        self.drift = np.concatenate([self.drift, np.zeros(len(more))])
        self._spare = self._spare - len(more)
        self._grows = True
        if self._spare < 0:
            self.bounds = None

    def stop_if_slow(self, compared: float) -> None:
        """Drop the bounds where they do not pay; ``compared`` are panels per block of a pass."""
        self._excess += compared - _LEAST_COMPARED
        comparison = PANEL_ROWS * padded(self._d)
        share = compared / len(self.ids)
        with_bounds = share * (comparison + _WRITE_BOUND) + _READ_BOUND
        if with_bounds < comparison:
            self._next_pause = 1
        elif self._always is None:  # try again after 1, 2, 4, … passes
            self.bounds = None
            self._pause = self._next_pause
            self._next_pause *= 2


class ShardState(NamedTuple):
    """What a shard whose rows are read anew knows of its last pass, ``number``.

    ``units`` (m,) by slot and the row ``order`` (m,) of each slot are of the smallest integer type;
    ``prototypes`` (K, D) are those of the pass, one array for all shards.
    """

    number: int
    prototypes: Floats | None
    units: NDArray[Any]
    order: NDArray[Any]
    pruning: Pruning
    is_double: bool

    def units_by_row(self) -> NDArray[Any]:
        by_row = np.empty_like(self.units)
        by_row[self.order] = self.units
        return by_row


class PackedShard(Shard):
    """Packed samples, searched epoch after epoch with bounds from the pass before.

    ``prune``: keep bounds always, never, or (None) while they pay, see `Pruning`. A shard of a
    table of ``n_total`` rows returns units in the smallest integer type.
    """

    def __init__(
        self, data: Any, samples: PackedSamples, prune: bool | None = None, n_total: int = 0
    ) -> None:
        super().__init__(data)
        self.samples = samples
        self._n_total = n_total
        vars(data)["quantisation"] = samples.quantisation  # that of all samples
        self.pruning = Pruning(samples.X.shape[1], prune)
        self.panels_compared = 0  # over all passes
        self._recipe: tuple[Any, ...] | None = None
        self._packed: PackedPrototypes | None = None  # in the panels of the last pass
        # The packed prototypes of the last pass, none where they could not be packed.
        self._before = np.empty((0, samples.X.shape[1]))
        self._last: Floats | None = None  # the prototypes of the last pass
        self._sums = np.empty((0, 0))
        self._hits = np.empty(0, np.int64)
        self._errors = self._hits
        self._steps = 0.0
        self._bounds_memory: int | None = None
        self._runners_up: LinkedRunnersUp | None = None

    def __reduce__(self) -> Any:
        return PackedShard.from_rows, self._recipe

    def __sizeof__(self) -> int:
        return 2 * int(self.data.X.nbytes)

    @classmethod
    def from_rows(
        cls,
        X: NDArray[Any],
        codes: Integers | None,
        state: ShardState | None,
        spare: SampleTiles | None,
        make: Callable[..., Any],
        quantisation: Quantisation,
        n_total: int,
        memory: int,
    ) -> PackedShard:
        """Return the shard of rows X (m, D) of a table of ``n_total`` rows; it pickles as its rows.

        ``make(X, codes)`` returns their `Samples`; ``memory`` are bytes for the bounds of all rows.
        ``state`` is that of an earlier shard of these rows, which are then read anew; ``spare`` are
        arrays that it may overwrite.
        """
        dtype: Any = np.float32
        order = None
        if state is not None:
            dtype = np.float64 if state.is_double else np.float32
            order = state.order.astype(np.int32)
        data = make(X, codes)
        samples = PackedSamples(X, quantisation, data.threads, dtype, order, spare)
        shard = cls(data, samples, n_total=n_total)
        shard._bounds_memory = memory * len(X) // n_total
        shard._recipe = X, codes, None, None, make, quantisation, n_total, memory
        if state is not None:
            samples.blocks.bmu[: len(X)] = state.units
            shard.pruning = state.pruning
            shard._pass = state.number
            shard._last = state.prototypes
        if shard._last is not None:
            shard._before = packed_coordinates(shard._last, quantisation)
        return shard

    def state(self) -> ShardState:
        """Return what `from_rows` is to know in the next pass."""
        blocks = self.samples.blocks
        n = len(self.samples.X)
        n_neurons = 0 if self._last is None else len(self._last)
        units = blocks.bmu[:n].astype(np.min_scalar_type(n_neurons))
        order = blocks.order.astype(np.min_scalar_type(n))
        last = self._last if len(self._before) else None
        return ShardState(self._pass, last, units, order, self.pruning, self.samples.is_double)

    def assign(self, spec: PassSpec) -> PartialSums | None:
        self._run_pass(spec)
        if not len(self._before):
            return None
        data = self.data
        classes = None
        linked = None
        if self._n_total and data.codes is not None:
            units = self.samples.units_by_row()
            classes = count_classes(units, data.codes, len(spec.prototypes), data.n_classes)
        if spec.links is not None:
            linked = self.linked(spec, None, spec.links, None)
        hits = self._hits.copy()
        return PartialSums(hits, self._sums, self._errors, self._steps, classes, linked)

    def units(self, spec: PassSpec, own_class: Flags | None) -> NDArray[Any]:
        self._run_pass(spec)
        units = self.samples.units_by_row()
        if own_class is not None:
            units = self._reassign(spec, units, own_class)
        if self._n_total:
            return units.astype(np.uint16 if len(spec.prototypes) <= 1 << 16 else np.int32)
        return units

    def linked(
        self,
        spec: PassSpec,
        own_class: Flags | None,
        links: NDArray[np.int32],
        majority: Flags | None,
    ) -> tuple[Floats, Integers]:
        self._run_pass(spec)
        samples = self.samples
        runners_up = self._runners_up
        units = samples.blocks.bmu
        if own_class is not None:
            units = units.copy()
            by_row = self.units(spec, own_class)
            units[: len(by_row)] = by_row[samples.blocks.order]
        if runners_up is None or len(runners_up.hits) != len(links):
            runners_up = self._runners_up = LinkedRunnersUp(len(links), samples)
        if self._packed is None:  # the blocks' dtype changed, or the shard is new
            if not len(self.pruning.ids):
                self.pruning.regroup(None, len(spec.prototypes))
            ids = self.pruning.ids
            self._packed = self._pack(spec.prototypes, ids, np.zeros(len(ids)))
        assert self._packed is not None  # the pass could pack them
        classes = classes_of(self.data.codes, majority)
        runners_up.find(samples, self._packed, units, links, classes)
        return runners_up.sums, runners_up.hits

    def _run_pass(self, spec: PassSpec) -> None:
        if spec.number == self._pass:
            return
        # After a missed pass all prototypes are new to this shard; its sums are the same bits.
        known = spec.known if self._pass == spec.number - 1 else 0
        self._search(spec.prototypes, spec.positions, known)
        self._pass = spec.number
        self._last = spec.prototypes

    def _pack(
        self,
        prototypes: Floats,
        ids: NDArray[np.int32],
        drift: Floats,
        before: Floats | None = None,
    ) -> PackedPrototypes | None:
        how = self.samples.quantisation
        return packed_prototypes(prototypes, how, self.samples.dtype, ids, drift, before)

    def _search(self, prototypes: Floats, positions: Integers | None, n_known: int = 0) -> None:
        # Find units of all prototypes; where the last pass had the first ``n_known`` of them, the
        # panels of the new ones are compared, and panels within reach.
        samples = self.samples
        pruning = self.pruning
        grows = n_known > 0 and len(self._before) == n_known
        if grows:
            packed = self._pack_grown(prototypes, n_known)
        else:
            packed = self._pack_in_panels(prototypes, positions)
        if packed is None:  # a prototype is too far: neither bounds nor sums are of the last pass
            self._before = self._before[:0]
            self._hits = self._hits[:0]
            pruning.bounds = None
            return
        pruning.fit_accuracy(samples, packed.accuracy.largest)
        in_reach = pruning.bounds is not None and not pruning.begins
        compared = self._run(packed, IN_REACH if in_reach else ALL)
        if in_reach and not grows:
            pruning.stop_if_slow(compared / len(samples.blocks.numbers))

    def _pack_grown(self, prototypes: Floats, n_known: int) -> PackedPrototypes | None:
        # The known prototypes have not moved, so bounds and sums of the last pass hold for them.
        pruning = self.pruning
        pruning.grow(n_known, len(prototypes))
        packed = self._pack(prototypes, pruning.ids, pruning.drift)
        if packed is not None and len(self._hits) == n_known:
            more = len(prototypes) - n_known
            self._hits = np.pad(self._hits, (0, more))
            self._sums = np.pad(self._sums, ((0, more), (0, 0)))
        return packed

    def _pack_in_panels(
        self, prototypes: Floats, positions: Integers | None
    ) -> PackedPrototypes | None:
        # The panels and the order of samples that `Pruning` chooses.
        pruning = self.pruning
        before = self._before
        n_neurons = len(prototypes)
        n_blocks = len(self.samples.blocks.numbers)
        known = n_neurons == len(before)
        memory = self._memory_of_bounds()
        if pruning.prepare(positions, n_neurons, known, n_blocks, memory):
            self._sort()
        # Bounds need the drift of prototypes since the last pass.
        if pruning.bounds is None or not known:
            pruning.drift = np.zeros(len(pruning.ids))
            before = before[:0]
        return self._pack(prototypes, pruning.ids, pruning.drift, before)

    def _memory_of_bounds(self) -> int:
        samples = self.samples
        memory = self.data.working_memory
        if self._bounds_memory is not None:
            return self._bounds_memory
        if memory is None:
            return max(_MARGIN_BYTES, samples.blocks.numbers.nbytes // 2)
        return int(memory - samples.bytes_for(samples.X, samples.dtype))

    def _run(self, packed: PackedPrototypes, mode: int) -> int:
        # Return how many panels were compared with blocks.
        self._before = packed.packed
        self._packed = packed
        samples = self.samples
        n_neurons = len(packed.given)
        bounds = self.pruning.bounds
        n, d = samples.X.shape
        self._steps = steps = error_steps(self._n_total or n, d, packed.accuracy.largest)
        # A shard that is made anew for each pass has no sums that could change.
        only_changes = len(self._hits) == n_neurons
        if not only_changes:
            self._sums = np.zeros((n_neurons, samples.depth))
            self._hits = np.zeros(n_neurons, np.int64)

        def work(added: Accumulator, space: Workspace, start: int, stop: int) -> None:
            search_loops.search_blocks(
                samples.tag, samples.packed, packed, steps, bounds or NO_BOUNDS, mode,
                bounds is not None, only_changes, added, space, start, stop,
            )  # fmt: skip

        n_panels = len(packed.panels.ids)
        is_small = samples.X.size * n_neurons < _SMALL_WORK
        total = samples.each(self._sums, self._hits, n_panels, work, is_small)
        self._sums = total.sums
        self._hits = total.hits
        self._errors = total.errors
        compared, changed, ambiguous = total.counts[:3].tolist()
        self.panels_compared += compared
        self.pruning.unsorted += changed / n
        shares = min(max(n_neurons / _FEW, 1.0), _MOST_SHARES)
        if ambiguous > MOST_AMBIGUOUS * shares * n:
            self.double()
        return int(compared)

    def double(self) -> None:
        """Pack in float64: with fewer ambiguous samples it is faster than many rechecks."""
        samples = self.samples
        most = self.data.working_memory
        size = samples.bytes_for(samples.X, np.float64)
        if samples.is_double or (most is not None and size > most):
            return
        self.samples = samples.doubled()
        self._packed = self._runners_up = self.pruning.bounds = None

    def _sort(self) -> None:
        ids = self.pruning.ids
        samples = self.samples
        runners_up = self._runners_up
        rank = np.empty(int((ids >= 0).sum()), np.int32)
        rank[ids[ids >= 0]] = np.arange(len(rank), dtype=np.int32)
        before = None if runners_up is None else samples.blocks.order.copy()
        samples.sort(rank)
        if runners_up is not None and before is not None:
            runners_up.sort(before, samples.blocks.order)


# ------------------------------------------------------------------------------ single passes

_CENTRED = 256  # prototypes whose median is the centre: a sample of them, as it has to be sorted
_LONGEST = 2.0**450  # beyond, and below its inverse, squared distances leave float64
_ROWS = 8192  # packed at a time: few, so that what a thread packs stays in its cache
_GRID = 2.0**-52  # no grid: there are no sums to be exact


def nearest_units(data: Any, prototypes: Floats, n_best: int) -> Integers | None:
    """Return the ``n_best`` (1 or 2) nearest of at least two prototypes (K, D), int64 (n, n_best).

    Exact in float64, ties to the lower row. Samples are packed in chunks, centred at the median
    prototype, without a pass over the data for its extent and without memory for a packed copy.
    None where values are missing, or prototypes not finite or of extreme size.
    """
    sample = prototypes[:: -(-len(prototypes) // _CENTRED)]
    centre = np.asarray(np.median(sample, axis=0))  # robust against a few distant prototypes
    reach = float(np.abs(prototypes - centre).max())
    if reach != 0 and not 1 / _LONGEST < reach < _LONGEST:  # also where it is nan
        return None
    how = Quantisation(centre, scale_of(reach), _GRID)
    limit = int(data.n * MOST_AMBIGUOUS) + LINE
    units, ambiguous = _pack_and_search(data, prototypes, n_best, how, np.float32, limit)
    if ambiguous > limit:
        units, ambiguous = _pack_and_search(data, prototypes, n_best, how, np.float64, data.n)
    return None if ambiguous < 0 else units


def _pack_and_search(
    data: Any, prototypes: Floats, n_best: int, how: Quantisation, dtype: Any, limit: int
) -> tuple[Integers, int]:
    # Return the units (n, n_best), and how many samples were ambiguous in blocks of this dtype. The
    # units are incomplete where those are more than ``limit``, or -1: a value is missing.
    ids = in_rows(np.arange(len(prototypes)), PANEL_ROWS)
    units = np.empty((data.n, n_best), np.int64)
    packed = packed_prototypes(prototypes, how, dtype, ids, np.zeros(len(ids)))
    if packed is None:
        return units, -1
    ambiguous = np.zeros(-(-data.n // _ROWS), np.int64)

    def work(worker: int, task: int) -> None:
        if ambiguous.min() < 0 or ambiguous.sum() > limit:
            return
        rows = slice(task * _ROWS, min((task + 1) * _ROWS, data.n))
        samples = PackedSamples(data.X[rows], how, 1, dtype)
        squares = samples.blocks.squares.reshape(-1)[: len(samples.X)]
        if not squares.max() < FAR**2:  # also where it is nan
            if np.isnan(data.X[rows]).any():
                ambiguous[task] = -1
            else:
                units[rows] = data.subset(rows).nearest_plainly(prototypes, n_best)[0]
            return
        nearest = np.empty((len(squares), n_best), np.int32)
        space = samples.workspaces(1, len(ids))[0]
        ambiguous[task] = search_loops.nearest_blocks(
            samples.tag, n_best, samples.packed, packed, NO_BOUNDS, nearest, space
        )
        units[rows] = nearest

    if not len(ambiguous):
        return units, 0
    share(data.threads, len(ambiguous), work)
    return units, -1 if ambiguous.min() < 0 else int(ambiguous.sum())
