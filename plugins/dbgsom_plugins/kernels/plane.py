"""Kernels of distances in the plane, which do not go around corners as hops do."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dbgsom_core.api import KernelComponent


class PlaneGaussian(KernelComponent):
    """Gaussian of the plane distance, exp(-d**2 / (2*width**2)): the classical one (Kohonen 2001).

    Rings around a neuron are round, while those of hops are diamonds on squares.
    """

    reads: ClassVar[Literal["hops", "plane", "offsets"]] = "plane"

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        """Return the weights (H,) at plane distances (H,)."""
        return np.asarray(np.exp(np.square(hops) / (-2.0 * width**2)))


class MexicanHat(KernelComponent):
    """Gaussian of the plane distance less a wider one: near neurons attract, others push away.

    exp(-d**2 / (2*b**2)) - inhibition*exp(-d**2 / (2*(spread*b)**2)) at width b (Kohonen 1982;
    the difference of Gaussians of Marr & Hildreth 1980).
    """

    reads: ClassVar[Literal["hops", "plane", "offsets"]] = "plane"
    inhibits: ClassVar[bool] = True

    inhibition: float = Field(
        default=0.05, ge=0, lt=1, description="weight of the wider one; 0: none"
    )
    spread: float = Field(default=3.0, gt=1, le=100, description="its width, in widths")

    @model_validator(mode="after")
    def _excites(self) -> Self:
        if self.inhibition * self.spread**2 >= 1:
            raise ValueError("inhibition * spread**2 must be below 1, or a map pushes all away")
        return self

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        """Return the weights (H,) at plane distances (H,)."""
        square = np.square(hops) / (-2.0 * width**2)
        return np.asarray(np.exp(square) - self.inhibition * np.exp(square / self.spread**2))
