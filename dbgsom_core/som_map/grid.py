"""Grids: which cells are linked, and where they lie in the plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
_MOST_POINTS = 64  # that are read of a file, more than a grid can have
_MOST_CHARACTERS = 200  # of a name in a file


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
        link = around.index(cell)
        return around[self.opposite[link]]

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
        numbers = np.arange(rows * columns, dtype=np.int64)
        y, column = np.divmod(numbers, max(columns, 1))
        return np.stack([column - self._shifts(y), y], axis=-1)

    def in_columns(self, cells: Integers) -> Integers:
        """Return the columns and rows (..., 2) of cells (..., 2) in rectangles like `rectangle`."""
        x, y = np.moveaxis(np.asarray(cells), -1, 0)
        return np.stack([x + self._shifts(y), y], axis=-1)

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
        if not (self._has_directions() and self._has_axes() and self._has_corners()):
            raise ValueError(
                "a grid has 2 to 8 links a cell, offsets and diagonals of -1, 0 and 1, each once "
                "and with its opposite, axes (1, 0) and (0 or 0.5, h) with whole squared "
                "distances, and at least three corners a cell"
            )

    def _has_directions(self) -> bool:
        for directions in (self.offsets, self.diagonals):
            for x, y in directions:
                if type(x) is not int or type(y) is not int or max(abs(x), abs(y)) != 1:
                    return False
                if (-x, -y) not in directions:
                    return False
        cells = [*self.offsets, *self.diagonals]
        is_each_once = len(set(cells)) == len(cells)
        return is_each_once and 0 < len(self.offsets) <= 8

    def _has_axes(self) -> bool:
        along, up = axes = np.array(self.axes, dtype=np.float64)
        if not (np.abs(axes) < 1e6).all():  # also where it is nan
            return False
        is_upright = np.array_equal(along, (1.0, 0.0)) and up[0] in (0.0, 0.5) and up[1] > 0
        # |x along + y up|² = x² + (up @ up) y² + (2 along @ up) xy
        coefficients = np.array([up @ up, 2 * along @ up])
        is_whole = np.allclose(coefficients, np.rint(coefficients), rtol=0, atol=1e-12)
        return bool(is_upright and is_whole)

    def _has_corners(self) -> bool:
        corners = np.array(self.corners, np.float64)
        return len(corners) >= 3 and bool(np.isfinite(corners).all())

    def plain(self) -> dict[str, Any]:
        """Return the grid as JSON values for `of_plain`; reading them needs no plugin."""
        plain: dict[str, Any] = {"grid": self.name, "torus": None}
        if self.torus is not None:
            plain["torus"] = list(self.torus)
        if self.flat != GRIDS.get(self.name):
            lattice = {}
            for name in _LATTICE:
                lattice[name] = [list(point) for point in getattr(self, name)]
            plain["lattice"] = lattice
        return plain

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any], cells: Integers) -> Grid:
        """Return the grid that `plain` returned, for a map in these cells (K, 2).

        Raises any error for invalid values, and for a torus that the cells do not fill.
        """
        name = plain.get("grid", "square")
        grid = GRIDS.get(name) if isinstance(name, str) else None
        if "lattice" in plain:
            lattice: dict[str, Any] = {}
            for key in _LATTICE:
                points = islice(plain["lattice"][key], _MOST_POINTS)
                lattice[key] = tuple((a, b) for a, b in points)
            grid = cls(**lattice, name=str(name)[:_MOST_CHARACTERS])
            grid.check()
        if grid is None:
            raise ValueError(f"a map on a grid that is not known here: {name!r:.60}")
        torus = plain.get("torus")
        if torus is None:
            return grid
        rows, columns = map(index, torus)
        if rows > 0 < columns and rows * columns == len(cells):
            closed = grid.closed(rows, columns)
            if all(closed.home((x, y)) == (x, y) for x, y in cells.tolist()):
                return closed
        raise ValueError(f"a torus that its neurons do not fill: {rows} × {columns}")

    @property
    def flat(self) -> Grid:
        """The same grid, not closed to a torus."""
        return self if self.torus is None else replace(self, torus=None)

    def _shift(self, y: int) -> int:
        # How many cells of a row lie left of the column x = 0.
        return floor(y * self.axes[1][0])

    def _shifts(self, y: Integers) -> Integers:
        # The same for many rows.
        return np.asarray(np.floor(y * self.axes[1][0]), np.int64)

    @cached_property
    def _images(self) -> Integers:
        # Translations (9, 2) from a cell of a torus to its nearest periodic images; without a torus
        # only 0 (1, 2). Rectangles are upright, so that whatever lies nearest in columns and in
        # rows is nearest. The cell itself comes first, and wins where others are as near.
        if self.torus is None:
            return np.zeros((1, 2), dtype=np.int64)
        rows, columns = self.torus
        translations = []
        for i, j in product((0, -1, 1), repeat=2):
            translations.append((i * columns - self._shift(j * rows), j * rows))
        return np.array(translations)

    def plane(self, cells: NDArray[Any]) -> Floats:
        """Return the plane coordinates of cells (..., 2), y up; fractions of cells are allowed."""
        return np.asarray(cells @ np.array(self.axes))

    def apart(self, cells: Integers, others: Integers) -> Integers:
        """Return the differences (..., 2) in cells from ``others`` (..., 2) to ``cells``.

        On a torus they are the shortest; of equally short ones those that lead around it least.
        """
        images = (cells - others)[..., None, :] + self._images
        squares = np.square(self.plane(images)).sum(axis=-1)
        nearest = np.rint(squares).argmin(axis=-1)
        chosen = np.take_along_axis(images, nearest[..., None, None], -2)
        return np.asarray(chosen[..., 0, :])

    def squared_distances(self, cells: NDArray[Any], others: NDArray[Any]) -> Floats:
        """Return the squared distances (...) in the plane between cells (..., 2) and others.

        They are whole numbers, so that equal distances have equal bits. On a torus they are those
        to the nearest periodic image.
        """
        point = self.plane(cells)

        def square(image: Integers) -> Floats:
            other = self.plane(others - image)
            x = point[..., 0] - other[..., 0]  # short axes are slow to sum over
            y = point[..., 1] - other[..., 1]
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
        around = list(self.offsets)
        if over_corners:
            around += self.diagonals
        if len(around) < 4:  # they do not surround the cell: a chain of cells
            return np.ceil(np.sqrt(self.squared_distances(cells, others))).astype(np.int64)
        around.sort(key=_angle)
        sides = list(pairwise(around))[: len(around) // 2]  # the others lie opposite
        normals = [np.array((by - ay, ax - bx)) for (ax, ay), (bx, by) in sides]

        def steps_to(image: Integers) -> NDArray[np.int32]:
            by_normal = (_steps_along(normal, cells, others - image) for normal in normals)
            return reduce(np.maximum, by_normal)

        return reduce(np.minimum, map(steps_to, self._images))


def _angle(direction: Position) -> float:
    x, y = direction
    return atan2(y, x)


def _steps_along(normal: Integers, cells: Integers, others: Integers) -> NDArray[np.int32]:
    # There are many pairs: narrow integers, and no array more than needed.
    ends = (cells @ normal).astype(np.int32)
    starts = (others @ normal).astype(np.int32)
    difference = np.asarray(ends - starts)
    return np.abs(difference, out=difference)


# Free cells are tried in this order: north, south, east, west (Vasighi & Amini 2017).
SQUARE = Grid(
    offsets=((0, 1), (0, -1), (1, 0), (-1, 0)),
    diagonals=((1, 1), (1, -1), (-1, 1), (-1, -1)),
    axes=((1.0, 0.0), (0.0, 1.0)),
    corners=((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)),
    name="square",
)


def _hexagon() -> Iterator[Point]:
    # The corners of a hexagon whose inner radius is 1/2.
    for corner in range(6):
        angle = pi * (corner / 3 + 1 / 6)
        yield cos(angle) / 3**0.5, sin(angle) / 3**0.5


# Axial coordinates: x counts along the row, y up and half a cell to the right. Free cells are
# tried counter-clockwise, from the right.
HEXAGONAL = Grid(
    offsets=((1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1)),
    diagonals=(),
    axes=((1.0, 0.0), (0.5, 3**0.5 / 2)),
    corners=tuple(_hexagon()),
    name="hexagonal",
)
# A row of squares, for data of one column, whose map would fold on a grid with rows.
LINE = replace(SQUARE, offsets=((1, 0), (-1, 0)), diagonals=(), name="line")
GRIDS = {grid.name: grid for grid in (SQUARE, HEXAGONAL, LINE)}
