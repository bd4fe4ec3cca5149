"""Distances between prototypes, weighed by how densely the data lie there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._cells import map_of_cells
from dbgsom_plugins.figures._colours import scale_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView

_PARETO = 0.18  # share of the distances between samples below the radius of a neighbourhood
_PAIRED = 500  # samples whose distances are looked at for it
_COUNTED = 20_000  # samples that are counted around prototypes, at most
_NOTES = (
    "Mean distance of a prototype to the linked ones, less where data lie densely around it.",
    "Dark ridges are borders between clusters; within dense clusters nothing is left.",
)


class UStarMatrix(Component):
    """The U*-matrix (Ultsch 2003): borders between clusters, without the bumps within dense ones.

    The height of a neuron in the U-matrix, the mean distance of its prototype to the linked ones,
    times 1 - (P - mean P)/(max P - mean P): P is how many samples lie within a radius around the
    prototype below which about 18 % of the distances between samples are.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure.

        Raises
        ------
        ValueError
            The map has one neuron, which has no distances.
        """
        if len(view.evaluation.som_map) < 2:
            raise ValueError("u_star_matrix shows distances between neurons, and there is one")
        heights = u_star(view.evaluation)
        scale = scale_of(0.0, float(heights.max()), "magma_r")
        colours = np.asarray(scale.to_rgba(heights))[:, :3]
        hatched = ["Hatched neurons have no hits."] if view.evaluation.hits.min() == 0 else []
        sheet = map_of_cells(view, "U*-matrix", colours, notes=[*_NOTES, *hatched])
        sheet.colour_bar(scale, "Distance × sparseness")
        return sheet.figure


def u_star(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the heights (K,), of at least 0."""
    som_map = evaluation.som_map
    heights = som_map.mean_over_links(evaluation.prototype_distances)
    density = densities(evaluation)
    above = float(density.max() - density.mean())
    if above <= 0:
        return heights
    return np.asarray(heights * (1 - (density - density.mean()) / above))


def densities(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the shares (K,) of the samples that lie around the prototypes."""
    data, prototypes = evaluation.data, evaluation.som_map.prototypes
    rng = np.random.default_rng(evaluation.seed)
    n = data.n
    some = data if n <= _COUNTED else data.subset(np.sort(rng.choice(n, _COUNTED, replace=False)))
    units = evaluation.bmu[np.sort(rng.choice(n, min(n, _PAIRED), replace=False))]
    # Distances between samples, as far as their prototypes and their own distance tell.
    between = evaluation.prototype_distances[np.ix_(units, units)]
    own = (evaluation.errors / np.maximum(evaluation.hits, 1))[units]
    apart = np.sqrt(np.square(between) + np.square(own)[:, None] + np.square(own))
    radius = float(np.quantile(apart[~np.eye(len(apart), dtype=bool)], _PARETO)) if n > 1 else 0.0
    counts = np.zeros(len(prototypes))
    for _, distances in some.chunks(prototypes):
        counts += np.count_nonzero(distances <= radius, axis=0)
    return counts / some.n
