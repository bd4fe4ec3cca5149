"""Metrics whose distances or units are wrong."""

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


class Flat(Fine):
    """One dimension too few."""

    def pairwise(self, X, prototypes):
        return super().pairwise(X, prototypes)[0]


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


class LastWins(Assigning):
    """Ties go to the highest row."""

    def assign(self, X, prototypes):
        distances = self.pairwise(X, prototypes)
        bmu = distances.shape[1] - 1 - distances[:, ::-1].argmin(axis=1)
        return bmu, distances.min(axis=1)


class Disagreeing(Assigning):
    """Two levels that disagree."""

    def assign(self, X, prototypes):
        bmu, distance = super().assign(X, prototypes)
        return bmu, 3 * distance
