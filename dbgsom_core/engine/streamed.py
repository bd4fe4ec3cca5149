"""Samples in a table: whatever is asked of them is asked of one block of rows after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from dbgsom_core.engine.contract import PerSample, Search, Totals
from dbgsom_core.engine.found import PlainFound
from dbgsom_core.engine.local import PACKING_PAYS, LocalSamples, PlainSearch
from dbgsom_core.engine.majorities import count_classes
from dbgsom_core.engine.per_sample import each_piece, units_of
from dbgsom_core.engine.sums import add_won
from dbgsom_core.engine.tables import (
    BlockTable,
    FollowedTable,
    block_rows,
    how_many,
    picked,
)
from dbgsom_core.engine.workers import share


@dataclass(frozen=True)
class StreamedSamples(LocalSamples):
    """`Samples` in a `BlockTable` ``X`` (n, D), complete, of Euclidean geometry.

    ``block`` rows of it are read at a time. Answers have the bits of those in memory.
    """

    block: int = 4096

    incomplete = False
    packed = None

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        """See `Samples`: one part after the other, each of which is read by all threads."""
        for start in range(0, max(self.n, 1), size):
            use(slice(start, min(start + size, self.n)), self.subset(slice(start, start + size)))

    def subset(self, rows: NDArray[Any] | slice) -> Any:
        """See `Samples`; in memory where one block holds them."""
        own: dict[str, Any] = {
            name: None if one is None else one[rows]
            for name, one in (
                ("weights", self.weights),
                ("scatter", self.scatter),
                ("codes", self.codes),
            )
        }
        if is_small((how_many(rows, self.n), self.X.shape[1]), self.block):
            return self._in_memory(self.X[rows], **own)
        return replace(self, X=picked(self.X, rows), **own)

    def followed_by(
        self, X: NDArray[np.float64], weights: NDArray[np.float64], scatter: NDArray[np.float64]
    ) -> StreamedSamples:
        """See `Samples`."""
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
        from dbgsom_core.engine.euclidean.streamed_search import StreamedSearch

        fast = StreamedSearch(self)
        return fast if self.weights is None else PlainSearch(self, fast)

    def sums_seen(
        self, bmu: NDArray[np.integer[Any]], n_neurons: int
    ) -> tuple[NDArray[np.float64], None]:
        """See `Samples`."""
        if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loops do not check
            raise IndexError(f"best-matching units must be rows below {n_neurons}")
        sums = np.zeros((n_neurons, self.X.shape[1]))
        for rows in self.blocks():
            weights = None if self.weights is None else self.weights[rows]
            add_won(self.X[rows], weights, bmu[rows].astype(np.int64), sums)
        return sums, None

    def of_parts(
        self, units: NDArray[np.int64], ask: Callable[[Any, NDArray[np.int64]], NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        """See `PlainSamples`."""
        out = np.empty(self.n, np.int64)
        self.each_part(
            lambda rows, part: out.__setitem__(rows, ask(part, units[rows].astype(np.int64)))
        )
        return out

    def assign(self, prototypes: NDArray[np.float64]) -> PerSample:
        """See `Samples`."""
        return FoundInBlocks(self, prototypes)

    def lasting(self, prototypes: NDArray[np.float64], of: PerSample) -> PerSample:
        """See `Samples`."""
        return FoundInBlocks(self, prototypes, units_of(of))

    def found(self, prototypes: NDArray[np.float64], of: PerSample) -> StreamedExact:
        """See `Samples`."""
        return StreamedExact(self, prototypes, of)

    def nearest_units(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        """See `Samples`; distances are None for up to two units."""
        units = np.empty((self.n, k), np.int64)
        distances = np.empty((self.n, k)) if k > 2 else None

        def ask(rows: slice, part: LocalSamples) -> None:
            units[rows], apart = part.nearest_units(prototypes, k)
            if distances is not None:
                distances[rows] = apart

        self.each_part(ask)
        return units, distances

    def distances_to(
        self,
        prototypes: NDArray[np.float64],
        units: NDArray[np.int64],
        among: slice | None = None,
    ) -> NDArray[np.float64]:
        """See `Samples`; of the rows ``among`` them whose units (m,) are given."""
        first, out = 0 if among is None else among.start, np.empty(len(units))

        def ask(rows: slice, part: LocalSamples) -> None:
            here = slice(rows.start - first, rows.stop - first)
            out[here] = part.distances_to(prototypes, units[here])

        self.each_part(ask, among)
        return out

    def distances(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """See `Samples`."""
        out = np.empty((self.n, len(prototypes)), self.X.dtype)
        self.each_part(lambda rows, part: out.__setitem__(rows, part.distances(prototypes)))
        return out

    def mixtures(
        self, prototypes: NDArray[np.float64], sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """See `Samples`."""
        if sparse:
            parts: list[Any] = [None] * -(-self.n // self.block)
            self.each_part(
                lambda rows, part: parts.__setitem__(
                    rows.start // self.block, part.mixtures(prototypes, True)
                )
            )
            return vstack(parts, format="csr")
        out = np.empty((self.n, len(prototypes)), self.X.dtype)
        self.each_part(lambda rows, part: out.__setitem__(rows, part.mixtures(prototypes)))
        return out

    def completed(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """See `Samples`: all of them, in memory."""
        return np.array(self.X[:])

    def blocks(self, among: slice | None = None) -> list[slice]:
        """Return the rows of each block."""
        start, stop = (0, self.n) if among is None else (among.start, among.stop)
        starts = range(start, stop, self.block)
        return [slice(first, min(first + self.block, stop)) for first in starts]

    def each_part(
        self, work: Callable[[slice, LocalSamples], None], among: slice | None = None
    ) -> None:
        """Do ``work(rows, samples)`` for every block, or those of a slice, several at once."""
        blocks = self.blocks(among)

        def of_task(worker: int, task: int) -> None:
            rows = blocks[task]
            own = {
                name: None if one is None else one[rows]
                for name, one in (("weights", self.weights), ("codes", self.codes))
            }
            work(rows, self._in_memory(self.X[rows], threads=1, **own))

        share(self.threads, len(blocks), of_task)

    def _in_memory(self, X: NDArray[Any], **own: Any) -> LocalSamples:
        given: dict[str, Any] = {"threads": self.threads, "n_classes": self.n_classes, **own}
        return LocalSamples(X, self.metric, chunk_rows=self.chunk_rows, **given)


class FoundInBlocks:
    """The nearest of ``prototypes`` of each sample, int32 (n,); distances are made when asked for.

    ``units``, of any type of integers, may be known.
    """

    def __init__(
        self,
        data: StreamedSamples,
        prototypes: NDArray[np.float64],
        units: NDArray[Any] | None = None,
    ) -> None:
        self._data, self._prototypes, self._units = data, prototypes, units

    @property
    def units(self) -> NDArray[Any]:
        """The units (n,), in a type that may be too small for what is computed of them."""
        if self._units is None:
            self._units = units = np.empty(self._data.n, np.int32)
            self._data.each_part(
                lambda rows, part: units.__setitem__(rows, part.assign(self._prototypes).bmu)
            )
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
        units = self.units[rows].astype(np.int64)
        return units, self._data.distances_to(self._prototypes, units, rows)


@dataclass(frozen=True)
class StreamedExact(PlainFound):
    """What is known of samples in a table, added up in their order; see `Found`."""

    samples: StreamedSamples

    @cached_property
    def hits(self) -> NDArray[Any]:
        """See `Found`."""
        weights, units, n_neurons = self.samples.weights, units_of(self.of), len(self.prototypes)
        if weights is not None:
            return np.bincount(units, weights, n_neurons)
        hits = np.zeros(n_neurons, np.int64)
        for rows in self.samples.blocks():
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
        for rows in samples.blocks():
            units, codes = kept[rows].astype(np.int64), samples.codes[rows]
            counts += count_classes(units, codes, len(self.prototypes), samples.n_classes)
        return counts


def is_small(shape: tuple[int, int], block: int) -> bool:
    """Say whether a table is held in memory: one block holds it, or a packed copy is of no use."""
    return shape[0] <= block or shape[0] * shape[1] < PACKING_PAYS


def samples_of(
    table: BlockTable, metric: Any, block_bytes: int, is_checked: bool, **given: Any
) -> LocalSamples:
    """Return `Samples` over a table: `LocalSamples` where it is small.

    ``block_bytes`` of it are read at a time; ``given`` are fields of `StreamedSamples`.

    Raises
    ------
    table.failure
        The table is large, and the metric has no search that goes through blocks, or the values
        were not checked before and one is missing.
    """
    block = block_rows(table, block_bytes)
    if is_small(table.shape, block):
        return LocalSamples(metric.prepared(table[:]), metric, **given)
    check_suits(table, metric)
    if not is_checked and table.finite_or_where(block) is not None:
        raise table.failure(
            "X has missing values, and what is read in blocks must be complete: fill them, or hold "
            "the data in memory (engine: local)"
        )
    if len(table) >= 2**31:
        raise table.failure(f"{len(table)} rows are more than the 2147483647 that one map can take")
    return StreamedSamples(table, metric, block=block, **given)


def check_suits(table: BlockTable, metric: Any) -> None:
    """Raise the table's failure where a metric has no search that goes through its blocks."""
    if not metric.is_euclidean or metric.prepare is not None or metric.form is not None:
        raise table.failure(
            f"metric {metric.name} cannot be read in blocks or shards, which are for euclidean: "
            "take metric: euclidean, or hold the data in memory (engine: local)"
        )
