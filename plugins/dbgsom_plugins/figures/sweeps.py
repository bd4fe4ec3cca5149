"""Figures of sweeps: a heatmap, parallel coordinates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_plugins.figures._colours import FAINT, INK, MUTED, PAPER, scale_of, text_on
from dbgsom_plugins.figures._drawing import PLAIN, page, shortened, text_width
from dbgsom_plugins.figures.component_planes import alike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import Ranking, SweepView

_DATA_SETS = 4  # that are drawn
_MOST = 24  # values of a side of a heatmap
_CELL = (0.72, 0.42)  # inches
_WIDEST, _TALLEST = 7.0, 6.0  # inches of all cells
_SIDE, _FOOT, _HEAD = 1.5, 0.75, 0.3  # inches for words beside, below and above
_PANEL = (7.6, 2.7)  # inches, of parallel coordinates
_ABOVE, _BELOW = 0.75, 0.3
_WORDS = 16  # values that have words beside an axis
_NEAR = 0.065  # of an axis: words that are nearer to each other would overlap
_LENGTH = 18  # letters of a value
_FEW = 8  # numbers with a tick each
_THICK = 'The thick line is the best variant; "best" stands at the good end of a measure.'
_WIDE = 100  # how many times the least number the largest one is on a logarithmic axis


def _scale(shown: list[Any], values: NDArray[np.float64]) -> ScalarMappable:
    # Of the measure that decides: the best are dark, on white paper and in both figures.
    known = values[np.isfinite(values)]
    if not len(known):
        raise ValueError(f"no variant has {shown[0].measures[0]}")
    cmap = "viridis_r" if shown[0].direction == "maximize" else "viridis"
    return scale_of(float(known.min()), float(known.max()), cmap)


def _left_out(view: SweepView, shown: list[Any]) -> list[str]:
    if len(view.rankings) == len(shown):
        return []
    return [f"The first {len(shown)} of {len(view.rankings)} data sets are shown."]


class SweepHeatmap(FigureComponent):
    """The measure that decides a sweep, as a colour for each pair of values of what varies.

    The two keys with most values make the sides, or ``x`` and ``y``; of the variants that share a
    cell the best one counts.
    """

    of_sweeps: ClassVar[bool] = True

    x: str | None = Field(
        default=None, description="key on the x axis; null: that with most values"
    )
    y: str | None = Field(
        default=None, description="key on the y axis; null: that with the next most"
    )

    def draw(self, view: SweepView) -> Figure:
        shown = list(view.rankings[:_DATA_SETS])
        tables = [self._table(ranking) for ranking in shown]
        width, tall = 0.0, 0.0
        sizes = []
        for _, columns, rows, _, _ in tables:
            size = min(_WIDEST, _CELL[0] * len(columns)), min(_TALLEST, _CELL[1] * len(rows))
            sizes.append(size)
            width, tall = max(width, _SIDE + size[0]), tall + size[1] + _FOOT + _HEAD
        name = shown[0].measures[0]
        notes = [f"The mean over seeds of {as_label(name)}; of several variants the best."]
        made = page(view, "Sweep", width, tall, [*notes, *_left_out(view, shown)])
        scale = _scale(shown, np.concatenate([table.ravel() for table, *_ in tables]))
        top = 0.0
        for ranking, (table, columns, rows, x, y), size in zip(shown, tables, sizes, strict=True):
            axes = made.panel((_SIDE, top + _HEAD, *size))
            colours = np.asarray(scale.to_rgba(np.nan_to_num(table)))[..., :3]
            colours[~np.isfinite(table)] = 0.94
            axes.imshow(colours, aspect="auto", interpolation="nearest", origin="lower")
            _write(axes, table, colours, 72 * size[0] / len(columns))
            _name(axes, columns, rows, x, y)
            if len(view.rankings) > 1:
                axes.set_title(as_label(ranking.data), fontsize=9, color=INK, loc="left", **PLAIN)
            top += size[1] + _FOOT + _HEAD
        made.colour_bar(scale, as_label(name, 16))
        return made.figure

    def _table(
        self, ranking: Ranking
    ) -> tuple[NDArray[np.float64], list[str], list[str], str, str]:
        values = {
            key: list(dict.fromkeys(shown_value(one.varies.get(key)) for one in ranking.variants))
            for key in ranking.keys
        }
        for key in filter(None, (self.x, self.y)):
            if key not in values:
                known = ", ".join(as_label(one) for one in values)
                raise ValueError(f"sweep_heatmap: nothing varies as '{key}'; what does: {known}")
        keys = sorted(
            (key for key in values if len(values[key]) <= _MOST), key=lambda key: -len(values[key])
        )
        x = self.x or next((key for key in keys if key != self.y), None)
        y = self.y or next((key for key in keys if key != x), None)
        if x is None or len(ranking.variants) < 2:
            raise ValueError(
                "sweep_heatmap needs something that varies, with 2 to "
                f"{_MOST} values; parallel_coordinates shows more"
            )
        for key in filter(None, (x, y)):
            if len(values[key]) > _MOST:
                raise ValueError(
                    f"sweep_heatmap shows up to {_MOST} values, and '{key}' has "
                    f"{len(values[key])}; parallel_coordinates shows more"
                )
        columns = _sorted(ranking, x)
        rows = [""] if y is None else _sorted(ranking, y)
        table = np.full((len(rows), len(columns)), math.nan)
        found = measured(ranking, ranking.measures[0])
        for variant, value in reversed(list(zip(ranking.variants, found, strict=True))):
            row = 0 if y is None else rows.index(shown_value(variant.varies.get(y)))
            if not math.isnan(value):  # the best one comes last
                table[row, columns.index(shown_value(variant.varies.get(x)))] = value
        if not np.isfinite(table).any():
            raise ValueError(f"no variant has {ranking.measures[0]}")
        return table, columns, rows, x, y or ""


def _sorted(ranking: Ranking, key: str) -> list[str]:
    values = [variant.varies.get(key) for variant in ranking.variants]
    try:
        values = sorted(values)  # type: ignore[type-var]
    except TypeError:
        values = sorted(values, key=str)
    return list(dict.fromkeys(shown_value(value) for value in values))


def _write(
    axes: Axes, table: NDArray[np.float64], colours: NDArray[np.float64], room: float
) -> None:
    size = min(8.5, room / 3.6)
    if size < 4.5:
        return
    cells = np.argwhere(np.isfinite(table)).tolist()
    words = alike([float(table[row, column]) for row, column in cells], 2)
    inks = [text_on(colour) for colour in colours]
    for (row, column), word in zip(cells, words, strict=True):
        look: dict[str, Any] = {"fontsize": size, "color": inks[row][column]}
        axes.text(column, row, word, ha="center", va="center", **look)


def _name(axes: Axes, columns: list[str], rows: list[str], x: str, y: str) -> None:
    long = max(map(len, columns)) > 7
    axes.set_xticks(
        range(len(columns)), columns, rotation=30 * long, ha="right" if long else "center"
    )
    axes.set_yticks(range(len(rows)), rows)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set(**PLAIN)
    axes.set_xlabel(as_label(x), fontsize=8.5, color=INK, **PLAIN)
    axes.set_ylabel(as_label(y), fontsize=8.5, color=INK, **PLAIN)
    axes.tick_params(labelsize=8, colors=MUTED, length=0)
    axes.spines[:].set_visible(False)


class ParallelCoordinates(FigureComponent):
    """The variants of a sweep as lines through what they changed and what they measured.

    Colours are those of the measure that decides; the best variant is drawn thick, and "best"
    stands at the good end of a measure.
    """

    of_sweeps: ClassVar[bool] = True

    most: int = Field(default=10, ge=2, le=20, description="axes that are drawn at most")

    def draw(self, view: SweepView) -> Figure:
        shown = list(view.rankings[:_DATA_SETS])
        if all(len(ranking.variants) < 2 for ranking in shown):
            raise ValueError("parallel_coordinates compares variants, and there is one")
        tall = _PANEL[1] + _ABOVE + _BELOW
        notes = [_THICK, *_left_out(view, shown)]
        made = page(view, "Variants of the sweep", _PANEL[0], len(shown) * tall, notes)
        name = shown[0].measures[0]
        values = np.concatenate([measured(ranking, name) for ranking in shown])
        scale = _scale(shown, values)
        for number, ranking in enumerate(shown):
            axes = made.panel((0.2, number * tall + _ABOVE, _PANEL[0] - 0.5, _PANEL[1]))
            several = ranking.data if len(view.rankings) > 1 else ""
            self._panel(axes, ranking, scale.to_rgba(measured(ranking, name)), several)
        if np.nanmax(values) > np.nanmin(values):
            made.colour_bar(scale, as_label(name, 16))
        return made.figure

    def _panel(self, axes: Axes, ranking: Ranking, colours: object, title: str) -> None:
        of_keys = [axis_of(ranking, key) for key in ranking.keys][: self.most - 1]
        of_measures = [Axis(name, measured(ranking, name), []) for name in ranking.measures]
        every = [*of_keys, *of_measures][: self.most]
        places = np.column_stack([_scaled(one) for one in every])
        across = np.arange(len(every))
        for row in reversed(range(len(places))):  # the best one last
            best = row == 0
            axes.plot(
                across,
                places[row],
                color=np.asarray(colours)[row],
                linewidth=3.2 if best else 1.0,
                alpha=1.0 if best else 0.7,
                marker="o" if best else "",
                markersize=4,
                zorder=3 if best else 2,
            )
        for place, one in enumerate(every):
            axes.axvline(place, color=FAINT, linewidth=0.8, zorder=1)
            _words(axes, place, one, 72 * (_PANEL[0] - 0.5) / (len(every) - 0.3))
            good_end = best_end_on(one, ranking)
            if good_end is not None:
                look: dict[str, Any] = {"fontsize": 7.5, "fontweight": "bold", "color": INK}
                y = good_end + (0.05 if good_end else -0.05)
                axes.text(place - 0.05, y, "best", ha="right", va="center", zorder=4, **look)
        if title:
            axes.text(
                0, 1.28, as_label(title), fontsize=9, color=INK, transform=axes.transAxes, **PLAIN
            )
        axes.set_xlim(-0.35, len(every) - 0.65)
        axes.set_ylim(-0.06, 1.06)
        axes.set_axis_off()


def _scaled(axis: Axis) -> np.ndarray:
    low, high = np.nanmin(axis.places), np.nanmax(axis.places)
    return (axis.places - low) / (high - low) if high > low else np.full(len(axis.places), 0.5)


def _words(axes: Axes, place: int, axis: Axis, room: float) -> None:
    """Write an axis' name, in ``room`` points, and its values, those at the ends off the lines."""
    name = _in_lines(axis.name.removeprefix("test/"), room - 4)
    look: dict[str, Any] = {"fontsize": 7.5, "color": MUTED, **PLAIN}
    axes.text(
        place, 1.13, name, ha="center", va="bottom", **{**look, "color": INK, "linespacing": 1.1}
    )
    low, high = float(np.nanmin(axis.places)), float(np.nanmax(axis.places))
    span = high - low
    ticks = axis.ticks
    if not ticks:
        ends = (low, high) if span > 0 else (low,)
        ticks = list(zip(ends, alike(ends, 3), strict=True))
    look["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    written: list[float] = []
    at_ends = [ticks[0], *ticks[:0:-1]][:2]
    for at, word in [
        *at_ends,
        *(one for one in ticks[:: -(-len(ticks) // _WORDS)] if one not in at_ends),
    ]:
        y = (at - low) / span if span > 0 else 0.5
        if any(abs(y - other) < _NEAR for other in written):
            continue
        written.append(y)
        off = {0.0: -0.05, 1.0: 0.05}.get(y, 0.0)
        word = shortened(word, room - 8, 7.5)
        axes.text(place + 0.05, y + off, word, ha="left", va="center", zorder=4, **look)


def _in_lines(name: str, room: float) -> str:
    """Return a name in one line of ``room`` points or, broken after '_', '.' or '/', in two."""
    if 7.5 * text_width(name) > room:
        breaks = [i + 1 for i, letter in enumerate(name[:-1]) if letter in "_./"]
        if breaks:
            at = min(breaks, key=lambda i: max(i, len(name) - i))
            return "\n".join(shortened(one, room, 7.5) for one in (name[:at], name[at:]))
    return shortened(name, room, 7.5)


class Axis(NamedTuple):
    """One thing that varies, or a measure: ``places`` (V,) of the variants, nan for none.

    ``ticks`` are places with words; without any, places are the numbers themselves.
    """

    name: str
    places: NDArray[np.float64]
    ticks: list[tuple[float, str]]


def axis_of(ranking: Ranking, key: str) -> Axis:
    """Return what the variants have for a key that varies.

    Numbers keep their values, or log10 of them where they are positive and the largest is a hundred
    times the least; other values are numbered in sorted order. Up to 8 numbers have a tick each, of
    more only the least and the largest.
    """
    values = [variant.varies.get(key) for variant in ranking.variants]
    known = [value for value in values if value is not None]
    if known and all(_is_number(value) for value in known):
        places = np.array([math.nan if value is None else float(value) for value in values])
        numbers = np.unique(places[np.isfinite(places)])
        ticked = numbers if len(numbers) <= _FEW else numbers[[0, -1]]
        if numbers[0] > 0 and numbers[-1] >= _WIDE * numbers[0]:
            return Axis(key, np.log10(places), [(math.log10(one), f"{one:g}") for one in ticked])
        few = len(numbers) <= _FEW
        return Axis(key, places, [(float(one), f"{one:g}") for one in ticked] if few else [])
    words = [shown_value(value) for value in values]
    order = sorted(set(words))
    ticks = [(float(place), word) for place, word in enumerate(order)]
    return Axis(key, np.array([float(order.index(word)) for word in words]), ticks)


def best_end_on(axis: Axis, ranking: Ranking) -> float | None:
    """Return the end of a measure's axis, 1 above and 0 below, that is best; None if not known."""
    low, high = np.nanmin(axis.places), np.nanmax(axis.places)
    end = ranking.ends.get(axis.name, "") if axis.name in ranking.measures else ""
    if end == "0":
        end = "less" if low >= 0 else "greater" if high <= 0 else ""
    if not end and axis.name == ranking.measures[0]:
        end = "greater" if ranking.direction == "maximize" else "less"
    return {"greater": 1.0, "less": 0.0}.get(end) if high > low else None


def measured(ranking: Ranking, name: str) -> NDArray[np.float64]:
    """Return the means (V,) of a measure, nan where a variant has none."""
    return np.array([variant.measures.get(name, math.nan) for variant in ranking.variants])


def shown_value(value: Any) -> str:
    """Return a value as figures show it."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "true", False: "false"}[value]
    return as_label(value, _LENGTH)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
