"""How sure the map is, neuron by neuron and link by link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._colours import EMPTY, INK, PAPER, rgb_of, scale_of
from dbgsom_plugins.figures._drawing import cell_centres, map_of_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, Stability
    from dbgsom_plugins.figures._drawing import Sheet

_UNSURE = "#cc3311"
_BAR = (0.3, 0.7)  # where a bar begins and ends on the way from one neuron to the other
_WIDEST = 0.3  # of a cell
_LINKS = (
    "Bars are links: the wider, the more often two samples on their ends stay neighbours in a map "
    "of other samples; red: hardly more often than any two ({chance:.0%})."
)
_CELLS = "A cell's colour is how often such a map gives its samples the same answer."
_NUMBERS = "Answers are numbers: cells have no colour."


class TrustMap(Component):
    """What stays when the map is fitted again to parts of its samples, see ``stability``.

    Cells show how often the samples of a neuron get the same answer, bars how often two samples
    that meet across a link stay neighbours.
    """

    def draw(self, view: MapView) -> Figure:
        stability = view.stability
        if stability is None:
            raise ValueError(
                "nobody asked how sure the map is: say stability: {resamples: 20} in a run, and "
                "give stability=model.stability(X) in Python"
            )
        notes, texts = [_LINKS.format(chance=stability.chance)], []
        scale = scale_of(0.0, 1.0, "YlGnBu_r")
        colours = np.tile(rgb_of(PAPER), (len(view.evaluation.som_map), 1))
        if stability.agreements is None:
            notes.append(_NUMBERS)
        else:
            known = np.isfinite(stability.agreements)
            colours[known] = scale.to_rgba(stability.agreements[known])[:, :3]
            colours[~known] = rgb_of(EMPTY)
            notes.append(_CELLS)
            texts = [f"{100 * one:.0f}" if one == one else "" for one in stability.agreements]
        sheet = map_of_cells(view, "Trust map", colours, texts, notes)
        _draw_links(sheet, cell_centres(view.evaluation.som_map), stability)
        if stability.agreements is not None:
            sheet.page.colour_bar(scale, "Same answer")
        return sheet.figure


def bars(
    places: NDArray[np.floating], stability: Stability
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the ends (S, 2, 2) of the bars of links, their widths 0 … 1, and which are unsure.

    Links that nobody can tell of, and those between opposite sides of a torus, have none.
    """
    ends = places[stability.links]
    apart = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    drawn = np.isfinite(stability.link_shares) & (apart < 1.5)
    ends, shares = ends[drawn], stability.link_shares[drawn]
    surer = np.clip((shares - stability.chance) / max(1 - stability.chance, 1e-9), 0.0, 1.0)
    steps = np.array(_BAR)[None, :, None]
    return ends[:, :1] + steps * (ends[:, 1:] - ends[:, :1]), surer, surer < 0.1


def _draw_links(sheet: Sheet, places: NDArray[np.floating], stability: Stability) -> None:
    from matplotlib.collections import LineCollection

    segments, widths, unsure = bars(places, stability)
    size = np.maximum(_WIDEST * widths, 0.03) * sheet.cell
    for colours, extra in ((PAPER, 0.05 * sheet.cell), (None, 0.0)):
        sheet.axes.add_collection(
            LineCollection(
                list(segments),
                colors=colours or [_UNSURE if one else INK for one in unsure],
                linewidths=size + extra,
                capstyle="butt",
                zorder=3.2,
            ),
            autolim=False,
        )
