"""How one pass over data in memory runs: chunks of rows, a thread each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Component, Metric
from dbgsom_core.engine.scalar import scalar_assign, scalar_pairwise

_CHUNK_DISTANCES = 1 << 20  # distances that one chunk of a whole distance matrix may hold (8 MiB)
_SMALL_WORK = 1 << 21  # multiplications below which threads cost more than they save


class LocalEngine(Component):
    """Run in this process with threads over chunks of rows; the data is held in memory.

    The result does not depend on the number of threads or the chunk size.
    """

    name: Literal["local"] = "local"
    threads: int | None = Field(
        default=None, ge=1, description="threads; null: as many as this process may use"
    )
    chunk_rows: int = Field(default=4096, ge=1, description="rows that one task compares at a time")

    def over(self, X: NDArray[Any], metric: Metric) -> DataPass:
        """Return ``X`` (n, D), prepared by the metric, ready for passes."""
        prepare = getattr(metric, "prepare", None)
        prepared = np.ascontiguousarray(X if prepare is None else prepare(X))
        threads = self.threads or len(os.sched_getaffinity(0))
        return DataPass(prepared, metric, threads, self.chunk_rows)


@dataclass(frozen=True)
class Assignment:
    """The best-matching unit of each sample: ``bmu`` (n,) int64 and ``distance`` (n,) float64."""

    bmu: NDArray[np.int64]
    distance: NDArray[np.float64]


@dataclass(frozen=True)
class DataPass:
    """Prepared samples ``X`` (n, D) that can be compared with prototypes again and again."""

    X: NDArray[np.floating[Any]]
    metric: Metric
    threads: int = 1
    chunk_rows: int = 4096

    @cached_property
    def level(self) -> Literal["assign", "scalar", "pairwise"]:
        """The level of the metric that finds best-matching units: the fastest it offers."""
        if hasattr(self.metric, "assign"):
            return "assign"
        return "scalar" if hasattr(self.metric, "scalar") else "pairwise"

    def assign(self, prototypes: NDArray[np.float64]) -> Assignment:
        """Find the nearest of ``prototypes`` (K, D) for every sample, ties to the lowest row."""
        n = len(self.X)
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

    def admit(
        self, assignment: Assignment, prototypes: NDArray[np.float64], known: int
    ) -> Assignment:
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

    def sums(self, bmu: NDArray[np.int64], n_neurons: int) -> NDArray[np.float64]:
        """Return the sum of the samples that each neuron won, shape (K, D), added in row order."""
        from dbgsom_core.engine.loops import add_samples

        if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loop does not check
            raise IndexError(f"best-matching units must be rows below {n_neurons}")
        sums = np.zeros((n_neurons, self.X.shape[1]))
        add_samples(self.X, bmu, sums)
        return sums

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
        size = self._rows_for(prototypes)
        for start in range(0, len(self.X), size):
            rows = slice(start, min(start + size, len(self.X)))
            yield rows, self.pairwise(self.X[rows], prototypes)

    def nearest(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the ``k`` nearest prototypes of each sample, nearest first, ties to lower rows.

        Returns
        -------
        (neurons (n, k) int64, distances (n, k) float64)
        """
        n = len(self.X)
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
        n = len(self.X)
        chunks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        if self.threads == 1 or len(chunks) == 1 or multiplications < _SMALL_WORK:
            for rows in chunks:
                work(rows)
        else:
            for _ in _pool(self.threads).map(work, chunks):
                pass


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


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="dbgsom")


if hasattr(os, "register_at_fork"):  # a forked child has the pool's object but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
