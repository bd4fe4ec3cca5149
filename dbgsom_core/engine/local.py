"""How one pass over data in memory runs: chunks of rows, a thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import issparse

from dbgsom_core.api import Component, Metric
from dbgsom_core.engine.found import Assignment, Found, Search, Totals
from dbgsom_core.engine.pairwise.expanded import Expanded
from dbgsom_core.engine.pairwise.scalar import scalar_assign, scalar_pairwise
from dbgsom_core.engine.plain_search import PlainSearch
from dbgsom_core.engine.sums import has_missing, won_sums
from dbgsom_core.engine.workers import available_threads, share

if TYPE_CHECKING:
    from dbgsom_core.engine.fast.packing import PackedSamples

_CHUNK_DISTANCES = 1 << 20  # distances that one chunk of a whole distance matrix may hold (8 MiB)
_SMALL_WORK = 1 << 21  # multiplications below which threads cost more than they save
_PACKING_PAYS = 1 << 15  # numbers in the data from which a packed copy pays for a training
_FAST_PAYS_ONCE = 1 << 24  # multiplications from which one fast search does


class LocalEngine(Component):
    """Run in this process with threads over chunks of rows; the data is held in memory.

    The result does not depend on the number of threads or the chunk size; where working memory
    does not suffice for a packed copy, prototypes may differ in their last digits.
    """

    name: Literal["local"] = "local"
    threads: int | None = Field(
        default=None, ge=1, description="threads; null: as many as this process may use"
    )
    chunk_rows: int = Field(default=4096, ge=1, description="rows that one task compares at a time")
    working_memory: float | None = Field(
        default=None,
        ge=0,
        description="MiB that a training may take beside the data for a packed copy of them and "
        "for bounds on distances, without which it is slower; null: the copy, and for bounds "
        "256 MiB or four times the copy, at most 1 GiB",
    )

    def over(self, X: Any, metric: Metric, weights: NDArray[np.float64] | None = None) -> DataPass:
        """Return ``X`` (n, D), dense or CSR, prepared by the metric, ready for passes."""
        prepare = getattr(metric, "prepare", None)
        prepared = X if prepare is None else prepare(X)
        if not issparse(prepared):
            # A view, so that what a metric remembers of these samples ends with the pass.
            prepared = np.ascontiguousarray(prepared).view()
        threads = self.threads or available_threads()
        room = None if self.working_memory is None else int(self.working_memory * 2**20)
        return DataPass(prepared, metric, threads, self.chunk_rows, weights, working_memory=room)


@dataclass(frozen=True)
class DataPass:
    """Prepared samples ``X`` (n, D) that can be compared with prototypes again and again.

    ``X`` is dense, with nan for what is missing, or a CSR matrix; ``weights`` (n,) are the samples'
    or None. A sample may stand for several: ``scatter`` (n,) is then their mean distance to it.
    ``working_memory`` are the bytes that a search may take, or None for what is usual.
    """

    X: Any
    metric: Metric
    threads: int = 1
    chunk_rows: int = 4096
    weights: NDArray[np.float64] | None = None
    scatter: NDArray[np.float64] | None = None
    working_memory: int | None = None

    @property
    def n(self) -> int:
        """The number of samples."""
        return int(self.X.shape[0])

    @cached_property
    def sample_weights(self) -> NDArray[np.float64]:
        """The weights (n,), 1 where none were given."""
        return np.ones(self.n) if self.weights is None else self.weights

    @cached_property
    def total_weight(self) -> float:
        """The sum of the weights: how many samples there are in effect."""
        return float(self.n if self.weights is None else self.weights.sum())

    @cached_property
    def incomplete(self) -> bool:
        """Whether values are missing."""
        return not issparse(self.X) and has_missing(self.X)

    @property
    def is_euclidean(self) -> bool:
        """Whether the metric is Euclidean and the samples are dense and complete."""
        if getattr(self.metric, "geometry", None) != "euclidean":
            return False
        return not issparse(self.X) and not self.incomplete

    def subset(self, rows: NDArray[Any] | slice) -> DataPass:
        """Return the same for some of the samples."""
        weights = None if self.weights is None else self.weights[rows]
        scatter = None if self.scatter is None else self.scatter[rows]
        return replace(self, X=self.X[rows], weights=weights, scatter=scatter)

    @cached_property
    def level(self) -> Literal["assign", "scalar", "pairwise"]:
        """The level of the metric that finds best-matching units: the fastest it offers."""
        if hasattr(self.metric, "assign"):
            return "assign"
        return "scalar" if hasattr(self.metric, "scalar") else "pairwise"

    @property
    def _may_search_fast(self) -> bool:
        # As far as one can tell without a look at the values: none may be missing.
        return (
            getattr(self.metric, "geometry", None) == "euclidean"
            and not issparse(self.X)
            and self.X.dtype in (np.dtype(np.float32), np.dtype(np.float64))
            and self.X.flags.c_contiguous  # rows are packed by their addresses
            and self.n < 2**31
        )

    @cached_property
    def packed(self) -> PackedSamples | None:
        """The samples as the fast search wants them, or None where it cannot serve.

        It serves metrics of Euclidean ``geometry``, if there is memory for the copy; made when
        first used.
        """
        if self.X.size < _PACKING_PAYS or not self._may_search_fast or self.incomplete:
            return None
        from dbgsom_core.engine.fast.packing import PackedSamples

        room = self.working_memory
        if room is not None and PackedSamples.bytes_for(self.X) > room:
            return None
        return PackedSamples.of(self.X, self.threads)

    def search(self) -> Search:
        """Return a search that is fast over the epochs of a training."""
        if self.packed is None:
            return PlainSearch(self)
        from dbgsom_core.engine.fast.search import FastSearch

        return FastSearch(self, self.packed)

    def _found_fast(self, prototypes: NDArray[np.float64], places: int) -> NDArray[np.int64] | None:
        # The nearest units (places, n) by a fast search, or None where it does not serve.
        pays = self.n * prototypes.size >= _FAST_PAYS_ONCE and len(prototypes) > 1
        if not pays or not self._may_search_fast:
            return None
        from dbgsom_core.engine.fast.once import nearest_units

        found = nearest_units(self.X, prototypes, places, self.threads)
        if found is not None:
            vars(self)["incomplete"] = False  # it has looked at every value
        return found

    def assign(self, prototypes: NDArray[np.float64]) -> Found:
        """Find the nearest of ``prototypes`` (K, D) for every sample, ties to the lowest row."""
        found = self._found_fast(prototypes, 1)
        if found is None:
            return self.assign_plainly(prototypes)
        from dbgsom_core.engine.fast.once import FoundOnce

        return FoundOnce(self.X, prototypes, found[0], self.threads)

    def assign_plainly(self, prototypes: NDArray[np.float64]) -> Assignment:
        """Do as `assign` by the metric's own methods."""
        n = self.n
        found = Assignment(np.empty(n, dtype=np.int64), np.empty(n))
        metric: Any = self.metric

        def work(rows: slice) -> None:
            if self.level == "assign":
                bmu, distance = metric.assign(self.X[rows], prototypes)
            elif self.level == "scalar":
                bmu, distance = scalar_assign(metric, self.X[rows], prototypes)
            else:
                distances = self.pairwise(self.X[rows], prototypes)
                bmu = distances.argmin(axis=1)
                distance = distances[np.arange(len(bmu)), bmu]
            found.bmu[rows], found.distance[rows] = bmu, distance

        whole_matrix = self.level == "pairwise"
        chunk = self._rows_for(prototypes) if whole_matrix else self.chunk_rows
        self._each_chunk(work, chunk, n * prototypes.size)
        return found

    def admit(self, assignment: Found, prototypes: NDArray[np.float64], known: int) -> Found:
        """Return ``assignment`` to the first ``known`` prototypes extended to all of them.

        Only the newcomers are compared; the result is that of `assign`, to the bit.
        """
        if known == len(prototypes):
            return assignment
        newcomers = self.assign(prototypes[known:])
        nearer = newcomers.distance < assignment.distance
        return Assignment(
            np.where(nearer, newcomers.bmu + known, assignment.bmu),
            np.where(nearer, newcomers.distance, assignment.distance),
        )

    def totals(self, found: Found, n_neurons: int) -> Totals:
        """Return what each of ``n_neurons`` neurons won; a fast search has added it up already."""
        totals = getattr(found, "totals", None)
        if totals is not None and self.weights is None:
            return totals  # type: ignore[no-any-return]
        sums, seen = self.sums_seen(found.bmu, n_neurons)
        hits, errors = self._hits_and_errors(found, n_neurons)
        return Totals(hits, sums, errors, seen)

    def hits_and_errors(
        self, found: Found, n_neurons: int
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return the ``hits`` and ``errors`` of `totals` alone."""
        won: Any = found if hasattr(found, "errors") else getattr(found, "totals", None)
        if won is not None and self.weights is None:
            return won.hits, won.errors
        return self._hits_and_errors(found, n_neurons)

    def total_error(self, found: Found, n_neurons: int) -> float:
        """Return the sum of the ``errors`` of `totals`."""
        total = getattr(found, "total_error", None)
        if total is not None and self.weights is None:
            return total  # type: ignore[no-any-return]
        return float(self.hits_and_errors(found, n_neurons)[1].sum())

    def _hits_and_errors(
        self, found: Found, n_neurons: int
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        bmu, weights, distance = found.bmu, self.weights, found.distance
        if self.scatter is not None:  # samples lie about evenly around what stands for them
            distance = np.hypot(distance, self.scatter)
        if weights is not None:
            distance = weights * distance
        errors = np.bincount(bmu, distance, n_neurons).astype(np.float64)
        return np.bincount(bmu, weights, n_neurons), errors

    def sums(self, bmu: NDArray[np.int64], n_neurons: int) -> NDArray[np.float64]:
        """Return the ``sums`` of `Totals`, added in row order."""
        return self.sums_seen(bmu, n_neurons)[0]

    def sums_seen(
        self, bmu: NDArray[np.int64], n_neurons: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the ``sums`` and ``seen`` of `Totals`, added in row order."""
        if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loops do not check
            raise IndexError(f"best-matching units must be rows below {n_neurons}")
        return won_sums(self.X, self.weights, self.incomplete, bmu, n_neurons)

    def pairwise(
        self, X: NDArray[np.floating[Any]], prototypes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the distances (m, K) of prepared samples ``X`` (m, D) to ``prototypes``."""
        if hasattr(self.metric, "pairwise"):
            return np.asarray(self.metric.pairwise(X, prototypes), dtype=np.float64)
        if hasattr(self.metric, "scalar"):
            return scalar_pairwise(self.metric, X, prototypes)
        # A metric with `assign` alone: against one prototype its distance is the pair's.
        metric: Any = self.metric
        columns = [metric.assign(X, w[None])[1] for w in prototypes]
        return np.column_stack(columns).astype(np.float64)

    def chunks(
        self, prototypes: NDArray[np.float64]
    ) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (rows, distances (m, K)) over all samples, a bounded block at a time."""
        size, distances = self._blocks(prototypes)
        for start in range(0, self.n, size):
            rows = slice(start, min(start + size, self.n))
            yield rows, distances(rows)

    def each_block(
        self,
        prototypes: NDArray[np.float64],
        use: Callable[[slice, NDArray[np.float64]], None],
    ) -> None:
        """Do ``use(rows, distances)`` for the blocks that `chunks` yields, from several threads."""
        size, distances = self._blocks(prototypes)
        work = self.n * prototypes.size
        self._each_chunk(lambda rows: use(rows, distances(rows)), size, work)

    def _blocks(
        self, prototypes: NDArray[np.float64]
    ) -> tuple[int, Callable[[slice], NDArray[np.float64]]]:
        # How many rows make a block, and their distances.
        size = self._rows_for(prototypes)
        if not self.is_euclidean:
            return size, lambda rows: self.pairwise(self.X[rows], prototypes)
        expanded = Expanded.of(prototypes, np.float64)

        def distances(rows: slice) -> NDArray[np.float64]:
            found = np.empty((rows.stop - rows.start, len(prototypes)))
            expanded.fill(self.X[rows], found)
            return found

        return size, distances

    def nearest(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the ``k`` nearest prototypes of each sample, nearest first, ties to lower rows.

        Returns
        -------
        (neurons (n, k) int64, distances (n, k) float64)
        """
        units, distances = self.nearest_units(prototypes, k)
        if distances is None:
            columns = [self.distances_to(prototypes, column) for column in units.T]
            distances = np.column_stack(columns)
        return units, distances

    def nearest_units(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        """Return the ``k`` nearest prototypes (n, k) int64 of each sample, as `nearest` does.

        And their distances (n, k) float64, or None where they were not needed to find the units.
        """
        found = self._found_fast(prototypes, k) if k <= 2 else None
        if found is not None:
            return found.T, None
        return self.nearest_plainly(prototypes, k)

    def distances_to(
        self, prototypes: NDArray[np.float64], units: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the distance (n,) of each sample to the prototype in its entry of ``units``.

        Only for dense, complete samples of Euclidean geometry.
        """
        from dbgsom_core.engine.fast.once import distances_to

        return distances_to(self.X, prototypes, units, self.threads)

    def nearest_plainly(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Do as `nearest` by the metric's own methods."""
        n = self.n
        neurons, distances = np.empty((n, k), dtype=np.int64), np.empty((n, k))

        def work(rows: slice) -> None:
            block = self.pairwise(self.X[rows], prototypes)
            order = _smallest(block, k)
            neurons[rows] = order
            distances[rows] = np.take_along_axis(block, order, axis=1)

        self._each_chunk(work, self._rows_for(prototypes), n * prototypes.size)
        return neurons, distances

    def _rows_for(self, prototypes: NDArray[np.float64]) -> int:
        return int(np.clip(_CHUNK_DISTANCES // len(prototypes), 1, self.chunk_rows))

    def _each_chunk(self, work: Callable[[slice], None], size: int, multiplications: int) -> None:
        n = self.n
        chunks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        threads = 1 if multiplications < _SMALL_WORK else self.threads
        share(threads, len(chunks), lambda worker, task: work(chunks[task]))


def _smallest(block: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    if k > 4:
        return np.argsort(block, axis=1, kind="stable")[:, :k]
    rest = block.copy()
    order = np.empty((len(block), k), dtype=np.int64)
    rows = np.arange(len(block))
    for rank in range(k):
        order[:, rank] = rest.argmin(axis=1)
        rest[rows, order[:, rank]] = np.inf
    return order
