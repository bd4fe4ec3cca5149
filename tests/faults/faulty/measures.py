"""Measures."""

from typing import ClassVar

import numpy as np

from dbgsom_core.api import Component


class Fine(Component):
    """Nothing is wrong."""

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation):
        return float(evaluation.distance.max())


class Nothing(Fine):
    """Returns nothing."""

    def compute(self, evaluation):
        pass


class Sorting(Fine):
    """Sorts the distances in place."""

    def compute(self, evaluation):
        evaluation.distance.sort()
        return float(evaluation.distance[-1])


class Replacing(Fine):
    """Replaces the map's prototypes."""

    def compute(self, evaluation):
        evaluation.som_map.prototypes = np.zeros((2, 2))
        return 1.0


class Unasked(Fine):
    """Reads targets without saying so."""

    def compute(self, evaluation):
        return float(np.mean(evaluation.y == evaluation.predictions))
