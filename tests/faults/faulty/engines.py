"""Engines."""

import os
import sys
from dataclasses import replace

import numpy as np

from dbgsom_core.api import Component, samples_in_memory


class Fine(Component):
    """Nothing is wrong."""

    def over(self, X, metric, weights=None):
        return samples_in_memory(X, metric, weights, threads=1, chunk_rows=50)


class Nothing(Fine):
    """No samples."""

    def over(self, X, metric, weights=None):
        pass


class Bare(Fine):
    """The array itself."""

    def over(self, X, metric, weights=None):
        return X


class Losing(Fine):
    """Loses a sample."""

    def over(self, X, metric, weights=None):
        return super().over(X[1:], metric, None if weights is None else weights[1:])


class Unweighted(Fine):
    """Forgets the weights."""

    def over(self, X, metric, weights=None):
        return super().over(X, metric)


class Halving(Fine):
    """Rounds the samples."""

    def over(self, X, metric, weights=None):
        samples = super().over(X, metric, weights)
        return replace(samples, X=np.round(samples.X, 2))


class Writing(Fine):
    """Writes into the user's samples."""

    def over(self, X, metric, weights=None):
        X *= 0.5
        return super().over(X, metric, weights)


class Raising(Fine):
    """Raises."""

    def over(self, X, metric, weights=None):
        raise ConnectionError("no workers today")


class Exiting(Fine):
    """Calls sys.exit with success."""

    def over(self, X, metric, weights=None):
        sys.exit(0)


class Ending(Fine):
    """Ends the process with success."""

    def over(self, X, metric, weights=None):
        os._exit(0)
