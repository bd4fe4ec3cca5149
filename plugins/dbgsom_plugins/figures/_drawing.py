"""The drawing layer of the figures: pages, cells of maps of any shape, and their texts.

Sizes are worked out in inches from the map's shape, so that cells are not distorted and text is
readable on a map of four neurons and on one of two thousand.
"""

from __future__ import annotations

import math
import textwrap
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.api import MapView, as_label
from dbgsom_plugins.figures._colours import INK, MUTED, PAPER, scale_over, text_on, towards_white

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from dbgsom_core.api import SomMap, SweepView

PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}  # names are no formulas
SIDE = 1.55  # inches for the legend or colour bar beside a map
PAGE_SIDE = 0.9  # and beside panels
KEY_PATCH = 24.0  # points of the patch and the margins of a legend entry
JOINED = "A torus: dashed sides are joined, left with right and top with bottom."
_HATCHED = "Hatched neurons have no hits."
_DPI = 150
_MARGIN = 0.3  # inches around everything
_HEAD = 0.62  # title and subtitle
_LINE = 0.165  # a line of the caption
KEY_ROW = 0.21  # a row of the legend
_KEY_LINE = 0.65  # another line of its name, in rows
_SMALL_KEY_FONT = 7.0  # points, of a legend in columns
_WIDEST_SIDE = 3.0  # inches of a column of a legend
_KEY_GAP = 0.22  # between panels and key
_BESIDE = 1.03  # where a key stands beside axes that were given, in their own units
_SHORTEST_BAR, _LONGEST_BAR = 1.4, 3.2  # colour bar
_MAX_PANEL = (6.8, 6.2)  # inches of the map panel: width, height
_LARGEST_CELL = 0.95
_MIN_PANEL_HEIGHT = 1.6  # with its key
_MIN_PAGE_WIDTH = 5.2  # so that titles fit
_CHARACTER_WIDTH = 0.6 / 72  # width of a character over font size, in inches a point
_LONGEST_NAME, _LONGEST_LINE = 46, 150  # characters of a numbered name, and of a line
_MAX_TEXTS = 150  # neurons up to which each cell may carry a text
_ICON = 0.12 * np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
_TO_ICON = 0.2  # from the corner of a cell to the middle of its mark
_LINE_SHARE = 0.6  # of the font size, that each line of a text takes
_FONT = (4.6, 13.0)  # smallest and largest text in a cell, in points
DEAD = 0.18  # strength of the colour under the hatch of a neuron without hits
_MAX_ROW_CELLS = 22  # of a single row, which is folded into lines beyond
_FOLD_PITCH = 1.5  # from line to line of a folded row, in cells
_THOUSAND = 1000  # from which on numbers in sentences are whole
_DECIMALS, _LARGE = 5, 1e6  # decimals, and values, from which on numbers have a power of ten


# --------------------------------------------------------------------------------------- pages


class Key(NamedTuple):
    """How many inches wide a legend is, how many rows high, its columns, and points of its font."""

    side: float = SIDE
    rows: float = 0.0
    columns: int = 1
    font: float = 8.5


_PLAIN_KEY = Key()


@dataclass(frozen=True)
class Page:
    """A page for panels of any kind, below its title and beside a key.

    Attributes
    ----------
    figure : Figure
    width, height, side : float
        Of the space for panels, and for the key beside them, in inches.
    within : Axes or None
        Axes given by the caller, in which everything is drawn.
    beside : float or None
        Where the key stands then, in units of these axes; at the right end of them without it.
    """

    figure: Figure
    width: float
    height: float
    side: float
    within: Axes | None = None
    beside: float | None = None

    @property
    def scale(self) -> float:
        """The scale at which the page is drawn, at most 1."""
        if self.within is None:
            return 1.0
        drawn = float(self.within.get_window_extent().width) / self.figure.dpi
        return min(1.0, drawn / (self.width + self.side))

    def panel(
        self,
        box: Sequence[float],
        low: NDArray[np.floating] | None = None,
        size: NDArray[np.floating] | None = None,
    ) -> Axes:
        """Return axes in a box (left, top, width, height) in inches, counted from the top left.

        ``low`` and ``size`` (2,) are the data limits; with them the axes have no frame.
        """
        left, top, width, height = box
        if self.within is not None:
            whole, tall, margin, head = self.width + self.side, self.height, 0.0, 0.0
            add: Any = self.within.inset_axes
        else:
            (whole, tall), margin, head = self.figure.get_size_inches(), _MARGIN, _MARGIN + _HEAD
            add = self.figure.add_axes
        bottom = 1 - (head + top + height) / tall
        axes: Axes = add(((margin + left) / whole, bottom, width / whole, height / tall))
        if low is not None and size is not None:
            axes.set_xlim(low[0], low[0] + size[0])
            axes.set_ylim(low[1], low[1] + size[1])
            axes.set_axis_off()
        return axes

    def legend(self, entries: Sequence[tuple[Patch, str]], key: Key = _PLAIN_KEY) -> None:
        """Put patches with names beside the panels."""
        if self.within is None:
            width, height = self.figure.get_size_inches()
            x = (_MARGIN + self.width + _KEY_GAP) / width
            # Up to the right end of the page.
            max_width = 72 * (1 - x) * width / key.columns - KEY_PATCH
            top = 1 - (_MARGIN + _HEAD) / height
            legend_of(self.figure, entries, x, top, max_width, key)
        else:
            max_width = 72 * self.side / key.columns - KEY_PATCH
            legend_of(self.within, entries, self._beside, 1.0, max_width, key)

    def colour_bar(
        self,
        scale: ScalarMappable,
        label: str,
        *,
        whole: bool = False,
        ends: tuple[str, str] | None = None,
    ) -> None:
        """Put a colour bar beside the panels, of ``whole`` numbers, or with words at its ends."""
        from matplotlib.ticker import MaxNLocator

        if self.within is not None:
            bar = self.within.inset_axes((self._beside, 0.1, 0.04, 0.8))
        else:
            height = max(_SHORTEST_BAR, min(_LONGEST_BAR, self.height))
            bar = self.panel((self.width + _KEY_GAP, 0.0, 0.16, height))
        ticks = MaxNLocator(nbins=5, integer=whole, min_n_ticks=1)
        shown = self.figure.colorbar(scale, cax=bar, ticks=ticks)
        if ends is not None:
            low, high = scale.get_clim()
            shown.set_ticks([float(low or 0.0), float(high or 0.0)], labels=list(ends))
        shown.outline.set_visible(False)
        bar.tick_params(labelsize=8, colors=MUTED, length=2.5)
        bar.set_title(label, fontsize=8.5, color=INK, loc="left", pad=7, **PLAIN)

    @property
    def _beside(self) -> float:
        inside = (self.width + _KEY_GAP) / (self.width + self.side)
        return inside if self.beside is None else self.beside


def page(
    view: MapView | SweepView,
    title: str,
    width: float,
    height: float,
    notes: Sequence[str] = (),
    side: float = PAGE_SIDE,
) -> Page:
    """Return a page with space for panels of this size in inches, its title and its caption."""
    from matplotlib.figure import Figure

    if isinstance(view, MapView) and view.axes is not None:
        return Page(_clear_axes(view.axes, title), width, height, side, view.axes)
    whole = max(_MIN_PAGE_WIDTH, 2 * _MARGIN + width + _KEY_GAP + side)
    lines = [summary_line(view)] if isinstance(view, MapView) else []
    for note in notes:
        lines += textwrap.wrap(note, int((whole - 2 * _MARGIN) / (8 * _CHARACTER_WIDTH)))
    tall = _MARGIN + _HEAD + height + 0.12 + len(lines) * _LINE + _MARGIN
    figure = Figure(figsize=(whole, tall), dpi=_DPI, facecolor=PAPER)
    x, top = _MARGIN / whole, 1 - 0.24 / tall
    figure.text(x, top, title, fontsize=13, fontweight="bold", color=INK, va="top", **PLAIN)
    # Hinted letters are up to 4 % wider than text_width has them.
    subtitle = shortened(view.title, 0.95 * 72 * (whole - 2 * _MARGIN), 9)
    figure.text(x, top - 0.26 / tall, subtitle, fontsize=9, color=MUTED, va="top", **PLAIN)
    for i, line in enumerate(reversed(lines)):
        y = (_MARGIN - 0.06 + i * _LINE) / tall
        figure.text(x, y, line, fontsize=8, color=MUTED, va="bottom", **PLAIN)
    return Page(figure, width, height, side)


def _clear_axes(axes: Axes, title: str) -> Figure:
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, color=INK, **PLAIN)
    return axes.figure  # type: ignore[return-value]


def legend_of(
    parent: Figure | Axes,
    entries: Sequence[tuple[Patch, str]],
    x: float,
    top: float,
    max_width: float,
    key: Key = _PLAIN_KEY,
) -> None:
    """Put patches with names in lines of ``max_width`` points on a page, or beside axes."""
    legend = parent.legend(
        [patch for patch, _ in entries],
        [str(i) for i in range(len(entries))],
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
        text.set(**PLAIN)
        text.set(text="\n".join(wrapped(name, max_width, key.font)), color=INK, linespacing=1.1)


def key_size(names: Sequence[str]) -> Key:
    """Return what a legend of these names takes beside a map, smaller where it has columns."""
    widths = [text_width(as_label(name, _LONGEST_NAME)) for name in names]
    for key in (_PLAIN_KEY, Key(font=_SMALL_KEY_FONT)):
        side = min(max(SIDE, (key.font * max(widths, default=0.0) + KEY_PATCH) / 72), _WIDEST_SIDE)
        lines = (len(wrapped(name, 72 * side - KEY_PATCH, key.font)) for name in names)
        rows = sum(1 + _KEY_LINE * (count - 1) for count in lines) * key.font / _PLAIN_KEY.font
        columns = max(1, math.ceil(rows * KEY_ROW / _MAX_PANEL[1]))
        if columns == 1:
            break
    return key._replace(side=side * columns, rows=rows / columns, columns=columns)


def wrapped(name: str, max_width: float, size: float) -> list[str]:
    """Return a name in lines of at most ``max_width`` points, broken in words that are longer."""
    lines = [""]
    for word in as_label(name, _LONGEST_NAME).split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if size * text_width(joined) <= max_width:
            lines[-1] = joined
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            if lines[-1] and size * text_width(lines[-1] + letter) > max_width:
                lines.append("")
            lines[-1] += letter
    return lines


def patches_of(colours: Iterable[Any], names: Iterable[str]) -> list[tuple[Patch, str]]:
    """Return the legend's entries of colours with names."""
    from matplotlib.patches import Patch

    pairs = zip(colours, names, strict=True)
    return [(Patch(facecolor=colour, lw=0), name) for colour, name in pairs]


def no_hits_patch() -> tuple[Patch, str]:
    """Return the legend's entry for neurons without hits."""
    from matplotlib.patches import Patch

    return Patch(facecolor="white", edgecolor="#aab0b8", hatch="/////", lw=0.5), "no hits"


def shortened(label: str, max_width: float, size: float) -> str:
    """Return a text as a label that takes at most ``max_width`` points in a font of this size."""
    text = as_label(label, _LONGEST_LINE)

    def is_too_wide(shown: str) -> bool:
        return size * text_width(shown) > max_width

    if len(text) < 2 or not is_too_wide(text):
        return text
    lengths = range(1, len(text))
    fitting = bisect_left(lengths, True, key=lambda length: is_too_wide(text[:length] + "…"))
    return text[:fitting] + "…"


def text_width(text: str) -> float:
    """Return the width of a text over its font size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=100), False)
    return float(width) / 100


def summary_line(view: MapView) -> str:
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


# -------------------------------------------------------------------------------- maps of cells


@dataclass(frozen=True)
class Sheet:
    """A map panel, in units in which linked cells lie 1 apart, y up.

    Attributes
    ----------
    axes : Axes
    cell : float
        Such a unit in points.
    corners : float array (C, 2)
        Of a cell around its centre.
    page : Page
    """

    axes: Axes
    cell: float
    corners: NDArray[np.float64]
    page: Page

    @property
    def figure(self) -> Figure:
        """The figure that the panel is in."""
        return self.page.figure


def map_sheet(
    view: MapView,
    title: str,
    notes: Sequence[str] = (),
    key_rows: float = 0,
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
    key_rows : float
        Rows of the legend, for which the page makes space, see `key_size`.
    centres : float array (S, 2), optional
        Of the cells that are drawn; those of the map without them.
    side : float
        Inches for the key beside the map.
    """
    som_map = view.evaluation.som_map
    centres = cell_centres(som_map) if centres is None else centres
    corners = np.array(som_map.grid.corners)
    low, high = centres.min(axis=0) + corners.min(axis=0), centres.max(axis=0) + corners.max(axis=0)
    columns, rows = high - low
    if view.axes is not None:
        axes, max_width = view.axes, view.axes.get_window_extent()
        drawn = Page(_clear_axes(axes, title), 1.0, 1.0, side, axes, _BESIDE)
        cell = min(max_width.width / columns, max_width.height / rows) / drawn.figure.dpi
    else:
        cell = min(_LARGEST_CELL, _MAX_PANEL[0] / columns, _MAX_PANEL[1] / rows)
        height = max(rows * cell, key_rows * KEY_ROW, _MIN_PANEL_HEIGHT)
        drawn = page(view, title, columns * cell, height, notes, side)
        axes = drawn.panel((0.0, 0.0, columns * cell, rows * cell))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_axis_off()
    return Sheet(axes, 72 * float(cell), corners, drawn)


def map_of_cells(
    view: MapView,
    title: str,
    colours: NDArray[np.float64],
    texts: Sequence[str] = (),
    notes: Sequence[str] = (),
    key_rows: float = 0,
    side: float = SIDE,
) -> Sheet:
    """Return a page with the map's cells in colours (K, 3), neurons without hits hatched.

    ``texts`` (K,) stand in the cells where they can be read; neurons with child maps are marked.
    The other arguments are those of `map_sheet`.
    """
    som_map, dead = view.evaluation.som_map, view.evaluation.hits == 0
    sheet = map_sheet(view, title, [*notes, *notes_on_map(som_map)], key_rows, side=side)
    fill_cells(sheet, cell_centres(som_map), colours, dead, joined=is_torus(som_map))
    mark_parents(sheet, parents_of(som_map))
    write_in_cells(sheet, cell_centres(som_map), texts, colours)
    return sheet


def map_of_values(
    view: MapView,
    title: str,
    values: NDArray[np.float64],
    label: str,
    *,
    cmap: str = "viridis",
    low: float | None = None,
    whole: bool = False,
    dead: float = 0.0,
    texts: bool = True,
    notes: Sequence[str] = (),
) -> Figure:
    """Return a map of values (K,); neurons without hits are hatched.

    ``label`` names the values at the colour bar; ``whole``: they are whole numbers; colours begin
    at ``low``, without it at the least value; ``dead`` is the strength of the colour of neurons
    without hits, white without it.
    """
    empty = view.evaluation.hits == 0
    shown = values if dead else values[~empty]
    scale = scale_over(shown, cmap, low)
    colours = np.asarray(scale.to_rgba(values))[:, :3]
    colours = towards_white(colours, np.where(empty, dead, 1.0))
    words = texts_of(values, empty, 0 if whole else None) if texts else ()
    hatched = [_HATCHED] if empty.any() else []
    notes = [*notes, *beyond_note(scale, shown), *hatched]
    sheet = map_of_cells(view, title, colours, words, notes)
    sheet.page.colour_bar(scale, label, whole=whole)
    return sheet.figure


def beyond_note(
    scale: ScalarMappable, values: NDArray[np.floating], what: str = "neuron"
) -> list[str]:
    """Return the sentence that says how many values lie beyond the arrows of a colour scale."""
    low, high = scale.get_clim()
    beyond = int(np.count_nonzero((values < low) | (values > high)))
    if not beyond:
        return []
    ends = {"down": values.min(), "up": values.max()}
    told = [
        f"{way} to {end:,.0f}" if abs(end) >= _THOUSAND else f"{way} to {end:.3g}"
        for way, end in ends.items()
        if not low <= end <= high
    ]
    lie = f"{what} lies" if beyond == 1 else f"{what}s lie"
    return [f"{beyond} {lie} beyond the colour scale, {' and '.join(told)}."]


def texts_of(
    values: NDArray[np.float64], dead: NDArray[np.bool_], decimals: int | None = None
) -> list[str]:
    """Return values (K,) as texts with the same decimals, "" where a neuron is dead.

    Without ``decimals`` the largest has three digits.
    """
    top = float(np.abs(values[~dead]).max(initial=0.0))
    if decimals is None:
        decimals = max(0, 2 - math.floor(math.log10(top))) if top > 0 else 0
    kind = "f" if decimals <= _DECIMALS and top < _LARGE else "g"
    return [
        "" if empty else f"{value:.{decimals if kind == 'f' else 3}{kind}}"
        for value, empty in zip(values.tolist(), dead.tolist(), strict=True)
    ]


def pale_without_hits(view: MapView, colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return colours (K, 3), pale under the hatch of neurons without hits."""
    return towards_white(colours, np.where(view.evaluation.hits == 0, DEAD, 1.0))


def polygons(
    centres: NDArray[np.floating], corners: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Return the corners (C, 2) of a polygon around each of the centres (K, 2)."""
    return list(centres[:, None, :] + corners)


def fill(sheet: Sheet, shapes: Sequence[NDArray[np.float64]], **look: Any) -> None:
    """Draw polygons (P, 2) on a map; ``look`` is that of a `PolyCollection`."""
    from matplotlib.collections import PolyCollection

    sheet.axes.add_collection(PolyCollection(shapes, **look), autolim=False)


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
    line = float(np.clip(0.022 * sheet.cell, 0.15, 1.2))
    cells = polygons(centres, sheet.corners)
    fill(sheet, cells, facecolors=colours, edgecolors="white", linewidths=line, zorder=1)
    if dead.any():
        fill(
            sheet,
            polygons(centres[dead], 0.96 * sheet.corners),
            facecolors="none",
            edgecolors="#aab0b8",
            linewidths=0,
            hatch="/////",
            zorder=2,
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
    """Draw a line where cells of this size around centres (S, 2) have no neighbour.

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
    """Return the outer sides (2, 2) of polygons around centres (S, 2)."""
    ends = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    sides = (centres[:, None, None] + ends).reshape(-1, 2, 2)
    middles = np.rint(1e6 * sides.mean(axis=1))
    _, which, number = np.unique(middles, axis=0, return_inverse=True, return_counts=True)
    return list(sides[number[which.ravel()] == 1])


def write_in_cells(
    sheet: Sheet,
    centres: NDArray[np.floating],
    texts: Sequence[str],
    colours: NDArray[np.float64],
) -> None:
    """Write a text into each cell where all can be read; empty ones are left out."""
    if not can_write(sheet, texts):
        return
    look = PLAIN | {"ha": "center", "va": "center_baseline", "zorder": 3}
    size = _text_size(sheet, texts)
    for (x, y), text, colour in zip(centres.tolist(), texts, text_on(colours), strict=True):
        if text:
            sheet.axes.text(x, y, text, fontsize=size, color=colour, **look)


def can_write(sheet: Sheet, texts: Sequence[str]) -> bool:
    """Return whether `write_in_cells` writes these texts: on at most 150 cells, none too small."""
    return _text_size(sheet, texts) >= _FONT[0]


def _text_size(sheet: Sheet, texts: Sequence[str]) -> float:
    # Of the font, in points; 0 where nothing is to be written.
    if len(texts) > _MAX_TEXTS or not any(texts):
        return 0.0
    lines = {line for text in texts for line in text.splitlines()}
    widest = max(max(72 * _CHARACTER_WIDTH * len(line), text_width(line)) for line in lines)
    tall = max(1.0, max(text.count("\n") for text in texts) * _LINE_SHARE)
    return float(min(0.36 * sheet.cell / tall, 0.86 * sheet.cell / widest, _FONT[1]))


def mark_parents(sheet: Sheet, centres: NDArray[np.floating], size: float = 1.0) -> None:
    """Draw a small grid into the upper right corner of cells of this size around (P, 2).

    Of hexagons it is the top corner.
    """
    if not len(centres):
        return
    corner = max(sheet.corners.tolist(), key=lambda at: (round(at[1], 9), at[0]))
    middle = np.multiply(corner, 1 - _TO_ICON / np.linalg.norm(corner))
    middles = (centres[:, None, :] + size * (middle + _ICON)).reshape(-1, 2)
    line = float(np.clip(0.02 * sheet.cell, 0.3, 0.9))
    icons = polygons(middles, size * _ICON)
    fill(sheet, icons, facecolors="white", edgecolors=INK, linewidths=line, zorder=3.5)


def parents_of(som_map: SomMap) -> NDArray[np.float64]:
    """Return where (P, 2) the neurons lie in the plane that have a child map."""
    return cell_centres(som_map)[sorted(som_map.children)]


def is_torus(som_map: SomMap) -> bool:
    """Return whether opposite sides of a map are joined."""
    return som_map.grid.torus is not None


def notes_on_map(som_map: SomMap) -> list[str]:
    """Return the sentences that explain `mark_parents`, dashes and lines, where there are any."""
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
    flat = low[1] == high[1]
    along = points[:, 0] - low[0] if flat else high[1] - points[:, 1]
    each = math.ceil(length / lines)
    line = np.clip(np.ceil((along + 0.5) / each) - 1, 0, lines - 1)  # links stand at its end
    return np.column_stack([along - each * line, -_FOLD_PITCH * line])


def fold_note(som_map: SomMap) -> list[str]:
    """Return the sentence that says that a row or column is folded, if it is."""
    length, lines = _fold_layout(som_map)
    if lines == 1:
        return []
    flat = np.ptp(som_map.plane_positions[:, 1]) == 0
    what, order = ("row", "from left to right") if flat else ("column", "from its top")
    return [f"The map is one {what} of {length}, drawn in {lines} lines {order}."]


def _fold_layout(som_map: SomMap) -> tuple[int, int]:
    # How many cells a single row or column has, and in how many lines they are largest.
    spans = np.ptp(som_map.plane_positions, axis=0)
    straight = spans.min() == 0 and (spans[1] == 0 or len(som_map.grid.corners) == 4)
    length = 1 + int(np.rint(spans.max()))
    if not straight or length <= _MAX_ROW_CELLS or is_torus(som_map):
        return length, 1

    def size(lines: int) -> float:  # of a cell
        return min(_MAX_PANEL[0] / math.ceil(length / lines), _MAX_PANEL[1] / (_FOLD_PITCH * lines))

    several = range(1, math.isqrt(2 * length) + 1)
    enough = (lines for lines in several if size(lines) >= _MAX_PANEL[0] / _MAX_ROW_CELLS)
    return length, next(enough, max(several, key=size))
