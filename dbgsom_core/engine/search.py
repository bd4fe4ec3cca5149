"""The exact search for Euclidean maps: units of parts of the samples, and sums over the parts.

Sums of packed numbers, hits and errors in whole steps are exact, so a map does not depend on how
samples are divided: all in this process, blocks of a table, or shards on workers. The state of a
part (units, bounds, the order of its rows) changes no result: a lost part is made again from its
rows and repeats the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, reduce
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine import search_loops
from dbgsom_core.engine.packing import NEAR, PackedSamples, PrototypePacker, error_steps, in_rows
from dbgsom_core.engine.partitions import Parts, pieces
from dbgsom_core.engine.results import (
    Centre,
    Flags,
    Floats,
    Integers,
    MapGraph,
    Neighbourhood,
    Search,
    SearchResult,
    Totals,
    Units,
    linked_runners_up,
    prototypes_from_totals,
    winners_of_own_class,
)
from dbgsom_core.engine.smoothing import kernel_reach, smooth_totals
from dbgsom_core.engine.tile import PANEL_ROWS, UNROLL


class PassSpec(NamedTuple):
    """Prototypes and options of a pass, for any part.

    ``number`` is unique within a search. The first ``known`` of the ``prototypes`` (K, D) are those
    of the last pass; 0: all are new. With ``links`` (K, degree) the pass also sums the samples by
    nearest linked neighbour.
    """

    number: int
    prototypes: Floats
    positions: Integers
    known: int
    links: NDArray[np.int32] | None = None


class PartialSums(NamedTuple):
    """Exact totals by neuron over a part of the samples.

    ``hits`` (K,) int64, packed ``sums`` (K, depth), ``errors`` (K,) int64 in whole ``steps``, the
    number of rows that ``changed`` their unit, counts by class, int64 (K, C), or None, and packed
    sums and hits by nearest linked neighbour, or None. With ``since_last`` hits and sums are the
    changes since the last pass.
    """

    hits: Integers
    sums: Floats
    errors: Integers
    steps: float
    changed: int
    classes: Integers | None = None
    linked: tuple[Floats, Integers] | None = None
    since_last: bool = False


def plus(first: Any, other: Any) -> Any:
    """Return the sum of two parts' results, which have the same steps."""
    if first is None or isinstance(first, (bool, float)):
        return first
    if not isinstance(first, tuple):
        return first + other
    both = [plus(*pair) for pair in zip(first, other, strict=True)]
    return type(first)(*both) if isinstance(first, PartialSums) else tuple(both)


# ---------------------------------------------------------------------------------- any samples


class Part:
    """Samples with passes by `Samples.assign` and `Samples.quantised_sums`."""

    def __init__(self, data: Any) -> None:
        self.data, self._lock, self._done = data, Lock(), 0
        self._of: Any = None  # the units of the last pass
        self._by_class: tuple[Any, ...] = (0,)  # pass number, majority, reassigned units

    def answer(self, question: str, *given: Any) -> Any:
        with self._lock:
            return getattr(self, question)(*given)

    def assign(self, spec: PassSpec) -> PartialSums | None:
        data, before, n_neurons = self.data, self._of, len(spec.prototypes)
        how, d = data.quantisation, data.X.shape[1]
        packer, ids = PrototypePacker(how, d), in_rows(np.arange(n_neurons), PANEL_ROWS)
        packed = packer.pack(spec.prototypes, ids, np.zeros(len(ids)))
        if packed is None:
            return None
        units: Integers = self._assignment(spec).bmu
        changed = data.n if before is None else int(np.count_nonzero(before.bmu != units))
        steps = error_steps(data.n, d, packed.accuracy.largest)
        near = NEAR * packed.accuracy.largest**2 if data.X.dtype.itemsize == 8 else -1.0
        errors = np.zeros(n_neurons, np.int64)
        for rows in pieces(0, data.n):
            block = PackedSamples(data.X[rows], how)
            block.blocks.bmu[: len(block.X)] = units[rows]
            search_loops.error_blocks(
                block.tag, block.rows, how, block.blocks, packed.packed, near, steps, errors,
                block.workspaces(1, 1)[0],
            )  # fmt: skip
        sums, hits = self._sums_and_hits(units, n_neurons)
        return PartialSums(hits, sums, errors, steps, changed)

    def linked(
        self, spec: PassSpec, own: Flags | None, links: NDArray[np.int32], majority: Flags | None
    ) -> tuple[Floats, Integers]:
        """Return packed sums (K, depth) and hits (K,) by nearest linked neighbour.

        Neighbours with the sample's class in the ``majority`` (K, C) come first. With ``own``
        (K, C) samples are first reassigned to neurons with their class in this majority.
        """
        units, graph = self.units(spec, own), MapGraph(np.empty((0, 0), np.uint16), links)
        units = linked_runners_up(self.data, units, spec.prototypes, graph, majority)
        return self._sums_and_hits(units, len(spec.prototypes))

    def reassigned(self, spec: PassSpec, own: Flags) -> tuple[Floats, Integers]:
        """Return the changes of packed sums and hits by reassignment to own-class neurons."""
        before, after = self.units(spec, None), self.units(spec, own)
        moved, n_neurons = np.flatnonzero(before != after), len(spec.prototypes)
        part = Part(self.data.subset(moved))
        vars(part.data)["quantisation"] = self.data.quantisation
        won, lost = (part._sums_and_hits(units[moved], n_neurons) for units in (after, before))
        return won[0] - lost[0], won[1] - lost[1]

    def units(self, spec: PassSpec, own: Flags | None) -> NDArray[Any]:
        units: Integers = self._assignment(spec).bmu
        return units if own is None else self._reassigned(spec, units, own)

    def _reassigned(self, spec: PassSpec, units: Integers, own: Flags) -> Integers:
        if self._by_class[0] != spec.number or not np.array_equal(self._by_class[1], own):
            found = winners_of_own_class(self.data, units, spec.prototypes, own)
            self._by_class = spec.number, own, found
        winners: Integers = self._by_class[2]
        return winners

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        """Return for which rows the two nearest neurons are not linked."""
        return Search(self.data).unlinked(prototypes, MapGraph(np.empty((0, 0), np.uint16), links))

    def _assignment(self, spec: PassSpec) -> Any:
        # The assignment of the pass, which is run if necessary.
        if spec.number != self._done:
            self._of, self._done = self.data.assign(spec.prototypes), spec.number
        return self._of

    def _sums_and_hits(self, units: Integers, n_neurons: int) -> tuple[Floats, Integers]:
        sums = self.data.quantised_sums(units, n_neurons)
        padded = np.zeros((n_neurons, -(-sums.shape[1] // UNROLL) * UNROLL))
        padded[:, : sums.shape[1]] = sums
        return padded, np.bincount(units, minlength=n_neurons)


class LocalParts:
    """Parts in this process, see `Parts`."""

    rereads = False

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        return [part.answer(question, *given) for part in self.parts]


# ------------------------------------------------------------------------------------ the search


class PartitionedSearch(Search):
    """Exact best-matching units of the rows of all ``parts``, epoch after epoch."""

    def __init__(self, data: Any, parts: Parts) -> None:
        super().__init__(data)
        self.parts, self._passes, self._known = parts, 0, 0
        self._is_first = True
        self._sums, self._hits = np.empty((0, 0)), np.empty(0, np.int64)
        self._links: NDArray[np.int32] | None = None  # of the last update

    def assign(self, prototypes: Floats, positions: Integers) -> SearchResult:
        return self._pass(prototypes, positions, 0)

    def assign_new_neurons(
        self, found: SearchResult, prototypes: Floats, positions: Integers, known: int
    ) -> SearchResult:
        if known == len(prototypes):
            return found
        return self._pass(prototypes, positions, known if self._known == known else 0)

    def unlinked(self, prototypes: Floats, graph: MapGraph) -> Flags:
        return np.concatenate(self.parts.ask("unlinked", prototypes, graph.links, add=None))

    def total(self, question: str, *given: Any) -> Any:
        return reduce(plus, self.parts.ask(question, *given, add=plus))

    def units(self, spec: PassSpec, own: Flags | None) -> NDArray[Any]:
        each = self.parts.ask("units", spec, own, add=None)
        return each[0] if len(each) == 1 else np.concatenate(each)

    def linked(
        self, spec: PassSpec, own: Flags | None, links: NDArray[np.int32], majority: Flags | None
    ) -> tuple[Floats, Integers]:
        """Return packed sums and hits by nearest linked neighbour, see `Part.linked`.

        Where questions read the rows, the next pass computes them too.
        """
        self._links = links if majority is None and self.parts.rereads else None
        total: tuple[Floats, Integers] = self.total("linked", spec, own, links, majority)
        return total

    def _pass(self, prototypes: Floats, positions: Integers, known: int) -> SearchResult:
        self._passes += 1
        links = self._links
        links = links if links is not None and len(links) == len(prototypes) else None
        spec = PassSpec(self._passes, prototypes.copy(), positions, known, links)
        won: PartialSums | None = self.total("assign", spec)
        self._known = 0 if won is None else len(prototypes)
        if won is None:
            return SearchResult(self.data, prototypes, self.data.assign(prototypes))
        if won.since_last:
            more = len(prototypes) - len(self._hits)
            sums, hits = np.pad(self._sums, ((0, more), (0, 0))), np.pad(self._hits, (0, more))
            won = won._replace(sums=sums + won.sums, hits=hits + won.hits)
        if self.parts.rereads:
            self._sums, self._hits = won.sums, won.hits
        moved, self._is_first = 1.0 if self._is_first else won.changed / self.data.n, False
        return PackedResult(self, spec, won, moved)


class PackedResult(SearchResult):
    """Result of a pass over unweighted samples, in packed sums.

    Errors are of packed samples, as sums are. Units are fetched on access, which must be before the
    next pass of the same search.
    """

    def __init__(
        self,
        search: PartitionedSearch,
        spec: PassSpec,
        won: PartialSums,
        moved: float,
        own: Flags | None = None,
    ) -> None:
        data, self.search, self.spec, self.won, self.own = search.data, search, spec, won, own
        of = Units(data, spec.prototypes, lambda: search.units(spec, own))
        super().__init__(data, spec.prototypes, of, moved)
        self.packed_sums, self.hits = won.sums, won.hits
        scaled = won.steps * data.quantisation.scale
        self.errors, self.total_error = won.errors / scaled, float(won.errors.sum()) / scaled

    @cached_property
    def totals(self) -> Totals:
        return Totals(self.hits, self._unpacked(self.packed_sums, self.hits), self.errors)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        return self.in_float64().class_counts if self.won.classes is None else self.won.classes

    def in_float64(self) -> SearchResult:
        return SearchResult(self.data, self.prototypes, self.of, self.moved)

    def reassign_to_own_class(self, majority: Flags) -> PackedResult:
        sums, hits = self.search.total("reassigned", self.spec, majority)
        won = self.won._replace(sums=self.won.sums + sums, hits=self.won.hits + hits, linked=None)
        return PackedResult(self.search, self.spec, won, self.moved, majority)

    def runner_up_totals(self, graph: MapGraph, majority: Flags | None) -> Totals:
        sums, hits = self._linked(graph, majority)
        return Totals(hits, self._unpacked(sums, hits), np.empty(0))

    def update_prototypes(self, kernel: Neighbourhood, centre: Centre | None = None) -> Floats:
        data, before, pulls = self.data, self.prototypes, kernel.link_pull > 0
        if centre is not None or kernel.inhibits:
            linked = (
                self.in_float64().runner_up_totals(kernel.graph, kernel.majority) if pulls else None
            )
            return prototypes_from_totals(self.totals, before, kernel, linked, centre, data.threads)
        reach = kernel_reach(kernel.weights, float(data.n))
        smooth, reached = smooth_totals(
            kernel.weight_index, kernel.weights, reach, self.hits, self.packed_sums, data.threads
        )
        if pulls:
            sums, hits = self._linked(kernel.graph, kernel.majority)
            smooth, reached = smooth + kernel.link_pull * sums, reached + kernel.link_pull * hits
        how, alive = data.quantisation, reached > 0
        larger = 1.0 / (np.where(alive, reached, 1.0) * how.scale)
        after: Floats = smooth[:, : before.shape[1]] * larger[:, None] + how.centre
        after[~alive] = before[~alive]
        return after

    def _linked(self, graph: MapGraph, majority: Flags | None) -> tuple[Floats, Integers]:
        linked, links = self.won.linked, self.spec.links
        if linked is not None and majority is None and np.array_equal(links, graph.links):  # type: ignore[arg-type]
            return linked
        return self.search.linked(self.spec, self.own, graph.links, majority)

    def _unpacked(self, sums: Floats, hits: Integers) -> Floats:
        # Sums (K, D) in the data's units, from packed ones (K, depth).
        how = self.data.quantisation
        exact = sums[:, : self.prototypes.shape[1]] / how.scale  # exact: a power of two
        return np.asarray(exact + hits[:, None] * how.centre)
