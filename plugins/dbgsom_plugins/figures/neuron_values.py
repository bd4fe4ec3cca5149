"""A number for each neuron as a colour: hits, errors, densities, heights of the U*-matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._drawing import map_of_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView

_PARETO = 0.18  # share of the distances between samples below the radius of a neighbourhood
_PAIRED = 500  # samples whose distances are looked at for it
_COUNTED = 20_000  # samples that are counted around prototypes, at most


class HitMap(Component):
    """How many training samples each neuron won, as a colour and, where it fits, as a number."""

    def draw(self, view: MapView) -> Figure:
        hits = view.evaluation.hits.astype(np.float64)
        return map_of_values(view, "Hit map", hits, "Samples", low=0.0, whole=True)


class ErrorMap(Component):
    """The quantization error of each neuron: where the map fits the training data badly.

    That is the mean distance of the samples that a neuron won to its prototype, in the metric's
    units.
    """

    def draw(self, view: MapView) -> Figure:
        errors = view.evaluation.errors / np.maximum(view.evaluation.hits, 1)
        notes = ["The mean distance of a neuron's samples to its prototype."]
        return map_of_values(view, "Error map", errors, "Mean distance", notes=notes)


class DensityMap(Component):
    """Hits of each neuron over the mean distance of its prototype to the linked ones.

    Many samples among near prototypes are a cluster; few among far ones lie between clusters.
    As `densities_` of the estimators, but 0 for a neuron without links, and the largest of the
    others where prototypes lie on top of each other.
    """

    def draw(self, view: MapView) -> Figure:
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
        return map_of_values(
            view, "Density map", density, "Samples / distance", low=0.0, notes=notes
        )


class UStarMatrix(Component):
    """The U*-matrix (Ultsch 2003): borders between clusters, without the bumps within dense ones.

    The height of a neuron in the U-matrix, the mean distance of its prototype to the linked ones,
    times 1 - (P - mean P)/(max P - mean P): P is how many samples lie within a radius around the
    prototype below which about 18 % of the distances between samples are.
    """

    def draw(self, view: MapView) -> Figure:
        if len(view.evaluation.som_map) < 2:
            raise ValueError("u_star_matrix shows distances between neurons, and there is one")
        notes = [
            "Mean distance of a prototype to the linked ones, less where data lie densely around "
            "it.",
            "Dark ridges are borders between clusters; within dense clusters nothing is left.",
        ]
        heights, label = u_star(view.evaluation), "Distance × sparseness"
        return map_of_values(
            view, "U*-matrix", heights, label, cmap="magma_r", low=0.0, dead=1.0, texts=False,
            notes=notes,
        )  # fmt: skip


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
