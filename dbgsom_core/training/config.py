"""What stays the same during a fit, and during the training of one map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.growth import GrowthAbilities, GrowthStrategy
from dbgsom_core.interfaces.kernels import Kernel, KernelAbilities
from dbgsom_core.training.targets import Target


@dataclass(frozen=True)
class Settings:
    """How a map is trained beside its parts; see the parameters of `SomVQ`."""

    epochs: int = 100
    tol: float = 1e-4
    robust: float | str | None = None
    contamination: float = 0.05
    random_state: Any = None


@dataclass(frozen=True)
class Held:
    """What is held out for stopping rules, and its targets."""

    samples: Samples
    target: Target | None = None


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that stays the same during the training of one map.

    Attributes
    ----------
    data : Samples
        The prepared training samples, with their classes where y gives some.
    epochs : int
        Upper bound.
    tol : float
        The map has converged when, at the final width, the prototypes move less than this share
        of the data's ``deviation`` ‖std(X)‖. 0 runs all epochs: nor is what growth leaves of them
        cut short.
    threshold : float
        The growing threshold, or nan.
    cap_is_automatic : bool
        Warn when ``max_neurons`` binds, since nobody chose it.
    robust : float or None
        γ of `smoothed_weights`, in the inverse of the squared distance's units; None: off.
    continues : bool
        The map is trained already: the kernel stays at its final width.
    course : component or None
        How the width goes down; None: as the kernel's ``decay`` says.
    validation, monitor : Samples, ValidationMonitor or None
        What is held out for stopping rules, and what those of them see that need targets.
    seed : tuple of int
        Of what growth draws by lot.
    """

    data: Samples
    kernel: Kernel
    growth: GrowthStrategy
    epochs: int
    tol: float
    deviation: float
    threshold: float = float("nan")
    max_neurons: int | None = None
    cap_is_automatic: bool = False
    robust: float | None = None
    continues: bool = False
    course: Any = None
    stopping: tuple[Any, ...] = ()
    validation: Samples | None = None
    monitor: Any = None
    seed: tuple[int, ...] = (0,)

    @cached_property
    def centre(self) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
        """How the metric forms a prototype from a mean, where it has a way of its own."""
        return self.data.metric.centre

    @cached_property
    def weighing(self) -> KernelAbilities:
        """What the kernel can do."""
        return KernelAbilities.of(self.kernel)

    @property
    def weight(self) -> Any:
        """The kernel's ``weight(hops, width)``."""
        return self.weighing.weight

    @cached_property
    def growing(self) -> GrowthAbilities:
        """What the growth strategy can do."""
        return GrowthAbilities.of(self.growth)
