"""How densely the data lie around each prototype."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._values import draw_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.api import MapView


class DensityMap(Component):
    """Hits of each neuron over the mean distance of its prototype to the linked ones.

    Many samples among near prototypes are a cluster; few among far ones lie between clusters.
    As `densities_` of the estimators, but 0 for a neuron without links, and the largest of the
    others where prototypes lie on top of each other.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched.

        Raises
        ------
        ValueError
            There is one neuron.
        """
        evaluation = view.evaluation
        if len(evaluation.som_map) < 2:
            raise ValueError("density_map divides by distances between neurons, and there is one")
        apart = evaluation.som_map.mean_over_links(evaluation.prototype_distances)
        # Prototypes on top of each other have no density: they get the largest of the others.
        density = np.zeros(len(apart))
        np.divide(evaluation.hits, apart, out=density, where=apart > 0)
        linked = evaluation.som_map.degrees() > 0
        density[(apart == 0) & linked] = density.max(initial=0.0)
        notes = ["Samples of a neuron per mean distance of its prototype to the linked ones."]
        return draw_values(view, "Density map", density, "Samples / distance", notes=notes)
