"""Column means, deviations and principal axes of dense, sparse, incomplete and weighted samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.contract import Moments
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.tables import BlockTable, each_range, pieces
from dbgsom_core.engine.workers import available_threads

# Adds rows (m, D), with weights (m,) or None, to a total (D,).
_Add = Callable[[NDArray[Any], Any, NDArray[np.float64]], None]

_CHUNK_ROWS = 8192
_MOST_CHUNKS = 64
_CLEARLY = 1e-4  # times the largest entry: far more than rounding leaves of a constant column
_LARGEST = 1e153  # the sum of its squares, and that of differences, stay below 1e308
_SMALLEST = 1e-150  # squares below 1e-308 lose digits


def moments_of(data: PlainSamples) -> Moments:
    """Compute the moments in two passes, so that large offsets do no harm.

    The parts that are added up do not depend on the number of threads.

    Raises
    ------
    ValueError
        A column has no observed value.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # `check_varies` tells
        if issparse(data.X):
            return _of_sparse(data)
        if data.weights is None and not data.incomplete:
            return _of_dense(data.X)
        return _of_any(data)


def check_varies(X: Any, moments: Moments | None = None) -> None:
    """Raise ValueError when no column of X (n, D) varies by more than rounding.

    Nor is X of use when its squares leave the range of float64: all distances would be 0 or inf.
    Where its ``moments`` are known, unweighted, they tell most of the time without a look at X.
    """
    if moments is not None and _surely_varies(X, moments):
        return
    low, high = extremes(X)
    largest = float(np.maximum(abs(low), abs(high)).max(initial=0.0))
    if largest > _LARGEST / math.sqrt(X.shape[0] * X.shape[1]):
        raise ValueError(f"X holds {largest:.3g}, whose square is too large for float64: rescale X")
    if not _varies(low, high, X.dtype, 8):
        raise ValueError(
            f"all columns are constant (n_features = {X.shape[1]}): there is nothing that a map "
            "could unfold"
        )
    spread = float((high - low).max())
    if spread < _SMALLEST:
        raise ValueError(
            f"no column of X varies by more than {spread:.3g}, whose square is too small for "
            "float64: rescale X"
        )


def _surely_varies(X: Any, moments: Moments) -> bool:
    # No entry is larger than this, and the entries of a column lie twice their deviation apart.
    largest = abs(moments.mean) + math.sqrt(X.shape[0]) * moments.deviation
    apart = 2 * moments.deviation
    in_range = largest.max() < _LARGEST / math.sqrt(X.shape[0] * X.shape[1])  # not if nan
    clearly = (apart > _CLEARLY * largest) & (apart > _SMALLEST)
    return bool(in_range and clearly.any())


def _varies(low: NDArray[Any], high: NDArray[Any], dtype: Any, units: float) -> bool:
    rounding = units * np.finfo(dtype).eps * np.maximum(np.maximum(abs(low), abs(high)), 1e-300)
    return bool((high - low > rounding).any())


def extremes(X: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the smallest and the largest observed value of each column of X (n, D)."""
    if issparse(X):
        return X.min(axis=0).toarray().ravel(), X.max(axis=0).toarray().ravel()
    if not isinstance(X, BlockTable):
        return _extremes(X)
    if X.extremes is None:
        X.extremes = _outermost(each_range(X, _ranges(len(X)), _extremes_of, available_threads()))
    return X.extremes


def _extremes_of(X: Any, rows: slice) -> tuple[NDArray[Any], NDArray[Any]]:
    return _outermost([_extremes(X[piece]) for piece in pieces(rows.start, rows.stop)])


def _outermost(
    ends: list[tuple[NDArray[Any], NDArray[Any]]],
) -> tuple[NDArray[Any], NDArray[Any]]:
    return (
        np.fmin.reduce([low for low, _ in ends], axis=0),
        np.fmax.reduce([high for _, high in ends], axis=0),
    )


def _extremes(X: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)  # they leave nan out


def _of_dense(X: Any) -> Moments:
    mean = np.asarray(_total(X, _add_columns) / len(X))
    squares = _total(X, partial(_add_squares, mean))
    return Moments(mean, np.sqrt(squares / len(X)))


def _add_columns(X: NDArray[Any], weights: None, out: NDArray[np.float64]) -> None:
    from dbgsom_core.engine.loops import add_columns
    from dbgsom_core.engine.rows import for_loops  # numba is slow to import

    add_columns(for_loops(X), out)


def _add_squares(
    mean: NDArray[np.float64], X: NDArray[Any], weights: None, out: NDArray[np.float64]
) -> None:
    from dbgsom_core.engine.loops import add_squares
    from dbgsom_core.engine.rows import for_loops

    add_squares(for_loops(X), mean, out)


def _of_any(data: PlainSamples) -> Moments:
    X, weights = data.X, data.sample_weights
    observed = _total(X, _add_observed, weights)
    _check_observed(observed)
    mean = _total(X, _add_values, weights) / observed
    squares = _total(X, partial(_add_squared, mean), weights)
    return Moments(mean, np.sqrt(squares / observed))


def _add_observed(X: NDArray[Any], weights: NDArray[Any], out: NDArray[np.float64]) -> None:
    _add(weights, ~np.isnan(X), out)


def _add_values(X: NDArray[Any], weights: NDArray[Any], out: NDArray[np.float64]) -> None:
    _add(weights, np.nan_to_num(X), out)


def _add_squared(
    mean: NDArray[np.float64], X: NDArray[Any], weights: NDArray[Any], out: NDArray[np.float64]
) -> None:
    _add(weights, np.nan_to_num(np.square(X - mean)), out)


def _add(weights: NDArray[Any], values: NDArray[Any], out: NDArray[np.float64]) -> None:
    # nan_to_num has turned what is missing into 0
    out += np.einsum("i,ij->j", weights, values, dtype=np.float64)


def _of_sparse(data: PlainSamples) -> Moments:
    X, weights = data.X, data.sample_weights
    n_columns, total = X.shape[1], weights.sum()
    of_entry = np.repeat(weights, np.diff(X.indptr))

    def columns(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(X.indices, of_entry * values, n_columns).astype(np.float64)

    mean = columns(X.data) / total
    stored = columns(np.ones(len(X.data)))
    squares = columns(np.square(X.data - mean[X.indices])) + (total - stored) * mean**2
    return Moments(mean, np.sqrt(squares / total))


def _check_observed(observed: NDArray[np.float64]) -> None:
    empty = np.flatnonzero(observed == 0)
    if len(empty):
        named = ", ".join(map(str, empty[:5])) + (", …" if len(empty) > 5 else "")
        raise ValueError(f"nothing is observed in column {named} of X: leave such columns out")


def _total(X: Any, add: _Add, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    ranges = _ranges(len(X))
    parts = each_range(X, ranges, partial(_added, add), available_threads(), weights)
    return np.asarray(np.sum(parts, axis=0))


def _added(
    add: _Add, X: Any, rows: slice, weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    out, first = np.zeros(X.shape[1]), rows.start
    for piece in pieces(first, rows.stop):
        own = None if weights is None else weights[piece.start - first : piece.stop - first]
        add(X[piece], own, out)
    return out


def _ranges(n: int) -> list[tuple[int, int]]:
    return list(pairwise([*range(0, n, max(_CHUNK_ROWS, -(-n // _MOST_CHUNKS))), n]))


_DENSE_COVARIANCE = 2048  # columns up to which the covariance is decomposed whole
_FLAT = 1e-13  # share of the largest variance below which one is rounding
_WHOLE_COVARIANCE = 1 << 30  # multiplications up to which it is that of all samples


def principal_axes(data: PlainSamples, moments: Moments) -> list[NDArray[np.float64]]:
    """Return the first two principal axes (D,), each as long as the standard deviation along it.

    The sign of an axis is that of its largest entry. Where the covariance of all samples would take
    long, the axes are those of 8192 of them, evenly spaced. A missing value counts as the mean of
    its column.
    """
    n, d = data.X.shape
    if n * d * d > _WHOLE_COVARIANCE:
        data = data.subset(slice(None, None, -(-n // _CHUNK_ROWS)))
    variances, axes = (_of_operator if d > _DENSE_COVARIANCE else _of_covariance)(data, moments)
    found = []
    rounding = _FLAT * float(np.max(variances))
    for variance, axis in zip(variances, axes, strict=True):
        sign = np.sign(axis[np.argmax(np.abs(axis))]) or 1.0
        found.append(
            np.asarray(
                sign * np.sqrt(variance if variance > rounding else 0.0) * axis, dtype=np.float64
            )
        )
    if len(found) == 1:
        found.append(np.zeros(d))
    return found


def _of_covariance(data: PlainSamples, moments: Moments) -> tuple[Any, Any]:
    from scipy.linalg import eigh

    d = data.X.shape[1]
    chunks = [(a, min(a + _CHUNK_ROWS, data.n)) for a in range(0, data.n, _CHUNK_ROWS)]
    ask = partial(_product, moments.mean, data.incomplete)
    products = np.array(each_range(data.X, chunks, ask, data.threads, data.weights))
    covariance = products.sum(axis=0) / data.total_weight
    if issparse(data.X):
        covariance -= np.outer(moments.mean, moments.mean)
    # Columns of very different scale must not overflow or vanish in the solver.
    values, vectors = eigh(covariance, subset_by_index=[max(d - 2, 0), d - 1])
    return values[::-1], vectors.T[::-1]


def _of_operator(data: PlainSamples, moments: Moments) -> tuple[Any, Any]:
    # Many columns: the centred and weighted samples are only ever multiplied with vectors.
    from scipy.sparse.linalg import LinearOperator, svds

    roots = np.sqrt(data.sample_weights / data.total_weight)
    X = data.X if issparse(data.X) else moments.mean + _complete(data.X[:] - moments.mean)
    centre = moments.mean

    operator = LinearOperator(
        X.shape,
        matvec=lambda v: roots * (X @ v.ravel() - centre @ v.ravel()),
        rmatvec=lambda u: X.T @ (roots * u.ravel()) - centre * (roots @ u.ravel()),
        dtype=np.float64,
    )
    first = np.random.RandomState(0).standard_normal(min(X.shape))  # the same in every process
    _, lengths, axes = svds(operator, k=2, v0=first, solver="arpack")
    return np.square(lengths[::-1]), axes[::-1]


def _product(
    mean: NDArray[np.float64],
    incomplete: bool,
    X: Any,
    rows: slice,
    weights: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    # Σ weight (x - mean)ᵀ(x - mean), and of sparse samples Σ weight xᵀx.
    X = X[rows]
    if issparse(X):
        given = np.ones(X.shape[0]) if weights is None else weights
        weighted = X.multiply(given[:, None]).tocsr()
        return np.asarray((weighted.T @ X).toarray())
    centred = np.nan_to_num(X - mean) if incomplete else X - mean
    weighted = centred if weights is None else centred * weights[:, None]
    return np.asarray(weighted.T @ centred)


def _complete(centred: NDArray[Any]) -> NDArray[Any]:
    return np.nan_to_num(centred) if np.isnan(centred).any() else centred
