"""Measures."""

import os
import sys
from typing import Any, ClassVar

import numpy as np

from dbgsom_core.api import Component


class Fine(Component):
    """Nothing is wrong."""

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation):
        return float(evaluation.distance.max())


class Undefined(Fine):
    """No number."""

    def compute(self, evaluation):
        return float("nan")


class Infinite(Fine):
    """Infinite."""

    def compute(self, evaluation):
        return float("inf")


class Many(Fine):
    """One value a sample."""

    def compute(self, evaluation):
        return evaluation.distance


class Word(Fine):
    """A word."""

    def compute(self, evaluation):
        return "good"


class Nothing(Fine):
    """Returns nothing."""

    def compute(self, evaluation):
        pass


class Complex(Fine):
    """A complex number."""

    def compute(self, evaluation):
        return 1 + 2j


class Sorting(Fine):
    """Sorts the distances in place."""

    def compute(self, evaluation):
        evaluation.distance.sort()
        return float(evaluation.distance[-1])


class Scaling(Fine):
    """Writes into the samples."""

    def compute(self, evaluation):
        evaluation.X[:] = 0
        return 1.0


class Moving(Fine):
    """Writes into the map."""

    def compute(self, evaluation):
        evaluation.som_map.prototypes[:] = 0
        return 1.0


class Replacing(Fine):
    """Replaces the map's prototypes."""

    def compute(self, evaluation):
        evaluation.som_map.prototypes = np.zeros((2, 2))
        return 1.0


class Adding(Fine):
    """Gives the map children."""

    def compute(self, evaluation):
        evaluation.som_map.children[0] = evaluation.som_map
        return 1.0


class Answering(Fine):
    """Writes into the predictions."""

    def compute(self, evaluation):
        evaluation.predictions[:] = evaluation.predictions[0]
        return 1.0


class Chunky(Fine):
    """Depends on how many rows are looked at together."""

    def compute(self, evaluation):
        return float(sum(block.max() for _, block in evaluation.chunks()))


class Chance(Fine):
    """Another value each time."""

    def compute(self, evaluation):
        return float(np.random.default_rng().uniform())


class Unasked(Fine):
    """Reads targets without saying so."""

    def compute(self, evaluation):
        return float(np.mean(evaluation.y == evaluation.predictions))


class Undecided(Fine):
    """Does not say which way is better."""

    greater_is_better: ClassVar[Any] = "maybe"


class Raising(Fine):
    """Raises."""

    def compute(self, evaluation):
        raise RuntimeError("no value today")


class Exiting(Fine):
    """Calls sys.exit with success."""

    def compute(self, evaluation):
        sys.exit(0)


class Interrupting(Fine):
    """Raises KeyboardInterrupt itself."""

    def compute(self, evaluation):
        raise KeyboardInterrupt


class Ending(Fine):
    """Ends the process with success."""

    def compute(self, evaluation):
        os._exit(0)
