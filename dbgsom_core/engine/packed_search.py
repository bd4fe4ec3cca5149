"""Packed samples that find units: what one epoch found makes the next cheap; single passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine import search_loops
from dbgsom_core.engine.fine_tuning import LinkedRunnersUp, classes_of
from dbgsom_core.engine.packing import (
    FAR,
    NO_MARGINS,
    Accumulator,
    Margins,
    PackedPrototypes,
    PackedSamples,
    PrototypePacker,
    Quantisation,
    Workspace,
    error_steps,
    in_rows,
    patches,
)
from dbgsom_core.engine.results import Flags, Floats, Integers, count_classes, unlinked
from dbgsom_core.engine.runtime import share
from dbgsom_core.engine.search import Part, PartialSums, Pass
from dbgsom_core.engine.search_loops import ALL, IN_REACH
from dbgsom_core.engine.tile import LINE, PANEL_ROWS, UNROLL

_UNSORTED = 0.25  # share of samples with another unit from which sorting may be of use
_LEAST_COMPARED = 2.0  # panels a block that a pass compares at best, about
_LEAST_PANELS = 4  # with fewer there is nothing to leave out
_LARGER = 4.0  # times as long as at first prototypes may become before margins begin anew
_MARGIN_BYTES = 1 << 28  # that margins may take, or half of the packed copy
_SMALL_WORK = 1 << 24  # multiplications below which a second thread costs more than it saves
DOUBTS = 1 / 16  # share of the samples that may be in doubt, for few neurons
_FEW = 256


class Pruning:
    """Lower bounds on d(sample, panel) - d(sample, unit), by block of samples and panel.

    They are reduced by how far panel and units moved since; a panel with a positive bound needs no
    comparison (after Ding et al. 2015, "Yinyang K-means", of single samples). What is found does
    not depend on it.

    Attributes
    ----------
    ids : int32 array (G, PANEL_ROWS)
        Which prototypes share a panel.
    drift : float64 array (G,)
        How far panels moved since the margins began.
    begins : bool
        Whether they begin with this pass, for which they tell nothing yet.
    unsorted : float
        The share of the samples whose unit passes changed since they were sorted.
    """

    def __init__(self, d: int, always: bool | None = None) -> None:
        self.ids = np.empty((0, PANEL_ROWS), np.int32)
        self.margins: Margins | None = None
        self.drift = np.empty(0)
        self.begins = False
        self.unsorted = 1.0
        self._d, self._always, self._grows = d, always, False  # always: keep margins, or never
        self._spare = 0  # panels for which the margins have memory left
        # A fresh start, sorting and a whole pass, pays when what passes compared beyond the least
        # that they could amounts to it.
        self._excess = 0.0
        self._pause, self._next_pause = 0, 1  # passes without margins, which did not pay

    def prepare(
        self, positions: Integers | None, n_neurons: int, known: bool, n_blocks: int, memory: int
    ) -> bool:
        """Make ready for a pass; return whether samples have to be sorted by their units first.

        Neurons are neighbours by their cells (K, 2), without ``positions`` by their rows; units of
        as many prototypes may be ``known``; ``memory`` are bytes that margins may take.
        """
        sorting = 9 + 180 / self._d + len(self.ids)  # what it takes, in panels, as measured
        is_mixed, sorts = self.unsorted > _UNSORTED, False
        if not known or self._spare < 0:
            self.regroup(positions, n_neurons)
        elif self.margins is not None and is_mixed and self._excess > sorting:
            if self._grows:  # new neurons have panels of their own, far apart on the map
                self.regroup(positions, n_neurons)
            self.margins, sorts = None, True
        self.begins = False
        if self.margins is None and known:
            self._pause -= 1
            worth = self._pause < 0 if self._always is None else self._always
            wide = len(self.ids) + max(self._spare, 0)
            fits = n_blocks * (wide * 2 + 4) <= memory
            if worth and fits and len(self.ids) >= _LEAST_PANELS:
                self.begins = True
                least = np.zeros((n_blocks, wide), np.uint16)
                slides = np.zeros(n_blocks, np.float32)
                self.margins = NO_MARGINS._replace(least=least, slides=slides)
                self.drift, self._excess = np.zeros(len(self.ids)), 0.0
        if sorts or (self.begins and is_mixed):
            self.unsorted, sorts = 0.0, True
        return sorts

    def fit_accuracy(self, packer: PrototypePacker, largest: float) -> None:
        """Drop the margins if they were made for values that are more exact.

        Where prototypes are longer values are less exact; margins allow for some of that.
        """
        if self.margins is not None and self.begins:
            self.margins = self.margins._replace(accuracy=packer.accuracy(_LARGER * largest))
        elif self.margins is not None and largest > self.margins.accuracy.largest:
            self.margins = None

    def regroup(self, positions: Integers | None, n_neurons: int) -> None:
        if positions is None:
            self.ids = in_rows(np.arange(n_neurons), PANEL_ROWS)
        else:
            self.ids = patches(positions, PANEL_ROWS)
        self.margins = None
        self._spare = len(self.ids) // 4 + 2 if self._grows else 0

    def grow(self, known: int, n_neurons: int) -> None:
        more = in_rows(np.arange(known, n_neurons), PANEL_ROWS)
        self.ids, self.begins = np.concatenate([self.ids, more]), False
        self.drift = np.concatenate([self.drift, np.zeros(len(more))])
        self._spare, self._grows = self._spare - len(more), True
        if self._spare < 0:
            self.margins = None

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


class FastPart(Part):
    """Packed samples that are searched epoch after epoch: what a pass found makes the next cheap.

    ``prunes``: keep margins always, never, or (None) while they pay, see `Pruning`. With ``among``
    they are some of so many samples, of which units are handed out in few bytes.
    """

    def __init__(
        self, data: Any, samples: PackedSamples, prunes: bool | None = None, among: int = 0
    ) -> None:
        super().__init__(data)
        self.samples, self._among = samples, among
        vars(data)["quantisation"] = samples.quantisation  # that of all samples
        self.pruning = Pruning(samples.X.shape[1], prunes)
        self.panels_compared = 0  # over all passes
        self._recipe: tuple[Any, ...] | None = None
        self._packer = PrototypePacker(samples.quantisation, samples.X.shape[1], samples.dtype)
        self._packed: PackedPrototypes | None = None  # in the panels of the last pass
        self._before = np.empty((0, samples.X.shape[1]))  # its packed prototypes
        self._last: Floats | None = None  # the prototypes of the last pass
        self._sums, self._hits = np.empty((0, 0)), np.empty(0, np.int64)
        self._errors, self._steps, self._is_found = self._hits, 0.0, False
        self._changed = 0
        self._runners_up: LinkedRunnersUp | None = None

    @classmethod
    def of_shard(
        cls,
        X: NDArray[Any],
        codes: Integers | None,
        make: Callable[..., Any],
        quantisation: Quantisation,
        among: int,
        prunes: bool | None = None,
    ) -> FastPart:
        """Return rows X (m, D) of a table of ``among``; it is pickled as its rows.

        ``make(X, codes)`` returns their `Samples`.
        """
        data = make(X, codes)
        samples = PackedSamples(X, quantisation, data.threads)
        part = cls(data, samples, prunes, among)
        part._recipe = X, codes, make, quantisation, among, prunes
        return part

    def __reduce__(self) -> Any:
        return FastPart.of_shard, self._recipe

    def __sizeof__(self) -> int:
        return 2 * int(self.data.X.nbytes)

    def restore(self, units: NDArray[Any], done: int) -> None:
        """Take units (m,) that a pass found."""
        self.samples.blocks.bmu[: len(units)] = units[self.samples.blocks.order]
        self._done = done

    def assign(self, now: Pass) -> PartialSums | None:
        self._do(now)
        if not self._is_found:
            return None
        data, classes, linked = self.data, None, None
        if self._among and data.codes is not None:
            units = self.samples.by_row(self.samples.blocks.bmu)
            classes = count_classes(units, data.codes, len(now.prototypes), data.n_classes)
        if now.links is not None:
            linked = self.linked(now, None, now.links, None)
        hits = self._hits.copy()
        return PartialSums(
            hits, self._sums, self._errors, self._steps, self._changed, classes, linked
        )

    def units(self, now: Pass, own: Flags | None) -> NDArray[Any]:
        self._do(now)
        units = self.samples.by_row(self.samples.blocks.bmu)
        if own is not None:
            units = self._reassigned(now, units, own)
        if self._among:
            return units.astype(np.uint16 if len(now.prototypes) <= 1 << 16 else np.int32)
        return units

    def linked(
        self, now: Pass, own: Flags | None, links: NDArray[np.int32], leads: Flags | None
    ) -> tuple[Floats, Integers]:
        self._do(now)
        samples, runners_up = self.samples, self._runners_up
        units = samples.blocks.bmu
        if own is not None:
            units, by_row = units.copy(), self.units(now, own)
            units[: len(by_row)] = by_row[samples.blocks.order]
        if runners_up is None or len(runners_up.hits) != len(links):
            runners_up = self._runners_up = LinkedRunnersUp(len(links), samples)
        if self._packed is None:  # blocks are of another dtype since, or were made anew
            if not len(self.pruning.ids):
                self.pruning.regroup(None, len(now.prototypes))
            ids, drift = self.pruning.ids, np.zeros(len(self.pruning.ids))
            self._packed = self._packer.pack(now.prototypes, ids, drift)
        assert self._packed is not None  # the pass could pack them
        classes = classes_of(self.data.codes, leads)
        runners_up.find(samples, self._packed, now.prototypes, units, links, classes)
        return runners_up.sums, runners_up.hits

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        if len(prototypes) == 1:
            return np.zeros(self.data.n, bool)
        nearest = nearest_units(self.data, prototypes, 2)
        if nearest is None:  # too far away for packed numbers
            nearest = self.data.nearest_plainly(prototypes, 2)[0]
        return unlinked(nearest, links)

    def _do(self, now: Pass) -> None:
        if now.number == self._done:
            return
        known, last = now.known, self._last
        was_lost = self._done != now.number - 1  # changes are those of this pass
        if (
            known
            and was_lost
            and (last is None or not np.array_equal(last, now.prototypes[:known]))
        ):
            self._search(now.prototypes[:known], now.positions[:known])
        self._search(now.prototypes, now.positions, known)
        self._done, self._last = now.number, now.prototypes

    def _search(self, prototypes: Floats, positions: Integers | None, admits: int = 0) -> None:
        # Find units of all prototypes; where the last pass had the first ``admits`` of them, only
        # panels of those after them, and panels within reach, are compared.
        n_neurons, samples, pruning = len(prototypes), self.samples, self.pruning
        before = self._before
        if admits and len(before) == len(self._hits) == admits:
            pruning.grow(admits, n_neurons)
            packed = self._packer.pack(prototypes, pruning.ids, pruning.drift)
            known, more = True, n_neurons - admits
            if packed is not None:
                self._hits = np.concatenate([self._hits, np.zeros(more, np.int64)])
                self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
        else:
            known = n_neurons == len(before) == len(self._hits)
            memory = self.data.working_memory
            if memory is None:
                memory = max(_MARGIN_BYTES, samples.blocks.numbers.nbytes // 2)
            else:
                memory -= samples.bytes_for(samples.X, samples.dtype)
            if pruning.prepare(positions, n_neurons, known, len(samples.blocks.numbers), memory):
                self._sort()
            # How far prototypes moved since the last pass counts in margins.
            if pruning.margins is None or not known:
                pruning.drift, before = np.zeros(len(pruning.ids)), before[:0]
            packed = self._packer.pack(prototypes, pruning.ids, pruning.drift, before)
        self._is_found = packed is not None
        if packed is None:
            self._before, pruning.margins = self._before[:0], None
            return
        pruning.fit_accuracy(self._packer, packed.accuracy.largest)
        in_reach = pruning.margins is not None and not pruning.begins
        compared = self._run(prototypes, packed, IN_REACH if in_reach else ALL, known)
        if in_reach and not admits:
            pruning.judge(compared / len(samples.blocks.numbers))

    def _run(
        self, prototypes: Floats, packed: PackedPrototypes, mode: int, only_changes: bool
    ) -> int:
        # Returns how many panels were compared with blocks.
        self._before, self._packed = packed.packed, packed
        samples, n_neurons, margins = self.samples, len(prototypes), self.pruning.margins
        n, d = samples.X.shape
        self._steps = steps = error_steps(self._among or n, d, packed.accuracy.largest)
        if not only_changes:
            self._sums = np.zeros((n_neurons, samples.depth))
            self._hits = np.zeros(n_neurons, np.int64)

        def work(added: Accumulator, space: Workspace, start: int, stop: int) -> None:
            search_loops.search_blocks(
                samples.tag, samples.rows, prototypes, packed.packed, samples.quantisation, steps,
                samples.blocks, packed.panels, packed.accuracy, margins or NO_MARGINS, mode,
                margins is not None, only_changes, added, space, start, stop,
            )  # fmt: skip

        n_panels = len(packed.panels.ids)
        is_small = samples.X.size * n_neurons < _SMALL_WORK
        total = samples.each(self._sums, self._hits, n_panels, work, is_small)
        self._sums, self._hits, self._errors = total.sums, total.hits, total.errors
        compared, self._changed, doubts = total.counts[:3].tolist()
        self.panels_compared += compared
        self.pruning.unsorted += self._changed / n
        # Measured on AVX-512: a recheck of a sample of 64 features takes 0.5 to 0.8 µs, to compare
        # it with K neurons takes K/2000 µs longer in float64. Both are even where a fifth of the
        # samples is in doubt with 100 neurons, and three quarters with 900. A third of that, as
        # later passes compare fewer; a map that begins as a plane leaves doubts to its first ones.
        if doubts > DOUBTS * min(max(n_neurons / _FEW, 1.0), 4.0) * n:
            self.double()
        return int(compared)

    def double(self) -> None:
        """Go on in float64, where to recheck many doubts takes longer than to have few."""
        samples, most = self.samples, self.data.working_memory
        size = samples.bytes_for(samples.X, np.float64)
        if samples.is_double or (most is not None and size > most):
            return
        self.samples = samples.doubled()
        self._packer = PrototypePacker(samples.quantisation, samples.X.shape[1], np.float64)
        self._packed = self._runners_up = self.pruning.margins = None

    def _sort(self) -> None:
        ids, samples, runners_up = self.pruning.ids, self.samples, self._runners_up
        rank = np.empty(int((ids >= 0).sum()), np.int32)
        rank[ids[ids >= 0]] = np.arange(len(rank), dtype=np.int32)
        before = None if runners_up is None else samples.blocks.order.copy()
        samples.sort(rank)
        if runners_up is not None and before is not None:
            runners_up.sort(before, samples.blocks.order)


# ------------------------------------------------------------------------------ single passes

_CENTRED = 256  # prototypes whose median is the centre
_ONE_OF = 16  # samples may be in doubt, or blocks are of float64
_LONGEST = 2.0**450  # beyond, and below its inverse, squares of the definition leave float64
_ROWS = 8192  # that are packed at a time
_GRID = 2.0**-52  # sums are of no interest, so packed numbers need none


def nearest_units(data: Any, prototypes: Floats, places: int) -> Integers | None:
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
    how, most = Quantisation(centre, scale, _GRID), data.n // _ONE_OF + LINE
    out, doubts = _nearest_units(data, prototypes, places, how, np.float32, most)
    if doubts > most:
        out, doubts = _nearest_units(data, prototypes, places, how, np.float64, data.n)
    return None if doubts < 0 else out


def _nearest_units(
    data: Any, prototypes: Floats, places: int, how: Quantisation, dtype: Any, most: int
) -> tuple[Integers, int]:
    # Units (n, places), and how many samples were in doubt in blocks of this dtype: not all is
    # done where those are more than ``most``, or a value is missing: -1 then.
    ids, out = in_rows(np.arange(len(prototypes)), PANEL_ROWS), np.empty((data.n, places), np.int64)
    packer = PrototypePacker(how, data.X.shape[1], dtype)
    packed = packer.pack(prototypes, ids, np.zeros(len(ids)))
    if packed is None:
        return out, -1
    doubts = np.zeros(-(-data.n // _ROWS), np.int64)

    def work(worker: int, task: int) -> None:
        rows = slice(task * _ROWS, min((task + 1) * _ROWS, data.n))
        if doubts.min() < 0 or doubts.sum() > most:
            return
        samples = PackedSamples(data.X[rows], how, 1, dtype)
        squares = samples.blocks.squares.reshape(-1)[: len(samples.X)]
        if not squares.max() < FAR**2:  # also where it is nan
            if np.isnan(data.X[rows]).any():
                doubts[task] = -1
            else:
                out[rows] = data.subset(rows).nearest_plainly(prototypes, places)[0]
            return
        nearest = np.empty((len(squares), places), np.int32)
        doubts[task] = search_loops.nearest_blocks(
            samples.tag, places, samples.rows, prototypes, samples.blocks, packed.panels,
            packed.accuracy, NO_MARGINS, nearest, samples.workspaces(1, len(ids))[0],
        )  # fmt: skip
        out[rows] = nearest

    share(data.threads, len(doubts), work)
    return out, -1 if len(doubts) and doubts.min() < 0 else int(doubts.sum())
