"""A third party's Growing Grid (Fritzke 1995): whole rows and columns come between neurons."""

import numpy as np
from pydantic import Field

from dbgsom_core.api import GrowthComponent, Insert, hookimpl

DBGSOM_API_VERSION = 1


class Lines(GrowthComponent):
    """A line between the neuron that won most and its neighbour along a line that is farthest."""

    every: int = Field(default=2, ge=1, description="epochs from line to line")
    max_neurons: int = Field(default=30, ge=4, description="no line is begun beyond so many")

    def grow(self, som_map, state):
        """Return the row or column to insert, if any."""
        most = int(np.argmax(state.hits))
        positions, near = som_map.positions, np.array(som_map.neighbours(most))
        near = near[abs(positions[near] - positions[most]).sum(axis=1) == 1]
        apart = state.context.distances(som_map.prototypes[[most]], som_map.prototypes[near])[0]
        other = int(near[apart.argmax()])
        across = int(positions[most, 0] == positions[other, 0])  # 1: a row comes
        line = int((positions[:, across] == positions[most, across]).sum())
        if state.epoch % self.every or (state.room is not None and line > state.room):
            return []
        return [Insert(most, other)]


dbgsom_growth_strategies = hookimpl(lambda: {"lines": Lines})
