"""A neighbourhood kernel."""

import numpy as np
from pydantic import Field

from dbgsom_core.api import KernelComponent


class Plateau(KernelComponent):
    """Flat near the winner, then falling like a gaussian."""

    flat: float = Field(default=0.5, ge=0, description="width of the plateau, in kernel widths")

    def weight(self, hops, width):
        """Return the weights (H,) at graph distances ``hops`` (H,) for a ``width`` in hops."""
        beyond = np.maximum(0.0, np.asarray(hops, dtype=np.float64) - self.flat * width)
        return np.exp(-((beyond / width) ** 2) / 2)
