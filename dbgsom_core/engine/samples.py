"""Samples in memory, with all passes over them: the base of every engine's samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, vstack

from dbgsom_core.engine.compile import loop
from dbgsom_core.engine.moments import check_varies, extremes, moments_of, principal_axes
from dbgsom_core.engine.partitions import Partitions
from dbgsom_core.engine.results import (
    Assignment,
    Floats,
    Integers,
    PerSample,
    Search,
    SearchResult,
    Units,
    groups,
    sum_by_unit,
)
from dbgsom_core.engine.runtime import available_threads, pieces, share

if TYPE_CHECKING:
    from dbgsom_core.engine.packing import ColumnSummaries, PackedSamples, Quantisation

PACKING_PAYS = 1 << 15  # numbers in the data from which a packed copy pays for a training
_CHUNK_DISTANCES = 1 << 20  # distances in a chunk of a distance matrix (8 MiB), at most
_SMALL_WORK = 1 << 21  # multiplications below which threads cost more than they save
_CHUNK_NUMBERS = 1 << 22  # numbers in a chunk of dense samples
_TASKS = 32  # chunks of rows in `distances_to`, at most
_TASK_NUMBERS = 1 << 18  # numbers in such a chunk, about: starting a thread takes time
_PACKING_PAYS_ONCE = 1 << 24  # multiplications from which packing pays for one pass


@dataclass(frozen=True)
class Samples:
    """Samples that an engine holds: n of them, prepared by the metric, with passes over them.

    They are in the memory of this process, and searched with a packed copy where that pays. A
    faster engine derives from it, and overrides `assign`, the pass, and `quantised_sums`, the sums
    by neuron: maps are then those of the built-in engine, to the bit. Prototypes are float64
    (K, D).

    Attributes
    ----------
    X : float array or CSR matrix (n, D)
        Dense, nan where a value is missing, or sparse.
    metric : MetricComponent
        The metric's methods.
    threads : int
        Threads of a pass.
    chunk_rows : int
        Rows that one task compares at a time.
    weights : float64 array (n,) or None
        The samples' weights.
    scatter : float64 array (n,) or None
        For micro-clusters, the mean distance of their samples to them.
    codes : int64 array (n,) or None
        The classes, 0 to ``n_classes`` - 1, negative for none.
    n_classes : int
        The number of classes.
    working_memory : int or None
        Bytes that a search may take; None: the default.
    """

    X: Any
    metric: Any
    threads: int = 1
    chunk_rows: int = 4096
    weights: Floats | None = None
    scatter: Floats | None = None
    codes: Integers | None = None
    n_classes: int = 0
    working_memory: int | None = None

    is_in_memory = True
    moments = moments_of
    principal_axes = principal_axes

    @classmethod
    def of(
        cls,
        X: Any,
        metric: Any,
        weights: Floats | None = None,
        threads: int | None = None,
        **given: Any,
    ) -> Self:
        """Return samples of unprepared X (n, D), prepared by the metric.

        Without ``threads`` all that this process may use; ``given`` are other fields.
        """
        prepared = metric.prepared(X if issparse(X) else np.asarray(X))
        if not issparse(prepared):
            # A view, so that a metric's cache for this array ends with the pass.
            prepared = np.ascontiguousarray(prepared).view()
        threads = threads or available_threads()
        return cls(prepared, metric, threads, weights=weights, **given)

    # ------------------------------------------------------------------- what engines override

    def assign(self, prototypes: Floats) -> PerSample:
        """Find the nearest prototype of every sample, ties to the lowest row."""
        units = self._nearest_packed(prototypes, 1)
        if units is None:
            return self.assign_plainly(prototypes)
        return Units(self, prototypes, lambda: units[:, 0])

    def nearest_units(self, prototypes: Floats, k: int) -> tuple[Integers, Floats | None]:
        """Return the ``k`` nearest prototypes (n, k) of each sample, ties to lower rows.

        And their distances (n, k), or None: then use `distances_to`.
        """
        units = self._nearest_packed(prototypes, k) if k <= 2 else None
        return self.nearest_plainly(prototypes, k) if units is None else (units, None)

    def nearest(self, prototypes: Floats, k: int) -> tuple[Integers, Floats]:
        """Return the ``k`` nearest prototypes, all where there are fewer, and their distances."""
        rows, distances = self.nearest_units(prototypes, min(k, len(prototypes)))
        if distances is None:
            columns = [self.distances_to(prototypes, rows[:, j]) for j in range(rows.shape[1])]
            distances = np.column_stack(columns)
        return rows, distances

    def quantised_sums(self, units: Integers, n_units: int) -> Floats:
        """Return the sums (K, D) of the `quantised` samples by their ``units`` (n,).

        They are exact, so do not depend on the order. Called only where there is a `quantisation`.
        """
        sums = np.zeros((n_units, self.X.shape[1]))
        for rows in pieces(self.n, _CHUNK_NUMBERS // max(self.X.shape[1], 1)):
            np.add.at(sums, units[rows], self.quantised(rows))
        return sums

    def search(self) -> Search:
        """Return a search for the epochs of one training."""
        if self.quantisation is None:
            return Search(self)
        from dbgsom_core.engine.packed_search import PackedShard
        from dbgsom_core.engine.shards import LocalShards, Shard

        cls = type(self)
        if (cls.assign, cls.quantised_sums) != (Samples.assign, Samples.quantised_sums):
            # An engine with a pass of its own, whose sums know no weights.
            if self.weights is not None:
                return Search(self)
            return Search(self, LocalShards([Shard(self)]))
        if self.packed is None:
            return Search(self)
        return Search(self, LocalShards([PackedShard(self, self.packed)]))

    # --------------------------------------------------------------- building blocks of engines

    @property
    def n(self) -> int:
        """The number of samples."""
        return int(self.X.shape[0])

    @cached_property
    def sample_weights(self) -> Floats:
        """The weights (n,), 1 where none were given."""
        return np.ones(self.n) if self.weights is None else self.weights

    @cached_property
    def total_weight(self) -> float:
        """The sum of the weights, or the number of samples."""
        return float(self.n if self.weights is None else self.weights.sum())

    @property
    def incomplete(self) -> bool:
        """Whether values are missing."""
        # No cached_property: that of Python 3.11 has one lock for all instances.
        known: bool | None = vars(self).get("_incomplete")
        if known is None:
            known = vars(self)["_incomplete"] = not issparse(self.X) and has_missing(self.X)
        return known

    @property
    def is_euclidean(self) -> bool:
        """Whether the metric is Euclidean and the samples are dense and complete."""
        euclidean = self.metric.geometry == "euclidean"
        return euclidean and not issparse(self.X) and not self.incomplete

    @cached_property
    def summaries(self) -> ColumnSummaries:
        """Sums and extremes of the columns, of dense and complete samples."""
        from dbgsom_core.engine.packing import column_summaries  # numba is slow to import

        return column_summaries(self.X, self.threads)

    @property
    def _may_be_packed(self) -> bool:
        # Without a pass over the values, of which none may be missing.
        return (
            self.metric.is_euclidean
            and not issparse(self.X)
            and self.X.dtype in (np.dtype(np.float32), np.dtype(np.float64))
            and self.X.flags.c_contiguous  # rows are packed by their addresses
            and self.n < 2**31
        )

    @cached_property
    def quantisation(self) -> Quantisation | None:
        """Quantisation of numbers with which float64 sums of all samples are exact.

        It has a ``centre`` (D,), a ``scale`` and a ``grid``, powers of two; see `quantised`. None,
        with plain sums, for a metric that is not Euclidean, missing values, or few samples.
        """
        if self.X.size < PACKING_PAYS or not self._may_be_packed or self.incomplete:
            return None
        from dbgsom_core.engine.packing import quantisation_of

        return quantisation_of(self.X, self.summaries)

    @cached_property
    def packed(self) -> PackedSamples | None:
        """The packed copy; None where the samples cannot be packed or memory is too small."""
        how = self.quantisation
        memory = self.working_memory
        if how is None:
            return None
        from dbgsom_core.engine.packing import PackedSamples

        if memory is not None and PackedSamples.bytes_for(self.X) > memory:
            return None
        return PackedSamples(self.X, how, self.threads)

    def _nearest_packed(self, prototypes: Floats, k: int) -> Integers | None:
        # The nearest units (n, k) by a packed search, or None where it does not serve.
        pays = self.n * prototypes.size >= _PACKING_PAYS_ONCE and len(prototypes) > 1
        if not pays or not self._may_be_packed:
            return None
        from dbgsom_core.engine.packed_search import nearest_units

        return nearest_units(self, prototypes, k)

    def quantised(self, rows: slice = slice(None)) -> Floats:
        """Return (x - centre)*scale of samples ``rows`` (m, D), rounded to multiples of grid."""
        how = self.quantisation
        X = self.X[rows]
        assert how is not None
        numbers = np.rint((X - how.centre) * (how.scale / how.grid)) * how.grid
        return np.asarray(numbers.astype(X.dtype), np.float64)

    def distances_to(
        self, prototypes: Floats, units: Integers, among: slice | None = None
    ) -> Floats:
        """Return the distance of each sample to the prototype ``units[i]``, (n,).

        With a slice ``among``, of these samples, whose ``units`` are (m,). For dense, complete
        samples of Euclidean geometry.
        """
        from dbgsom_core.engine import loops  # numba is slow to import

        X = loops.writeable_view(self.X if among is None else self.X[among])
        n = len(X)
        out = np.empty(len(X))
        tasks = min(_TASKS, n, X.size // _TASK_NUMBERS + 1)

        def work(worker: int, task: int) -> None:
            rows = slice(n * task // tasks, n * (task + 1) // tasks)
            loops.distances_to(X[rows], prototypes, units[rows], out[rows])

        share(self.threads, tasks, work)
        return out

    def pairwise(self, X: NDArray[np.floating[Any]], prototypes: Floats) -> Floats:
        """Return the distances (m, K) of prepared samples ``X`` (m, D) to ``prototypes``."""
        metric = self.metric
        if metric.pairwise is not None:
            return np.asarray(metric.pairwise(X, prototypes), dtype=np.float64)
        if metric.scalar is not None:
            return scalar_pairwise(metric, X, prototypes)
        # A metric with `assign` alone: one prototype at a time.
        assert metric.assign is not None
        columns = [metric.assign(X, w[None])[1] for w in prototypes]
        return np.column_stack(columns).astype(np.float64)

    def assign_plainly(self, prototypes: Floats) -> PerSample:
        """Find the nearest prototypes by the metric's methods, without packing."""
        assignment = Assignment(np.empty(self.n, dtype=np.int64), np.empty(self.n))
        metric = self.metric

        def work(rows: slice) -> None:
            X = self.X[rows]
            if metric.assign is not None:
                nearest = metric.assign(X, prototypes)
            elif metric.scalar is not None:
                nearest = scalar_assign(metric, X, prototypes)
            else:
                nearest = _nearest(self.pairwise(X, prototypes))
            assignment.bmu[rows], assignment.distance[rows] = nearest

        self._each_chunk(prototypes, work, self.chunk_rows if metric.assign is not None else None)
        return assignment

    def nearest_plainly(self, prototypes: Floats, k: int) -> tuple[Integers, Floats]:
        """Return the ``k`` nearest prototypes and their distances, from all distances."""
        neurons = np.zeros((self.n, k), dtype=np.int64)
        distances = np.empty((self.n, k))
        fill = self._distances(prototypes)

        def work(rows: slice) -> None:
            smallest(np.ascontiguousarray(fill(rows)), neurons[rows], distances[rows])

        self._each_chunk(prototypes, work)
        distances[:, len(prototypes) :] = distances[:, :1]  # fewer than k: repeat the first
        return neurons, distances

    def chunks(self, prototypes: Floats) -> Iterator[tuple[slice, Floats]]:
        """Yield (rows, distances (m, K)) over all samples, a bounded block at a time."""
        fill = self._distances(prototypes)
        for rows in self._chunk_slices(prototypes):
            yield rows, fill(rows)

    def sums_seen(self, bmu: NDArray[Any], n_neurons: int) -> tuple[Floats, Floats | None]:
        """Return the sums (K, D) by unit, and with gaps the weights (K, D) of observed values."""
        return sum_by_unit(self.X, self.weights, self.incomplete, bmu, n_neurons)

    def of_parts(self, units: Integers, find: Callable[[Any, Integers], Integers]) -> Integers:
        """Return ``find(samples, units)`` (n,), which may be called for parts of the samples."""
        return find(self, units)

    def _distances(self, prototypes: Floats) -> Callable[[slice], Floats]:
        # Return a function of rows that returns distances (m, K).
        if not self.is_euclidean:
            return lambda rows: self.pairwise(self.X[rows], prototypes)
        from dbgsom_core.engine import loops  # numba is slow to import

        columns = np.ascontiguousarray(prototypes.T, np.float64)

        def distances(rows: slice) -> Floats:
            X = np.ascontiguousarray(loops.writeable_view(self.X[rows]))
            out = np.empty((len(X), len(prototypes)))
            loops.fill_distances(X, columns, out)
            return out

        return distances

    def _chunk_slices(self, prototypes: Floats, size: int | None = None) -> list[slice]:
        most = max(1, _CHUNK_DISTANCES // len(prototypes))
        return pieces(self.n, size or min(most, self.chunk_rows))

    def _each_chunk(
        self, prototypes: Floats, work: Callable[[slice], None], size: int | None = None
    ) -> None:
        chunks = self._chunk_slices(prototypes, size)
        threads = 1 if self.n * prototypes.size < _SMALL_WORK else self.threads
        share(threads, len(chunks), lambda _, task: work(chunks[task]))

    # --------------------------------------------------------------------------- other samples

    def subset(self, rows: NDArray[Any] | slice) -> Any:
        """Return the samples of ``rows``."""
        return replace(self, X=self.X[rows], **self._entries(rows))

    def _entries(self, rows: NDArray[Any] | slice) -> dict[str, Any]:
        by_sample = {"weights": self.weights, "scatter": self.scatter, "codes": self.codes}
        return {
            name: None if values is None else values[rows] for name, values in by_sample.items()
        }

    def with_classes(self, codes: Integers | None, n_classes: int) -> Self:
        """Return the samples with classes ``codes`` (n,)."""
        return replace(self, codes=codes, n_classes=n_classes)

    def followed_by(self, X: Floats, weights: Floats, scatter: Floats) -> Self:
        """Return the samples with m prepared micro-clusters X (m, D) after them."""
        more = X.astype(self.X.dtype, copy=False)
        if isinstance(self.X, Partitions):
            both: Any = self.X.followed_by(more)
        elif issparse(self.X):
            both = vstack([self.X, csr_array(more)], format="csr")
        else:
            both = np.vstack([self.X, more])
        return replace(
            self,
            X=both,
            weights=np.concatenate([self.sample_weights, weights]),
            scatter=np.concatenate([np.zeros(self.n), scatter]),
        )

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        """Call ``use(rows, part)`` for samples ``size`` at a time, maybe in several threads."""
        parts = pieces(self.n, size)
        if len(parts) <= 1:
            use(slice(0, self.n), self)
            return
        single = replace(self, threads=1)
        share(self.threads, len(parts), lambda _, t: use(parts[t], single.subset(parts[t])))

    # ------------------------------------------------------------------- statistics, distances

    def check_varies(self) -> None:
        """Raise ValueError when no column varies, or squares leave the range of float64."""
        check_varies(self.X, *self.extremes())

    def extremes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the smallest and the largest observed value of each column, (D,)."""
        known = vars(self).get("summaries")
        if known is None:
            return extremes(self.X)
        return known.low.astype(self.X.dtype), known.high.astype(self.X.dtype)

    def groups(self, of: PerSample) -> list[Integers]:
        """Return the rows (ascending) of each unit that has samples, in the order of the units."""
        return groups(of.bmu)

    def lasting(self, prototypes: Floats, of: PerSample) -> PerSample:
        """Return a copy of the units and distances ``of`` a pass that outlives its search."""
        return Assignment(of.bmu, of.distance)

    def found(self, prototypes: Floats, of: Any) -> SearchResult:
        """Return the result of a pass whose units are known, with totals summed by sample.

        Only the number of ``prototypes`` matters, unless the result makes new prototypes.
        """
        return SearchResult(self, prototypes, of)

    def unit_distances(self, prototypes: Floats, units: Integers) -> Floats:
        """Return the distances (n,) to ``units`` (n,), in pieces of the rows.

        Where `is_euclidean`.
        """
        from dbgsom_core.engine import loops  # numba is slow to import

        distance = np.empty(self.n)
        for rows in pieces(self.n):
            X = loops.writeable_view(self.X[rows])
            bmu = units[rows].astype(np.int64, copy=False)
            loops.distances_to(X, prototypes, bmu, distance[rows])
        return distance

    def distances(self, prototypes: Floats) -> NDArray[np.floating[Any]]:
        """Return the distances (n, K), in the dtype of the samples."""
        out = np.empty((self.n, len(prototypes)), dtype=self.X.dtype)
        fill = self._distances(prototypes)

        def work(rows: slice) -> None:
            out[rows] = fill(rows)

        self._each_chunk(prototypes, work)
        return out

    def mixtures(
        self, prototypes: Floats, sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """Return the non-negative coefficients (n, K) of the nearest mixture of prototypes."""
        from dbgsom_core.engine.nnls import mixture_coefficients  # numba is slow to import

        out = None if sparse else np.zeros((self.n, len(prototypes)), dtype=self.X.dtype)
        blocks = []
        for rows in pieces(self.n, _CHUNK_NUMBERS // max(self.X.shape[1], 1)):
            X = self.subset(rows).completed(prototypes)
            block = mixture_coefficients(X, prototypes, self.threads).astype(self.X.dtype)
            if out is None:
                blocks.append(block)
            else:
                block.toarray(out=out[rows])
        return vstack(blocks, format="csr") if out is None else out

    def completed(self, prototypes: Floats) -> NDArray[np.floating[Any]]:
        """Return the samples (n, D), missing values filled from the nearest prototype."""
        X: NDArray[Any] = self.X.toarray() if issparse(self.X) else self.X.copy()
        if self.incomplete:
            rows, columns = np.nonzero(np.isnan(X))
            X[rows, columns] = prototypes[self.assign(prototypes).bmu[rows], columns]
        return X


def has_missing(X: NDArray[Any]) -> bool:
    """Return whether a dense array holds nan."""
    # A sum is nan where an entry is: usually no array of flags is needed.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(np.sum(X)) and np.isnan(X).any())


# ------------------------------------------------------------- metrics written for one pair

_compiling = Lock()  # numba must not compile in two threads


def scalar_assign(
    metric: Any, X: NDArray[Any], prototypes: NDArray[Any]
) -> tuple[Integers, Floats]:
    """Return (bmu (m,), distance (m,)) by ``metric.scalar``; TypeError where it is not compiled."""
    return _nearest(scalar_pairwise(metric, X, prototypes))


def _nearest(distances: Floats) -> tuple[Integers, Floats]:
    bmu = distances.argmin(axis=1)
    return bmu, distances[np.arange(len(bmu)), bmu]


def scalar_pairwise(metric: Any, X: NDArray[Any], prototypes: NDArray[Any]) -> Floats:
    """Return the distances (m, K) by ``metric.scalar``; TypeError where it is not compiled."""

    def pairwise(metric: Any, X: NDArray[Any], prototypes: NDArray[Any]) -> Floats:
        distances = np.empty((len(X), len(prototypes)))
        # Writeable, so that the loop is compiled for one array type only.
        given = (X, prototypes, metric.scalar_params())
        arrays = (np.require(a, np.float64, ["C", "W"]) for a in given)
        with _compiling:
            fill = _compile(metric.scalar)
        fill(*arrays, distances)
        return distances

    distances: Floats = metric._call_loop(pairwise, metric, X, prototypes)
    return distances


@lru_cache(maxsize=64)
def _compile(scalar: Any) -> Callable[..., None]:
    # Compiled in each process: numba's cache misses changes of the metric's function.
    from numba import njit, types  # slow to import
    from numba.extending import is_jitted

    if not is_jitted(scalar):
        raise TypeError(f"{scalar!r} is not compiled with numba")
    rows = types.float64[:, ::1]
    numbers = types.float64[::1]

    def fill_distances(X: Any, prototypes: Any, params: Any, out: Any) -> None:
        for i in range(X.shape[0]):
            for j in range(prototypes.shape[0]):
                out[i, j] = scalar(X[i], prototypes[j], params)

    compiled: Callable[..., None] = njit(
        [types.void(rows, rows, numbers, rows)], nogil=True, error_model="numpy"
    )(fill_distances)
    return compiled


@loop
def smallest(block: Floats, columns: Integers, values: Floats) -> None:
    """Fill ``columns`` and ``values`` (m, k) with the k smallest of each row of block (m, K).

    They are ascending, ties by column; k is at most K.
    """
    k = columns.shape[1]
    for i in range(block.shape[0]):
        row = block[i]
        column = columns[i]
        least = values[i]
        limit = np.inf  # of those that may enter once there are k
        for j in range(row.size):
            value = row[j]
            if j < k or value < limit:
                rank = min(j, k - 1)
                while rank > 0 and value < least[rank - 1]:
                    least[rank] = least[rank - 1]
                    column[rank] = column[rank - 1]
                    rank -= 1
                least[rank] = value
                column[rank] = j
                if j >= k - 1:
                    limit = least[k - 1]
