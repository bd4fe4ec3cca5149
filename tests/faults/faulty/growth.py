"""Growth strategies."""

import itertools
from typing import ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from dbgsom_core.api import Birth, Component


class Fine(Component):
    """Nothing is wrong."""

    max_neurons: int = Field(default=12, ge=4, description="cap on the map")

    def first(self, som_map):
        for neuron in range(len(som_map)):
            for cell in som_map.free_cells(neuron):
                return cell, neuron
        raise LookupError

    def grow(self, som_map, state):
        return self.fine(som_map, state)

    def fine(self, som_map, state):
        if state.epoch % 2:
            return []
        cell, neuron = self.first(som_map)
        return [Birth(cell, som_map.prototypes[neuron] + 0.1, neuron)]


class EndlessRow(Fine):
    """A row of neurons without end, each beside the last."""

    max_neurons: None = Field(default=None, description="no cap")

    def grow(self, som_map, state):
        x, y = som_map.positions.max(axis=0).tolist()
        for step in itertools.count(1):
            yield Birth((x + step, y), som_map.prototypes[0], 0)


class Nothing(Fine):
    """Returns nothing at all."""

    def grow(self, som_map, state):
        return None


class Forgetful(Fine):
    """Counts epochs itself, and no checkpoint knows."""

    _seen: list[int] = PrivateAttr(default_factory=list)

    def grow(self, som_map, state):
        self._seen.append(state.epoch)
        if len(self._seen) % 3:
            return []
        cell, neuron = self.first(som_map)
        return [Birth(cell, som_map.prototypes[neuron] + 0.1, neuron)]


class Steady(Forgetful):
    """Counts epochs itself, and nothing is wrong."""

    def remembered(self):
        return {"seen": self._seen, "array": np.arange(2.0)}

    def remember(self, value):
        self._seen[:] = [] if value is None else value["seen"]


class HalfForgetful(Forgetful):
    """Remembers how often it was asked, and takes nothing back."""

    def remembered(self):
        return len(self._seen)


class Lasting(Forgetful):
    """Counts the epochs of all trainings."""

    _all: ClassVar[list[int]] = []

    def grow(self, som_map, state):
        self._all.append(state.epoch)
        if len(self._all) % 7:
            return []
        cell, neuron = self.first(som_map)
        return [Birth(cell, som_map.prototypes[neuron] + 0.1, neuron)]


class Unwritable(Forgetful):
    """Remembers what no checkpoint can hold."""

    def remembered(self):
        return {1, 2}

    def remember(self, value):
        pass


class FewChildren(Fine):
    """Answers for one neuron."""

    def wants_children(self, som_map, state):
        return [True]
