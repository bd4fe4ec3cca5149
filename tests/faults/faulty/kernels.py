"""Kernels."""

import os
import sys

import numpy as np

from dbgsom_core.api import Component, KernelComponent


class Fine(KernelComponent):
    """Nothing is wrong."""

    def weight(self, hops, width):
        return np.exp(-0.5 * np.square(np.asarray(hops, dtype=np.float64) / width))


class Negative(Fine):
    """A whole wavelet: below 0 from one width on."""

    def weight(self, hops, width):
        return (1 - np.square(hops / width)) * super().weight(hops, width)


class Growing(Fine):
    """Learns most from the farthest."""

    def weight(self, hops, width):
        return 1.0 + np.asarray(hops) / width


class Nothing(Fine):
    """Forgets to return."""

    def weight(self, hops, width):
        super().weight(hops, width)


class Normed(Fine):
    """Weights depend on the other hop counts."""

    def weight(self, hops, width):
        weights = super().weight(hops, width)
        return weights / weights.sum()


class Exiting(Fine):
    """Calls sys.exit with success."""

    def weight(self, hops, width):
        sys.exit(0)


class Interrupting(Fine):
    """Raises KeyboardInterrupt itself."""

    def weight(self, hops, width):
        raise KeyboardInterrupt


class Ending(Fine):
    """Ends the process with success."""

    def weight(self, hops, width):
        os._exit(0)


class Silencing(Fine):
    """Changes numpy's error handling."""

    def weight(self, hops, width):
        np.seterr(all="ignore")
        return super().weight(hops, width)


class BadProperty(Component):
    """A property raises."""

    @property
    def start(self):
        raise AttributeError("inside")

    def weight(self, hops, width):
        return np.exp(-np.asarray(hops) / width)
