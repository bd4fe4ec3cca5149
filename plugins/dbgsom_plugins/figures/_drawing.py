"""The drawing layer of the figures: pages, and cells of maps of any shape with what stands in them.

Sizes are worked out in inches from the map's shape, so that cells are not distorted and text is
readable on a map of four neurons and on one of two thousand.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.api import MapView, as_label
from dbgsom_plugins.figures._style import (
    INK,
    LONGEST_NAME,
    MUTED,
    PAPER,
    PLAIN,
    numbers,
    scale_over,
    shortened,
    text_on,
    text_width,
    towards_white,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import SomMap, SweepView

    Entries = Sequence[tuple[Any, str]]  # colours and names of a legend
    Points = NDArray[np.floating]  # (S, 2)

JOINED = "A torus: dashed sides are joined, left with right and top with bottom."
_HATCHED = "Hatched neurons have no hits."
# The page, in inches: a map panel and its colour bar fill the width of a printed page, so that
# figures need not be scaled, at a resolution at which the smallest text is sharp.
_DPI = 150
_MARGIN = 0.3  # around everything
_HEAD = 0.62  # title and subtitle
_LINE = 0.165  # a line of the caption, of 8 points
_MIN_PAGE_WIDTH = 5.2  # so that titles fit
_MAP_SIDE, _PAGE_SIDE = 1.55, 0.9  # for the colour bar beside a map, and beside panels
_KEY_GAP = 0.22  # between panels and key
_SHORTEST_BAR, _LONGEST_BAR = 1.4, 3.2  # of a colour bar: as high as the panels between these
_MAX_PANEL = (6.8, 6.2)  # of the map: width, height
_MIN_PANEL_HEIGHT = 1.6  # so that a colour bar or a short key fits beside a row of neurons
_LARGEST_CELL = 0.95  # so that a map of four neurons does not fill a page
# A legend. Its font is measured in points, 72 an inch.
_FONT, _SMALL_FONT = 8.5, 7.0  # of a legend, and of one that is long
_KEY_PATCH = 24.0  # points of the patch and the margins of an entry
_KEY_ROW, _KEY_LINE = 0.0247, 0.0161  # inches a point of the font: of an entry, of its next lines
_KEY_SIDE = (1.55, 3.0)  # least and largest width of a column, in inches
# Cells, in units in which linked ones lie 1 apart.
_ICON = 0.12 * np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_TO_ICON = 0.2  # from the corner of a cell to the middle of its mark, which stays within
_DEAD = 0.18  # strength of the colour under the hatch of a neuron without hits
_MAX_ROW_CELLS = 22  # of a single row, which is folded beyond: cells would be under 0.3 inches
_FOLD_PITCH = 1.5  # from line to line of a folded row, so that lines are told apart
# Texts in cells.
_DIGIT = 0.6  # width of a digit over the font size
_MAX_TEXTS = 150  # neurons up to which each cell may carry a text: more are no longer read
_CELL_FONT = (4.6, 13.0)  # smallest and largest text, in points
_SHORT_FONT, _LEAST_LINE = 6.0, 5  # points of texts that are cut, and digits that a line takes
_ROOM = 0.86  # of a cell's width, for a line
_TALLEST_LINE, _ALL_LINES = 0.36, 0.62  # of a cell's height: the font of a line, and of all lines


# --------------------------------------------------------------------------------------- pages


@dataclass(frozen=True)
class Page:
    """A page for panels of any kind, below its title and beside its legend.

    Attributes
    ----------
    figure : Figure
    width, height : float
        Of the space for panels, in inches.
    axes : Axes or None
        Axes given by the caller, which are the only panel.
    """

    figure: Figure
    width: float
    height: float
    axes: Axes | None = None

    def panel(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes in a box in inches, counted from the top left."""
        if self.axes is not None:
            return self.axes
        page_width, page_height = self.figure.get_size_inches()
        bottom = page_height - _MARGIN - _HEAD - top - height
        x, y = (_MARGIN + left) / page_width, bottom / page_height
        axes: Axes = self.figure.add_axes((x, y, width / page_width, height / page_height))
        return axes

    def colour_bar(
        self, scale: ScalarMappable, label: str, ends: tuple[str, str] | None = None
    ) -> None:
        """Put a colour bar beside the panels, of whole numbers where the values are, or with words.

        ``ends`` are the words at its low and its high end.
        """
        from matplotlib.ticker import MaxNLocator

        values = scale.get_array()
        is_whole = values is not None and bool((values == np.rint(values)).all())
        ticks = MaxNLocator(nbins=5, integer=is_whole, min_n_ticks=1)
        place: dict[str, Any] = {"ax": self.axes, "shrink": 0.8}
        if self.axes is None:
            height = max(_SHORTEST_BAR, min(_LONGEST_BAR, self.height))
            place = {"cax": self.panel(self.width + _KEY_GAP, 0.0, 0.16, height)}
        bar = self.figure.colorbar(scale, ticks=ticks, **place)
        if ends is not None:
            bar.set_ticks(scale.get_clim(), labels=list(ends))
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, colors=MUTED, length=2.5)
        bar.ax.set_title(label, fontsize=8.5, color=INK, loc="left", pad=7, **PLAIN)


def page(
    view: MapView | SweepView,
    title: str,
    width: float,
    height: float,
    notes: Sequence[str] = (),
    entries: Entries = (),
    side: float = _PAGE_SIDE,
) -> Page:
    """Return a page with space for panels of this size in inches, its title, caption and legend.

    ``side`` is the space beside the panels where there is no legend.
    """
    from matplotlib.figure import Figure

    if isinstance(view, MapView) and view.axes is not None:
        view.axes.set_axis_off()
        view.axes.set_title(title, fontsize=11, color=INK, **PLAIN)
        add_legend(view.axes, entries, 1.03, 1.0)
        figure: Figure = view.axes.figure  # type: ignore[assignment]
        return Page(figure, width, height, view.axes)
    if entries:
        key = _key_of(entries)
        side = key.columns * key.side
        height = max(height, key.height)
    page_width = max(_MIN_PAGE_WIDTH, 2 * _MARGIN + width + _KEY_GAP + side)
    text_inches = page_width - 2 * _MARGIN
    caption = [summary_line(view)] if isinstance(view, MapView) else []
    for note in notes:
        caption += textwrap.wrap(note, int(text_inches / (8 * _DIGIT / 72)))
    page_height = _MARGIN + _HEAD + height + 0.12 + len(caption) * _LINE + _MARGIN
    figure = Figure(figsize=(page_width, page_height), dpi=_DPI, facecolor=PAPER)
    x, y = _MARGIN / page_width, 1 - 0.24 / page_height
    figure.text(x, y, title, fontsize=13, fontweight="bold", color=INK, va="top", **PLAIN)
    # Hinted letters are up to 4 % wider than text_width has them.
    subtitle = shortened(view.title, 0.95 * 72 * text_inches, 9)
    y -= 0.26 / page_height
    figure.text(x, y, subtitle, fontsize=9, color=MUTED, va="top", **PLAIN)
    for i, line in enumerate(reversed(caption)):
        y = (_MARGIN - 0.06 + i * _LINE) / page_height
        figure.text(x, y, line, fontsize=8, color=MUTED, va="bottom", **PLAIN)
    right = (_MARGIN + width + _KEY_GAP) / page_width
    add_legend(figure, entries, right, 1 - (_MARGIN + _HEAD) / page_height)
    return Page(figure, width, height)


class _Key(NamedTuple):
    """The size of a legend: inches of a column and of all rows, columns, points of its font."""

    side: float
    height: float
    columns: int
    font: float


def _key_of(entries: Entries) -> _Key:
    """Return the size of a legend, in a smaller font where it has columns."""
    widest = max(text_width(as_label(name, LONGEST_NAME)) for _, name in entries)
    for font in (_FONT, _SMALL_FONT):
        points = font * widest + _KEY_PATCH + 1
        side = float(np.clip(points / 72, *_KEY_SIDE))
        height = 0.0
        for _, name in entries:
            lines = len(wrapped(name, 72 * side - _KEY_PATCH, font))
            height += font * (_KEY_ROW + _KEY_LINE * (lines - 1))
        columns = math.ceil(height / _MAX_PANEL[1])
        if columns == 1:  # else the smaller font, in as many columns as it takes
            break
    return _Key(side, height / columns, columns, font)


def add_legend(parent: Figure | Axes, entries: Entries, x: float, top: float) -> None:
    """Put colours with names at a place of a page or of axes, where there are any."""
    from matplotlib.patches import Patch

    if not entries:
        return
    key = _key_of(entries)
    patches = [Patch(facecolor=colour, lw=0) for colour, _ in entries]
    legend = parent.legend(
        patches,
        ["name"] * len(entries),
        loc="upper left",
        bbox_to_anchor=(x, top),
        frameon=False,
        fontsize=key.font,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.1,
        handleheight=1.1,
        labelspacing=0.45,
        columnspacing=1.0,
        ncols=key.columns,
    )
    # Set afterwards: names may start with an underscore or hold dollar signs.
    for text, (_, name) in zip(legend.get_texts(), entries, strict=True):
        lines = wrapped(name, 72 * key.side - _KEY_PATCH, key.font)
        text.set(**PLAIN)
        text.set(text="\n".join(lines), color=INK, linespacing=1.1)


def summary_line(view: MapView) -> str:
    """Return the caption's first line: neurons, dead ones, child maps, quantization error."""
    hits, tree = view.evaluation.hits, view.evaluation.tree
    dead = int(np.count_nonzero(hits == 0))
    parts = [_counted(len(hits), "neuron")]
    if dead:
        parts.append(f"{dead} without hits")
    if len(tree.maps) > 1:
        child_maps = _counted(len(tree.maps) - 1, "child map")
        parts.append(f"{child_maps}, {len(tree)} leaves")
    error = float(view.evaluation.leaf_distance.mean())
    parts.append(f"quantization error {error:.4g}")
    return "  ·  ".join(parts)


def _counted(count: int, noun: str) -> str:
    if count != 1:
        noun += "s"
    return f"{count} {noun}"


# -------------------------------------------------------------------------------- maps of cells


@dataclass(frozen=True)
class Sheet:
    """A map panel, in units in which linked cells lie 1 apart, y up.

    Attributes
    ----------
    page : Page
    axes : Axes
    cell : float
        Such a unit in points.
    som_map : SomMap
        Whose grid the cells lie on.
    """

    page: Page
    axes: Axes
    cell: float
    som_map: SomMap

    @property
    def corners(self) -> NDArray[np.float64]:
        """The corners (C, 2) of a cell around its centre."""
        return np.array(self.som_map.grid.corners)

    def fill(self, shapes: Sequence[Points], **look: Any) -> None:
        """Draw polygons (P, 2) in the look of a `PolyCollection`."""
        from matplotlib.collections import PolyCollection

        self.axes.add_collection(PolyCollection(shapes, **look), autolim=False)

    def fill_cells(
        self, centres: Points, colours: NDArray[np.float64], dead: NDArray[np.bool_]
    ) -> None:
        """Fill cells around centres (K, 2) with colours (K, 3); hatch dead ones; outline all."""
        line = float(np.clip(0.022 * self.cell, 0.15, 1.2))
        cells = polygons(centres, self.corners)
        self.fill(cells, facecolors=colours, edgecolors="white", linewidths=line, zorder=1)
        if dead.any():
            inner = polygons(centres[dead], 0.96 * self.corners)
            look: dict[str, Any] = {"facecolors": "none", "edgecolors": "#aab0b8", "linewidths": 0}
            self.fill(inner, hatch="/////", zorder=2, **look)
        self.draw_outline(centres)

    def draw_outline(self, centres: Points, size: float = 1.0) -> None:
        """Draw a line where cells of this size around centres (S, 2) have no neighbour.

        It is dashed where opposite sides are joined.
        """
        from matplotlib.collections import LineCollection

        look: dict[str, Any] = {"linestyles": "solid", "capstyle": "projecting"}
        if is_torus(self.som_map):
            look = {"linestyles": (0, (2.5, 2.5)), "capstyle": "butt"}
        lines = LineCollection(
            outline(centres, size * self.corners),
            colors=INK,
            linewidths=float(np.clip(0.03 * self.cell, 0.5, 1.3)),
            clip_on=False,
            zorder=4,
            **look,
        )
        self.axes.add_collection(lines, autolim=False)

    def write(self, centres: Points, texts: Sequence[str], colours: NDArray[np.float64]) -> None:
        """Write a text into each cell where all can be read; empty ones are left out."""
        if not self.can_write(texts):
            return
        look = PLAIN | {"ha": "center", "va": "center_baseline", "zorder": 3}
        size, inks = self._text_size(texts), text_on(colours)
        for (x, y), text, ink in zip(centres.tolist(), texts, inks, strict=True):
            if text:
                self.axes.text(x, y, text, fontsize=size, color=ink, **look)

    def can_write(self, texts: Sequence[str]) -> bool:
        """Return whether `write` writes these texts: into at most 150 cells, none too small."""
        if not any(texts) or len(texts) > _MAX_TEXTS:
            return False
        return self._text_size(texts) >= _CELL_FONT[0]

    def shorten(self, texts: Sequence[str]) -> list[str]:
        """Return texts with lines cut so that `write` writes them; an empty list: it cannot."""
        size, room = min(_SHORT_FONT, self._tallest(texts)), _ROOM * self.cell
        if room < _LEAST_LINE * _DIGIT * size:
            return []
        short = []
        for text in texts:
            lines = [shortened(line, room, size) for line in text.split("\n")]
            short.append("\n".join(lines))
        return short if self.can_write(short) else []

    def _text_size(self, texts: Sequence[str]) -> float:
        # Of the font, in points.
        lines = set("\n".join(texts).split("\n"))
        # At least as wide as digits: narrow letters would leave cells at their corners.
        widest = max(max(text_width(line), _DIGIT * len(line)) for line in lines)
        return float(min(self._tallest(texts), _ROOM * self.cell / widest, _CELL_FONT[1]))

    def _tallest(self, texts: Sequence[str]) -> float:
        # The largest font, in points, in which all lines of a text fit into a cell.
        n_lines = 1 + max(text.count("\n") for text in texts)
        return min(_TALLEST_LINE, _ALL_LINES / n_lines) * self.cell

    def mark_parents(self, centres: Points, size: float = 1.0) -> None:
        """Draw a small grid into the upper right corner of cells of this size around (P, 2).

        Of hexagons it is the top corner.
        """
        corner = max(self.corners.tolist(), key=lambda point: (round(point[1], 9), point[0]))
        middle = np.multiply(corner, 1 - _TO_ICON / np.linalg.norm(corner))
        squares = centres[:, None, :] + size * (middle + _ICON)
        line = float(np.clip(0.02 * self.cell, 0.3, 0.9))
        icons = polygons(squares.reshape(-1, 2), size * _ICON)
        self.fill(icons, facecolors="white", edgecolors=INK, linewidths=line, zorder=3.5)


def map_sheet(
    view: MapView,
    title: str,
    notes: Sequence[str] = (),
    entries: Entries = (),
    centres: Points | None = None,
) -> Sheet:
    """Return a page for a map with its title, and a caption that counts neurons and errors.

    Parameters
    ----------
    view : MapView
    title : str
        What the figure shows; the run's title goes below it.
    notes : sequence of str
        Sentences that explain the figure, added to the caption.
    entries : sequence of (colour, str)
        Of the legend.
    centres : float array (S, 2), optional
        Of the cells that are drawn; those of the map without them.
    """
    som_map = view.evaluation.som_map
    if centres is None:
        centres = cell_centres(som_map)
    low, size = extent(som_map, centres)
    cell = float(min(_LARGEST_CELL, *(_MAX_PANEL / size)))
    width, height = size * cell
    shown = page(view, title, width, max(height, _MIN_PANEL_HEIGHT), notes, entries, _MAP_SIDE)
    axes = shown.panel(0.0, 0.0, width, height)
    if view.axes is not None:
        box = axes.get_window_extent()
        cell = float(min((box.width, box.height) / size)) / shown.figure.dpi
    frame(axes, low, size)
    return Sheet(shown, axes, 72 * cell, som_map)


def extent(som_map: SomMap, centres: Points) -> tuple[Points, Points]:
    """Return the lower left corner (2,) and the size (2,) of cells around centres (S, 2)."""
    corners = np.array(som_map.grid.corners)
    low = centres.min(axis=0) + corners.min(axis=0)
    return low, centres.max(axis=0) + corners.max(axis=0) - low


def frame(axes: Axes, low: Points, size: Points) -> None:
    """Let axes show a part of the plane, undistorted and without a frame."""
    axes.set_xlim(low[0], low[0] + size[0])
    axes.set_ylim(low[1], low[1] + size[1])
    axes.set_aspect("equal")
    axes.set_axis_off()


def map_of_cells(
    view: MapView,
    title: str,
    colours: NDArray[np.float64],
    texts: Sequence[str] = (),
    notes: Sequence[str] = (),
    entries: Entries = (),
) -> Sheet:
    """Return a page with the map's cells in colours (K, 3), neurons without hits hatched.

    ``texts`` (K,) stand in the cells where they can be read; neurons with child maps are marked.
    The other arguments are those of `map_sheet`.
    """
    som_map, dead = view.evaluation.som_map, view.evaluation.hits == 0
    centres = cell_centres(som_map)
    sentences = list(notes)
    if dead.any():
        sentences.append(_HATCHED)
    sheet = map_sheet(view, title, [*sentences, *notes_on_map(som_map)], entries)
    sheet.fill_cells(centres, colours, dead)
    sheet.mark_parents(centres[sorted(som_map.children)])
    sheet.write(centres, texts, colours)
    return sheet


def map_of_values(
    view: MapView,
    title: str,
    values: NDArray[np.float64],
    label: str,
    *,
    low: float | None = None,
    high: float | None = None,
    answers: bool = False,
    notes: Sequence[str] = (),
) -> Figure:
    """Return a map of values (K,); neurons without hits are hatched.

    ``label`` names the values at the colour bar; colours go from ``low`` to ``high``, by default
    from the least to the greatest value; ``answers``: neurons without hits have values as well.
    """
    live = view.evaluation.hits > 0
    scale = scale_over(values if answers else values[live], low=low, high=high)
    colours = np.asarray(scale.to_rgba(values))[:, :3]
    if answers:
        colours = pale_without_hits(view, colours)
    else:
        colours[~live] = 1.0
    texts = np.full(len(values), "", dtype=object)
    texts[live] = numbers(values[live].tolist(), 2)
    notes = [*notes, *beyond_note(scale)]
    sheet = map_of_cells(view, title, colours, texts.tolist(), notes)
    sheet.page.colour_bar(scale, label)
    return sheet.page.figure


def beyond_note(scale: ScalarMappable) -> list[str]:
    """Return the sentence that says how many values lie beyond the arrows of a colour scale."""
    values, (low, high) = np.asarray(scale.get_array()), scale.get_clim()
    beyond = np.count_nonzero((values < low) | (values > high))
    if not beyond:
        return []
    least, greatest = numbers([float(values.min()), float(values.max())], 3)
    return [f"Cells beyond the colour scale: {beyond}. Values go from {least} to {greatest}."]


def pale_without_hits(view: MapView, colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return colours (K, 3), pale under the hatch of neurons without hits."""
    strength = np.where(view.evaluation.hits == 0, _DEAD, 1.0)
    return towards_white(colours, strength)


def polygons(centres: Points, corners: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the corners (C, 2) of a polygon around each of the centres (K, 2)."""
    return list(centres[:, None, :] + corners)


def outline(centres: Points, corners: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the outer sides (2, 2) of polygons around centres (S, 2)."""
    ends = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    sides = (centres[:, None, None] + ends).reshape(-1, 2, 2)
    # A side that two polygons share has one middle, to a millionth of a cell.
    middles = np.rint(1e6 * sides.mean(axis=1))
    _, which, counts = np.unique(middles, axis=0, return_inverse=True, return_counts=True)
    return list(sides[counts[which.ravel()] == 1])


def is_torus(som_map: SomMap) -> bool:
    """Return whether opposite sides of a map are joined."""
    return som_map.grid.torus is not None


def notes_on_map(som_map: SomMap) -> list[str]:
    """Return the sentences that explain dashes, lines of a folded row, and marks of child maps."""
    notes = [JOINED] if is_torus(som_map) else []
    notes += fold_note(som_map)
    if som_map.children:
        notes.append("A small grid in its corner marks a neuron with a child map.")
    return notes


# ------------------------------------------------------------------------- where neurons are drawn


def cell_centres(som_map: SomMap) -> NDArray[np.float64]:
    """Return the middles (K, 2) of the neurons' cells in a picture, x to the right and y up.

    They are the plane positions; a single row or column of more than 22 cells is folded into
    lines, from left to right and from the top to the bottom.
    """
    return fold_points(som_map, som_map.plane_positions)


def fold_points(som_map: SomMap, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where points (S, 2) of the plane, cells or links, are drawn."""
    length, lines = _fold_layout(som_map)
    if lines == 1:
        return points
    low, high = som_map.plane_positions.min(axis=0), som_map.plane_positions.max(axis=0)
    along = high[1] - points[:, 1]
    if low[1] == high[1]:
        along = points[:, 0] - low[0]
    n_cells = math.ceil(length / lines)  # of a line
    # A link between two lines stands at the end of the first.
    line = np.clip(np.ceil((along + 0.5) / n_cells) - 1, 0, lines - 1)
    return np.column_stack([along - n_cells * line, -_FOLD_PITCH * line])


def fold_note(som_map: SomMap) -> list[str]:
    """Return the sentence that says that a row or column is folded, if it is."""
    length, lines = _fold_layout(som_map)
    if lines == 1:
        return []
    what, order = "column", "from its top"
    if np.ptp(som_map.plane_positions[:, 1]) == 0:
        what, order = "row", "from left to right"
    return [f"The map is one {what} of {length}, drawn in {lines} lines {order}."]


def _fold_layout(som_map: SomMap) -> tuple[int, int]:
    # How many cells a single row or column has, and in how many lines they are drawn.
    spans = np.ptp(som_map.plane_positions, axis=0)
    straight = spans.min() == 0 and (spans[1] == 0 or len(som_map.grid.corners) == 4)
    length = 1 + int(np.rint(spans.max()))
    if not straight or length <= _MAX_ROW_CELLS or is_torus(som_map):
        return length, 1
    # With as many lines the panel is full from left to right and from the top to the bottom.
    width, height = _MAX_PANEL
    full = math.ceil(math.sqrt(height / (width * _FOLD_PITCH) * length))
    return length, min(math.ceil(length / _MAX_ROW_CELLS), full)
