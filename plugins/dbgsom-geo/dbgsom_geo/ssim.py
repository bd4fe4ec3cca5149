"""The structural similarity of fields."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import DataError, MetricComponent


class Ssim(MetricComponent):
    """1 - S, where S is the structural similarity of two fields, in [0, 2].

    S = (2 μx μy + c1)(2 σxy + c2) / ((μx² + μy² + c1)(σx² + σy² + c2)), Eq. (13) of Wang, Bovik,
    Sheikh & Simoncelli (2004), with means, variances and covariance over the whole field. The S-SOM
    of Doan, Kusaka, Sato & Chen (2021) finds best-matching units by it, with c1 = c2 = 0, and moves
    prototypes as any SOM does, so that here they are weighted means of fields. The first factor
    compares mean levels and means nothing for values around 0: ``luminance: false`` leaves it out.
    No window slides over the field, so that it needs no shape.

    Two fields without variance (σ = 0 and c2 = 0) are alike, S = 1; one beside one with variance
    has S = 0. Means of unlike fields are smoother than these, and S counts that as unlike.
    """

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry")

    luminance: bool = Field(
        default=True, description="compare mean levels, for fields of one sign; false for anomalies"
    )
    c1: float = Field(default=0.0, ge=0, description="keeps small means from counting, units²")
    c2: float = Field(default=0.0, ge=0, description="keeps small variances from counting, units²")

    def pairwise(self, X: NDArray[Any], prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of fields X (m, D) to prototypes (K, D)."""
        means, variances, fields = _moments(X)
        own_means, own_variances, own = _moments(prototypes)
        # A product of matrices, and what is left of it where two fields are nearly the same.
        products = fields @ own.T / X.shape[1]
        similarity = _ratio(2 * products, variances[:, None] + own_variances, self.c2)
        if self.luminance:
            low, high = min(means.min(), own_means.min()), max(means.max(), own_means.max())
            if low < 0 < high and self.c1 == 0:
                raise DataError(
                    f"metric ssim compares mean levels, and these go from {low:.3g} to {high:.3g}, "
                    "through 0, as those of anomalies: set luminance: false"
                )
            products = 2 * means[:, None] * own_means
            similarity *= _ratio(products, means[:, None] ** 2 + own_means**2, self.c1)
        return np.clip(1.0 - similarity, 0.0, 2.0)

    def assign(
        self, X: NDArray[Any], prototypes: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the nearest prototypes (m,), ties to the lowest row, and their distances."""
        distances = self.pairwise(X, prototypes)
        units = distances.argmin(axis=1)
        return units, distances[np.arange(len(X)), units]

    @staticmethod
    def examples(generator: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Return n fields of pressure around 1000, (n, 6), for the conformance kit."""
        return 1000.0 + 10.0 * generator.standard_normal((n, 6))


def _moments(X: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    # Means (m,), population variances (m,), and rows without their mean (m, D).
    X = np.ascontiguousarray(X, dtype=np.float64)
    means = X.mean(axis=1)
    centred = X - means[:, None]
    return means, np.einsum("ij,ij->i", centred, centred) / X.shape[1], centred


def _ratio(products: Any, sums: Any, constant: float) -> NDArray[np.float64]:
    sums = sums + constant
    ratio = np.ones_like(sums)
    return np.divide(products + constant, sums, out=ratio, where=sums > 0)
