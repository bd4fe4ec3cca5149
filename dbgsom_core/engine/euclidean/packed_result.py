"""What a pass of the fast search found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import (
    Centre,
    Found,
    MapGraph,
    Neighbourhood,
    Totals,
)
from dbgsom_core.engine.euclidean import fine_tuning, layout
from dbgsom_core.engine.euclidean.fine_tuning import LinkedRunnersUp, classes_of
from dbgsom_core.engine.smoothing import reach_of, smoothed, updated_from


@dataclass
class PackedResult:
    """See `Found`; of samples that each count once.

    ``search`` is the `FastSearch`, or what searches parts, whose last pass this was.
    ``hits``, ``errors`` (K,) and their sum are there, as are ``packed_sums`` (K, depth) and
    ``kept``, the units as the search keeps them. The rest is made when asked for, which must be
    before the next pass of the same search. Errors are of packed samples, as sums are.
    """

    search: Any
    prototypes: NDArray[np.float64]
    hits: NDArray[np.int64]
    errors: NDArray[np.float64]
    total_error: float
    packed_sums: NDArray[np.float64]
    kept: NDArray[Any]
    moved: float = 1.0

    @cached_property
    def totals(self) -> Totals:
        """See `Found`."""
        return Totals(self.hits, self._unpacked(self.packed_sums, self.hits), self.errors)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        return self.exactly().class_counts

    @cached_property
    def units(self) -> NDArray[Any]:
        """The units (n,), of samples in a table in a type that may be too small to compute with."""
        units: NDArray[Any] = self.search.samples.by_row(self.kept)
        return units

    @property
    def bmu(self) -> Any:
        """The units (n,), int32 of samples in a table."""
        units = self.units
        return units if units.dtype == np.int64 else units.astype(np.int32)

    @cached_property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each sample to its unit by definition, float64 (n,)."""
        return np.asarray(self.search.data.distances_to(self.prototypes, self.bmu))

    def of_rows(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `PerSample`."""
        units = self.units[rows].astype(np.int64)
        return units, self.search.data.distances_to(self.prototypes, units, rows)

    def exactly(self) -> Found:
        """See `Found`."""
        exact: Found = self.search.data.found(self.prototypes, self)
        return exact

    def reweighed(self, gamma: float) -> Found:
        """See `Found`."""
        return self.exactly().reweighed(gamma)

    def trained_by_class(self, leads: NDArray[np.bool_]) -> PackedResult:
        """See `Found`."""
        kept, sums, hits = self.kept.copy(), self.packed_sums.copy(), self.hits.copy()
        classes = classes_of(self.search.data.codes, leads)
        fine_tuning.own_class(self.search.samples, self.prototypes, classes, kept, sums, hits)
        return replace(self, hits=hits, packed_sums=sums, kept=kept)

    def linked_totals(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Totals:
        """See `Found`."""
        pulled = self.pulled(graph.links, leads)
        return Totals(pulled.hits, self._unpacked(pulled.sums, pulled.hits), np.empty(0))

    def updated(self, around: Neighbourhood, centre: Centre | None = None) -> NDArray[np.float64]:
        """See `Found`."""
        samples, before, pulls = self.search.samples, self.prototypes, around.pull > 0
        if centre is not None or around.inhibits:
            linked = self.exactly().linked_totals(around.graph, around.leads) if pulls else None
            return updated_from(self.totals, before, around, linked, centre, samples.threads)
        reach = reach_of(around.weights, float(len(samples.X)))
        smooth, reached = smoothed(
            around.which, around.weights, reach, self.hits, self.packed_sums, samples.threads
        )
        more, pulled_hits = smooth[:0], self.hits[:0]
        if pulls:
            pulled = self.pulled(around.graph.links, around.leads)
            more, pulled_hits = pulled.sums, pulled.hits
        after = np.empty(before.shape)
        layout.unpack_means(
            before, smooth, reached, around.pull, more, pulled_hits, samples.frame.centre,
            samples.frame.scale, after,
        )  # fmt: skip
        return after

    def formed(self, around: Neighbourhood) -> NDArray[np.float64]:
        """See `Found`."""
        return self.exactly().formed(around)

    def pulled(self, links: NDArray[np.int32], leads: NDArray[np.bool_] | None) -> LinkedRunnersUp:
        """Return what the ``links`` (K, degree) of units won, see `linked_totals`, packed."""
        search, classes = self.search, classes_of(self.search.data.codes, leads)
        is_last = self.kept is search.samples.units
        seconds: LinkedRunnersUp | None = None
        if is_last and not len(classes.codes):
            seconds = search.pulled(self.prototypes, links)
        if seconds is None:
            laid, before = search.packed_prototypes(self.prototypes), search.seconds
            seconds = search.seconds = fine_tuning.linked_seconds(
                search.samples, laid, self.prototypes, self.kept, links, classes, before
            )
        return seconds

    def _unpacked(self, sums: NDArray[np.float64], hits: NDArray[np.int64]) -> NDArray[np.float64]:
        # Sums (K, D) of samples as given, from packed ones (K, depth).
        frame = self.search.samples.frame
        own = sums[:, : self.prototypes.shape[1]] / frame.scale  # exact: a power of two
        return np.asarray(own + hits[:, None] * frame.centre)
