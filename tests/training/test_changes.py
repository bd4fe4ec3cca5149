"""Maps that lose neurons, or get whole rows and columns, stay right in all that follows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs

from dbgsom_core import SomVQ, presets
from dbgsom_core.api import Birth, Death, GrowthComponent, Insert, SomMap
from dbgsom_core.errors import ComponentError
from dbgsom_core.persistence import load
from dbgsom_core.som_map.grid import GRIDS
from dbgsom_core.som_map.som_map import changed_map
from dbgsom_core.training.growth import apply_growth


def numbered(rows, columns, grid=GRIDS["square"]):
    """A full map whose prototypes are the cells in the plane."""
    cells = grid.rectangle(rows, columns)
    return SomMap(cells, grid.plane(cells), grid)


def assert_as_if_made_so(som_map):
    """What was changed step by step is what a new map of the same neurons is."""
    fresh = SomMap(som_map.positions, som_map.prototypes, som_map.grid)
    for name in ("hops", "links"):
        np.testing.assert_array_equal(getattr(som_map, name), getattr(fresh, name))
    assert som_map.is_apart == fresh.is_apart == (som_map.parts().max() > 0)
    assert (som_map.parents < np.arange(len(som_map))).all()
    for row, (x, y) in enumerate(som_map.positions.tolist()):
        assert som_map.neuron_at((x, y)) == row


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@given(data=st.data())
def test_whatever_changes_the_map_is_one_that_could_have_been_made_so(grid, data):
    som_map = numbered(3, 4, grid)
    for epoch in range(1, 4):
        row = st.integers(0, len(som_map) - 1)
        neuron = data.draw(row)
        kind = data.draw(st.sampled_from(["death", "insert", "birth"]))
        if kind == "death":
            dead = data.draw(st.sets(row, max_size=len(som_map) - 1))
            changes = [Death(one) for one in dead]
        elif kind == "birth":
            cells = [cell for row in range(len(som_map)) for cell in som_map.free_cells(row)]
            changes = [Birth(data.draw(st.sampled_from(cells)), np.zeros(2), neuron)]
        else:
            steps = np.abs(som_map.positions - som_map.positions[neuron]).sum(axis=1)
            along = [other for other in som_map.neighbours(neuron) if steps[other] == 1]
            changes = [Insert(neuron, data.draw(st.sampled_from(along)))] if along else []
        before = som_map.prototypes.copy()
        grown = apply_growth(som_map, changes, epoch, may_disconnect=True)
        som_map, stays = grown.som_map, grown.rows >= 0
        np.testing.assert_array_equal(som_map.prototypes[stays], before[grown.rows[stays]])
        assert len(grown.births) == (~stays).sum()
        assert_as_if_made_so(som_map)


def test_a_column_comes_between_and_takes_the_means(grid):
    som_map = numbered(2, 3, grid)
    changed, _, newborn = changed_map(som_map, [Insert(2, 1)])
    changed.add(newborn, 5)
    means = (som_map.prototypes[[2, 5]] + som_map.prototypes[[1, 4]]) / 2
    np.testing.assert_allclose(changed.prototypes[6:], means)
    assert changed.parents.tolist() == [-1] * 6 + [2, 5]
    # Neurons of a row are linked with the next one, and the newborn lie between.
    assert changed.hops[2, 1] == changed.hops[5, 4] == 2
    assert changed.hops[6, 2] == changed.hops[6, 1] == changed.hops[6, 7] == 1


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ([Death(9)], "not among the 6 of the map"),
        ([Death(1), Death(1)], "dies twice"),
        ([Death(row) for row in range(6)], "every neuron dies"),
        ([Insert(0, 5)], "not linked along one"),
        ([Insert(0, 1), Death(0)], "the only one"),
        ([Death(1), Death(4)], "disconnect the map"),
        ([Death(1), Birth((0, 2), [0.0, 0.0], 1)], "no living parent"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_the_map_as_it_was(wanted, told):
    som_map = numbered(2, 3)
    with pytest.raises(ValueError, match=told):
        apply_growth(som_map, wanted, 3)
    assert_as_if_made_so(som_map)
    assert len(som_map) == 6


def test_a_row_for_which_there_is_no_room_is_none_at_all():
    grown = apply_growth(numbered(2, 3), [Insert(0, 3)], 3, room=2)
    assert (len(grown.som_map), grown.is_cut, grown.changes) == (6, True, ())
    grown = apply_growth(numbered(2, 3), [Death(0), Birth((0, 0), [0.0, 0.0], 1)], 3, room=0)
    assert (len(grown.som_map), grown.is_cut) == (6, False)


class Steps(GrowthComponent):
    """Does what it is told in each epoch."""

    steps: dict[int, list] = Field(default_factory=dict)

    def grow(self, som_map, state):
        return self.steps.get(state.epoch, [])


def test_a_strategy_that_may_not_take_the_map_apart_is_named(iris):
    fit = SomVQ(grid="square", growth=Steps(steps={3: [Death(0), Death(3)]}), epochs=8, tol=0).fit
    with pytest.raises(ComponentError, match="growth Steps: the deaths disconnect"):
        fit(iris[0])


BEFORE = presets.square()
METRIC = {"metric": {"name": "minkowski", "p": 3}}


@pytest.mark.parametrize("params", [{}, METRIC, {"engine": "dask"}], ids=str)
def test_pruning_splits_a_map_into_its_clusters(params, tmp_path):
    """As Fritzke (1994) shows; engine, fine-tuning, history and file are those of such a map."""
    X, _ = make_blobs(600, n_features=5, centers=6, center_box=(-20, 20), random_state=1)
    growth = {"name": "directed", "prune": 2, "may_disconnect": True, "spreading_factor": 0.9}
    params = {**BEFORE, "epochs": 30, "tol": 0, "random_state": 0, **params}
    som = SomVQ(growth=growth, **params).fit(X)
    assert som.som_map_.parts().max() + 1 == 6
    deaths = [len(record.changes) for record in som.history_]
    assert np.flatnonzero(deaths).tolist() == [22]  # the last epoch in which neurons are born
    assert len(som.weights_) == 4 + len(som.growth_events_) - sum(deaths)
    power = 3 if "metric" in params else 2
    distances = cdist(X, som.weights_, "minkowski", p=power)
    np.testing.assert_array_equal(distances.argmin(axis=1), som.bmu(X))
    som.save(tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert_as_if_made_so(again.som_map_)
    assert again.history_ == som.history_
    whole = SomVQ(growth={**growth, "may_disconnect": False}, **params).fit(X)
    assert whole.som_map_.parts().max() == 0
