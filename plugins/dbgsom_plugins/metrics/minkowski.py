"""The Minkowski distance."""

from __future__ import annotations

from typing import ClassVar

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

    def _loop(self) -> tuple[str, tuple[float, ...]]:
        exact = {1.0: "manhattan", 2.0: "euclidean"}.get(self.p)
        return ("minkowski", (self.p,)) if exact is None else (exact, ())
