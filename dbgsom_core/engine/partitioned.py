"""Samples in parts: blocks of a table that are read, or shards on workers; answers are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from dbgsom_core.engine.contract import PerSample, Search, Totals
from dbgsom_core.engine.euclidean.packing import Frame, Packed, PackedAnew, frame_of
from dbgsom_core.engine.euclidean.search import FastSearch
from dbgsom_core.engine.found import PlainFound
from dbgsom_core.engine.local import PACKING_PAYS, LocalSamples, PlainSearch
from dbgsom_core.engine.majorities import count_classes
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.partitioned_search import Held, Part, PartitionedSearch
from dbgsom_core.engine.per_sample import each_piece, units_of
from dbgsom_core.engine.sums import add_won
from dbgsom_core.engine.tables import (
    BlockTable,
    FollowedTable,
    block_rows,
    each_range,
    how_many,
    not_finite,
    picked,
    row_numbers,
)

_FEW_ROWS = 1 << 21  # whose distances are brought here at once: 16 MiB

# ----------------------------------------------------------------- parts that are elsewhere


class Shards(Protocol):
    """Rows (n, D) of float32 or float64 in shards that are elsewhere, on workers of a cluster say.

    Functions and what they are given are pickled. A shard that is lost is made anew from where its
    rows came from.

    Attributes
    ----------
    shape : (n, D)
    dtype : numpy.dtype
    ends : tuple of int
        The rows at which shards begin, and n.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    ends: tuple[int, ...]

    def picked(self, rows: NDArray[np.int64]) -> Shards:
        """Return the shards of some rows, ascending, where they are."""

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Callable[..., Any], own: Sequence[Any]
    ) -> list[Any]:
        """Return ``ask(rows, slice(0, m), *own)`` for the rows (m, D) of each range."""

    def hold(self, make: Callable[..., Any], own: Sequence[Any]) -> Held:
        """Let each shard make an object, ``make(rows, *own)``, and again where it was lost."""


class ShardTable(BlockTable):
    """The rows of shards as a table."""

    def __init__(self, shards: Shards, failure: type[Exception] = ValueError) -> None:
        super().__init__(shards.shape, np.dtype(shards.dtype), failure)
        self.shards = shards

    def read(
        self, start: int, stop: int, out: NDArray[Any] | None = None
    ) -> NDArray[np.floating[Any]]:
        """See `BlockTable.read`: the rows are brought here."""
        if start >= stop:
            return np.empty((0, self.shape[1]), self.dtype)
        return np.asarray(self.shards.each_range([(start, stop)], _rows, [()])[0])

    def ask_ranges(
        self, ranges: Sequence[tuple[int, int]], ask: Callable[..., Any], own: Sequence[Any]
    ) -> list[Any]:
        """Ask where the rows are, see `tables.each_range`."""
        return list(self.shards.each_range(ranges, ask, own))

    def picked(self, rows: Any) -> BlockTable:
        """Return some rows as a table: where they are if they ascend."""
        numbers = row_numbers(rows, len(self))
        if len(numbers) and (np.diff(numbers) > 0).all():
            return ShardTable(self.shards.picked(numbers), self.failure)
        return super().picked(rows)

    def finite_or_where(self, rows: int) -> tuple[int, int] | None:
        """See `BlockTable.finite_or_where`: the shards look."""
        ranges = list(pairwise(self.shards.ends))
        for (start, _), bad in zip(ranges, each_range(self, ranges, _not_finite, 1), strict=True):
            if bad is not None:
                return start + bad[0], bad[1]
        return None

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        if not len(rows):
            return self.read(0, 0)
        distinct, places = np.unique(rows, return_inverse=True)
        return ShardTable(self.shards.picked(distinct)).read(0, len(distinct))[places]

    @cached_property
    def frame(self) -> Frame:
        """In which all rows are packed."""
        return frame_of(self, 1)


def _rows(X: NDArray[Any], rows: slice) -> NDArray[Any]:
    return X[rows]


def _not_finite(X: NDArray[Any], rows: slice) -> tuple[int, int] | None:
    return not_finite(X[rows])


# -------------------------------------------------------------------------------- samples


@dataclass(frozen=True)
class PartitionedSamples(LocalSamples):
    """`Samples` in a `BlockTable` ``X`` (n, D), complete, of Euclidean geometry.

    A part is ``block`` rows that are read, or a shard of a `ShardTable`. Answers have the bits of
    those in memory.
    """

    block: int = 4096

    incomplete = False
    packed = None

    @property
    def piece(self) -> int:
        """How many rows' answers are best brought here at a time."""
        return _FEW_ROWS if isinstance(self.X, ShardTable) else 1 << 16

    def parts(self, among: slice | None = None) -> list[slice]:
        """Return the rows of each part, or those of a slice of them."""
        start, stop = (0, self.n) if among is None else (among.start, among.stop)
        ends: Sequence[int] = range(start, stop, self.block)
        if isinstance(self.X, ShardTable):
            ends = [start, *(end for end in self.X.shards.ends if start < end < stop)]
        return [slice(a, b) for a, b in pairwise([*ends, stop])]

    def each_part(
        self,
        keep: Callable[[slice, Any], None],
        ask: Callable[..., Any],
        *given: Any,
        beside: Sequence[NDArray[Any] | None] = (),
        among: slice | None = None,
    ) -> None:
        """Do ``keep(rows, ask(samples, *given, *own))`` for every part, or those of a slice.

        ``own`` are the entries for the part of what is ``beside`` the rows (of the slice). Parts
        are asked at once; shards where they are, so ``ask`` is pickled.
        """
        parts = self.parts(among)
        first = parts[0].start if parts else 0
        own = [tuple(_cut(one, rows, first) for one in beside) for rows in parts]
        asked = partial(_asked, ask, given, self.metric, self.chunk_rows)
        ranges = [(rows.start, rows.stop) for rows in parts]
        if isinstance(self.X, ShardTable):
            for rows, answer in zip(parts, self.X.ask_ranges(ranges, asked, own), strict=True):
                keep(rows, answer)
            return

        def work(X: Any, rows: slice, *own: Any) -> None:
            keep(rows, asked(X, rows, *own))

        each_range(self.X, ranges, work, self.threads, own=own)

    def filled(
        self, out: NDArray[Any], ask: Callable[..., Any], *given: Any, **which: Any
    ) -> NDArray[Any]:
        """Return ``out``, filled with what `each_part` is told of the rows, or of a slice."""
        among = which.get("among")
        first = 0 if among is None else among.start

        def keep(rows: slice, answer: Any) -> None:
            out[rows.start - first : rows.stop - first] = answer

        self.each_part(keep, ask, *given, **which)
        return out

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        """See `Samples`: one part after the other, each of which is read by all threads."""
        for start in range(0, max(self.n, 1), size):
            use(slice(start, min(start + size, self.n)), self.subset(slice(start, start + size)))

    def subset(self, rows: NDArray[Any] | slice) -> Any:
        """See `Samples`; in memory where a block holds them."""
        names = ("weights", "scatter", "codes")
        known = {name: getattr(self, name) for name in names}
        own: dict[str, Any] = {n: None if one is None else one[rows] for n, one in known.items()}
        if not is_small((how_many(rows, self.n), self.X.shape[1]), self.block):
            return replace(self, X=picked(self.X, rows), **own)
        given: dict[str, Any] = {"threads": self.threads, "n_classes": self.n_classes, **own}
        return LocalSamples(self.X[rows], self.metric, chunk_rows=self.chunk_rows, **given)

    def followed_by(
        self, X: NDArray[np.float64], weights: NDArray[np.float64], scatter: NDArray[np.float64]
    ) -> PartitionedSamples:
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
        if isinstance(self.X, ShardTable):
            packed = Packed(self.X, self.X.frame, self.threads)
            own = [None if self.codes is None else self.codes[rows] for rows in self.parts()]
            given: dict[str, Any] = {"metric": self.metric, "frame": packed.frame, "n": self.n}
            make = partial(Part, n_classes=self.n_classes, **given)
            parts = self.X.shards.hold(make, [(codes,) for codes in own])
            fast = PartitionedSearch(self, packed, parts)
        else:
            frame = frame_of(self.X, self.threads)
            fast = FastSearch(self, PackedAnew(self.X, frame, self.threads, size=self.block))
        return fast if self.weights is None else PlainSearch(self, fast)

    def sums_seen(
        self, bmu: NDArray[np.integer[Any]], n_neurons: int
    ) -> tuple[NDArray[np.float64], None]:
        """See `Samples`: one part after the other adds its rows."""
        if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loops do not check
            raise IndexError(f"best-matching units must be rows below {n_neurons}")
        sums = np.zeros((n_neurons, self.X.shape[1]))
        for rows in self.parts():
            weights = None if self.weights is None else self.weights[rows]
            own = [(sums, weights, bmu[rows])]
            (sums,) = each_range(self.X, [(rows.start, rows.stop)], _added, 1, own=own)
        return sums, None

    def of_parts(self, units: NDArray[np.int64], ask: Callable[..., Any]) -> NDArray[np.int64]:
        """See `PlainSamples`."""
        out, beside = np.empty(self.n, np.int64), (units, self.codes)
        return self.filled(out, _of_part, ask, self.n_classes, beside=beside)

    def assign(self, prototypes: NDArray[np.float64]) -> PerSample:
        """See `Samples`."""
        return FoundInParts(self, prototypes)

    def assign_plainly(self, prototypes: NDArray[np.float64]) -> Any:
        """See `assign`."""
        return self.assign(prototypes)

    def lasting(self, prototypes: NDArray[np.float64], of: PerSample) -> PerSample:
        """See `Samples`."""
        return FoundInParts(self, prototypes, units_of(of))

    def found(self, prototypes: NDArray[np.float64], of: PerSample) -> PartitionedFound:
        """See `Samples`."""
        return PartitionedFound(self, prototypes, of)

    def nearest_units(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        """See `Samples`; distances are None for up to two units."""
        units = np.empty((self.n, k), np.int64)
        distances = np.empty((self.n, k)) if k > 2 else None

        def keep(rows: slice, answer: Any) -> None:
            units[rows], apart = answer
            if distances is not None:
                distances[rows] = apart

        self.each_part(keep, LocalSamples.nearest_units, prototypes, k)
        return units, distances

    def distances_to(
        self,
        prototypes: NDArray[np.float64],
        units: NDArray[np.int64],
        among: slice | None = None,
    ) -> NDArray[np.float64]:
        """See `LocalSamples`."""
        out, ask = np.empty(len(units)), LocalSamples.distances_to
        return self.filled(out, ask, prototypes, beside=[units], among=among)

    def distances(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """See `Samples`."""
        out = np.empty((self.n, len(prototypes)), self.X.dtype)
        return self.filled(out, LocalSamples.distances, prototypes)

    def mixtures(
        self, prototypes: NDArray[np.float64], sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """See `Samples`."""
        if not sparse:
            out = np.empty((self.n, len(prototypes)), self.X.dtype)
            return self.filled(out, LocalSamples.mixtures, prototypes)
        found: dict[int, Any] = {}

        def keep(rows: slice, answer: Any) -> None:
            found[rows.start] = answer

        self.each_part(keep, LocalSamples.mixtures, prototypes, True)
        return vstack([found[start] for start in sorted(found)], format="csr")

    def completed(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """See `Samples`: all of them, in memory."""
        return np.array(self.X[:])


def _cut(beside: NDArray[Any] | None, rows: slice, first: int) -> NDArray[Any] | None:
    return None if beside is None else beside[rows.start - first : rows.stop - first]


def _asked(
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


def _units(part: LocalSamples, prototypes: NDArray[np.float64]) -> NDArray[np.int64]:
    return part.assign(prototypes).bmu


def _of_part(
    part: LocalSamples,
    ask: Callable[..., Any],
    n_classes: int,
    units: NDArray[Any],
    codes: NDArray[np.int64] | None,
) -> Any:
    return ask(part.with_classes(codes, n_classes), units)


def _added(
    X: Any,
    rows: slice,
    sums: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
    units: NDArray[Any],
) -> NDArray[np.float64]:
    sums = sums.copy()
    add_won(X[rows], weights, units.astype(np.int64), sums)
    return sums


class FoundInParts:
    """The nearest of ``prototypes`` of each sample, int32 (n,); distances are made when asked for.

    ``units``, of any type of integers, may be known.
    """

    def __init__(
        self,
        data: PartitionedSamples,
        prototypes: NDArray[np.float64],
        units: NDArray[Any] | None = None,
    ) -> None:
        self._data, self._prototypes, self._units = data, prototypes, units
        self.piece = data.piece

    @property
    def units(self) -> NDArray[Any]:
        """The units (n,), in a type that may be too small for what is computed of them."""
        if self._units is None:
            out = np.empty(self._data.n, np.int32)
            self._units = self._data.filled(out, _units, self._prototypes)
        return self._units

    @property
    def bmu(self) -> Any:
        """See `PerSample`."""
        return self.units.astype(np.int32, copy=False)

    @property
    def distance(self) -> NDArray[np.float64]:
        """See `PerSample`."""
        return self.of_rows(slice(0, self._data.n))[1]

    def of_rows(self, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `PerSample`."""
        units = self.units[rows]
        return units.astype(np.int64), self._data.distances_to(self._prototypes, units, rows)


@dataclass(frozen=True)
class PartitionedFound(PlainFound):
    """What is known of samples in parts, added up in their order; see `Found`."""

    samples: PartitionedSamples

    @cached_property
    def hits(self) -> NDArray[Any]:
        """See `Found`."""
        weights, units, n_neurons = self.samples.weights, units_of(self.of), len(self.prototypes)
        if weights is not None:
            return np.bincount(units, weights, n_neurons)
        hits = np.zeros(n_neurons, np.int64)
        for rows in self.samples.parts():  # to count takes memory
            hits += np.bincount(units[rows], minlength=n_neurons)
        return hits

    @cached_property
    def totals(self) -> Totals:
        """See `Found`."""
        sums, seen = self.samples.sums_seen(units_of(self.of), len(self.prototypes))
        return Totals(self.hits, sums, self.errors, seen)

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """See `Found`."""
        errors, samples = np.zeros(len(self.prototypes)), self.samples
        for rows, bmu, distance in each_piece(self.of, samples.n):
            if samples.scatter is not None:
                distance = np.hypot(distance, samples.scatter[rows])
            if samples.weights is not None:
                distance = samples.weights[rows] * distance
            np.add.at(errors, bmu, distance)
        return errors

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        samples = self.samples
        if samples.codes is None or samples.weights is not None:
            return super().class_counts
        counts = np.zeros((len(self.prototypes), samples.n_classes), np.int64)
        kept = units_of(self.of)
        for rows in samples.parts():
            units, codes = kept[rows].astype(np.int64), samples.codes[rows]
            counts += count_classes(units, codes, len(self.prototypes), samples.n_classes)
        return counts


# ---------------------------------------------------------------------------------- ways in


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
    block = block_rows(table, block_bytes)
    if is_small(table.shape, 1 if isinstance(table, ShardTable) else block):
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
