"""A grid is links, cells in the plane and nothing else: maps work on one of any degree."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path

from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.figures._drawing import outline

FAR = np.iinfo(np.uint16).max
# Written out once more, for the twins: what is linked, and what touches.
LINKED = {
    4: [(0, 1), (0, -1), (1, 0), (-1, 0)],
    6: [(1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1)],
}
TOUCHING = {4: [*LINKED[4], (1, 1), (1, -1), (-1, 1), (-1, -1)], 6: LINKED[6]}


def walked(cells, offsets):
    """Steps between cells (K, K)."""
    ways = np.array(cells)[None] - np.array(cells)[:, None]
    linked = (ways[:, :, None] == offsets).all(axis=3).any(axis=2)
    return np.minimum(shortest_path(linked, unweighted=True), FAR)


@st.composite
def growing_maps(draw, grid, births=25):
    """Maps of any shape, grown cell by cell."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.sampled_from([(1, 1), (2, 2), (3, 4)]))
    som_map = SomMap.rectangle(rows, columns, rng.normal(size=(rows * columns, 2)), grid)
    for epoch in range(draw(st.integers(0, births))):
        boundary = np.flatnonzero(som_map.boundary())
        parent = int(boundary[rng.integers(len(boundary))])
        free = som_map.free_cells(parent)
        som_map.add([(free[rng.integers(len(free))], rng.normal(size=2), parent)], epoch)
    return som_map


@given(st.data())
def test_links_hops_and_free_cells_are_those_of_the_cells(grid, data):
    som_map = data.draw(growing_maps(grid))
    cells = [(x, y) for x, y in som_map.positions.tolist()]
    offsets = LINKED[grid.degree]
    np.testing.assert_array_equal(som_map.hops, walked(cells, offsets))
    links, row = som_map.links, {cell: k for k, cell in enumerate(cells)}
    assert links.shape == (len(cells), len(offsets))
    for k, (x, y) in enumerate(cells):
        around = [(x + dx, y + dy) for dx, dy in offsets]
        assert links[k].tolist() == [row.get(cell, -1) for cell in around]
        assert som_map.free_cells(k) == [cell for cell in around if cell not in row]
        assert som_map.neighbours(k) == sorted(row[cell] for cell in around if cell in row)
        for link, other in enumerate(links[k].tolist()):  # it leads back the other way
            assert other < 0 or links[other, grid.opposite[link]] == k
    np.testing.assert_array_equal(som_map.boundary(), som_map.degrees() < len(offsets))
    np.testing.assert_array_equal(som_map.edges(), np.argwhere(np.triu(som_map.hops == 1)))


@pytest.mark.parametrize("over_corners", [False, True])
def test_steps_where_no_cell_is_missing_are_those_of_a_walk(grid, over_corners):
    cells = list(product(range(-3, 4), range(-3, 4)))
    offsets = (TOUCHING if over_corners else LINKED)[grid.degree]
    places = np.array(cells)
    steps = grid.steps(places[:, None], places, over_corners=over_corners)
    np.testing.assert_array_equal(steps, walked(cells, offsets))


def test_cells_tile_the_plane_so_that_linked_ones_share_a_side(grid):
    corners = np.array(grid.corners)
    alone = outline(grid.plane(np.zeros((1, 2))), corners)
    assert len(alone) == grid.degree
    for offset in grid.offsets:
        pair = outline(grid.plane(np.array([(0, 0), offset])), corners)
        assert len(pair) == 2 * grid.degree - 2
    (x, y), (later_x, later_y) = corners.T, np.roll(corners, -1, axis=0).T
    assert np.sum(x * later_y - y * later_x) / 2 == pytest.approx(abs(np.linalg.det(grid.axes)))
