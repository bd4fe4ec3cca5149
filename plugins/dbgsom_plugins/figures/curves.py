"""Curves of a training: how the map grew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import FigureComponent
from dbgsom_plugins.figures._colours import FAINT, INK, MUTED, categorical
from dbgsom_plugins.figures._drawing import Page, page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dbgsom_core.api import EpochRecord, MapView

_GROWTH = (6.6, 4.25)  # inches
_FINE = "#f3f4f6"
_WORD: dict[str, Any] = {"fontsize": 8, "style": "italic", "color": MUTED}


class GrowthCurve(FigureComponent):
    """Quantization error, neurons and births against the epoch; fine-tuning epochs are shaded."""

    def draw(self, view: MapView) -> Figure:
        shown = page(view, "Growth curve", *_GROWTH, side=0.0)
        if view.history:
            _draw_growth(shown, view.history)
        else:
            axes = shown.panel((0.0, 0.0, *_GROWTH))
            axes.set_axis_off()
            axes.text(0.5, 0.5, "No epochs were recorded.", ha="center", fontsize=10, color=MUTED)
        return shown.figure


def _draw_growth(shown: Page, history: Sequence[EpochRecord]) -> None:
    from matplotlib.ticker import MaxNLocator

    blue, orange, green = (tuple(colour) for colour in categorical(3))
    epochs = np.array([record.epoch for record in history])
    errors = np.array([record.quantization_error for record in history])
    neurons = np.array([record.neurons for record in history])
    births = np.array([len(record.births) for record in history])
    deaths = np.diff(neurons, prepend=neurons[0] - births[0]) - births  # negative
    left, width = 0.4, _GROWTH[0] - 0.4
    top = shown.panel((left, 0.22, width, 1.5))
    middle = shown.panel((left, 2.04, width, 0.9))
    bottom = shown.panel((left, 3.26, width, 0.48))
    marker = "o" if len(epochs) <= 60 else ""

    top.plot(epochs, errors, color=blue, linewidth=1.8, marker=marker, markersize=3)
    _name_panel(top, "Quantization error")
    middle.step(epochs, neurons, where="mid", color=green, linewidth=1.8)
    middle.fill_between(epochs, neurons, step="mid", color=green, alpha=0.15, linewidth=0)
    middle.set_ylim(0, 1.12 * neurons.max())
    _name_panel(middle, "Neurons")
    bottom.bar(epochs, births, width=0.8, color=orange, linewidth=0)
    bottom.set_ylim(1.15 * deaths.min(), max(1, 1.15 * births.max()))
    if deaths.any():
        bottom.bar(epochs, deaths, width=0.8, color=blue, linewidth=0)
        bottom.axhline(0, color=FAINT, linewidth=0.8)
    _name_panel(bottom, "Births and deaths" if deaths.any() else "Births")

    for axes in (top, middle, bottom):
        _clean(axes)
        _shade_fine_phase(axes, history)
        axes.tick_params(labelbottom=axes is bottom)
    _whole_numbers(middle, 4)
    if births.any() or deaths.any():
        _whole_numbers(bottom, 2)
    else:
        bottom.set_yticks([])
        bottom.text(0.5, 0.5, "none", transform=bottom.transAxes, ha="center", va="center", **_WORD)
    _name_phases(top, history)
    for axes in (top, middle, bottom):
        axes.set_xlim(epochs[0] - 0.6, epochs[-1] + 0.6)
    bottom.set_xlabel("Epoch", fontsize=8.5, color=INK)
    for axes in (top, middle, bottom):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=MUTED, length=0)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _name_panel(axes: Axes, name: str) -> None:
    axes.set_title(name, fontsize=8.5, color=INK, loc="left", pad=3)


def _whole_numbers(axes: Axes, ticks: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=ticks, integer=True, min_n_ticks=1))


def _fine_start(history: Sequence[EpochRecord]) -> float | None:
    fine = [record.epoch for record in history if record.phase == "fine"]
    return fine[0] - 0.5 if fine else None


def _shade_fine_phase(axes: Axes, history: Sequence[EpochRecord]) -> None:
    start = _fine_start(history)
    if start is not None:
        axes.axvspan(start, history[-1].epoch + 0.6, color=_FINE, linewidth=0, zorder=0)
        axes.axvline(start, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1)


def _name_phases(axes: Axes, history: Sequence[EpochRecord]) -> None:
    start = _fine_start(history)
    if start is None:
        return
    first, last = history[0].epoch, history[-1].epoch
    late = last - start < 0.15 * (last - first)  # too late for a word after it
    if start - first > (0.45 if late else 0.3) * (last - first):  # beside the panel's name
        _name_phase(axes, "growing", start if not late else (first + start) / 2, "right")
    _name_phase(axes, "fine-tuning", last + 0.6 if late else start, "right" if late else "left")


def _name_phase(axes: Axes, name: str, epoch: float, alignment: str) -> None:
    axes.annotate(
        name,
        (epoch, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if alignment == "right" else 4, 3),
        textcoords="offset points",
        ha=alignment,
        va="bottom",
        **_WORD,
    )
