"""Neighbourhood kernels, and schedules of their width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    runtime_checkable,
)

from pydantic import Field

from dbgsom_core.interfaces.component import Abilities, Component, is_number
from dbgsom_core.interfaces.guard import Guarded

if TYPE_CHECKING:
    from dbgsom_core.interfaces.context import FloatArray


@runtime_checkable
class Kernel(Protocol):
    """A neighbourhood kernel: how much a neuron learns from samples won some hops away.

    Derive from `KernelComponent` to get the width schedule (``start``, ``end``, ``decay``).
    """

    def weight(self, hops: FloatArray, width: float) -> FloatArray:
        """Return the weights (H,) at graph distances ``hops`` (H,) for a kernel ``width`` in hops.

        ``weight(0) > 0``, weights are finite, not negative and do not depend on the other entries
        of ``hops``. With ``reads`` they are plane distances (H,) or offsets (H, 2) instead.
        """


class KernelComponent(Component):
    """Base of kernels: the width schedule over the epochs e = 1..E of the training.

    linear: (start - end)*t + end with t = (E - e)/(E - 1) (Vasighi & Amini 2017);
    exponential: start*(end/start)**((e - 1)/(E - 1)).

    Optional capabilities
        ``rises`` (attribute): True when weights may increase with distance, else that is an error.
        ``reads`` (attribute): which distance `weight` gets: ``"hops"`` along links; ``"plane"``,
        Euclidean between cells, of which the nearest lie 1 apart; ``"offsets"``, vectors (x, y) in
        the plane, y up, from the neuron that won the samples to the one that learns.
        ``inhibits`` (attribute): True when weights may be negative, but that of the winner. A
        prototype m then goes by Σ h (x - m) / Σ |h|, and stays where the sum of h is not above 0.
    """

    rises: ClassVar[bool] = False
    reads: ClassVar[Literal["hops", "plane", "offsets"]] = "hops"
    inhibits: ClassVar[bool] = False

    start: Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] | None = Field(
        default=None,
        description="width in hops at first; auto: 3, or half the map's side where that is less, "
        "or a quarter where that is more; null: a quarter",
    )
    end: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="width in hops at the last epoch; "
        "null: 0.5, or 0.3 where growth has a link_pull",
    )
    decay: Literal["linear", "exponential"] = Field(
        default="exponential", description="how the width goes from start to end"
    )


@dataclass(frozen=True)
class KernelAbilities(Abilities):
    """The weights and the width schedule of one kernel; see `KernelComponent`."""

    kind: ClassVar[str] = "kernel"
    defaults: ClassVar[Component] = KernelComponent()

    start: float | Literal["auto"] | None
    end: float | None
    decay: Literal["linear", "exponential"]
    rises: bool
    reads: Literal["hops", "plane", "offsets"]
    inhibits: bool
    weight: Callable[[Any, float], Any] | None = None

    @classmethod
    def of(cls, component: Any, **known: Any) -> Self:
        found = super().of(component, **known)
        if isinstance(found.weight, Guarded):
            falls = not found.rises and found.reads != "offsets"
            check = "signed_weight" if found.inhibits else "falling_weight" if falls else "weight"
            found = replace(found, weight=replace(found.weight, checked_as=check))
        return found

    def check(self) -> None:
        self.require(
            "reads", "'hops', 'plane' or 'offsets'", ("hops", "plane", "offsets").__contains__
        )
        self.require("decay", "'linear' or 'exponential'", ("linear", "exponential").__contains__)

        def is_width(width: Any) -> bool:
            return width is None or is_number(width, 1e-300)

        self.require("start", "a number of hops above 0", lambda w: w == "auto" or is_width(w))
        self.require("end", "a number of hops above 0", is_width)


@runtime_checkable
class Schedule(Protocol):
    """A schedule of the kernel's width over the growing phase.

    In the fine-tuning phase the width is at the kernel's ``end``, whatever the schedule.
    """

    def width(self, start: float, end: float, remaining: float) -> float:
        """Return the width in hops, finite and above 0.

        ``start`` and ``end`` are the kernel's; ``remaining`` is the share of the phase that is
        left: 1 in its first epoch, 0 in its last.
        """
