"""Prepare steps for fields: weights by area, and empirical orthogonal functions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from dbgsom_geo.places import places_of

Floats = NDArray[np.floating[Any]]


class AreaWeights(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Multiplies each grid point by the root of the cosine of its latitude, and undoes it.

    Squared distances then count each point by its area (North et al. 1982). Runs read latitudes
    from names of features, ``50.0N 10.0W``; without names give ``latitudes`` (D,) in degrees.
    Cosines are at least 0.001, so that the poles can be undone.
    """

    def __init__(self, latitudes: Sequence[float] | None = None) -> None:
        self.latitudes = latitudes

    def set_feature_names(self, names: Sequence[str]) -> None:
        """Read the latitudes from the names of the features, unless they are given."""
        if self.latitudes is None and (places := places_of(names)) is not None:
            self.latitudes = places[:, 0].tolist()
        if self.latitudes is None:
            cure = "read fields with 'netcdf', and put steps that make other columns behind it"
            raise ValueError(f"names of features say no latitudes, such as 50.0N 10.0W: {cure}")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the weights (D,) for X (n, D); ValueError where latitudes do not fit."""
        self.n_features_in_ = X.shape[1]
        if self.latitudes is None:
            warnings.warn("area_weights knows no latitudes: all weigh the same", stacklevel=2)
        degrees = np.zeros(X.shape[1]) if self.latitudes is None else np.asarray(self.latitudes)
        if degrees.shape != (X.shape[1],) or not (np.abs(degrees) <= 90).all():
            raise ValueError(f"latitudes must be {X.shape[1]} numbers from -90 to 90")
        self.weights_ = np.sqrt(np.maximum(np.cos(np.radians(degrees)), 1e-3))
        return self

    def transform(self, X: Any) -> Floats:
        return _in_dtype_of(X, np.asarray(X) * self.weights_)

    def inverse_transform(self, X: Any) -> Floats:
        return _in_dtype_of(X, np.asarray(X) / self.weights_)


class Eof(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Empirical orthogonal functions: the coefficients of the leading ones (Lorenz 1956).

    As scikit-learn's PCA, but exact and without a seed for any number. ``components`` is how many,
    or from 0 to 1 the least share of the variance that they explain; each is largest at a positive
    entry. Distances are those of fields without the other functions.
    """

    def __init__(self, components: float = 0.9) -> None:
        self.components = components

    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the functions of X (n, D); ValueError where there are not so many."""
        X = np.asarray(X)
        self.n_features_in_, self.mean_ = X.shape[1], X.mean(axis=0, dtype=np.float64)
        centred = X - self.mean_
        if not np.isfinite(centred).all():
            raise ValueError("fields with missing values have no functions: fill them first")
        wide = X.shape[1] > len(X)  # of the two covariances the smaller one
        squares, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
        rank = int((squares > squares[0] * len(squares) * np.finfo(np.float64).eps).sum())
        shares = squares / squares.sum()
        count = int(self.components)
        if 0 < self.components < 1:
            count = min(rank, int(np.searchsorted(np.cumsum(shares), self.components)) + 1)
        elif not 1 <= self.components <= rank or count != self.components:
            few = f"a share between 0 and 1, or 1 to {rank}"
            raise ValueError(f"components is {self.components}, and must be {few}")
        functions = vectors[:, :count].T
        if wide:
            functions = functions @ centred / np.sqrt(squares[:count, None])
        largest = functions[np.arange(count), np.abs(functions).argmax(axis=1)]
        self.functions_ = functions * np.sign(largest)[:, None]
        self.explained_variance_ratio_ = shares[:count]
        return self

    def transform(self, X: Any) -> Floats:
        return _in_dtype_of(X, (np.asarray(X) - self.mean_) @ self.functions_.T)

    def inverse_transform(self, X: Any) -> Floats:
        return _in_dtype_of(X, np.asarray(X) @ self.functions_ + self.mean_)

    def get_feature_names_out(self, names: Any = None) -> NDArray[Any]:
        return np.array([f"EOF {i + 1}" for i in range(len(self.functions_))], dtype=object)


def _in_dtype_of(X: Any, made: Floats) -> Floats:
    return made.astype(np.float32 if np.asarray(X).dtype == np.float32 else np.float64, copy=False)
