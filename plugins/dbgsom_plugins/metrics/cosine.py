"""The cosine distance."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_plugins.metrics.feature_metric import FeatureMetric


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
        return _unit_rows(X) if isinstance(X, np.ndarray) else _unit_sparse_rows(X)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        """Return unit vectors along the means (K, D)."""
        return _unit_rows(means)


def _unit_rows(rows: NDArray[Any]) -> NDArray[Any]:
    # Scaled by the largest entry first, so that squares neither overflow nor vanish.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]
    return np.asarray(np.divide(scaled, lengths, out=scaled, where=lengths > 0))


def _unit_sparse_rows(X: Any) -> Any:
    from sklearn.preprocessing import normalize

    # As above: the largest entry first, then the length.
    return normalize(normalize(X, norm="max"), copy=False)
