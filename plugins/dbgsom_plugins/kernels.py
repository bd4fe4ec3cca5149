"""Kernels: what a neuron learns from samples of another, by hops or by distance in the plane."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dbgsom_core.api import KernelComponent


class Gaussian(KernelComponent):
    """Gaussian kernel exp(-hops**2 / (2*width**2)) (Kohonen 2001, eq. 3.3)."""

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        """Return the weights (H,) at ``hops`` (H,)."""
        return np.asarray(np.exp(np.square(hops) / (-2.0 * width**2)))


class CutGaussian(KernelComponent):
    """Gaussian kernel that is 0 beyond ``cutoff`` widths."""

    cutoff: float = Field(default=3.0, gt=0, le=1e6, description="reach in widths; 0 beyond")

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        """Return the weights (H,) at ``hops`` (H,)."""
        gauss = np.exp(np.square(hops) / (-2.0 * width**2))
        return np.where(hops <= self.cutoff * width, gauss, 0.0)


class Triangular(KernelComponent):
    """Triangular kernel max(0, 1 - hops/(width + 1)) (Vasighi & Amini 2017).

    Its width runs linearly from 2 to 0.7 hops unless told otherwise, as in the paper's program.
    """

    start: float | None = Field(
        default=2.0, gt=0, le=1e6, description="width in hops at the first epoch"
    )
    end: float | None = Field(
        default=0.7, gt=0, le=1e6, description="width in hops at the last epoch"
    )
    decay: Literal["linear", "exponential"] = Field(
        default="linear", description="how the width goes from start to end"
    )

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        """Return the weights (H,) at ``hops`` (H,)."""
        return np.maximum(0.0, 1.0 - np.asarray(hops, dtype=np.float64) / (width + 1.0))


class Bubble(KernelComponent):
    """Bubble kernel: 1 within ``width`` hops, 0 beyond (Kohonen 2001, section 3.1)."""

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        """Return the weights (H,) at ``hops`` (H,)."""
        return np.where(np.asarray(hops) <= width, 1.0, 0.0)


class Epanechnikov(KernelComponent):
    """Epanechnikov kernel max(0, 1 - (hops/width)**2) (Epanechnikov 1969).

    The width is where it reaches 0: linked neighbours learn while it is above 1, and at 1 or below
    a neuron learns from its own samples alone. So it ends at 1.1 hops unless told otherwise, where
    linked neighbours weigh 0.17.
    """

    end: float | None = Field(
        default=1.1, gt=0, le=1e6, description="width in hops at the last epoch"
    )

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        """Return the weights (H,) at ``hops`` (H,)."""
        return np.maximum(0.0, 1.0 - np.square(np.asarray(hops, dtype=np.float64) / width))


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
