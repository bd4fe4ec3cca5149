"""Growth rules know links and no directions: on any grid maps grow and stay in one piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth.classical import Gsom
from dbgsom_plugins.growth.directed import Directed

STRATEGIES = [
    Directed(when="every_epoch"),
    Directed(when="every_epoch", notches=None),
    Directed(reference=True),
    Gsom(when="every_epoch"),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: type(one).__name__)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(2, 2), (1, 2), (2, 5), (4, 4)]),
    epochs=st.integers(4, 12),
)
def test_maps_grow_by_free_cells_and_stay_in_one_piece(
    state_of, grid, strategy, seed, shape, epochs
):
    rng = np.random.default_rng(seed)
    n = shape[0] * shape[1]
    som_map = SomMap.rectangle(*shape, rng.normal(size=(n, 3)), grid)
    for epoch in range(epochs):
        births = strategy.grow(som_map, state_of(1.5 * rng.random(len(som_map))))
        for birth in births:
            assert som_map.neuron_at(birth.position) is None
            assert birth.position in som_map.free_cells(birth.parent)
            assert np.isfinite(birth.prototype).all()
        som_map.add(births, epoch)  # refuses a cell twice, and one that is not linked
    assert len(som_map) > n
    assert som_map.hops.max() < len(som_map)


def test_the_newborn_lies_nearest_to_the_largest_neighbour(state_of, hexagonal):
    """Of six cells around, those that touch both are nearest; opposite ones farthest."""
    cells = [(0, 0), (1, 0), (2, 0)]  # a row: the middle one has four free cells
    som_map = SomMap(cells, np.array([[0.0], [1.0], [3.0]]), hexagonal)
    (birth,) = Directed(when="every_epoch", notches=None).grow(som_map, state_of([0.2, 1.0, 0.9]))
    assert birth.parent == 1
    assert birth.position == (1, 1)  # beside (2, 0), too, and the first link of two
    assert birth.prototype == [2 * 1.0 - 0.0]  # none lies opposite: away from the least error


def test_a_notch_has_neurons_at_half_of_its_links(state_of, grid):
    around = grid.beside((0, 0))
    half = grid.degree // 2
    for near in (half - 1, half):
        parts = around[:near] if grid.degree == 6 else [around[0], around[2]][:near]
        som_map = SomMap(parts, np.ones((len(parts), 1)), grid)
        errors = np.full(len(parts), 10.0)
        found = [
            birth.position
            for birth in Directed(when="every_epoch").grow(
                som_map, state_of(errors, threshold=11.0)
            )
        ]
        assert ((0, 0) in found) == (near == half)
