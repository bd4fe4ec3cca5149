"""A growth strategy that does everything to a map that there is to do."""

from typing import ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from dbgsom_core.api import Birth, Death, GrowthComponent, Insert, Move, hookimpl

DBGSOM_API_VERSION = 1


class Restless(GrowthComponent):
    """Births, deaths, moves and whole rows or columns in turn; the youngest end dies first."""

    removes: ClassVar[bool] = True
    max_neurons: int = Field(default=40, ge=4, description="cap on the map")
    _age: np.ndarray | None = PrivateAttr(None)  # epochs that each neuron has been there

    def remembered(self):
        return self._age

    def remember(self, value):
        self._age = value

    def renumber(self, rows):
        self._age = np.where(rows < 0, 0, self._age[rows])

    def grow(self, som_map, state):
        age = np.zeros(len(som_map), int) if self._age is None else self._age
        self._age = age = age + 1
        best = int(np.argmax(state.hits))
        ends = np.flatnonzero(som_map.degrees() == 1)
        free = som_map.free_cells(best)
        if state.epoch % 4 == 0:
            along = som_map.positions[:, 1] == som_map.positions[best, 1]
            return [Insert(best, k) for k in som_map.neighbours(best) if along[k]][:1]
        if state.epoch % 4 == 1 and len(ends):
            return [Death(int(ends[age[ends].argmin()]))]
        if state.epoch % 4 == 2 and len(ends) > 1 and free:
            return [Move(int(end), free[0]) for end in ends[ends != best][:1]]
        return [Birth(cell, som_map.prototypes[best], best) for cell in free[:2]]


@hookimpl
def dbgsom_growth_strategies():
    return {"restless": "restless:Restless"}
