"""Prepare steps for fields: weights by area, and empirical orthogonal functions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from dbgsom_geo.places import latitudes_of

Floats = NDArray[np.floating[Any]]


class AreaWeights(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Multiplies each grid point by the root of the cosine of its latitude, and undoes it.

    Squared distances then count each grid point by its area (North et al. 1982). Runs read the
    latitudes from the names of features, ``50.0N 10.0W``. The least weight is that of 0.057 degrees
    off a pole, so that the poles can be undone.

    Parameters
    ----------
    latitudes : sequence of float (D,), optional
        Latitude of each feature in degrees, for data without names of places.
    """

    def __init__(self, latitudes: Sequence[float] | None = None) -> None:
        self.latitudes = latitudes

    def set_feature_names(self, names: Sequence[str]) -> None:
        """Read the latitudes from the names of the features, unless they are given."""
        if self.latitudes is None:
            self.latitudes = latitudes_of(names)
            if self.latitudes is None:
                raise ValueError(
                    "the names of the features say no latitudes, such as 50.0N 10.0W: read "
                    "fields with the data set 'netcdf', and put steps of other columns behind it"
                )

    def fit(self, X: Floats, y: Any = None) -> Self:
        """Compute the weights (D,) for X (n, D); ValueError where latitudes do not fit."""
        self.n_features_in_ = X.shape[1]
        if self.latitudes is None:
            warnings.warn("area_weights knows no latitudes: all weigh the same", stacklevel=2)
        degrees = np.zeros(X.shape[1]) if self.latitudes is None else np.asarray(self.latitudes)
        if degrees.shape != (X.shape[1],) or not (np.abs(degrees) <= 90).all():
            raise ValueError(f"latitudes must be {X.shape[1]} numbers from -90 to 90")
        self.weights_ = np.sqrt(np.maximum(np.cos(np.radians(degrees)), 1e-3))
        return self

    def transform(self, X: Floats) -> Floats:
        """Return X (n, D) times the weights, in its dtype."""
        return np.asarray(X * self.weights_.astype(X.dtype))

    def inverse_transform(self, X: Floats) -> Floats:
        """Return weighted X (n, D) without the weights."""
        return np.asarray(X / self.weights_.astype(X.dtype))


class Eof(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Empirical orthogonal functions: the coefficients of the leading ones (Lorenz 1956).

    They are the principal components of the fields, as scikit-learn's PCA has them, computed
    exactly and without a seed, and in the units of the fields, so that Euclidean distances are
    those of fields without the other functions. Signs: the largest entry of each is positive.

    Parameters
    ----------
    components : int or float
        How many functions, or from 0 to 1 the least share of the variance that they explain.
    """

    def __init__(self, components: float = 0.9) -> None:
        self.components = components

    def fit(self, X: Floats, y: Any = None) -> Self:
        """Compute the functions of X (n, D), by whichever covariance is smaller.

        Raises
        ------
        ValueError
            The samples have not so many functions, or values are missing.
        """
        if np.isnan(X).any():
            raise ValueError("functions of fields with missing values are unknown: fill them first")
        self.n_features_in_ = X.shape[1]
        self.mean_ = X.mean(axis=0, dtype=np.float64)
        centred = X - self.mean_
        wide = X.shape[1] > len(X)
        squares, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
        rank = int((squares > squares[0] * len(squares) * np.finfo(np.float64).eps).sum())
        shares = squares / squares.sum()
        if 0 < self.components < 1:
            count = min(rank, int(np.searchsorted(np.cumsum(shares), self.components)) + 1)
        elif self.components == int(self.components) and 1 <= self.components <= rank:
            count = int(self.components)
        else:
            raise ValueError(
                f"components is {self.components}: a share between 0 and 1, or 1 to {rank}"
            )
        functions = vectors[:, :count].T
        if wide:
            functions = functions @ centred / np.sqrt(squares[:count, None])
        largest = functions[np.arange(count), np.abs(functions).argmax(axis=1)]
        self.functions_ = functions * np.sign(largest)[:, None]
        self.explained_variance_ratio_ = shares[:count]
        return self

    def transform(self, X: Floats) -> Floats:
        """Return the coefficients (n, C) of fields X (n, D), in their dtype."""
        return np.asarray(((X - self.mean_) @ self.functions_.T).astype(X.dtype))

    def inverse_transform(self, X: Floats) -> Floats:
        """Return the fields (n, D) of coefficients X (n, C)."""
        return np.asarray((X @ self.functions_ + self.mean_).astype(X.dtype))

    def get_feature_names_out(self, names: Any = None) -> NDArray[Any]:
        """Return ``EOF 1``, ``EOF 2`` and so on."""
        return np.array([f"EOF {i + 1}" for i in range(len(self.functions_))], dtype=object)
