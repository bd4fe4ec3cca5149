"""An initialisation."""

import numpy as np
from pydantic import Field

from dbgsom_core.api import InitialisationComponent


class Diagonal(InitialisationComponent):
    """The first neurons lie on a line between the smallest and the largest values."""

    margin: float = Field(default=0.25, ge=0, lt=0.5, description="share left free at both ends")

    def prototypes(self, start):
        """Return the prototypes (K, D) of the first cells."""
        low, high = start.extremes()
        steps = np.linspace(self.margin, 1.0 - self.margin, len(start))
        return low + steps[:, None] * (high - low)
