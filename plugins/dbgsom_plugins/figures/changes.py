"""What `check` finds on new rows: the neurons whose share moved, and charts of rows in time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import FigureComponent
from dbgsom_plugins.figures._drawing import cell_centres, map_of_cells, page
from dbgsom_plugins.figures._style import FAINT, INK, MUTED, PLAIN, categorical, scale_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from dbgsom_core.api import MapView

_SIZE = (7.2, 3.4)  # inches of the charts
_LEFT, _HEIGHT, _GAP = 0.4, 1.3, 0.45
_SLICES = 12  # of rows in time, for the way over the map
_MOST_POINTS = 4000  # of a line: more are drawn as the largest of those beside each other
_ALARM = "#cc3311"


class Changes(FigureComponent):
    """What new rows changed on the map, and alarms in time, see ``dbgsom check``.

    Colours are points of percent by which the share of a neuron moved; circles are new groups.
    """

    def draw(self, view: MapView) -> Mapping[str, Any]:
        if view.change is None:
            raise ValueError("there are no new rows: dbgsom check RUN NEW, or check(...).plot()")
        drawn = {"map": _draw_map(view, view.change)}
        if view.change.rows is not None:
            drawn["time"] = _draw_charts(replace(view, axes=None), view.change)
        return drawn


def _draw_map(view: MapView, change: Any) -> Figure:
    points, groups = 100 * change.shares, change.groups
    # Few neurons that move far would leave the others white.
    reach = max(float(np.quantile(abs(points), 0.98)), 1e-9)
    scale = scale_of(-reach, reach, "RdBu_r")
    colours = np.asarray(scale.to_rgba(points))[:, :3]
    notes = ["Red: more of the new rows than of the known ones; blue: fewer."]
    if groups.any():
        notes.append("Circles with numbers are new groups.")
    if change.rows is not None:
        notes.append(
            f"Line: the mean place of {_SLICES} parts of the rows in time; square: the last."
        )
    texts = [str(group) if group else "" for group in groups.tolist()]
    sheet = map_of_cells(view, "What new rows changed", colours, (), notes)
    centres = cell_centres(view.evaluation.som_map)
    size = float(np.clip(0.55 * sheet.cell, 4, 18))
    for centre, text in zip(centres, texts, strict=True):
        if text:
            look: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": INK}
            sheet.axes.plot(*centre, "o", markersize=size, zorder=5, **look)
            written: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 6, **PLAIN}
            x, y = centre
            sheet.axes.text(x, y, text, fontsize=0.55 * size, **written)
    if change.rows is not None:
        units = change.rows.sort_values("time", kind="stable")["unit"].to_numpy()
        parts = [centres[part].mean(axis=0) for part in np.array_split(units, _SLICES) if len(part)]
        way = np.array(parts)
        sheet.axes.plot(*way.T, "-o", color=INK, linewidth=1.2, markersize=2.5, zorder=4)
        sheet.axes.plot(*way[-1], "s", color=INK, markersize=6, zorder=4)
    sheet.page.colour_bar(scale, "Points of percent")
    return sheet.page.figure


def _draw_charts(view: MapView, change: Any) -> Figure:
    rows, limits = change.rows, change.limits
    rows = rows.sort_values("time", kind="stable")
    notes = [
        "Charts of -log p, dashed: their limits, which known rows reach once in "
        f"{limits.run_length:g} rows. After an alarm, a red line, both begin anew."
    ]
    shown = page(view, "New rows in time", *_SIZE, notes, side=0.0)
    times = rows["time"].to_numpy()
    names = {"average": "Moving average", "total": "Cumulative sum"}
    for place, (name, title) in enumerate(names.items()):
        top = 0.22 + place * (_HEIGHT + _GAP)
        axes = shown.panel(_LEFT, top, _SIZE[0] - _LEFT, _HEIGHT)
        axes.set_title(title, loc="left", fontsize=8.5, color=INK)
        step = max(1, len(rows) // _MOST_POINTS)
        blocks = np.arange(0, len(rows), step)
        highest = np.maximum.reduceat(rows[name].to_numpy(), blocks)
        axes.plot(times[blocks], highest, color=categorical(1)[0], linewidth=1.2)
        axes.axhline(getattr(limits, name), color=MUTED, linestyle="--", linewidth=1)
        for moment in times[rows["alarm"].to_numpy(bool)][:_MOST_POINTS]:
            axes.axvline(moment, color=_ALARM, linewidth=0.7, alpha=0.6, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(labelsize=7.5, colors=MUTED, labelbottom=place == 1)
    return shown.figure
