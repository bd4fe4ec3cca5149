"""Kernels that reach a few hops and no further."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import KernelComponent


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
