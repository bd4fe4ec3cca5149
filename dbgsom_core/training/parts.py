"""The replaceable parts of an estimator, built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dbgsom_core.interfaces.engine import Engine
from dbgsom_core.interfaces.growth import GrowthAbilities, GrowthStrategy
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.kernels import Kernel
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.interfaces.metrics import Metric, MetricAbilities

PARTS = ("metric", "kernel", "growth", "labeller", "engine")
# Parameters that only training looks at, and the kind that each takes. They have short forms, too.
LOOP = {"init": "initialisation"}
KIND_OF = {**{kind: kind for kind in PARTS}, **LOOP}

if TYPE_CHECKING:
    from dbgsom_core.engine.contract import Samples


@dataclass(frozen=True)
class Parts:
    """The built parts of one estimator; ``init`` may be an array (K0, D)."""

    metric: Metric
    kernel: Kernel
    growth: GrowthStrategy
    labeller: Labeller
    engine: Engine
    init: Any = None

    def over(self, X: Any, metric: MetricAbilities, weights: Any = None) -> Samples:
        """Return samples X (n, D) as the engine holds them; see `Engine.over`."""
        samples: Samples = guarded("engine", self.engine, "over")(X, metric, weights)
        return samples

    @cached_property
    def growing(self) -> GrowthAbilities:
        """What the growth strategy can do."""
        return GrowthAbilities.of(self.growth)
