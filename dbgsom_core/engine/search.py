"""The exact search for Euclidean maps: parts of the samples find units, and what they win adds up.

Sums of packed numbers, hits and errors in whole steps add up exactly, so any parts may be searched
and added, and a map does not depend on them: all samples in this process, blocks of a table, shards
on workers. What a part remembers (units, bounds, the order of its rows) changes no answer either:
one that was lost is made anew from its rows, and does the pass that it is asked about first.
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
    updated_from,
    winners_of_own_class,
)
from dbgsom_core.engine.smoothing import reach_of, smoothed
from dbgsom_core.engine.tables import Parts, pieces
from dbgsom_core.engine.tile import PANEL_ROWS, UNROLL


class Pass(NamedTuple):
    """What a pass looks for, so that any part can do it.

    No two passes of a search have the same ``number``. Where the pass before had ``known`` of the
    ``prototypes`` (K, D), those after them are new; 0: it had others. With ``links`` (K, degree)
    what linked neighbours win is wanted, too.
    """

    number: int
    prototypes: Floats
    positions: Integers
    known: int
    links: NDArray[np.int32] | None = None


class PartialSums(NamedTuple):
    """What neurons won in some rows, in numbers that add up exactly.

    ``hits`` (K,) int64, packed ``sums`` (K, depth), ``errors`` (K,) int64 in whole ``steps``, how
    many rows ``changed`` their unit; samples of each class, int64 (K, C), where there are classes;
    packed sums and hits of linked neighbours, where wanted.
    """

    hits: Integers
    sums: Floats
    errors: Integers
    steps: float
    changed: int
    classes: Integers | None = None
    linked: tuple[Floats, Integers] | None = None


def plus(first: Any, other: Any) -> Any:
    """Return the sum of two answers of parts; steps are those of both."""
    if first is None or isinstance(first, float):
        return first
    if not isinstance(first, tuple):
        return first + other
    both = [plus(*pair) for pair in zip(first, other, strict=True)]
    return type(first)(*both) if isinstance(first, PartialSums) else tuple(both)


# ---------------------------------------------------------------------------------- any samples


class Part:
    """Samples, and what neurons win of them by `Samples.assign` and `Samples.quantised_sums`."""

    def __init__(self, data: Any) -> None:
        self.data, self._lock, self._done = data, Lock(), 0
        self._of: Any = None  # the units of the last pass
        self._own: tuple[Any, ...] = (0,)  # pass, classes, and units of own classes

    def answer(self, question: str, *given: Any) -> Any:
        with self._lock:
            return getattr(self, question)(*given)

    def assign(self, now: Pass) -> PartialSums | None:
        data, before, n_neurons = self.data, self._of, len(now.prototypes)
        how, d = data.quantisation, data.X.shape[1]
        packer, ids = PrototypePacker(how, d), in_rows(np.arange(n_neurons), PANEL_ROWS)
        packed = packer.pack(now.prototypes, ids, np.zeros(len(ids)))
        if packed is None:
            return None
        units: Integers = self._at(now).bmu
        changed = data.n if before is None else int(np.count_nonzero(before.bmu != units))
        steps = error_steps(data.n, d, packed.accuracy.largest)
        near = NEAR * packed.accuracy.largest**2 if data.X.dtype.itemsize == 8 else -1.0
        errors = np.zeros(n_neurons, np.int64)
        for rows in pieces(0, data.n):
            own = PackedSamples(data.X[rows], how)
            own.blocks.bmu[: len(own.X)] = units[rows]
            search_loops.error_blocks(
                own.tag, own.rows, how, own.blocks, packed.packed, near, steps, errors,
                own.workspaces(1, 1)[0],
            )  # fmt: skip
        sums, hits = self._won(units, n_neurons)
        return PartialSums(hits, sums, errors, steps, changed)

    def linked(
        self, now: Pass, own: Flags | None, links: NDArray[np.int32], leads: Flags | None
    ) -> tuple[Floats, Integers]:
        """Return packed sums (K, depth) and hits (K,) of the neurons that ``links`` (K, degree) to
        units.

        Those in which a class leads by ``leads`` (K, C) come first; samples go to neurons in which
        their class leads by ``own`` (K, C) before.
        """
        units, graph = self.units(now, own), MapGraph(np.empty((0, 0), np.uint16), links)
        units = linked_runners_up(self.data, units, now.prototypes, graph, leads)
        return self._won(units, len(now.prototypes))

    def reassigned(self, now: Pass, own: Flags) -> tuple[Floats, Integers]:
        """Return how packed sums and hits change as samples go to neurons of their own class."""
        before, after = self.units(now, None), self.units(now, own)
        moved, n_neurons = np.flatnonzero(before != after), len(now.prototypes)
        part = Part(self.data.subset(moved))
        vars(part.data)["quantisation"] = self.data.quantisation
        won, lost = (part._won(units[moved], n_neurons) for units in (after, before))
        return won[0] - lost[0], won[1] - lost[1]

    def units(self, now: Pass, own: Flags | None) -> NDArray[Any]:
        units: Integers = self._at(now).bmu
        return units if own is None else self._reassigned(now, units, own)

    def _reassigned(self, now: Pass, units: Integers, own: Flags) -> Integers:
        if self._own[0] != now.number or not np.array_equal(self._own[1], own):
            found = winners_of_own_class(self.data, units, now.prototypes, own)
            self._own = now.number, own, found
        winners: Integers = self._own[2]
        return winners

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        """Return of which rows the two nearest neurons are not linked."""
        return Search(self.data).unlinked(prototypes, MapGraph(np.empty((0, 0), np.uint16), links))

    def _at(self, now: Pass) -> Any:
        # What the pass found: it is done where it was not.
        if now.number != self._done:
            self._of, self._done = self.data.assign(now.prototypes), now.number
        return self._of

    def _won(self, units: Integers, n_neurons: int) -> tuple[Floats, Integers]:
        sums = self.data.quantised_sums(units, n_neurons)
        padded = np.zeros((n_neurons, -(-sums.shape[1] // UNROLL) * UNROLL))
        padded[:, : sums.shape[1]] = sums
        return padded, np.bincount(units, minlength=n_neurons)


class PartsHere:
    """Parts in this process, see `Parts`."""

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
        self._links: NDArray[np.int32] | None = None  # that the last update had

    def assign(self, prototypes: Floats, positions: Integers) -> SearchResult:
        return self._pass(prototypes, positions, 0)

    def admit(
        self, found: SearchResult, prototypes: Floats, positions: Integers, known: int
    ) -> SearchResult:
        if known == len(prototypes):
            return found
        return self._pass(prototypes, positions, known if self._known == known else 0)

    def unlinked(self, prototypes: Floats, graph: MapGraph) -> Flags:
        return np.concatenate(self.parts.ask("unlinked", prototypes, graph.links, add=None))

    def total(self, question: str, *given: Any) -> Any:
        return reduce(plus, self.parts.ask(question, *given, add=plus))

    def units(self, now: Pass, own: Flags | None) -> NDArray[Any]:
        if own is None and hasattr(self.parts, "units"):
            kept: NDArray[Any] = self.parts.units
            return kept
        each = self.parts.ask("units", now, own, add=None)
        return each[0] if len(each) == 1 else np.concatenate(each)

    def linked(
        self, now: Pass, own: Flags | None, links: NDArray[np.int32], leads: Flags | None
    ) -> tuple[Floats, Integers]:
        """Return what linked neurons win, see `Part.linked`.

        Where rows are read for each question the next pass looks for it as well.
        """
        self._links = links if leads is None and hasattr(self.parts, "units") else None
        total: tuple[Floats, Integers] = self.total("linked", now, own, links, leads)
        return total

    def _pass(self, prototypes: Floats, positions: Integers, known: int) -> SearchResult:
        self._passes += 1
        links = self._links
        links = links if links is not None and len(links) == len(prototypes) else None
        now = Pass(self._passes, prototypes.copy(), positions, known, links)
        won: PartialSums | None = self.total("assign", now)
        self._known = 0 if won is None else len(prototypes)
        if won is None:
            return SearchResult(self.data, prototypes, self.data.assign(prototypes))
        moved, self._is_first = 1.0 if self._is_first else won.changed / self.data.n, False
        return PackedResult(self, now, won, moved)


class PackedResult(SearchResult):
    """What a pass over samples that each count once found, in packed sums.

    Errors are of packed samples, as sums are. Units are fetched when looked up, which must be
    before the next pass of the same search.
    """

    def __init__(
        self,
        search: PartitionedSearch,
        now: Pass,
        won: PartialSums,
        moved: float,
        own: Flags | None = None,
    ) -> None:
        data, self.search, self.now, self.won, self.own = search.data, search, now, won, own
        of = Units(data, now.prototypes, lambda: search.units(now, own))
        super().__init__(data, now.prototypes, of, moved)
        self.packed_sums, self.hits = won.sums, won.hits
        scaled = won.steps * data.quantisation.scale
        self.errors, self.total_error = won.errors / scaled, float(won.errors.sum()) / scaled

    @cached_property
    def totals(self) -> Totals:
        return Totals(self.hits, self._unpacked(self.packed_sums, self.hits), self.errors)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        return self.exactly().class_counts if self.won.classes is None else self.won.classes

    def exactly(self) -> SearchResult:
        return SearchResult(self.data, self.prototypes, self.of, self.moved)

    def trained_by_class(self, leads: Flags) -> PackedResult:
        sums, hits = self.search.total("reassigned", self.now, leads)
        won = self.won._replace(sums=self.won.sums + sums, hits=self.won.hits + hits, linked=None)
        return PackedResult(self.search, self.now, won, self.moved, leads)

    def linked_totals(self, graph: MapGraph, leads: Flags | None) -> Totals:
        sums, hits = self._linked(graph, leads)
        return Totals(hits, self._unpacked(sums, hits), np.empty(0))

    def updated(self, around: Neighbourhood, centre: Centre | None = None) -> Floats:
        data, before, pulls = self.data, self.prototypes, around.pull > 0
        if centre is not None or around.inhibits:
            linked = self.exactly().linked_totals(around.graph, around.leads) if pulls else None
            return updated_from(self.totals, before, around, linked, centre, data.threads)
        reach = reach_of(around.weights, float(data.n))
        smooth, reached = smoothed(
            around.which, around.weights, reach, self.hits, self.packed_sums, data.threads
        )
        if pulls:
            more, pulled = self._linked(around.graph, around.leads)
            smooth, reached = smooth + around.pull * more, reached + around.pull * pulled
        how, alive = data.quantisation, reached > 0
        larger = 1.0 / (np.where(alive, reached, 1.0) * how.scale)
        after: Floats = smooth[:, : before.shape[1]] * larger[:, None] + how.centre
        after[~alive] = before[~alive]
        return after

    def _linked(self, graph: MapGraph, leads: Flags | None) -> tuple[Floats, Integers]:
        linked, links = self.won.linked, self.now.links
        if linked is not None and leads is None and np.array_equal(links, graph.links):  # type: ignore[arg-type]
            return linked
        return self.search.linked(self.now, self.own, graph.links, leads)

    def _unpacked(self, sums: Floats, hits: Integers) -> Floats:
        # Sums (K, D) of samples as given, from packed ones (K, depth).
        how = self.data.quantisation
        own = sums[:, : self.prototypes.shape[1]] / how.scale  # exact: a power of two
        return np.asarray(own + hits[:, None] * how.centre)
