"""Shards of the samples, each with passes over its rows; see "Shards" in README.md.

An engine with a pass of its own has the base class; the built-in shard is
`packed_search.PackedShard`. The state of a shard (units, bounds, the order of its rows) changes no
result: a lost shard is made again from its rows and repeats the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine import search_loops
from dbgsom_core.engine.packing import (
    PackedSamples,
    error_steps,
    in_rows,
    packed_prototypes,
    padded,
)
from dbgsom_core.engine.partitions import Question
from dbgsom_core.engine.results import (
    Flags,
    Floats,
    Integers,
    PartialSums,
    PassSpec,
    Search,
    linked_runners_up,
    winners_of_own_class,
)
from dbgsom_core.engine.runtime import pieces
from dbgsom_core.engine.tile import PANEL_ROWS


class _Reassignment(NamedTuple):
    # Units of pass ``number``, each of a neuron with the sample's class in ``own_class`` (K, C).
    number: int
    own_class: Flags
    units: Integers


class Shard:
    """Samples of an engine with a pass of its own: `assign`, and `quantised_sums` of its units."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self._lock = Lock()
        self._pass = 0  # the number of the last one, from 1
        self._assignment: Any = None  # of the last pass
        self._reassignment: _Reassignment | None = None  # the last one

    def answer(self, question: Question, *arguments: Any) -> Any:
        """Call the method that the question names; one thread at a time, as methods keep state."""
        with self._lock:
            return getattr(self, question)(*arguments)

    def assign(self, spec: PassSpec) -> PartialSums | None:
        """Return the totals of a pass; None where a prototype is too far for packed numbers."""
        data = self.data
        how = data.quantisation
        n_neurons = len(spec.prototypes)
        ids = in_rows(np.arange(n_neurons), PANEL_ROWS)
        packed = packed_prototypes(spec.prototypes, how, np.float32, ids, np.zeros(len(ids)))
        if packed is None:
            return None
        units: Integers = self._assignment_of(spec).bmu
        # Errors are of packed samples, so that they have the bits of other engines.
        steps = error_steps(data.n, data.X.shape[1], packed.accuracy.largest)
        errors = np.zeros(n_neurons, np.int64)
        for rows in pieces(data.n):
            samples = PackedSamples(data.X[rows], how)
            samples.blocks.bmu[: len(samples.X)] = units[rows]
            space = samples.workspaces(1, 1)[0]
            search_loops.error_blocks(samples.tag, samples.packed, packed, steps, errors, space)
        sums, hits = self._sums_and_hits(units, n_neurons)
        return PartialSums(hits, sums, errors, steps)

    def linked(
        self,
        spec: PassSpec,
        own_class: Flags | None,
        links: NDArray[np.int32],
        majority: Flags | None,
    ) -> tuple[Floats, Integers]:
        """Return packed sums (K, depth) and hits (K,) by nearest linked neighbour.

        Neighbours with the sample's class in the ``majority`` (K, C) come first. With ``own_class``
        (K, C) samples are first reassigned to neurons with their class in this majority.
        """
        units = self.units(spec, own_class)
        runners_up = linked_runners_up(self.data, units, spec.prototypes, links, majority)
        return self._sums_and_hits(runners_up, len(spec.prototypes))

    def reassigned(self, spec: PassSpec, own_class: Flags) -> tuple[Floats, Integers]:
        """Return how packed sums and hits change when samples are reassigned as in `linked`."""
        before = self.units(spec, None)
        after = self.units(spec, own_class)
        moved = np.flatnonzero(before != after)
        n_neurons = len(spec.prototypes)
        shard = Shard(self.data.subset(moved))
        vars(shard.data)["quantisation"] = self.data.quantisation
        sums_after, hits_after = shard._sums_and_hits(after[moved], n_neurons)
        sums_before, hits_before = shard._sums_and_hits(before[moved], n_neurons)
        return sums_after - sums_before, hits_after - hits_before

    def units(self, spec: PassSpec, own_class: Flags | None) -> NDArray[Any]:
        """Return the units (m,) of the rows, with ``own_class`` reassigned as in `linked`."""
        units: Integers = self._assignment_of(spec).bmu
        return units if own_class is None else self._reassign(spec, units, own_class)

    def _reassign(self, spec: PassSpec, units: Integers, own_class: Flags) -> Integers:
        # Several questions about one pass need the same reassignment.
        last = self._reassignment
        is_known = last is not None and last.number == spec.number
        if last is None or not is_known or not np.array_equal(last.own_class, own_class):
            winners = winners_of_own_class(self.data, units, spec.prototypes, own_class)
            last = self._reassignment = _Reassignment(spec.number, own_class, winners)
        return last.units

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        """Return for which rows the two nearest neurons are not linked."""
        return Search(self.data).unlinked(prototypes, links)

    def _assignment_of(self, spec: PassSpec) -> Any:
        # The assignment of the pass, which is run if necessary.
        if spec.number != self._pass:
            self._assignment = self.data.assign(spec.prototypes)
            self._pass = spec.number
        return self._assignment

    def _sums_and_hits(self, units: Integers, n_neurons: int) -> tuple[Floats, Integers]:
        sums = self.data.quantised_sums(units, n_neurons)
        d = sums.shape[1]
        packed_sums = np.zeros((n_neurons, padded(d)))
        packed_sums[:, :d] = sums
        return packed_sums, np.bincount(units, minlength=n_neurons)


class LocalShards:
    """Shards in this process, see `Shards`."""

    rereads = False

    def __init__(self, shards: list[Shard]) -> None:
        self.shards = shards

    def ask(
        self, question: Question, *arguments: Any, add: Callable[[Any, Any], Any] | None
    ) -> list[Any]:
        return [shard.answer(question, *arguments) for shard in self.shards]
