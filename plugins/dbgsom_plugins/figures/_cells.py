"""Draw what stands in the cells of a ragged map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dbgsom_plugins.figures._colours import INK, text_on

if TYPE_CHECKING:
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from dbgsom_core.api import SomMap
    from dbgsom_plugins.figures._sheet import Sheet

MAX_TEXTS = 150  # neurons up to which each cell may carry a text
_SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_LETTER = 0.62  # width of a character over the font size
_FONT = (4.6, 13.0)  # smallest and largest text in a cell, in points


def squares(
    centres: NDArray[np.integer] | NDArray[np.floating], side: float = 1.0
) -> list[NDArray[np.float64]]:
    """Return the corners (4, 2) of a square around each of the centres (K, 2)."""
    return list(centres[:, None, :] + side * _SQUARE)


def draw_cells(
    sheet: Sheet, som_map: SomMap, colours: NDArray[np.float64], dead: NDArray[np.bool_]
) -> None:
    """Fill the cells with colours (K, 3); hatch those of dead neurons; outline the map."""
    fill_cells(sheet, som_map.positions, colours, dead)


def fill_cells(
    sheet: Sheet,
    positions: NDArray[np.integer],
    colours: NDArray[np.float64],
    dead: NDArray[np.bool_],
) -> None:
    """Do as `draw_cells` with cells at positions (K, 2)."""
    from matplotlib.collections import PolyCollection

    line = float(np.clip(0.022 * sheet.cell, 0.15, 1.2))
    sheet.axes.add_collection(
        PolyCollection(
            squares(positions), facecolors=colours, edgecolors="white", linewidths=line, zorder=1
        ),
        autolim=False,
    )
    if dead.any():
        sheet.axes.add_collection(
            PolyCollection(
                squares(positions[dead], 0.96),
                facecolors="none",
                edgecolors="#aab0b8",
                linewidths=0,
                hatch="/////",
                zorder=2,
            ),
            autolim=False,
        )
    draw_outline(sheet, positions)


def draw_outline(
    sheet: Sheet, positions: NDArray[np.integer], side: float = 1.0, *, weight: float = 1.0
) -> None:
    """Draw a line where squares at ``side`` times positions (S, 2) border on free places."""
    from matplotlib.collections import LineCollection

    sheet.axes.add_collection(
        LineCollection(
            [side * ends for ends in outline(positions)],
            colors=INK,
            linewidths=weight * float(np.clip(0.03 * sheet.cell, 0.5, 1.3)),
            capstyle="projecting",
            clip_on=False,
            zorder=4,
        ),
        autolim=False,
    )


def outline(positions: NDArray[np.integer]) -> list[NDArray[np.float64]]:
    """Return the sides (2, 2) of unit squares at positions (S, 2) that border on free ones."""
    taken = set(map(tuple, positions.tolist()))
    sides = []
    for x, y in positions.tolist():
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            if (x + dx, y + dy) not in taken:
                middle = np.array((x + dx / 2, y + dy / 2))
                along = np.array((dy, dx)) / 2
                sides.append(np.array((middle - along, middle + along)))
    return sides


def write_in_cells(
    sheet: Sheet,
    positions: NDArray[np.integer],
    texts: Sequence[str],
    colours: NDArray[np.float64],
) -> bool:
    """Write a text into each cell where it can be read; return whether that was so.

    Empty texts are left out. Nothing is written on more than 150 cells, or where the longest text
    would be too small.
    """
    longest = max((len(text) for text in texts), default=0)
    if len(texts) > MAX_TEXTS or not longest:
        return False
    size = min(0.36 * sheet.cell, 0.86 * sheet.cell / (_LETTER * longest), _FONT[1])
    if size < _FONT[0]:
        return False
    for (x, y), text, colour in zip(positions.tolist(), texts, text_on(colours), strict=True):
        if text:
            sheet.axes.text(
                x,
                y,
                text,
                fontsize=size,
                color=colour,
                ha="center",
                va="center_baseline",
                parse_math=False,
                zorder=3,
            )
    return True


def mark_parents(sheet: Sheet, positions: NDArray[np.integer], side: float = 1.0) -> None:
    """Draw a small grid into the upper right corner of cells of this side, centred at (P, 2)."""
    from matplotlib.collections import PolyCollection

    if not len(positions):
        return
    corners = side * np.array([(0.27, 0.27), (0.39, 0.27), (0.39, 0.39), (0.27, 0.39)])
    middles = (positions[:, None, :] + corners).reshape(-1, 2)
    sheet.axes.add_collection(
        PolyCollection(
            squares(middles, 0.12 * side),
            facecolors="white",
            edgecolors=INK,
            linewidths=float(np.clip(0.02 * sheet.cell, 0.3, 0.9)),
            zorder=3.5,
        ),
        autolim=False,
    )


def parents_of(som_map: SomMap) -> NDArray[np.int64]:
    """Return the positions (P, 2) of the neurons that have a child map."""
    return som_map.positions[sorted(som_map.children)]


def notes_on_parents(som_map: SomMap) -> list[str]:
    """Return the sentence that explains `mark_parents`, where there is something to explain."""
    return ["A small grid in its corner marks a neuron with a child map."] * bool(som_map.children)


def dead_patch() -> tuple[Patch, str]:
    """Return the legend's entry for neurons without hits."""
    from matplotlib.patches import Patch

    return Patch(facecolor="white", edgecolor="#aab0b8", hatch="/////", lw=0.5), "no hits"
