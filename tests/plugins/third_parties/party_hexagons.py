"""A third party's hexagons, and a Mexican hat on offsets."""

from math import cos, pi, sin
from typing import ClassVar

import numpy as np

from dbgsom_core.api import Component, Grid, KernelComponent, hookimpl

DBGSOM_API_VERSION = 1
SIDES = ((1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1))
ANGLES = [pi * (2 * corner + 1) / 6 for corner in range(6)]


class Honeycomb(Component):
    """Hexagons that stand on a corner, each row half a cell to the right of the one below."""

    def lattice(self, rows, columns):
        """Return the grid."""
        corners = tuple((cos(angle) / 3**0.5, sin(angle) / 3**0.5) for angle in ANGLES)
        return Grid(SIDES, (), ((1.0, 0.0), (0.5, 0.75**0.5)), corners, "honeycomb")


class Hat(KernelComponent):
    """A Mexican hat that sees offsets."""

    reads: ClassVar[str] = "offsets"
    inhibits: ClassVar[bool] = True

    def weight(self, hops, width):
        """Return the weights (H,) of ways (H, 2) in the plane."""
        square = (np.asarray(hops) ** 2).sum(axis=1) / (-2 * width**2)
        return np.exp(square) - 0.04 * np.exp(square / 16)


dbgsom_grids = hookimpl(lambda: {"honeycomb": Honeycomb})
dbgsom_kernels = hookimpl(lambda: {"hat": Hat})
