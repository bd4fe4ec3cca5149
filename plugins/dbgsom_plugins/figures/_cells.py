"""Draw what stands in the cells of a ragged map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dbgsom_plugins.figures._colours import INK, text_on
from dbgsom_plugins.figures._places import drawn_at, fold_told
from dbgsom_plugins.figures._sheet import PLAIN, SIDE, extent, map_sheet

if TYPE_CHECKING:
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap
    from dbgsom_plugins.figures._sheet import Sheet

JOINED = "A torus: dashed sides are joined, left with right and top with bottom."
MAX_TEXTS = 150  # neurons up to which each cell may carry a text
_ICON = 0.12 * np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_TO_ICON = 0.2  # from the corner of a cell to the middle of its mark
_LINE = 0.6  # how much less a further line of a text leaves for the font
_LETTER = 0.62  # width of a character over the font size
_FONT = (4.6, 13.0)  # smallest and largest text in a cell, in points


def polygons(
    centres: NDArray[np.floating], corners: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Return the corners (C, 2) of a polygon around each of the centres (K, 2)."""
    return list(centres[:, None, :] + corners)


def map_of_cells(
    view: MapView,
    title: str,
    colours: NDArray[np.float64],
    texts: Sequence[str] = (),
    notes: Sequence[str] = (),
    key_rows: int = 0,
    side: float = SIDE,
) -> Sheet:
    """Return a page with the map's cells in colours (K, 3), hatched where no sample was won.

    ``texts`` (K,) stand in the cells where they can be read; neurons with child maps are marked.
    The other arguments are those of `map_sheet`.
    """
    som_map, dead = view.evaluation.som_map, view.evaluation.hits == 0
    sheet = map_sheet(view, title, [*notes, *notes_on_map(som_map)], key_rows, side=side)
    fill_cells(sheet, drawn_at(som_map), colours, dead, joined=is_torus(som_map))
    mark_parents(sheet, parents_of(som_map))
    write_in_cells(sheet, drawn_at(som_map), texts, colours)
    return sheet


def fill_cells(
    sheet: Sheet,
    centres: NDArray[np.floating],
    colours: NDArray[np.float64],
    dead: NDArray[np.bool_],
    *,
    joined: bool = False,
) -> None:
    """Fill cells around centres (K, 2) with colours (K, 3); hatch dead ones; outline them all.

    ``joined``: they are a torus.
    """
    from matplotlib.collections import PolyCollection

    line = float(np.clip(0.022 * sheet.cell, 0.15, 1.2))
    sheet.axes.add_collection(
        PolyCollection(
            polygons(centres, sheet.corners),
            facecolors=colours,
            edgecolors="white",
            linewidths=line,
            zorder=1,
        ),
        autolim=False,
    )
    if dead.any():
        sheet.axes.add_collection(
            PolyCollection(
                polygons(centres[dead], 0.96 * sheet.corners),
                facecolors="none",
                edgecolors="#aab0b8",
                linewidths=0,
                hatch="/////",
                zorder=2,
            ),
            autolim=False,
        )
    draw_outline(sheet, centres, joined=joined)


def draw_outline(
    sheet: Sheet,
    centres: NDArray[np.floating],
    size: float = 1.0,
    *,
    weight: float = 1.0,
    joined: bool = False,
) -> None:
    """Draw a line where cells of this size around centres (S, 2) border on free places.

    It is dashed where opposite sides are ``joined``.
    """
    from matplotlib.collections import LineCollection

    sheet.axes.add_collection(
        LineCollection(
            outline(centres, size * sheet.corners),
            colors=INK,
            linewidths=weight * float(np.clip(0.03 * sheet.cell, 0.5, 1.3)),
            linestyles=(0, (2.5, 2.5)) if joined else "solid",
            capstyle="butt" if joined else "projecting",
            clip_on=False,
            zorder=4,
        ),
        autolim=False,
    )


def outline(
    centres: NDArray[np.floating], corners: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Return the sides (2, 2) of polygons around centres (S, 2) that no other one has, too."""
    ends = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    sides = (centres[:, None, None] + ends).reshape(-1, 2, 2)
    middles = np.rint(1e6 * sides.mean(axis=1))
    _, which, counts = np.unique(middles, axis=0, return_inverse=True, return_counts=True)
    return list(sides[counts[which.ravel()] == 1])


def write_in_cells(
    sheet: Sheet,
    centres: NDArray[np.floating],
    texts: Sequence[str],
    colours: NDArray[np.float64],
) -> bool:
    """Write a text into each cell where it can be read; return whether that was so.

    Empty texts are left out. Nothing is written on more than 150 cells, or where the longest text
    would be too small.
    """
    size = _size(sheet, texts)
    if size < _FONT[0]:
        return False
    for (x, y), text, colour in zip(centres.tolist(), texts, text_on(colours), strict=True):
        if text:
            sheet.axes.text(
                x,
                y,
                text,
                fontsize=size,
                color=colour,
                ha="center",
                va="center_baseline",
                zorder=3,
                **PLAIN,
            )
    return True


def can_write(sheet: Sheet, texts: Sequence[str]) -> bool:
    """Say whether `write_in_cells` would write these texts."""
    return _size(sheet, texts) >= _FONT[0]


def _size(sheet: Sheet, texts: Sequence[str]) -> float:
    # Of the font, in points; 0 where nothing is to be written.
    if len(texts) > MAX_TEXTS or not any(texts):
        return 0.0
    lines = {line for text in texts for line in text.splitlines()}
    widest = max(max(_LETTER * len(line), extent(line)) for line in lines)
    tall = max(1.0, max(text.count("\n") for text in texts) * _LINE)
    return float(min(0.36 * sheet.cell / tall, 0.86 * sheet.cell / widest, _FONT[1]))


def mark_parents(sheet: Sheet, centres: NDArray[np.floating], size: float = 1.0) -> None:
    """Draw a small grid into the upper right corner of cells of this size around (P, 2).

    Where the uppermost corner stands alone, as that of a hexagon, it is that one.
    """
    from matplotlib.collections import PolyCollection

    if not len(centres):
        return
    corner = max(sheet.corners.tolist(), key=lambda at: (round(at[1], 9), at[0]))
    middle = np.multiply(corner, 1 - _TO_ICON / np.linalg.norm(corner))
    middles = (centres[:, None, :] + size * (middle + _ICON)).reshape(-1, 2)
    sheet.axes.add_collection(
        PolyCollection(
            polygons(middles, size * _ICON),
            facecolors="white",
            edgecolors=INK,
            linewidths=float(np.clip(0.02 * sheet.cell, 0.3, 0.9)),
            zorder=3.5,
        ),
        autolim=False,
    )


def parents_of(som_map: SomMap) -> NDArray[np.float64]:
    """Return where (P, 2) the neurons lie in the plane that have a child map."""
    return drawn_at(som_map)[sorted(som_map.children)]


def is_torus(som_map: SomMap) -> bool:
    """Return whether opposite sides of a map are joined."""
    return som_map.grid.torus is not None


def notes_on_map(som_map: SomMap) -> list[str]:
    """Return the sentences that explain `mark_parents`, dashes and lines, where there are any."""
    notes = []
    if is_torus(som_map):
        notes.append(JOINED)
    notes += fold_told(som_map)
    if som_map.children:
        notes.append("A small grid in its corner marks a neuron with a child map.")
    return notes


def dead_patch() -> tuple[Patch, str]:
    """Return the legend's entry for neurons without hits."""
    from matplotlib.patches import Patch

    return Patch(facecolor="white", edgecolor="#aab0b8", hatch="/////", lw=0.5), "no hits"
