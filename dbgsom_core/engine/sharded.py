"""Samples in shards that are elsewhere: prototypes go there, and what neurons won comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, reduce
from itertools import pairwise, starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from dbgsom_core.engine.contract import MapGraph, Moments, PerSample, Search
from dbgsom_core.engine.euclidean import layout
from dbgsom_core.engine.euclidean.assignment import FastFound
from dbgsom_core.engine.euclidean.panel_groups import in_rows
from dbgsom_core.engine.euclidean.search import is_too_much
from dbgsom_core.engine.euclidean.tally import Seconds
from dbgsom_core.engine.llvm.panel import PANEL_ROWS
from dbgsom_core.engine.local import LocalSamples, PlainSearch
from dbgsom_core.engine.moments import mean_of, squares_of
from dbgsom_core.engine.principal import products_of
from dbgsom_core.engine.ranges import Held
from dbgsom_core.engine.shard_table import ShardTable
from dbgsom_core.engine.sharded_found import (
    OF_SHARDS,
    FoundInShards,
    ShardedExact,
    ShardedFound,
    same,
)
from dbgsom_core.engine.shards import Pass, Tuning, Wish, plus
from dbgsom_core.engine.streamed import (
    StreamedSamples,
    check_suits,
    is_small,
)
from dbgsom_core.engine.tables import block_rows
from dbgsom_core.engine.workers import available_threads

_NOT_ASKED, _NOT_HERE = np.empty((0, 0)), np.empty(0, np.int32)
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

    def ask_of(
        self,
        now: Pass,
        question: str,
        *given: Any,
        short: Pass | None = None,
        among: Sequence[int] | None = None,
        add: Any = None,
    ) -> list[Any]:
        """Return what shards say of a pass, which is told in ``short`` while they know of it."""
        held: Held = self.X.held(self.metric)
        answers: list[Any] = []
        for told in (now.again() if short is None else short, now):
            answers = held.ask(question, told, *given, own=self.own, among=among, add=add)
            if all(one is not None for one in answers):
                break
        return answers

    def total(self, now: Pass, question: str, *given: Any, short: Pass | None = None) -> Any:
        """Return the sum of what shards say of a pass, which adds up exactly."""
        return reduce(plus, self.ask_of(now, question, *given, short=short, add=plus))

    def of_rows(self, method: str, *given: Any) -> Any:
        """Return what shards say of their rows, (n, …)."""
        return np.concatenate(self.ask("of_rows", method, *given))

    def added_up(self, now: Pass, question: str, none: Any, *given: Any) -> Any:
        """Return what all shards count, or add weights up to in the order of the samples."""
        if self.weights is not None:
            return self.chained(now, question, none, *given)
        return self.total(now, question, none, *given)

    def chained(self, now: Pass, question: str, so_far: Any, *given: Any) -> Any:
        """Let one shard after the other add to what the ones before have found."""
        for shard in range(len(self.X.shards.ends) - 1):
            (so_far,) = self.ask_of(now, question, so_far, *given, among=[shard])
        return so_far

    def sums_seen(
        self, bmu: NDArray[np.integer[Any]], n_neurons: int
    ) -> tuple[NDArray[np.float64], None]:
        """See `Samples`: one shard after the other adds its rows."""
        sums = np.zeros((n_neurons, self.X.shape[1]))
        if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loops do not check
            raise IndexError(f"best-matching units must be rows below {n_neurons}")
        for shard, rows in enumerate(starmap(slice, pairwise(self.X.shards.ends))):
            (sums,) = self.ask("summed", sums, bmu[rows].astype(np.int32), among=[shard])
        return sums, None

    def moments(self) -> Moments:
        """See `Samples`; what the covariance is made of is asked with the deviations."""
        if self.weights is None:
            mean = mean_of(self.X)
            asked = [squares_of(self.X, mean), products_of(self, mean)]
            self.X.ask_ahead([one for one in asked if one is not None])
        return super().moments()

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
        return of.kept if isinstance(of, OF_SHARDS) else super().lasting(prototypes, of)

    def found(self, prototypes: NDArray[np.float64], of: PerSample) -> Any:
        """See `Samples`."""
        if isinstance(of, OF_SHARDS):
            return ShardedExact(self, of.kept.prototypes, of.kept)
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


class ShardedSearch:
    """Exact best-matching units of the rows of all shards, epoch after epoch."""

    def __init__(self, data: ShardedSamples) -> None:
        self.data, self.samples = data, data.X.packed
        self._room = layout.PanelRoom(self.samples)
        self._doubled, self._passes, self._total_error = False, 0, 0.0
        self._last: FoundInShards | None = None
        # What was asked of the last two passes, over all prototypes and over newcomers.
        self._wished: dict[bool, tuple[list[Wish], list[Wish]]] = {
            admits: (["sums"], []) for admits in (False, True)
        }
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
        last = self._last
        if last is not None and np.array_equal(last.prototypes, prototypes):
            return last.ended(graph)
        return np.concatenate(self.data.ask("unlinked", prototypes, graph.links))

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
        if laid is None:
            self._last = FoundInShards(self.data, now)
            return ShardedExact(self.data, prototypes, self._last)
        short = now.following(self._last.now.number) if known and self._last is not None else now
        wishes = self._expected(known > 0)
        won = self.data.total(now, "won", wishes, short=short)
        self._last = kept = FoundInShards(self.data, now, list(zip(wishes, won.more, strict=True)))
        self._wished[known > 0] = kept.wished, self._wished[known > 0][0]
        steps = self.samples.steps(laid.accuracy) * self.samples.scale
        errors = np.empty(len(prototypes))
        total = layout.unpack_errors(won.errors, steps, errors)
        changed, doubts, gained = won.counts.tolist()
        if known:
            total = max(self._total_error - gained / steps, 0.0)
        elif is_too_much(doubts, self.data.n, len(prototypes)) and not self._doubled:
            self._double()
        self._total_error = total
        moved, self._passes = changed / self.data.n if self._passes else 1.0, self._passes + 1
        return ShardedFound(
            self, prototypes, won.hits, errors, total, _NOT_ASKED, _NOT_HERE, moved, kept
        )

    def _expected(self, admits: bool) -> list[Wish]:
        # What was asked of the last pass of this kind; fine-tuning, which takes long, of the last
        # two in the same way: classes may lead elsewhere in each epoch.
        last, before = self._wished[admits]
        return [
            one
            for one in last
            if not isinstance(one, Tuning) or any(same(one, two) for two in before)
        ]

    def _double(self) -> None:
        self.samples = self.data.X.doubled()
        self._room, self._doubled = layout.PanelRoom(self.samples), True


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
