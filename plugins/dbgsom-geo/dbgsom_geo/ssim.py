"""The structural similarity of fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import DataError, MetricComponent

Floats = NDArray[np.float64]


class Ssim(MetricComponent):
    """1 - S, where S is the structural similarity of two fields, in [0, 2].

    S = (2 μx μy + c1)(2 σxy + c2) / ((μx² + μy² + c1)(σx² + σy² + c2)), Eq. (13) of Wang, Bovik,
    Sheikh & Simoncelli (2004), with means, variances and covariance over the whole field, so that
    it needs no shape. The S-SOM of Doan, Kusaka, Sato & Chen (2021) finds units by it, with c1 = c2
    = 0 in their program. The first factor compares mean levels and means nothing for values around
    0: ``luminance: false`` leaves it out.

    Prototypes are means of fields, as in S-SOM. These are no centres for this distance: means of
    unlike fields are weak, which the second factor counts. ``update: similarity`` takes a step
    towards the field w of the greatest sum of second factors, where the derivative is 0: w = Σ h x
    / q / Σ h (2 σxw + c2) / q² with q = σx² + σw² + c2, of x without its mean. Two fields without
    variance are alike, S = 1.
    """

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry")

    luminance: bool = Field(
        default=True, description="compare mean levels, for fields of one sign; false for anomalies"
    )
    update: Literal["mean", "similarity"] = Field(
        default="mean", description="prototypes are means, or fields that are most similar"
    )
    c1: float = Field(default=0.0, ge=0, description="keeps small means from counting, units²")
    c2: float = Field(default=0.0, ge=0, description="keeps small variances from counting, units²")

    def pairwise(self, X: NDArray[Any], prototypes: NDArray[Any]) -> Floats:
        (means, variances, fields), (levels, spreads, shapes) = _moments(X), _moments(prototypes)
        products = fields @ shapes.T / X.shape[1]
        similarity = _ratio(2 * products, variances[:, None] + spreads, self.c2)
        if self.luminance:
            low, high = min(means.min(), levels.min()), max(means.max(), levels.max())
            if low < 0 < high and self.c1 == 0:
                ends = f"{low:.3g} to {high:.3g}, through 0, as those of anomalies"
                cure = "set luminance: false"
                raise DataError(f"metric ssim compares mean levels, here {ends}: {cure}")
            squares = means[:, None] ** 2 + levels**2
            similarity *= _ratio(2 * means[:, None] * levels, squares, self.c1)
        return np.clip(1.0 - similarity, 0.0, 2.0)

    @property
    def form(self) -> Callable[..., Floats] | None:
        return self._most_similar if self.update == "similarity" else None

    def _most_similar(
        self, X: NDArray[Any], units: Any, influence: Floats, weights: Floats | None, so_far: Floats
    ) -> Floats:
        # One step from `so_far` (K, D); mean levels are those of the weighted fields.
        (means, variances, fields), (_, spreads, shapes) = _moments(X), _moments(so_far)
        of_sample = influence[units] * (1.0 if weights is None else weights[:, None])
        totals = of_sample.sum(axis=0)
        inverse = 1.0 / np.maximum(variances[:, None] + spreads + self.c2, 1e-300)
        shares = of_sample * inverse
        products = 2.0 * fields @ shapes.T / X.shape[1] + self.c2
        similar = (shares * inverse * products).sum(axis=0)
        moved = (totals > 0) & (similar > 0)
        formed = np.array(so_far, dtype=np.float64)
        levels = (of_sample.T @ means)[moved] / totals[moved]
        formed[moved] = (shares.T @ fields)[moved] / similar[moved, None] + levels[:, None]
        return formed

    @staticmethod
    def examples(generator: np.random.Generator, n: int) -> Floats:
        return 1000.0 + 10.0 * generator.standard_normal((n, 6))


def _moments(X: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    # Means (m,), population variances (m,), and rows without their mean (m, D).
    X = np.ascontiguousarray(X, dtype=np.float64)
    means = X.mean(axis=1)
    centred = X - means[:, None]
    return means, np.einsum("ij,ij->i", centred, centred) / X.shape[1], centred


def _ratio(products: Floats, sums: Floats, constant: float) -> Floats:
    sums = sums + constant
    return np.divide(products + constant, sums, out=np.ones_like(sums), where=sums > 0)
