"""How far neighbourhoods are torn, and in which direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import Component
from dbgsom_plugins.figures._colours import FAINT, INK, MUTED, categorical
from dbgsom_plugins.figures._sheet import page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.api import MapView

_SIZE = (6.0, 3.2)
_NOTES = (
    "k > 0, folds: neighbours of a neuron in the data that lie more than k apart on the map.",
    "k < 0, tears: neighbours on the map that lie more than −k apart in the data. 0 is perfect.",
)


class TopographicFunctionCurve(Component):
    """The topographic function (Villmann et al. 1997) over k: short folds, or long ones.

    A map that keeps all neighbours is 0 everywhere. What reaches far to the right are neighbours in
    the data that the map puts far apart: it folds where it has too few dimensions.
    """

    neighbours: Literal[4, 8] = Field(
        default=8,
        description="how the grid is measured: 8 counts diagonal steps as in the paper, 4 hops",
    )

    def draw(self, view: MapView) -> Figure:
        """Return the figure.

        Raises
        ------
        ValueError
            The map has one neuron, which has no neighbours.
        """
        from matplotlib.ticker import MaxNLocator

        from dbgsom_core.api import topographic_function

        evaluation = view.evaluation
        if len(evaluation.som_map) < 2:
            raise ValueError(
                "topographic_function_curve compares neighbours, and there is one neuron"
            )
        found = topographic_function(
            evaluation.som_map, evaluation.bmu, evaluation.second_bmu, self.neighbours
        )
        shown = page(view, "Topographic function", *_SIZE, _NOTES)
        axes = shown.panel((0.45, 0.05, _SIZE[0] - 0.45, _SIZE[1] - 0.6))
        blue, orange = (tuple(colour) for colour in categorical(2))
        for side, colour, name in ((found.k < 0, orange, "tears"), (found.k > 0, blue, "folds")):
            axes.bar(found.k[side], found.phi[side], width=0.75, color=colour, linewidth=0)
            value = float(found.phi[side][-1 if name == "tears" else 0])
            axes.text(
                0.02 if name == "tears" else 0.98,
                0.95,
                f"{name}: {value:.3g}",
                transform=axes.transAxes,
                ha="left" if name == "tears" else "right",
                va="top",
                fontsize=9,
                color=colour,
            )
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_xlabel("k, steps apart", fontsize=8.5, color=INK)
        axes.set_ylabel("neighbours per neuron", fontsize=8.5, color=INK)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(FAINT)
        axes.tick_params(labelsize=8, colors=MUTED, length=0)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
        axes.set_xlim(found.k[0] - 0.7, found.k[-1] + 0.7)
        axes.set_ylim(0, max(1.15 * float(np.max(found.phi[found.k != 0])), 0.1))
        return shown.figure
