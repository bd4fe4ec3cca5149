"""The figure of sweeps: a heatmap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_plugins.figures._colours import INK, MUTED, scale_of, text_on
from dbgsom_plugins.figures._drawing import PLAIN, page
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
_LENGTH = 18  # letters of a value


def _scale(shown: list[Any], values: NDArray[np.float64]) -> ScalarMappable:
    # Of the measure that decides: the best are dark, on white paper.
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
            raise ValueError(f"sweep_heatmap needs something that varies, with 2 to {_MOST} values")
        for key in filter(None, (x, y)):
            if len(values[key]) > _MOST:
                raise ValueError(
                    f"sweep_heatmap shows up to {_MOST} values, and '{key}' has {len(values[key])}"
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


def measured(ranking: Ranking, name: str) -> NDArray[np.float64]:
    """Return the means (V,) of a measure, nan where a variant has none."""
    return np.array([variant.measures.get(name, math.nan) for variant in ranking.variants])


def shown_value(value: Any) -> str:
    """Return a value as figures show it."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "true", False: "false"}[value]
    return as_label(value, _LENGTH)
