"""Distances between neighbouring prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._colours import INK, scale_of
from dbgsom_plugins.figures._drawing import (
    cell_centres,
    draw_outline,
    fill,
    fold_note,
    fold_points,
    is_torus,
    map_sheet,
    mark_parents,
    notes_on_map,
    parents_of,
    polygons,
)

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
        som_map = view.evaluation.som_map
        if len(som_map) < 2:
            raise ValueError("u_matrix shows distances between neurons, and there is one")
        matrix = u_matrix(som_map, view.evaluation.prototype_distances)
        cells = fold_points(som_map, matrix.centres)
        values = matrix.values
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        scale = scale_of(low, high, "magma_r")
        dotted = len(som_map) <= _DOTS
        notes = [_DOTTED if dotted else _UNDOTTED, *notes_on_map(som_map)]
        joined = is_torus(som_map)
        beyond = joined or bool(fold_note(som_map))  # links stand beyond the sides
        sheet = map_sheet(view, "U-matrix", notes, centres=cells if beyond else None)
        shapes, colours = polygons(cells, 0.5 * sheet.corners), scale.to_rgba(values)
        fill(sheet, shapes, facecolors=colours, edgecolors="face", linewidths=0.2, zorder=1)
        if dotted:
            size = float(np.clip(0.07 * sheet.cell, 1.2, 4.5))
            sheet.axes.plot(
                *cell_centres(som_map).T,
                "o",
                color=INK,
                markersize=size,
                markeredgecolor="white",
                markeredgewidth=size / 5,
                zorder=3,
            )
        mark_parents(sheet, parents_of(som_map), 0.5)
        draw_outline(sheet, cells, 0.5, weight=0.8, joined=joined)
        sheet.page.colour_bar(scale, "Distance")
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
        A neuron without links has no cell of its own. A link across the joined sides of a torus
        stands at both, and so does a corner.
    """
    # In halves of the grid's units cells are whole numbers: even ones are neurons.
    grid, links, positions = som_map.grid, som_map.links, 2 * som_map.positions
    half = grid
    if grid.torus is not None:
        half = replace(grid, torus=(2 * grid.torus[0], 2 * grid.torus[1]))
    rows, ways = np.nonzero(links >= 0)
    others = links[rows, ways]
    between = positions[rows] + np.array(grid.offsets)[ways]
    across = (positions[others] != 2 * between - positions[rows]).any(axis=1)
    order = np.lexsort((others, rows))
    order = order[((rows < others) | across)[order]]
    between, lengths = between[order], distances[rows, others][order]
    total = np.bincount(rows, distances[rows, others], len(positions))
    degree = np.bincount(rows, minlength=len(positions))
    linked = degree > 0
    at = {
        half.home((x, y)): length for (x, y), length in zip(between.tolist(), lengths, strict=True)
    }
    # All that lies around a corner are links; every corner lies up and right of a neuron, on a
    # torus of one beyond its sides, perhaps.
    corners = _cells_beside(positions, ((1, 1),) if grid.torus is None else grid.diagonals)
    around = [[at.get(place, np.nan) for place in half.beside(cell)] for cell in corners]
    means = np.reshape(around, (-1, grid.degree)).mean(axis=1)
    whole = np.isfinite(means)
    cells = np.vstack([positions[linked], between, np.reshape(corners, (-1, 2))[whole]])
    values = np.concatenate([total[linked] / degree[linked], lengths, means[whole]])
    return Matrix(grid.plane(cells / 2), values)


def _cells_beside(
    cells: NDArray[np.int64], ways: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    # The cells that these ways lead to, each once.
    return list(dict.fromkeys((x + dx, y + dy) for x, y in cells.tolist() for dx, dy in ways))
