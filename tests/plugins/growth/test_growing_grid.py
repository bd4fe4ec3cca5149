"""Growing Grid as Fritzke (1995) describes it."""

import numpy as np
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.api import DataSummary, GrowthState, Insert, SomMap
from dbgsom_core.training.growth import apply_growth
from dbgsom_plugins.growth.classical import GrowingGrid


def state(hits, errors=None, **more):
    hits = np.asarray(hits)
    errors = hits.astype(float) if errors is None else np.asarray(errors, float)
    given = {"threshold": 0.0, "room": None, **more}
    return GrowthState(
        epoch=4, epochs=80, errors=errors, hits=hits, class_counts=None, movement=0.1, **given
    )


def grid_map(rows=2, columns=3):
    x, y = np.tile(np.arange(columns), rows), np.repeat(np.arange(rows), columns)
    return SomMap.rectangle(rows, columns, np.column_stack([x, 10.0 * y]))


def test_a_row_comes_beside_the_most_hit_neuron_towards_the_neighbour_that_differs_most():
    som_map = grid_map()
    assert GrowingGrid().grow(som_map, state([0, 9, 0, 0, 1, 0])) == [Insert(1, 4)]
    som_map.prototypes[0, 0] = -30.0
    wanted = GrowingGrid().grow(som_map, state([0, 9, 0, 0, 1, 0]))
    assert wanted == [Insert(1, 0)]
    grown = apply_growth(som_map, wanted, 4).som_map
    assert grown.shape == (2, 4)
    np.testing.assert_array_equal(grown.prototypes[6:], [[-14.5, 0.0], [0.5, 10.0]])


def test_who_asks_when_and_how_far_it_grows():
    som_map, hits, errors = grid_map(), [5, 0, 0, 0, 0, 4], [1.0, 0, 0, 0, 0, 8.0]
    assert GrowingGrid(by="errors").grow(som_map, state(hits, errors)) == [Insert(5, 2)]
    assert GrowingGrid(every=3).grow(som_map, state(hits)) == ()
    assert GrowingGrid().grow(som_map, state(hits, room=2)) == ()  # half a row would be none
    growth = GrowingGrid(tau_1=0.1)
    threshold = growth.growing_threshold(DataSummary(9.0, 2, deviation=5.0, spread=5.0))
    assert threshold == pytest.approx(4.5)
    assert growth.grow(som_map, state(hits, errors, threshold=4.51)) == ()
    assert growth.grow(som_map, state(hits, errors, threshold=threshold)) != ()


def test_the_map_is_a_rectangle_at_every_time_and_all_links_are_there(digits):
    X = digits[0][:400]
    constant = {"name": "gaussian", "start": 1.0, "end": 1.0}
    sizes = []
    made = SomVQ(
        growth={"name": "growing_grid", "every": 3, "max_neurons": 60},
        kernel=constant,
        epochs=60,
        callbacks=[lambda record: sizes.append((record.neurons, len(record.births)))],
    ).fit(X)
    rows, columns = 2, 2
    for neurons, births in sizes:
        assert births in (0, rows, columns)
        if births:
            columns, rows = (columns + 1, rows) if births == rows else (columns, rows + 1)
        assert neurons == rows * columns
    assert {made.som_map_.shape, made.som_map_.shape[::-1]} == {(rows, columns), (columns, rows)}
    assert 49 <= len(made.weights_) == rows * columns <= 60
    assert made.som_map_.diameter == rows + columns - 2
    assert np.isfinite(made.weights_).all()


def test_a_hierarchy_of_growing_grids_is_a_growing_hierarchical_som(iris):
    base = {"name": "growing_grid", "by": "errors", "tau_1": 0.04, "max_neurons": None}
    growth = {"name": "hierarchical", "base": base, "tau_2": 0.02}
    made = SomVQ(growth=growth, epochs=25).fit(iris[0])
    assert made.som_map_.children
    for som_map in (made.som_map_, *made.som_map_.children.values()):
        assert np.prod(som_map.shape) == len(som_map)
