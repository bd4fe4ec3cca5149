"""Samples in memory: what any engine's answer by default, and those that are searched fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, vstack

from dbgsom_core.engine.contract import (
    Assignment,
    Flags,
    Floats,
    Found,
    Integers,
    MapGraph,
    Moments,
    PerSample,
    Rows,
    Search,
)
from dbgsom_core.engine.found import PlainResult
from dbgsom_core.engine.majorities import robust_weights
from dbgsom_core.engine.moments import check_varies, extremes, moments_of, principal_axes
from dbgsom_core.engine.per_sample import groups, plainly_unlinked
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.workers import available_threads, share

if TYPE_CHECKING:
    from dbgsom_core.engine.euclidean.packing import Frame, PackedSamples

PACKING_PAYS = 1 << 15  # numbers in the data from which a packed copy pays for a training
_CHUNK_NUMBERS = 1 << 22  # numbers of dense samples that are made at a time
_TASKS = 32  # shares of the rows whose distances are wanted, at most
_TASK_NUMBERS = 1 << 18  # numbers in the samples of one, about: to wake a thread takes a while
_FAST_PAYS_ONCE = 1 << 24  # multiplications from which one fast search does


@dataclass(frozen=True)
class Samples(PlainSamples):
    """Samples that an engine holds: n of them, prepared by the metric, as training asks of them.

    Everything is there by default, from ``X`` in the memory of this process. An engine that is
    faster derives from it, and overrides `assign`, the pass, and `quantised_sums`, what neurons
    won: maps then have the bits of the built-in engine's. Prototypes are float64 (K, D).

    Attributes
    ----------
    X : float array or CSR matrix (n, D)
        Dense, nan where a value is missing, or sparse.
    metric : MetricAbilities
        The metric's methods.
    threads : int
        That a pass may use.
    chunk_rows : int
        Rows that one task compares at a time.
    weights : float64 array (n,) or None
        The samples' weights.
    scatter : float64 array (n,) or None
        Where a sample stands for several, their mean distance to it.
    codes : int64 array (n,) or None
        The classes, 0 to ``n_classes`` - 1, negative for none.
    n_classes : int
        How many classes there are.
    working_memory : int or None
        Bytes that a search may take; None: what is usual.
    """

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
        """Return samples X (n, D) as users give them: the metric prepares them.

        Without ``threads`` they are as many as this process may use; ``given`` are other fields.
        """
        prepared = metric.prepared(X if issparse(X) else np.asarray(X))
        if not issparse(prepared):
            # A view, so that what a metric remembers of these samples ends with the pass.
            prepared = np.ascontiguousarray(prepared).view()
            metric.check_geometry(prepared)
        threads = threads or available_threads()
        return cls(prepared, metric, threads, weights=weights, **given)

    # ------------------------------------------------------------------- what engines override

    def assign(self, prototypes: Floats) -> PerSample:
        """Find the nearest prototype of every sample, ties to the lowest row."""
        return self.assign_plainly(prototypes)

    def nearest_units(self, prototypes: Floats, k: int) -> tuple[Integers, Floats | None]:
        """Return the ``k`` nearest prototypes (n, k) of each sample, ties to lower rows.

        And their distances (n, k), or None where `distances_to` is to be asked.
        """
        return self.nearest_plainly(prototypes, k)

    def quantised_sums(self, units: Integers, n_units: int) -> Floats:
        """Return the sums (K, D) of the `quantised` numbers of what ``units`` (n,) won.

        They are the same bits in any order. Only asked for where there is a `quantisation`.
        """
        sums = np.zeros((n_units, self.X.shape[1]))
        for rows in self._chunks():
            np.add.at(sums, units[rows], self.quantised(rows))
        return sums

    def search(self) -> Search:
        """Return a search for the epochs of one training."""
        if self.quantisation is None or self.weights is not None:
            return PlainSearch(self)
        from dbgsom_core.engine.partitioned_search import Part, PartitionedSearch, Parts

        return PartitionedSearch(self, self.quantisation, Parts([Part(self)]))

    # ----------------------------------------------------------------- what they may make use of

    @property
    def _may_be_packed(self) -> bool:
        # As far as one can tell without a look at the values: none may be missing.
        return (
            self.metric.is_euclidean
            and not issparse(self.X)
            and self.X.dtype in (np.dtype(np.float32), np.dtype(np.float64))
            and self.X.flags.c_contiguous  # rows are packed by their addresses
            and self.n < 2**31
        )

    @cached_property
    def quantisation(self) -> Frame | None:
        """How numbers are rounded so that float64 sums of all samples are exact.

        It has a ``centre`` (D,), a ``scale`` and a ``grid``, powers of two; see `quantised`. None:
        the metric is not of Euclidean geometry, values are missing, or the samples are few, and
        sums are added up plainly.
        """
        if self.X.size < PACKING_PAYS or not self._may_be_packed or self.incomplete:
            return None
        from dbgsom_core.engine.euclidean.packing import frame_of

        return frame_of(self.X, self.threads)

    def quantised(self, rows: slice = slice(None)) -> Floats:
        """Return (x - centre)*scale of some samples (m, D), rounded to multiples of the grid."""
        frame, X = self.quantisation, self.X[rows]
        assert frame is not None
        numbers = np.rint((X - frame.centre) * (frame.scale / frame.grid)) * frame.grid
        return np.asarray(numbers.astype(X.dtype), np.float64)

    def distances_to(
        self, prototypes: Floats, units: Integers, among: slice | None = None
    ) -> Floats:
        """Return the distance of each sample to the prototype in its entry of ``units`` (n,).

        Or of the rows ``among`` the samples whose ``units`` (m,) these are. For dense, complete
        samples of Euclidean geometry.
        """
        from dbgsom_core.engine import loops
        from dbgsom_core.engine.rows import for_loops  # numba is slow to import

        X = for_loops(self.X if among is None else self.X[among])
        n, out = len(X), np.empty(len(X))
        tasks = min(_TASKS, n, X.size // _TASK_NUMBERS + 1)

        def work(worker: int, task: int) -> None:
            rows = slice(n * task // tasks, n * (task + 1) // tasks)
            loops.distances_to(X[rows], prototypes, units[rows], out[rows])

        share(self.threads, tasks, work)
        return out

    def _chunks(self) -> list[slice]:
        size = max(1, _CHUNK_NUMBERS // max(self.X.shape[1], 1))
        return [slice(start, min(start + size, self.n)) for start in range(0, self.n, size)]

    # --------------------------------------------------------------------------- other samples

    def with_classes(self, codes: Integers | None, n_classes: int) -> Self:
        """Return the same with classes ``codes`` (n,)."""
        return replace(self, codes=codes, n_classes=n_classes)

    def followed_by(self, X: Floats, weights: Floats, scatter: Floats) -> Self:
        """Return the same with m more samples, prepared, each of which stands for several."""
        more = X.astype(self.X.dtype, copy=False)
        if issparse(self.X):
            both = vstack([self.X, csr_array(more)], format="csr")
        else:
            both = np.vstack([self.X, more])
        return replace(
            self,
            X=both,
            weights=np.concatenate([self.sample_weights, weights]),
            scatter=np.concatenate([np.zeros(self.n), scatter]),
        )

    def robust(self, gamma: float | None) -> tuple[Self, float]:
        """Return the same with outliers weighed down, and γ: ``gamma``, or one that suits."""
        weights, gamma = robust_weights(self, gamma)
        return replace(self, weights=weights), gamma

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        """Do ``use(rows, part)`` for samples ``size`` at a time, perhaps from several threads."""
        parts = [slice(start, start + size) for start in range(0, self.n, size)]
        if len(parts) <= 1:
            use(slice(0, self.n), self)
            return
        alone = replace(self, threads=1)
        share(self.threads, len(parts), lambda _, task: use(parts[task], alone.subset(parts[task])))

    # ------------------------------------------------------------------------------- answers

    def check_varies(self, moments: Moments | None = None) -> None:
        """Raise ValueError when no column varies, or squares leave the range of float64."""
        check_varies(self.X, moments if self.weights is None else None)

    def extremes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the smallest and the largest observed value of each column, (D,)."""
        return extremes(self.X)

    def root_mean_square_distance(self, point: Floats) -> float:
        """Return the root of the (weighted) mean squared distance to one point (1, D)."""
        squares = np.square(self.assign(point).distance)
        return float(np.sqrt(np.average(squares, weights=self.weights)))

    def total_distance(self, point: Floats) -> float:
        """Return the (weighted) sum of the distances to one point (1, D)."""
        return float(self.assign(point).distance @ self.sample_weights)

    def groups(self, of: PerSample) -> list[Rows]:
        """Return the samples of each unit that won some, ascending, in the order of the units."""
        return groups(of.bmu)

    def lasting(self, prototypes: Floats, of: PerSample) -> PerSample:
        """Return units and distances ``of`` a pass so that they outlive its search."""
        return Assignment(of.bmu, of.distance)

    def found(self, prototypes: Floats, of: PerSample) -> PlainResult:
        """Return totals of what units won that are known already, added up sample by sample.

        Of the ``prototypes`` their number counts alone, unless the result is asked for new ones.
        """
        return PlainResult(self, prototypes, of)

    def offsets(self, prototypes: Floats, units: Integers) -> tuple[Floats, Floats]:
        """Return the distances (n,) to ``units`` (n,), and Σ(x - w) of each unit's samples (K, D).

        Where `is_euclidean`.
        """
        from dbgsom_core.engine.won_squares import offsets  # numba is slow to import

        return offsets(self, prototypes, units)

    def distances(self, prototypes: Floats) -> NDArray[np.floating[Any]]:
        """Return the distances (n, K), in the dtype of the samples."""
        out = np.empty((self.n, len(prototypes)), dtype=self.X.dtype)

        def keep(rows: slice, block: Floats) -> None:
            if block.base is not out:
                out[rows] = block

        self.each_block(prototypes, keep, out if out.dtype == np.float64 else None)
        return out

    def mixtures(
        self, prototypes: Floats, sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """Return what to mix of the prototypes to get nearest to each sample, (n, K)."""
        from dbgsom_core.engine.nnls import mixture_coefficients  # numba is slow to import

        out = None if sparse else np.zeros((self.n, len(prototypes)), dtype=self.X.dtype)
        parts = []
        for rows in self._chunks():
            part = self.subset(rows)
            dense = part.X
            if issparse(part.X) or self.incomplete:
                dense = part.completed(prototypes)
            found = mixture_coefficients(dense, prototypes, self.threads).astype(self.X.dtype)
            if out is None:
                parts.append(found)
            else:
                found.toarray(out=out[rows])
        return vstack(parts, format="csr") if out is None else out

    def completed(self, prototypes: Floats) -> NDArray[np.floating[Any]]:
        """Return the samples (n, D) with the nearest prototype's value where one is missing."""
        X: NDArray[Any] = self.X.toarray() if issparse(self.X) else self.X.copy()
        if self.incomplete:
            rows, columns = np.nonzero(np.isnan(X))
            X[rows, columns] = prototypes[self.assign(prototypes).bmu[rows], columns]
        return X


@dataclass(frozen=True)
class UnitsFound:
    """Best-matching units ``bmu`` (n,); their distances are made when asked for."""

    data: Samples
    prototypes: Floats
    bmu: Integers

    @cached_property
    def distance(self) -> Floats:
        """The distance of each sample to its unit by definition, float64 (n,)."""
        return self.data.distances_to(self.prototypes, self.bmu)


class LocalSamples(Samples):
    """`Samples` that are searched as fast as this process can."""

    @cached_property
    def packed(self) -> PackedSamples | None:
        """The samples as the fast search wants them, or None where it cannot serve.

        It serves metrics of Euclidean ``geometry``, if there is memory for the copy; made when
        first used.
        """
        frame, room = self.quantisation, self.working_memory
        if frame is None:
            return None
        from dbgsom_core.engine.euclidean.packing import PackedSamples

        if room is not None and PackedSamples.bytes_for(self.X) > room:
            return None
        return PackedSamples.of(self.X, self.threads, frame)

    def search(self) -> Search:
        """See `Samples`."""
        if self.packed is None:
            return PlainSearch(self)
        from dbgsom_core.engine.euclidean.search import FastSearch

        fast = FastSearch(self, self.packed)
        return fast if self.weights is None else PlainSearch(self, fast)

    def assign(self, prototypes: Floats) -> PerSample:
        """See `Samples`."""
        found = self._nearest_fast(prototypes, 1)
        if found is None:
            return self.assign_plainly(prototypes)
        return UnitsFound(self, prototypes, found[:, 0])

    def nearest_units(self, prototypes: Floats, k: int) -> tuple[Integers, Floats | None]:
        """See `Samples`; distances are None where they were not needed to find the units."""
        found = self._nearest_fast(prototypes, k) if k <= 2 else None
        return self.nearest_plainly(prototypes, k) if found is None else (found, None)

    def _nearest_fast(self, prototypes: Floats, places: int) -> Integers | None:
        # The nearest units (n, places) by a fast search, or None where it does not serve.
        pays = self.n * prototypes.size >= _FAST_PAYS_ONCE and len(prototypes) > 1
        if not pays or not self._may_be_packed:
            return None
        from dbgsom_core.engine.euclidean.search import nearest_units

        return nearest_units(self, prototypes, places)


@dataclass
class PlainSearch:
    """A search whose totals are added up sample by sample, for any metric and any weights.

    It finds units by a ``fast`` one, or anew in each epoch.
    """

    data: Samples
    fast: Search | None = None
    _before: Integers | None = None

    def assign(self, prototypes: Floats, positions: Integers) -> Found:
        """See `Search`."""
        if self.fast is not None:
            return self._found(prototypes, self.fast.assign(prototypes, positions))
        return self._found(prototypes, self.data.assign(prototypes))

    def admit(self, found: Found, prototypes: Floats, positions: Integers, known: int) -> Found:
        """See `Search`; only newcomers are compared."""
        if known == len(prototypes):
            return found
        if self.fast is not None:
            return self._found(prototypes, self.fast.admit(found, prototypes, positions, known))
        new = self.data.assign(prototypes[known:])
        nearer = new.distance < found.distance
        bmu = np.where(nearer, new.bmu + known, found.bmu)
        return self._found(
            prototypes, Assignment(bmu, np.where(nearer, new.distance, found.distance))
        )

    def unlinked(self, prototypes: Floats, graph: MapGraph) -> Flags:
        """See `Search`."""
        if self.fast is not None:
            return self.fast.unlinked(prototypes, graph)
        return plainly_unlinked(self.data, prototypes, graph)

    def _found(self, prototypes: Floats, of: Any) -> Found:
        moved = getattr(of, "moved", None)
        if moved is None:
            moved = 1.0 if self._before is None else float(np.mean(self._before != of.bmu))
            self._before = of.bmu
        return replace(self.data.found(prototypes, of), moved=moved)
