"""Hexagonal maps and tori through the estimators: parameters, files, going on."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from dbgsom_core import SomClassifier, persistence
from dbgsom_core.som_map.tree import Tree

TORUS = {"name": "fixed", "rows": 4, "columns": 5, "wrap": True}
GROWTH = {
    "directed": {"name": "directed", "spreading_factor": 0.3},
    "gsom": {"name": "gsom", "max_neurons": 20},
    "torus": TORUS,
    "hierarchical": {"name": "hierarchical", "base": {**TORUS, "columns": 3}},
}


@pytest.mark.parametrize("growth", GROWTH.values(), ids=GROWTH)
@pytest.mark.parametrize("grid", ["square", "hexagonal"])
def test_every_strategy_trains_and_its_maps_come_back_from_files(grid, growth, iris, tmp_path):
    X, y = iris
    som = SomClassifier(grid=grid, growth=growth, epochs=8).fit(X, y)
    maps = Tree.of(som.som_map_).maps
    assert (len(maps) > 1) == (growth["name"] == "hierarchical")
    assert {som_map.grid.name for som_map in maps} == {grid}
    assert som.score(X, y) > 0.85
    som.save(tmp_path / "m.npz")
    for again in (persistence.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(som))):
        for som_map, other in zip(maps, Tree.of(again.som_map_).maps, strict=True):
            assert som_map.grid == other.grid
            np.testing.assert_array_equal(som_map.positions, other.positions)
            np.testing.assert_array_equal(som_map.hops, other.hops)
        np.testing.assert_array_equal(som.predict_proba(X), again.predict_proba(X))
    assert clone(som).grid == grid
