"""A third party's initialisation: k-means++ (Arthur & Vassilvitskii 2007)."""

import numpy as np
from pydantic import Field

from dbgsom_core.api import Component, hookimpl

DBGSOM_API_VERSION = 1


class PlusPlus(Component):
    """Samples far from each other, drawn by the power of their distances."""

    power: float = Field(default=2.0, gt=0, description="2 is that of k-means++")

    def prototypes(self, start):
        """Return the prototypes (K, D)."""
        chosen = start.samples(1)
        pool = start.samples(min(start.data.n, 512))
        while len(chosen) < len(start):
            gaps = np.linalg.norm(pool[:, None] - chosen, axis=2).min(axis=1)
            shares = gaps**self.power
            drawn = start.rng.choice(len(pool), p=shares / shares.sum())
            chosen = np.vstack([chosen, pool[drawn]])
        return chosen


@hookimpl
def dbgsom_initialisations():
    """Offer it."""
    return {"plus_plus": PlusPlus}
