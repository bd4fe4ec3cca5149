"""Hexagonal maps and tori, checked against twins that count columns, rows and images by hand."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy.sparse.csgraph import shortest_path

from dbgsom_core.som_map.grid import HEXAGONAL, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.figures.neuron_values import u_matrix
from dbgsom_plugins.metrics.norms import Euclidean

SHAPES = {"square": [(3, 3), (3, 7)], "hexagonal": [(4, 3), (6, 4)]}
TORI = [(grid, shape) for grid in (SQUARE, HEXAGONAL) for shape in SHAPES[grid.name]]
NAMES = [f"{grid.name} {rows}x{columns}" for grid, (rows, columns) in TORI]
on_tori = pytest.mark.parametrize(("grid", "shape"), TORI, ids=NAMES)


def torus(grid, shape):
    return SomMap.rectangle(*shape, np.zeros((shape[0] * shape[1], 1)), grid.closed(*shape))


def beside(grid, column, row, shape):
    """Columns and rows of the neighbours on a torus, by the pattern of odd and even rows."""
    ways = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    if grid.name == "hexagonal":
        aside = 1 if row % 2 else -1
        ways += [(aside, 1), (aside, -1)]
    return {((column + dx) % shape[1], (row + dy) % shape[0]) for dx, dy in ways}


def walked(grid, shape):
    """Hops (K, K) on a torus, row-major."""
    n_neurons, columns = shape[0] * shape[1], shape[1]
    linked = np.zeros((n_neurons, n_neurons))
    for neuron in range(n_neurons):
        for column, row in beside(grid, neuron % columns, neuron // columns, shape):
            linked[neuron, row * columns + column] = 1
    return shortest_path(linked, unweighted=True)


def places(grid, shape):
    """Where the cells of a rectangle lie, (K, 2) row-major, and how far around it is."""
    rows, columns = shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    hexagonal = grid.name == "hexagonal"
    height = sqrt(3) / 2 if hexagonal else 1.0
    found = np.column_stack([column + 0.5 * hexagonal * (row % 2), height * row])
    return found, np.array([columns, height * rows])


@on_tori
def test_hops_links_and_free_cells_of_a_torus_are_those_of_a_walk(grid, shape):
    som_map = torus(grid, shape)
    np.testing.assert_array_equal(som_map.hops, walked(grid, shape))
    assert (som_map.degrees() == grid.degree).all()
    assert not som_map.boundary().any()
    assert som_map.shape == shape
    columns = shape[1]
    for neuron in range(len(som_map)):
        around = beside(grid, neuron % columns, neuron // columns, shape)
        assert som_map.neighbours(neuron) == sorted(r * columns + c for c, r in around)
        assert som_map.free_cells(neuron) == []
    for (neuron, link), other in np.ndenumerate(som_map.links):
        assert som_map.links[other, grid.opposite[link]] == neuron
        cell, next_cell = (tuple(som_map.positions[one].tolist()) for one in (neuron, other))
        beyond = som_map.neuron_at(som_map.grid.beyond(cell, next_cell))
        assert beyond == som_map.links[other, link]


@on_tori
def test_distances_on_a_torus_are_the_least_over_its_images(grid, shape):
    som_map = torus(grid, shape)
    at, around = places(grid, shape)
    np.testing.assert_allclose(som_map.plane_positions, at, atol=1e-12)
    least = np.full((len(at), len(at)), np.inf)
    for turn in product((-1, 0, 1), repeat=2):
        moved = at[:, None] - at - around * turn
        least = np.minimum(least, (moved**2).sum(axis=-1))
    cells = som_map.positions
    found = som_map.grid.squared_distances(cells[:, None], cells)
    np.testing.assert_allclose(found, least, atol=1e-9)
    np.testing.assert_array_equal(found, np.rint(found))
    np.testing.assert_array_equal(som_map.grid.steps(cells[:, None], cells), som_map.hops)
    if grid is SQUARE:
        apart = np.abs(at[:, None] - at)
        corners = np.minimum(apart, around - apart).max(axis=-1)
        over = som_map.grid.steps(cells[:, None], cells, over_corners=True)
        np.testing.assert_array_equal(over, corners)


@pytest.mark.parametrize(
    ("grid", "shape", "told"),
    [
        (SQUARE, (2, 5), "too small: with fewer than 3 rows or 3 columns"),
        (HEXAGONAL, (2, 5), "too small: with fewer than 4 rows or 3 columns"),
        (HEXAGONAL, (5, 5), "needs an even number of rows, not 5"),
    ],
)
def test_a_torus_that_cannot_be_is_refused(grid, shape, told):
    with pytest.raises(ValueError, match=told):
        grid.closed(*shape)


def test_nothing_is_born_on_a_torus_or_beyond_its_sides():
    som_map = torus(SQUARE, (3, 4))
    for cell in ((4, 0), (0, 3), (-1, -1)):
        with pytest.raises(ValueError, match="the torus ends before"):
            som_map.add([(cell, [0.0], 0)], epoch=1)
    part = SomMap([(0, 0), (3, 0), (3, 2)], np.zeros((3, 1)), som_map.grid)  # linked round the side
    np.testing.assert_array_equal(part.hops, [[0, 1, 2], [1, 0, 1], [2, 1, 0]])
    part.add([((0, 2), [0.0], 0)], epoch=1)
    assert part.neighbours(3) == [0, 2]


@on_tori
def test_the_u_matrix_of_a_torus_shows_links_across_its_sides_at_both(grid, shape, rng):
    som_map = torus(grid, shape)
    W = rng.normal(size=(len(som_map), 2))
    matrix = u_matrix(som_map, Euclidean().pairwise(W, W))
    values = {}
    for turns, value in zip(matrix.centres / places(grid, shape)[1], matrix.values, strict=True):
        home = tuple(np.rint(1e6 * np.mod(np.round(turns, 9), 1.0)).tolist())
        assert values.setdefault(home, value) == pytest.approx(value)
    corners = len(som_map) if grid is SQUARE else 0
    assert len(values) == len(som_map) + len(som_map.edges()) + corners
