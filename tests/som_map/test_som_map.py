"""SomMap: hops are graph distances, positions are distinct, rows fit together."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.som_map.grid import HEXAGONAL, SQUARE
from dbgsom_core.som_map.som_map import SomMap


def beside(cell):
    """The cells to the north, south, east and west."""
    x, y = cell
    return (x, y + 1), (x, y - 1), (x + 1, y), (x - 1, y)


def hops_by_search(positions, beside=beside):
    cells = {tuple(cell): row for row, cell in enumerate(positions)}
    hops = np.full((len(cells), len(cells)), np.iinfo(np.uint16).max)
    for start, row in cells.items():
        hops[row, row] = 0
        queue = deque([start])
        while queue:
            cell = queue.popleft()
            for other in beside(cell):
                if other in cells and hops[row, cells[other]] == np.iinfo(np.uint16).max:
                    hops[row, cells[other]] = hops[row, cells[cell]] + 1
                    queue.append(other)
    return hops


@st.composite
def growing_maps(draw):
    """A 2×2 map and births at random free cells, ring-like shapes among them."""
    som_map = SomMap.rectangle(2, 2, np.zeros((4, 1)))
    for epoch in range(1, draw(st.integers(1, 40))):
        free = sorted({c for n in range(len(som_map)) for c in som_map.free_cells(n)})
        cell = draw(st.sampled_from(free))
        parent = next(
            som_map.neuron_at(c) for c in beside(cell) if som_map.neuron_at(c) is not None
        )
        som_map.add([(cell, [float(epoch)], parent)], epoch)
    return som_map


@given(growing_maps())
def test_rows_of_every_array_are_neurons_in_order_of_birth(som_map):
    n_neurons = len(som_map)
    assert len(set(map(tuple, som_map.positions.tolist()))) == n_neurons
    assert som_map.prototypes.shape == (n_neurons, 1)
    assert som_map.parents.shape == som_map.birth_epochs.shape == (n_neurons,)
    assert (np.diff(som_map.birth_epochs) >= 0).all()
    for row, position in enumerate(som_map.positions.tolist()):
        assert som_map.neuron_at(tuple(position)) == row
    degrees = [len(som_map.neighbours(row)) for row in range(n_neurons)]
    np.testing.assert_array_equal(som_map.degrees(), degrees)
    assert all(len(som_map.free_cells(row)) == 4 - degrees[row] for row in range(n_neurons))
    assert len(som_map.edges()) * 2 == sum(degrees)


def test_a_ring_that_closes_shortens_the_way_around_it():
    ring = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2)]
    som_map = SomMap(ring, np.zeros((7, 1)))
    assert som_map.hops[0, 6] == 6
    som_map.add([((0, 1), [0.0], 0)], epoch=1)
    assert som_map.hops[0, 6] == 2
    np.testing.assert_array_equal(som_map.hops, hops_by_search([*ring, (0, 1)]))


def test_a_rectangle_is_row_major_with_x_as_the_column():
    som_map = SomMap.rectangle(2, 3, np.zeros((6, 1)))
    assert som_map.positions.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    assert som_map.shape == (2, 3)
    assert som_map.diameter == 3


@pytest.mark.parametrize(
    ("birth", "reason"),
    [
        (((0, 0), [0.0], 0), "taken"),
        (((5, 5), [0.0], 0), "beside"),
        (((2, 0), [0.0, 1.0], 0), "shape"),
        (((2, 0), [0.0], 9), "parent"),
    ],
)
def test_an_impossible_birth_is_refused_and_changes_nothing(birth, reason):
    som_map = SomMap.rectangle(2, 2, np.zeros((4, 1)))
    with pytest.raises(ValueError, match=reason):
        som_map.add([((-1, 0), [0.0], 0), birth], epoch=1)
    assert len(som_map) == 4
    assert som_map.prototypes.shape == (4, 1)


def test_two_neurons_cannot_start_in_one_cell():
    with pytest.raises(ValueError, match="share the cell"):
        SomMap([(0, 0), (0, 0)], np.zeros((2, 1)))


def test_a_restored_map_remembers_its_births():
    som_map = SomMap.rectangle(2, 2, np.zeros((4, 1)))
    som_map.add([((2, 0), [1.0], 1)], epoch=7)
    again = SomMap.restored(
        som_map.positions, som_map.prototypes, som_map.parents, som_map.birth_epochs
    )
    np.testing.assert_array_equal(again.hops, som_map.hops)
    assert again.parents.tolist() == [-1, -1, -1, -1, 1]
    assert again.birth_epochs.tolist() == [0, 0, 0, 0, 7]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, unique=True),
    st.sampled_from([SQUARE, HEXAGONAL]),
    st.booleans(),
)
def test_links_are_those_of_the_cells_beside_each(cells, grid, is_spread):
    if is_spread:  # too far apart for a table of all cells between them
        cells = [*cells, (2000, -2000), (2001, -2000)]
    som_map = SomMap(cells, np.zeros((len(cells), 1)), grid)
    number = {cell: i for i, cell in enumerate(cells)}
    expected = [[number.get(cell, -1) for cell in grid.beside(one)] for one in cells]
    np.testing.assert_array_equal(som_map.links, expected)
    assert [som_map.neuron_at(cell) for cell in cells] == list(range(len(cells)))
    with pytest.raises(ValueError, match="two neurons share the cell"):
        SomMap([*cells, cells[0]], np.zeros((len(cells) + 1, 1)), grid)
