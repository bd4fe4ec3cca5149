"""Neighbourhood kernels, and schedules of their width."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from dbgsom_core.interfaces.component import Component

if TYPE_CHECKING:
    from dbgsom_core.interfaces.context import FloatArray


class KernelComponent(Component):
    """Base of neighbourhood kernels: how much a neuron learns from samples won some hops away.

    Its fields say how the width goes from ``start`` to ``end`` over the epochs e = 1..E:
    linear: (start - end)*t + end with t = (E - e)/(E - 1) (Vasighi & Amini 2017);
    exponential: start*(end/start)**((e - 1)/(E - 1)).

    Attributes
    ----------
    rises : bool
        True when weights may increase with distance, else that is an error.
    reads : {"hops", "plane", "offsets"}
        Which distance `weight` gets: along links; ``"plane"``, Euclidean between cells, of which
        the nearest lie 1 apart; ``"offsets"``, vectors (x, y) in the plane, y up, from the neuron
        that won the samples to the one that learns.
    inhibits : bool
        True when weights may be negative, but that of the winner. A prototype m then goes by
        Σ h (x - m) / Σ |h|, and stays where the sum of h is not above 0.
    """

    KIND: ClassVar[str] = "kernel"
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

    @abstractmethod
    def weight(self, hops: FloatArray, width: float) -> FloatArray:
        """Return the weights (H,) at graph distances ``hops`` (H,) for a kernel ``width`` in hops.

        ``weight(0) > 0``, weights are finite, not negative and do not depend on the other entries
        of ``hops``. With ``reads`` they are plane distances (H,) or offsets (H, 2) instead.
        """


class ScheduleComponent(Component):
    """Base of schedules of the kernel's width over the growing phase.

    In the fine-tuning phase the width is at the kernel's ``end``, whatever the schedule.
    """

    KIND: ClassVar[str] = "schedule"

    @abstractmethod
    def width(self, start: float, end: float, remaining: float) -> float:
        """Return the width in hops, finite and above 0.

        ``start`` and ``end`` are the kernel's; ``remaining`` is the share of the phase that is
        left: 1 in its first epoch, 0 in its last.
        """
