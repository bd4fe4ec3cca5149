"""The Manhattan distance."""

from __future__ import annotations

from typing import ClassVar

from dbgsom_plugins.metrics.compiled_metric import CompiledMetric


class Manhattan(CompiledMetric):
    """Manhattan (city-block) distance, the sum of absolute differences.

    Prototypes are kernel-weighted means, not the weighted medians that would minimise it.
    """

    loop: ClassVar[str] = "manhattan"
