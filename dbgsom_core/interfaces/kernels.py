"""What a neighbourhood kernel is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import Field

from dbgsom_core.interfaces.component import Abilities, Component

if TYPE_CHECKING:
    from dbgsom_core.interfaces.arrays import FloatArray


@runtime_checkable
class Kernel(Protocol):
    """A neighbourhood kernel: how much a neuron learns from samples won some hops away.

    Derive from `KernelComponent` to get the width schedule (``start``, ``end``, ``decay``).
    """

    def weight(self, hops: FloatArray, width: float) -> FloatArray:
        """Return the weights (H,) at graph distances ``hops`` (H,) for a kernel ``width`` in hops.

        Vectorised. ``weight(0) > 0``, weights are finite, not negative and do not depend on the
        other entries of ``hops``: they are computed once per hop count and looked up.
        """


class KernelComponent(Component):
    """Base of kernels: the width schedule over the epochs e = 1..E of the training.

    linear: (start - end)*t + end with t = (E - e)/(E - 1) (Vasighi & Amini 2017);
    exponential: start*(end/start)**((e - 1)/(E - 1)).
    """

    start: float | None = Field(
        default=None,
        gt=0,
        description="width in hops at first; null: from the map's size",
    )
    end: float | None = Field(
        default=None,
        gt=0,
        description="width in hops at the last epoch; "
        "null: 0.5, or 0.3 where growth has a link_pull",
    )
    decay: Literal["linear", "exponential"] = Field(
        default="exponential", description="how the width goes from start to end"
    )


@dataclass(frozen=True)
class KernelAbilities(Abilities):
    """The width schedule of one kernel; see `KernelComponent`."""

    defaults: ClassVar[Component] = KernelComponent()

    start: float | None
    end: float | None
    decay: Literal["linear", "exponential"]
