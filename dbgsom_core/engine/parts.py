"""Parts of the samples, each with passes over its rows; see "Parts" in README.md.

The state of a part (units, bounds, the order of its rows) changes no result: a lost part is made
again from its rows and repeats the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

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
from dbgsom_core.engine.partitions import pieces
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
from dbgsom_core.engine.tile import PANEL_ROWS


class Part:
    """Samples of an engine with a pass of its own: `assign`, and `quantised_sums` of its units."""

    def __init__(self, data: Any) -> None:
        self.data, self._lock, self._done = data, Lock(), 0
        self._of: Any = None  # the units of the last pass
        self._by_class: tuple[Any, ...] = (0,)  # pass number, majority, reassigned units

    def answer(self, question: str, *given: Any) -> Any:
        """Return the answer of the method ``question``; one at a time."""
        with self._lock:
            return getattr(self, question)(*given)

    def assign(self, spec: PassSpec) -> PartialSums | None:
        """Return the totals of a pass; None where a prototype is too far for packed numbers."""
        data, n_neurons = self.data, len(spec.prototypes)
        how, d = data.quantisation, data.X.shape[1]
        ids = in_rows(np.arange(n_neurons), PANEL_ROWS)
        packed = packed_prototypes(spec.prototypes, how, np.float32, ids, np.zeros(len(ids)))
        if packed is None:
            return None
        units: Integers = self._assignment(spec).bmu
        steps = error_steps(data.n, d, packed.accuracy.largest)
        errors = np.zeros(n_neurons, np.int64)
        for rows in pieces(data.n):
            block = PackedSamples(data.X[rows], how)
            block.blocks.bmu[: len(block.X)] = units[rows]
            space = block.workspaces(1, 1)[0]
            search_loops.error_blocks(block.tag, block.packed, packed, steps, errors, space)
        sums, hits = self._sums_and_hits(units, n_neurons)
        return PartialSums(hits, sums, errors, steps)

    def linked(
        self, spec: PassSpec, own: Flags | None, links: NDArray[np.int32], majority: Flags | None
    ) -> tuple[Floats, Integers]:
        """Return packed sums (K, depth) and hits (K,) by nearest linked neighbour.

        Neighbours with the sample's class in the ``majority`` (K, C) come first. With ``own``
        (K, C) samples are first reassigned to neurons with their class in this majority.
        """
        units = self.units(spec, own)
        units = linked_runners_up(self.data, units, spec.prototypes, links, majority)
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
        """Return the units (m,) of the rows; with ``own`` reassigned as in `linked`."""
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
        return Search(self.data).unlinked(prototypes, links)

    def _assignment(self, spec: PassSpec) -> Any:
        # The assignment of the pass, which is run if necessary.
        if spec.number != self._done:
            self._of, self._done = self.data.assign(spec.prototypes), spec.number
        return self._of

    def _sums_and_hits(self, units: Integers, n_neurons: int) -> tuple[Floats, Integers]:
        sums = self.data.quantised_sums(units, n_neurons)
        deep = np.zeros((n_neurons, padded(sums.shape[1])))
        deep[:, : sums.shape[1]] = sums
        return deep, np.bincount(units, minlength=n_neurons)


class LocalParts:
    """Parts in this process, see `Parts`."""

    rereads = False

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        return [part.answer(question, *given) for part in self.parts]
