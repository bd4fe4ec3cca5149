"""Grids: which cells are linked, and where they lie in the plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from math import atan2
from typing import Any

import numpy as np
from numpy.typing import NDArray

Position = tuple[int, int]
Place = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """A regular grid of cells (x, y) in whole numbers, alike seen from each of them.

    Linked cells lie a distance of 1 apart in the plane, and the squares of all distances are whole
    numbers.

    Attributes
    ----------
    offsets : tuple of (x, y)
        From a cell to those that it is linked with, in the order in which they are looked at: of
        -1, 0 and 1, and with each its opposite.
    diagonals : tuple of (x, y)
        From a cell to those that touch it at a corner alone.
    axes : ((x, y), (x, y))
        Where the cells (1, 0) and (0, 1) lie in the plane, seen from (0, 0).
    corners : tuple of (x, y)
        Of a cell in the plane, seen from its centre, in turn.
    """

    offsets: tuple[Position, ...]
    diagonals: tuple[Position, ...]
    axes: tuple[Place, Place]
    corners: tuple[Place, ...]

    @property
    def degree(self) -> int:
        """How many cells a cell is linked with."""
        return len(self.offsets)

    @cached_property
    def opposite(self) -> tuple[int, ...]:
        """For each link of a cell the number of the one that leads the other way."""
        return tuple(self.offsets.index((-x, -y)) for x, y in self.offsets)

    def beside(self, cell: Position) -> list[Position]:
        """Return the cells that a cell is linked with, in the order of its links."""
        x, y = cell
        return [(x + dx, y + dy) for dx, dy in self.offsets]

    def beyond(self, cell: Position, other: Position) -> Position:
        """Return the cell beside ``other`` that lies opposite to ``cell``, linked with it, too."""
        return 2 * other[0] - cell[0], 2 * other[1] - cell[1]

    def plane(self, cells: NDArray[Any]) -> NDArray[np.float64]:
        """Return where cells (..., 2) lie in the plane, y up; parts of cells are welcome."""
        return np.asarray(cells @ np.array(self.axes))

    def squared_distances(self, cells: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
        """Return the squared distances (...) in the plane between cells (..., 2) and others.

        They are whole, so that equal distances are equal to the bit.
        """
        return np.asarray(np.rint(np.square(self.plane(cells - others)).sum(axis=-1)))

    def steps(
        self, cells: NDArray[np.int64], others: NDArray[np.int64], *, over_corners: bool = False
    ) -> NDArray[np.int64]:
        """Return how many steps lead from cells (..., 2) to others where no cell is missing.

        Parameters
        ----------
        over_corners : bool
            Steps lead to every cell that touches, also to the ``diagonals``.

        Returns
        -------
        int64 array (...)
        """
        # The cells that n steps reach are those within a polygon, n times as large as that of the
        # neighbours: how far off a cell lies is told by the side that it faces. Two neighbours next
        # to each other and the cell span a triangle of area 1/2, so (normal, neighbour) is 1.
        around = sorted(
            self.offsets + self.diagonals * over_corners, key=lambda to: atan2(to[1], to[0])
        )
        sides = list(pairwise(around))[: len(around) // 2]  # the others lie opposite
        normals = [np.array((by - ay, ax - bx)) for (ax, ay), (bx, by) in sides]
        return reduce(np.maximum, (np.abs(cells @ n - others @ n) for n in normals))


# Free cells are looked at in this order: north, south, east, west (Vasighi & Amini 2017).
SQUARE = Grid(
    offsets=((0, 1), (0, -1), (1, 0), (-1, 0)),
    diagonals=((1, 1), (1, -1), (-1, 1), (-1, -1)),
    axes=((1.0, 0.0), (0.0, 1.0)),
    corners=((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)),
)
