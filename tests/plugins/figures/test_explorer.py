"""What the explorer's page knows of a map and past epochs, against the samples."""

import json
import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, run
from dbgsom_core.api import Html
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.persistence import FittedModel
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures import explorer
from dbgsom_plugins.figures.explorer import Explorer
from dbgsom_plugins.metrics.norms import Euclidean

pytestmark = pytest.mark.one_version

X, Y = load_iris(return_X_y=True)
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]
SMALL = {"max_neurons": 12, "epochs": 5}


def payload(page):
    (data,) = re.findall(r'id="data">(.*?)</script>', page.text, re.S)
    return json.loads(data)


def explored(view, **params):
    return payload(Explorer(**params).draw(view))


def numbers(array):
    values = np.frombuffer(b64decode(array["data"]), f"<{array['type']}").reshape(array["shape"])
    return values.astype(float if values.dtype.kind == "f" else np.int64)


@pytest.fixture(scope="module")
def tree(digits):
    X, y = digits[0][:500], digits[1][:500]
    growth = {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 9}, "tau_2": 0.02}
    model = SomVQ(growth=growth, epochs=15).fit(X)
    view = model._view(model.evaluate(X, y=y), image_shape=(8, 8), title="a tree")
    return model, explored(view), X, y


@pytest.fixture(scope="module")
def flat():
    model = SomClassifier(max_neurons=30, epochs=20).fit(X, Y)
    return model, model._view(model.evaluate(X, y=Y), feature_names=NAMES, title="iris")


def test_every_map_of_a_tree_describes_the_samples_that_reach_it(tree):
    model, page, X, y = tree
    maps, paths = model._tree.maps, model.bmu_path(X)
    assert len(page["maps"]) == len(maps) > 2
    ways = [()]  # of each map, rows of the neurons that lead to it
    for number, shown in enumerate(page["maps"]):
        if number:
            above, neuron = shown["above"]
            assert page["maps"][above]["child"][neuron] == number
            ways.append((*ways[above], neuron))
        som_map, way = maps[number], ways[number]
        here = np.all(paths[:, : len(way)] == way, axis=1)
        distances = np.linalg.norm(X[here][:, None] - som_map.prototypes, axis=2)
        first, second = np.argsort(distances, axis=1, kind="stable")[:, :2].T
        assert np.array_equal(first, paths[here, len(way)])
        values = {name: numbers(array) for name, array in shown["values"].items()}
        assert values["hits"].tolist() == np.bincount(first, minlength=len(som_map)).tolist()
        for k in np.unique(first):
            won = first == k
            beside = som_map.prototypes[som_map.hops[k] == 1]
            height = np.linalg.norm(som_map.prototypes[k] - beside, axis=1).mean()
            assert values["height"][k] == pytest.approx(height, rel=1e-4)
            assert values["error"][k] == pytest.approx(distances[won, k].mean(), rel=1e-4)
            torn = np.mean(som_map.hops[k, second[won]] > 1)
            assert values["torn"][k] == pytest.approx(torn, rel=1e-4)
            shares = np.bincount(y[here][won], minlength=10) / won.sum()
            np.testing.assert_allclose(numbers(shown["shares"])[k], shares, atol=0.01)


def test_samples_end_at_their_leaves(tree):
    model, page, X, y = tree
    samples = page["samples"]
    leaf = numbers(samples["leaf"])
    assert np.array_equal(model.leaf_paths_[leaf], model.bmu_path(X))
    distance = np.linalg.norm(X - model.leaf_weights_[leaf], axis=1)
    assert numbers(samples["distance"]) == pytest.approx(distance, abs=2e-3)
    assert np.array_equal(numbers(samples["classes"]) - 1, y)
    assert np.array_equal(numbers(samples["values"]), X)


@pytest.mark.parametrize(
    "params", [{}, {"grid": "hexagonal", "growth": {"name": "fixed", "wrap": True}}]
)
def test_maps_are_drawn_where_they_lie_and_linked_as_they_are(params):
    model = SomClassifier(epochs=8, **params).fit(X, Y)
    page = explored(model._view(model.evaluate(X, y=Y)))
    (shown,), som_map = page["maps"], model.som_map_
    np.testing.assert_allclose(numbers(shown["places"]), som_map.plane_positions, atol=1e-4)
    np.testing.assert_allclose(shown["corners"], som_map.grid.corners, atol=1e-4)
    assert [tuple(cell) for cell in shown["cells"]] == model.neurons_
    ends = numbers(shown["edges"])
    assert np.array_equal(ends, som_map.edges())
    lengths = np.linalg.norm(np.diff(model.weights_[ends], axis=1)[:, 0], axis=1)
    assert numbers(shown["lengths"]) == pytest.approx(lengths, abs=1e-3)
    assert numbers(shown["values"]["birth"]).tolist() == som_map.birth_epochs.tolist()
    np.testing.assert_allclose(numbers(shown["prototypes"]), model.weights_, atol=1e-4)
    names = [page["labels"]["names"][int(k)] for k in numbers(shown["labels"])]
    assert names == list(map(str, model.neuron_labels_))


def clusters_at(groups, count):
    """The cluster of each live leaf when so many are left, as sets of leaves."""
    joins = numbers(groups["joins"])
    live = numbers(groups["live"]).tolist()
    leaves = len(numbers(groups["stands"]))
    members = {leaf: {leaf} for leaf in live}
    for i, (a, b) in enumerate(joins[: len(live) - count].tolist()):
        members[leaves + i] = members.pop(a) | members.pop(b)
    return sorted(map(sorted, members.values()))


@pytest.mark.parametrize("seed", range(6))
def test_the_tree_cut_at_the_number_of_groups_is_these_groups(seed, tree, flat):
    rng = np.random.default_rng(seed)
    model = [tree[0], flat[0]][seed % 2]
    n = len(model.leaf_weights_)
    labels = rng.integers(0, rng.integers(1, n // 2), n)
    hits = rng.integers(0, 4, n)
    evaluation = model.evaluate(tree[2] if seed % 2 == 0 else X)
    view = MapView(
        evaluation, labels[: len(model.som_map_)], (), leaf_labels=labels, leaf_hits=hits
    )
    groups = explored(view)["groups"]
    live = np.flatnonzero(hits)
    assert numbers(groups["live"]).tolist() == live.tolist()
    values = np.unique(labels[live])
    assert groups["names"] == [str(value) for value in values]
    expected = [np.flatnonzero((labels == value) & (hits > 0)).tolist() for value in values]
    assert clusters_at(groups, len(values)) == sorted(expected)
    weights = model.leaf_weights_
    stands = numbers(groups["stands"])
    for leaf in range(n):
        apart = np.linalg.norm(weights[live] - weights[leaf], axis=1)
        near = np.linalg.norm(weights[stands[leaf]] - weights[leaf])
        assert stands[leaf] == leaf if hits[leaf] else near == pytest.approx(apart.min())
    of = [groups["names"][place] for place in numbers(groups["of"]).tolist()]
    assert of == [str(label) for label in labels[stands]]


def test_maps_without_clusters_have_one_tree_of_all(flat):
    model, view = flat
    for answers in (view, replace(view, estimator="vq", neuron_probabilities=None)):
        labels = np.arange(len(model.som_map_))
        groups = explored(replace(answers, neuron_labels=labels, leaf_labels=labels))["groups"]
        assert groups["names"] is None
        assert not numbers(groups["of"]).any()
        assert len(clusters_at(groups, 1)) == 1


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_prototypes_for_files_are_nearest_to_themselves(offset):
    samples = offset + X * (1e-3, 1.0, 1.0, 1e5)
    model = SomVQ(epochs=10).fit(samples)
    groups = explored(model._view(model.evaluate(samples)))["groups"]
    live = model.weights_[numbers(groups["live"])]
    distances = np.linalg.norm(live[:, None] - np.array(groups["prototypes"]), axis=2)
    assert distances.argmin(axis=1).tolist() == list(range(len(live)))
    assert np.diag(distances).max() < 1e-5 * (distances + np.eye(len(live)) * 1e99).min()


def test_novelty_is_that_of_the_estimator(flat):
    model, _ = flat
    page = payload(model.explore(X, Y))
    novelty = model.score_samples(X)
    assert numbers(page["samples"]["novelty"]) == pytest.approx(novelty, abs=np.ptp(novelty) / 6e4)
    won = np.flatnonzero(model.hit_counts_)
    means = [novelty[model.bmu(X) == k].mean() for k in won]
    assert numbers(page["maps"][0]["values"]["novelty"])[won] == pytest.approx(means, rel=1e-4)


def test_names_are_text_and_the_page_reaches_for_nothing(flat):
    _, view = flat
    hostile = ["</script><img src=x onerror=alert(1)>", "<!--<script>", "]]>&amp;", "{{x}}"]
    names = {
        "feature_names": hostile,
        "label_names": dict(enumerate(hostile[:3])),
        "title": "\x1b[31m\u202e" + hostile[0],
        "sample_ids": np.array([f"{hostile[0]}{i}" for i in range(150)]),
    }
    page, plain = Explorer().draw(replace(view, **names)), Explorer().draw(view).text
    found = payload(page)
    assert found["samples"]["ids"][7] == f"{hostile[0]}7"
    assert found["features"] == hostile
    assert "\u202e" not in found["title"]
    title = re.compile("<title>(.*)</title>")
    assert not set(title.search(page.text)[1]) & set("<>")
    text, plain = title.sub("", page.text), title.sub("", plain)
    assert [text.count(mark) for mark in "<>&\u2028"] == [plain.count(mark) for mark in "<>&\u2028"]
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']|https?:|@import|url\(|innerHTML", plain)


def test_too_many_samples_are_sampled_by_the_seed_and_said(flat):
    model, view = flat
    page = explored(view, max_samples=40)
    rows = numbers(page["samples"]["rows"])
    assert len(rows) == 40
    assert "Of 150 samples these are 40" in page["notes"][0]
    assert numbers(page["maps"][0]["values"]["hits"]).tolist() == model.hit_counts_.tolist()
    assert np.array_equal(numbers(page["samples"]["leaf"]), model.bmu(X)[rows])
    other = replace(view, evaluation=replace(view.evaluation, seed=1))
    assert not np.array_equal(numbers(explored(other, max_samples=40)["samples"]["rows"]), rows)


@pytest.mark.slow
def test_a_large_page_keeps_to_its_size(rng):
    samples = rng.normal(size=(4000, 784)).astype(np.float32)
    som_map = SomMap.rectangle(100, 20, samples[:2000])
    evaluation = Evaluation(som_map, LocalEngine().over(samples, Euclidean()))
    page = Explorer().draw(MapView(evaluation, np.arange(2000), (), image_shape=(28, 28)))
    assert len(page.text.encode()) < 8_000_000
    found = payload(page)
    assert len(found["features"]) == 400
    assert "Of 784 features the page has the 400" in found["notes"][0]


@pytest.mark.parametrize("kind", [SomVQ, SomRegressor])
def test_estimators_are_explored_in_files_and_notebooks(kind, tmp_path):
    gaps = X.copy()
    gaps[::3, 1] = np.nan
    model = kind(**SMALL).fit(gaps, Y.astype(float))
    page = model.explore(gaps, Y.astype(float), names=list("abcd"), path=tmp_path / "map.html")
    assert (tmp_path / "map.html").read_text() == page.text
    assert np.array_equal(np.isnan(numbers(payload(page)["samples"]["values"])), np.isnan(gaps))
    shown = page._repr_html_()
    assert 'sandbox="allow-scripts allow-downloads"' in shown
    assert page.text.split("<body>")[0] not in shown  # it is escaped


def test_sparse_samples_and_the_index_of_a_frame():
    assert "feature 0" in SomVQ(**SMALL).fit(csr_array(X)).explore(csr_array(X)).text
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"plant {i}" for i in range(150)])
    page = payload(SomVQ(**SMALL).fit(frame).explore(frame))
    assert page["samples"]["ids"][149] == "plant 149"
    assert page["features"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"names": ["a"]}, "1 names of features, and the map has 4"),
        ({"y": [0, 1]}, "y has 2 values for 150 samples"),
        ({"image_shape": (3, 3)}, r"images of \(3, 3\) do not have the 4 features"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(given, words, tmp_path, flat):
    with pytest.raises(ValueError, match=words):
        flat[0].explore(X, path=tmp_path / "map.html", **given)
    assert not list(tmp_path.iterdir())
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        flat[0].explore(X, path=tmp_path)


def scaled(scaler, **params):
    model = SomClassifier(epochs=8, max_neurons=16, **params)
    return FittedModel([("scale", scaler.fit(X))], model.fit(scaler.transform(X), Y))


def test_values_are_those_of_the_data_and_distances_those_of_the_map():
    model = scaled(StandardScaler())
    page = payload(model.explore(X, Y, NAMES))
    assert page["units"]
    weights, mean, spread = model.estimator.weights_, X.mean(axis=0), X.std(axis=0)
    assert numbers(page["maps"][0]["prototypes"]) == pytest.approx(
        weights * spread + mean, abs=1e-3
    )
    np.testing.assert_allclose(numbers(page["samples"]["values"]), X, atol=1e-5)
    distance = np.linalg.norm((X - mean) / spread - weights[model.answers(X).unit], axis=1)
    assert numbers(page["samples"]["distance"]) == pytest.approx(distance, abs=1e-3)
    # What is most telling is so to the map, to which all columns are as wide as each other.
    assert page["telling"] == np.argsort(-weights.std(axis=0) / abs(weights).max(axis=0)).tolist()


def test_steps_that_cannot_be_undone_leave_what_the_map_sees():
    model = scaled(PCA(2))
    page = payload(model.explore(X))
    assert not page["units"]
    assert page["features"] == ["pca0", "pca1"]
    np.testing.assert_allclose(
        numbers(page["maps"][0]["prototypes"]), model.estimator.weights_, atol=1e-3
    )
    assert not payload(scaled(StandardScaler(), metric="cosine").explore(X))["units"]


def test_a_run_shows_values_in_the_units_of_its_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {
        "experiment": "units", "dataset": "iris", "prepare": ["standardize"], "measures": [],
        "model": SMALL, "figures": ["explorer"], "tracking": [],
    }  # fmt: skip
    done = run(config)
    (path,) = [path for path in done.figures if path.name == "explorer.html"]
    page = payload(Html(path.read_text()))
    assert numbers(page["epochs"])[0, 0] == 1
    weights = done.model.undo(done.model.estimator.weights_)
    assert numbers(page["maps"][0]["prototypes"]) == pytest.approx(weights, abs=1e-3)


def test_texts_beside_the_samples_are_cut_to_the_size_of_the_page(flat, monkeypatch):
    monkeypatch.setattr(explorer, "_TEXTS", 4000)
    texts = {name: np.array([f"{i} {40 * name}" for i in range(150)]) for name in "abc"}
    found = explored(replace(flat[1], annotations=texts))
    (column,) = found["samples"]["beside"]
    assert sum(map(len, column["names"])) <= 4000
    assert [name.split()[0] for name in column["names"]] == list(map(str, range(150)))
    assert any("Texts of a end after" in note for note in found["notes"])
    assert any("column c is too long" in note for note in found["notes"])
