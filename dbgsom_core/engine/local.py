"""How passes over samples in memory run: by the fast search where it serves, or plainly."""

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
    Found,
    MapGraph,
    Moments,
    PerSample,
    Rows,
    Search,
)
from dbgsom_core.engine.found import PlainFound
from dbgsom_core.engine.majorities import robust_weights
from dbgsom_core.engine.moments import check_varies, extremes, moments_of, principal_axes
from dbgsom_core.engine.per_sample import groups, unlinked
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.workers import share

if TYPE_CHECKING:
    from dbgsom_core.engine.euclidean.packing import PackedSamples

PACKING_PAYS = 1 << 15  # numbers in the data from which a packed copy pays for a training
_CHUNK_NUMBERS = 1 << 22  # numbers of dense samples that are made at a time
_FAST_PAYS_ONCE = 1 << 24  # multiplications from which one fast search does


@dataclass(frozen=True)
class LocalSamples(PlainSamples):
    """`Samples` in memory that are compared with prototypes again and again, as fast as may be."""

    moments = moments_of
    principal_axes = principal_axes

    @property
    def _may_search_fast(self) -> bool:
        # As far as one can tell without a look at the values: none may be missing.
        return (
            self.metric.is_euclidean
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
        if self.X.size < PACKING_PAYS or not self._may_search_fast or self.incomplete:
            return None
        from dbgsom_core.engine.euclidean.packing import PackedSamples

        room = self.working_memory
        if room is not None and PackedSamples.bytes_for(self.X) > room:
            return None
        return PackedSamples.of(self.X, self.threads)

    def with_classes(self, codes: NDArray[np.int64] | None, n_classes: int) -> Self:
        """See `Samples`."""
        return replace(self, codes=codes, n_classes=n_classes)

    def followed_by(
        self, X: NDArray[np.float64], weights: NDArray[np.float64], scatter: NDArray[np.float64]
    ) -> Self:
        """See `Samples`."""
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

    def check_varies(self, moments: Moments | None = None) -> None:
        """See `Samples`."""
        check_varies(self.X, moments if self.weights is None else None)

    def extremes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """See `Samples`."""
        return extremes(self.X)

    def robust(self, gamma: float | None) -> tuple[Self, float]:
        """See `Samples`."""
        weights, gamma = robust_weights(self, gamma)
        return replace(self, weights=weights), gamma

    def groups(self, of: PerSample) -> list[Rows]:
        """See `Samples`."""
        return groups(of.bmu)

    def in_parts(self, size: int, use: Callable[[slice, Any], None]) -> None:
        """See `Samples`: each part has a thread of its own."""
        parts = [slice(start, start + size) for start in range(0, self.n, size)]
        if len(parts) <= 1:
            use(slice(0, self.n), self)
            return
        alone = replace(self, threads=1)
        share(self.threads, len(parts), lambda _, task: use(parts[task], alone.subset(parts[task])))

    def offsets(
        self, prototypes: NDArray[np.float64], units: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Samples`."""
        from dbgsom_core.engine.won_squares import offsets  # numba is slow to import

        return offsets(self, prototypes, units)

    def distances(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """See `Samples`."""
        out = np.empty((self.n, len(prototypes)), dtype=self.X.dtype)

        def keep(rows: slice, block: NDArray[np.float64]) -> None:
            if block.base is not out:
                out[rows] = block

        self.each_block(prototypes, keep, out if out.dtype == np.float64 else None)
        return out

    def mixtures(
        self, prototypes: NDArray[np.float64], sparse: bool = False
    ) -> NDArray[np.floating[Any]] | csr_array:
        """See `Samples`."""
        from dbgsom_core.engine.nnls import mixture_coefficients  # numba is slow to import

        out = None if sparse else np.zeros((self.n, len(prototypes)), dtype=self.X.dtype)
        size, parts = max(1, _CHUNK_NUMBERS // max(self.X.shape[1], 1)), []
        for start in range(0, self.n, size):
            part = self.subset(slice(start, start + size))
            dense = part.X
            if issparse(part.X) or self.incomplete:
                dense = part.completed(prototypes)
            found = mixture_coefficients(dense, prototypes, self.threads).astype(self.X.dtype)
            if out is None:
                parts.append(found)
            else:
                found.toarray(out=out[start : start + size])
        return vstack(parts, format="csr") if out is None else out

    def completed(self, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
        """See `Samples`; without missing values that is a copy."""
        X: NDArray[Any] = self.X.toarray() if issparse(self.X) else self.X.copy()
        if self.incomplete:
            rows, columns = np.nonzero(np.isnan(X))
            X[rows, columns] = prototypes[self.assign(prototypes).bmu[rows], columns]
        return X

    def search(self) -> Search:
        """Return a search that is fast over the epochs of a training."""
        if self.packed is None:
            return PlainSearch(self)
        from dbgsom_core.engine.euclidean.search import FastSearch

        fast = FastSearch(self, self.packed)
        return fast if self.weights is None else PlainSearch(self, fast)

    def lasting(self, prototypes: NDArray[np.float64], of: PerSample) -> PerSample:
        """See `Samples`."""
        return Assignment(of.bmu, of.distance)

    def found(self, prototypes: NDArray[np.float64], of: PerSample) -> PlainFound:
        """Return what was found with its totals added up sample by sample."""
        return PlainFound(self, prototypes, of)

    def _nearest_fast(
        self, prototypes: NDArray[np.float64], places: int
    ) -> NDArray[np.int64] | None:
        # The nearest units (n, places) by a fast search, or None where it does not serve.
        pays = self.n * prototypes.size >= _FAST_PAYS_ONCE and len(prototypes) > 1
        if not pays or not self._may_search_fast:
            return None
        from dbgsom_core.engine.euclidean.one_shot import nearest_units

        return nearest_units(self, prototypes, places)

    def assign(self, prototypes: NDArray[np.float64]) -> PerSample:
        """See `Samples`."""
        found = self._nearest_fast(prototypes, 1)
        if found is None:
            return self.assign_plainly(prototypes)
        from dbgsom_core.engine.euclidean.one_shot import FoundOnce

        return FoundOnce(self, prototypes, found[:, 0])

    def admit(
        self, assignment: PerSample, prototypes: NDArray[np.float64], known: int
    ) -> PerSample:
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

    def nearest_units(
        self, prototypes: NDArray[np.float64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
        """See `Samples`; distances are None where they were not needed to find the units."""
        found = self._nearest_fast(prototypes, k) if k <= 2 else None
        if found is not None:
            return found, None
        return self.nearest_plainly(prototypes, k)

    def root_mean_square_distance(self, point: NDArray[np.float64]) -> float:
        """See `Samples`."""
        squares = np.square(self.assign(point).distance)
        return float(np.sqrt(np.average(squares, weights=self.weights)))

    def total_distance(self, point: NDArray[np.float64]) -> float:
        """See `Samples`."""
        return float(self.assign(point).distance @ self.sample_weights)

    def distances_to(
        self,
        prototypes: NDArray[np.float64],
        units: NDArray[np.int64],
        among: slice | None = None,
    ) -> NDArray[np.float64]:
        """See `Samples`; for dense, complete samples of Euclidean geometry."""
        from dbgsom_core.engine.euclidean.one_shot import distances_to

        X = self.X if among is None else self.X[among]
        return distances_to(X, prototypes, units, self.threads)


@dataclass
class PlainSearch:
    """A search whose totals are added up sample by sample, for any metric and any weights.

    It finds units by a ``fast`` one, or anew in each epoch.
    """

    data: LocalSamples
    fast: Search | None = None
    _before: NDArray[np.int64] | None = None

    def assign(self, prototypes: NDArray[np.float64], positions: NDArray[np.int64]) -> Found:
        """See `Search`."""
        if self.fast is None:
            return self._found(prototypes, self.data.assign(prototypes))
        return self._exactly(prototypes, self.fast.assign(prototypes, positions))

    def admit(
        self,
        found: Found,
        prototypes: NDArray[np.float64],
        positions: NDArray[np.int64],
        known: int,
    ) -> Found:
        """See `Search`."""
        if known == len(prototypes):
            return found
        if self.fast is None:
            return self._found(prototypes, self.data.admit(found, prototypes, known))
        return self._exactly(prototypes, self.fast.admit(found, prototypes, positions, known))

    def unlinked(self, prototypes: NDArray[np.float64], graph: MapGraph) -> NDArray[np.bool_]:
        """See `Search`."""
        if self.fast is not None:
            return self.fast.unlinked(prototypes, graph)
        if len(prototypes) == 1:
            return np.zeros(self.data.n, dtype=bool)
        return unlinked(self.data.nearest_units(prototypes, 2)[0], graph)

    def remembered(self) -> None:
        """See `Search`: units and totals are those of the definition."""

    def remember(self, value: None) -> None:
        """See `Search`."""

    def _found(self, prototypes: NDArray[np.float64], of: PerSample) -> Found:
        moved = 1.0 if self._before is None else float(np.mean(self._before != of.bmu))
        self._before = of.bmu
        return replace(self.data.found(prototypes, of), moved=moved)

    def _exactly(self, prototypes: NDArray[np.float64], fast: Found) -> Found:
        return replace(self.data.found(prototypes, fast), moved=fast.moved)
