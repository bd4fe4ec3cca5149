"""The map: neurons on a rectangular grid, their prototypes and the hops between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.engine.results import MapGraph

if TYPE_CHECKING:
    from numpy.typing import NDArray

Position = tuple[int, int]

# Free cells are looked at in this order: north, south, east, west (Vasighi & Amini 2017).
DIRECTIONS: tuple[Position, ...] = ((0, 1), (0, -1), (1, 0), (-1, 0))


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
        prototypes = np.array(prototypes, dtype=np.float64, order="C")  # as the loops know it
        if positions.ndim != 2 or positions.shape[1] != 2 or prototypes.ndim != 2:
            raise ValueError("positions must have shape (K, 2) and prototypes (K, D)")
        if len(positions) != len(prototypes):
            raise ValueError(f"{len(positions)} positions for {len(prototypes)} prototypes")
        self.prototypes: NDArray[np.float64] = prototypes
        self.children: dict[int, SomMap] = {}
        self._positions: NDArray[np.int64] = positions.copy()
        self._sides = np.empty((len(positions), len(DIRECTIONS)), dtype=np.int32)
        self._parents = np.full(len(positions), -1)
        self._birth_epochs = np.zeros(len(positions), dtype=np.int64)
        self._all_hops = _room_for_hops(max(8, len(positions)))  # the first rows and columns count
        taken, _ = _linked(self._positions, self._sides, 0)
        if taken >= 0:
            raise ValueError(f"two neurons share the cell {tuple(positions[taken].tolist())}")
        self._forget()
        full = _manhattan_if_full(positions)
        if full is None:
            _add_hops(self._all_hops, self._sides, 0)
        else:
            self._all_hops[: len(full), : len(full)] = full

    def _forget(self) -> None:
        # Not known until someone asks, and no longer after a birth.
        self._cells: dict[Position, int] | None = None
        self._hops: NDArray[np.uint16] | None = None
        self._shape: tuple[int, int] | None = None
        self._diameter: int | None = None
        self._is_full: bool | None = None
        self._degrees: NDArray[np.int64] | None = None

    @classmethod
    def rectangle(cls, rows: int, columns: int, prototypes: Any) -> SomMap:
        """Return a full grid in row-major order: (0,0), (1,0), … then the next row."""
        return cls([(x, y) for y in range(rows) for x in range(columns)], prototypes)

    @classmethod
    def restored(cls, positions: Any, prototypes: Any, parents: Any, birth_epochs: Any) -> SomMap:
        """Return a map whose births are known, one row per neuron in every array."""
        som_map = cls(positions, prototypes)
        if not len(parents) == len(birth_epochs) == len(som_map):
            raise ValueError("parents and birth epochs must have one row per neuron")
        som_map._parents[:] = parents
        som_map._birth_epochs[:] = birth_epochs
        return som_map

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Grid cells (x, y) = (column, row), shape (K, 2)."""
        return self._positions.copy()

    @property
    def sides(self) -> NDArray[np.int32]:
        """Row of the neuron to the north, south, east and west, shape (K, 4); -1 where none is."""
        return self._sides.copy()

    @property
    def hops(self) -> NDArray[np.uint16]:
        """Graph distances between all neurons in links, shape (K, K); a read-only view."""
        if self._hops is None:
            self._hops = self._all_hops[: len(self), : len(self)]
            self._hops.setflags(write=False)
        return self._hops

    @property
    def parents(self) -> NDArray[np.int64]:
        """Row of each neuron's parent, shape (K,); -1 for the first neurons."""
        return self._parents.copy()

    @property
    def birth_epochs(self) -> NDArray[np.int64]:
        """Epoch in which each neuron was born, shape (K,); 0 for the first neurons."""
        return self._birth_epochs.copy()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the smallest rectangle around the map."""
        if self._shape is None:
            cells = self._positions
            columns, rows = (cells.max(axis=0) - cells.min(axis=0) + 1).tolist()
            self._shape = rows, columns
        return self._shape

    @property
    def full_grid(self) -> tuple[int, int] | None:
        """Rows and columns where neurons fill a rectangle in row-major order, else None."""
        if self._is_full is None:
            rows, columns = self.shape
            cells = self._positions - self._positions.min(axis=0)
            places = cells[:, 1] * columns + cells[:, 0]
            self._is_full = np.array_equal(places, np.arange(rows * columns))
        return self.shape if self._is_full else None

    @property
    def graph(self) -> MapGraph:
        """How the neurons are linked, for the passes over samples."""
        return MapGraph(self.hops, self._sides, self.full_grid)

    @property
    def diameter(self) -> int:
        """The largest number of hops between two neurons."""
        if self._diameter is None:
            self._diameter = int(self.hops.max())
        return self._diameter

    def neuron_at(self, position: Position) -> int | None:
        """Return the row of the neuron in this cell, or None when it is free."""
        return self._by_cell().get(position)

    def neighbours(self, neuron: int) -> list[int]:
        """Return the linked neighbours (rows), ascending."""
        return sorted(side for side in self._sides[neuron].tolist() if side >= 0)

    def free_cells(self, neuron: int) -> list[Position]:
        """Return the free cells beside a neuron in the order north, south, east, west."""
        x, y = self._positions[neuron].tolist()
        cells = self._by_cell()
        return [cell for cell in beside((x, y)) if cell not in cells]

    def links(self) -> NDArray[np.int64]:
        """Return all links as pairs of rows (a < b), shape (L, 2), sorted."""
        one = np.repeat(np.arange(len(self)), len(DIRECTIONS))
        other = self._sides.ravel()
        pairs = np.column_stack([one, other])[other > one]
        return np.asarray(pairs[np.lexsort(pairs.T[::-1])], dtype=np.int64)

    def degrees(self) -> NDArray[np.int64]:
        """Return how many linked neighbours each neuron has, shape (K,); read-only."""
        if self._degrees is None:
            linked = self._sides >= 0
            self._degrees = linked.sum(axis=1, dtype=np.int64)
            self._degrees.flags.writeable = False
        return self._degrees

    def mean_over_links(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of distances (K, K) over the links of each neuron, (K,); 0 for none."""
        linked = self.hops == 1
        return np.asarray((distances * linked).sum(axis=1) / np.maximum(linked.sum(axis=1), 1))

    def add(self, births: Iterable[tuple[Position, Any, int]], epoch: int) -> None:
        """Append neurons given as (position, prototype (D,), parent), in this order.

        Raises
        ------
        ValueError
            A cell is taken or not linked to the map, or a prototype does not fit; the map is
            then as before.
        """
        births = list(births)
        if not births:
            return
        first, newborn = len(self), self._checked(births)
        cells = np.array([position for position, _, _ in births], dtype=np.int64)
        positions = np.concatenate([self._positions, cells])
        sides = np.concatenate([self._sides, np.empty((len(births), len(DIRECTIONS)), np.int32)])
        taken, lonely = _linked(positions, sides, first)
        if lonely >= 0 or taken >= 0:
            row, reason = (taken, "the cell is taken")
            if taken < 0:
                row, reason = lonely, "no neuron is beside it"
            position = tuple(positions[row].tolist())
            raise ValueError(f"a neuron cannot be born at {position}: {reason}")
        if len(positions) > len(self._all_hops):
            hops = _room_for_hops(max(2 * first, len(positions)))
            hops[:first, :first] = self.hops
            self._all_hops = hops
        _add_hops(self._all_hops, sides, first)
        self._positions, self._sides = positions, sides
        parents, epochs = [parent for _, _, parent in births], [epoch] * len(births)
        self._parents = np.concatenate([self._parents, np.array(parents, dtype=np.int64)])
        self._birth_epochs = np.concatenate([self._birth_epochs, np.array(epochs, dtype=np.int64)])
        self.prototypes = np.concatenate([self.prototypes, newborn])
        self._forget()

    def _checked(self, births: list[tuple[Position, Any, int]]) -> NDArray[np.float64]:
        # The prototypes (M, D) of births whose shapes and parents are right.
        shape, first = self.prototypes.shape[1:], len(self)
        for (x, y), prototype, parent in births:
            if np.shape(prototype) != shape:
                raise ValueError(
                    f"the prototype born at ({x}, {y}) has shape {np.shape(prototype)}, not {shape}"
                )
            if not 0 <= parent < first:
                raise ValueError(f"the neuron born at ({x}, {y}) names no living parent: {parent}")
        return np.array([prototype for _, prototype, _ in births], dtype=np.float64)

    def _by_cell(self) -> dict[Position, int]:
        # Which neuron sits in a cell.
        if self._cells is None:
            self._cells = {(x, y): row for row, (x, y) in enumerate(self._positions.tolist())}
        return self._cells


def _linked(positions: NDArray[np.int64], sides: NDArray[np.int32], first: int) -> tuple[int, int]:
    from dbgsom_core.som_map.hops import link  # numba is slow to import

    return link(positions, sides, first)


def _add_hops(hops: NDArray[np.uint16], sides: NDArray[np.int32], first: int) -> None:
    from dbgsom_core.som_map.hops import add_hops

    add_hops(hops, sides, first, len(sides))


def _room_for_hops(neurons: int) -> NDArray[np.uint16]:
    # A column more than needed: what is handed out is then never contiguous, so that compiled
    # loops know one kind of it instead of two.
    return np.zeros((neurons, neurons + 1), dtype=np.uint16)


def _manhattan_if_full(positions: NDArray[np.int64]) -> NDArray[np.int64] | None:
    # Hops (K, K) on a full rectangle of distinct cells, else None.
    if len(positions) == 0:
        return None
    x, y = (positions - positions.min(axis=0)).T
    columns, rows = int(x.max()) + 1, int(y.max()) + 1
    if rows * columns != len(positions) or len(np.unique(y * columns + x)) != len(positions):
        return None
    return np.asarray(np.abs(x[:, None] - x) + np.abs(y[:, None] - y))


def beside(position: Position) -> tuple[Position, Position, Position, Position]:
    """Return the four cells beside a cell: north, south, east, west."""
    x, y = position
    return (x, y + 1), (x, y - 1), (x + 1, y), (x - 1, y)  # as in DIRECTIONS
