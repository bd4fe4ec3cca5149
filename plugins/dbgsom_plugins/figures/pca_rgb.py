"""A colour for each prototype: what looks alike is alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._cells import dead_patch, map_of_cells
from dbgsom_plugins.figures._colours import MAX_CATEGORIES, by_prototype, towards_white
from dbgsom_plugins.figures._names import DESCRIBED, can_describe
from dbgsom_plugins.figures.label_map import answers_of, name_regions, names_neurons

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.api import MapView

_DEAD = 0.18  # strength of the colour under the hatch of a neuron without hits
_NOTE = (
    "Similar colours are similar prototypes: their first three principal components are lightness, "
    "blue to yellow, and green to red."
)


class PcaRgb(Component):
    """The prototypes' first three principal components as a colour of each neuron.

    Clusters are patches of one colour, borders are where it changes; the strongest difference is
    one of lightness, which every reader sees. Up to 20 classes or clusters have their names on it,
    and without any the map says which variables stand out where.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched."""
        dead = view.evaluation.hits == 0
        colours = by_prototype(view.evaluation.som_map.prototypes)
        colours[dead] = towards_white(colours[dead], np.full(np.count_nonzero(dead), _DEAD))
        notes = [_NOTE]
        if names_neurons(view):
            notes += [DESCRIBED] if can_describe(view) else []
        elif view.estimator != "regressor" and len(np.unique(view.neuron_labels)) <= MAX_CATEGORIES:
            notes.append(f"Names are those of the {answers_of(view)} that neurons answer.")
        sheet = map_of_cells(view, "Prototype colours", colours, notes=notes)
        if dead.any():
            sheet.legend([dead_patch()])
        name_regions(view, sheet)
        return sheet.figure
