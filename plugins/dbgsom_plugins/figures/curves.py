"""Curves: how the map grew, and how sure each number of clusters is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dbgsom_core.api import FigureComponent
from dbgsom_plugins.figures._drawing import Page, page
from dbgsom_plugins.figures._style import (
    FAINT,
    INK,
    MUTED,
    PLAIN,
    categorical,
    shortened,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dbgsom_core.api import EpochRecord, MapView

_GROWTH = (6.6, 4.25)  # inches: as wide as a large map
_LEFT = 0.4  # inches for ticks
_FINE = "#f3f4f6"  # epochs of fine-tuning
_MOST_DOTS = 60  # on a curve, which would cover it
_WORD: dict[str, Any] = {"fontsize": 8, "style": "italic", "color": MUTED}


class GrowthCurve(FigureComponent):
    """Quantization error, neurons and births against the epoch; fine-tuning epochs are shaded."""

    def draw(self, view: MapView) -> Figure:
        view = replace(view, axes=None)  # several panels have a page of their own
        shown = page(view, "Growth curve", *_GROWTH, side=0.0)
        if view.history:
            _draw_growth(shown, view.history)
        else:
            axes = shown.panel(0.0, 0.0, *_GROWTH)
            axes.set_axis_off()
            axes.text(0.5, 0.5, "No epochs were recorded.", ha="center", fontsize=10, color=MUTED)
        return shown.figure


def _draw_growth(shown: Page, history: Sequence[EpochRecord]) -> None:
    from matplotlib.ticker import MaxNLocator

    blue, orange, green = categorical(3)
    rows = []
    for record in history:
        rows.append((record.epoch, record.neurons, len(record.births)))
    epochs, neurons, births = np.array(rows).T
    errors = [record.quantization_error for record in history]
    deaths = np.diff(neurons, prepend=neurons[0] - births[0]) - births  # negative
    top = _panel(shown, 0.22, 1.5, "Quantization error")
    dots: dict[str, Any] = {"marker": "o", "markersize": 3}
    dots["markevery"] = math.ceil(len(epochs) / _MOST_DOTS)
    top.plot(epochs, errors, color=blue, linewidth=1.8, **dots)
    middle = _panel(shown, 2.04, 0.9, "Neurons", ticks=4)
    middle.step(epochs, neurons, where="mid", color=green, linewidth=1.8)
    middle.fill_between(epochs, neurons, step="mid", color=green, alpha=0.15, linewidth=0)
    middle.set_ylim(0, 1.12 * neurons.max())
    name = "Births and deaths" if deaths.any() else "Births"
    bottom = _panel(shown, 3.26, 0.48, name, ticks=2)
    bottom.bar(epochs, births, width=0.8, color=orange, linewidth=0)
    bottom.bar(epochs, deaths, width=0.8, color=blue, linewidth=0)
    bottom.set_ylim(1.15 * deaths.min(), max(1, 1.15 * births.max()))
    bottom.axhline(0, color=FAINT, linewidth=0.8)
    bottom.set_xlabel("Epoch", fontsize=8.5, color=INK)
    fine = [record.epoch for record in history if record.phase == "fine"]
    for axes in (top, middle, bottom):
        axes.set_xlim(epochs[0] - 0.6, epochs[-1] + 0.6)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
        axes.tick_params(labelbottom=axes is bottom)
        if fine:
            axes.axvspan(fine[0] - 0.5, epochs[-1] + 0.6, color=_FINE, linewidth=0, zorder=0)
    if fine:
        top.set_title("shaded: fine-tuning", loc="right", pad=3, **_WORD)


def _panel(shown: Page, top: float, height: float, name: str, ticks: int = 0) -> Axes:
    """Return axes across the page, with at most so many ``ticks`` of whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes = shown.panel(_LEFT, top, _GROWTH[0] - _LEFT, height)
    _plain(axes, name)
    if ticks:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=ticks, integer=True, min_n_ticks=1))
    return axes


_HEIGHT = 3.2  # inches of both panels, or more of many clusters
_ROW = 0.15  # inches of a cluster at least
_AXIS = 0.45  # inches below a panel for its axis
_NUMBERS = 3.4  # inches of the panel of numbers
_LONGEST = 1.3  # inches of a cluster's name
_LASTS = 0.6  # below it a cluster is doubtful, as the sentence of a run has it
_HOW = (
    "Maps of two disjoint halves label samples of neither. Bands and bars are {:.0%} intervals "
    "over {} pairs of halves."
)
_MARKS = "Dashed: this map. Dotted, and small bars: chance. Clusters right of the grey line last."
_ONE_PAIR = "Maps of two disjoint halves label samples of neither; one pair has no interval."


class StabilityFigure(FigureComponent):
    """How alike maps of two halves of the samples divide others: by the number of clusters, and for
    each cluster of the map, see ``stability``.
    """

    estimators = ("vq",)

    def draw(self, view: MapView) -> Figure:
        found = view.cluster_stability
        if found is None:
            raise ValueError(
                "nobody asked how sure the clusters are: say stability: {halves: 5} in a run, and "
                "call model.cluster_stability(X) in Python"
            )
        note = _ONE_PAIR if found.halves == 1 else _HOW.format(found.level, found.halves)
        view = replace(view, axes=None)
        names = []
        for group in found.groups.tolist():
            names.append(shortened(view.label_names.get(group, group), 72 * _LONGEST, 8))
        height = max(_HEIGHT, _ROW * len(names))
        notes = [found.sentence, note, _MARKS]
        shown = page(view, "Stability of clusters", 7.2, height + _AXIS, notes, side=0.0)
        _draw_numbers(shown.panel(_LEFT, 0.22, _NUMBERS, height - 0.22), found)
        left = _LEFT + _NUMBERS + 0.35 + max(text_width(name) for name in names) * 8 / 72
        _draw_groups(shown.panel(left, 0.22, 7.2 - left, height - 0.22), found, names)
        return shown.figure


def _draw_numbers(axes: Axes, found: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    blue = categorical(1)[0]
    _plain(axes, "Agreement of halves (ARI)", "Number of clusters")
    means, lows, highs = np.array(found.agreements).T
    axes.axvline(len(found.groups), color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    axes.fill_between(found.numbers, lows, highs, color=blue, alpha=0.18, linewidth=0)
    axes.plot(found.numbers, means, color=blue, linewidth=1.8, marker="o", markersize=3.5)
    axes.plot(found.numbers, found.chances, color=MUTED, linewidth=1.0, linestyle=":")
    own = found.agreements[found.place].mean
    axes.plot(len(found.groups), own, "o", color=INK, markersize=6, zorder=4)
    axes.set_ylim(min(-0.05, float(found.chances.min()), float(means.min())) - 0.02, 1.05)
    axes.set_xlim(found.numbers[0] - 0.6, found.numbers[-1] + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=13, integer=True, min_n_ticks=1))


def _draw_groups(axes: Axes, found: Any, names: Sequence[str]) -> None:
    orange, green = categorical(3)[1:]
    _plain(axes, "Each cluster", "Jaccard with that of a half", across="x")
    means, lows, highs = np.array(found.group_shares).T
    rows = np.arange(len(names))
    colours = [orange if mean < _LASTS else green for mean in means]
    axes.axvline(_LASTS, color=FAINT, linewidth=1.4)
    axes.hlines(rows, lows, highs, color=colours, linewidth=1.8, alpha=0.6)
    axes.scatter(found.group_chances, rows, marker="|", color=MUTED, s=30)
    axes.scatter(means, rows, color=colours, s=22, zorder=3)
    axes.set_yticks(rows, names, **PLAIN)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-0.03, 1.03)


def _plain(axes: Axes, title: str, below: str = "", across: Literal["x", "y"] = "y") -> None:
    """Give a panel its titles, and lines of a grid across an axis."""
    axes.set_title(title, fontsize=8.5, color=INK, loc="left", pad=3)
    axes.set_xlabel(below, fontsize=8.5, color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=MUTED, length=0)
    axes.grid(axis=across, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
