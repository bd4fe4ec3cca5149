"""A third party's grid, and a kernel that looks at more than hops on it."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core.api import Component, Grid, KernelComponent, hookimpl

DBGSOM_API_VERSION = 1
SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))
SQUARE = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))


class Moore(Component):
    """Square cells that are linked at their corners, too."""

    def lattice(self, rows, columns):
        """Return the grid."""
        return Grid(SIDES, (), ((1.0, 0.0), (0.0, 1.0)), SQUARE, "moore")


class Leaning(KernelComponent):
    """A gaussian that reaches farther along the rows than across."""

    reads: ClassVar[str] = "offsets"
    stretch: float = Field(default=2.0, gt=0, description="reach along x over that along y")

    def weight(self, hops, width):
        """Return the weights (H,) of ways (H, 2) in the plane."""
        x, y = np.asarray(hops).T
        return np.exp(-((x / self.stretch) ** 2 + y**2) / (2 * width**2))


dbgsom_grids = hookimpl(lambda: {"moore": Moore})
dbgsom_kernels = hookimpl(lambda: {"leaning": Leaning})
