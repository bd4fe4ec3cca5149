"""Distances between neighbouring prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._cells import (
    draw_outline,
    mark_parents,
    notes_on_parents,
    parents_of,
    squares,
)
from dbgsom_plugins.figures._colours import INK
from dbgsom_plugins.figures._sheet import map_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap

_DOTS = 600  # neurons up to which the cells of neurons are dotted
_DOTTED = "Dots are neurons; the square between two shows the distance of their prototypes."
_UNDOTTED = "Every second square is a neuron; between two stands the distance of their prototypes."


class UMatrix(Component):
    """The U-matrix (Ultsch & Siemon 1990): dark ridges are borders between clusters.

    Between two linked neurons stands the distance of their prototypes. A neuron's own square, a
    dotted one, shows the mean over its links, and so does a corner between four neurons.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import Normalize

        som_map = view.evaluation.som_map
        matrix = u_matrix(som_map, view.evaluation.prototype_distances)
        values = matrix.values
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        scale = ScalarMappable(Normalize(low, high if high > low else low + 1), cmap="magma_r")
        dotted = len(som_map) <= _DOTS
        notes = [_DOTTED if dotted else _UNDOTTED, *notes_on_parents(som_map)]
        sheet = map_sheet(view, "U-matrix", notes)
        sheet.axes.add_collection(
            PolyCollection(
                squares(matrix.centres, 0.5),
                facecolors=scale.to_rgba(values),
                edgecolors="face",
                linewidths=0.2,
                zorder=1,
            ),
            autolim=False,
        )
        if dotted:
            size = float(np.clip(0.07 * sheet.cell, 1.2, 4.5))
            sheet.axes.plot(
                *som_map.positions.T,
                "o",
                color=INK,
                markersize=size,
                markeredgecolor="white",
                markeredgewidth=size / 5,
                zorder=3,
            )
        mark_parents(sheet, parents_of(som_map), 0.5)
        draw_outline(sheet, np.rint(2 * matrix.centres).astype(np.int64), 0.5, weight=0.8)
        sheet.colour_bar(scale, "Distance")
        return sheet.figure


@dataclass(frozen=True)
class Matrix:
    """The squares of a U-matrix: ``centres`` (S, 2) in grid units and ``values`` (S,)."""

    centres: NDArray[np.float64]
    values: NDArray[np.float64]


def u_matrix(som_map: SomMap, distances: NDArray[np.float64]) -> Matrix:
    """Return the squares of the U-matrix: neurons first, then links, then corners.

    Parameters
    ----------
    som_map : SomMap
        K neurons with L links.
    distances : float array (K, K)
        Distances between the prototypes.

    Returns
    -------
    Matrix
        A neuron without links has no square of its own.
    """
    positions = som_map.positions.astype(np.float64)
    links = som_map.links()
    lengths = distances[links[:, 0], links[:, 1]]
    between = positions[links].mean(axis=1)
    ends = links.ravel()
    degree = np.bincount(ends, minlength=len(positions))
    total = np.bincount(ends, weights=np.repeat(lengths, 2), minlength=len(positions))
    linked = degree > 0
    at = {tuple(place): length for place, length in zip(between.tolist(), lengths, strict=True)}
    corners: list[tuple[float, float]] = []
    means: list[float] = []
    for x, y in som_map.positions.tolist():
        around = ((x + 0.5, y), (x, y + 0.5), (x + 1.0, y + 0.5), (x + 0.5, y + 1.0))
        if all(place in at for place in around):
            corners.append((x + 0.5, y + 0.5))
            means.append(float(np.mean([at[place] for place in around])))
    return Matrix(
        np.vstack([positions[linked], between, np.reshape(corners, (-1, 2))]),
        np.concatenate([total[linked] / degree[linked], lengths, means]),
    )
