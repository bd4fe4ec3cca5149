"""The replaceable parts of an estimator, built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dbgsom_core.interfaces.engine import Engine
from dbgsom_core.interfaces.growth import GrowthAbilities, GrowthStrategy
from dbgsom_core.interfaces.kernels import Kernel
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.interfaces.metrics import Metric

PARTS = ("metric", "kernel", "growth", "labeller", "engine")


@dataclass(frozen=True)
class Parts:
    """The built parts of one estimator."""

    metric: Metric
    kernel: Kernel
    growth: GrowthStrategy
    labeller: Labeller
    engine: Engine

    @cached_property
    def growing(self) -> GrowthAbilities:
        """What the growth strategy can do."""
        return GrowthAbilities.of(self.growth)
