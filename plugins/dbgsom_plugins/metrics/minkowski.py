"""The Minkowski distance."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field

from dbgsom_plugins.metrics.feature_metric import FeatureMetric


class Minkowski(FeatureMetric):
    """Minkowski distance (sum of |x - w|**p)**(1/p), from Manhattan to nearly Chebyshev.

    No power overflows, so a large ``p`` gives the Chebyshev distance. Prototypes are
    kernel-weighted means, which minimise the summed squares at p = 2 and stand in for the
    minimiser, which has no closed form, elsewhere; for medians at p = 1 use `manhattan`. Features
    that are missing are left out and the sum is scaled by features/observed.
    """

    handles: ClassVar[tuple[str, ...]] = ("missing",)

    p: float = Field(
        default=3.0,
        ge=1,
        allow_inf_nan=False,
        description="power; 1 is manhattan, 2 euclidean, chebyshev the limit",
    )

    @property
    def geometry(self) -> str | None:
        """``"euclidean"`` at p = 2, where the distance is just that."""
        return "euclidean" if self.p == 2 else None

    def _fill(
        self, loops: Any, X: NDArray[Any], prototypes: NDArray[Any], out: NDArray[Any]
    ) -> None:
        if self.p == 1:
            loops.pairwise_manhattan(X, prototypes, out)
        elif self.p == 2:
            loops.pairwise_euclidean(X, prototypes, out)
        else:
            loops.pairwise_minkowski(X, prototypes, self.p, out)
