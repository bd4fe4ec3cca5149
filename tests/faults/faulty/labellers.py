"""Labellers."""

import os
import sys
import time
from typing import ClassVar

import numpy as np

from dbgsom_core.api import Component


class Fine(Component):
    """Nothing is wrong."""

    needs_target: ClassVar[bool] = True

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmax(axis=1)]

    def probabilities(self, evidence):
        counts = evidence.class_counts + 1e-9
        return counts / counts.sum(axis=1, keepdims=True)


class Short(Fine):
    """One label too few."""

    def label(self, evidence):
        return super().label(evidence)[:-1]


class Single(Fine):
    """One label for all."""

    def label(self, evidence):
        return super().label(evidence)[0]


class Nothing(Fine):
    """Returns nothing."""

    def label(self, evidence):
        pass


class Objects(Fine):
    """Labels that are objects."""

    def label(self, evidence):
        return np.array([object() for _ in evidence.hits])


class Undefined(Component):
    """Labels that are no numbers."""

    def label(self, evidence):
        return np.full(len(evidence.hits), np.nan)


class Disagreeing(Fine):
    """Labels that its probabilities do not favour."""

    def label(self, evidence):
        return evidence.classes[evidence.class_counts.argmin(axis=1)]


class Counts(Fine):
    """Counts for probabilities."""

    def probabilities(self, evidence):
        return evidence.class_counts.astype(float)


class Percent(Fine):
    """Percent for probabilities."""

    def probabilities(self, evidence):
        return 100 * super().probabilities(evidence)


class NegativeShares(Fine):
    """Probabilities below 0."""

    def probabilities(self, evidence):
        shares = super().probabilities(evidence)
        return shares * 2 - shares.mean(axis=1, keepdims=True)


class UndefinedShares(Fine):
    """0/0 for probabilities."""

    def probabilities(self, evidence):
        return super().probabilities(evidence) * np.nan


class FlatShares(Fine):
    """One probability a neuron."""

    def probabilities(self, evidence):
        return super().probabilities(evidence).max(axis=1)


class TurnedShares(Fine):
    """Classes by neurons."""

    def probabilities(self, evidence):
        return super().probabilities(evidence).T


class Writing(Fine):
    """Writes into the counts."""

    def label(self, evidence):
        evidence.class_counts[:] = 0
        return super().label(evidence)


class Moving(Fine):
    """Changes the map."""

    def label(self, evidence):
        evidence.som_map.prototypes[:] = 0
        return super().label(evidence)


class Replacing(Fine):
    """Replaces the map's prototypes."""

    def label(self, evidence):
        evidence.som_map.prototypes = evidence.som_map.prototypes * 0
        return super().label(evidence)


class Chance(Fine):
    """Other labels each time."""

    def label(self, evidence):
        return np.random.default_rng().permutation(evidence.classes)[
            evidence.class_counts.argmax(axis=1)
        ]


class Unasked(Fine):
    """Reads classes without saying so."""

    needs_target: ClassVar[bool] = False


class Sharing(Fine):
    """Answers from memory that all calls share."""

    def learn(self, around, y, weights, som_map):
        return {"nothing": np.zeros(0)}

    def answer(self, around, state):
        ROOM[:] = [np.eye(around.n_classes)[around.values[:, 0]]]
        time.sleep(0.001)
        return ROOM[0]


ROOM = []


class Raising(Fine):
    """Raises."""

    def label(self, evidence):
        raise KeyError("no labels today")


class Exiting(Fine):
    """Calls sys.exit with success."""

    def label(self, evidence):
        sys.exit(0)


class Ending(Fine):
    """Ends the process with success."""

    def label(self, evidence):
        os._exit(0)
