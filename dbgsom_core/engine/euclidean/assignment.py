"""What a pass of the fast search found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import (
    Assignment,
    Centre,
    Found,
    MapGraph,
    Neighbourhood,
    Samples,
    Totals,
)
from dbgsom_core.engine.euclidean import fine_tuning_blocks
from dbgsom_core.engine.euclidean.fine_tuning_rows import classes_of
from dbgsom_core.engine.euclidean.layout import Laid
from dbgsom_core.engine.euclidean.one_shot import distances_to
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.tally import Seconds, unpacked
from dbgsom_core.engine.euclidean.update import updated
from dbgsom_core.engine.majorities import count_classes
from dbgsom_core.engine.smoothing import updated_from


class ExactSamples(Samples, Protocol):
    """The samples as given, which find units and add up where packed numbers cannot."""

    @property
    def n_classes(self) -> int:
        """How many classes there are."""

    @property
    def working_memory(self) -> int | None:
        """Bytes that a search may take; None: what is usual."""

    def assign_plainly(self, prototypes: NDArray[np.float64]) -> Assignment:
        """Find the nearest of ``prototypes`` (K, D) for every sample."""

    def nearest_plainly(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the ``k`` nearest prototypes of each sample and their distances, both (n, k)."""


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


class LastPass(Protocol):
    """What a search keeps of its last pass for those who look at what was found.

    Attributes
    ----------
    data : ExactSamples
    samples : PackedSamples
    seconds : Seconds or None
        What fine-tuning found last.
    """

    data: ExactSamples
    samples: PackedSamples
    seconds: Seconds | None

    def laid(self, prototypes: NDArray[np.float64]) -> Laid:
        """Return the prototypes (K, D) of the last pass, packed."""


@dataclass
class FastFound:
    """See `Found`; of samples that each count once.

    ``hits``, ``errors`` (K,) and their sum are there, as are ``packed_sums`` (K, depth) and
    ``units`` (B*lanes,), which hold sums and units by place. The rest is made when asked for, which
    must be before the next pass of the same search. Errors are as exact as the blocks' dtype.
    """

    search: LastPass
    prototypes: NDArray[np.float64]
    hits: NDArray[np.int64]
    errors: NDArray[np.float64]
    total_error: float
    packed_sums: NDArray[np.float64]
    units: NDArray[np.int32]
    moved: float = 1.0

    @property
    def sums(self) -> NDArray[np.float64]:
        """The packed sums, for a subclass to ask for."""
        return self.packed_sums

    @cached_property
    def totals(self) -> Totals:
        """See `Found`."""
        sums = unpacked(self.search.samples, self.sums, self.hits)
        return Totals(self.hits, sums, self.errors)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        data = self.search.data
        if data.codes is None:
            return None
        return count_classes(self.bmu, data.codes, len(self.prototypes), data.n_classes)

    @cached_property
    def bmu(self) -> NDArray[np.int64]:
        """See `Found`."""
        samples = self.search.samples
        bmu = np.empty(len(samples.X), np.int64)
        bmu[samples.blocks.order] = self.units[: len(bmu)]
        return bmu

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each sample to its unit by definition, float64 (n,)."""
        samples = self.search.samples
        return distances_to(samples.X, self.prototypes, self.bmu, samples.threads)

    def exactly(self) -> Found:
        """See `Found`."""
        return self.search.data.found(self.prototypes, self)

    def reweighed(self, gamma: float) -> Found:
        """See `Found`."""
        return self.exactly().reweighed(gamma)

    def trained_by_class(self, leads: NDArray[np.bool_]) -> FastFound:
        """See `Found`."""
        units, sums, hits = self.units.copy(), self.packed_sums.copy(), self.hits.copy()
        classes = classes_of(self.search.data.codes, leads)
        fine_tuning_blocks.own_class(
            self.search.samples, self.prototypes, classes, units, sums, hits
        )
        return replace(self, hits=hits, packed_sums=sums, units=units)

    def linked_totals(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Totals:
        """See `Found`."""
        pulled = self._seconds(graph, leads)
        sums = unpacked(self.search.samples, pulled.sums, pulled.hits)
        return Totals(pulled.hits, sums, np.empty(0))

    def updated(self, around: Neighbourhood, centre: Centre | None = None) -> NDArray[np.float64]:
        """See `Found`."""
        samples, before, pulls = self.search.samples, self.prototypes, around.pull > 0
        if centre is not None or around.inhibits:
            linked = self.exactly().linked_totals(around.graph, around.leads) if pulls else None
            return updated_from(self.totals, before, around, linked, centre, samples.threads)
        pulled = self._seconds(around.graph, around.leads) if pulls else None
        return updated(samples, self.sums, self.hits, before, around, pulled)

    def formed(self, around: Neighbourhood) -> NDArray[np.float64]:
        """See `Found`."""
        return self.exactly().formed(around)

    def linked_to(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> FastFound:
        """Return packed sums and hits of what the linked neighbours won, see `linked_totals`."""
        pulled = self._seconds(graph, leads)
        return replace(self, hits=pulled.hits, packed_sums=pulled.sums)

    def _seconds(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Seconds:
        search = self.search
        search.seconds = fine_tuning_blocks.linked_seconds(
            search.samples, search.laid(self.prototypes), self.prototypes, self.units, graph.links,
            classes_of(search.data.codes, leads), search.seconds,
        )  # fmt: skip
        return search.seconds
