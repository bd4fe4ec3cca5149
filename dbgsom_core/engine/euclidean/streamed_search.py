"""The search over a table that stays where it is: each pass reads it anew, block by block.

Blocks of rows are packed in the frame of the whole table and compared as `search` compares those
in memory. Sums of packed numbers, hits and errors in whole steps add up exactly, so what a pass
finds does not depend on the blocks. What is kept of a row is its unit, 2 bytes up to 65536
neurons, its place among the rows that are read together, 2 more, and a share of the margins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.aligned import for_loops
from dbgsom_core.engine.contract import Found, MapGraph
from dbgsom_core.engine.euclidean import fine_tuning_loops, layout, pass_loops
from dbgsom_core.engine.euclidean.accuracy import error_steps
from dbgsom_core.engine.euclidean.assignment import TableSamples
from dbgsom_core.engine.euclidean.blocks import NO_MARGINS, Blocks, Margins, Tally
from dbgsom_core.engine.euclidean.comparisons import ALL, IN_REACH, OWN
from dbgsom_core.engine.euclidean.fine_tuning_loops import Classes
from dbgsom_core.engine.euclidean.fine_tuning_rows import NO_CLASSES
from dbgsom_core.engine.euclidean.layout import Laid, PanelRoom
from dbgsom_core.engine.euclidean.packing import PackedSamples, frame_of, room_for
from dbgsom_core.engine.euclidean.pruning import Pruning, Room
from dbgsom_core.engine.euclidean.search import is_too_much
from dbgsom_core.engine.euclidean.streamed_found import Look, StreamedFound
from dbgsom_core.engine.euclidean.tally import Seconds, added_up, halves
from dbgsom_core.engine.per_sample import unlinked
from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.engine.workers import share

_ROW_BYTES = 6  # that places and margins take of each row


class StreamedSearch:
    """Exact best-matching units of the rows of a table, epoch after epoch.

    Parameters
    ----------
    data : TableSamples
        Euclidean and complete.
    """

    def __init__(self, data: TableSamples) -> None:
        self.data, self.table = data, data.X
        assert isinstance(self.table, BlockTable)
        # By row, or in reads of which rows have places by these: see `_to_rows`.
        self.kept: NDArray[Any] = np.zeros(data.n, np.uint16)
        self._by_place = False
        self.pruning = Pruning(self.table.shape[1])
        self.samples = self._taking(np.float32)
        self._places: NDArray[Any] = np.empty(0, np.uint16)  # of rows, by their units in each read
        self._sorts = False
        self._passes = 0
        self._packed_before = np.empty((0, self.table.shape[1]))  # prototypes of the last pass
        self._sums, self._hits = np.empty((0, 0)), np.empty(0, np.int64)
        self._errors, self._total_error = np.empty(0), 0.0
        self._gains = np.empty(0, np.int64)  # by how much errors fell in each block
        # What fine-tuning asks of a pass, links (K, degree), the next pass finds while it reads.
        self._links: NDArray[np.int32] | None = None
        self.seconds: Seconds | None = None

    # ------------------------------------------------------------------------------- passes

    def assign(self, prototypes: NDArray[np.float64], positions: NDArray[np.int64]) -> Found:
        """See `Search`."""
        before, pruning, data = self._packed_before, self.pruning, self.data
        known = len(before) == len(prototypes)
        self._sorts = pruning.prepare(positions, len(prototypes), known, self._room_for_margins())
        if pruning.begins and pruning.margins is not None:
            self._take_places(len(pruning.margins.least))
        if pruning.margins is None or not known:
            pruning.drift, before = np.zeros(len(pruning.ids)), before[:0]
        laid = self._room.lay(prototypes, pruning.ids, pruning.drift, before)
        if laid is None:
            self._forget()
            return data.found(prototypes, data.assign_plainly(prototypes))
        pruning.take(self.samples, laid)
        if not known:
            self._sums = np.zeros((len(prototypes), self.samples.blocks.numbers.shape[1]))
            self._hits = np.zeros(len(prototypes), np.int64)
        prunes = pruning.margins is not None and not pruning.begins
        compared, doubts = self._run(prototypes, laid, IN_REACH if prunes else ALL, known)
        if prunes:
            pruning.judge(compared, len(prototypes))
        found = self._found(prototypes)
        self._packed_before, self._passes = laid.packed, self._passes + 1
        if self.samples.one.itemsize == 4 and is_too_much(doubts, data.n, len(prototypes)):
            self.samples, pruning.margins = self._taking(np.float64, self.samples), None
            self.seconds = None
        return found

    def admit(
        self,
        found: Found,
        prototypes: NDArray[np.float64],
        positions: NDArray[np.int64],
        known: int,
    ) -> Found:
        """See `Search`; compares rows with newcomers and the panels of their block so far."""
        if known == len(prototypes):
            return found
        pruning, first = self.pruning, len(self.pruning.ids)
        ids, drift = pruning.grown(known, len(prototypes))
        laid = None
        if len(self._packed_before) == known:
            laid = self._room.lay(prototypes, ids, drift)
        if laid is None:
            self._forget()
            return self.assign(prototypes, positions)
        pruning.grow(ids, drift)
        more, self._sorts = len(prototypes) - known, False
        self._hits = np.concatenate([self._hits, np.zeros(more, np.int64)])
        self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
        total, self._gains = self._total_error, np.zeros(self._n_blocks, np.int64)
        self._run(prototypes, laid, OWN, True, first)
        steps = self._steps(laid) * self.samples.scale
        self._total_error = max(total - int(self._gains.sum()) / steps, 0.0)
        self._packed_before = laid.packed
        return self._found(prototypes)

    def remembered(self) -> bool:
        """Return whether doubts made it go on in float64, in which errors have other bits."""
        return bool(self.samples.one.itemsize == 8)

    def remember(self, doubled: bool) -> None:
        """Go on in float64 where an interrupted search did."""
        if doubled:
            self.samples = self._taking(np.float64, self.samples)

    def unlinked(self, prototypes: NDArray[np.float64], graph: MapGraph) -> NDArray[np.bool_]:
        """See `Search`."""
        if len(self._packed_before) != len(prototypes):
            self._forget()
            self.pruning.regroup(None, len(prototypes))
        laid = self.laid(prototypes) if len(prototypes) > 1 else None
        if laid is None:
            return unlinked(self.data.nearest_plainly(prototypes, 2)[0], graph)
        units = self.units
        self._forget()  # training has ended: what is found takes the room of what was kept
        self._places = np.empty(0, np.uint16)
        out = np.empty(self.data.n, bool)

        def look(
            part: PackedSamples, rows: slice, tally: Tally, memory: NDArray[np.uint8], task: int
        ) -> None:
            nearest = np.empty((len(part.X), 2), np.int32)
            pass_loops.nearest_two_blocks(
                part.one, part.rows, prototypes, part.blocks, laid.panels, laid.accuracy,
                NO_MARGINS, nearest, memory, 0, len(part.blocks.numbers),
            )  # fmt: skip
            out[rows] = unlinked(nearest, graph)

        self.each_block(units, np.empty((0, 0)), np.empty(0, np.int64), look, len(laid.panels.ids))
        return out

    @property
    def units(self) -> NDArray[Any]:
        """The units (n,) by row, until the next pass."""
        if self._by_place:
            size = self.data.block

            def work(worker: int, task: int) -> None:
                rows = slice(task * size, min((task + 1) * size, len(self._places)))
                self.kept[rows][self._places[rows]] = self.kept[rows].copy()

            share(self.data.threads, -(-len(self._places) // size), work)
            self._by_place = False
        return self.kept

    def pulled(self, found: StreamedFound, links: NDArray[np.int32], classes: Classes) -> Seconds:
        """Return what the linked neighbours of units win, which the pass may have found already."""
        own, classed, before = found.kept is self.kept, classes.leads.size > 0, self._links
        if own and not classed:
            self._links = links
            if self.seconds is not None and before is not None and (links == before).all():
                return self.seconds
        laid = self.laid(found.prototypes)
        assert laid is not None  # or another kind of result were handed out
        sums = np.zeros((len(links), self.samples.blocks.numbers.shape[1]))
        hits = np.zeros(len(links), np.int64)

        def look(
            part: PackedSamples, rows: slice, tally: Tally, memory: NDArray[np.uint8], task: int
        ) -> None:
            here = classes._replace(codes=classes.codes[rows]) if classed else classes
            _look_beside(part, found.prototypes, laid, links, here, tally, memory)

        self.each_block(found.kept, sums, hits, look, 1, self._places_of if own else None)
        return Seconds(np.empty(0, np.int32), sums, hits)

    def laid(self, prototypes: NDArray[np.float64]) -> Laid | None:
        """Return the prototypes (K, D) in panels, or None where they are too far from the data."""
        ids = self.pruning.ids
        return self._room.lay(prototypes, ids, np.zeros(len(ids)))

    def each_block(
        self,
        units: NDArray[Any],
        sums: NDArray[np.float64],
        hits: NDArray[np.int64],
        look: Look,
        n_panels: int = 1,
        places: Callable[[slice], NDArray[Any] | None] | None = None,
    ) -> Tally:
        """Read all blocks, packed and with their ``units`` (n,), let each be looked at, and tally.

        ``sums`` and ``hits`` are added to. Rows, and their units, lie in the order that ``places``
        gives, if any.
        """
        memory = self.samples.memories.of(self.data.threads, n_panels)

        def work(tally: Tally, worker: int, task: int) -> None:
            rows = slice(task * self.data.block, min((task + 1) * self.data.block, self.data.n))
            order = None if places is None else places(rows)
            look(self._packed(worker, rows, units, order), rows, tally, memory[worker], task)

        return added_up(self.data.threads, self._n_blocks, sums, hits, work)

    # ---------------------------------------------------------------------------- inner parts

    def _places_of(self, rows: slice) -> NDArray[Any] | None:
        """Return the places of the rows of a read where units are by these, else None."""
        return self._places[rows] if self._by_place and rows.start < len(self._places) else None

    @property
    def _n_blocks(self) -> int:
        return -(-self.data.n // self.data.block)

    def _run(
        self,
        prototypes: NDArray[np.float64],
        laid: Laid,
        mode: int,
        only_changes: bool,
        newcomers: int = 0,
    ) -> tuple[float, int]:
        # Returns how many panels were compared for each block with margins, and rows in doubt.
        if len(prototypes) - 1 > np.iinfo(self.kept.dtype).max:
            self.kept = self.kept.astype(np.int32)
        steps, frame, size = self._steps(laid), self.samples.frame, self._blocks_of_a_read
        margins = self.pruning.margins
        bounded = 0 if margins is None else len(margins.least) // size
        counts = np.zeros(self._n_blocks, np.int64)
        rank = np.empty(len(prototypes), np.min_scalar_type(len(prototypes)))
        ids, lie = laid.panels.ids, self._by_place and bounded > 0 and not self._sorts
        rank[ids[ids >= 0]] = np.arange(len(rank))
        kept = self.kept if lie else self.units
        n_neurons, links, self.seconds = len(prototypes), self._links, None
        if mode == OWN or links is None or len(links) != n_neurons:
            links = None
        sums, hits = self._sums, self._hits
        if links is not None:  # what their linked neighbours win follows on what neurons win
            sums, hits = (np.concatenate([won, np.zeros_like(won)]) for won in (sums, hits))

        def places(rows: slice) -> NDArray[Any] | None:
            if rows.start // self.data.block >= bounded:
                return None
            here = self._places[rows]
            if self._sorts:
                here[:] = np.argsort(rank[kept[rows]], kind="stable")
            if not lie:
                kept[rows] = kept[rows][here]
            return here

        def look(
            part: PackedSamples, rows: slice, tally: Tally, memory: NDArray[np.uint8], task: int
        ) -> None:
            m, n_blocks, keeps = len(part.X), len(part.blocks.numbers), task < bounded
            own = NO_MARGINS
            if keeps and margins is not None:
                here = slice(task * size, task * size + n_blocks)
                own = Margins(margins.least[here], margins.slides[here], margins.accuracy)
            before = part.blocks.bmu[:m].copy() if mode == OWN else part.blocks.bmu[:0]
            compared, (won, pulled) = int(tally.counts[0]), halves(tally, n_neurons)
            pass_loops.search_blocks(
                part.one, part.rows, prototypes, frame, steps, part.blocks, laid.panels,
                laid.accuracy, own, mode if keeps or mode == OWN else ALL, newcomers, keeps,
                only_changes, won, memory, 0, n_blocks,
            )  # fmt: skip
            if links is not None:
                _look_beside(part, prototypes, laid, links, NO_CLASSES, pulled, memory)
            counts[task] = int(tally.counts[0]) - compared
            after = part.blocks.bmu[:m]
            if mode == OWN:
                self._gains[task] = pass_loops.gained(
                    part.rows, prototypes, part.blocks.order, before, after, steps * frame.scale
                )
            kept[rows] = after

        n_panels = len(laid.panels.ids)
        total = self.each_block(kept, sums, hits, look, n_panels, places)
        self._by_place = bounded > 0
        total, beside = halves(total, n_neurons)
        if links is not None:
            self.seconds = Seconds(np.empty(0, np.int32), beside.sums, beside.hits)
        self._sums, self._hits, self._errors = total.sums, total.hits, np.empty(n_neurons)
        self._total_error = layout.unpack_errors(total.errors, steps * frame.scale, self._errors)
        self.pruning.saw(int(total.counts[1]) / self.data.n)
        return counts[:bounded].sum() / max(bounded * size, 1), int(total.counts[2])

    @property
    def _blocks_of_a_read(self) -> int:
        return len(self.samples.blocks.numbers)

    def _room_for_margins(self) -> Room:
        # For as many of the first rows as memory allows: a place each, and margins.
        room, size, order = (
            self.data.working_memory,
            self._blocks_of_a_read,
            self.samples.blocks.order,
        )
        room = _ROW_BYTES * self.data.n if room is None else room
        of_places = len(order) * np.min_scalar_type(len(order)).itemsize
        return Room(self._n_blocks * size, size, room, of_places)

    def _take_places(self, n_blocks: int) -> None:
        # For all rows of so many blocks: what is new is to be sorted.
        rows = min(n_blocks // self._blocks_of_a_read * self.data.block, self.data.n)
        if len(self._places) != rows and len(self.units):  # by row from here on
            self._places = np.empty(0, np.uint16)  # given back before more is taken
            self._places = np.empty(rows, np.min_scalar_type(len(self.samples.blocks.order)))
            self._sorts = True

    def _forget(self) -> None:
        self._packed_before, self.pruning.margins = self._packed_before[:0], None

    def _found(self, prototypes: NDArray[np.float64]) -> StreamedFound:
        moved = self.pruning.changed if self._passes else 1.0
        return StreamedFound(
            self, prototypes, self._hits.copy(), self._errors, self._total_error, self._sums,
            self.kept, moved,
        )  # fmt: skip

    def _steps(self, laid: Laid) -> float:
        return error_steps(self.table.shape, laid.accuracy)

    def _taking(self, dtype: Any, before: PackedSamples | None = None) -> PackedSamples:
        # What is known of the whole table, with room for one block of each worker.
        data, (n, d) = self.data, self.table.shape
        frame = frame_of(self.table, data.threads) if before is None else before.frame
        rows = min(data.block, n)
        self._as_read = np.arange(rows, dtype=np.int32)
        self._rooms = [
            (room_for(d, self._as_read.copy(), dtype), np.empty((rows, d), self.table.dtype))
            for _ in range(data.threads)
        ]
        made = PackedSamples(self.table, self._rooms[0][0], *frame, data.threads)
        self._room = PanelRoom(made)
        return made

    def _packed(
        self, worker: int, rows: slice, units: NDArray[Any], places: NDArray[Any] | None
    ) -> PackedSamples:
        room, numbers = self._rooms[worker]
        X = for_loops(self.table.read(rows.start, rows.stop, numbers))
        lanes = room.numbers.shape[2]
        n_blocks = -(-len(X) // lanes)
        room.order[: len(X)] = self._as_read[: len(X)] if places is None else places
        room.bmu[: len(X)] = units[rows]
        blocks = Blocks(
            room.numbers[:n_blocks],
            room.squares[:n_blocks],
            room.order[: len(X)],
            room.bmu[: n_blocks * lanes],
        )
        part = PackedSamples(X, blocks, *self.samples.frame, 1)
        part.fill()
        return part


def _look_beside(
    part: PackedSamples,
    prototypes: NDArray[np.float64],
    laid: Laid,
    links: NDArray[np.int32],
    classes: Classes,
    tally: Tally,
    memory: NDArray[np.uint8],
) -> None:
    # What the linked neighbours of the units of packed rows win.
    fine_tuning_loops.linked_blocks(
        part.one, part.rows, prototypes, part.frame, part.blocks, part.blocks.bmu, links,
        laid.rows, laid.halves, laid.accuracy, classes, False, np.zeros_like(part.blocks.bmu),
        tally, memory, 0, len(part.blocks.numbers),
    )  # fmt: skip
