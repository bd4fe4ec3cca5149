"""Distances that compare feature by feature: the Minkowski family, Canberra, Mahalanobis."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import MetricComponent, available_threads, share

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NUMBERS = 1 << 15  # distances held at once while units are sought: they stay in cache
_SPARSE_NUMBERS = 1 << 18  # the same of sparse samples, whose blocks cost more each
_UNIT = 2.0**-53  # rounding of float64
_EXPANDABLE = 1e-3  # of ‖x‖² + ‖w‖²: below, the expanded square has lost more than three digits
_LEAST_ROWS = 64  # a call of some loops has more to set up than a sample costs


class FeatureMetric(MetricComponent):
    """Base of metrics whose loop is ``pairwise_NAME`` in `loops`.

    Those that ``handle`` sparse samples have `sparse`.
    """

    loop: ClassVar[str]

    def assign(self, X: Any, prototypes: NDArray[Any]) -> tuple[Integers, Floats]:
        n, n_neurons = X.shape[0], len(prototypes)
        bmu, distance = np.empty(n, dtype=np.int64), np.empty(n)
        fill_nearest = _loops().first_smallest_rows
        if not isinstance(X, np.ndarray):
            size = max(_LEAST_ROWS, _SPARSE_NUMBERS // n_neurons)
            for start in range(0, n, size):
                rows = slice(start, start + size)
                distances = self.sparse(X[rows], prototypes)
                fill_nearest(distances, bmu[rows], distance[rows])
            return bmu, distance
        fill_distances = self._dense(prototypes)
        size = max(_LEAST_ROWS, _NUMBERS // n_neurons)
        buffer = _aligned(min(n, size), n_neurons)
        for start in range(0, n, size):
            rows = slice(start, start + size)
            distances = buffer[: n - start]
            fill_distances(X[rows], distances)
            fill_nearest(distances, bmu[rows], distance[rows])
        return bmu, distance

    def pairwise(self, X: Any, prototypes: NDArray[Any]) -> Floats:
        if not isinstance(X, np.ndarray):
            return self.sparse(X, prototypes)
        distances = _aligned(X.shape[0], len(prototypes))
        self._dense(prototypes)(X, distances)
        return distances

    def sparse(self, X: Any, prototypes: NDArray[Any]) -> Floats:
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


def _aligned(rows: int, columns: int) -> Floats:
    # Begins a line of the cache, so that no vector lies across two: a third less time.
    numbers = np.empty(rows * columns + 8)
    start = -numbers.ctypes.data % 64 // 8
    return numbers[start : start + rows * columns].reshape(rows, columns)


def _loops() -> Any:
    return import_module("dbgsom_plugins.metrics.loops")  # numba: only when used


_REMEMBERED = 1 << 27  # entries of X up to which their order is kept between epochs: 512 MiB
_SMALL_WORK = 1 << 15  # entries of X below which threads cost more than they save

Form = Callable[..., Floats]


class MedianMetric(FeatureMetric):
    """Base of metrics whose prototypes are medians, or means where that is wished for.

    While the kernel is wide they are means: wide medians of data with few distinct values are all
    alike, and what is alike never parts again.
    """

    forms_below = 0.25
    prototype: Literal["median", "mean"] = Field(
        default="median", description="what a prototype is of the samples, weighted by the kernel"
    )

    @property
    def form(self) -> Form | None:
        """How prototypes are formed, see `weighted_median`; None for means."""
        return weighted_median if self.prototype == "median" else None


def weighted_median(
    X: NDArray[Any], units: Integers, influence: Floats, weights: Floats | None, so_far: Floats
) -> Floats:
    """Return for each neuron and feature the exact weighted median, float64 (K, D).

    It minimises Σ_i weights[i]*influence[units[i], j]*|x_i - w_j|; where one half of the weight
    lies on either side of a gap it is the middle of the gap. The bits do not depend on the threads.
    The order of the samples, n*D int32, is kept while X lives and n*D is at most 2**27.

    Of samples X (n, D) nan is missing and counts nothing. ``units`` (n,) are groups of samples and
    ``influence`` (G, K) what those of a group weigh in each neuron, times ``weights`` (n,). Where
    nothing reaches a neuron ``so_far`` (K, D) is kept.
    """
    loops = _loops()
    orders: list[NDArray[Any] | None] = [None] * X.shape[1]
    for samples, their_orders in tuple(_latest):
        if samples() is X:
            orders = list(their_orders)
    medians = np.array(so_far, dtype=np.float64)
    units = np.ascontiguousarray(units, dtype=np.int64)
    influence = np.ascontiguousarray(influence, dtype=np.float64)
    if weights is None:
        weights = np.empty(0)
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    # A block costs one pass over the groups: sqrt(n G) samples balance that with the block itself.
    size = max(32, int(np.sqrt(len(X) * len(influence))))

    def work(worker: int, feature: int) -> None:
        order = orders[feature]
        if order is None or not loops.is_sorted(X, feature, order):  # or X was written to
            order = np.argsort(X[:, feature], kind="stable")
            order = orders[feature] = order.astype(np.int32 if len(X) < 2**31 else np.int64)
        loops.weighted_medians(X, feature, order, units, weights, influence, size, medians)

    n_threads = 1 if X.size < _SMALL_WORK else available_threads()
    share(n_threads, X.shape[1], work)
    if X.size <= _REMEMBERED:  # of the latest samples alone, and no longer than they are held
        _latest[:] = [(weakref.ref(X, lambda _: _latest.clear()), orders)]
    return medians


_latest: list[tuple[Any, list[NDArray[Any] | None]]] = []


class Euclidean(FeatureMetric):
    """Euclidean distance, the square root of the sum of squared differences.

    Missing values (nan) are left out, and the sum over the rest is scaled by D/observed. Sparse
    samples stay sparse.
    """

    loop = "euclidean"
    geometry: ClassVar[str] = "euclidean"
    handles = ("missing", "sparse")

    def sparse(self, X: Any, prototypes: NDArray[Any]) -> Floats:
        """Return the distances (m, K) of a CSR matrix X (m, D) to prototypes (K, D).

        By ‖x‖² - 2 x·w + ‖w‖², and as of dense samples where that has lost too many digits, or does
        not tell which prototype is nearest.
        """
        W = np.ascontiguousarray(prototypes, dtype=np.float64)
        X = X.astype(np.float64, copy=False)
        row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        norm = np.bincount(row, np.square(X.data), X.shape[0])[:, None]
        norms = np.einsum("ij,ij->i", W, W)
        distances = np.asarray(norm - 2.0 * (X @ W.T) + norms)
        # An upper bound on twice the error of an expanded square and of the definition's.
        slack = 4.0 * _UNIT * (W.shape[1] + 8.0) * (norm + norms.max())
        is_direct = distances <= distances.min(axis=1, keepdims=True) + slack
        is_direct &= is_direct.sum(axis=1, keepdims=True) > 1
        is_direct |= distances < _EXPANDABLE * (norm + norms)
        np.sqrt(np.maximum(distances, 0.0), out=distances)
        rows = np.flatnonzero(is_direct.any(axis=1))
        fill = self._dense(W)
        size = max(1, _SPARSE_NUMBERS // W.shape[1])
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            exact = _aligned(len(part), len(W))
            fill(X[part].toarray(), exact)
            distances[part] = np.where(is_direct[part], exact, distances[part])
        return distances


class Manhattan(MedianMetric):
    """Manhattan (city-block) distance, the sum of absolute differences.

    Prototypes are the exact kernel-weighted medians of each feature, which minimise the weighted
    sum of distances, once linked neighbours weigh at most a quarter of a neuron's own samples;
    until then they are means. ``prototype: mean`` takes means throughout, which is faster. Features
    that are missing are left out and the sum is scaled by features/observed.
    """

    loop = "manhattan"
    handles = ("missing",)


class Chebyshev(FeatureMetric):
    """Chebyshev distance, the largest absolute difference of a feature.

    Prototypes are kernel-weighted means: what minimises the summed distance has no closed form, and
    the middle of the range, which minimises the largest one, hangs on single samples. A missing
    value is left out: the distance is the largest difference of what is observed.
    """

    loop = "chebyshev"
    handles = ("missing",)


class Minkowski(FeatureMetric):
    """Minkowski distance (sum of |x - w|**p)**(1/p), from Manhattan to nearly Chebyshev.

    No power overflows, so a large ``p`` gives the Chebyshev distance. Prototypes are
    kernel-weighted means, which minimise the summed squares at p = 2 and stand in for the
    minimiser, which has no closed form, elsewhere; for medians at p = 1 use `manhattan`. Features
    that are missing are left out and the sum is scaled by features/observed.
    """

    handles = ("missing",)

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
        if self.p == 1:
            return "manhattan", ()
        if self.p == 2:
            return "euclidean", ()
        return "minkowski", (self.p,)


class Canberra(MedianMetric):
    """Canberra distance, the sum of |x - w|/(|x| + |w|), where 0/0 counts as 0.

    Prototypes are kernel-weighted medians of each feature. For values of one sign a term is
    tanh(|ln x - ln w|/2), so medians minimise the summed distance of samples that lie near each
    other, and come near to it otherwise; ``prototype: mean`` takes means. Features that are missing
    are left out and the sum is scaled by features/observed.
    """

    loop = "canberra"
    handles = ("missing",)


_MAPPED_ROWS = 4096  # that are added up at a time, so results do not depend on the threads
_SMALL_PRODUCTS = 1 << 21  # multiplications below which threads cost more than they save


class Mahalanobis(FeatureMetric):
    """Mahalanobis distance sqrt((x - w)' C**-1 (x - w)) with the training data's covariance C.

    Samples are whitened: the map and its prototypes live where C is the identity and the distance
    is Euclidean, and kernel-weighted means minimise the summed squares. C is shrunk toward its
    diagonal, C = (1 - s)*S + s*diag(S), so that it is regular with few samples too; units of the
    features do not matter. s = ``"ledoit_wolf"`` is the share of Ledoit & Wolf (2004) for
    standardised features; 0 takes the sample covariance as it is. Directions in which the training
    data does not vary count nothing. A sample weight of 2 is the sample twice.
    """

    learns_weighted = True
    loop = "euclidean"
    geometry: ClassVar[str] = "euclidean"

    shrinkage: Annotated[float, Field(ge=0, le=1)] | Literal["ledoit_wolf"] = Field(
        default="ledoit_wolf",
        description="share of the way from the covariance to its diagonal, 0 to 1, or ledoit_wolf",
    )

    def fit(self, X: NDArray[Any], weights: Floats | None = None) -> dict[str, Floats]:
        """Return ``mean`` (D,) and ``whitening`` (D, D) of the training samples X (n, D).

        Whitened samples are (x - mean) @ whitening, which is symmetric up to the features' units.
        ``weights`` (n,) count as repetitions.
        """
        d, epsilon = X.shape[1], np.finfo(np.float64).eps
        if weights is None:
            weights = np.ones(len(X))
        n = float(weights.sum())
        mean = sum(w @ rows for rows, w in _blocks(X, weights)) / n
        squares = sum(w @ np.square(rows - mean) for rows, w in _blocks(X, weights))
        freedom = n - 1 if n > 1 else n
        deviation = np.sqrt(squares / freedom)
        rounding = 8 * epsilon * np.abs(mean)
        scale = np.divide(1.0, deviation, out=np.zeros(d), where=deviation > rounding)
        correlation, fourth = np.zeros((d, d)), 0.0
        for rows, w in _blocks(X, weights):
            standard = (rows - mean) * scale
            correlation += standard.T @ (standard * w[:, None])
            lengths = np.einsum("ij,ij->i", standard, standard)
            fourth += float(w @ np.square(lengths))
        correlation /= freedom
        shrinkage = self.shrinkage
        if isinstance(shrinkage, str):
            shrinkage = _ledoit_wolf(correlation * (freedom / n), fourth / n, n)
        correlation *= 1.0 - shrinkage
        np.fill_diagonal(correlation, (scale > 0).astype(np.float64))
        # C**-1/2 by its eigenvectors; directions of rounding alone count nothing.
        values, vectors = np.linalg.eigh(correlation)
        varies = values > d * epsilon * max(float(values[-1]), 0.0)
        roots = np.divide(1.0, np.sqrt(np.abs(values)), out=np.zeros(d), where=varies)
        root = (vectors * roots) @ vectors.T
        return {"mean": mean, "whitening": scale[:, None] * root}

    def prepare(self, X: NDArray[Any], state: Mapping[str, Floats]) -> NDArray[np.floating[Any]]:
        map_rows = _loops().map_rows
        samples = np.ascontiguousarray(X)
        whitened = np.empty(samples.shape, dtype=np.result_type(samples, np.float32))
        mean = np.ascontiguousarray(state["mean"], dtype=np.float64)
        matrix = np.ascontiguousarray(state["whitening"], dtype=np.float64)
        d = samples.shape[1]
        if mean.shape != (d,) or matrix.shape != (d, d):  # compiled loops check no bounds
            raise ValueError(f"what was learned is not of samples of {d} columns")

        def work(worker: int, task: int) -> None:
            start = task * _MAPPED_ROWS
            stop = min(start + _MAPPED_ROWS, len(samples))
            map_rows(samples, mean, matrix, start, stop, whitened)

        n_threads = 1 if samples.size * d < _SMALL_PRODUCTS else available_threads()
        share(n_threads, math.ceil(len(samples) / _MAPPED_ROWS), work)
        return whitened


def _blocks(X: NDArray[Any], weights: Floats) -> Any:
    for start in range(0, len(X), _MAPPED_ROWS):
        rows = slice(start, start + _MAPPED_ROWS)
        yield np.asarray(X[rows], dtype=np.float64), weights[rows]


def _ledoit_wolf(covariance: Floats, fourth: float, n: float) -> float:
    # Ledoit & Wolf (2004), section 3.3, for centred samples z with the mean of |z|**4 ``fourth``:
    # how far the sample covariance is from a multiple of the identity, and how much of that is
    # noise. Standardised features have that multiple, 1, as their diagonal; those that do not vary
    # have 0, and are none of the features.
    size, features = float(np.square(covariance).sum()), int((np.diag(covariance) > 0).sum())
    distance = size - float(np.trace(covariance)) ** 2 / max(features, 1)
    noise = (fourth - size) / n
    if distance <= 0:
        return 1.0
    return float(np.clip(noise / distance, 0.0, 1.0))
