"""How many samples each neuron won."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._values import draw_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.api import MapView


class HitMap(Component):
    """How many training samples each neuron won, as a colour and, where it fits, as a number."""

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched."""
        hits = view.evaluation.hits.astype(np.float64)
        return draw_values(view, "Hit map", hits, "Samples", whole=True)
