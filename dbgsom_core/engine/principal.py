"""The principal axes of samples."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.contract import Moments
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.tables import each_range

_CHUNK_ROWS = 8192
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
