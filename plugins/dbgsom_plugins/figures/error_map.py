"""How far the samples of each neuron lie from its prototype."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._values import draw_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.api import MapView


class ErrorMap(Component):
    """The quantization error of each neuron: where the map fits the training data badly.

    That is the mean distance of the samples that a neuron won to its prototype, in the metric's
    units.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched."""
        evaluation = view.evaluation
        errors = evaluation.errors / np.maximum(evaluation.hits, 1)
        notes = ["The mean distance of a neuron's samples to its prototype."]
        return draw_values(view, "Error map", errors, "Mean distance", from_zero=False, notes=notes)
