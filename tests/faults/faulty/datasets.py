"""Data sets."""

import numpy as np

from dbgsom_core.api import Component, Data


def _table():
    return np.random.default_rng(0).normal(size=(60, 3))


_KEPT = _table()


class Shared(Component):
    """Hands out the same array each time."""

    def load(self):
        return Data(_KEPT)
