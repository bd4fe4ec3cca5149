"""Kernels."""

import os
import sys
import time
from typing import Any, ClassVar

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


class Endless(Fine):
    """Infinite at no hops."""

    def weight(self, hops, width):
        with np.errstate(divide="ignore"):
            return width / np.asarray(hops, dtype=np.float64)


class Undefined(Fine):
    """Not a number far away."""

    def weight(self, hops, width):
        return np.where(np.asarray(hops) > 2, np.nan, super().weight(hops, width))


class Zero(Fine):
    """No weight at all."""

    def weight(self, hops, width):
        return np.zeros(len(hops))


class Hollow(Fine):
    """The winner learns nothing."""

    def weight(self, hops, width):
        return np.where(np.asarray(hops) == 0, 0.0, super().weight(hops, width))


class Short(Fine):
    """One weight too few."""

    def weight(self, hops, width):
        return super().weight(hops, width)[:-1]


class Alone(Fine):
    """One number for all hops."""

    def weight(self, hops, width):
        return 1.0


class Tall(Fine):
    """A column instead of a row."""

    def weight(self, hops, width):
        return super().weight(hops, width)[:, None]


class Text(Fine):
    """Words for numbers."""

    def weight(self, hops, width):
        return np.array(["much"] * len(hops))


class Nothing(Fine):
    """Forgets to return."""

    def weight(self, hops, width):
        super().weight(hops, width)


class Complex(Fine):
    """Complex weights."""

    def weight(self, hops, width):
        return super().weight(hops, width) * 1j


class Normed(Fine):
    """Weights depend on the other hop counts."""

    def weight(self, hops, width):
        weights = super().weight(hops, width)
        return weights / weights.sum()


class Writing(Fine):
    """Writes into its argument."""

    def weight(self, hops, width):
        hops /= width
        return np.exp(-hops)


class Chance(Fine):
    """Another answer each time."""

    def weight(self, hops, width):
        return super().weight(hops, width) * np.random.default_rng().uniform(0.5, 1.0)


class Raising(Fine):
    """Raises."""

    def weight(self, hops, width):
        raise RuntimeError("no weights today")


class Dividing(Fine):
    """Divides by zero in Python."""

    def weight(self, hops, width):
        return [1 / int(0 * width) for _ in hops]


class Deep(Fine):
    """Recurses for ever."""

    def weight(self, hops, width):
        return self.weight(hops, width)


class Exiting(Fine):
    """Calls sys.exit with success."""

    def weight(self, hops, width):
        sys.exit(0)


class Interrupting(Fine):
    """Raises KeyboardInterrupt itself."""

    def weight(self, hops, width):
        raise KeyboardInterrupt


class Base(Fine):
    """Raises BaseException."""

    def weight(self, hops, width):
        raise BaseException("bottom")


class Stopping(Fine):
    """Raises StopIteration."""

    def weight(self, hops, width):
        return next(iter(()))


class Ending(Fine):
    """Ends the process with success."""

    def weight(self, hops, width):
        os._exit(0)


class Hanging(Fine):
    """Never returns."""

    def weight(self, hops, width):
        while True:
            time.sleep(1)


class Wandering(Fine):
    """Changes the working directory."""

    def weight(self, hops, width):
        os.chdir("/")
        return super().weight(hops, width)


class Seeding(Fine):
    """Seeds the global generator of numpy."""

    def weight(self, hops, width):
        np.random.seed(0)
        return super().weight(hops, width)


class Silencing(Fine):
    """Changes numpy's error handling."""

    def weight(self, hops, width):
        np.seterr(all="ignore")
        return super().weight(hops, width)


class BadStart(Fine):
    """Its start width is a word."""

    start: ClassVar[Any] = "wide"


class BadEnd(Fine):
    """Its end width is below 0."""

    end: ClassVar[Any] = -1.0


class BadDecay(Fine):
    """A decay that nobody knows."""

    decay: ClassVar[Any] = "sudden"


class BadProperty(Component):
    """A property raises."""

    @property
    def start(self):
        raise AttributeError("inside")

    def weight(self, hops, width):
        return np.exp(-np.asarray(hops) / width)


class NoArguments(Fine):
    """Takes no width."""

    def weight(self, hops):
        return np.exp(-hops)


class Lazy(Fine):
    """A coroutine."""

    async def weight(self, hops, width):
        return np.exp(-hops)
