"""The Canberra distance."""

from __future__ import annotations

from typing import ClassVar

from dbgsom_plugins.metrics.median_metric import MedianMetric


class Canberra(MedianMetric):
    """Canberra distance, the sum of |x - w|/(|x| + |w|), where 0/0 counts as 0.

    Prototypes are kernel-weighted medians of each feature. For values of one sign a term is
    tanh(|ln x - ln w|/2), so medians minimise the summed distance of samples that lie near each
    other, and come near to it otherwise; ``prototype: mean`` takes means. Features that are missing
    are left out and the sum is scaled by features/observed.
    """

    loop: ClassVar[str] = "canberra"
    handles: ClassVar[tuple[str, ...]] = ("missing",)
