"""What a grid is as a component: the cells of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from dbgsom_core.som_map.grid import Grid


@runtime_checkable
class GridShape(Protocol):
    """The cells of maps: which are linked, and where they lie in the plane.

    Optional capability
        ``suited_to(n_features) -> GridShape``: which it is for samples of so many columns. Asked
        where the growth strategy says nothing of the map at the start.
    """

    def lattice(self, rows: int, columns: int) -> Grid:
        """Return the grid of a map that starts with ``rows`` × ``columns`` neurons.

        The cells of the start must hang together. A ValueError says why such a map cannot be.
        """
