"""The Manhattan distance."""

from __future__ import annotations

from typing import ClassVar

from dbgsom_plugins.metrics.median_metric import MedianMetric


class Manhattan(MedianMetric):
    """Manhattan (city-block) distance, the sum of absolute differences.

    Prototypes are the exact kernel-weighted medians of each feature, which minimise the weighted
    sum of distances, once linked neighbours weigh at most a quarter of a neuron's own samples;
    until then they are means. ``prototype: mean`` takes means throughout, which is faster. Features
    that are missing are left out and the sum is scaled by features/observed.
    """

    loop: ClassVar[str] = "manhattan"
    handles: ClassVar[tuple[str, ...]] = ("missing",)
