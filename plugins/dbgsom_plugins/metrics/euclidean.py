"""The Euclidean distance."""

from __future__ import annotations

from typing import ClassVar

from dbgsom_plugins.metrics.compiled_metric import CompiledMetric


class Euclidean(CompiledMetric):
    """Euclidean distance, the square root of the sum of squared differences."""

    loop: ClassVar[str] = "euclidean"
    geometry: ClassVar[str] = "euclidean"
