"""Distances that compare feature by feature: the Minkowski family and Canberra."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import MetricComponent, available_threads, share

_NUMBERS = 1 << 15  # distances held at once while units are sought: they stay in cache
_SPARSE_NUMBERS = 1 << 18  # the same of sparse samples, whose blocks cost more each
_UNIT = 2.0**-53
_EXPANDABLE = 1e-3  # of ‖x‖² + ‖w‖²: below, the expanded square has lost too many digits
_LEAST_ROWS = 64  # a call of some loops has more to set up than a sample costs


class FeatureMetric(MetricComponent):
    """Base of metrics whose loop is ``pairwise_NAME`` in `loops`.

    Those that ``handle`` sparse samples have `sparse`.
    """

    loop: ClassVar[str]

    def assign(
        self, X: Any, prototypes: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D)."""
        n, n_neurons = X.shape[0], len(prototypes)
        bmu, distance = np.empty(n, dtype=np.int64), np.empty(n)
        smallest = _loops().first_smallest_rows
        if not isinstance(X, np.ndarray):
            for start in range(0, n, size := max(_LEAST_ROWS, _SPARSE_NUMBERS // n_neurons)):
                rows = slice(start, start + size)
                smallest(self.sparse(X[rows], prototypes), bmu[rows], distance[rows])
            return bmu, distance
        fill = self._dense(prototypes)
        size = max(_LEAST_ROWS, _NUMBERS // n_neurons)
        distances = _aligned(min(n, size), n_neurons)
        for start in range(0, n, size):
            rows = slice(start, start + size)
            found = distances[: n - start]
            fill(X[rows], found)
            smallest(found, bmu[rows], distance[rows])
        return bmu, distance

    def pairwise(self, X: Any, prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of samples X (m, D) to prototypes (K, D)."""
        if not isinstance(X, np.ndarray):
            return self.sparse(X, prototypes)
        distances = _aligned(X.shape[0], len(prototypes))
        self._dense(prototypes)(X, distances)
        return distances

    def sparse(self, X: Any, prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of a CSR matrix X (m, D) to prototypes (K, D)."""
        raise NotImplementedError

    def _loop(self) -> tuple[str, tuple[float, ...]]:
        # The name of the loop, and what it gets besides samples and prototypes.
        return self.loop, ()

    def _dense(self, prototypes: NDArray[Any]) -> Callable[[NDArray[Any], NDArray[Any]], None]:
        # What fills distances (m, K) for dense samples (m, D).
        name, more = self._loop()
        loop = getattr(_loops(), f"pairwise_{name}")
        transposed = _aligned(*prototypes.T.shape)
        transposed[:] = prototypes.T

        def fill(X: NDArray[Any], out: NDArray[Any]) -> None:
            # Writeable, so that the loop is compiled for one kind of array only.
            loop(np.require(X, np.float64, ["C", "W"]), transposed, *more, out)

        return fill


def _aligned(rows: int, columns: int) -> NDArray[np.float64]:
    # Begins a line of the cache, so that no vector lies across two: a third less time.
    numbers = np.empty(rows * columns + 8)
    start = -numbers.ctypes.data % 64 // 8
    return numbers[start : start + rows * columns].reshape(rows, columns)


def _loops() -> Any:
    return import_module("dbgsom_plugins.metrics.loops")  # numba: only when used


_REMEMBERED = 1 << 27  # entries of X up to which the order of the samples is kept between epochs
_SMALL_WORK = 1 << 15  # entries of X below which threads cost more than they save

Form = Callable[..., NDArray[np.float64]]


class MedianMetric(FeatureMetric):
    """Base of metrics whose prototypes are medians, or means where that is wished for.

    While the kernel is wide they are means: wide medians of data with few distinct values are all
    alike, and what is alike never parts again.
    """

    forms_below: ClassVar[float] = 0.25
    prototype: Literal["median", "mean"] = Field(
        default="median", description="what a prototype is of the samples, weighted by the kernel"
    )

    @property
    def form(self) -> Form | None:
        """How prototypes are formed, see `weighted_median`; None for means."""
        return weighted_median if self.prototype == "median" else None


def weighted_median(
    X: NDArray[Any],
    units: NDArray[np.int64],
    influence: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
    so_far: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return for each neuron and feature the exact weighted median, float64 (K, D).

    It minimises Σ_i weights[i]*influence[units[i], j]*|x_i - w_j|; where one half of the weight
    lies on either side of a gap it is the middle of the gap. The bits do not depend on the threads.
    The order of the samples, n*D int32, is kept while X lives and n*D is at most 2**27.

    Parameters
    ----------
    X : float array (n, D)
        nan is missing and counts nothing.
    units : int64 array (n,)
        The group of each sample.
    influence : float64 array (G, K)
        What the samples of a group weigh in each neuron.
    weights : float64 array (n,) or None
    so_far : float64 array (K, D)
        Kept where nothing reaches a neuron.
    """
    loops = _loops()
    orders: list[NDArray[Any] | None] = [None] * X.shape[1]
    for known, kept in tuple(_latest):
        orders = list(kept) if known() is X else orders
    medians = np.array(so_far, dtype=np.float64)
    units = np.ascontiguousarray(units, dtype=np.int64)
    influence = np.ascontiguousarray(influence, dtype=np.float64)
    own = np.empty(0) if weights is None else np.ascontiguousarray(weights, dtype=np.float64)
    # As many samples in a block as blocks cost: one pass over the groups for each of them.
    size = max(32, int(np.sqrt(len(X) * len(influence))))

    def work(worker: int, feature: int) -> None:
        order = orders[feature]
        if order is None or not loops.is_sorted(X, feature, order):  # or X was written to
            order = np.argsort(X[:, feature], kind="stable")
            order = orders[feature] = order.astype(np.int32 if len(X) < 2**31 else np.int64)
        loops.weighted_medians(X, feature, order, units, own, influence, size, medians)

    share(1 if X.size < _SMALL_WORK else available_threads(), X.shape[1], work)
    if X.size <= _REMEMBERED:  # of the latest samples alone, and no longer than they are held
        _latest[:] = [(weakref.ref(X, lambda _: _latest.clear()), orders)]
    return medians


_latest: list[tuple[Any, list[NDArray[Any] | None]]] = []


class Euclidean(FeatureMetric):
    """Euclidean distance, the square root of the sum of squared differences.

    Missing values (nan) are left out, and the sum over the rest is scaled by D/observed. Sparse
    samples stay sparse.
    """

    loop: ClassVar[str] = "euclidean"
    geometry: ClassVar[str] = "euclidean"
    handles: ClassVar[tuple[str, ...]] = ("missing", "sparse")

    def sparse(self, X: Any, prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of a CSR matrix X (m, D) to prototypes (K, D).

        By ‖x‖² - 2 x·w + ‖w‖², and as of dense samples where that has lost too many digits, or does
        not tell which prototype is nearest.
        """
        W = np.ascontiguousarray(prototypes, dtype=np.float64)
        X = X.astype(np.float64, copy=False)
        row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        norm = np.bincount(row, np.square(X.data), X.shape[0])[:, None]
        norms = np.einsum("ij,ij->i", W, W)
        found = np.asarray(norm - 2.0 * (X @ W.T) + norms)
        # An upper bound on twice the error of an expanded square and of the definition's.
        slack = 4.0 * _UNIT * (W.shape[1] + 8.0) * (norm + norms.max())
        direct = found <= found.min(axis=1, keepdims=True) + slack
        direct &= direct.sum(axis=1, keepdims=True) > 1
        direct |= found < _EXPANDABLE * (norm + norms)
        np.sqrt(np.maximum(found, 0.0), out=found)
        rows, fill = np.flatnonzero(direct.any(axis=1)), self._dense(W)
        for start in range(0, len(rows), size := max(1, _SPARSE_NUMBERS // W.shape[1])):
            part = rows[start : start + size]
            exact = _aligned(len(part), len(W))
            fill(X[part].toarray(), exact)
            found[part] = np.where(direct[part], exact, found[part])
        return found


class Manhattan(MedianMetric):
    """Manhattan (city-block) distance, the sum of absolute differences.

    Prototypes are the exact kernel-weighted medians of each feature, which minimise the weighted
    sum of distances, once linked neighbours weigh at most a quarter of a neuron's own samples;
    until then they are means. ``prototype: mean`` takes means throughout, which is faster. Features
    that are missing are left out and the sum is scaled by features/observed.
    """

    loop: ClassVar[str] = "manhattan"
    handles: ClassVar[tuple[str, ...]] = ("missing",)


class Chebyshev(FeatureMetric):
    """Chebyshev distance, the largest absolute difference of a feature.

    Prototypes are kernel-weighted means: what minimises the summed distance has no closed form, and
    the middle of the range, which minimises the largest one, hangs on single samples. A missing
    value is left out: the distance is the largest difference of what is observed.
    """

    loop: ClassVar[str] = "chebyshev"
    handles: ClassVar[tuple[str, ...]] = ("missing",)


class Minkowski(FeatureMetric):
    """Minkowski distance (sum of |x - w|**p)**(1/p), from Manhattan to nearly Chebyshev.

    No power overflows, so a large ``p`` gives the Chebyshev distance. Prototypes are
    kernel-weighted means, which minimise the summed squares at p = 2 and stand in for the
    minimiser, which has no closed form, elsewhere; for medians at p = 1 use `manhattan`. Features
    that are missing are left out and the sum is scaled by features/observed.
    """

    handles: ClassVar[tuple[str, ...]] = ("missing",)

    p: float = Field(
        default=3.0,
        ge=1,
        allow_inf_nan=False,
        description="power; 1 is manhattan, 2 euclidean, chebyshev the limit",
    )

    @property
    def geometry(self) -> str | None:
        """``"euclidean"`` at p = 2, where the distance is just that."""
        return "euclidean" if self.p == 2 else None

    def _loop(self) -> tuple[str, tuple[float, ...]]:
        exact = {1.0: "manhattan", 2.0: "euclidean"}.get(self.p)
        return ("minkowski", (self.p,)) if exact is None else (exact, ())


class Canberra(MedianMetric):
    """Canberra distance, the sum of |x - w|/(|x| + |w|), where 0/0 counts as 0.

    Prototypes are kernel-weighted medians of each feature. For values of one sign a term is
    tanh(|ln x - ln w|/2), so medians minimise the summed distance of samples that lie near each
    other, and come near to it otherwise; ``prototype: mean`` takes means. Features that are missing
    are left out and the sum is scaled by features/observed.
    """

    loop: ClassVar[str] = "canberra"
    handles: ClassVar[tuple[str, ...]] = ("missing",)
