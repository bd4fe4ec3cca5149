"""The map as it was when growth began: newborns of the same epoch do not count as neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Position, SomMap


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
        self.grid = som_map.grid
        self.prototypes = som_map.prototypes
        # Lists: numbers are taken out one at a time, which arrays are slow at.
        self.positions: list[Position] = [(x, y) for x, y in som_map.positions.tolist()]
        errors = np.asarray(errors, dtype=np.float64)
        self.errors: list[float] = errors.tolist()
        ranks = np.empty(len(errors), dtype=np.int64)
        ranks[np.argsort(-errors, kind="stable")] = np.arange(len(errors))
        self._ranks: list[int] = ranks.tolist()  # largest error first, ties by row
        self._neurons = {cell: neuron for neuron, cell in enumerate(self.positions)}
        self._links: list[list[int]] = som_map.links.tolist()
        self._taken: set[Position] = set()

    def neighbours(self, neuron: int) -> list[int]:
        """Return the neurons one hop away, largest error first, ties by row."""
        return self._by_error(self._linked(neuron))

    def second_ring(self, neuron: int) -> list[int]:
        """Return the neurons two hops away, largest error first, ties by row."""
        linked = self._linked(neuron)
        ring = {other for near in linked for other in self._linked(near)}
        return self._by_error(ring.difference(linked, [neuron]))

    def free_cells(self, neuron: int) -> list[Position]:
        """Return the cells beside a neuron that are free now, in the order of its links."""
        links = zip(self.grid.beside(self.positions[neuron]), self._links[neuron], strict=True)
        return [cell for cell, other in links if other < 0 and cell not in self._taken]

    def take(self, cell: Position) -> None:
        """Note that a newborn sits in this cell."""
        self._taken.add(cell)

    def touches(self, neuron: int, cell: Position) -> bool:
        """Say whether a neuron sits right beside a cell."""
        return cell in self.grid.beside(self.positions[neuron])

    def opposite(self, neuron: int, other: int) -> Position:
        """Return the cell beside ``neuron`` that lies opposite to its neighbour ``other``."""
        return self.grid.beyond(self.positions[other], self.positions[neuron])

    def second_touching(self, neuron: int, cells: list[Position]) -> int | None:
        """Return which neuron two hops away touches one of the free ``cells`` beside ``neuron``.

        The one with the largest error, ties to the lowest row; None where there is none.
        """
        around = {self._neurons.get(place) for cell in cells for place in self.grid.beside(cell)}
        linked = self._linked(neuron)
        near = {other for one in linked for other in self._links[one]}
        ring = (around & near).difference(linked, [neuron, None])
        return min(ring, key=self._ranks.__getitem__) if ring else None  # type: ignore[arg-type]

    def nearest_cell(self, cells: list[Position], neuron: int) -> Position:
        """Return the cell nearest to a neuron in the plane, the first one when several are."""
        place = np.array(self.positions[neuron])
        return cells[int(self.grid.squared_distances(np.array(cells), place).argmin())]

    def _linked(self, neuron: int) -> list[int]:
        return [other for other in self._links[neuron] if other >= 0]

    def _by_error(self, neurons: Iterable[int]) -> list[int]:
        return sorted(neurons, key=self._ranks.__getitem__)
