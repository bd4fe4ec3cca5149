"""The map: neurons on a rectangular grid, their prototypes and the hops between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Position = tuple[int, int]

# Free cells are looked at in this order: north, south, east, west (Vasighi & Amini 2017).
DIRECTIONS: tuple[Position, ...] = ((0, 1), (0, -1), (1, 0), (-1, 0))
_FAR = np.iinfo(np.uint16).max  # hops between neurons that no path links


class SomMap:
    """Neurons on a 4-neighbour grid, in order of birth.

    Rows of every array are neurons. The class keeps three things true: positions are distinct,
    ``hops`` are the graph distances on the linked grid (not Manhattan distances), and the arrays
    have one row per neuron.

    Parameters
    ----------
    positions : int array (K, 2)
        Grid cells (x, y) = (column, row) of the first neurons.
    prototypes : float array (K, D)
        Their prototypes.

    Attributes
    ----------
    children : dict of int to SomMap
        Child maps by the row of the neuron whose samples they split.

    Raises
    ------
    ValueError
        Two neurons share a cell, or the arrays do not fit together.
    """

    def __init__(self, positions: Any, prototypes: Any) -> None:
        positions = np.asarray(positions, dtype=np.int64)
        prototypes = np.array(prototypes, dtype=np.float64)
        if positions.ndim != 2 or positions.shape[1] != 2 or prototypes.ndim != 2:
            raise ValueError("positions must have shape (K, 2) and prototypes (K, D)")
        if len(positions) != len(prototypes):
            raise ValueError(f"{len(positions)} positions for {len(prototypes)} prototypes")
        self.prototypes: NDArray[np.float64] = prototypes[:0]
        self.children: dict[int, SomMap] = {}
        self._cells: dict[Position, int] = {}  # which neuron sits in a cell
        self._order: list[Position] = []  # and the other way round
        self._hops = np.zeros((max(8, len(positions)),) * 2, dtype=np.uint16)
        self._parents: list[int] = []
        self._birth_epochs: list[int] = []
        for x, y in positions.tolist():
            self._place((x, y), parent=-1, epoch=0)
        self.prototypes = prototypes

    @classmethod
    def rectangle(cls, rows: int, columns: int, prototypes: Any) -> SomMap:
        """Return a full grid in row-major order: (0,0), (1,0), … then the next row."""
        return cls([(x, y) for y in range(rows) for x in range(columns)], prototypes)

    @classmethod
    def restored(cls, positions: Any, prototypes: Any, parents: Any, birth_epochs: Any) -> SomMap:
        """Return a map whose births are known, one row per neuron in every array."""
        som_map = cls(positions, prototypes)
        som_map._parents = [int(parent) for parent in parents]
        som_map._birth_epochs = [int(epoch) for epoch in birth_epochs]
        if not len(som_map._parents) == len(som_map._birth_epochs) == len(som_map):
            raise ValueError("parents and birth epochs must have one row per neuron")
        return som_map

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Grid cells (x, y) = (column, row), shape (K, 2)."""
        return np.array(self._order, dtype=np.int64).reshape(-1, 2)

    @property
    def hops(self) -> NDArray[np.uint16]:
        """Graph distances between all neurons in links, shape (K, K); a read-only view."""
        view = self._hops[: len(self), : len(self)]
        view.flags.writeable = False
        return view

    @property
    def parents(self) -> NDArray[np.int64]:
        """Row of each neuron's parent, shape (K,); -1 for the first neurons."""
        return np.array(self._parents, dtype=np.int64)

    @property
    def birth_epochs(self) -> NDArray[np.int64]:
        """Epoch in which each neuron was born, shape (K,); 0 for the first neurons."""
        return np.array(self._birth_epochs, dtype=np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the smallest rectangle around the map."""
        x, y = (np.ptp(axis) + 1 for axis in self.positions.T)
        return int(y), int(x)

    @property
    def diameter(self) -> int:
        """The largest number of hops between two neurons."""
        return int(self.hops.max())

    def neuron_at(self, position: Position) -> int | None:
        """Return the row of the neuron in this cell, or None when it is free."""
        return self._cells.get(position)

    def neighbours(self, neuron: int) -> list[int]:
        """Return the linked neighbours (rows), ascending."""
        return sorted(self._linked(self._position(neuron)))

    def free_cells(self, neuron: int) -> list[Position]:
        """Return the free cells beside a neuron in the order north, south, east, west."""
        return [cell for cell in beside(self._position(neuron)) if cell not in self._cells]

    def links(self) -> NDArray[np.int64]:
        """Return all links as pairs of rows (a < b), shape (L, 2), sorted."""
        return np.argwhere(np.triu(self.hops == 1))

    def degrees(self) -> NDArray[np.int64]:
        """Return how many linked neighbours each neuron has, shape (K,)."""
        return np.asarray(np.sum(self.hops == 1, axis=1, dtype=np.int64))

    def add(self, births: Iterable[tuple[Position, Any, int]], epoch: int) -> None:
        """Append neurons given as (position, prototype (D,), parent), in this order.

        Raises
        ------
        ValueError
            A cell is taken or not linked to the map, or a prototype does not fit; the map is
            then as before.
        """
        births = list(births)
        taken = set(self._cells)
        for position, prototype, parent in births:
            position = (int(position[0]), int(position[1]))
            if position in taken:
                raise ValueError(f"a neuron cannot be born at {position}: the cell is taken")
            if not any(cell in taken for cell in beside(position)):
                raise ValueError(f"a neuron cannot be born at {position}: no neuron is beside it")
            if np.shape(prototype) != self.prototypes.shape[1:]:
                raise ValueError(
                    f"the prototype born at {position} has shape {np.shape(prototype)}, "
                    f"not {self.prototypes.shape[1:]}"
                )
            if not 0 <= parent < len(self):
                raise ValueError(f"the neuron born at {position} names no living parent: {parent}")
            taken.add(position)
        if not births:
            return
        for position, _, parent in births:
            self._place((int(position[0]), int(position[1])), int(parent), epoch)
        self.prototypes = np.vstack([self.prototypes, *(np.atleast_2d(b[1]) for b in births)])

    def _position(self, neuron: int) -> Position:
        return self._order[neuron]

    def _linked(self, position: Position) -> Iterator[int]:
        return (self._cells[cell] for cell in beside(position) if cell in self._cells)

    def _place(self, position: Position, parent: int, epoch: int) -> None:
        if position in self._cells:
            raise ValueError(f"two neurons share the cell {position}")
        new = len(self._cells)
        if new == len(self._hops):
            larger = np.zeros((2 * new, 2 * new), dtype=np.uint16)
            larger[:new, :new] = self._hops
            self._hops = larger
        linked = list(self._linked(position))
        hops = self._hops[: new + 1, : new + 1]
        known = hops[:new, :new]
        # The newcomer is one hop further than its nearest neighbour from everyone else.
        nearest = known[linked].min(axis=0) if linked else np.full(new, _FAR, dtype=np.uint16)
        row = np.where(nearest == _FAR, _FAR, nearest + 1).astype(np.uint16)
        hops[new, :new] = hops[:new, new] = row
        hops[new, new] = 0
        # Others come closer only if it joins two neurons that were more than two hops apart.
        if len(linked) > 1 and known[np.ix_(linked, linked)].max() > 2:
            wide = row.astype(np.uint32)
            np.minimum(known, wide[:, None] + wide, out=known, casting="unsafe")
        self._cells[position] = new
        self._order.append(position)
        self._parents.append(parent)
        self._birth_epochs.append(epoch)


def beside(position: Position) -> Iterator[Position]:
    """Yield the four cells beside a cell: north, south, east, west."""
    x, y = position
    return ((x + dx, y + dy) for dx, dy in DIRECTIONS)
