"""A grid."""

from dbgsom_core.api import SQUARE, Grid, GridComponent


class Corners(GridComponent):
    """Square cells that are linked at their corners, too: eight links each."""

    def lattice(self, rows, columns):
        """Return the grid of a map that starts with ``rows`` × ``columns`` neurons."""
        links = SQUARE.offsets + SQUARE.diagonals
        return Grid(links, (), SQUARE.axes, SQUARE.corners, name="corners")
