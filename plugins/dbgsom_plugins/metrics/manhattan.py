"""The Manhattan distance."""

from __future__ import annotations

from typing import ClassVar

from dbgsom_plugins.metrics.median_metric import MedianMetric


class Manhattan(MedianMetric):
    """Manhattan (city-block) distance, the sum of absolute differences.

    Prototypes are the exact kernel-weighted medians of each feature, which minimise the weighted
    sum of distances; ``prototype: mean`` takes means, which is faster and smoother on data with few
    distinct values. Features that are missing are left out and the sum is scaled by
    features/observed.
    """

    loop: ClassVar[str] = "manhattan"
    handles: ClassVar[tuple[str, ...]] = ("missing",)
