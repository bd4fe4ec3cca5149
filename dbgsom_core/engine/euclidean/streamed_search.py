"""The search over a table that stays where it is: each pass reads it anew, block by block.

Blocks of rows are packed in the frame of the whole table and compared as `search` compares those
in memory. Sums of packed numbers, hits and errors in whole steps add up exactly, so what a pass
finds does not depend on the blocks. What is kept of a row is its unit, 4 bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.aligned import for_loops
from dbgsom_core.engine.contract import Found, MapGraph, unlinked
from dbgsom_core.engine.euclidean import fine_tuning_loops, layout, pass_loops
from dbgsom_core.engine.euclidean.accuracy import error_steps
from dbgsom_core.engine.euclidean.assignment import ExactSamples, FastFound
from dbgsom_core.engine.euclidean.blocks import NO_MARGINS, Blocks, Tally
from dbgsom_core.engine.euclidean.comparisons import ALL, OWN
from dbgsom_core.engine.euclidean.fine_tuning_rows import classes_of, own_neurons
from dbgsom_core.engine.euclidean.layout import Laid, PanelRoom
from dbgsom_core.engine.euclidean.packing import PackedSamples, frame_of, room_for
from dbgsom_core.engine.euclidean.panel_groups import in_rows, patches
from dbgsom_core.engine.euclidean.search import DOUBTS
from dbgsom_core.engine.euclidean.tally import Seconds, added_up
from dbgsom_core.engine.llvm.panel import PANEL_ROWS
from dbgsom_core.engine.tables import BlockTable

# Looks at one block: (samples, which rows they are, tally, memory, task).
_Look = Callable[[PackedSamples, slice, Tally, NDArray[np.uint8], int], None]


class TableSamples(ExactSamples, Protocol):
    """Samples in a table, of which a pass reads ``block`` rows at a time."""

    @property
    def block(self) -> int:
        """Rows of a block."""

    def distances_to(
        self,
        prototypes: NDArray[np.float64],
        units: NDArray[np.int64],
        among: slice | None = None,
    ) -> NDArray[np.float64]:
        """Return distances to ``units`` of all rows, or of those ``among`` them."""

    @property
    def threads(self) -> int:
        """How many blocks are worked on at once."""


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
        self.units = np.zeros(data.n, np.int32)
        self.samples = self._taking(np.float32)
        self._ids = np.empty((0, PANEL_ROWS), np.int32)
        self._passes, self._changed = 0, 1.0
        self._known = 0  # prototypes of the last pass
        self._sums, self._hits = np.empty((0, 0)), np.empty(0, np.int64)
        self._errors, self._total_error = np.empty(0), 0.0
        self._gains = np.empty(0, np.int64)  # by how much errors fell in each block
        self.seconds: Seconds | None = None  # nothing of them is kept

    # ------------------------------------------------------------------------------- passes

    def assign(self, prototypes: NDArray[np.float64], positions: NDArray[np.int64]) -> Found:
        """See `Search`."""
        known = self._known == len(prototypes)
        if not known:
            self._ids = patches(positions, PANEL_ROWS)
        laid = self.laid(prototypes)
        if laid is None:
            self._known = 0
            return self.data.found(prototypes, self.data.assign_plainly(prototypes))
        if not known:
            self._sums = np.zeros((len(prototypes), self.samples.blocks.numbers.shape[1]))
            self._hits = np.zeros(len(prototypes), np.int64)
        doubts = self._run(prototypes, laid, ALL, known)
        found = self._found(prototypes)
        self._known, self._passes = len(prototypes), self._passes + 1
        if doubts > DOUBTS * self.data.n and self.samples.one.itemsize == 4:
            self.samples = self._taking(np.float64, self.samples)
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
        first = len(self._ids)
        newborn = in_rows(np.arange(known, len(prototypes)), PANEL_ROWS)
        self._ids = np.concatenate([self._ids, newborn])
        laid = self.laid(prototypes) if self._known == known else None
        if laid is None:
            return self.assign(prototypes, positions)
        more = len(prototypes) - known
        self._hits = np.concatenate([self._hits, np.zeros(more, np.int64)])
        self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
        total, self._gains = self._total_error, np.zeros(self._n_blocks, np.int64)
        self._run(prototypes, laid, OWN, True, first)
        steps = self._steps(laid) * self.samples.scale
        self._total_error = max(total - int(self._gains.sum()) / steps, 0.0)
        self._known = len(prototypes)
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
        if len(self._ids) == 0 or self._known != len(prototypes):
            self._ids, self._known = in_rows(np.arange(len(prototypes)), PANEL_ROWS), 0
        laid = self.laid(prototypes) if len(prototypes) > 1 else None
        if laid is None:
            return unlinked(self.data.nearest_plainly(prototypes, 2)[0], graph)
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

        self.each_block(
            self.units, np.empty((0, 0)), np.empty(0, np.int64), look, len(laid.panels.ids)
        )
        return out

    def laid(self, prototypes: NDArray[np.float64]) -> Laid | None:
        """Return the prototypes (K, D) in panels, or None where they are too far from the data."""
        return self._room.lay(prototypes, self._ids, np.zeros(len(self._ids)))

    def each_block(
        self,
        units: NDArray[np.int32],
        sums: NDArray[np.float64],
        hits: NDArray[np.int64],
        look: _Look,
        n_panels: int = 1,
    ) -> Tally:
        """Read all blocks, packed and with their ``units`` (n,), let each be looked at, and tally.

        ``sums`` and ``hits`` are added to.
        """
        memory = self.samples.memories.of(self.data.threads, n_panels)

        def work(tally: Tally, worker: int, task: int) -> None:
            rows = slice(task * self.data.block, min((task + 1) * self.data.block, self.data.n))
            look(self._packed(worker, rows, units), rows, tally, memory[worker], task)

        return added_up(self.data.threads, self._n_blocks, sums, hits, work)

    # ---------------------------------------------------------------------------- inner parts

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
    ) -> int:
        steps, frame = self._steps(laid), self.samples.frame

        def look(
            part: PackedSamples, rows: slice, tally: Tally, memory: NDArray[np.uint8], task: int
        ) -> None:
            pass_loops.search_blocks(
                part.one, part.rows, prototypes, frame, steps, part.blocks, laid.panels,
                laid.accuracy, NO_MARGINS, mode, newcomers, False, only_changes, tally, memory, 0,
                len(part.blocks.numbers),
            )  # fmt: skip
            after, before = part.blocks.bmu[: len(part.X)], self.units[rows]
            if mode == OWN:
                self._gains[task] = pass_loops.gained(
                    part.rows, prototypes, part.blocks.order, before, after, steps * frame.scale
                )
            self.units[rows] = after

        total = self.each_block(self.units, self._sums, self._hits, look, len(laid.panels.ids))
        self._errors = np.empty(len(prototypes))
        self._total_error = layout.unpack_errors(total.errors, steps * frame.scale, self._errors)
        self._changed = int(total.counts[1]) / self.data.n
        return int(total.counts[2])

    def _found(self, prototypes: NDArray[np.float64]) -> StreamedFound:
        moved = self._changed if self._passes else 1.0
        return StreamedFound(
            self, prototypes, self._hits.copy(), self._errors, self._total_error, self._sums,
            self.units, moved,
        )  # fmt: skip

    def _steps(self, laid: Laid) -> float:
        return error_steps(self.table.shape, laid.accuracy)

    def _taking(self, dtype: Any, before: PackedSamples | None = None) -> PackedSamples:
        # What is known of the whole table, with room for one block of each worker.
        data, (n, d) = self.data, self.table.shape
        frame = frame_of(self.table, data.threads) if before is None else before.frame
        rows = min(data.block, n)
        order = np.arange(rows, dtype=np.int32)
        self._rooms = [
            (room_for(d, order, dtype), np.empty((rows, d), self.table.dtype))
            for _ in range(data.threads)
        ]
        made = PackedSamples(self.table, self._rooms[0][0], *frame, data.threads)
        self._room = PanelRoom(made)
        return made

    def _packed(self, worker: int, rows: slice, units: NDArray[np.int32]) -> PackedSamples:
        room, numbers = self._rooms[worker]
        X = for_loops(self.table.read(rows.start, rows.stop, numbers))
        lanes = room.numbers.shape[2]
        n_blocks = -(-len(X) // lanes)
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


@dataclass
class StreamedFound(FastFound):
    """What a pass over a table found; see `FastFound`. ``units`` (n,) are by row."""

    search: StreamedSearch  # type: ignore[assignment]

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        return self.exactly().class_counts

    @property
    def bmu(self) -> Any:
        """The units, int32 (n,)."""
        return self.units

    @property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each row to its unit by definition, float64 (n,)."""
        return self.search.data.lasting(self.prototypes, self).distance

    def of_rows(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `PerSample`."""
        units = self.units[rows].astype(np.int64)
        return units, self.search.data.distances_to(self.prototypes, units, rows)

    def trained_by_class(self, leads: NDArray[np.bool_]) -> StreamedFound:
        """See `Found`."""
        units, sums, hits = self.units.copy(), self.packed_sums.copy(), self.hits.copy()
        own, codes = own_neurons(self.prototypes, leads), self.search.data.codes

        def look(
            part: PackedSamples, rows: slice, tally: Tally, memory: NDArray[np.uint8], task: int
        ) -> None:
            lanes = part.blocks.numbers.shape[2]
            found = np.empty(len(part.blocks.numbers) * lanes, np.int32)
            classes = classes_of(None if codes is None else codes[rows], leads)
            squares, packed = np.empty(len(own.rows)), np.empty(part.X.shape[1])
            fine_tuning_loops.own_blocks(
                part.one, part.rows, part.frame, part.blocks, classes, own, found, tally, squares,
                packed, 0, len(part.blocks.numbers),
            )  # fmt: skip
            units[rows] = found[: len(part.X)]

        self.search.each_block(self.units, sums, hits, look)
        return replace(self, hits=hits, packed_sums=sums, units=units)

    def _seconds(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Seconds:
        search, codes, n_neurons = self.search, self.search.data.codes, len(graph.links)
        laid = search.laid(self.prototypes)
        assert laid is not None  # or another kind of result were handed out
        sums = np.zeros((n_neurons, search.samples.blocks.numbers.shape[1]))
        hits = np.zeros(n_neurons, np.int64)

        def look(
            part: PackedSamples, rows: slice, tally: Tally, memory: NDArray[np.uint8], task: int
        ) -> None:
            classes = classes_of(None if codes is None else codes[rows], leads)
            fine_tuning_loops.linked_blocks(
                part.one, part.rows, self.prototypes, part.frame, part.blocks, part.blocks.bmu,
                graph.links, laid.rows, laid.halves, laid.accuracy, classes, False,
                np.zeros_like(part.blocks.bmu), tally, memory, 0, len(part.blocks.numbers),
            )  # fmt: skip

        search.each_block(self.units, sums, hits, look)
        return Seconds(np.empty(0, np.int32), sums, hits)
