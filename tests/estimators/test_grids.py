"""Hexagonal maps, tori and lines through the estimators: parameters, files, going on."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from dbgsom_core import SomClassifier, persistence
from dbgsom_core.som_map.tree import Tree

TORUS = {"name": "fixed", "rows": 4, "columns": 5, "wrap": True}


@pytest.mark.parametrize(
    ("grid", "growth"),
    [
        ("square", "directed"),
        ("square", TORUS),
        ("hexagonal", "gsom"),
        ("hexagonal", TORUS),
        ("hexagonal", {"name": "hierarchical", "base": {**TORUS, "columns": 3}}),
        ("line", "directed"),
        ("line", "growing_grid"),
        ("line", {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 4}}),
    ],
    ids=str,
)
def test_maps_of_every_grid_come_back_from_files_and_go_on(grid, growth, iris, tmp_path):
    X, y = iris
    if grid == "line":
        X = X[:, [2]]
    som = SomClassifier(grid=grid, growth=growth, epochs=8).fit(X, y)
    maps = Tree.of(som.som_map_).maps
    assert (len(maps) > 1) == ("hierarchical" in str(growth))
    assert {som_map.grid.name for som_map in maps} == {grid}
    assert som.score(X, y) > 0.85
    som.save(tmp_path / "m.npz")
    for again in (persistence.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(som))):
        for som_map, other in zip(maps, Tree.of(again.som_map_).maps, strict=True):
            assert som_map.grid == other.grid
            np.testing.assert_array_equal(som_map.positions, other.positions)
            np.testing.assert_array_equal(som_map.hops, other.hops)
        np.testing.assert_array_equal(som.predict_proba(X), again.predict_proba(X))
        again.partial_fit(X[:50], y[:50])
        assert again.som_map_.grid == som.som_map_.grid
    assert clone(som).grid == grid
