"""Gaussian kernels, whole and cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

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
