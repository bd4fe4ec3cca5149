"""Metrics whose distances or units are wrong."""

import os
import sys
import time
from typing import ClassVar

import numpy as np

from dbgsom_core.api import Component


class Fine(Component):
    """Nothing is wrong."""

    claims: ClassVar[tuple[str, ...]] = ("identity", "symmetry", "triangle")

    def pairwise(self, X, prototypes):
        return np.abs(X[:, None].astype(np.float64) - prototypes).sum(axis=2)


class Assigning(Fine):
    """Fine, too, with a level of its own."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        return distances.argmin(axis=1), distances.min(axis=1)


class Pretending(Fine):
    """Says that it is Euclidean, and is not."""

    geometry: ClassVar[str] = "euclidean"


class Squared(Fine):
    """Says that it is Euclidean, and forgets the root."""

    geometry: ClassVar[str] = "euclidean"
    claims: ClassVar[tuple[str, ...]] = ()

    def pairwise(self, X, prototypes):
        return np.square(X[:, None].astype(np.float64) - prototypes).sum(axis=2)


class Shaped(Fine):
    """A geometry that nobody knows."""

    geometry: ClassVar[str] = "hyperbolic"


class Negative(Fine):
    """Distances below 0."""

    def pairwise(self, X, prototypes):
        return -super().pairwise(X, prototypes)


class Undefined(Fine):
    """Distances that are no numbers."""

    def pairwise(self, X, prototypes):
        distances = super().pairwise(X, prototypes)
        distances[:, 0] = np.nan
        return distances


class Infinite(Fine):
    """Infinite distances."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) + np.inf


class Flat(Fine):
    """One dimension too few."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes)[0]


class Turned(Fine):
    """Prototypes by samples."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes).T


class Short(Fine):
    """Loses a row."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes)[:-1]


class Text(Fine):
    """Words."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes).astype(str)


class Whole(Fine):
    """Whole numbers, rounded: ties everywhere."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes).astype(int)


class Nothing(Fine):
    """Returns nothing."""

    def pairwise(self, X, prototypes):
        pass


class Writing(Fine):
    """Writes into the samples."""

    def pairwise(self, X, prototypes):
        distances = super().pairwise(X, prototypes)
        X *= 0
        return distances


class Moving(Fine):
    """Writes into the prototypes."""

    def pairwise(self, X, prototypes):
        distances = super().pairwise(X, prototypes)
        prototypes += 1
        return distances


class Remembering(Fine):
    """Looks at the other rows of the chunk."""

    claims: ClassVar[tuple[str, ...]] = ()

    def pairwise(self, X, prototypes):
        return super().pairwise(X - X.mean(axis=0), prototypes)


class Chance(Fine):
    """Another answer each time."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) * np.random.default_rng().uniform(1, 2)


class Claiming(Fine):
    """Claims the triangle inequality without keeping it."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) ** 2


class Lopsided(Fine):
    """Claims symmetry without keeping it."""

    def pairwise(self, X, prototypes):
        gap = X[:, None].astype(np.float64) - prototypes
        return np.where(gap < 0, -2 * gap, gap).sum(axis=2)


class Distant(Fine):
    """Far from itself."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes) + 1


class Boasting(Fine):
    """Claims what nobody knows."""

    claims: ClassVar[tuple[str, ...]] = ("beauty",)


class FarUnits(Assigning):
    """Units that are no prototypes."""

    def assign(self, X, prototypes):
        bmu, distance = super().assign(X, prototypes)
        return bmu + 1, distance


class BelowUnits(Assigning):
    """Units below 0, which numpy takes for the last ones."""

    def assign(self, X, prototypes):
        bmu, distance = super().assign(X, prototypes)
        return bmu - len(prototypes), distance


class FloatUnits(Assigning):
    """Units as floats."""

    def assign(self, X, prototypes):
        bmu, distance = super().assign(X, prototypes)
        return bmu.astype(float), distance


class OneAnswer(Assigning):
    """Units without distances."""

    def assign(self, X, prototypes):
        return super().assign(X, prototypes)[0]


class Swapped(Assigning):
    """Distances first."""

    def assign(self, X, prototypes):
        return super().assign(X, prototypes)[::-1]


class LastWins(Assigning):
    """Ties go to the highest row."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        bmu = distances.shape[1] - 1 - distances[:, ::-1].argmin(axis=1)
        return bmu, distances.min(axis=1)


class Farthest(Assigning):
    """The farthest unit."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        return distances.argmax(axis=1), distances.max(axis=1)


class Disagreeing(Assigning):
    """Two levels that disagree."""

    def assign(self, X, prototypes):
        bmu, distance = super().assign(X, prototypes)
        return bmu, 3 * distance


class Raising(Fine):
    """Raises."""

    def pairwise(self, X, prototypes):
        raise RuntimeError("no distances today")


class Exiting(Fine):
    """Calls sys.exit with success."""

    def pairwise(self, X, prototypes):
        sys.exit(0)


class Interrupting(Fine):
    """Raises KeyboardInterrupt itself."""

    def pairwise(self, X, prototypes):
        raise KeyboardInterrupt


class Ending(Fine):
    """Ends the process with success."""

    def pairwise(self, X, prototypes):
        os._exit(0)


class Hanging(Fine):
    """Never returns."""

    def pairwise(self, X, prototypes):
        while True:
            time.sleep(1)
