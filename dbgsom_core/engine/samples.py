"""Samples in memory and what the methods of their metric say of them: chunks of rows in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.contract import Assignment
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.scalar import scalar_assign, scalar_pairwise
from dbgsom_core.engine.sums import has_missing, won_sums
from dbgsom_core.engine.workers import share

_CHUNK_DISTANCES = 1 << 20  # distances that one chunk of a whole distance matrix may hold (8 MiB)
_SMALL_WORK = 1 << 21  # multiplications below which threads cost more than they save


@dataclass(frozen=True)
class PlainSamples:
    """Prepared samples ``X`` (n, D) that can be compared with prototypes again and again.

    ``X`` is dense, with nan for what is missing, or a CSR matrix; ``weights`` (n,) are the samples'
    or None. A sample may stand for several: ``scatter`` (n,) is then their mean distance to it.
    ``codes`` (n,) are their classes 0..``n_classes`` - 1, negative for none, or None.
    ``working_memory`` are the bytes that a search may take, or None for what is usual.
    """

    X: Any
    metric: MetricCalls
    threads: int = 1
    chunk_rows: int = 4096
    weights: NDArray[np.float64] | None = None
    scatter: NDArray[np.float64] | None = None
    codes: NDArray[np.int64] | None = None
    n_classes: int = 0
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

    @property
    def incomplete(self) -> bool:
        """Whether values are missing."""
        # A cached_property of Python 3.11 has one lock for the parts of all threads.
        known: bool | None = vars(self).get("_incomplete")
        if known is None:
            known = vars(self)["_incomplete"] = not issparse(self.X) and has_missing(self.X)
        return known

    @property
    def is_euclidean(self) -> bool:
        """Whether the metric is Euclidean and the samples are dense and complete."""
        return self.metric.is_euclidean and not issparse(self.X) and not self.incomplete

    def subset(self, rows: NDArray[Any] | slice) -> Self:
        """Return the same for some of the samples."""
        return replace(self, X=self.X[rows], **self.entries(rows))

    def entries(self, rows: NDArray[Any] | slice) -> dict[str, Any]:
        """Return the weights, scatters and classes of some of the samples."""
        of_all = {"weights": self.weights, "scatter": self.scatter, "codes": self.codes}
        return {name: None if one is None else one[rows] for name, one in of_all.items()}

    def of_parts(
        self, units: NDArray[np.int64], ask: Callable[[Any, NDArray[np.int64]], NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        """Return ``ask(samples, units)`` (n,), which may be asked of parts of the samples."""
        return ask(self, units)

    def assign_plainly(self, prototypes: NDArray[np.float64]) -> Assignment:
        """Do as `assign` by the metric's own methods."""
        n = self.n
        found = Assignment(np.empty(n, dtype=np.int64), np.empty(n))
        metric = self.metric

        def work(rows: slice, _: int) -> None:
            if metric.assign is not None:
                bmu, distance = metric.assign(self.X[rows], prototypes)
            elif metric.scalar is not None:
                bmu, distance = scalar_assign(metric, self.X[rows], prototypes)
            else:
                distances = self.pairwise(self.X[rows], prototypes)
                bmu = distances.argmin(axis=1)
                distance = distances[np.arange(len(bmu)), bmu]
            found.bmu[rows], found.distance[rows] = bmu, distance

        chunk = self._rows_for(prototypes) if metric.assign is None else self.chunk_rows
        self._each_chunk(work, chunk, n * prototypes.size)
        return found

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
        metric = self.metric
        if metric.pairwise is not None:
            return np.asarray(metric.pairwise(X, prototypes), dtype=np.float64)
        if metric.scalar is not None:
            return scalar_pairwise(metric, X, prototypes)
        # A metric with `assign` alone: against one prototype its distance is the pair's.
        assert metric.assign is not None
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
        out: NDArray[np.float64] | None = None,
    ) -> None:
        """Do ``use(rows, distances)`` for the blocks that `chunks` yields, from several threads.

        Distances lie in ``out`` (n, K) where that is given.
        """
        size, distances = self._blocks(prototypes, out)
        work = self.n * prototypes.size
        self._each_chunk(lambda rows, _: use(rows, distances(rows)), size, work)

    def _blocks(
        self, prototypes: NDArray[np.float64], out: NDArray[np.float64] | None = None
    ) -> tuple[int, Callable[[slice], NDArray[np.float64]]]:
        # How many rows make a block, and their distances.
        size = self._rows_for(prototypes)
        if not self.is_euclidean:
            return size, lambda rows: self.pairwise(self.X[rows], prototypes)
        from dbgsom_core.engine.loops import fill_distances
        from dbgsom_core.engine.rows import for_loops  # numba is slow to import

        columns = np.ascontiguousarray(prototypes.T, np.float64)

        def distances(rows: slice) -> NDArray[np.float64]:
            part = np.ascontiguousarray(for_loops(self.X[rows]))
            found = np.empty((len(part), len(prototypes))) if out is None else out[rows]
            fill_distances(part, columns, found)
            return found

        return size, distances

    def nearest_plainly(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Do as `nearest_units` by all distances, which are told as well."""
        from dbgsom_core.engine.loops import smallest

        n = self.n
        neurons, distances = np.zeros((n, k), dtype=np.int64), np.empty((n, k))

        def keep(rows: slice, block: NDArray[np.float64]) -> None:
            smallest(np.ascontiguousarray(block), neurons[rows], distances[rows])

        self.each_block(prototypes, keep)
        distances[:, len(prototypes) :] = distances[:, :1]  # of fewer than k the first stands again
        return neurons, distances

    def _rows_for(self, prototypes: NDArray[np.float64]) -> int:
        return int(np.clip(_CHUNK_DISTANCES // len(prototypes), 1, self.chunk_rows))

    def _each_chunk(
        self, work: Callable[[slice, int], None], size: int, multiplications: int
    ) -> None:
        n = self.n
        chunks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        threads = 1 if multiplications < _SMALL_WORK else self.threads
        share(threads, len(chunks), lambda worker, task: work(chunks[task], worker))
