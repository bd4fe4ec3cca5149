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
    polygons,
)
from dbgsom_plugins.figures._colours import INK, scale_of
from dbgsom_plugins.figures._sheet import map_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap

_DOTS = 600  # neurons up to which the cells of neurons are dotted
_DOTTED = "Dots are neurons; the cell between two shows the distance of their prototypes."
_UNDOTTED = "Every second cell is a neuron; between two stands the distance of their prototypes."


class UMatrix(Component):
    """The U-matrix (Ultsch & Siemon 1990): dark ridges are borders between clusters.

    Between two linked neurons stands the distance of their prototypes. A neuron's own cell, a
    dotted one, shows the mean over its links, and so does a corner between four neurons.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure."""
        from matplotlib.collections import PolyCollection

        som_map = view.evaluation.som_map
        matrix = u_matrix(som_map, view.evaluation.prototype_distances)
        values = matrix.values
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        scale = scale_of(low, high, "magma_r")
        dotted = len(som_map) <= _DOTS
        notes = [_DOTTED if dotted else _UNDOTTED, *notes_on_parents(som_map)]
        sheet = map_sheet(view, "U-matrix", notes)
        sheet.axes.add_collection(
            PolyCollection(
                polygons(matrix.centres, 0.5 * sheet.corners),
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
                *som_map.plane_positions.T,
                "o",
                color=INK,
                markersize=size,
                markeredgecolor="white",
                markeredgewidth=size / 5,
                zorder=3,
            )
        mark_parents(sheet, parents_of(som_map), 0.5)
        draw_outline(sheet, matrix.centres, 0.5, weight=0.8)
        sheet.colour_bar(scale, "Distance")
        return sheet.figure


@dataclass(frozen=True)
class Matrix:
    """The cells of a U-matrix: ``centres`` (S, 2) in the plane and ``values`` (S,)."""

    centres: NDArray[np.float64]
    values: NDArray[np.float64]


def u_matrix(som_map: SomMap, distances: NDArray[np.float64]) -> Matrix:
    """Return the cells of the U-matrix: neurons first, then links, then corners.

    Parameters
    ----------
    som_map : SomMap
        K neurons with L links.
    distances : float array (K, K)
        Distances between the prototypes.

    Returns
    -------
    Matrix
        A neuron without links has no cell of its own.
    """
    # In halves of the grid's units cells are whole numbers: even ones are neurons.
    positions, edges, grid = 2 * som_map.positions, som_map.edges(), som_map.grid
    lengths = distances[edges[:, 0], edges[:, 1]]
    between = positions[edges].sum(axis=1) // 2
    ends = edges.ravel()
    degree = np.bincount(ends, minlength=len(positions))
    total = np.bincount(ends, weights=np.repeat(lengths, 2), minlength=len(positions))
    linked = degree > 0
    at = {(x, y): length for (x, y), length in zip(between.tolist(), lengths, strict=True)}
    # All that lies around a corner are links; every corner lies up and right of a neuron.
    corners = [(x + 1, y + 1) for x, y in positions.tolist()]
    corners = [cell for cell in corners if all(place in at for place in grid.beside(cell))]
    means = [float(np.mean([at[place] for place in grid.beside(cell)])) for cell in corners]
    cells = np.vstack([positions[linked], between, np.reshape(corners, (-1, 2))])
    values = np.concatenate([total[linked] / degree[linked], lengths, means])
    return Matrix(grid.plane(cells / 2), values)
