"""The figure of sweeps: a heatmap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_plugins.figures._drawing import page
from dbgsom_plugins.figures._style import INK, MUTED, PLAIN, numbers, scale_of, text_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import Ranking, SweepView

_DATA_SETS = 4  # that are drawn: with more a page would be longer than a screen
_MOST = 24  # values of a side of a heatmap: the names of more would overlap
_CELL = (0.72, 0.42)  # inches, for five digits
_LARGEST = (7.0, 6.0)  # inches of all cells
_LEAST_FONT = 4.5  # points that can be read
_SIDE, _FOOT, _HEAD = 1.5, 0.75, 0.3  # inches for words beside, below and above
_LENGTH = 18  # characters of a value, in the space beside the cells
_LEVEL = 7  # characters of a value that fit below a cell


class SweepHeatmap(FigureComponent):
    """The measure that decides a sweep, as a colour for each pair of values of what varies.

    The two keys with most values make the sides, or ``x`` and ``y``; of the variants that share a
    cell the best one counts.
    """

    of_sweeps = True

    x: str | None = Field(
        default=None, description="key on the x axis; null: that with most values"
    )
    y: str | None = Field(
        default=None, description="key on the y axis; null: that with the next most"
    )

    def draw(self, view: SweepView) -> Figure:
        rankings = list(view.rankings[:_DATA_SETS])
        name = as_label(rankings[0].measures[0])
        tables = [self._table(ranking) for ranking in rankings]
        values = np.concatenate([table.values.ravel() for table in tables])
        values = values[np.isfinite(values)]
        if not len(values):
            raise ValueError(f"no variant has {name}")
        notes = [f"The mean over seeds of {name}; of several variants the best."]
        if len(view.rankings) > len(rankings):
            notes.append(f"The first {len(rankings)} of {len(view.rankings)} data sets are shown.")
        # The best are dark, on white paper.
        palette = "viridis_r" if rankings[0].direction == "maximize" else "viridis"
        scale = scale_of(float(values.min()), float(values.max()), palette)
        shapes = [np.multiply(_CELL, table.values.T.shape) for table in tables]
        sizes = np.minimum(_LARGEST, shapes)
        steps = sizes[:, 1] + _FOOT + _HEAD
        shown = page(view, "Sweep", _SIDE + sizes[:, 0].max(), sum(steps), notes)
        top = 0.0
        for ranking, table, size, step in zip(rankings, tables, sizes, steps, strict=True):
            axes = shown.panel(_SIDE, top + _HEAD, *size)
            _draw_table(axes, table, scale, 72 * size[0] / len(table.columns))
            if len(view.rankings) > 1:
                axes.set_title(as_label(ranking.data), fontsize=9, color=INK, loc="left", **PLAIN)
            top += step
        shown.colour_bar(scale, as_label(name, 16))
        return shown.figure

    def _table(self, ranking: Ranking) -> _Table:
        values = {key: _values_of(ranking, key) for key in ranking.keys}
        given = [key for key in (self.x, self.y) if key is not None]
        for key in given:
            if key not in values:
                known = ", ".join(map(as_label, values))
                raise ValueError(f"sweep_heatmap: nothing varies as '{key}'; what does: {known}")
            if len(values[key]) > _MOST:
                raise ValueError(
                    f"sweep_heatmap shows up to {_MOST} values, and '{key}' has {len(values[key])}"
                )
        by_size = sorted(values, key=lambda key: -len(values[key]))
        others = [key for key in by_size if len(values[key]) <= _MOST and key not in given]
        x, y = self.x, self.y
        if x is None and others:
            x = others.pop(0)
        if y is None and others:
            y = others.pop(0)
        if x is None or len(ranking.variants) < 2:
            raise ValueError(f"sweep_heatmap needs something that varies, with 2 to {_MOST} values")
        columns, rows = values[x], [""]
        if y is not None:
            rows = values[y]
        table = np.full((len(rows), len(columns)), math.nan)
        for variant in reversed(list(ranking.variants)):  # the best one comes last
            value = variant.measures.get(ranking.measures[0], math.nan)
            if math.isnan(value):
                continue
            row = 0
            if y is not None:
                row = rows.index(_shown(variant.varies.get(y)))
            column = columns.index(_shown(variant.varies.get(x)))
            table[row, column] = value
        return _Table(table, columns, rows, x, y or "")


class _Table(NamedTuple):
    """The best value of a measure, (R, C), for values of two keys."""

    values: NDArray[np.float64]
    columns: list[str]
    rows: list[str]
    x: str
    y: str


def _values_of(ranking: Ranking, key: str) -> list[str]:
    """Return the values of a key in their order, as figures show them."""
    values = [variant.varies.get(key) for variant in ranking.variants]
    try:
        values = sorted(values)  # type: ignore[type-var]
    except TypeError:
        values = sorted(values, key=str)
    return list(dict.fromkeys(map(_shown, values)))


def _draw_table(axes: Axes, table: _Table, scale: ScalarMappable, width: float) -> None:
    is_known = np.isfinite(table.values)
    colours = np.asarray(scale.to_rgba(np.nan_to_num(table.values)))[..., :3]
    colours[~is_known] = 0.94
    axes.imshow(colours, aspect="auto", interpolation="nearest", origin="lower")
    size = min(8.5, width / 3.6)
    if size >= _LEAST_FONT and is_known.any():
        look: dict[str, Any] = {"fontsize": size, "ha": "center", "va": "center"}
        texts = numbers(table.values[is_known].tolist(), 2)
        cells, inks = np.argwhere(is_known).tolist(), text_on(colours[is_known])
        for (row, column), text, ink in zip(cells, texts, inks, strict=True):
            axes.text(column, row, text, color=ink, **look)
    turn: dict[str, Any] = {"rotation": 0, "ha": "center"}
    if max(map(len, table.columns)) > _LEVEL:
        turn = {"rotation": 30, "ha": "right"}
    axes.set_xticks(range(len(table.columns)), table.columns, **turn, **PLAIN)
    axes.set_yticks(range(len(table.rows)), table.rows, **PLAIN)
    axes.set_xlabel(as_label(table.x), fontsize=8.5, color=INK, **PLAIN)
    axes.set_ylabel(as_label(table.y), fontsize=8.5, color=INK, **PLAIN)
    axes.tick_params(labelsize=8, colors=MUTED, length=0)
    axes.spines[:].set_visible(False)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "true", False: "false"}[value]
    return as_label(value, _LENGTH)
