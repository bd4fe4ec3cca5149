"""How many samples each neuron won."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._cells import (
    draw_cells,
    mark_parents,
    notes_on_parents,
    parents_of,
    write_in_cells,
)
from dbgsom_plugins.figures._colours import PAPER
from dbgsom_plugins.figures._sheet import map_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.evaluation import MapView


class HitMap(Component):
    """How many training samples each neuron won, as a colour and, where it fits, as a number."""

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize, to_rgb

        hits = view.evaluation.hits
        dead = hits == 0
        scale = ScalarMappable(Normalize(0, max(1, int(hits.max()))), cmap="viridis")
        colours = np.asarray(scale.to_rgba(hits.astype(np.float64)))[:, :3]
        colours[dead] = to_rgb(PAPER)
        notes = ["Hatched neurons have no hits."] if dead.any() else []
        som_map = view.evaluation.som_map
        sheet = map_sheet(view, "Hit map", notes + notes_on_parents(som_map))
        draw_cells(sheet, som_map, colours, dead)
        mark_parents(sheet, parents_of(som_map))
        texts = [str(count) if count else "" for count in hits.tolist()]
        write_in_cells(sheet, som_map.positions, texts, colours)
        sheet.colour_bar(scale, "Samples", whole=True)
        return sheet.figure
