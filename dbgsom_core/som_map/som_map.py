"""The map: neurons on a grid, their prototypes, the hops between them, and what changes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.som_map.grid import SQUARE, Floats, Grid, Integers, Position

_MOST = 1 << 16  # distinct values of a table, whose indices are uint16
_BLOCK = 1 << 20  # pairs of neurons that are computed together, in arrays of some 16 MiB


class SomMap:
    """Neurons on a grid, in order of birth.

    Rows of every array are neurons. Invariants: positions are distinct, ``hops`` are the graph
    distances over the links, not over free cells, and the arrays have one row per neuron. Between
    connected components ``hops`` are the steps of the grid, as if no cell were missing.

    Parameters
    ----------
    positions : int array (K, 2)
        Grid cells (x, y) = (column, row) of the first neurons.
    prototypes : float array (K, D)
        Their prototypes.
    grid : Grid
        Which cells are linked.
    links : int array (K, degree), optional
        Links that replace those of the grid: rows of linked neurons, as in the attribute.

    Attributes
    ----------
    children : dict of int to SomMap
        Child maps by the row of the neuron whose samples they split.
    is_apart : bool
        Whether the map is disconnected.

    Raises
    ------
    ValueError
        Two neurons share a cell, or the arrays do not fit together.
    """

    def __init__(
        self, positions: Any, prototypes: Any, grid: Grid = SQUARE, links: Any = None
    ) -> None:
        positions = np.asarray(positions, dtype=np.int64)
        prototypes = np.array(prototypes, dtype=np.float64, order="C")  # layout of compiled loops
        if positions.ndim != 2 or positions.shape[1] != 2 or prototypes.ndim != 2:
            raise ValueError("positions must have shape (K, 2) and prototypes (K, D)")
        if len(positions) != len(prototypes):
            raise ValueError(f"{len(positions)} positions for {len(prototypes)} prototypes")
        self.grid = grid
        self.prototypes: Floats = prototypes
        self.children: dict[int, SomMap] = {}
        self._positions: Integers = positions.copy()
        self._parents = np.full(len(positions), -1)
        self._birth_epochs = np.zeros(len(positions), dtype=np.int64)
        self._by_cell: dict[Position, int] = {}
        none = np.empty((0, grid.degree), np.int32)
        self._links: NDArray[np.int32] = self._link(self._by_cell, none, positions)[0]
        if links is not None:
            self._links = np.array(links, dtype=np.int32)
        self.is_apart = False
        if links is None and len(self):
            rows, columns = grid.torus or self.shape
            full = rows * columns == len(self) and grid.degree >= 4  # no chain of cells
            self.is_apart = not full and bool(self.parts().any())

    @classmethod
    def rectangle(cls, rows: int, columns: int, prototypes: Any, grid: Grid = SQUARE) -> SomMap:
        """Return a full map in row-major order: cells (0,0), (1,0), … then the next row."""
        return cls(grid.rectangle(rows, columns), prototypes, grid)

    @classmethod
    def restored(
        cls, positions: Any, prototypes: Any, parents: Any, birth_epochs: Any, grid: Grid = SQUARE
    ) -> SomMap:
        """Return a map with its parents and birth epochs, one row per neuron in every array."""
        som_map = cls(positions, prototypes, grid)
        if not len(parents) == len(birth_epochs) == len(som_map):
            raise ValueError("parents and birth epochs must have one row per neuron")
        som_map._parents[:] = parents
        som_map._birth_epochs[:] = birth_epochs
        return som_map

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def positions(self) -> Integers:
        """Grid cells (x, y) = (column, row), shape (K, 2)."""
        return self._positions.copy()

    @property
    def plane_positions(self) -> Floats:
        """Plane coordinates of the cells, (x, y) with y up, shape (K, 2)."""
        return self.grid.plane(self._positions)

    @property
    def links(self) -> NDArray[np.int32]:
        """Rows of linked neurons, (K, degree), in the order of the grid's offsets; -1: none."""
        return self._links.copy()

    @cached_property
    def hops(self) -> NDArray[np.uint16]:
        """Graph distances between all neurons in links, (K, K), read-only; computed on first use.

        Between connected components they are steps over cells.
        """
        from dbgsom_core.engine.loops import NO_PATH, fill_hops  # numba is slow to import

        # One spare column: the returned view is never contiguous, so that compiled loops have one
        # variant for it instead of two.
        filled = np.zeros((len(self), len(self) + 1), dtype=np.uint16)
        fill_hops(filled, self._links)
        hops = filled[:, : len(self)]
        if self.is_apart:
            no_path = hops == NO_PATH
            hops[no_path] = self.grid.steps(self._positions[:, None], self._positions)[no_path]
        hops.setflags(write=False)
        return hops

    @property
    def parents(self) -> Integers:
        """Row of each neuron's parent, shape (K,); -1 for the first neurons."""
        return self._parents.copy()

    @property
    def birth_epochs(self) -> Integers:
        """Epoch in which each neuron was born, shape (K,); 0 for the first neurons."""
        return self._birth_epochs.copy()

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the smallest rectangle around the map, see `Grid.rectangle`."""
        cells = self.grid.in_columns(self._positions)
        columns, rows = (cells.max(axis=0) - cells.min(axis=0) + 1).tolist()
        return rows, columns

    @cached_property
    def links_or_self(self) -> NDArray[np.int32]:
        """The ``links``; a neuron without any is linked with itself."""
        links = self.links
        lone = np.flatnonzero((links < 0).all(axis=1))
        links[lone, 0] = lone
        return links

    @cached_property
    def diameter(self) -> int:
        """The largest number of hops between two neurons."""
        return int(self.hops.max())

    @cached_property
    def _tables(self) -> dict[str, tuple[NDArray[np.uint16], Floats]]:
        return {}

    def table(self, of: str) -> tuple[NDArray[np.uint16], Floats]:
        """Return value indices of all pairs of neurons (K, K), and the values, nearest first.

        Parameters
        ----------
        of : {"plane", "offsets"}
            Distances of cells in the plane, values (H,), or the vectors (H, 2) in the plane from
            the column's cell to the row's. The first value is that of a neuron to itself.

        Raises
        ------
        ValueError
            There are more values than 65536.
        """
        if of in self._tables:
            return self._tables[of]
        n = len(self)
        grid = self.grid
        positions = self._positions
        reach = int(np.ptp(positions)) if grid.torus is None else sum(grid.torus)
        width = 2 * reach + 1  # columns from -reach to reach

        def keys_of(cells: Integers, others: Integers) -> NDArray[Any]:
            # An integer for each value.
            if of == "plane":
                return grid.squared_distances(cells, others)
            x, y = np.moveaxis(grid.apart(cells, others), -1, 0)
            return np.asarray((y + reach) * width + x + reach)

        keys = np.empty((n, n), dtype=np.int64)
        step = max(1, _BLOCK // n)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            keys[rows] = keys_of(positions[rows, None], positions[None])
        present = np.flatnonzero(np.bincount(keys.ravel()))
        if len(present) > _MOST:
            raise ValueError(
                f"a kernel that reads {of} tells {_MOST} of them apart, and a map of {n} neurons "
                f"has {len(present)}"
            )
        if of == "plane":
            order = np.arange(len(present))
            values: NDArray[Any] = np.sqrt(present.astype(np.float64))
        else:
            y, x = np.divmod(present, width)
            offsets = np.column_stack([x, y]) - reach
            from_origin = grid.squared_distances(offsets, 0 * offsets)
            order = np.argsort(from_origin, kind="stable")
            values = grid.plane(offsets[order])
        number = np.empty(int(present[-1]) + 1, dtype=np.uint16)
        number[present[order]] = np.arange(len(present))
        # Not contiguous, as hops: compiled loops have one variant for both.
        table = np.zeros((n, n + 1), dtype=np.uint16)[:, :n]
        table[:] = number[keys]
        table.setflags(write=False)
        self._tables[of] = table, values
        return table, values

    def neuron_at(self, position: Position) -> int | None:
        """Return the row of the neuron in this cell, or None when it is free."""
        return self._by_cell.get(position)

    def neighbours(self, neuron: int) -> list[int]:
        """Return the linked neighbours (rows), ascending."""
        return sorted(other for other in self._links[neuron].tolist() if other >= 0)

    def free_cells(self, neuron: int) -> list[Position]:
        """Return the free cells beside a neuron in the order of its links."""
        x, y = self._positions[neuron].tolist()
        return [cell for cell in self.grid.beside((x, y)) if cell not in self._by_cell]

    def boundary(self) -> NDArray[np.bool_]:
        """Return which neurons have a free cell beside them, shape (K,)."""
        return np.asarray((self._links < 0).any(axis=1))

    def edges(self) -> Integers:
        """Return all links as pairs of rows (a < b), shape (L, 2), sorted."""
        first = np.repeat(np.arange(len(self)), self.grid.degree)
        other = self._links.ravel()
        pairs = np.column_stack([first, other])
        pairs = pairs[other > first]  # each link once
        order = np.lexsort(pairs.T[::-1])
        return np.asarray(pairs[order], dtype=np.int64)

    def degrees(self) -> Integers:
        """Return how many linked neighbours each neuron has, shape (K,)."""
        return np.asarray((self._links >= 0).sum(axis=1, dtype=np.int64))

    def mean_over_links(self, distances: Floats) -> Floats:
        """Return the mean of distances (K, K) over the links of each neuron, (K,); 0 for none."""
        linked = self.hops == 1
        totals = (distances * linked).sum(axis=1)
        counts = np.maximum(linked.sum(axis=1), 1)
        return np.asarray(totals / counts)

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
        for (x, y), prototype, parent in births:
            reason = self._why_unborn((x, y), prototype, parent)
            if reason:
                raise ValueError(f"a neuron cannot be born at ({x}, {y}): {reason}")
        newborn = np.array([prototype for _, prototype, _ in births], dtype=np.float64)
        cells = np.array([position for position, _, _ in births], dtype=np.int64)
        by_cell = self._by_cell.copy()
        links, isolated = self._link(by_cell, self._links, cells)
        if isolated is not None:
            raise ValueError(f"a neuron cannot be born at {isolated}: no neuron is beside it")
        self._positions = np.concatenate([self._positions, cells])
        self._by_cell = by_cell
        self._links = links
        if self.is_apart:  # a new neuron may connect them
            self.is_apart = bool(self.parts().any())
        parents = np.array([parent for _, _, parent in births], dtype=np.int64)
        epochs = np.full(len(births), epoch, dtype=np.int64)
        self._parents = np.concatenate([self._parents, parents])
        self._birth_epochs = np.concatenate([self._birth_epochs, epochs])
        self.prototypes = np.concatenate([self.prototypes, newborn])
        for name in ("hops", "shape", "diameter", "links_or_self", "_tables"):
            vars(self).pop(name, None)  # computed again on use

    def _why_unborn(self, position: Position, prototype: Any, parent: int) -> str:
        # Why a neuron cannot be born, or no text.
        if self.grid.home(position) != position:
            return "the torus ends before"
        if position in self._by_cell:
            return "the cell is taken"
        shape = np.shape(prototype)
        if shape != self.prototypes.shape[1:]:
            return f"its prototype has shape {shape}, not {self.prototypes.shape[1:]}"
        if not 0 <= parent < len(self):
            return f"it names no living parent: {parent}"
        return ""

    def rearranged(self, rows: Integers, positions: Integers) -> SomMap:
        """Return a map of the neurons ``rows`` (M,), ascending, in the cells ``positions`` (M, 2).

        A neuron whose parent is removed becomes a child of that parent's parent.
        """
        number = np.full(len(self) + 1, -1)  # index -1 gives -1
        number[rows] = np.arange(len(rows))
        parents = self._parents[rows]
        while True:
            orphans = (parents >= 0) & (number[parents] < 0)
            if not orphans.any():
                break
            parents[orphans] = self._parents[parents[orphans]]
        prototypes = self.prototypes[rows]
        epochs = self._birth_epochs[rows]
        return SomMap.restored(positions, prototypes, number[parents], epochs, self.grid)

    def parts(self, kept: Any = None) -> Integers:
        """Return the number of the connected component of each neuron, from 0, int64 (K,).

        With ``kept``, bool (K,), those of the M neurons kept, without the others: int64 (M,).
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        kept = np.ones(len(self), bool) if kept is None else np.asarray(kept, bool)
        edges = self.edges()
        inside = kept[edges].all(axis=1)
        number = np.cumsum(kept) - 1
        ends = tuple(number[edges[inside]].T)
        n = int(kept.sum())
        linked = coo_array((np.ones(len(ends[0])), ends), shape=(n, n))
        _, components = connected_components(linked, directed=False)
        return np.asarray(components, dtype=np.int64)

    def _link(
        self, by_cell: dict[Position, int], links: NDArray[np.int32], cells: Integers
    ) -> tuple[NDArray[np.int32], Position | None]:
        # Add M cells to ``by_cell``; return the links (K + M, degree), and the first of the cells
        # that is added beside no neuron.
        first = len(links)
        ends: list[tuple[int, int, int]] = []  # a neuron, its link, and where that leads
        isolated = None
        for new, (x, y) in enumerate(cells.tolist(), first):
            if by_cell.setdefault((x, y), new) != new:
                raise ValueError(f"two neurons share the cell {(x, y)}")
            before = len(ends)
            for link, cell in enumerate(self.grid.beside((x, y))):
                other = by_cell.get(cell)
                if other is not None:
                    ends += (new, link, other), (other, self.grid.opposite[link], new)
            if len(ends) == before and isolated is None:
                isolated = (x, y)
        links = np.concatenate([links, np.full((len(cells), self.grid.degree), -1, np.int32)])
        if ends:
            rows, columns, others = np.array(ends).T
            links[rows, columns] = others
        return links, isolated


# ------------------------------------------------------------------------------------- changes


class Death(NamedTuple):
    """Removal of a neuron (row); its children become those of its parent."""

    neuron: int


class Insert(NamedTuple):
    """Insertion of a row or column of neurons between the lines of two linked neurons (rows).

    Each link between the line of ``neuron`` and that of ``other`` gets a new neuron: the mean of
    the two, and a child of the one in the line of ``neuron``. The line of ``other`` and all beyond
    are shifted by one cell.
    """

    neuron: int
    other: int


Change = Death | Insert
Births = list[tuple[Position, Floats, int]]  # position, prototype (D,) and parent (row)


def change_of(stored: Any) -> Change:
    """Return the change that a JSON list describes; ValueError where it is none."""
    match stored:
        case [int(neuron)]:
            return Death(neuron)
        case [int(neuron), int(other)]:
            return Insert(neuron, other)
    raise ValueError("a change of the map is none that is known")


def changed_map(som_map: SomMap, changes: Sequence[Change]) -> tuple[SomMap, Integers, Births]:
    """Return a map changed by deaths, or by a single `Insert`; ValueError if impossible.

    Also returns the former row of each of its neurons (K',), and the births of an `Insert`, with
    parents as rows of the changed map.
    """
    n = len(som_map)
    for change in changes:
        for row in change:
            if not 0 <= row < n:
                raise ValueError(f"{change} names a neuron that is not among the {n} of the map")
    inserts = [change for change in changes if isinstance(change, Insert)]
    if inserts:
        if len(changes) > 1:
            raise ValueError(f"{inserts[0]} comes with other changes; it has to be the only one")
        positions, births = _insert_line(som_map, *inserts[0])
        return som_map.rearranged(np.arange(n), positions), np.arange(n), births
    dead = {change.neuron for change in changes}
    if len(dead) < len(changes):
        raise ValueError("a neuron dies twice in one epoch")
    if len(dead) == n:
        raise ValueError("every neuron dies; a map has at least one")
    rows = np.delete(np.arange(n), list(dead))
    return som_map.rearranged(rows, som_map.positions[rows]), rows, []


def _insert_line(som_map: SomMap, neuron: int, other: int) -> tuple[Integers, Births]:
    # The cells of all neurons with a free line between two lines, and the births in it.
    grid = som_map.grid
    positions = som_map.positions
    step = positions[other] - positions[neuron]
    if grid.torus is not None:
        raise ValueError("a torus has no room for another row or column")
    if other not in som_map.neighbours(neuron) or np.abs(step).sum() != 1:
        cells = f"{positions[neuron].tolist()} and {positions[other].tolist()}"
        raise ValueError(f"no row or column fits between {cells}: they are not linked along one")
    axis = int(step[1] != 0)
    side = int(step.sum())
    link = grid.offsets.index((int(step[0]), int(step[1])))
    line = np.flatnonzero(positions[:, axis] == positions[neuron, axis])
    beyond = side * (positions[:, axis] - positions[neuron, axis]) > 0
    births: Births = []
    for row, across in zip(line.tolist(), som_map.links[line, link].tolist(), strict=True):
        if across >= 0:
            x, y = (positions[row] + step).tolist()
            mean = 0.5 * (som_map.prototypes[row] + som_map.prototypes[across])
            births.append(((x, y), mean, row))
    return positions + beyond[:, None] * step, births
