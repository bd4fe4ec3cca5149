"""Distances of directions: cosine, and correlation, which is the cosine of centred rows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError
from dbgsom_plugins.metrics.norms import FeatureMetric


class Cosine(FeatureMetric):
    """Cosine distance 1 - cos(x, w) between directions, in [0, 2].

    Samples are scaled to unit length and prototypes are unit vectors along the kernel-weighted
    means (Dhillon & Modha 2001, spherical k-means). A sample of zeros has no direction: its
    distance to everything is 1. Sparse samples stay sparse.
    """

    loop: ClassVar[str] = "cosine"
    handles: ClassVar[tuple[str, ...]] = ("sparse",)

    def prepare(self, X: Any) -> Any:
        """Return the samples X (n, D) scaled to unit length; rows of zeros stay zero."""
        if isinstance(X, np.ndarray):
            return _unit_rows(X)
        from sklearn.preprocessing import normalize

        # As of rows: the largest entry first, then the length.
        return normalize(normalize(X, norm="max"), copy=False)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        """Return unit vectors along the means (K, D)."""
        return _unit_rows(means)

    def sparse(self, X: Any, prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of a CSR matrix X (m, D) to prototypes (K, D)."""
        return np.asarray(np.maximum(0.0, 1.0 - X @ np.asarray(prototypes, dtype=np.float64).T))


def _unit_rows(rows: NDArray[Any]) -> NDArray[Any]:
    # Scaled by the largest entry first, so that squares neither overflow nor vanish.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]
    return np.asarray(np.divide(scaled, lengths, out=scaled, where=lengths > 0))


class Correlation(FeatureMetric):
    """Correlation distance 1 - r with Pearson's r between two rows, in [0, 2].

    It is the cosine distance of rows whose mean is taken off: samples are centred and scaled to
    unit length, prototypes are unit vectors along the kernel-weighted means, which minimise the
    weighted sum of distances (Dhillon & Modha 2001). A constant row has no shape: its distance to
    everything is 1.
    """

    loop: ClassVar[str] = "cosine"

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the samples X (n, D), each centred and of unit length; constant rows are zero.

        Raises
        ------
        DataError
            There is one feature only, which has no shape.
        """
        if X.shape[1] < 2:
            raise DataError(
                "correlation compares the shapes of rows, which takes at least 2 features, but "
                f"n_features = {X.shape[1]}; use another metric"
            )
        return _shapes(X).astype(X.dtype, copy=False)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        """Return centred unit vectors along the means (K, D)."""
        return _shapes(means)


def _shapes(rows: NDArray[Any]) -> NDArray[np.float64]:
    rows = np.asarray(rows, dtype=np.float64)
    # Only a row that is constant to the bit has no shape; its mean would be off by rounding.
    constant = np.ptp(rows, axis=1, keepdims=True) == 0
    # Scaled by the largest entry each time, so that squares neither overflow nor vanish.
    scaled = _over(rows, np.abs(rows).max(axis=1, keepdims=True))
    centred = np.where(constant, 0.0, scaled - scaled.mean(axis=1, keepdims=True))
    centred = _over(centred, np.abs(centred).max(axis=1, keepdims=True))
    return _over(centred, np.sqrt(np.einsum("ij,ij->i", centred, centred))[:, None])


def _over(rows: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(rows, sizes, out=np.zeros_like(rows), where=sizes > 0)
