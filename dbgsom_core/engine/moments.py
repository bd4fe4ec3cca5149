"""Column means, deviations and principal axes of samples: dense, sparse, with gaps or weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.partitions import Partitions, each_range
from dbgsom_core.engine.results import Floats, Moments

if TYPE_CHECKING:
    from dbgsom_core.engine.packing import ColumnSummaries

_FEW_ROWS = 8192  # of large data, whose axes stand for those of all
_LARGEST = 1e153  # sums of squares, and of squared differences, stay below 1e308
_SMALLEST = 1e-150  # squares below 1e-308 lose digits


def moments_of(data: Any) -> Moments:
    """Compute the moments in two passes, which large offsets do not harm.

    The order of additions does not depend on the number of threads.
    """
    X = data.X
    weights = data.weights
    with np.errstate(over="ignore", invalid="ignore"):  # `check_varies` raises
        if issparse(X):
            return _sparse_moments(data)
        if weights is None and not data.incomplete:
            mean = data.summaries.totals.sum(axis=0) / len(X)
            squares = _sum_ranges(data, _add_squares, mean)
            return Moments(mean, np.sqrt(squares / len(X)))
        weights = data.sample_weights
        count = _sum_ranges(data, _observed_weight, None, weights)
        empty = np.flatnonzero(count == 0)
        if len(empty):
            named = ", ".join(map(str, empty[:5])) + (", …" if len(empty) > 5 else "")
            raise ValueError(
                f"all values are missing in column {named} of X: leave such columns out"
            )
        mean = _sum_ranges(data, _add_weighted, None, weights) / count
        squares = _sum_ranges(data, _add_weighted, mean, weights)
        return Moments(mean, np.sqrt(squares / count))


def _sparse_moments(data: Any) -> Moments:
    X = data.X
    weights = data.sample_weights
    total = weights.sum()
    of_entry = np.repeat(weights, np.diff(X.indptr))

    def columns(values: NDArray[Any]) -> Floats:
        return np.bincount(X.indices, of_entry * values, X.shape[1]).astype(np.float64)

    mean = columns(X.data) / total
    stored = columns(np.ones(len(X.data)))
    of_stored = columns(np.square(X.data - mean[X.indices]))
    of_zeros = (total - stored) * mean**2
    return Moments(mean, np.sqrt((of_stored + of_zeros) / total))


def _sum_ranges(
    data: Any, add: Callable[..., Floats], centre: Floats | None, weights: Floats | None = None
) -> Floats:
    # Sum ``add(centre, rows, weights)`` (D,) over ranges of rows.
    each = each_range(data.X, partial(add, centre), data.threads, weights)
    return np.asarray(np.sum(each, axis=0))


def _add_squares(centre: Floats, X: Any, _: None) -> Floats:
    from dbgsom_core.engine import loops  # numba is slow to import

    out = np.zeros(X.shape[1])
    loops.add_squares(loops.writeable_view(X), centre, out)
    return out


def _add_weighted(centre: Floats | None, X: Any, weights: Floats) -> Floats:
    # The weighted sums of what is observed, or of its squared differences to a centre.
    values = X if centre is None else np.square(X - centre)
    return np.asarray(np.einsum("i,ij->j", weights, np.nan_to_num(values), dtype=np.float64))


def _observed_weight(_: None, X: Any, weights: Floats) -> Floats:
    return np.asarray(np.einsum("i,ij->j", weights, ~np.isnan(X), dtype=np.float64))


# ------------------------------------------------------------------------------------ extremes


def check_varies(X: Any, low: NDArray[Any], high: NDArray[Any]) -> None:
    """Raise ValueError when no column of X (n, D) varies by more than rounding.

    And when squares leave the range of float64: all distances would be 0 or inf. ``low`` and
    ``high`` (D,) are the extremes of the columns.
    """
    most = _LARGEST / math.sqrt(X.shape[0] * X.shape[1])
    sizes = np.maximum(abs(low), abs(high))
    largest = float(sizes.max(initial=0.0))
    if largest > most:
        raise ValueError(f"X holds {largest:.3g}, whose square is too large for float64: rescale X")
    if not (high - low > 8 * np.finfo(X.dtype).eps * np.maximum(sizes, 1e-300)).any():
        raise ValueError(
            f"all columns are constant (n_features = {X.shape[1]}): a map needs a column that "
            "varies"
        )
    widest = float((high - low).max())
    if widest < _SMALLEST:
        raise ValueError(
            f"no column of X varies by more than {widest:.3g}, whose square is too small for "
            "float64: rescale X"
        )


def extremes(X: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the smallest and the largest observed value (D,) of each column."""
    if issparse(X):
        return X.min(axis=0).toarray().ravel(), X.max(axis=0).toarray().ravel()
    if isinstance(X, Partitions):
        summaries = _summaries(X)
        return summaries.low.astype(X.dtype), summaries.high.astype(X.dtype)
    return np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)  # which leave nan out


def first_non_finite(X: Partitions) -> tuple[int, int] | None:
    """Return row and column of the first number that is nan or infinite, or None."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(_summaries(X).totals).all():
            return None
    for start, bad in zip(X.ends, X.each(_first_non_finite, X.beside()), strict=False):
        if bad is not None:
            return start + bad[0], bad[1]
    return None


def _first_non_finite(X: NDArray[Any]) -> tuple[int, int] | None:
    bad = np.argwhere(~np.isfinite(X))
    return (int(bad[0, 0]), int(bad[0, 1])) if len(bad) else None


def _summaries(X: Partitions) -> ColumnSummaries:
    from dbgsom_core.engine.packing import column_summaries  # numba is slow to import

    return column_summaries(X, 1)


# ------------------------------------------------------------------------------ principal axes

_DENSE_COVARIANCE = 2048  # columns up to which the covariance is decomposed whole
_FLAT = 1e-13  # share of the largest variance below which a variance is rounding
_WHOLE_COVARIANCE = 1 << 30  # multiplications up to which all samples are used


def principal_axes(data: Any, moments: Moments) -> list[Floats]:
    """Return the first two principal axes (D,), each as long as the standard deviation along it.

    The largest entry of an axis is positive. For large data the axes are those of 8192 samples,
    evenly spaced. A missing value counts as the mean of its column.
    """
    n, d = data.X.shape
    if n * d * d > _WHOLE_COVARIANCE:
        data = data.subset(slice(None, None, -(-n // _FEW_ROWS)))
    decompose = _svd_axes if d > _DENSE_COVARIANCE else _eigen_axes
    variances, directions = decompose(data, moments)
    rounding = _FLAT * float(np.max(variances))
    axes = []
    for variance, direction in zip(variances, directions, strict=True):
        largest = direction[np.argmax(np.abs(direction))]
        sign = np.sign(largest) or 1.0
        length = np.sqrt(variance if variance > rounding else 0.0)
        axes.append(np.asarray(sign * length * direction, np.float64))
    if len(axes) < 2:  # one column
        axes.append(np.zeros(d))
    return axes


def _eigen_axes(data: Any, moments: Moments) -> tuple[Any, Any]:
    from scipy.linalg import eigh

    d = data.X.shape[1]
    ask = partial(_scatter, moments.mean, data.incomplete)
    products = np.array(each_range(data.X, ask, data.threads, data.weights))
    covariance = products.sum(axis=0) / data.total_weight
    if issparse(data.X):
        covariance -= np.outer(moments.mean, moments.mean)
    # Columns of very different scale must not overflow or vanish in the solver.
    values, vectors = eigh(covariance, subset_by_index=[max(d - 2, 0), d - 1])
    return values[::-1], vectors.T[::-1]


def _svd_axes(data: Any, moments: Moments) -> tuple[Any, Any]:
    # Many columns: a truncated SVD of the centred, weighted samples, without a covariance matrix.
    from scipy.sparse.linalg import LinearOperator, svds

    roots = np.sqrt(data.sample_weights / data.total_weight)
    X = data.X
    centre = moments.mean
    if not issparse(X):  # a missing value is the mean of its column
        X = centre + (np.nan_to_num(X[:] - centre) if data.incomplete else X[:] - centre)
    operator = LinearOperator(
        X.shape,
        matvec=lambda v: roots * (X @ v.ravel() - centre @ v.ravel()),
        rmatvec=lambda u: X.T @ (roots * u.ravel()) - centre * (roots @ u.ravel()),
        dtype=np.float64,
    )
    first = np.random.RandomState(0).standard_normal(min(X.shape))  # the same in every process
    _, lengths, axes = svds(operator, k=2, v0=first, solver="arpack")
    return np.square(lengths[::-1]), axes[::-1]


def _scatter(mean: Floats, incomplete: bool, X: Any, weights: Floats | None) -> Floats:
    # Σ weight (x - mean)ᵀ(x - mean), and of sparse samples Σ weight xᵀx.
    if issparse(X):
        if weights is None:
            weights = np.ones(X.shape[0])
        weighted = X.multiply(weights[:, None]).tocsr()
        return np.asarray((weighted.T @ X).toarray())
    centred = np.nan_to_num(X - mean) if incomplete else X - mean
    weighted = centred if weights is None else centred * weights[:, None]
    return np.asarray(weighted.T @ centred)
