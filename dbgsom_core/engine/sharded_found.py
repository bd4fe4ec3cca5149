"""What passes over shards found: totals come when they are asked for, and rows stay there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import MapGraph, Totals
from dbgsom_core.engine.euclidean.assignment import FastFound
from dbgsom_core.engine.euclidean.tally import Seconds
from dbgsom_core.engine.found import PlainFound
from dbgsom_core.engine.shards import Added, Counts, Pass, Tuning, Wish
from dbgsom_core.engine.streamed import StreamedExact

_PLAIN = Tuning()
_ROWS = 1 << 21  # of which distances are brought here at once: 16 MiB


class FoundInShards:
    """What shards know of a pass, until somebody asks for it.

    Attributes
    ----------
    data : ShardedSamples
    wished : list of Wish
        What was asked of it.
    """

    def __init__(self, data: Any, now: Pass, told: Sequence[tuple[Wish, Any]] = ()) -> None:
        self.data, self.now, self._told = data, now, list(told)
        self.wished: list[Wish] = []
        self._apart: NDArray[np.float64] | None = None
        self._of_shard = (-1, (np.empty(0), np.empty(0)))

    @property
    def kept(self) -> FoundInShards:
        """The same."""
        return self

    @property
    def prototypes(self) -> NDArray[np.float64]:
        """Those of the pass (K, D)."""
        assert self.now.prototypes is not None
        return self.now.prototypes

    def total(self, wish: Wish) -> Any:
        """Return what is wished for of all rows."""
        if not any(same(wish, one) for one in self.wished):
            self.wished.append(wish)
        for known, answer in self._told:
            if same(wish, known):
                return answer
        answer = self.data.total(self.now, "more", wish)
        self._told.append((wish, answer))
        return answer

    def ended(self, graph: MapGraph) -> NDArray[np.bool_]:
        """Return of which rows the two nearest neurons are not linked; units come along.

        As do distances, unless they take much room.
        """
        all_told = self.data.n <= _ROWS
        told = self.data.ask_of(self.now, "ended", graph.links, all_told)
        unlinked, units, apart = (np.concatenate(one) for one in zip(*told, strict=True))
        vars(self)["bmu"], self._apart = units, apart if all_told else None
        return unlinked

    @property
    def is_here(self) -> bool:
        """Whether units and distances of all rows are."""
        return self._apart is not None

    @cached_property
    def bmu(self) -> Any:
        """The units, int32 (n,)."""
        return np.concatenate(self.data.ask_of(self.now, "units"))

    @property
    def distance(self) -> NDArray[np.float64]:
        """See `PerSample`."""
        if self._apart is not None:
            return self._apart
        return np.concatenate([distance for _, distance in self.data.ask_of(self.now, "told")])

    def of_rows(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `PerSample`; of one shard all are brought here."""
        if self._apart is not None:
            return self.bmu[rows].astype(np.int64), self._apart[rows]
        ends, parts, start = self.data.X.shards.ends, [], rows.start
        while start < rows.stop:
            shard = int(np.searchsorted(ends, start, "right")) - 1
            stop = min(rows.stop, ends[shard + 1])
            if self._of_shard[0] != shard:
                self._of_shard = shard, self.data.ask_of(self.now, "told", among=[shard])[0]
            at = slice(start - ends[shard], stop - ends[shard])
            parts.append([one[at] for one in self._of_shard[1]])
            start = stop
        units, distance = (np.concatenate(one) for one in zip(*parts, strict=True))
        return units.astype(np.int64), distance


@dataclass
class ShardedFound(FastFound):
    """What a pass over shards found; see `FastFound`. ``kept`` tells the rest.

    Packed sums are empty until somebody asks for them: growth does not.
    """

    search: Any  # a ShardedSearch
    kept: FoundInShards = None  # type: ignore[assignment] # the fields before it have defaults
    how: Tuning = _PLAIN

    @property
    def sums(self) -> NDArray[np.float64]:
        """See `FastFound`."""
        return self.packed_sums if len(self.packed_sums) else np.asarray(self.kept.total("sums"))

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
        data = self.search.data
        return None if data.codes is None else np.asarray(self.kept.total(Counts(data.n_classes)))

    def exactly(self) -> ShardedExact:
        """See `Found`."""
        return ShardedExact(self.search.data, self.prototypes, self.kept, how=self.how)

    def trained_by_class(self, leads: NDArray[np.bool_]) -> ShardedFound:
        """See `Found`."""
        how = Tuning(own=leads)
        sums, hits = self.kept.total(how)
        return replace(self, hits=hits, packed_sums=sums, how=how)

    def _seconds(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Seconds:
        sums, hits = self.kept.total(self.how._replace(links=graph.links, leads=leads))
        return Seconds(np.empty(0, np.int32), sums, hits)


@dataclass(frozen=True)
class ShardedExact(PlainFound):
    """What shards found, added up in the order of the samples: one after the other adds to it."""

    samples: Any  # of shards
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
        if self._here is not None:
            return self._here.hits
        none = np.zeros(len(self.prototypes), self._kind)
        return np.asarray(self.samples.added_up(self.of.now, "hits", none, self.how))

    @property
    def errors(self) -> NDArray[np.float64]:
        """See `Found`."""
        return self.totals.errors if self._here is None else self._here.errors

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        samples = self.samples
        if samples.codes is None:
            return None
        if self._here is not None:
            return self._here.class_counts
        none = np.zeros((len(self.prototypes), samples.n_classes), self._kind)
        return np.asarray(samples.added_up(self.of.now, "class_counts", none))

    @cached_property
    def _here(self) -> StreamedExact | None:
        # The same where all units are here, and nobody was moved.
        if self.how != _PLAIN or not self.of.is_here:
            return None
        return StreamedExact(self.samples, self.prototypes, self.of)

    def trained_by_class(self, leads: NDArray[np.bool_]) -> ShardedExact:
        """See `Found`."""
        return replace(self, how=Tuning(own=leads))

    def linked_totals(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Totals:
        """See `Found`."""
        return self._added(self.how._replace(links=graph.links, leads=leads), False)

    @property
    def _kind(self) -> Any:
        return np.int64 if self.samples.weights is None else np.float64

    def _added(self, how: Tuning, errors: bool) -> Totals:
        n_neurons, hits = len(self.prototypes), np.zeros(len(self.prototypes), self._kind)
        none = Added(np.zeros((n_neurons, self.samples.X.shape[1])), hits, np.zeros(n_neurons))
        added = self.samples.chained(self.of.now, "added", none, how, errors)
        return Totals(added.hits, added.sums, added.errors)


def same(one: Wish, other: Wish) -> bool:
    """Say whether two wishes are the same."""
    if not (isinstance(one, Tuning) and isinstance(other, Tuning)):
        return type(one) is type(other) and one == other
    return all(
        mine is theirs or (mine is not None and theirs is not None and np.array_equal(mine, theirs))
        for mine, theirs in zip(one, other, strict=True)
    )


# What knows of each sample where its shard is.
OF_SHARDS = (FoundInShards, ShardedFound, ShardedExact)
