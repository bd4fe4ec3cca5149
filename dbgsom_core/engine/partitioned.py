"""Samples in partitions: each answers where its rows are, and answers are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.loops import writeable_view
from dbgsom_core.engine.packed_search import PackedShard
from dbgsom_core.engine.packing import Quantisation, quantisation_of
from dbgsom_core.engine.partitions import Partitions, take
from dbgsom_core.engine.results import (
    Floats,
    Integers,
    PerSample,
    Search,
    Units,
    sum_by_unit,
)
from dbgsom_core.engine.samples import PACKING_PAYS, Samples

_FEW_BYTES = (
    1 << 22
)  # rows that are rather held in this process, as tasks would take longer to start
# Memory of bounds between passes: so many bytes, or this share of the data, whichever is more.
_BOUNDS_BYTES = 1 << 28
_BOUNDS_SHARE = 16


@dataclass(frozen=True)
class PartitionedSamples(Samples):
    """`Samples` in `Partitions` ``X`` (n, D), complete, of Euclidean geometry.

    Results equal those in memory to the bit.
    """

    incomplete = False
    is_in_memory = False

    @property
    def piece(self) -> int:
        """Rows whose distances are fetched at a time: a cluster takes some 50 ms for each."""
        return max(1 << 16, self.n >> 4)

    @cached_property
    def quantisation(self) -> Quantisation:
        return quantisation_of(self.X, self.summaries)

    def _fill(
        self,
        outs: Sequence[NDArray[Any] | None],
        ask: Callable[..., Any],
        *given: Any,
        beside: Sequence[NDArray[Any] | None] = (),
        among: slice | None = None,
    ) -> Any:
        # Fill ``outs`` with ``ask(samples, *given, *entries)`` of all partitions, or of the rows
        # ``among``; return the first. ``entries`` are those of the arrays ``beside``.
        X = self.X
        if among is not None:
            X = X.take(among)
        ask_rows = partial(_ask_samples, ask, given, self.metric, self.chunk_rows)

        def keep(rows: slice, answer: Any) -> None:
            answers = answer if isinstance(answer, tuple) else (answer,)
            for out, values in zip(outs, answers, strict=True):
                if out is not None:
                    out[rows] = values

        X.each(ask_rows, X.beside(*beside), keep)
        return outs[0]

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        for start in range(0, max(self.n, 1), size):
            rows = slice(start, min(start + size, self.n))
            use(rows, self.subset(rows))

    def subset(self, rows: NDArray[Any] | slice) -> Any:
        if not is_small(len(self.X.row_numbers(rows)), self.X):
            return replace(self, X=take(self.X, rows), **self._entries(rows))
        return Samples(
            self.X[rows],
            self.metric,
            threads=self.threads,
            chunk_rows=self.chunk_rows,
            n_classes=self.n_classes,
            **self._entries(rows),
        )

    def search(self) -> Search:
        make_shard = partial(
            PackedShard.from_rows,
            make=partial(_samples_of_partition, self.metric, self.n_classes),
            quantisation=self.quantisation,
            n_total=self.n,
            memory=max(_BOUNDS_BYTES, self.X.nbytes // _BOUNDS_SHARE),
        )
        shards = self.X.hold(make_shard, self.X.beside(self.codes))
        return Search(self, shards)

    def sums_seen(self, bmu: NDArray[Any], n_neurons: int) -> tuple[Floats, None]:
        sums = np.zeros((n_neurons, self.X.shape[1]))
        return self.X.fold(_add_sums, sums, self.X.beside(self.weights, bmu)), None

    def of_parts(self, units: Integers, find: Callable[..., Any]) -> Integers:
        out = np.empty(self.n, np.int64)
        beside = (units, self.codes)
        self._fill([out], _find_in_partition, find, self.n_classes, beside=beside)
        return out

    def assign(self, prototypes: Floats) -> PerSample:
        out = np.empty(self.n, np.int32)
        return Units(self, prototypes, lambda: self._fill([out], _units_of_partition, prototypes))

    def lasting(self, prototypes: Floats, of: PerSample) -> PerSample:
        units = of.units
        return Units(self, prototypes, lambda: units)

    def nearest_units(self, prototypes: Floats, k: int) -> tuple[Integers, Floats | None]:
        units = np.empty((self.n, k), np.int64)
        distances = np.empty((self.n, k)) if k > 2 else None
        self._fill([units, distances], Samples.nearest_units, prototypes, k)
        return units, distances

    def distances_to(self, prototypes: Floats, units: Integers, among: slice | None = None) -> Any:
        out = np.empty(len(units))
        return self._fill([out], Samples.distances_to, prototypes, beside=[units], among=among)

    def completed(self, prototypes: Floats) -> NDArray[np.floating[Any]]:
        return np.array(self.X[:])


# Pickled by name, for workers.


def _ask_samples(
    ask: Callable[..., Any],
    given: tuple[Any, ...],
    metric: Any,
    chunk_rows: int,
    X: Any,
    *beside: NDArray[Any] | None,
) -> Any:
    entries = []
    for values in beside:  # units and classes, which workers get in small types
        entries.append(None if values is None else values.astype(np.int64, copy=False))
    return ask(Samples(X, metric, chunk_rows=chunk_rows), *given, *entries)


def _find_in_partition(
    samples: Samples,
    find: Callable[..., Any],
    n_classes: int,
    units: Integers,
    codes: Integers | None,
) -> Any:
    return find(samples.with_classes(codes, n_classes), units)


def _units_of_partition(samples: Samples, prototypes: Floats) -> Any:
    return samples.assign(prototypes).bmu


def _add_sums(X: Any, sums: Floats, weights: Floats | None, units: NDArray[Any]) -> Floats:
    bmu = units.astype(np.int64)
    added, _ = sum_by_unit(X, weights, False, bmu, len(sums), sums.copy())
    return added


def _samples_of_partition(
    metric: Any, n_classes: int, X: NDArray[Any], codes: Integers | None
) -> Samples:
    return Samples(writeable_view(X), metric, codes=codes, n_classes=n_classes)


def is_small(n: int, X: Partitions) -> bool:
    size = n * X.shape[1]
    return size < PACKING_PAYS or size * X.dtype.itemsize <= _FEW_BYTES


def samples_of(X: Partitions, metric: Any, **given: Any) -> Samples:
    """Return `Samples` over partitions, complete: `Samples` where they are small.

    ``given`` are fields of `PartitionedSamples`. Raises ``failure`` for a metric that has no search
    in partitions.
    """
    if is_small(len(X), X):
        return Samples(metric.prepared(X[:]), metric, **given)
    if not metric.is_euclidean or metric.prepare is not None or metric.form is not None:
        raise X.failure(
            f"metric {metric.__class__.__name__} needs the data in memory: take metric: "
            "euclidean, or engine: local"
        )
    if len(X) >= 2**31:
        raise X.failure(f"{len(X)} rows are more than the 2147483647 that one map can take")
    return PartitionedSamples(X, metric, **given)
