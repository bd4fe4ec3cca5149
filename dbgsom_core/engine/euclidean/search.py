"""The passes of one training: what one epoch found makes the next one cheap; and single passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Floats, Found, Integers, MapGraph
from dbgsom_core.engine.euclidean import search_loops
from dbgsom_core.engine.euclidean.fine_tuning import NO_CLASSES, LinkedRunnersUp, tally_linked
from dbgsom_core.engine.euclidean.layout import (
    FAR,
    PackedPrototypes,
    PrototypePacker,
    in_rows,
    patches,
)
from dbgsom_core.engine.euclidean.packed_result import PackedResult
from dbgsom_core.engine.euclidean.packing import (
    NO_MARGINS,
    Chunk,
    Frame,
    Margins,
    Packed,
    PackedAnew,
    PackedSamples,
    Tally,
    Workspace,
)
from dbgsom_core.engine.euclidean.search_loops import ALL, IN_REACH
from dbgsom_core.engine.llvm.tile import LINE, PANEL_ROWS, UNROLL
from dbgsom_core.engine.per_sample import unlinked
from dbgsom_core.engine.rows import for_loops
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.tables import SlicedTable

_UNSORTED = 0.25  # share of samples with another unit from which sorting may be of use
_LEAST_COMPARED = 2.0  # panels a block that a pass compares at best, about
_LEAST_PANELS = 4  # with fewer there is nothing to leave out
_LARGER = 4.0  # times as long as at first prototypes may become before margins begin anew


class Pruning:
    """Lower bounds on the distances of blocks of samples to panels of prototypes.

    For each block and panel there is a margin by which the panel is at least farther away from
    each sample than the nearest one; less how far panel and units moved since, it tells which
    panels need no comparison (after Ding et al. 2015, "Yinyang K-means", of single samples). What
    is found does not depend on it.

    Attributes
    ----------
    ids : int32 array (G, PANEL_ROWS)
        Which prototypes share a panel.
    margins : Margins or None
        Of the first blocks, or of all.
    drift : float64 array (G,)
        How far panels moved since the margins began.
    begins : bool
        Whether they begin with this pass, for which they tell nothing yet.
    changed : float
        The share of the samples whose unit the last pass changed.
    """

    def __init__(self, d: int, always: bool | None = None) -> None:
        self.ids = np.empty((0, PANEL_ROWS), np.int32)
        self.margins: Margins | None = None
        self.drift = np.empty(0)
        self.begins = False
        self.changed = self._unsorted = 1.0  # the latter since samples were sorted
        self._d, self._always, self._grows = d, always, False  # always: keep margins, or never
        self._spare = 0  # panels for which the margins have memory left
        # A fresh start, sorting and a whole pass, pays when what passes compared beyond the least
        # that they could amounts to it.
        self._excess = 0.0
        self._pause, self._next_pause = 0, 1  # passes without margins, which did not pay

    def prepare(
        self, positions: Integers | None, n_neurons: int, known: bool,
        blocks_for: Callable[[int], int],
    ) -> bool:  # fmt: skip
        """Make ready for a pass; return whether samples have to be sorted by their units first.

        Parameters
        ----------
        positions : int array (K, 2) or None
            Grid cells; without them neighbours in the list count as neighbours.
        known : bool
            Whether units of the same number of prototypes are known.
        blocks_for : callable
            Returns for how many blocks there is memory for margins of so many bytes each.
        """
        sorting = 9 + 180 / self._d + len(self.ids)  # what it takes, in panels, as measured
        is_mixed, sorts = self._unsorted > _UNSORTED, False
        if not known or self._spare < 0:
            self.regroup(positions, n_neurons)
        elif self.margins is not None and is_mixed and self._excess > sorting:
            if self._grows:  # new neurons have panels of their own, far apart on the map
                self.regroup(positions, n_neurons)
            self.margins, sorts = None, True
        self.begins = self.margins is None and known and self._begin(blocks_for)
        if sorts or (self.begins and is_mixed):
            self._unsorted, sorts = 0.0, True
        return sorts

    def fit_accuracy(self, samples: Packed, prototypes: PackedPrototypes) -> None:
        """Drop the margins if they were made for values that are more exact.

        Where prototypes are longer values are less exact; margins allow for some of that.
        """
        largest = prototypes.accuracy.largest
        if self.margins is not None and self.begins:
            accuracy = samples.accuracy(_LARGER * largest)
            self.margins = self.margins._replace(accuracy=accuracy)
        elif self.margins is not None and largest > self.margins.accuracy.largest:
            self.margins = None

    def regroup(self, positions: NDArray[np.int64] | None, n_neurons: int) -> None:
        """Divide K prototypes among panels anew, without margins."""
        if positions is None:
            self.ids = in_rows(np.arange(n_neurons), PANEL_ROWS)
        else:
            self.ids = patches(positions, PANEL_ROWS)
        self.margins = None
        self._spare = len(self.ids) // 4 + 2 if self._grows else 0

    def grow(self, known: int, n_neurons: int) -> None:
        """Give the prototypes from ``known`` on panels of their own."""
        more = in_rows(np.arange(known, n_neurons), PANEL_ROWS)
        self.ids, self.begins = np.concatenate([self.ids, more]), False
        self.drift = np.concatenate([self.drift, np.zeros(len(more))])
        self._spare, self._grows = self._spare - len(more), True
        if self._spare < 0:
            self.margins = None

    def note_changed(self, changed: float) -> None:
        """Take the share of the samples whose unit a pass changed."""
        self.changed = changed
        self._unsorted += changed

    def judge(self, compared: float) -> None:
        """Keep the margins while they pay; ``compared`` are panels a block of the last pass."""
        self._excess += compared - _LEAST_COMPARED
        comparison = PANEL_ROWS * (-(-self._d // UNROLL) * UNROLL)
        # Measured on AVX-512: writing a margin and looking at one, in steps of a comparison.
        if compared / len(self.ids) * (comparison + 16) + 2 < comparison:
            self._next_pause = 1
        elif self._always is None:
            self.margins, self._pause = None, self._next_pause
            self._next_pause *= 2

    def _begin(self, blocks_for: Callable[[int], int]) -> bool:
        self._pause -= 1
        worth = self._pause < 0 if self._always is None else self._always
        if not worth or len(self.ids) < _LEAST_PANELS:
            return False
        wide = len(self.ids) + max(self._spare, 0)
        n_blocks = blocks_for(wide * 2 + 4)
        if n_blocks == 0:
            return False
        least, slides = np.zeros((n_blocks, wide), np.uint16), np.zeros(n_blocks, np.float32)
        self.margins = NO_MARGINS._replace(least=least, slides=slides)
        self.drift, self._excess = np.zeros(len(self.ids)), 0.0
        return True


_SMALL_WORK = 1 << 24  # multiplications below which a second thread costs more than it saves
DOUBTS = 1 / 16  # share of the samples that may be in doubt, for few neurons
_FEW = 256
_BOUNDED = 3  # where counts hold comparisons with panels that have margins


class FastSearch:
    """Exact best-matching units of one data set, epoch after epoch (Euclidean geometry).

    Parameters
    ----------
    data : LocalSamples
        Finds units where packed numbers cannot: prototypes far away from the data.
    samples : PackedSamples or PackedAnew
        The data's.
    prunes : bool or None
        Keep margins always, never, or (None) while they pay, see `Pruning`.
    """

    def __init__(
        self, data: Any, samples: PackedSamples | PackedAnew, prunes: bool | None = None
    ) -> None:
        self.data, self.samples = data, samples
        self.pruning = Pruning(samples.X.shape[1], prunes)
        self.panels_compared = 0  # over all passes
        self._passes = 0
        self._packer = PrototypePacker(samples)
        self.packed = np.empty((0, samples.X.shape[1]))  # prototypes of the last pass
        self._laid: PackedPrototypes | None = None  # in the panels of the last pass
        self._sums, self._hits = np.empty((0, 0)), np.empty(0, np.int64)
        self._errors, self._total_error = np.empty(0), 0.0
        self.whole_errors = np.empty(0, np.int64)  # of the last pass, in steps
        # What fine-tuning found, and the links (K, degree) that it asked for.
        self.seconds: LinkedRunnersUp | None = None
        self._links: NDArray[np.int32] | None = None

    def assign(self, prototypes: Floats, positions: Integers | None = None) -> Found:
        """See `Search`; without positions neighbours in the list count as neighbours."""
        known = len(prototypes) == len(self.packed) == len(self._hits)
        pruning, memory = self.pruning, self.data.working_memory
        blocks_for = partial(self.samples.blocks_for, working_memory=memory)
        sorts = pruning.prepare(positions, len(prototypes), known, blocks_for)
        bounded = len(pruning.margins.least) if pruning.margins is not None else 0
        if self.samples.reserve(len(prototypes), bounded) or sorts:
            self._sort()
        before = self.packed  # how far prototypes moved since the last pass counts in margins
        if pruning.margins is None or not known:
            pruning.drift, before = np.zeros(len(pruning.ids)), before[:0]
        laid = self._packer.pack(prototypes, pruning.ids, pruning.drift, before)
        if laid is None:
            self.packed = self.packed[:0]  # what was found then is no longer the last pass
            pruning.margins = None
            exact: Found = self.data.found(prototypes, self.data.assign_plainly(prototypes))
            return exact
        pruning.fit_accuracy(self.samples, laid)
        if pruning.margins is None or pruning.begins:
            self._run(prototypes, laid, ALL, known)
        else:
            compared = self._run(prototypes, laid, IN_REACH, known)
            pruning.judge(compared / bounded)
        found = self._result(prototypes)
        self._passes += 1
        return found

    def admit(self, found: Found, prototypes: Floats, positions: Integers, known: int) -> Found:
        """See `Search`; the new prototypes have panels of their own."""
        if known == len(prototypes):
            return found
        if len(self.packed) != known:
            return self.assign(prototypes, positions)
        self.pruning.grow(known, len(prototypes))
        laid = self._packer.pack(prototypes, self.pruning.ids, self.pruning.drift)
        if laid is None:
            return self.assign(prototypes, positions)
        more = len(prototypes) - known
        self._hits = np.concatenate([self._hits, np.zeros(more, np.int64)])
        self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
        self.samples.reserve(len(prototypes), 0)
        self.pruning.fit_accuracy(self.samples, laid)
        margins = self.pruning.margins
        self._run(prototypes, laid, ALL if margins is None else IN_REACH, True)
        return self._result(prototypes)

    def unlinked(self, prototypes: Floats, graph: MapGraph) -> NDArray[np.bool_]:
        """See `Search`."""
        out = np.empty(self.data.n, bool)

        def mark(rows: Any, nearest: NDArray[np.signedinteger[Any]]) -> None:
            out[rows] = unlinked(nearest, graph)

        self.each_two(prototypes, mark)
        return out

    def each_two(
        self, prototypes: Floats, use: Callable[[Any, NDArray[np.signedinteger[Any]]], None]
    ) -> None:
        """Do ``use(rows, nearest)`` with the two nearest prototypes (m, 2) of parts of the rows.

        It is the last question: what is found may take the memory of what was kept.
        """
        samples, laid = self.samples, None
        if len(prototypes) > 1:
            if len(prototypes) != len(self.packed):
                self.pruning.regroup(None, len(prototypes))
            ids = self.pruning.ids
            laid, self._laid = self._packer.pack(prototypes, ids, np.zeros(len(ids))), None
        if laid is None:
            use(slice(0, self.data.n), self.data.nearest_plainly(prototypes, 2)[0])
            return
        if isinstance(samples, PackedAnew):
            samples.forget()
            self.pruning.margins, self.packed = None, self.packed[:0]

        def work(tally: Tally, space: Workspace, chunk: Chunk) -> None:
            places, (start, stop) = chunk.places, (chunk.start, chunk.stop)
            nearest = np.empty((places.stop - places.start, 2), np.int32)
            search_loops.nearest_blocks(
                samples.one, 2, chunk.samples, prototypes, chunk.blocks, laid.panels, laid.accuracy,
                NO_MARGINS, nearest, space, start, stop,
            )  # fmt: skip
            use(chunk.blocks.order[places] + np.int64(chunk.of.start), nearest)

        nothing = np.empty((0, 0)), np.empty(0, np.int64)
        small, n_panels = self._is_small(len(prototypes)), len(laid.panels.ids)
        samples.each(samples.units, *nothing, n_panels, work, small)

    def pulled(
        self, prototypes: NDArray[np.float64], links: NDArray[np.int32]
    ) -> LinkedRunnersUp | None:
        """Return what the linked neighbours of units win where the pass found it while it read."""
        before, self._links = self._links, links
        is_asked_again = before is not None and np.array_equal(before, links)
        anew = isinstance(self.samples, PackedAnew)
        return self.seconds if anew and is_asked_again else None

    def _run(
        self, prototypes: Floats, laid: PackedPrototypes, mode: int, only_changes: bool
    ) -> int:
        # Returns how many panels were compared with blocks that have margins.
        self.packed, self._laid = laid.packed, laid
        samples, n_neurons = self.samples, len(prototypes)
        steps, margins = samples.steps(laid.accuracy), self.pruning.margins
        bounded = 0 if margins is None else len(margins.least)
        if not only_changes:
            self._sums = np.zeros((n_neurons, samples.depth))
            self._hits = np.zeros(n_neurons, np.int64)
        links = self._links if isinstance(samples, PackedAnew) else None
        links = links if links is not None and len(links) == n_neurons else None
        sums, hits = self._sums, self._hits
        if links is not None:  # what linked neighbours win follows on what neurons win
            sums, hits = (np.concatenate([won, np.zeros_like(won)]) for won in (sums, hits))

        def work(tally: Tally, space: Workspace, chunk: Chunk) -> None:
            own, (start, stop) = NO_MARGINS, (chunk.start, chunk.stop)
            keeps = chunk.numbers.stop <= bounded
            if keeps and margins is not None:
                least, slides = margins.least[chunk.numbers], margins.slides[chunk.numbers]
                own = Margins(least, slides, margins.accuracy)
            won, counts = _upper(tally, n_neurons), tally.counts
            compared = int(counts[0])
            search_loops.search_blocks(
                samples.one, chunk.samples, prototypes, laid.packed, samples.frame, steps,
                chunk.blocks, laid.panels, laid.accuracy, own, mode if keeps else ALL,
                keeps, only_changes, won, space, start, stop,
            )  # fmt: skip
            if keeps:
                counts[_BOUNDED] += counts[0] - compared
            if links is not None:
                beside = Tally(tally.sums[n_neurons:], tally.hits[n_neurons:], *tally[2:])
                unknown = np.zeros_like(chunk.units)
                tally_linked(
                    samples, prototypes, laid, links, NO_CLASSES, unknown, beside, space, chunk
                )

        n_panels = len(laid.panels.ids)
        total = samples.each(samples.units, sums, hits, n_panels, work, self._is_small(n_neurons))
        if isinstance(samples, PackedAnew):
            self.seconds = None
        if links is not None:
            self.seconds = LinkedRunnersUp(None, total.sums[n_neurons:], total.hits[n_neurons:])
        total = _upper(total, n_neurons)
        self._sums, self._hits = total.sums, total.hits
        self.whole_errors = total.errors
        scaled = steps * samples.frame.scale
        self._errors = total.errors / scaled
        self._total_error = float(total.errors.sum()) / scaled
        compared, changed, doubts, among = total.counts[:4].tolist()
        self.panels_compared += compared
        self.pruning.note_changed(changed / self.data.n)
        # Measured on AVX-512: a recheck of a sample of 64 features takes 0.5 to 0.8 µs, to compare
        # it with K neurons takes K/2000 µs longer in float64. Both are even where a fifth of the
        # samples is in doubt with 100 neurons, and three quarters with 900. A third of that, as
        # later passes compare fewer; a map that begins as a plane leaves doubts to its first ones.
        if doubts > DOUBTS * min(max(n_neurons / _FEW, 1.0), 4.0) * self.data.n:
            self.double()
        return int(among)

    def _is_small(self, n_neurons: int) -> bool:
        return bool(self.samples.X.size * n_neurons < _SMALL_WORK)

    def double(self) -> None:
        """Go on in float64, where to settle many doubts takes longer than to have few."""
        if self.samples.is_double:
            return
        doubled = self.samples.doubled(self.data.working_memory)
        if doubled is not self.samples:
            self.samples, self._packer, self._laid = doubled, PrototypePacker(doubled), None
            self.seconds, self.pruning.margins = None, None

    def _result(self, prototypes: Floats) -> PackedResult:
        moved = self.pruning.changed if self._passes else 1.0
        return PackedResult(
            self, prototypes, self._hits.copy(), self._errors, self._total_error, self._sums,
            self.samples.units, moved,
        )  # fmt: skip

    def packed_prototypes(self, prototypes: NDArray[np.float64]) -> PackedPrototypes:
        """Return the prototypes (K, D) of the last pass, packed; valid until the next one."""
        if self._laid is None:  # blocks are of another dtype since
            self._laid = self._packer.pack(prototypes, self.pruning.ids, self.pruning.drift)
        assert self._laid is not None  # the pass could lay them out
        return self._laid

    def _sort(self) -> None:
        ids, samples = self.pruning.ids, self.samples
        rank = np.empty(int((ids >= 0).sum()), np.int32)
        rank[ids[ids >= 0]] = np.arange(len(rank), dtype=np.int32)
        if isinstance(samples, PackedAnew):
            samples.sort(rank)
            return
        before = None if self.seconds is None else samples.blocks.order.copy()
        samples.sort(rank)
        if self.seconds is not None and before is not None:
            self.seconds = self.seconds.sorted(before, samples.blocks.order)


def _upper(tally: Tally, n: int) -> Tally:
    # What is added up in the first ``n`` rows.
    if len(tally.hits) == n:
        return tally
    return Tally(tally.sums[:n], tally.hits[:n], tally.errors[:n], tally.counts)


# ------------------------------------------------------------------------------ single passes

_CENTRED = 256  # prototypes whose median is the centre
_ONE_OF = 16  # samples may be in doubt, or blocks are of float64
_LONGEST = 2.0**450  # beyond, and below its inverse, squares of the definition leave float64
_ROWS = 8192  # that are packed at a time
_GRID = 2.0**-52  # sums are of no interest, so packed numbers need none


def nearest_units(data: PlainSamples, prototypes: Floats, places: int) -> Integers | None:
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
    frame, most = Frame(centre, scale, _GRID), data.n // _ONE_OF + LINE
    out, doubts = _nearest_units(data, prototypes, places, frame, np.float32, most)
    if doubts > most:
        out, doubts = _nearest_units(data, prototypes, places, frame, np.float64, data.n)
    return None if doubts < 0 else out


def _nearest_units(
    data: PlainSamples, prototypes: Floats, places: int, frame: Frame, dtype: Any, most: int
) -> tuple[Integers, int]:
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
