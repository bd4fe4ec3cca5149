"""The Chebyshev distance."""

from __future__ import annotations

from typing import ClassVar

from dbgsom_plugins.metrics.feature_metric import FeatureMetric


class Chebyshev(FeatureMetric):
    """Chebyshev distance, the largest absolute difference of a feature.

    Prototypes are kernel-weighted means: what minimises the summed distance has no closed form, and
    the middle of the range, which minimises the largest one, hangs on single samples. A missing
    value is left out: the distance is the largest difference of what is observed.
    """

    loop: ClassVar[str] = "chebyshev"
    handles: ClassVar[tuple[str, ...]] = ("missing",)
