"""What a pass over a table found, made of it when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import MapGraph
from dbgsom_core.engine.euclidean import fine_tuning_loops
from dbgsom_core.engine.euclidean.assignment import FastFound, TableSamples
from dbgsom_core.engine.euclidean.blocks import Tally
from dbgsom_core.engine.euclidean.fine_tuning_loops import Classes
from dbgsom_core.engine.euclidean.fine_tuning_rows import classes_of, own_neurons
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.tally import Seconds

# Looks at one block: (samples, which rows they are, tally, memory, task).
Look = Callable[[PackedSamples, slice, Tally, NDArray[np.uint8], int], None]


class TablePass(Protocol):
    """The last pass of a `StreamedSearch`.

    Attributes
    ----------
    data : TableSamples
    kept : int array (n,)
        Units, not all of them by row.
    """

    data: TableSamples
    kept: NDArray[Any]

    @property
    def units(self) -> NDArray[Any]:
        """The units (n,) by row."""

    def each_block(
        self, units: NDArray[Any], sums: NDArray[np.float64], hits: NDArray[np.int64], look: Look
    ) -> Tally:
        """Read all blocks."""

    def pulled(self, found: StreamedFound, links: NDArray[np.int32], classes: Classes) -> Seconds:
        """Return what the linked neighbours of units win."""


@dataclass
class StreamedFound(FastFound):
    """What a pass over a table found; see `FastFound`.

    ``units`` (n,) are by row; ``kept`` are those as the search keeps them, or others by row.
    """

    search: TablePass  # type: ignore[assignment]

    @property  # type: ignore[misc]
    def units(self) -> NDArray[Any]:
        """The units (n,), in as small a type as they are kept."""
        return self.search.units if self.kept is self.search.kept else self.kept

    @units.setter
    def units(self, units: NDArray[Any]) -> None:
        self.kept = units

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        return self.exactly().class_counts

    @property
    def bmu(self) -> Any:
        """The units, int32 (n,)."""
        return self.units.astype(np.int32)

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
        return self.search.pulled(self, graph.links, classes_of(self.search.data.codes, leads))
