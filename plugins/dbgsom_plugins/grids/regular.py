"""The grids of squares and hexagons, and the same closed to tori."""

from __future__ import annotations

from dbgsom_core.api import HEXAGONAL, SQUARE, Component, Grid


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
