"""Samples in parts: blocks of a table that are read, or shards on workers; answers are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Flags, Floats, Integers, PerSample, Search
from dbgsom_core.engine.euclidean.packing import Frame, PackedAnew, PackedSamples, frame_of
from dbgsom_core.engine.euclidean.search import FastSearch
from dbgsom_core.engine.local import PACKING_PAYS, LocalSamples, PlainSearch
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.partitioned_search import (
    Part,
    PartialSums,
    PartitionedSearch,
    Pass,
    linked_by,
)
from dbgsom_core.engine.per_sample import units_of
from dbgsom_core.engine.rows import for_loops
from dbgsom_core.engine.sums import add_samples
from dbgsom_core.engine.tables import (
    BlockTable,
    FollowedTable,
    block_rows,
    each_range,
    how_many,
    picked,
)

_BROUGHT = 1 << 24  # bytes of shards that may be brought here at a time


@dataclass(frozen=True)
class PartitionedSamples(LocalSamples):
    """`Samples` in a `BlockTable` ``X`` (n, D), complete, of Euclidean geometry.

    A part is ``block`` rows that are read, or a shard. Answers have the bits of those in memory.
    """

    block: int = 4096

    incomplete = False
    packed = None
    _may_be_packed = False

    @cached_property
    def quantisation(self) -> Frame:
        """See `Samples`."""
        return frame_of(self.X, self.threads)

    @property
    def piece(self) -> int:
        """How many rows' answers are best brought here at a time."""
        return 1 << 16 if self.X.ends is None else 1 << 21  # 16 MiB of distances

    def parts(self, among: slice | None = None) -> list[slice]:
        """Return the rows of each part, or those of a slice of them."""
        start, stop = (0, self.n) if among is None else (among.start, among.stop)
        ends: Sequence[int] = range(start, stop, self.block)
        if self.X.ends is not None:
            ends = [start, *(end for end in self.X.ends if start < end < stop)]
        return [slice(a, b) for a, b in pairwise([*ends, stop])]

    def filled(
        self,
        outs: tuple[NDArray[Any] | None, ...],
        ask: Callable[..., Any],
        *given: Any,
        beside: Sequence[NDArray[Any] | None] = (),
        among: slice | None = None,
    ) -> Any:
        """Return the first of ``outs``, which are filled with the answers of all parts, or a slice.

        They are ``ask(samples, *given, *own)``, where ``own`` are the entries for the part of what
        is ``beside`` the rows. Shards are asked where they are, so ``ask`` is pickled.
        """
        parts = self.parts(among)
        first = parts[0].start if parts else 0

        def keep(rows: slice, answers: Any) -> None:
            for out, answer in zip(outs, answers, strict=True):
                if out is not None:
                    out[rows.start - first : rows.stop - first] = answer

        own = [
            tuple(
                None if one is None else one[rows.start - first : rows.stop - first]
                for one in beside
            )
            for rows in parts
        ]
        part = partial(_ask_part, ask, given, self.metric, self.chunk_rows)
        ranges = [(rows.start, rows.stop) for rows in parts]
        each_range(self.X, ranges, part, self.threads, own=own, keep=keep)
        return outs[0]

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        """See `Samples`: one part after the other, each of which is read by all threads."""
        for start in range(0, max(self.n, 1), size):
            use(slice(start, min(start + size, self.n)), self.subset(slice(start, start + size)))

    def subset(self, rows: NDArray[Any] | slice) -> Any:
        """See `Samples`; in memory where a block holds them."""
        if not is_small((how_many(rows, self.n), self.X.shape[1]), self.block):
            return replace(self, X=picked(self.X, rows), **self.entries(rows))
        given: dict[str, Any] = {"threads": self.threads, "n_classes": self.n_classes}
        given |= {"chunk_rows": self.chunk_rows, **self.entries(rows)}
        return LocalSamples(self.X[rows], self.metric, **given)

    def followed_by(self, X: Floats, weights: Floats, scatter: Floats) -> PartitionedSamples:
        """See `Samples`; the rows of shards are brought here in each pass."""
        return replace(
            self,
            X=FollowedTable(self.X, X),
            weights=np.concatenate([self.sample_weights, weights]),
            scatter=np.concatenate([np.zeros(self.n), scatter]),
        )

    def robust(self, gamma: float | None) -> Any:
        """Raise the table's failure: weights by distance are not learnt in blocks."""
        raise self.X.failure(
            "robust is not possible where the data is read in blocks: leave robust out, or hold "
            "the data in memory (engine: local)"
        )

    def search(self) -> Search:
        """See `Samples`."""
        fast: Search
        if self.X.ends is None:
            packed = PackedAnew(self.X, self.quantisation, self.threads, size=self.block)
            fast = FastSearch(self, packed)
        else:
            make = partial(
                FastPart, metric=self.metric, n_classes=self.n_classes, frame=self.quantisation,
                n=self.n,
            )  # fmt: skip
            own = [(None if self.codes is None else self.codes[rows],) for rows in self.parts()]
            fast = PartitionedSearch(self, self.quantisation, self.X.hold(make, own))
        return fast if self.weights is None else PlainSearch(self, fast)

    def sums_seen(self, bmu: NDArray[np.integer[Any]], n_neurons: int) -> tuple[Floats, None]:
        """See `Samples`: one part after the other adds its rows."""
        if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loops do not check
            raise IndexError(f"best-matching units must be rows below {n_neurons}")
        sums = np.zeros((n_neurons, self.X.shape[1]))
        for rows in self.parts():
            weights = None if self.weights is None else self.weights[rows]
            own = [(sums, weights, bmu[rows])]
            (sums,) = each_range(self.X, [(rows.start, rows.stop)], _added, 1, own=own)
        return sums, None

    def of_parts(self, units: Integers, ask: Callable[..., Any]) -> Integers:
        """See `PlainSamples`."""
        out, given, beside = np.empty(self.n, np.int64), (ask, self.n_classes), (units, self.codes)
        found: Integers = self.filled((out,), _ask_with_classes, *given, beside=beside)
        return found

    def assign(self, prototypes: Floats) -> PerSample:
        """See `Samples`."""
        return PartitionedUnits(self, prototypes)

    def assign_plainly(self, prototypes: Floats) -> Any:
        """See `assign`."""
        return self.assign(prototypes)

    def lasting(self, prototypes: Floats, of: PerSample) -> PerSample:
        """See `Samples`."""
        return PartitionedUnits(self, prototypes, units_of(of))

    def nearest_units(self, prototypes: Floats, k: int) -> tuple[Integers, Floats | None]:
        """See `Samples`; distances are None for up to two units."""
        units = np.empty((self.n, k), np.int64)
        distances = np.empty((self.n, k)) if k > 2 else None
        self.filled((units, distances), LocalSamples.nearest_units, prototypes, k)
        return units, distances

    def distances_to(self, prototypes: Floats, units: Integers, among: slice | None = None) -> Any:
        """See `Samples`."""
        out = np.empty(len(units))
        return self.filled((out,), _distances, prototypes, beside=[units], among=among)

    def completed(self, prototypes: Floats) -> NDArray[np.floating[Any]]:
        """See `Samples`: all of them, in memory."""
        return np.array(self.X[:])


def _ask_part(
    ask: Callable[..., Any],
    given: tuple[Any, ...],
    metric: MetricCalls,
    chunk_rows: int,
    X: Any,
    rows: slice,
    *own: NDArray[Any] | None,
) -> Any:
    own = tuple(None if one is None else one.astype(np.int64, copy=False) for one in own)
    return ask(LocalSamples(X[rows], metric, chunk_rows=chunk_rows), *given, *own)


def _ask_with_classes(
    part: LocalSamples,
    ask: Callable[..., Any],
    n_classes: int,
    units: NDArray[Any],
    codes: Integers | None,
) -> Any:
    return (ask(part.with_classes(codes, n_classes), units),)


def _units(part: LocalSamples, prototypes: Floats) -> Any:
    return (part.assign(prototypes).bmu,)


def _distances(part: LocalSamples, prototypes: Floats, units: Integers) -> Any:
    return (part.distances_to(prototypes, units),)


def _added(
    X: Any, rows: slice, sums: Floats, weights: Floats | None, units: NDArray[Any]
) -> Floats:
    sums = sums.copy()
    add_samples(X[rows], weights, units.astype(np.int64), sums)
    return sums


@dataclass
class PartitionedUnits:
    """The nearest of ``prototypes`` of each sample, int32 (n,); distances are made when asked for.

    ``_units``, of any type of integers, may be known.
    """

    data: PartitionedSamples
    prototypes: Floats
    _units: NDArray[Any] | None = None

    @property
    def piece(self) -> int:
        """See `each_piece`."""
        return self.data.piece

    @property
    def units(self) -> NDArray[Any]:
        """The units (n,), in a type that may be too small for what is computed of them."""
        if self._units is None:
            out = np.empty(self.data.n, np.int32)
            self._units = self.data.filled((out,), _units, self.prototypes)
        return self._units

    @property
    def bmu(self) -> Any:
        """See `PerSample`."""
        return self.units.astype(np.int32, copy=False)

    @property
    def distance(self) -> Floats:
        """See `PerSample`."""
        return self.of_rows(slice(0, self.data.n))[1]

    def of_rows(self, rows: slice) -> tuple[Integers, Floats]:
        """See `PerSample`."""
        units = self.units[rows]
        return units.astype(np.int64), self.data.distances_to(self.prototypes, units, rows)


class FastPart(Part):
    """Rows (m, D) of a table of ``n``, packed in the frame of all of them, and their search.

    It is pickled as its rows.
    """

    def __init__(
        self,
        X: NDArray[Any],
        codes: Integers | None,
        n_classes: int,
        metric: MetricCalls,
        frame: Frame,
        n: int,
    ) -> None:
        self._recipe = X, codes, n_classes, metric, frame, n
        X = np.ascontiguousarray(for_loops(X))
        super().__init__(LocalSamples(X, metric, codes=codes, n_classes=n_classes))
        packed = PackedSamples.of(X, self._data.threads, frame, n)
        self._search = FastSearch(self._data, packed)

    def __reduce__(self) -> Any:
        return FastPart, self._recipe

    def __sizeof__(self) -> int:
        return 2 * int(self._data.X.nbytes)

    def assign(self, now: Pass) -> PartialSums:
        """See `Part`."""
        found, search = self._at(now), self._search
        changed, sums = round(found.moved * self._data.n), found.packed_sums.copy()
        return PartialSums(found.hits, sums, search.whole_errors, changed, found.class_counts)

    def tuned(
        self, now: Pass, own: Flags | None, links: NDArray[np.int32] | None, leads: Flags | None
    ) -> tuple[Floats, Integers]:
        """See `Part`."""
        found = self._at(now) if own is None else self._at(now).trained_by_class(own)
        if links is not None:
            seconds = found.pulled(links, leads)
            return seconds.sums.copy(), seconds.hits.copy()
        return found.packed_sums.copy(), found.hits.copy()

    def units(self, now: Pass, own: Flags | None) -> NDArray[Any]:
        """See `Part`; in 2 bytes where those do."""
        found = self._at(now) if own is None else self._at(now).trained_by_class(own)
        kind = np.uint16 if len(now.prototypes) <= 1 << 16 else np.int32
        return np.asarray(found.bmu.astype(kind))

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        """See `Part`."""
        self._done = 0
        return self._search.unlinked(prototypes, linked_by(links))

    def _at(self, now: Pass) -> Any:
        if now.number == self._done:
            return self._of
        search, known = self._search, now.known
        if known:
            before = now.prototypes[:known], now.positions[:known]
            if self._of is None or not np.array_equal(self._of.prototypes, before[0]):
                self._of = search.assign(*before)
            self._of = search.admit(self._of, now.prototypes, now.positions, known)
        else:
            self._of = search.assign(now.prototypes, now.positions)
        self._done = now.number
        return self._of


def is_small(shape: tuple[int, int], block: int) -> bool:
    """Say whether a table is held in memory: one block holds it, or a packed copy is of no use."""
    return shape[0] <= block or shape[0] * shape[1] < PACKING_PAYS


def samples_of(
    table: BlockTable, metric: Any, block_bytes: int, is_checked: bool, **given: Any
) -> LocalSamples:
    """Return `Samples` over a table: `LocalSamples` where it is small.

    ``block_bytes`` of it are read at a time; ``given`` are fields of `PartitionedSamples`.

    Raises
    ------
    table.failure
        The table is large, and the metric has no search that goes through parts, or the values
        were not checked before and one is missing.
    """
    in_shards = table.ends is not None
    block = block_rows(table, max(block_bytes, _BROUGHT) if in_shards else block_bytes)
    if is_small(table.shape, 1 if in_shards else block):
        return LocalSamples(metric.prepared(table[:]), metric, **given)
    if not metric.is_euclidean or metric.prepare is not None or metric.form is not None:
        raise table.failure(
            f"metric {metric.name} cannot be read in blocks or shards, which are for euclidean: "
            "take metric: euclidean, or hold the data in memory (engine: local)"
        )
    if not is_checked and table.finite_or_where(block) is not None:
        raise table.failure(
            "X has missing values, and what is read in blocks must be complete: fill them, or hold "
            "the data in memory (engine: local)"
        )
    if len(table) >= 2**31:
        raise table.failure(f"{len(table)} rows are more than the 2147483647 that one map can take")
    return PartitionedSamples(table, metric, block=block, **given)
