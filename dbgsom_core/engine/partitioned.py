"""Samples in parts: blocks of a table that are read, or shards on workers; results are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.loops import writeable_view
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.packed_search import PackedPart
from dbgsom_core.engine.packing import Quantisation, quantisation_of
from dbgsom_core.engine.results import (
    Floats,
    Integers,
    PerSample,
    Search,
    Units,
    sum_by_unit,
    units_of,
)
from dbgsom_core.engine.runtime import share
from dbgsom_core.engine.samples import PACKING_PAYS, LocalSamples
from dbgsom_core.engine.search import PartitionedSearch
from dbgsom_core.engine.tables import (
    BlockTable,
    ConcatenatedTable,
    Parts,
    block_rows,
    each_range,
    row_numbers,
    take,
)

_FETCHED_BYTES = 1 << 24  # bytes of shards that are fetched at a time


@dataclass(frozen=True)
class PartitionedSamples(LocalSamples):
    """`Samples` in a `BlockTable` ``X`` (n, D), complete, of Euclidean geometry.

    A part is ``block`` rows that are read, or a shard. Results equal those in memory to the bit.
    """

    block: int = 4096

    incomplete = False
    packed = None
    _may_be_packed = False

    @cached_property
    def quantisation(self) -> Quantisation:
        return quantisation_of(self.X, self.threads)

    @property
    def piece(self) -> int:
        """Rows whose distances are fetched at a time."""
        return 1 << 16 if self.X.ends is None else 1 << 21  # 16 MiB of distances

    def parts(self, among: slice | None = None) -> list[slice]:
        start, stop = (0, self.n) if among is None else (among.start, among.stop)
        ends: Sequence[int] = range(start, stop, self.block)
        if self.X.ends is not None:
            ends = [start, *(end for end in self.X.ends if start < end < stop)]
        return [slice(a, b) for a, b in pairwise([*ends, stop])]

    def _fill(
        self,
        outs: tuple[NDArray[Any] | None, ...],
        ask: Callable[..., Any],
        *given: Any,
        beside: Sequence[NDArray[Any] | None] = (),
        among: slice | None = None,
    ) -> Any:
        # Fill ``outs`` with ``ask(samples, *given, *own)`` of all parts, or of those of a slice;
        # return the first. ``own`` are the part's entries of the arrays ``beside`` (n,). ``ask``
        # is pickled for shards.
        parts = self.parts(among)
        first = parts[0].start if parts else 0

        def keep(rows: slice, answers: Any) -> None:
            answers = answers if isinstance(answers, tuple) else (answers,)
            for out, answer in zip(outs, answers, strict=True):
                if out is not None:
                    out[rows.start - first : rows.stop - first] = answer

        within = [slice(rows.start - first, rows.stop - first) for rows in parts]
        own = [tuple(None if b is None else b[rows] for b in beside) for rows in within]
        part = partial(_call_part, ask, given, self.metric, self.chunk_rows)
        ranges = [(rows.start, rows.stop) for rows in parts]
        each_range(self.X, ranges, part, self.threads, own=own, keep=keep)
        return outs[0]

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        for start in range(0, max(self.n, 1), size):  # each is read by all threads
            rows = slice(start, min(start + size, self.n))
            use(rows, self.subset(rows))

    def subset(self, rows: NDArray[Any] | slice) -> Any:
        if not is_small((len(row_numbers(rows, self.n)), self.X.shape[1]), self.block):
            return replace(self, X=take(self.X, rows), **self._entries(rows))
        given: dict[str, Any] = {"threads": self.threads, "n_classes": self.n_classes}
        given |= {"chunk_rows": self.chunk_rows, **self._entries(rows)}
        return LocalSamples(self.X[rows], self.metric, **given)

    def followed_by(self, X: Floats, weights: Floats, scatter: Floats) -> PartitionedSamples:
        return self._followed_by(ConcatenatedTable(self.X, X), weights, scatter)

    def robust(self, gamma: float | None) -> Any:
        raise self.X.failure(
            "robust needs the data in memory, and it is read in blocks: leave robust out, or take "
            "engine: local"
        )

    def search(self) -> Search:
        codes = [(None if self.codes is None else self.codes[rows],) for rows in self.parts()]
        make = partial(_part_samples, self.metric, self.n_classes)
        part = partial(
            PackedPart.of_shard, make=make, quantisation=self.quantisation, n_total=self.n
        )
        parts: Parts
        if self.X.ends is None:
            threads = 1 if self.X.in_order else self.threads
            parts = StreamedParts(self.X, self.parts(), partial(part, prune=False), codes, threads)
        else:
            parts = self.X.hold(part, codes)
        fast = PartitionedSearch(self, parts)
        return fast if self.weights is None else Search(self, fast)

    def sums_seen(self, bmu: NDArray[Any], n_neurons: int) -> tuple[Floats, None]:
        sums = np.zeros((n_neurons, self.X.shape[1]))
        for rows in self.parts():
            own = [(sums, None if self.weights is None else self.weights[rows], bmu[rows])]
            (sums,) = each_range(self.X, [(rows.start, rows.stop)], _add_part_sums, 1, own=own)
        return sums, None

    def of_parts(self, units: Integers, find: Callable[..., Any]) -> Integers:
        out, given, beside = np.empty(self.n, np.int64), (find, self.n_classes), (units, self.codes)
        found: Integers = self._fill((out,), _find_in_part, *given, beside=beside)
        return found

    def assign(self, prototypes: Floats) -> PerSample:
        out = np.empty(self.n, np.int32)
        return Units(self, prototypes, lambda: self._fill((out,), _part_units, prototypes))

    def assign_plainly(self, prototypes: Floats) -> PerSample:
        return self.assign(prototypes)

    def lasting(self, prototypes: Floats, of: PerSample) -> PerSample:
        units = units_of(of)
        return Units(self, prototypes, lambda: units)

    def nearest_units(self, prototypes: Floats, k: int) -> tuple[Integers, Floats | None]:
        units = np.empty((self.n, k), np.int64)
        distances = np.empty((self.n, k)) if k > 2 else None
        self._fill((units, distances), LocalSamples.nearest_units, prototypes, k)
        return units, distances

    def distances_to(self, prototypes: Floats, units: Integers, among: slice | None = None) -> Any:
        out, ask = np.empty(len(units)), LocalSamples.distances_to
        return self._fill((out,), ask, prototypes, beside=[units], among=among)

    def completed(self, prototypes: Floats) -> NDArray[np.floating[Any]]:
        return np.array(self.X[:])


class StreamedParts:
    """Parts of a table, see `Parts`, that are read and packed again for each call.

    Only the ``units`` (n,) of the last pass are kept.
    """

    def __init__(
        self,
        table: BlockTable,
        rows: list[slice],
        make: Callable[..., PackedPart],
        own: Sequence[tuple[Any, ...]],
        threads: int,
    ) -> None:
        self._table, self._rows, self._make, self._own = table, rows, make, own
        self._threads, self._done = threads, 0
        self.units: NDArray[Any] = np.zeros(len(table), np.uint16)

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        finds = question == "assign"
        if finds and len(given[0].prototypes) > 1 << 16:
            self.units = self.units.astype(np.int32, copy=False)
        answers: list[Any] = [None] * len(self._rows)
        totals: list[Any] = [[] for _ in range(self._threads)]

        def work(worker: int, task: int) -> None:
            rows = self._rows[task]
            part = self._make(self._table.read(rows.start, rows.stop), *self._own[task])
            part.restore(self.units[rows], self._done)
            answers[task] = answer = part.answer(question, *given)
            if finds:
                self.units[rows] = part.units(given[0], None)
            if add is not None:  # at once: all results may take more memory than the table
                totals[worker] = [add(total, answer) for total in totals[worker]] or [answer]
                answers[task] = None

        share(self._threads, len(self._rows), work)
        if finds:
            self._done = given[0].number
        return answers if add is None else [total for [total] in filter(None, totals)]


# Pickled by name, for shards.


def _call_part(
    ask: Callable[..., Any],
    given: tuple[Any, ...],
    metric: MetricCalls,
    chunk_rows: int,
    X: Any,
    rows: slice,
    *own: NDArray[Any] | None,
) -> Any:
    own = tuple(None if some is None else some.astype(np.int64, copy=False) for some in own)
    return ask(LocalSamples(X[rows], metric, chunk_rows=chunk_rows), *given, *own)


def _find_in_part(
    part: LocalSamples,
    find: Callable[..., Any],
    n_classes: int,
    units: Integers,
    codes: Integers | None,
) -> Any:
    return find(part.with_classes(codes, n_classes), units)


def _part_units(part: LocalSamples, prototypes: Floats) -> Any:
    return part.assign(prototypes).bmu


def _add_part_sums(
    X: Any, rows: slice, sums: Floats, weights: Floats | None, units: NDArray[Any]
) -> Floats:
    return sum_by_unit(X[rows], weights, False, units.astype(np.int64), len(sums), sums.copy())[0]


def _part_samples(
    metric: MetricCalls, n_classes: int, X: NDArray[Any], codes: Integers | None
) -> LocalSamples:
    X = np.ascontiguousarray(writeable_view(X))
    return LocalSamples(X, metric, codes=codes, n_classes=n_classes)


def is_small(shape: tuple[int, int], block: int) -> bool:
    return shape[0] <= block or shape[0] * shape[1] < PACKING_PAYS


def samples_of(
    table: BlockTable, metric: Any, block_bytes: int, is_checked: bool, **given: Any
) -> LocalSamples:
    """Return `Samples` over a table: `LocalSamples` where it is small.

    ``block_bytes`` are read at a time; ``given`` are fields of `PartitionedSamples`. Raises the
    table's ``failure`` for a large table where the metric has no search in parts, or, unless
    ``is_checked``, where a value is missing.
    """
    in_shards = table.ends is not None
    block = block_rows(table, max(block_bytes, _FETCHED_BYTES) if in_shards else block_bytes)
    if is_small(table.shape, 1 if in_shards else block):
        return LocalSamples(metric.prepared(table[:]), metric, **given)
    if not metric.is_euclidean or metric.prepare is not None or metric.form is not None:
        raise table.failure(
            f"metric {metric.name} cannot be used on data in blocks or shards, only euclidean: "
            "take metric: euclidean, or hold the data in memory (engine: local)"
        )
    if not is_checked and table.first_non_finite(block) is not None:
        raise table.failure(
            "X has missing values, which data in blocks or shards must not have: fill them, or "
            "hold the data in memory (engine: local)"
        )
    if len(table) >= 2**31:
        raise table.failure(f"{len(table)} rows are more than the 2147483647 that one map can take")
    return PartitionedSamples(table, metric, block=block, **given)
