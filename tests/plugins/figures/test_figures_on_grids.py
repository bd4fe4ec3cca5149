"""Figures of maps of hexagons and of tori, and what stays inside of a cell."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures.cell_pictures import PrototypeImages, mosaic
from dbgsom_plugins.figures.child_maps import ChildMaps
from dbgsom_plugins.figures.label_map import LabelMap
from dbgsom_plugins.figures.neuron_values import DensityMap, ErrorMap, HitMap
from dbgsom_plugins.figures.u_matrix import UMatrix
from dbgsom_plugins.metrics.norms import Euclidean

MAPS = [LabelMap, HitMap, UMatrix, ErrorMap, DensityMap, PrototypeImages]


def view_of(som_map):
    X = np.repeat(som_map.prototypes, 2, axis=0)
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
    labels = np.arange(len(som_map)) % 3
    return MapView(evaluation, labels, (), "vq", None, {}, title="t", image_shape=(1, 3))


def outlines(figure):
    return [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]


@pytest.mark.parametrize("kind", [LabelMap, HitMap, UMatrix, ErrorMap, DensityMap])
def test_a_line_is_a_row_of_squares_that_can_be_told_apart(kind, drawn):
    row = SomMap.rectangle(1, 24, np.random.default_rng(0).normal(size=(24, 1)), LINE)
    figure = drawn(kind().draw(view_of(row)))
    figure.canvas.draw()
    (line,) = outlines(figure)
    ends = np.concatenate(line.get_segments())
    (left, low), (right, high) = figure.axes[0].transData.transform([ends.min(0), ends.max(0)])
    assert right - left > 20 * 24  # pixels
    across = np.ptp(ends, axis=0)
    assert (right - left) / (high - low) == pytest.approx(across[0] / across[1])


@pytest.mark.parametrize("kind", [*MAPS, ChildMaps])
@pytest.mark.parametrize("flat", [SQUARE, HEXAGONAL], ids=lambda grid: grid.name)
def test_joined_sides_of_a_torus_are_dashed_and_told(kind, flat, told, drawn):
    prototypes = np.random.default_rng(0).normal(size=(24, 3))
    for grid in (flat, flat.closed(4, 6)):
        figure = drawn(kind().draw(view_of(SomMap.rectangle(4, 6, prototypes, grid))))
        joined = [text for text in told(figure) if text.startswith("A torus: dashed sides")]
        assert len(joined) == (grid.torus is not None)
        (line,) = outlines(figure)
        assert (line.get_linestyle()[0][1] is not None) == (grid.torus is not None)


def inside(points, corners):
    """Which points (n, 2) lie in a convex polygon whose corners go against the clock."""
    to, away = np.roll(corners, -1, axis=0) - corners, points[:, None] - corners
    return (to[:, 0] * away[..., 1] - to[:, 1] * away[..., 0] > 0).all(axis=1)


@pytest.mark.parametrize("grid", [SQUARE, HEXAGONAL], ids=lambda grid: grid.name)
def test_marks_and_images_stay_inside_of_their_cells(grid, drawn):
    som_map = SomMap.rectangle(3, 4, np.random.default_rng(0).normal(size=(12, 9)), grid)
    som_map.children[5] = SomMap.rectangle(2, 2, np.zeros((4, 9)), grid)
    view = replace(view_of(som_map), image_shape=(3, 3))
    figure = drawn(HitMap().draw(view))
    marks = [one for one in figure.axes[0].collections if isinstance(one, PolyCollection)][-1]
    (place,) = som_map.plane_positions[[5]]
    for path in marks.get_paths():
        assert inside(path.vertices[:4] - place, np.array(grid.corners)).all()
    canvas = mosaic(som_map, (3, 3), som_map.prototypes)
    (image,) = PrototypeImages().draw(view).axes[0].images
    left, right, bottom, top = image.get_extent()
    row, column = np.nonzero(~np.isnan(canvas))
    x = left + (right - left) * (column + 0.5) / canvas.shape[1]
    y = top - (top - bottom) * (row + 0.5) / canvas.shape[0]
    points = np.column_stack([x, y])
    shown = sum(
        inside(points - place, np.array(grid.corners)).sum() for place in som_map.plane_positions
    )
    assert shown == len(points) == 12 * 9
