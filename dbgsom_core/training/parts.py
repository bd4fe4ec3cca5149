"""The replaceable parts of an estimator, built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.engine import Engine
from dbgsom_core.interfaces.growth import GrowthAbilities, GrowthStrategy
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.initialisations import GridShape
from dbgsom_core.interfaces.kernels import Kernel, Schedule
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.interfaces.metrics import Metric, MetricAbilities
from dbgsom_core.interfaces.stopping import StoppingRule

PARTS = ("metric", "kernel", "growth", "labeller", "engine")
# Parameters that only training looks at, and the kind that each takes. They have short forms, too.
LOOP = {
    "grid": "grid",
    "init": "initialisation",
    "schedule": "schedule",
    "stopping": "stopping",
}
KIND_OF = {**{kind: kind for kind in PARTS}, **LOOP}
# What a fitted model answers without.
NOT_ASKED = ("kernel", "growth", *LOOP)

if TYPE_CHECKING:
    from dbgsom_core.engine.local import Samples


@dataclass(frozen=True)
class Absent:
    """Stands for a part of a loaded model whose plugin is not installed here.

    Attributes
    ----------
    stored : plain value
        What the model's file says of it.
    """

    stored: Any


@dataclass(frozen=True)
class Parts:
    """The built parts of one estimator.

    ``init`` may be an array (K0, D), ``schedule`` is None where the kernel's ``decay`` says it.
    """

    metric: Metric
    kernel: Kernel
    growth: GrowthStrategy
    labeller: Labeller
    engine: Engine
    grid: GridShape
    init: Any = None
    schedule: Schedule | None = None
    stopping: tuple[StoppingRule, ...] = ()

    def each(self) -> Iterator[tuple[str, str, Any]]:
        """Yield parameter, kind and component of each part; those of a list as ``stopping.0``."""
        for name, kind in KIND_OF.items():
            part = getattr(self, name)
            if isinstance(part, tuple):
                yield from ((f"{name}.{i}", kind, one) for i, one in enumerate(part))
            elif isinstance(part, Component):
                yield name, kind, part

    def over(self, X: Any, metric: MetricAbilities, weights: Any = None) -> Samples:
        """Return samples X (n, D) as the engine holds them; see `Engine.over`."""
        samples: Samples = guarded("engine", self.engine, "over")(X, metric, weights)
        return samples

    @cached_property
    def growing(self) -> GrowthAbilities:
        """What the growth strategy can do."""
        return GrowthAbilities.of(self.growth)
