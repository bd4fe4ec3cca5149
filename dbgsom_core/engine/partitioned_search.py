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
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Found, MapGraph
from dbgsom_core.engine.euclidean import layout
from dbgsom_core.engine.euclidean.fine_tuning import LinkedRunnersUp
from dbgsom_core.engine.euclidean.layout import in_rows
from dbgsom_core.engine.euclidean.packed_found import FastFound
from dbgsom_core.engine.euclidean.packing import Frame, Packed, PackedSamples
from dbgsom_core.engine.euclidean.search import FastSearch, is_too_much
from dbgsom_core.engine.llvm.tile import PANEL_ROWS
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.rows import for_loops


class Held(Protocol):
    """Objects, one for each shard, where its rows are."""

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        """Return ``answer(question, *given)`` of each object, in the order of the shards.

        Where ``add`` is given answers add up exactly and are wanted as one sum: they may be added
        up on the way, in any order.
        """


class Pass(NamedTuple):
    """What a pass looks for, so that any part can do it.

    Attributes
    ----------
    number : int
        No two passes of a search have the same.
    prototypes, positions : float64 array (K, D), int array (K, 2)
    known : int
        How many of them the pass before had, where the others are admitted to it; 0: none was.
    doubled : bool
        Whether blocks are of float64.
    """

    number: int
    prototypes: NDArray[np.float64]
    positions: NDArray[np.int64]
    known: int
    doubled: bool


class Won(NamedTuple):
    """What neurons won in some rows, in numbers that add up exactly.

    Attributes
    ----------
    hits, errors : int64 arrays (K,)
        Errors are in whole steps.
    sums : float64 array (K, depth)
        Packed.
    counts : int64 array (2,)
        Rows with another unit than in the pass before, rows in doubt.
    classes : int64 array (K, C) or None
        How many of each class.
    """

    hits: NDArray[np.int64]
    errors: NDArray[np.int64]
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    classes: NDArray[np.int64] | None


def plus(one: Any, other: Any) -> Any:
    """Return the sum of two answers, arrays or tuples of them."""
    if not isinstance(one, tuple):
        return None if one is None else one + other
    both = [plus(*pair) for pair in zip(one, other, strict=True)]
    return type(one)(*both) if hasattr(one, "_fields") else tuple(both)


class Part:
    """Rows (m, D) of a table of ``n``, packed in the frame of all of them, and their search.

    It is pickled as its rows; the lock keeps two who ask at once apart.
    """

    def __init__(
        self,
        X: NDArray[Any],
        codes: NDArray[np.int64] | None,
        n_classes: int,
        metric: MetricCalls,
        frame: Frame,
        n: int,
    ) -> None:
        self._recipe = X, codes, n_classes, metric, frame, n
        X = np.ascontiguousarray(for_loops(X))
        self._data = LocalSamples(X, metric, codes=codes, n_classes=n_classes)
        self._frame, self._n, self._lock = frame, n, Lock()
        self._search, self._done = self._new(False), 0
        self._found: Any = None

    def __reduce__(self) -> Any:
        return Part, self._recipe

    def __sizeof__(self) -> int:
        return 2 * int(self._data.X.nbytes)

    def answer(self, question: str, *given: Any) -> Any:
        """Return what another method says."""
        with self._lock:
            return getattr(self, question)(*given)

    def won(self, now: Pass) -> Won:
        """Find units."""
        found, search = self._at(now), self._search
        changed = round(found.moved * self._data.n)
        counts = np.array([changed, search.doubts])
        sums = found.packed_sums.copy()
        return Won(found.hits, search.whole_errors, sums, counts, found.class_counts)

    def tuned(
        self,
        now: Pass,
        own: NDArray[np.bool_] | None,
        links: NDArray[np.int32] | None,
        leads: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return packed sums (K, depth) and hits (K,) of units, or of those linked to them.

        Samples go to neurons in which their class leads by ``own`` (K, C) first. By ``links`` (K,
        degree) the nearest linked neighbours win, where a class leads by ``leads`` (K, C) first.
        """
        found: Any = self._tuned(now, own)
        if links is not None:
            seconds = found.pulled(links, leads)
            return seconds.sums.copy(), seconds.hits.copy()
        return found.packed_sums.copy(), found.hits.copy()

    def units(self, now: Pass, own: NDArray[np.bool_] | None) -> NDArray[Any]:
        """Return the unit of each row, in 2 bytes where those do, see `tuned`."""
        kind = np.uint16 if len(now.prototypes) <= 1 << 16 else np.int32
        return np.asarray(self._tuned(now, own).bmu.astype(kind))

    def unlinked(
        self, prototypes: NDArray[np.float64], links: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Return of which rows the two nearest neurons are not linked."""
        hops = np.full((len(links), len(links)), 2, np.uint16)  # or more: only the first count
        rows, columns = np.nonzero(links >= 0)
        hops[rows, links[rows, columns]] = 1
        np.fill_diagonal(hops, 0)
        self._done = 0
        return self._search.unlinked(prototypes, MapGraph(hops, links))

    def _tuned(self, now: Pass, own: NDArray[np.bool_] | None) -> Any:
        found = self._at(now)
        return found if own is None else found.trained_by_class(own)

    def _at(self, now: Pass) -> Any:
        # What the pass found: it is done where it was not.
        if now.number == self._done:
            return self._found
        if now.doubled != self._search.samples.is_double:
            self._search, self._found = self._new(now.doubled), None
        search, known = self._search, now.known
        if known:
            before = now.prototypes[:known], now.positions[:known]
            if self._found is None or not np.array_equal(self._found.prototypes, before[0]):
                self._found = search.assign(*before)
            self._found = search.admit(self._found, now.prototypes, now.positions, known)
        else:
            self._found = search.assign(now.prototypes, now.positions)
        self._done = now.number
        return self._found

    def _new(self, doubled: bool) -> FastSearch:
        packed = PackedSamples.of(self._data.X, self._data.threads, self._frame, self._n)
        search = FastSearch(self._data, packed)
        search.remember(doubled)
        return search


class PartitionedSearch:
    """Exact best-matching units of rows that are elsewhere, epoch after epoch.

    Parameters
    ----------
    data : Samples
        All rows, which find units where packed numbers cannot.
    samples : Packed
        How they are packed.
    parts : Held
        Holds a `Part` for each shard.
    """

    def __init__(self, data: Any, samples: Packed, parts: Held) -> None:
        self.data, self.samples, self._parts = data, samples, parts
        self._packer = layout.PrototypePacker(samples)
        self._passes = 0

    def assign(self, prototypes: NDArray[np.float64], positions: NDArray[np.int64]) -> Found:
        """See `Search`."""
        return self._found(prototypes, positions, 0)

    def admit(
        self,
        found: Found,
        prototypes: NDArray[np.float64],
        positions: NDArray[np.int64],
        known: int,
    ) -> Found:
        """See `Search`."""
        if known == len(prototypes):
            return found
        return self._found(prototypes, positions, known if isinstance(found, FastFound) else 0)

    def unlinked(self, prototypes: NDArray[np.float64], graph: MapGraph) -> NDArray[np.bool_]:
        """See `Search`."""
        return np.concatenate(self.ask("unlinked", prototypes, graph.links))

    def remembered(self) -> bool:
        """Return whether doubts made it go on in float64, in which errors have other bits."""
        return self.samples.is_double

    def remember(self, doubled: bool) -> None:
        """Go on in float64 where an interrupted search did."""
        if doubled and not self.samples.is_double:
            self.samples = replace(self.samples, dtype=np.float64)
            self._packer = layout.PrototypePacker(self.samples)

    def ask(self, question: str, *given: Any) -> list[Any]:
        """Return what the method of each `Part` says."""
        return self._parts.ask(question, *given, add=None)

    def total(self, question: str, *given: Any) -> Any:
        """Return the sum of what the parts say."""
        return reduce(plus, self._parts.ask(question, *given, add=plus))

    def _found(
        self, prototypes: NDArray[np.float64], positions: NDArray[np.int64], known: int
    ) -> Found:
        ids = in_rows(np.arange(len(prototypes)), PANEL_ROWS)
        laid, samples = self._packer.pack(prototypes, ids, np.zeros(len(ids))), self.samples
        if laid is None:
            exact: Found = self.data.found(prototypes, self.data.assign(prototypes))
            return exact
        self._passes += 1
        now = Pass(self._passes, prototypes.copy(), positions, known, samples.is_double)
        won: Won = self.total("won", now)
        changed, doubts = won.counts.tolist()
        steps = samples.steps(laid.accuracy) * samples.frame.scale
        errors, total = won.errors / steps, float(won.errors.sum()) / steps
        if is_too_much(doubts, self.data.n, len(prototypes)):
            self.remember(True)
        moved = changed / self.data.n if self._passes > 1 else 1.0
        found = won.hits, errors, total, won.sums, _NOT_HERE, moved, now, won.classes
        return FoundByParts(self, prototypes, *found)


_NOT_HERE = np.empty(0, np.int32)


@dataclass
class FoundByParts(FastFound):
    """What a pass of parts found; see `FastFound`. Units are brought here when asked for."""

    search: Any
    now: Pass = None  # type: ignore[assignment] # fields before it have defaults
    counts: NDArray[np.int64] | None = None
    own: NDArray[np.bool_] | None = None

    @cached_property
    def units(self) -> NDArray[Any]:
        """The units (n,), in as few bytes as they need."""
        return np.concatenate(self.search.ask("units", self.now, self.own))

    @property
    def piece(self) -> int:
        """See `PartitionedSamples`."""
        return int(self.search.data.piece)

    @property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        return self.counts

    def trained_by_class(self, leads: NDArray[np.bool_]) -> FoundByParts:
        """See `Found`."""
        sums, hits = self.search.total("tuned", self.now, leads, None, None)
        return replace(self, hits=hits, packed_sums=sums, own=leads)

    def pulled(self, links: NDArray[np.int32], leads: NDArray[np.bool_] | None) -> LinkedRunnersUp:
        """See `FastFound`."""
        return LinkedRunnersUp(None, *self.search.total("tuned", self.now, self.own, links, leads))
