"""Every variant of a sweep as a line through what it changed and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_plugins.figures._colours import FAINT, INK, MUTED, PAPER, scale_of
from dbgsom_plugins.figures._sheet import PLAIN, extent, fitting, page
from dbgsom_plugins.figures._variables import alike
from dbgsom_plugins.figures._variants import Axis, axis_of, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dbgsom_core.api import Ranking, SweepView

_PANEL = (7.6, 2.7)  # inches
_HEAD, _FOOT = 0.75, 0.3
_WORDS = 16  # values that have words beside an axis
_NEAR = 0.065  # of an axis: words that are nearer to each other would overlap


class ParallelCoordinates(FigureComponent):
    """The variants of a sweep as lines through what they changed and what they measured.

    Colours are those of the measure that decides; the best variant is drawn thick.
    """

    of_sweeps: ClassVar[bool] = True

    most: int = Field(default=10, ge=2, le=20, description="axes that are drawn at most")

    def draw(self, view: SweepView) -> Figure:
        """Return the figure: one panel for each data set, the first four.

        Raises
        ------
        ValueError
            There is one variant.
        """
        shown = view.rankings[:4]
        if all(len(ranking.variants) < 2 for ranking in shown):
            raise ValueError("parallel_coordinates compares variants, and there is one")
        tall = _PANEL[1] + _HEAD + _FOOT
        notes = ["The thick line is the best variant."]
        if len(view.rankings) > len(shown):
            notes.append(f"{len(shown)} of {len(view.rankings)} data sets.")
        made = page(view, "Variants of the sweep", _PANEL[0], len(shown) * tall, notes)
        name = shown[0].measures[0]
        values = np.concatenate([measured(ranking, name) for ranking in shown])
        known = values[np.isfinite(values)]
        if not len(known):
            raise ValueError(f"no variant has {name}")
        # Lines on white: the best ones are dark.
        cmap = "viridis_r" if shown[0].direction == "maximize" else "viridis"
        scale = scale_of(float(known.min()), float(known.max()), cmap)
        for number, ranking in enumerate(shown):
            axes = made.panel((0.2, number * tall + _HEAD, _PANEL[0] - 0.5, _PANEL[1]))
            several = ranking.data if len(view.rankings) > 1 else ""
            self._panel(axes, ranking, scale.to_rgba(measured(ranking, name)), several)
        made.key(as_label(name, 16), None, scale)
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
    for at, word in [*at_ends, *(one for one in _some(ticks) if one not in at_ends)]:
        y = (at - low) / span if span > 0 else 0.5
        if any(abs(y - other) < _NEAR for other in written):
            continue
        written.append(y)
        off = {0.0: -0.05, 1.0: 0.05}.get(y, 0.0)
        word = fitting(word, room - 8, 7.5)
        axes.text(place + 0.05, y + off, word, ha="left", va="center", zorder=4, **look)


def _some(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    # As many as have room, evenly.
    return ticks[:: -(-len(ticks) // _WORDS)]


def _in_lines(name: str, room: float) -> str:
    """Return a name in one line of ``room`` points or, broken after '_', '.' or '/', in two."""
    if 7.5 * extent(name) > room:
        breaks = [i + 1 for i, letter in enumerate(name[:-1]) if letter in "_./"]
        if breaks:
            at = min(breaks, key=lambda i: max(i, len(name) - i))
            return "\n".join(fitting(one, room, 7.5) for one in (name[:at], name[at:]))
    return fitting(name, room, 7.5)
