"""The page that the map figures share: title, map panel, key at the side, caption.

Sizes are worked out in inches from the map's shape, so that cells are not distorted and text is
readable on a map of four neurons and on one of two thousand.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import MapView, as_label
from dbgsom_plugins.figures._colours import INK, MUTED, PAPER
from dbgsom_plugins.figures._places import drawn_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from dbgsom_core.api import SweepView

DPI = 150
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}  # names are no formulas
_MARGIN = 0.3  # inches around everything
_HEAD = 0.62  # title and subtitle
SIDE = 1.55  # legend or colour bar
_LINE = 0.165  # a line of the caption
_KEY_ROW = 0.21  # a row of the legend
KEY_PATCH = 24.0  # points left of a name in the legend, and right of it
_LARGEST = (6.8, 6.2)  # map panel: width, height
_LARGEST_CELL = 0.95
_SHORTEST_BAR = 1.4  # colour bar: of a map that is flatter
_NARROWEST = 5.2  # page: so that titles fit
_PAGE_SIDE = 0.9  # beside panels
BESIDE = 1.03  # where a key stands beside axes that were given, in their own units
_KEY_TOP = 0.42  # inches above a colour bar beside panels
_CHARACTER = 0.6 / 72  # width of a character over font size, in inches a point
_LONGEST_NAME = 40  # characters of a class name in the key
_LONGEST_LINE = 150  # characters of a line


@dataclass(frozen=True)
class Sheet:
    """A page with an empty map panel.

    Attributes
    ----------
    figure : Figure
    axes : Axes
        The map panel, in units in which linked cells lie 1 apart, y up.
    cell : float
        Such a unit in points.
    corners : float array (C, 2)
        Of a cell around its centre.
    given : bool
        The panel is in a figure that somebody else made.
    """

    figure: Figure
    axes: Axes
    cell: float
    corners: NDArray[np.float64]
    given: bool = False

    def legend(self, entries: Sequence[tuple[Patch, str]]) -> None:
        """Put patches with names beside the map."""
        if self.given:
            legend_of(self.axes, entries, BESIDE, 1.0, 72 * SIDE - KEY_PATCH)
        else:
            legend_of(self.figure, entries, *self._side())

    def colour_bar(self, mappable: ScalarMappable, label: str, *, whole: bool = False) -> None:
        """Put a colour bar beside the map; ``whole``: its values are whole numbers."""
        from matplotlib.ticker import MaxNLocator

        if self.given:
            bar = self.axes.inset_axes((BESIDE, 0.1, 0.04, 0.8))
        else:
            x, top = self._side()
            width, height = self.figure.get_size_inches()
            bar_height = max(_SHORTEST_BAR, min(3.2, self.axes.get_position().height * height))
            bar = self.figure.add_axes(
                (x, top - bar_height / height, 0.16 / width, bar_height / height)
            )
        scale = self.figure.colorbar(
            mappable, cax=bar, ticks=MaxNLocator(nbins=5, integer=whole, min_n_ticks=1)
        )
        scale.outline.set_visible(False)
        bar.tick_params(labelsize=8, colors=MUTED, length=2.5)
        bar.set_title(label, fontsize=8.5, color=INK, loc="left", pad=7, **PLAIN)

    def _side(self) -> tuple[float, float]:
        panel = self.axes.get_position()
        return panel.x1 + 0.22 / self.figure.get_size_inches()[0], panel.y1


def legend_of(
    parent: Figure | Axes,
    entries: Sequence[tuple[Patch, str]],
    x: float,
    top: float,
    room: float | None = None,
) -> None:
    """Put patches with names on a page or beside axes, from a place in their own units.

    ``room`` is for names, in points: up to the right end of the page without it.
    """
    if room is None:
        room = 72 * (1 - x) * parent.get_figwidth() - KEY_PATCH  # type: ignore[union-attr]
    key = parent.legend(
        [patch for patch, _ in entries],
        [str(i) for i in range(len(entries))],
        loc="upper left",
        bbox_to_anchor=(x, top),
        frameon=False,
        fontsize=8.5,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.1,
        handleheight=1.1,
        labelspacing=0.45,
    )
    # Set afterwards: names may start with an underscore or hold dollar signs.
    for text, (_, name) in zip(key.get_texts(), entries, strict=True):
        text.set(**PLAIN)
        text.set(text=fitting(as_label(name, _LONGEST_NAME), room, 8.5), color=INK)


@dataclass(frozen=True)
class Page:
    """A page for panels of any kind, below its title and beside a key.

    Attributes
    ----------
    figure : Figure
    width, height : float
        Of the room for panels, in inches.
    within : Axes or None
        Those within which everything stands, in a figure that somebody else made.
    """

    figure: Figure
    width: float
    height: float
    within: Axes | None = None

    @property
    def scale(self) -> float:
        """How large an inch of the page is drawn, in inches; at most 1."""
        if self.within is None:
            return 1.0
        drawn = float(self.within.get_window_extent().width) / self.figure.dpi
        return min(1.0, drawn / (self.width + _PAGE_SIDE))

    def panel(
        self,
        box: Sequence[float],
        low: NDArray[np.floating] | None = None,
        size: NDArray[np.floating] | None = None,
    ) -> Axes:
        """Return axes in a box (left, top, width, height) in inches, counted from the top left.

        With the lower left corner and the size of what they show they have no frame.
        """
        left, top, width, height = box
        if self.within is not None:
            whole = self.width + _PAGE_SIDE
            axes = self.within.inset_axes(
                (
                    left / whole,
                    1 - (top + height) / self.height,
                    width / whole,
                    height / self.height,
                )
            )
        else:
            whole, tall = self.figure.get_size_inches()
            place = (
                (_MARGIN + left) / whole,
                1 - (_MARGIN + _HEAD + top + height) / tall,
                width / whole,
                height / tall,
            )
            axes = self.figure.add_axes(place)
        if low is not None and size is not None:
            axes.set_xlim(low[0], low[0] + size[0])
            axes.set_ylim(low[1], low[1] + size[1])
            axes.set_axis_off()
        return axes

    def names(self, entries: Sequence[tuple[Any, str]]) -> None:
        """Put colours with names beside the panels."""
        from matplotlib.patches import Patch

        patches = [(Patch(facecolor=colour, lw=0), name) for colour, name in entries]
        if self.within is not None:
            x = (self.width + 0.12) / (self.width + _PAGE_SIDE)
            legend_of(self.within, patches, x, 1.0, 72 * _PAGE_SIDE - KEY_PATCH)
            return
        legend_of(
            self.figure,
            patches,
            (_MARGIN + self.width + 0.12) / self.figure.get_figwidth(),
            1 - (_MARGIN + _HEAD) / self.figure.get_figheight(),
        )

    def key(self, label: str, ends: tuple[str, str] | None, scale: ScalarMappable) -> None:
        """Put a colour bar beside the panels, with words at its ends or with numbers."""
        bar = self.panel((self.width + 0.12, _KEY_TOP, 0.16, min(2.4, self.height - _KEY_TOP)))
        shown = self.figure.colorbar(scale, cax=bar)
        if ends is not None:
            low, high = scale.get_clim()
            shown.set_ticks([float(low or 0.0), float(high or 0.0)], labels=list(ends))
        shown.outline.set_visible(False)
        bar.tick_params(labelsize=8, colors=MUTED, length=2.5)
        bar.set_title(label, fontsize=8.5, color=INK, loc="left", pad=7, **PLAIN)


def page(
    view: MapView | SweepView, title: str, width: float, height: float, notes: Sequence[str] = ()
) -> Page:
    """Return a page with room for panels of this size in inches, its title and its caption."""
    from matplotlib.figure import Figure

    if isinstance(view, MapView) and view.axes is not None:
        return Page(begin(view.axes, title), width, height, view.axes)
    whole = max(_NARROWEST, 2 * _MARGIN + width + 0.22 + _PAGE_SIDE)
    lines = [counts(view)] if isinstance(view, MapView) else []
    for note in notes:
        lines += textwrap.wrap(note, int((whole - 2 * _MARGIN) / (8 * _CHARACTER)))
    tall = _MARGIN + _HEAD + height + 0.12 + len(lines) * _LINE + _MARGIN
    figure = Figure(figsize=(whole, tall), dpi=DPI, facecolor=PAPER)
    write_title(figure, title, view.title)
    write_caption(figure, lines)
    return Page(figure, width, height)


def map_sheet(
    view: MapView,
    title: str,
    notes: Sequence[str] = (),
    key_rows: int = 0,
    centres: NDArray[np.floating] | None = None,
    side: float = SIDE,
) -> Sheet:
    """Return a page for a map with its title, and a caption that counts neurons and errors.

    Parameters
    ----------
    view : MapView
    title : str
        What the figure shows; the run's title goes below it.
    notes : sequence of str
        Sentences that explain the figure, added to the caption.
    key_rows : int
        Rows of the legend, for which the page makes room.
    centres : float array (S, 2), optional
        Of the cells that are drawn; those of the map without them.
    side : float
        Inches for the key beside the map.
    """
    from matplotlib.figure import Figure

    if centres is None:
        centres = drawn_at(view.evaluation.som_map)
    corners = np.array(view.evaluation.som_map.grid.corners)
    low, high = centres.min(axis=0) + corners.min(axis=0), centres.max(axis=0) + corners.max(axis=0)
    columns, rows = high - low
    if view.axes is not None:
        figure, axes = begin(view.axes, title), view.axes
        room = axes.get_window_extent()
        cell = min(room.width / columns, room.height / rows) / figure.dpi
        _show(axes, low, high)
        return Sheet(figure, axes, 72 * float(cell), corners, given=True)
    cell = min(_LARGEST_CELL, _LARGEST[0] / columns, _LARGEST[1] / rows)
    width = max(_NARROWEST, 2 * _MARGIN + columns * cell + 0.22 + side)
    lines = [counts(view)]
    for note in notes:
        lines += textwrap.wrap(note, int((width - 2 * _MARGIN) / (8 * _CHARACTER)))
    foot = _MARGIN + len(lines) * _LINE + 0.12
    height = _MARGIN + _HEAD + max(rows * cell, key_rows * _KEY_ROW, 1.6) + foot
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
    write_title(figure, title, view.title)
    write_caption(figure, lines)
    axes = figure.add_axes(
        (
            _MARGIN / width,
            (height - _MARGIN - _HEAD - rows * cell) / height,
            columns * cell / width,
            rows * cell / height,
        )
    )
    _show(axes, low, high)
    return Sheet(figure, axes, 72 * float(cell), corners)


def _show(axes: Axes, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_axis_off()


def begin(axes: Axes, title: str) -> Figure:
    """Write the title of a figure over axes that somebody gave, and return what they are in."""
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, color=INK, **PLAIN)
    return axes.figure  # type: ignore[return-value]


def write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write the title and the run's name at the top left of the page."""
    width, height = figure.get_size_inches()
    x, top = _MARGIN / width, 1 - 0.24 / height
    figure.text(x, top, title, fontsize=13, fontweight="bold", color=INK, va="top", **PLAIN)
    figure.text(
        x,
        top - 0.26 / height,
        fitting(subtitle, 72 * (width - 2 * _MARGIN), 9),
        fontsize=9,
        color=MUTED,
        va="top",
        **PLAIN,
    )


def write_caption(figure: Figure, lines: Sequence[str]) -> None:
    """Write the caption's lines at the bottom left of the page."""
    width, height = figure.get_size_inches()
    for i, line in enumerate(reversed(lines)):
        y = (_MARGIN - 0.06 + i * _LINE) / height
        figure.text(_MARGIN / width, y, line, fontsize=8, color=MUTED, va="bottom", **PLAIN)


def fitting(told: str, room: float, size: float) -> str:
    """Return a text as a label that takes at most ``room`` points in a font of this size."""
    text = shown = as_label(told, _LONGEST_LINE)
    while len(shown) > 1 and size * extent(shown) > room:
        text = text[:-1]
        shown = text + "…"
    return shown


def extent(text: str) -> float:
    """Return the width of a text over its font size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=100), False)
    return float(width) / 100


def counts(view: MapView) -> str:
    """Return the caption's first line: neurons, dead ones, child maps, quantization error."""
    hits = view.evaluation.hits
    dead = int(np.count_nonzero(hits == 0))
    parts = [f"{len(hits)} neuron{'s' if len(hits) != 1 else ''}"]
    if dead:
        parts.append(f"{dead} without hits")
    if view.evaluation.som_map.children:
        tree = view.evaluation.tree
        several = "s" if len(tree.maps) > 2 else ""
        parts.append(f"{len(tree.maps) - 1} child map{several}, {len(tree)} leaves")
    parts.append(f"quantization error {float(view.evaluation.leaf_distance.mean()):.4g}")
    return "  ·  ".join(parts)
