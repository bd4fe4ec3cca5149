"""Hexagonal maps and tori through the estimators: parameters, files, going on."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, persistence
from dbgsom_core.errors import ModelFileError
from dbgsom_core.som_map.grid import SQUARE
from dbgsom_core.som_map.tree import Tree

TORUS = {"name": "fixed", "rows": 4, "columns": 5, "wrap": True}
GROWTH = {
    "directed": {"name": "directed", "spreading_factor": 0.3},
    "gsom": {"name": "gsom", "max_neurons": 20},
    "fixed": {"name": "fixed", "rows": 5, "columns": 4},
    "torus": TORUS,
    "hierarchical": {"name": "hierarchical", "base": {**TORUS, "columns": 3}},
}


@pytest.mark.parametrize("growth", GROWTH.values(), ids=GROWTH)
@pytest.mark.parametrize("grid", ["square", "hexagonal"])
def test_every_strategy_trains_and_its_maps_come_back_from_files(grid, growth, iris, tmp_path):
    X, y = iris
    som = SomClassifier(grid=grid, growth=growth, epochs=8).fit(X, y)
    torus = growth == TORUS or growth["name"] == "hierarchical"
    maps = Tree.of(som.som_map_).maps
    assert len(maps) > 1 or growth["name"] != "hierarchical"
    for one in maps:
        assert one.grid.name == grid
        assert (one.grid.torus is not None) == torus
        assert not torus or one.boundary().sum() == 0
    assert som.score(X, y) > 0.85
    som.save(tmp_path / "m.npz")
    for again in (persistence.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(som))):
        assert again.grid == grid
        for one, other in zip(maps, Tree.of(again.som_map_).maps, strict=True):
            assert one.grid == other.grid
            np.testing.assert_array_equal(one.positions, other.positions)
            np.testing.assert_array_equal(one.hops, other.hops)
        np.testing.assert_array_equal(som.predict_proba(X), again.predict_proba(X))
    assert clone(som).grid == grid


def test_neurons_are_cells_and_lie_in_the_plane(iris):
    som = SomVQ(grid="hexagonal", growth={"name": "fixed", "rows": 3, "columns": 2}).fit(iris[0])
    assert som.neurons_ == [(0, 0), (1, 0), (0, 1), (1, 1), (-1, 2), (0, 2)]
    height = 3**0.5 / 2
    at = [(0, 0), (1, 0), (0.5, height), (1.5, height), (0, 2 * height), (1, 2 * height)]
    np.testing.assert_allclose(som.som_map_.plane_positions, at, atol=1e-12)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"grid": "hexagon"}, "unknown grid 'hexagon'; did you mean 'hexagonal'"),
        ({"grid": 6}, "grid must be a name, a mapping"),
        ({"grid": "hexagonal", "growth": {**TORUS, "rows": 5}}, "needs an even number of rows"),
        ({"growth": {**TORUS, "columns": 2}}, "square torus of 4 × 2 neurons is too small"),
        (
            {"growth": {"name": "hierarchical", "base": {**TORUS, "rows": 2}}},
            "square torus of 2 × 5 neurons is too small",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_training(params, told, iris):
    som = SomVQ(**params)
    with pytest.raises(ValueError, match=told):
        som.fit(iris[0])
    assert not hasattr(som, "som_map_")


@pytest.mark.parametrize("growth", ["directed", TORUS], ids=["grown", "torus"])
def test_training_goes_on_upon_the_grid_of_the_map_alone(growth, iris):
    X = np.asarray(iris[0])
    som = SomRegressor(grid="hexagonal", growth=growth, epochs=5).fit(X[:100], X[:100, 0])
    before = som.som_map_.grid
    som.partial_fit(X[100:], X[100:, 0])
    som.set_params(warm_start=True).fit(X, X[:, 0])
    assert som.som_map_.grid == before
    som.set_params(grid="square")
    for go_on in (som.fit, som.partial_fit):
        with pytest.raises(ValueError, match="trained on a hexagonal grid and cannot go on"):
            go_on(X, X[:, 0])
    som.set_params(warm_start=False).fit(X, X[:, 0])
    assert som.som_map_.grid.name == "square"


# ------------------------------------------------------------------------------------ hostile files


@pytest.fixture
def forged(iris, tmp_path, rewrite):
    """Save a map, change its header, and return the file's path."""

    def write(change, **params):
        som = SomVQ(**{"grid": "hexagonal", "growth": TORUS, "epochs": 2, **params}).fit(iris[0])
        som.save(tmp_path / "m.npz")
        return rewrite(tmp_path / "m.npz", lambda header, a: change(header["estimator"], a))

    return write


LATTICE = {
    "offsets": [[1, 0], [-1, 0], [0, 1], [0, -1]],
    "diagonals": [],
    "axes": [[1.0, 0.0], [0.0, 1.0]],
    "corners": [[0, 0], [1, 0], [0, 1]],
}


def put(**values):
    return lambda estimator, arrays: estimator["map"].update(values)


def moved(estimator, arrays):
    name = estimator["map"]["positions"]["$array"]
    arrays[name] = arrays[name] + (5, 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put(grid="kagome"), "on a grid that is not known here: 'kagome'"),
        (put(lattice={}), "on a grid that cannot be"),
        (put(lattice={**LATTICE, "offsets": [[1, 0]]}), "with each offset of a grid stands"),
        (put(lattice={**LATTICE, "offsets": [[10**9, 0], [-(10**9), 0]]}), "are of -1, 0 and 1"),
        (put(lattice={**LATTICE, "corners": [["a", None]] * 3}), "on a grid that cannot be"),
        (put(torus=[4, 6]), "a torus that its neurons do not fill: 4 × 6"),
        (put(torus=[10**9, 10**9]), "do not fill"),
        (put(torus=[-4, -5]), "do not fill"),
        (put(torus="45"), "torus that cannot be"),
        (put(torus=[5, 4]), "a torus that cannot be: a hexagonal torus needs an even number"),
        (moved, "a torus that its neurons do not fill"),
    ],
)
def test_a_map_that_cannot_be_is_refused(change, told, forged):
    with pytest.raises(ModelFileError, match=told):
        persistence.load(forged(change))


def test_a_child_map_lies_on_the_grid_of_its_parent(forged):
    def change(estimator, arrays):
        estimator["map"]["children"][0][1].update(grid="square", torus=None)

    with pytest.raises(ModelFileError, match=r"child map of neuron \d+ that does not fit it"):
        persistence.load(forged(change, growth=GROWTH["hierarchical"]))


def test_files_from_before_hexagonal_maps_still_load(forged, iris):
    def change(estimator, arrays):
        del estimator["map"]["grid"], estimator["map"]["torus"], estimator["params"]["grid"]

    som = persistence.load(forged(change, grid="square", growth="directed"))
    assert som.grid == "square"
    assert som.som_map_.grid is SQUARE
    assert len(som.predict(iris[0])) == len(iris[0])
