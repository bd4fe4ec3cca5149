"""Samples in shards that are elsewhere: prototypes go there, and what neurons won comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from dbgsom_core.engine.contract import MapGraph, PerSample, Search, Totals
from dbgsom_core.engine.euclidean import layout
from dbgsom_core.engine.euclidean.assignment import FastFound
from dbgsom_core.engine.euclidean.panel_groups import in_rows
from dbgsom_core.engine.euclidean.search import DOUBTS
from dbgsom_core.engine.euclidean.tally import Seconds
from dbgsom_core.engine.found import PlainFound
from dbgsom_core.engine.llvm.panel import PANEL_ROWS
from dbgsom_core.engine.local import LocalSamples, PlainSearch
from dbgsom_core.engine.ranges import Held
from dbgsom_core.engine.shard_table import ShardTable
from dbgsom_core.engine.shards import Added, Pass, Tuning, plus
from dbgsom_core.engine.streamed import StreamedSamples, check_suits, is_small
from dbgsom_core.engine.tables import block_rows
from dbgsom_core.engine.workers import available_threads

_PLAIN = Tuning()
_HERE = 1 << 24  # bytes of rows that may be brought here at a time


@dataclass(frozen=True)
class ShardedSamples(StreamedSamples):
    """`Samples` in a `ShardTable` ``X`` (n, D), complete, of Euclidean geometry."""

    @cached_property
    def own(self) -> dict[str, Any]:
        """Weights and classes, beside the rows."""
        known = {"weights": self.weights, "codes": self.codes}
        spread = self.X.shards.spread
        return {name: spread(values) for name, values in known.items() if values is not None}

    def ask(self, question: str, *given: Any, among: Sequence[int] | None = None) -> list[Any]:
        """Return the answers of the shards; see `Shard`."""
        held: Held = self.X.held(self.metric)
        return held.ask(question, *given, own=self.own, among=among)

    def total(self, question: str, *given: Any) -> Any:
        """Return the sum of the answers of the shards, which add up exactly."""
        held: Held = self.X.held(self.metric)
        return reduce(plus, held.ask(question, *given, own=self.own, add=plus))

    def of_rows(self, method: str, *given: Any) -> Any:
        """Return what shards say of their rows, (n, …)."""
        return np.concatenate(self.ask("of_rows", method, *given))

    def added_up(self, question: str, none: Any, *given: Any) -> Any:
        """Return what all shards count, or add weights up to in the order of the samples."""
        if self.weights is not None:
            return self.chained(question, none, *given)
        return self.total(question, none, *given)

    def chained(self, question: str, so_far: Any, *given: Any) -> Any:
        """Let one shard after the other add to what the ones before have found."""
        for shard in range(len(self.X.shards.ends) - 1):
            (so_far,) = self.ask(question, so_far, *given, among=[shard])
        return so_far

    def search(self) -> Search:
        """See `Samples`."""
        fast = ShardedSearch(self)
        return fast if self.weights is None else PlainSearch(self, fast)

    def subset(self, rows: NDArray[Any] | slice) -> Any:
        """See `Samples`."""
        return _streamed(super().subset(rows))

    def followed_by(
        self, X: NDArray[np.float64], weights: NDArray[np.float64], scatter: NDArray[np.float64]
    ) -> Any:
        """See `Samples`: the rows are brought here in each pass."""
        return _streamed(super().followed_by(X, weights, scatter))

    def assign(self, prototypes: NDArray[np.float64]) -> PerSample:
        """See `Samples`."""
        return FoundInShards(self, self.X.next_pass(prototypes))

    def assign_plainly(self, prototypes: NDArray[np.float64]) -> Any:
        """See `assign`."""
        return self.assign(prototypes)

    def lasting(self, prototypes: NDArray[np.float64], of: PerSample) -> PerSample:
        """See `Samples`."""
        return of.kept if isinstance(of, _OF_SHARDS) else super().lasting(prototypes, of)

    def found(self, prototypes: NDArray[np.float64], of: PerSample) -> Any:
        """See `Samples`."""
        if isinstance(of, _OF_SHARDS):
            return ShardedExact(self, of.kept.now.prototypes, of.kept)
        return super().found(prototypes, of)

    def nearest_units(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        """See `Samples`; distances are None for up to two units."""
        told = self.ask("of_rows", "nearest_units", prototypes, k)
        units = np.concatenate([units for units, _ in told])
        return units, None if k <= 2 else np.concatenate([apart for _, apart in told])

    def distances(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """See `Samples`."""
        return np.asarray(self.of_rows("distances", prototypes))

    def mixtures(
        self, prototypes: NDArray[np.float64], sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """See `Samples`."""
        told = self.ask("of_rows", "mixtures", prototypes, sparse)
        return vstack(told, format="csr") if sparse else np.concatenate(told)


def _streamed(samples: Any) -> Any:
    # The same, or for a table that is none of shards: its rows are brought here.
    if not isinstance(samples, ShardedSamples) or isinstance(samples.X, ShardTable):
        return samples
    return StreamedSamples(**{one.name: getattr(samples, one.name) for one in fields(samples)})


class FoundInShards:
    """Units and distances that are where the rows are, until somebody asks for them."""

    def __init__(self, data: ShardedSamples, now: Pass) -> None:
        self.data, self.now, self._told = data, now, (-1, (np.empty(0), np.empty(0)))

    @property
    def kept(self) -> FoundInShards:
        """The same."""
        return self

    @cached_property
    def bmu(self) -> Any:
        """The units, int32 (n,)."""
        return np.concatenate(self.data.ask("units", self.now))

    @property
    def distance(self) -> NDArray[np.float64]:
        """See `PerSample`."""
        return np.concatenate([distance for _, distance in self.data.ask("told", self.now)])

    def of_rows(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `PerSample`; of one shard all are brought here."""
        ends, parts, start = self.data.X.shards.ends, [], rows.start
        while start < rows.stop:
            shard = int(np.searchsorted(ends, start, "right")) - 1
            stop = min(rows.stop, ends[shard + 1])
            if self._told[0] != shard:
                self._told = shard, self.data.ask("told", self.now, among=[shard])[0]
            at = slice(start - ends[shard], stop - ends[shard])
            parts.append([one[at] for one in self._told[1]])
            start = stop
        units, distance = (np.concatenate(one) for one in zip(*parts, strict=True))
        return units.astype(np.int64), distance


class ShardedSearch:
    """Exact best-matching units of the rows of all shards, epoch after epoch."""

    def __init__(self, data: ShardedSamples) -> None:
        self.data, self.samples = data, data.X.packed
        self._room = layout.PanelRoom(self.samples)
        self._doubled, self._passes, self._total_error = False, 0, 0.0
        self.seconds: Seconds | None = None  # shards keep them

    def assign(self, prototypes: NDArray[np.float64], positions: NDArray[np.int64]) -> Any:
        """See `Search`."""
        return self._found(prototypes, positions, 0)

    def admit(
        self,
        found: Any,
        prototypes: NDArray[np.float64],
        positions: NDArray[np.int64],
        known: int,
    ) -> Any:
        """See `Search`."""
        if known == len(prototypes):
            return found
        return self._found(prototypes, positions, known if isinstance(found, FastFound) else 0)

    def unlinked(self, prototypes: NDArray[np.float64], graph: MapGraph) -> NDArray[np.bool_]:
        """See `Search`."""
        return np.concatenate(self.data.ask("unlinked", prototypes, graph))

    def remembered(self) -> bool:
        """Return whether doubts made it go on in float64, in which errors have other bits."""
        return self._doubled

    def remember(self, doubled: bool) -> None:
        """Go on in float64 where an interrupted search did."""
        if doubled and not self._doubled:
            self._double()

    def laid(self, prototypes: NDArray[np.float64]) -> layout.Laid | None:
        """Return the prototypes (K, D) in panels, or None where they are too far from the data."""
        ids = in_rows(np.arange(len(prototypes)), PANEL_ROWS)
        return self._room.lay(prototypes, ids, np.zeros(len(ids)))

    def _found(
        self, prototypes: NDArray[np.float64], positions: NDArray[np.int64], known: int
    ) -> Any:
        laid = self.laid(prototypes)
        now = self.data.X.next_pass(prototypes.copy(), positions, known, self._doubled)
        kept = FoundInShards(self.data, now)
        if laid is None:
            return ShardedExact(self.data, prototypes, kept)
        won = self.data.total("won", now)
        steps = self.samples.steps(laid.accuracy) * self.samples.scale
        errors = np.empty(len(prototypes))
        total = layout.unpack_errors(won.errors, steps, errors)
        changed, doubts, gained = won.counts.tolist()
        if known:
            total = max(self._total_error - gained / steps, 0.0)
        elif doubts > DOUBTS * self.data.n and not self._doubled:
            self._double()
        self._total_error = total
        moved, self._passes = changed / self.data.n if self._passes else 1.0, self._passes + 1
        return ShardedFound(self, prototypes, won.hits, errors, total, won.sums,
                            np.empty(0, np.int32), moved, kept)  # fmt: skip

    def _double(self) -> None:
        self.samples = self.data.X.doubled()
        self._room, self._doubled = layout.PanelRoom(self.samples), True


@dataclass
class ShardedFound(FastFound):
    """What a pass over shards found; see `FastFound`. ``kept`` tells of single samples."""

    search: ShardedSearch  # type: ignore[assignment]
    kept: FoundInShards = None  # type: ignore[assignment] # the fields before it have defaults
    how: Tuning = _PLAIN

    @property
    def bmu(self) -> Any:
        """The units, int32 (n,)."""
        return self.kept.bmu

    @property
    def distance(self) -> NDArray[np.float64]:
        """The distance of each row to its unit by definition, float64 (n,)."""
        return self.kept.distance

    def of_rows(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `PerSample`."""
        return self.kept.of_rows(rows)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        return self.exactly().class_counts

    def exactly(self) -> ShardedExact:
        """See `Found`."""
        return ShardedExact(self.search.data, self.prototypes, self.kept, how=self.how)

    def trained_by_class(self, leads: NDArray[np.bool_]) -> ShardedFound:
        """See `Found`."""
        how = Tuning(own=leads)
        sums, hits = self._tuned(how)
        return replace(self, hits=hits, packed_sums=sums, how=how)

    def _seconds(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Seconds:
        sums, hits = self._tuned(self.how._replace(graph=graph, leads=leads))
        return Seconds(np.empty(0, np.int32), sums, hits)

    def _tuned(self, how: Tuning) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        sums, hits = self.search.data.total("tuned", self.kept.now, how)
        return sums, hits


@dataclass(frozen=True)
class ShardedExact(PlainFound):
    """What shards found, added up in the order of the samples: one after the other adds to it."""

    samples: ShardedSamples
    of: FoundInShards
    how: Tuning = _PLAIN

    @property
    def kept(self) -> FoundInShards:
        """What tells of single samples."""
        return self.of

    def of_rows(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `PerSample`."""
        return self.of.of_rows(rows)

    @cached_property
    def totals(self) -> Totals:
        """See `Found`."""
        return self._added(self.how, True)

    @cached_property
    def hits(self) -> NDArray[Any]:
        """See `Found`."""
        samples, none = self.samples, np.zeros(len(self.prototypes), self._kind)
        return np.asarray(samples.added_up("hits", none, self.of.now, self.how))

    @property
    def errors(self) -> NDArray[np.float64]:
        """See `Found`."""
        return self.totals.errors

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        samples = self.samples
        if samples.codes is None:
            return None
        none = np.zeros((len(self.prototypes), samples.n_classes), self._kind)
        return np.asarray(samples.added_up("class_counts", none, self.of.now))

    def trained_by_class(self, leads: NDArray[np.bool_]) -> ShardedExact:
        """See `Found`."""
        return replace(self, how=Tuning(own=leads))

    def linked_totals(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Totals:
        """See `Found`."""
        return self._added(self.how._replace(graph=graph, leads=leads), False)

    @property
    def _kind(self) -> Any:
        return np.int64 if self.samples.weights is None else np.float64

    def _added(self, how: Tuning, errors: bool) -> Totals:
        n_neurons, hits = len(self.prototypes), np.zeros(len(self.prototypes), self._kind)
        none = Added(np.zeros((n_neurons, self.samples.X.shape[1])), hits, np.zeros(n_neurons))
        added = self.samples.chained("added", none, self.of.now, how, errors)
        return Totals(added.hits, added.sums, added.errors)


# What knows of each sample where its shard is.
_OF_SHARDS = (FoundInShards, ShardedFound, ShardedExact)


def samples_of_shards(
    table: ShardTable, metric: Any, weights: NDArray[np.float64] | None
) -> LocalSamples:
    """Return `Samples` over shards: in memory where they are few.

    Raises
    ------
    table.failure
        The metric has no search that goes through shards.
    """
    if is_small(table.shape, 1):
        return LocalSamples(metric.prepared(table[:]), metric, weights=weights)
    check_suits(table, metric)
    block = block_rows(table, _HERE)
    return ShardedSamples(table, metric, available_threads(), weights=weights, block=block)
