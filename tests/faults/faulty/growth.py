"""Growth strategies."""

import itertools
import os
import sys
import time
from typing import Any, ClassVar

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


class Endless(Fine):
    """Births without end."""

    def grow(self, som_map, state):
        cell, neuron = self.first(som_map)
        return itertools.repeat(Birth(cell, som_map.prototypes[neuron], neuron))


class EndlessRow(Fine):
    """A row of neurons without end, each beside the last."""

    max_neurons: None = Field(default=None, description="no cap")

    def grow(self, som_map, state):
        x, y = som_map.positions.max(axis=0).tolist()
        for step in itertools.count(1):
            yield Birth((x + step, y), som_map.prototypes[0], 0)


class Taken(Fine):
    """Wants a cell that is taken."""

    def grow(self, som_map, state):
        return [Birth(tuple(som_map.positions[0].tolist()), som_map.prototypes[0], 0)]


class Far(Fine):
    """Wants a cell beside nobody."""

    def grow(self, som_map, state):
        return [Birth((99, 99), som_map.prototypes[0], 0)]


class Twice(Fine):
    """Wants one cell twice."""

    def grow(self, som_map, state):
        return self.fine(som_map, state) * 2


class Orphan(Fine):
    """Names a parent that does not live."""

    def grow(self, som_map, state):
        return [one._replace(parent=len(som_map)) for one in self.fine(som_map, state)]


class LastParent(Fine):
    """Names a parent below 0."""

    def grow(self, som_map, state):
        return [one._replace(parent=-1) for one in self.fine(som_map, state)]


class Undefined(Fine):
    """Prototypes that are no numbers."""

    def grow(self, som_map, state):
        return [one._replace(prototype=one.prototype * np.nan) for one in self.fine(som_map, state)]


class Wide(Fine):
    """Prototypes with one feature too many."""

    def grow(self, som_map, state):
        return [
            one._replace(prototype=np.append(one.prototype, 1)) for one in self.fine(som_map, state)
        ]


class Text(Fine):
    """Prototypes of words."""

    def grow(self, som_map, state):
        return [
            one._replace(prototype=one.prototype.astype(str)) for one in self.fine(som_map, state)
        ]


class Between(Fine):
    """Cells between cells."""

    def grow(self, som_map, state):
        return [
            one._replace(position=(one.position[0] + 0.5, one.position[1]))
            for one in self.fine(som_map, state)
        ]


class Bare(Fine):
    """Cells alone."""

    def grow(self, som_map, state):
        return [one.position for one in self.fine(som_map, state)]


class Nothing(Fine):
    """Returns nothing at all."""

    def grow(self, som_map, state):
        return None


class Number(Fine):
    """Returns how many."""

    def grow(self, som_map, state):
        return 3


class Writing(Fine):
    """Moves the prototypes."""

    def grow(self, som_map, state):
        som_map.prototypes *= 0.5
        return self.fine(som_map, state)


class Replacing(Fine):
    """Replaces the prototypes."""

    def grow(self, som_map, state):
        som_map.prototypes = som_map.prototypes * 0.5
        return self.fine(som_map, state)


class Adding(Fine):
    """Adds neurons itself."""

    def grow(self, som_map, state):
        cell, neuron = self.first(som_map)
        som_map.add([Birth(cell, som_map.prototypes[neuron], neuron)], state.epoch)
        return []


class Counting(Fine):
    """Writes into the errors."""

    def grow(self, som_map, state):
        state.errors[:] = 0
        return self.fine(som_map, state)


class Chance(Fine):
    """Other births each time."""

    def grow(self, som_map, state):
        births = self.fine(som_map, state)
        noise = np.random.default_rng().uniform()
        return [one._replace(prototype=one.prototype + noise) for one in births]


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


class InfiniteThreshold(Fine):
    """An infinite threshold."""

    def growing_threshold(self, summary):
        return np.inf


class NoThreshold(Fine):
    """A threshold that is no number."""

    def growing_threshold(self, summary):
        return np.nan


class WordThreshold(Fine):
    """A threshold in words."""

    def growing_threshold(self, summary):
        return "high"


class ManyThresholds(Fine):
    """A threshold for each feature."""

    def growing_threshold(self, summary):
        return np.ones(summary.n_features)


class NoStart(Fine):
    """Starts without neurons."""

    def start_shape(self):
        return 0, 3


class HalfStart(Fine):
    """Starts with half a row."""

    def start_shape(self):
        return 2.5, 2


class HugeStart(Fine):
    """Starts with more neurons than there is memory for."""

    def start_shape(self):
        return 10**6, 10**6


class LongStart(Fine):
    """Starts in three dimensions."""

    def start_shape(self):
        return 2, 2, 2


class AllFine(Fine):
    """Nothing but fine-tuning."""

    fine_tuning: ClassVar[Any] = 1.5


class BadPull(Fine):
    """A pull below 0."""

    link_pull: ClassVar[Any] = -1.0


class BadCap(Component):
    """A cap in words."""

    max_neurons: ClassVar[Any] = "many"

    def grow(self, som_map, state):
        return []


class FewChildren(Fine):
    """Answers for one neuron."""

    def wants_children(self, som_map, state):
        return [True]


class WordChildren(Fine):
    """Answers in words."""

    def wants_children(self, som_map, state):
        return ["no"] * len(som_map)


class Raising(Fine):
    """Raises."""

    def grow(self, som_map, state):
        raise ZeroDivisionError("no births today")


class Exiting(Fine):
    """Calls sys.exit with success."""

    def grow(self, som_map, state):
        sys.exit()


class Ending(Fine):
    """Ends the process with success."""

    def grow(self, som_map, state):
        os._exit(0)


class Hanging(Fine):
    """Never returns."""

    def grow(self, som_map, state):
        time.sleep(10**6)


class Property(Fine):
    """A property raises."""

    @property
    def needs_classes(self):
        raise RuntimeError("inside")
