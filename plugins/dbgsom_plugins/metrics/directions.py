"""Distances of directions (cosine, correlation), of distributions, and of category codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError
from dbgsom_plugins.metrics.norms import FeatureMetric

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Cosine(FeatureMetric):
    """Cosine distance 1 - cos(x, w) between directions, in [0, 2].

    Samples are scaled to unit length and prototypes are unit vectors along the kernel-weighted
    means (Dhillon & Modha 2001, spherical k-means). A sample of zeros has no direction: its
    distance to everything is 1. Sparse samples stay sparse.
    """

    loop = "cosine"
    handles = ("sparse",)

    def prepare(self, X: Any) -> Any:
        if isinstance(X, np.ndarray):
            return _unit_rows(X)
        from sklearn.preprocessing import normalize

        # As of rows: the largest entry first, then the length.
        return normalize(normalize(X, norm="max"), copy=False)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        return _unit_rows(means)

    def sparse(self, X: Any, prototypes: NDArray[Any]) -> Floats:
        W = np.asarray(prototypes, dtype=np.float64)
        return np.asarray(np.maximum(0.0, 1.0 - X @ W.T))


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

    loop = "cosine"

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        if X.shape[1] < 2:
            raise DataError(
                "correlation compares the shapes of rows, which takes at least 2 features, but "
                f"n_features = {X.shape[1]}; use another metric"
            )
        return _shapes(X).astype(X.dtype, copy=False)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        return _shapes(means)


def _shapes(rows: NDArray[Any]) -> Floats:
    rows = np.asarray(rows, dtype=np.float64)
    # Only a row that is constant to the bit has no shape; its mean would be off by rounding.
    constant = np.ptp(rows, axis=1, keepdims=True) == 0
    # Scaled by the largest entry each time, so that squares neither overflow nor vanish.
    scaled = _over(rows, np.abs(rows).max(axis=1, keepdims=True))
    centred = np.where(constant, 0.0, scaled - scaled.mean(axis=1, keepdims=True))
    centred = _over(centred, np.abs(centred).max(axis=1, keepdims=True))
    squares = np.einsum("ij,ij->i", centred, centred)
    return _over(centred, np.sqrt(squares)[:, None])


def _over(rows: Floats, sizes: Floats) -> Floats:
    return np.divide(rows, sizes, out=np.zeros_like(rows), where=sizes > 0)


class JensenShannon(FeatureMetric):
    """Jensen-Shannon distance between rows read as distributions, in [0, 0.8326].

    The square root of the Jensen-Shannon divergence with natural logarithms (Lin 1991; a metric:
    Endres & Schindelin 2003). Samples are counts or shares, not negative and not all zero, and are
    scaled to sum 1. Prototypes are kernel-weighted means, which minimise the summed relative
    entropy from the samples (Banerjee et al. 2005) and come near to what minimises this distance.
    """

    loop = "jensen_shannon"

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        wrong = np.flatnonzero((X < 0).any(axis=1) | ~(X > 0).any(axis=1))
        if len(wrong):
            row = wrong[0]
            column = X[row].argmin()
            raise DataError(
                f"jensen_shannon compares distributions, but row {row} has {X[row, column]} in "
                f"column {column}, and is negative or all zero; shift or scale the data to at "
                "least 0, leave rows of zeros out, or use another metric"
            )
        return _distributions(X).astype(X.dtype, copy=False)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        """Return the means (K, D) as distributions: none negative, sum 1 (uniform where all 0)."""
        means = np.maximum(np.asarray(means, dtype=np.float64), 0.0)
        has_any = (means > 0).any(axis=1, keepdims=True)
        return _distributions(np.where(has_any, means, 1.0))

    def examples(self, generator: Any, n: int) -> Floats:
        rates = generator.gamma(1.0, 10.0, (n, 5))
        return np.asarray(generator.poisson(rates) + np.eye(5)[np.arange(n) % 5])


def _distributions(rows: NDArray[Any]) -> Floats:
    rows = np.asarray(rows, dtype=np.float64)
    scaled = rows / rows.max(axis=1, keepdims=True)  # so that no sum overflows
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


_VALUES = 256  # distinct values of a feature whose votes are counted at a time: bounds memory


class Hamming(FeatureMetric):
    """Hamming distance between rows of category codes: the share of features that differ.

    Codes are whole numbers (ordinal or 0/1 encoding). A prototype holds the kernel-weighted mode of
    each feature, ties to the smallest code, which minimises the weighted sum of distances (Huang
    1998, k-modes); a mean would be no code and differ from every sample. Start prototypes are
    rounded to codes. Features that are missing are left out: the share is of those observed.
    """

    loop = "hamming"
    handles = ("missing",)

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        wrong = (np.rint(X) != X) & ~np.isnan(X)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"hamming compares category codes, but row {row} has {X[row, column]} in column "
                f"{column}; encode categories as whole numbers, or use another metric"
            )
        return X

    def centre(self, means: NDArray[Any]) -> Floats:
        return np.rint(np.asarray(means, dtype=np.float64))

    def form(
        self,
        X: NDArray[Any],
        units: Integers,
        influence: Floats,
        weights: Floats | None,
        so_far: Floats,
    ) -> Floats:
        modes = np.array(so_far, dtype=np.float64)
        n_groups, n_neurons = influence.shape
        for feature in range(X.shape[1]):
            is_seen = ~np.isnan(X[:, feature])
            values, codes = np.unique(X[is_seen, feature], return_inverse=True)
            groups, ballots = units[is_seen], None
            if weights is not None:
                ballots = weights[is_seen]
            most = np.zeros(n_neurons)
            for start in range(0, len(values), _VALUES):
                some = values[start : start + _VALUES]
                rows = np.flatnonzero((codes >= start) & (codes < start + len(some)))
                keys = (codes[rows] - start) * n_groups + groups[rows]
                size = len(some) * n_groups
                counts = np.bincount(keys, None if ballots is None else ballots[rows], size)
                votes = counts.reshape(len(some), n_groups) @ influence
                first = votes.argmax(axis=0)
                votes = votes[first, np.arange(n_neurons)]
                is_more = votes > most
                modes[is_more, feature] = some[first[is_more]]
                most = np.maximum(most, votes)
        return modes

    def examples(self, generator: Any, n: int) -> Floats:
        return np.asarray(generator.integers(0, 3, (n, 5)), dtype=np.float64)
