"""The Jensen-Shannon distance."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError
from dbgsom_plugins.metrics.norms import FeatureMetric


class JensenShannon(FeatureMetric):
    """Jensen-Shannon distance between rows read as distributions, in [0, 0.8326].

    The square root of the Jensen-Shannon divergence with natural logarithms (Lin 1991; a metric:
    Endres & Schindelin 2003). Samples are counts or shares, not negative and not all zero, and are
    scaled to sum 1. Prototypes are kernel-weighted means, which minimise the summed relative
    entropy from the samples (Banerjee et al. 2005) and come near to what minimises this distance.
    """

    loop: ClassVar[str] = "jensen_shannon"

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the samples X (n, D), each scaled to sum 1.

        Raises
        ------
        DataError
            A row has a negative entry or is all zero; the message names the first one.
        """
        negative = np.flatnonzero((X < 0).any(axis=1))
        if len(negative):
            row = int(negative[0])
            column = int(np.argmax(X[row] < 0))
            raise DataError(
                f"jensen_shannon compares distributions, but row {row} has {X[row, column]} in "
                f"column {column}; shift or scale the data to at least 0, or use another metric"
            )
        empty = np.flatnonzero(~(X > 0).any(axis=1))
        if len(empty):
            raise DataError(
                f"jensen_shannon compares distributions, but row {int(empty[0])} is all zero; "
                "leave such rows out, or use another metric"
            )
        return _shares(X).astype(X.dtype, copy=False)

    def centre(self, means: NDArray[Any]) -> NDArray[Any]:
        """Return the means (K, D) as distributions: none negative, sum 1 (uniform where all 0)."""
        means = np.maximum(np.asarray(means, dtype=np.float64), 0.0)
        return _shares(np.where((means > 0).any(axis=1, keepdims=True), means, 1.0))

    def examples(self, generator: Any, n: int) -> NDArray[np.float64]:
        """Return counts (n, 5) of five things, for the conformance kit."""
        rates = generator.gamma(1.0, 10.0, (n, 5))
        return np.asarray(generator.poisson(rates) + np.eye(5)[np.arange(n) % 5])


def _shares(rows: NDArray[Any]) -> NDArray[np.float64]:
    rows = np.asarray(rows, dtype=np.float64)
    scaled = rows / rows.max(axis=1, keepdims=True)  # so that no sum overflows
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))
