"""A kernel cut from a wavelet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import KernelComponent


class Ricker(KernelComponent):
    """Positive lobe of the Ricker wavelet, (1 - h²/w²)·exp(-h²/(2w²)) within one width w, else 0.

    The whole wavelet pushes distant neurons away, which a batch mean cannot do: a weighted mean
    with negative weights need not exist.
    """

    def weight(self, hops: NDArray[Any], width: float) -> NDArray[np.float64]:
        squares = (np.asarray(hops, dtype=np.float64) / width) ** 2
        return np.maximum(0.0, 1.0 - squares) * np.exp(-squares / 2.0)
