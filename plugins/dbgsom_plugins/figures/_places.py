"""Where neurons are drawn: where they lie, and a long row or column in lines below each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import SomMap

_LINE = 22  # neurons of a row that are readable without being folded
_SHAPE = (6.8, 6.2)  # of the room for a map
_APART = 1.5  # lines, in cells


def drawn_at(som_map: SomMap) -> NDArray[np.float64]:
    """Return the middles (K, 2) of the neurons' cells in a picture, x to the right and y up.

    They are the plane positions, but for a map that is a single row or column of more than 22: it
    is folded into lines, from left to right and from the top to the bottom.
    """
    return folded(som_map, som_map.plane_positions)


def folded(som_map: SomMap, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where points (S, 2) of the plane, cells or links, are drawn."""
    length, lines = _lines(som_map)
    if lines == 1:
        return points
    low, high = som_map.plane_positions.min(axis=0), som_map.plane_positions.max(axis=0)
    flat = low[1] == high[1]
    along = points[:, 0] - low[0] if flat else high[1] - points[:, 1]
    each = math.ceil(length / lines)
    line = np.clip(np.ceil((along + 0.5) / each) - 1, 0, lines - 1)  # links stand at its end
    return np.column_stack([along - each * line, -_APART * line])


def fold_told(som_map: SomMap) -> list[str]:
    """Return the sentence that says that a row or column is folded, if it is."""
    length, lines = _lines(som_map)
    if lines == 1:
        return []
    places = som_map.plane_positions
    flat = np.ptp(places[:, 1]) == 0
    what, order = ("row", "from left to right") if flat else ("column", "from its top")
    return [f"The map is one {what} of {length}, drawn in {lines} lines {order}."]


def _lines(som_map: SomMap) -> tuple[int, int]:
    # How many cells a single row or column has, and in how many lines they are largest.
    spans = np.ptp(som_map.plane_positions, axis=0)
    straight = spans.min() == 0 and (spans[1] == 0 or len(som_map.grid.corners) == 4)
    length = 1 + int(np.rint(spans.max()))
    if not straight or length <= _LINE or som_map.grid.torus is not None:
        return length, 1

    def size(lines: int) -> float:  # of a cell
        return min(_SHAPE[0] / math.ceil(length / lines), _SHAPE[1] / (_APART * lines))

    several = range(1, math.isqrt(2 * length) + 1)
    enough = (lines for lines in several if size(lines) >= _SHAPE[0] / _LINE)
    return length, next(enough, max(several, key=size))
