"""Grids: which cells are linked, and where they lie in the plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import islice, pairwise, product
from math import atan2, cos, floor, pi, sin
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Position = tuple[int, int]
Point = tuple[float, float]
_LATTICE = ("offsets", "diagonals", "axes", "corners")
_MOST_POINTS = 64


@dataclass(frozen=True)
class Grid:
    """A regular grid of cells with integer coordinates (x, y), all with the same neighbourhood.

    Squared distances in the plane are whole numbers, 1 between the nearest cells. Row y + 1 may
    start up to a cell to the right of row y (``axes``): the cells of a rectangle then start farther
    left in higher rows, and its columns count from there.

    Attributes
    ----------
    offsets : tuple of (x, y)
        From a cell to its linked cells, in the order in which free ones are tried: pairs of -1, 0
        and 1, each with its opposite.
    diagonals : tuple of (x, y)
        From a cell to those that touch it only at a corner.
    axes : ((x, y), (x, y))
        Plane coordinates of the cells (1, 0) and (0, 1), relative to (0, 0).
    corners : tuple of (x, y)
        Corners of a cell in the plane, relative to its centre, in order around it.
    name : str
        Name in configurations and model files.
    torus : (rows, columns) or None
        The size of a torus: a rectangle whose opposite sides are joined. Links of the last column
        lead to the first one, those of the highest row to the lowest. Coordinates beyond the
        rectangle stand for a cell inside of it, see `home`.
    """

    offsets: tuple[Position, ...]
    diagonals: tuple[Position, ...]
    axes: tuple[Point, Point]
    corners: tuple[Point, ...]
    name: str = ""
    torus: tuple[int, int] | None = None

    @property
    def degree(self) -> int:
        """Number of links of a cell."""
        return len(self.offsets)

    @property
    def is_line(self) -> bool:
        """Whether no link leads to another row: a map is a chain of cells in one row."""
        return not any(y for _, y in self.offsets)

    @cached_property
    def opposite(self) -> tuple[int, ...]:
        """For each link of a cell the number of the link in the opposite direction."""
        return tuple(self.offsets.index((-x, -y)) for x, y in self.offsets)

    def beside(self, cell: Position) -> list[Position]:
        """Return the cells that a cell is linked with, in the order of its links."""
        x, y = cell
        cells = [(x + dx, y + dy) for dx, dy in self.offsets]
        return cells if self.torus is None else [self.home(cell) for cell in cells]

    def beyond(self, cell: Position, other: Position) -> Position:
        """Return the cell linked with ``other`` on the side opposite to ``cell``."""
        if self.torus is None:
            return 2 * other[0] - cell[0], 2 * other[1] - cell[1]
        around = self.beside(other)
        return around[self.opposite[around.index(cell)]]

    def home(self, cell: Position) -> Position:
        """Return the cell of the torus for coordinates beyond its sides; else the cell itself."""
        if self.torus is None:
            return cell
        x, y = cell
        rows, columns = self.torus
        column = (x + self._shift(y)) % columns
        row = y % rows
        return column - self._shift(row), row

    def rectangle(self, rows: int, columns: int) -> Integers:
        """Return the cells (rows*columns, 2) of a rectangle in row-major order, from (0, 0)."""
        y, x = np.divmod(np.arange(rows * columns, dtype=np.int64), max(columns, 1))
        return np.stack([x - np.floor(y * self.axes[1][0]).astype(np.int64), y], axis=-1)

    def in_columns(self, cells: Integers) -> Integers:
        """Return the columns and rows (..., 2) of cells (..., 2) in rectangles like `rectangle`."""
        x, y = np.moveaxis(np.asarray(cells), -1, 0)
        return np.stack([x + np.floor(y * self.axes[1][0]).astype(np.int64), y], axis=-1)

    def closed(self, rows: int, columns: int) -> Grid:
        """Return the same grid as a torus.

        Raises
        ------
        ValueError
            A cell would be linked twice with another or with itself, or the rows that are joined
            would not fit together.
        """
        if self.is_line:
            raise ValueError(f"a {self.name} cannot be closed to a torus: it has no rows to join")
        period = 1 if self.axes[1][0] == 0 else 2  # rows after which columns lie above each other
        if rows % period:
            raise ValueError(
                f"a {self.name} torus needs an even number of rows, not {rows}: rows take turns "
                "half a cell aside, and the highest is joined with the lowest"
            )
        least = 3 if period == 1 else 4
        if rows < least or columns < 3:
            raise ValueError(
                f"a {self.name} torus of {rows} × {columns} neurons is too small: with fewer than "
                f"{least} rows or 3 columns a neuron would be linked twice with another or itself"
            )
        return replace(self, torus=(rows, columns))

    def check(self) -> None:
        """Raise ValueError where the attributes do not make a grid as `Grid` describes it."""
        offsets = [*self.offsets, *self.diagonals]
        along, up = axes = np.array(self.axes, dtype=np.float64)
        squares = np.array([along @ along, up @ up, 2 * along @ up])
        holds = (
            0 < len(self.offsets) <= 8
            and all(type(x) is int and type(y) is int for x, y in offsets)
            and set(offsets) <= {(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)} - {(0, 0)}
            and len(set(offsets)) == len(offsets)
            and all((-x, -y) in of for of in (self.offsets, self.diagonals) for x, y in of)
            and (np.abs(axes) < 1e6).all()
            and np.array_equal(along, (1.0, 0.0))
            and up[0] in (0.0, 0.5)
            and up[1] > 0
            and np.allclose(squares, np.rint(squares), rtol=0, atol=1e-12)
            and len(self.corners) >= 3
            and np.isfinite(np.array(self.corners, np.float64)).all()
        )
        if not holds:
            raise ValueError(
                "a grid has 2 to 8 links a cell, offsets and diagonals of -1, 0 and 1, each once "
                "and with its opposite, axes (1, 0) and (0 or 0.5, h) with whole squared "
                "distances, and at least three corners a cell"
            )

    def plain(self) -> dict[str, Any]:
        """Return the grid as JSON values for `of_plain`; reading them needs no plugin."""
        plain: dict[str, Any] = {"grid": self.name, "torus": self.torus and list(self.torus)}
        if self.flat != GRIDS.get(self.name):
            plain["lattice"] = {
                name: [list(point) for point in getattr(self, name)] for name in _LATTICE
            }
        return plain

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any], cells: Integers) -> Grid:
        """Return the grid that `plain` returned, for a map in these cells (K, 2).

        Raises any error for invalid values, and for a torus that the cells do not fill.
        """
        name = plain.get("grid", "square")
        torus = plain.get("torus")
        grid = GRIDS.get(name) if isinstance(name, str) else None
        if "lattice" in plain:
            shape: dict[str, Any] = {
                key: tuple((a, b) for a, b in islice(plain["lattice"][key], _MOST_POINTS))
                for key in _LATTICE
            }
            grid = cls(**shape, name=str(name)[:200])
            grid.check()
        if grid is None:
            raise ValueError(f"a map on a grid that is not known here: {name!r:.60}")
        if torus is None:
            return grid
        rows, columns = map(index, torus)
        fills = rows > 0 < columns and rows * columns == len(cells)
        closed = grid.closed(rows, columns) if fills else grid
        if not fills or any(closed.home((x, y)) != (x, y) for x, y in cells.tolist()):
            raise ValueError(f"a torus that its neurons do not fill: {rows} × {columns}")
        return closed

    @property
    def flat(self) -> Grid:
        """The same grid, not closed to a torus."""
        return self if self.torus is None else replace(self, torus=None)

    def _shift(self, y: int) -> int:
        # How many cells of a row lie left of the column x = 0.
        return floor(y * self.axes[1][0])

    @cached_property
    def _images(self) -> Integers:
        # Translations (9, 2) from a cell of a torus to its nearest periodic images; without a torus
        # only 0 (1, 2). Rectangles are upright, so that whatever lies nearest in columns and in
        # rows is nearest.
        if self.torus is None:
            return np.zeros((1, 2), dtype=np.int64)
        rows, columns = self.torus
        return np.array(
            [
                (i * columns - self._shift(j * rows), j * rows)
                for i, j in product((0, -1, 1), (0, -1, 1))
            ]
        )

    def plane(self, cells: NDArray[Any]) -> Floats:
        """Return the plane coordinates of cells (..., 2), y up; fractions of cells are allowed."""
        return np.asarray(cells @ np.array(self.axes))

    def apart(self, cells: Integers, others: Integers) -> Integers:
        """Return the differences (..., 2) in cells from ``others`` (..., 2) to ``cells``.

        On a torus they are the shortest; of equally short ones those that lead around it least.
        """
        shifted = (cells - others)[..., None, :] + self._images
        nearest = np.rint(np.square(self.plane(shifted)).sum(axis=-1)).argmin(axis=-1)
        return np.asarray(np.take_along_axis(shifted, nearest[..., None, None], -2)[..., 0, :])

    def squared_distances(self, cells: NDArray[Any], others: NDArray[Any]) -> Floats:
        """Return the squared distances (...) in the plane between cells (..., 2) and others.

        They are whole numbers, so that equal distances have equal bits. On a torus they are those
        to the nearest periodic image.
        """
        one = self.plane(cells)

        def square(image: Integers) -> Floats:
            other = self.plane(others - image)
            x, y = (one[..., i] - other[..., i] for i in (0, 1))  # short axes are slow to sum over
            return np.asarray(x * x + y * y)

        return np.asarray(np.rint(reduce(np.minimum, map(square, self._images))))

    def steps(
        self, cells: Integers, others: Integers, *, over_corners: bool = False
    ) -> NDArray[np.int32]:
        """Return the number of steps from cells (..., 2) to others where no cell is missing.

        Parameters
        ----------
        over_corners : bool
            Steps lead to every cell that touches, also to the ``diagonals``.

        Returns
        -------
        int32 array (...)
        """
        # The cells within n steps fill the polygon of the neighbours, n times as large, so the
        # number of steps is the largest product with a normal of a side. Two adjacent neighbours
        # and the cell span a triangle of area 1/2, so (normal, neighbour) is 1.
        around = sorted(
            self.offsets + self.diagonals * over_corners, key=lambda to: atan2(to[1], to[0])
        )
        if len(around) < 4:  # they do not surround the cell: a chain of cells
            return np.ceil(np.sqrt(self.squared_distances(cells, others))).astype(np.int64)
        sides = list(pairwise(around))[: len(around) // 2]  # the others lie opposite
        normals = [np.array((by - ay, ax - bx)) for (ax, ay), (bx, by) in sides]

        def steps_to(image: Integers, normal: Integers) -> NDArray[np.int32]:
            # There are many pairs: narrow integers, and no array more than needed.
            ends = (cells @ normal).astype(np.int32), ((others - image) @ normal).astype(np.int32)
            difference = np.asarray(ends[0] - ends[1])
            return np.abs(difference, out=difference)

        return reduce(
            np.minimum,
            (reduce(np.maximum, (steps_to(image, n) for n in normals)) for image in self._images),
        )


# Free cells are tried in this order: north, south, east, west (Vasighi & Amini 2017).
SQUARE = Grid(
    offsets=((0, 1), (0, -1), (1, 0), (-1, 0)),
    diagonals=((1, 1), (1, -1), (-1, 1), (-1, -1)),
    axes=((1.0, 0.0), (0.0, 1.0)),
    corners=((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)),
    name="square",
)
# Axial coordinates: x counts along the row, y up and half a cell to the right. Free cells are
# tried counter-clockwise, from the right.
HEXAGONAL = Grid(
    offsets=((1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1)),
    diagonals=(),
    axes=((1.0, 0.0), (0.5, 3**0.5 / 2)),
    corners=tuple(
        (cos(angle) / 3**0.5, sin(angle) / 3**0.5)
        for angle in (pi * (corner / 3 + 1 / 6) for corner in range(6))
    ),
    name="hexagonal",
)
# A row of squares, for data of one column, whose map would fold on a grid with rows.
LINE = replace(SQUARE, offsets=((1, 0), (-1, 0)), diagonals=(), name="line")
GRIDS = {grid.name: grid for grid in (SQUARE, HEXAGONAL, LINE)}
