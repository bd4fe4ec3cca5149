"""What neurons and their links measure, as colours: hits, densities, distances, trust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import FigureComponent
from dbgsom_plugins.figures._drawing import (
    beyond_note,
    cell_centres,
    fold_points,
    map_of_cells,
    map_of_values,
    map_sheet,
    notes_on_map,
    polygons,
)
from dbgsom_plugins.figures._style import EMPTY, INK, PAPER, rgb_of, scale_of, scale_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap, Stability


class HitMap(FigureComponent):
    """How many training samples each neuron won, as a colour and, where it fits, as a number."""

    def draw(self, view: MapView) -> Figure:
        hits = view.evaluation.hits.astype(np.float64)
        return map_of_values(view, "Hit map", hits, "Samples", low=0.0)


class DensityMap(FigureComponent):
    """Hits of each neuron over the mean distance of its prototype to the linked ones.

    Many samples among near prototypes are a cluster; few among far ones lie between clusters.
    As `densities_` of the estimators, but 0 for a neuron without links, and the largest of the
    others where prototypes lie on top of each other.
    """

    def draw(self, view: MapView) -> Figure:
        evaluation = view.evaluation
        if len(evaluation.som_map) < 2:
            raise ValueError("density_map divides by distances between neurons, and there is one")
        distances = evaluation.som_map.mean_over_links(evaluation.prototype_distances)
        # Prototypes on top of each other have no density: they get the largest of the others.
        density = np.zeros(len(distances))
        np.divide(evaluation.hits, distances, out=density, where=distances > 0)
        is_linked = evaluation.som_map.degrees() > 0
        density[(distances == 0) & is_linked] = density.max(initial=0.0)
        notes = ["Samples of a neuron per mean distance of its prototype to the linked ones."]
        return map_of_values(
            view, "Density map", density, "Samples / distance", low=0.0, notes=notes
        )


_DOTS = 600  # neurons up to which their cells are dotted: more dots hide the colours
_DOTTED = "Dots are neurons; the cell between two shows the distance of their prototypes."
_UNDOTTED = "Every second cell is a neuron; between two stands the distance of their prototypes."


class UMatrix(FigureComponent):
    """The U-matrix (Ultsch & Siemon 1990): dark ridges are borders between clusters.

    Between two linked neurons stands the distance of their prototypes. A neuron's own cell, a
    dotted one, shows the mean over its links, and so does a corner between four neurons.
    """

    def draw(self, view: MapView) -> Figure:
        som_map = view.evaluation.som_map
        if len(som_map) < 2:
            raise ValueError("u_matrix shows distances between neurons, and there is one")
        matrix = u_matrix(som_map, view.evaluation.prototype_distances)
        centres = cell_centres(som_map)
        cells = fold_points(som_map, matrix.centres)
        values = matrix.values
        if not len(values):
            values = np.array([0.0, 1.0])
        scale = scale_over(values, "magma_r")
        is_dotted = len(som_map) <= _DOTS
        notes = [_DOTTED] if is_dotted else [_UNDOTTED]
        notes += beyond_note(scale) + notes_on_map(som_map)
        # Links across the sides of a torus and at the ends of a folded row stand beyond cells.
        sheet = map_sheet(view, "U-matrix", notes, centres=np.vstack([cells, centres]))
        shapes = polygons(cells, 0.5 * sheet.corners)
        colours = scale.to_rgba(matrix.values)
        sheet.fill(shapes, facecolors=colours, edgecolors="face", linewidths=0.2, zorder=1)
        if is_dotted:
            size = float(np.clip(0.07 * sheet.cell, 1.2, 4.5))
            look: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": size / 5}
            sheet.axes.plot(*centres.T, "o", color=INK, markersize=size, zorder=3, **look)
        sheet.mark_parents(centres[sorted(som_map.children)], 0.5)
        sheet.draw_outline(cells, 0.5)
        sheet.page.colour_bar(scale, "Distance")
        return sheet.page.figure


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
        rows, columns = grid.torus
        half = replace(grid, torus=(2 * rows, 2 * columns))
    neurons, ways = np.nonzero(links >= 0)
    others = links[neurons, ways]
    lengths = distances[neurons, others]
    degrees = np.bincount(neurons, minlength=len(positions))
    is_linked = degrees > 0
    means = np.bincount(neurons, lengths, len(positions))[is_linked] / degrees[is_linked]
    middles = positions[neurons] + np.array(grid.offsets)[ways]
    # A link is read at both ends, and drawn once; across the sides of a torus it has two middles.
    is_across = (positions[others] != 2 * middles - positions[neurons]).any(axis=1)
    order = np.lexsort((others, neurons))
    order = order[((neurons < others) | is_across)[order]]
    middles, lengths = middles[order], lengths[order]
    length_at = {}
    for (x, y), length in zip(middles.tolist(), lengths, strict=True):
        length_at[half.home((x, y))] = length
    # All that lies around a corner are links; every corner lies up and right of a neuron, on a
    # torus of one beyond its sides, perhaps.
    corners = _cells_beside(positions, ((1, 1),) if grid.torus is None else grid.diagonals)
    around = []
    for corner in corners:
        around.append([length_at.get(cell, np.nan) for cell in half.beside(corner)])
    corner_means = np.reshape(around, (-1, grid.degree)).mean(axis=1)
    is_whole = np.isfinite(corner_means)
    cells = np.vstack([positions[is_linked], middles, np.reshape(corners, (-1, 2))[is_whole]])
    values = np.concatenate([means, lengths, corner_means[is_whole]])
    return Matrix(grid.plane(cells / 2), values)


def _cells_beside(
    cells: NDArray[np.int64], ways: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    # The cells that these ways lead to, each once.
    beside: dict[tuple[int, int], None] = {}
    for x, y in cells.tolist():
        for dx, dy in ways:
            beside[x + dx, y + dy] = None
    return list(beside)


_UNSURE = "#cc3311"
_BAR = (0.3, 0.7)  # where a bar begins and ends on the way from one neuron to the other
_WIDEST = 0.3  # of a cell, so that its number can be read beside bars
_LINKS = (
    "Bars are links: the wider, the more often two samples on their ends stay neighbours in a map "
    "of other samples; red: hardly more often than any two ({chance:.0%})."
)
_CELLS = "A cell's colour is how often such a map gives its samples the same answer."
_NUMBERS = "Answers are numbers: cells have no colour."


class TrustMap(FigureComponent):
    """What stays when the map is fitted again to parts of its samples, see ``stability``.

    Cells show how often the samples of a neuron get the same answer, bars how often two samples
    that meet across a link stay neighbours.
    """

    def draw(self, view: MapView) -> Figure:
        from matplotlib.collections import LineCollection

        stability = view.stability
        if stability is None:
            raise ValueError(
                "nobody asked how sure the map is: say stability: {resamples: 20} in a run, and "
                "give stability=model.stability(X) in Python"
            )
        notes, texts = [_LINKS.format(chance=stability.chance)], []
        scale = scale_of(0.0, 1.0, "YlGnBu_r")
        colours = np.tile(rgb_of(PAPER), (len(view.evaluation.som_map), 1))
        if stability.agreements is None:
            notes.append(_NUMBERS)
        else:
            is_known = np.isfinite(stability.agreements)
            colours[is_known] = scale.to_rgba(stability.agreements[is_known])[:, :3]
            colours[~is_known] = rgb_of(EMPTY)
            notes.append(_CELLS)
            for share in stability.agreements:
                texts.append("" if np.isnan(share) else f"{100 * share:.0f}")
        sheet = map_of_cells(view, "Trust map", colours, texts, notes)
        segments, widths, is_unsure = bars(cell_centres(view.evaluation.som_map), stability)
        points = np.maximum(_WIDEST * widths, 0.03) * sheet.cell
        inks = np.where(is_unsure, _UNSURE, INK)
        for shades, rim in ((PAPER, 0.05 * sheet.cell), (inks, 0.0)):
            look: dict[str, Any] = {"colors": shades, "linewidths": points + rim, "zorder": 3.2}
            lines = LineCollection(list(segments), capstyle="butt", **look)
            sheet.axes.add_collection(lines, autolim=False)
        if stability.agreements is not None:
            sheet.page.colour_bar(scale, "Same answer")
        return sheet.page.figure


def bars(
    centres: NDArray[np.floating], stability: Stability
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the ends (S, 2, 2) of the bars of links, their widths 0 … 1, and which are unsure.

    Links that nobody can tell of, and those between opposite sides of a torus, have none.
    """
    ends = centres[stability.links]
    lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    is_drawn = np.isfinite(stability.link_shares) & (lengths < 1.5)
    ends, shares = ends[is_drawn], stability.link_shares[is_drawn]
    chance = stability.chance
    widths = np.clip((shares - chance) / max(1 - chance, 1e-9), 0.0, 1.0)
    first, second = ends[:, :1], ends[:, 1:]
    steps = np.array(_BAR)[None, :, None]
    return first + steps * (second - first), widths, widths < 0.1
