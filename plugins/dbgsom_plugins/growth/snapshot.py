"""The map as it was when growth began: newborns of the same epoch do not count as neighbours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.som_map import Position, SomMap, beside


class Placement(NamedTuple):
    """How one candidate was served.

    Attributes
    ----------
    code : int
        Which rule served it: tens = free cells (3, 2, 1), units = with (2, 3) or without (1) a
        neuron two hops away that touches a free cell; 9 a cell was taken, 0 none was free.
    position : (x, y) or None
    prototype : float array (D,) or None
    beside : int
        The neighbour that fixes the position, or -1.
    away : int
        The neighbour that is extrapolated away from, or -1.
    second : int
        The neuron two hops away that was used, or -1.
    """

    code: int
    position: Position | None = None
    prototype: NDArray[np.float64] | None = None
    beside: int = -1
    away: int = -1
    second: int = -1


class Snapshot:
    """Neighbours and errors at the start of growth, and the cells taken since.

    Parameters
    ----------
    som_map : SomMap
    errors : float array (K,)
        Errors after interior neurons have shared theirs.
    """

    def __init__(self, som_map: SomMap, errors: NDArray[Any]) -> None:
        self.prototypes = som_map.prototypes
        self.positions: list[Position] = [(x, y) for x, y in som_map.positions.tolist()]
        self.errors = np.asarray(errors, dtype=np.float64)
        self._hops = som_map.hops
        self._taken = dict.fromkeys(self.positions)

    def neighbours(self, neuron: int) -> list[int]:
        """Return the neurons one hop away, largest error first, ties by row."""
        return self._by_error(np.flatnonzero(self._hops[neuron] == 1))

    def second_ring(self, neuron: int) -> list[int]:
        """Return the neurons two hops away, largest error first, ties by row."""
        return self._by_error(np.flatnonzero(self._hops[neuron] == 2))

    def free_cells(self, neuron: int) -> list[Position]:
        """Return the cells beside a neuron that are free now: north, south, east, west."""
        return [cell for cell in beside(self.positions[neuron]) if cell not in self._taken]

    def take(self, cell: Position) -> None:
        """Note that a newborn sits in this cell."""
        self._taken[cell] = None

    def touches(self, neuron: int, cell: Position) -> bool:
        """Say whether a neuron sits right beside a cell."""
        return _distance(self.positions[neuron], cell) == 1

    def opposite(self, neuron: int, other: int) -> Position:
        """Return the cell beside ``neuron`` on the side opposite to its neighbour ``other``."""
        (x, y), (other_x, other_y) = self.positions[neuron], self.positions[other]
        return 2 * x - other_x, 2 * y - other_y

    def first_touching(self, neurons: list[int], cells: list[Position]) -> int | None:
        """Return the first of ``neurons`` that touches one of ``cells``."""
        touching = (k for k in neurons if any(self.touches(k, cell) for cell in cells))
        return next(touching, None)

    def nearest_cell(self, cells: list[Position], neuron: int) -> Position:
        """Return the cell nearest to a neuron on the grid, the first one when several are."""
        return min(cells, key=lambda cell: _distance(cell, self.positions[neuron]))

    def _by_error(self, neurons: NDArray[np.intp]) -> list[int]:
        order = np.argsort(-self.errors[neurons], kind="stable")
        return [int(neuron) for neuron in neurons[order]]


def _distance(a: Position, b: Position) -> int:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
