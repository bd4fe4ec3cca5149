"""Two maps with the same samples on one page, and values in the units of the data."""

import json
import re
from base64 import b64decode

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.estimators.model_file import FittedModel

X, Y = load_iris(return_X_y=True)
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]


def parsed(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.text)
    return json.loads(data)


def integers(packed):
    return np.frombuffer(b64decode(packed["data"]), f"<u{packed['size']}").astype(np.int64)


def table(packed):
    codes = integers(packed).reshape(packed["rows"], len(packed["low"]))
    values = np.array(packed["low"]) + (codes - 1) * np.array(packed["step"])
    return np.where(codes == 0, np.nan, values)


def scaled(scaler, estimator, **params):
    steps = [("scale", scaler.fit(X))]
    model = estimator(epochs=8, **params).fit(scaler.transform(X), Y)
    return FittedModel(steps, model)


@pytest.fixture(scope="module")
def standard():
    return scaled(StandardScaler(), SomClassifier, max_neurons=16, grid="hexagonal")


@pytest.fixture(scope="module")
def ranged():
    base = {"name": "directed", "max_neurons": 5}
    growth = {"name": "hierarchical", "base": base, "tau_2": 0.05}
    return scaled(MinMaxScaler(), SomClassifier, growth=growth)


def test_values_are_those_of_the_data_and_distances_those_of_the_map(standard):
    found = parsed(standard.explore(X, Y, NAMES))
    assert found["units"]
    mean, spread = X.mean(axis=0), X.std(axis=0)
    prototypes = standard.estimator.weights_ * spread + mean
    assert table(found["maps"][0]["prototypes"]) == pytest.approx(prototypes, abs=1e-3)
    assert np.abs(table(found["samples"]["values"]) - X).max() <= np.ptp(X, axis=0).max() / 254
    seen = (X - mean) / spread
    apart = np.linalg.norm(seen - standard.estimator.weights_[standard.bmu(X)], axis=1)
    assert table(found["samples"]["distance"])[:, 0] == pytest.approx(apart, abs=1e-3)
    # What is most telling is so to the map, to which all columns are as wide as each other.
    spreads = standard.estimator.weights_.std(axis=0)
    widest = spreads / np.abs(standard.estimator.weights_).max(axis=0)
    assert found["telling"] == np.argsort(-widest).tolist()


def test_samples_are_found_on_both_maps(standard, ranged):
    page = standard.explore(X, Y, NAMES, other=ranged)
    first, other = parsed(page), parsed(page)["other"]
    assert np.array_equal(integers(first["samples"]["leaf"]), standard.bmu(X))
    paths = ranged.estimator.leaf_paths_[integers(other["samples"]["leaf"])]
    assert np.array_equal(paths, ranged.bmu_path(X))
    assert len(other["maps"]) == len(ranged.estimator._tree.maps) > 1
    alone = parsed(ranged.explore(X, Y, NAMES))
    same = ("maps", "labels", "epochs", "summary")
    assert {name: other[name] for name in same} == {name: alone[name] for name in same}
    assert other["samples"]["distance"] == alone["samples"]["distance"]
    assert other["same_units"]
    assert not other["same_space"]


@pytest.mark.parametrize(
    "other", [SomRegressor(max_neurons=9, tol=0, epochs=5), SomVQ(max_neurons=9, tol=0, epochs=5)]
)
def test_classes_keep_names_and_colours_beside_answers_that_are_no_classes(standard, other):
    page = parsed(standard.estimator.explore(X, Y, other=other.fit(X, Y.astype(float))))
    alone = parsed(standard.estimator.explore(X, Y))
    assert page["labels"] == alone["labels"]
    assert page["labels"]["kind"] == "few"
    assert page["labels"]["names"] == ["0", "1", "2"]
    assert page["maps"][0]["labels"] == alone["maps"][0]["labels"]
    assert page["other"]["labels"] == parsed(other.explore(X, Y))["labels"]


def test_steps_that_cannot_be_undone_leave_what_the_map_sees():
    model = scaled(PCA(2), SomVQ, max_neurons=9)
    found = parsed(model.explore(X))
    assert not found["units"]
    assert found["features"] == ["pca0", "pca1"]
    assert table(found["maps"][0]["prototypes"]) == pytest.approx(
        model.estimator.weights_, abs=1e-3
    )
    own_space = scaled(StandardScaler(), SomVQ, max_neurons=9, metric="cosine")
    pair = parsed(model.explore(X, other=scaled(PCA(2), SomVQ, max_neurons=9)))
    assert pair["other"]["same_space"]
    assert not parsed(own_space.explore(X))["units"]


def test_maps_that_cannot_stand_side_by_side_are_refused(tmp_path, standard):
    other = scaled(PCA(2), SomVQ, max_neurons=9)
    with pytest.raises(ValueError, match="show the same features, and these have 4 and 2"):
        standard.explore(X, Y, path=tmp_path / "map.html", other=other)
    assert not list(tmp_path.iterdir())


def test_a_run_shows_values_in_the_units_of_its_table(tmp_path, monkeypatch):
    from dbgsom_core import run

    config = {
        "experiment": "units",
        "dataset": "iris",
        "prepare": ["standardize"],
        "model": {"estimator": "classifier", "max_neurons": 9, "epochs": 5},
        "measures": [],
        "figures": ["explorer"],
        "tracking": [],
    }
    monkeypatch.chdir(tmp_path)
    done = run(config)
    (page,) = (path for path in done.figures if path.name == "explorer.html")
    (data,) = re.findall(r'id="data">(.*?)</script>', page.read_text())
    assert json.loads(data)["film"]["epochs"] == [1, 2, 3]
    prototypes = table(json.loads(data)["maps"][0]["prototypes"])
    assert prototypes == pytest.approx(done.model.undo(done.model.estimator.weights_), abs=1e-3)
    assert prototypes.min() > 0


def clusters(n, neurons=12):
    labeller = {"name": "clusters", "n_clusters": n}
    return SomVQ(max_neurons=neurons, epochs=5, labeller=labeller).fit(X)
