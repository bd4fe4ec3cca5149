"""Curves of a training: how the map grew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import FigureComponent
from dbgsom_plugins.figures._drawing import Page, page
from dbgsom_plugins.figures._style import FAINT, INK, MUTED, categorical

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
    axes.set_title(name, fontsize=8.5, color=INK, loc="left", pad=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=MUTED, length=0)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    if ticks:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=ticks, integer=True, min_n_ticks=1))
    return axes
