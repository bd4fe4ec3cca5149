"""A growth strategy."""

import numpy as np
from pydantic import Field

from dbgsom_core.api import Birth, GrowthComponent


class Greedy(GrowthComponent):
    """Give the neuron with the largest error a neighbour, every few epochs."""

    every: int = Field(default=3, ge=1, description="epochs between two births")
    max_neurons: int | None = Field(default=30, ge=4, description="cap on the map; null: none")

    def grow(self, som_map, state):
        """Return the births of this epoch: at most one."""
        if state.epoch % self.every:
            return []
        for neuron in np.argsort(-state.errors, kind="stable").tolist():
            free = som_map.free_cells(neuron)
            if free:
                return [Birth(free[0], self._prototype(som_map, neuron), neuron)]
        return []

    def _prototype(self, som_map, neuron):
        # As far beyond the neuron as it lies beyond its neighbours.
        own = som_map.prototypes[neuron]
        return 2 * own - som_map.prototypes[som_map.neighbours(neuron)].mean(axis=0)
