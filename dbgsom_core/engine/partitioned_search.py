"""The search over parts that are elsewhere: prototypes go there, and what neurons won comes back.

Sums of packed numbers, hits and errors in whole steps add up exactly, so any parts may be searched
and added, and a map does not depend on them. What a part remembers (units, bounds, the order of its
rows) changes no answer either: one that was lost is made anew from its rows, and does the pass that
it is asked about first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Flags, Floats, Found, Integers, MapGraph
from dbgsom_core.engine.euclidean import layout, search_loops
from dbgsom_core.engine.euclidean.fine_tuning import LinkedRunnersUp
from dbgsom_core.engine.euclidean.layout import in_rows
from dbgsom_core.engine.euclidean.packed_result import PackedResult
from dbgsom_core.engine.euclidean.packing import NEAR, Frame, Packed, PackedSamples
from dbgsom_core.engine.found import linked_runners_up, winners_of_own_class
from dbgsom_core.engine.llvm.tile import PANEL_ROWS, UNROLL
from dbgsom_core.engine.majorities import count_classes
from dbgsom_core.engine.per_sample import plainly_unlinked
from dbgsom_core.engine.tables import Held, pieces


class Pass(NamedTuple):
    """What a pass looks for, so that any part can do it.

    Attributes
    ----------
    number : int
        No two passes of a search have the same.
    prototypes, positions : float64 array (K, D), int array (K, 2)
    known : int
        How many of them the pass before had, where the others are admitted to it; 0: none was.
    steps, near : float
        Errors are whole numbers of 1/steps packed units of distance; below which squared distance
        all digits of a sample count.
    """

    number: int
    prototypes: Floats
    positions: Integers
    known: int
    steps: float
    near: float


class PartialSums(NamedTuple):
    """What neurons won in some rows, in numbers that add up exactly.

    Attributes
    ----------
    hits : int64 array (K,)
    sums : float64 array (K, depth)
        Packed.
    errors : int64 array (K,)
        In whole steps.
    changed : int
        Rows with another unit than in the pass before.
    classes : int64 array (K, C) or None
        How many of each class.
    """

    hits: Integers
    sums: Floats
    errors: Integers
    changed: int
    classes: Integers | None


def plus(one: Any, other: Any) -> Any:
    """Return the sum of two answers, arrays or tuples of them."""
    if not isinstance(one, tuple):
        return None if one is None else one + other
    both = [plus(*pair) for pair in zip(one, other, strict=True)]
    return type(one)(*both) if hasattr(one, "_fields") else tuple(both)


def linked_by(links: NDArray[np.int32]) -> MapGraph:
    """Return the graph of ``links`` (K, degree) for what needs no hops."""
    return MapGraph(np.empty((0, 0), np.uint16), links)


class Part:
    """Samples, and what neurons win of them by `Samples.assign` and `Samples.quantised_sums`."""

    def __init__(self, data: Any) -> None:
        self._data, self._lock, self._done = data, Lock(), 0
        self._of: Any = None  # the units of the last pass

    def answer(self, question: str, *given: Any) -> Any:
        """Return what another method says; two who ask at once are kept apart."""
        with self._lock:
            return getattr(self, question)(*given)

    def assign(self, now: Pass) -> PartialSums:
        """Find units."""
        data, before = self._data, self._of
        of, n_neurons = self._at(now), len(now.prototypes)
        changed = data.n if before is None else int(np.count_nonzero(before.bmu != of.bmu))
        classes = None
        if data.codes is not None:
            classes = count_classes(of.bmu, data.codes, n_neurons, data.n_classes)
        sums, hits = self._sums(of.bmu, n_neurons)
        return PartialSums(hits, sums, self._errors(of.bmu, now), changed, classes)

    def tuned(
        self, now: Pass, own: Flags | None, links: NDArray[np.int32] | None, leads: Flags | None
    ) -> tuple[Floats, Integers]:
        """Return packed sums (K, depth) and hits (K,) of units, or of those linked to them.

        Samples go to neurons in which their class leads by ``own`` (K, C) first. By ``links`` (K,
        degree) the nearest linked neighbours win, where a class leads by ``leads`` (K, C) first.
        """
        units = self._tuned(now, own)
        if links is not None:
            graph = linked_by(links)
            units = linked_runners_up(self._data, units, now.prototypes, graph, leads)
        return self._sums(units, len(now.prototypes))

    def units(self, now: Pass, own: Flags | None) -> NDArray[Any]:
        """Return the unit of each row, see `tuned`."""
        return self._tuned(now, own)

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        """Return of which rows the two nearest neurons are not linked."""
        return plainly_unlinked(self._data, prototypes, linked_by(links))

    def _tuned(self, now: Pass, own: Flags | None) -> Integers:
        units: Integers = self._at(now).bmu
        return (
            units if own is None else winners_of_own_class(self._data, units, now.prototypes, own)
        )

    def _at(self, now: Pass) -> Any:
        # What the pass found: it is done where it was not.
        if now.number != self._done:
            self._of, self._done = self._data.assign(now.prototypes), now.number
        return self._of

    def _errors(self, units: Integers, now: Pass) -> Integers:
        data, errors = self._data, np.zeros(len(now.prototypes), np.int64)
        frame = data.quantisation
        packed = np.zeros((len(errors), -(-data.X.shape[1] // UNROLL) * UNROLL))
        packed[:, : data.X.shape[1]] = (now.prototypes - frame.centre) * frame.scale
        for rows in pieces(0, data.n):
            own = PackedSamples.of(data.X[rows], 1, frame, data.n)
            own.units[: len(own.X)] = units[rows]
            search_loops.error_blocks(
                own.one, own.rows, frame, own.blocks, packed, now.near, now.steps, errors,
                own.workspaces(1, 1)[0],
            )  # fmt: skip
        return errors

    def _sums(self, units: Integers, n_neurons: int) -> tuple[Floats, Integers]:
        sums = self._data.quantised_sums(units, n_neurons)
        padded = np.zeros((n_neurons, -(-sums.shape[1] // UNROLL) * UNROLL))
        padded[:, : sums.shape[1]] = sums
        return padded, np.bincount(units, minlength=n_neurons)


class Parts:
    """Parts in this process, see `Held`."""

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        """See `Held`."""
        return [part.answer(question, *given) for part in self._parts]


class PartitionedSearch:
    """Exact best-matching units of rows that are elsewhere, epoch after epoch.

    Parameters
    ----------
    data : Samples
        All rows, which find units where packed numbers cannot.
    frame : Frame
        How they are packed.
    parts : Held
        Holds a `Part` for each shard.
    """

    def __init__(self, data: Any, frame: Frame, parts: Held) -> None:
        self.data, self._parts = data, parts
        self.samples = Packed(data.X, frame, data.threads)
        self._packer = layout.PrototypePacker(self.samples)
        self._passes = 0

    def assign(self, prototypes: Floats, positions: Integers) -> Found:
        """See `Search`."""
        return self._found(prototypes, positions, 0)

    def admit(self, found: Found, prototypes: Floats, positions: Integers, known: int) -> Found:
        """See `Search`."""
        if known == len(prototypes):
            return found
        return self._found(prototypes, positions, known if isinstance(found, PackedResult) else 0)

    def unlinked(self, prototypes: Floats, graph: MapGraph) -> Flags:
        """See `Search`."""
        return np.concatenate(self.ask("unlinked", prototypes, graph.links))

    def ask(self, question: str, *given: Any) -> list[Any]:
        """Return what the method of each `Part` says."""
        return self._parts.ask(question, *given, add=None)

    def total(self, question: str, *given: Any) -> Any:
        """Return the sum of what the parts say."""
        return reduce(plus, self._parts.ask(question, *given, add=plus))

    def _found(self, prototypes: Floats, positions: Integers, known: int) -> Found:
        ids = in_rows(np.arange(len(prototypes)), PANEL_ROWS)
        laid, samples = self._packer.pack(prototypes, ids, np.zeros(len(ids))), self.samples
        if laid is None:
            exact: Found = self.data.found(prototypes, self.data.assign(prototypes))
            return exact
        self._passes += 1
        steps = samples.steps(laid.accuracy)
        near = NEAR * laid.accuracy.largest**2 if self.data.X.dtype.itemsize == 8 else -1.0
        now = Pass(self._passes, prototypes.copy(), positions, known, steps, near)
        sums: PartialSums = self.total("assign", now)
        scaled = steps * samples.frame.scale
        errors, total = sums.errors / scaled, float(sums.errors.sum()) / scaled
        moved = sums.changed / self.data.n if self._passes > 1 else 1.0
        found = sums.hits, errors, total, sums.sums, _NOT_HERE, moved, now, sums.classes
        return PartitionedResult(self, prototypes, *found)


_NOT_HERE = np.empty(0, np.int32)


@dataclass
class PartitionedResult(PackedResult):
    """What a pass of parts found; see `PackedResult`. Units are brought here when asked for."""

    search: Any
    now: Pass = None  # type: ignore[assignment] # fields before it have defaults
    counts: Integers | None = None
    own: Flags | None = None

    @cached_property
    def units(self) -> NDArray[Any]:
        """The units (n,), in as few bytes as they need."""
        return np.concatenate(self.search.ask("units", self.now, self.own))

    @property
    def piece(self) -> int:
        """How many rows' answers are best brought here at a time."""
        return int(getattr(self.search.data, "piece", 1 << 16))

    @property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        return self.counts

    def trained_by_class(self, leads: Flags) -> PartitionedResult:
        """See `Found`."""
        sums, hits = self.search.total("tuned", self.now, leads, None, None)
        return replace(self, hits=hits, packed_sums=sums, own=leads)

    def pulled(self, links: NDArray[np.int32], leads: Flags | None) -> LinkedRunnersUp:
        """See `PackedResult`."""
        return LinkedRunnersUp(None, *self.search.total("tuned", self.now, self.own, links, leads))
