"""The Euclidean distance."""

from __future__ import annotations

from typing import ClassVar

from dbgsom_plugins.metrics.feature_metric import FeatureMetric


class Euclidean(FeatureMetric):
    """Euclidean distance, the square root of the sum of squared differences.

    Missing values (nan) are left out, and the sum over the rest is scaled by D/observed. Sparse
    samples stay sparse.
    """

    loop: ClassVar[str] = "euclidean"
    geometry: ClassVar[str] = "euclidean"
    handles: ClassVar[tuple[str, ...]] = ("missing", "sparse")
