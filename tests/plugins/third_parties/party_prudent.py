"""A third party's growth that takes back what nobody needs."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core.api import Birth, Death, GrowthComponent, hookimpl

DBGSOM_API_VERSION = 1


class Prudent(GrowthComponent):
    """A neuron is born beside the one of the largest error; ends that won little die."""

    removes: ClassVar[bool] = True
    least: int = Field(default=3, ge=0, description="hits of an end, or it dies")
    max_neurons: int = Field(default=20, ge=4, description="cap on the map")

    def grow(self, som_map, state):
        """Return births in every third epoch, and deaths in others."""
        if state.epoch % 3:
            idle = np.flatnonzero((som_map.degrees() == 1) & (state.hits < self.least))
            return [Death(int(end)) for end in idle[:1]]
        edge = np.flatnonzero(som_map.boundary())
        worst = int(edge[np.argmax(state.errors[edge])])
        place = som_map.prototypes[worst] + state.context.generator.normal(scale=0.01)
        return [Birth(som_map.free_cells(worst)[0], place, worst)]


dbgsom_growth_strategies = hookimpl(lambda: {"prudent": Prudent})
