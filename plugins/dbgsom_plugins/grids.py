"""The grids of squares and hexagons, the same closed to tori, and a line."""

from __future__ import annotations

from dbgsom_core.api import HEXAGONAL, LINE, SQUARE, Component, Grid


class Auto(Component):
    """A line for samples of one column, unless the growth strategy has rows; else squares."""

    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid of more columns than one."""
        return SQUARE

    def suited_to(self, n_features: int) -> Component:
        """Return the grid for so many columns."""
        return Line() if n_features == 1 else Square()


class Line(Component):
    """A row of square cells with two links each, to the left and to the right."""

    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid."""
        return LINE


class Square(Component):
    """Square cells with four links each (Kohonen 2001)."""

    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid."""
        return SQUARE


class Hexagonal(Component):
    """Hexagonal cells with six links each; every second row lies half a cell to the right."""

    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid."""
        return HEXAGONAL


class SquareTorus(Component):
    """The first map closed to a torus of square cells: no neuron lies at an edge, none is born."""

    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid; ValueError where the map is too small."""
        return SQUARE.closed(rows, columns)


class HexagonalTorus(Component):
    """The first map closed to a torus of hexagons: no neuron lies at an edge, none is born."""

    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid; ValueError where the map is too small or its number of rows is odd."""
        return HEXAGONAL.closed(rows, columns)
