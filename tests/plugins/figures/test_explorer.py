"""What the explorer's page knows of a map and past epochs, against the samples."""

import json
import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.sparse import csr_array
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.api import Html
from dbgsom_core.estimators.display import view_of
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.persistence import FittedModel
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures.explorer import Explorer
from dbgsom_plugins.figures.explorer._payload import packed
from dbgsom_plugins.metrics.norms import Euclidean

pytestmark = pytest.mark.one_version

X, Y = load_iris(return_X_y=True)


def told(view, **params):
    return parsed(Explorer(**params).draw(view))


def parsed(page):
    (data,) = re.findall(r'id="data">(.*?)</script>', page.text, re.S)
    return json.loads(data)


def numbers(packed):
    values = np.frombuffer(b64decode(packed["data"]), f"<{packed['type']}")
    values = values.reshape(packed["shape"])
    return values.astype(float if values.dtype.kind == "f" else np.int64)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:500], y[:500]


@pytest.fixture(scope="module")
def tree(digits):
    X, y = digits
    growth = {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 9}, "tau_2": 0.02}
    model = SomVQ(growth=growth, epochs=15).fit(X)
    return model, view_of(model, model.evaluate(X, y=y), image_shape=(8, 8), title="a tree")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    model = SomClassifier(max_neurons=30, epochs=20).fit(X, y)
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    return model, view_of(model, model.evaluate(X, y=y), feature_names=names, title="iris")


def test_every_map_of_a_tree_tells_what_its_samples_find_there(tree, digits):
    (model, view), (X, y) = tree, digits
    found = told(view)
    maps, paths = model._tree.maps, model.bmu_path(X)
    assert len(found["maps"]) == len(maps) > 2
    way = [()]  # of each map, rows of the neurons that lead to it
    for number, one in enumerate(found["maps"]):
        if number:
            above, neuron = one["above"]
            assert found["maps"][above]["child"][neuron] == number
            way.append((*way[above], neuron))
        som_map, steps = maps[number], way[number]
        here = np.all(paths[:, : len(steps)] == steps, axis=1)
        apart = np.linalg.norm(X[here][:, None] - som_map.prototypes, axis=2)
        order = np.argsort(apart, axis=1, kind="stable")
        first = order[:, 0]
        assert np.array_equal(first, paths[here, len(steps)])
        values = {name: numbers(all_) for name, all_ in one["values"].items()}
        for k in range(len(som_map)):
            mine = first == k
            assert values["hits"][k] == mine.sum()
            assert one["child"][k] >= 0 or one["leaf"][k] >= 0
            beside = [k2 for k2 in range(len(som_map)) if som_map.hops[k, k2] == 1]
            gaps = [np.linalg.norm(som_map.prototypes[k] - som_map.prototypes[b]) for b in beside]
            assert values["height"][k] == pytest.approx(np.mean(gaps), rel=1e-4)
            if not mine.any():
                assert np.isnan(values["error"][k])
                continue
            assert values["error"][k] == pytest.approx(apart[mine, k].mean(), rel=1e-4)
            torn = [som_map.hops[k, other] > 1 for other in order[mine, 1]]
            assert values["torn"][k] == pytest.approx(np.mean(torn), rel=1e-4)
            shares = numbers(one["shares"])[k]
            assert (
                np.abs(shares - np.bincount(y[here][mine], minlength=10) / mine.sum()).max() < 0.01
            )


def test_samples_end_at_their_leaves(tree, digits):
    (model, view), (X, y) = tree, digits
    found = told(view)["samples"]
    leaf = numbers(found["leaf"])
    apart = np.linalg.norm(X - model.leaf_weights_[leaf], axis=1)
    assert np.array_equal(model.leaf_paths_[leaf], model.bmu_path(X))
    assert numbers(found["distance"]) == pytest.approx(apart, abs=2e-3)
    assert np.array_equal(numbers(found["classes"]) - 1, y)
    assert numbers(found["valued"]).tolist() == list(range(len(X)))
    assert np.array_equal(numbers(found["values"]), X)


@pytest.mark.parametrize("column", [[0, 255], [256], [], [13.66, -np.inf, np.nan, 1e300, 1e-3]])
def test_arrays_keep_seven_digits_and_what_is_unknown_is_nan(column):
    values = np.array(column)
    found = json.loads(json.dumps(packed(values), allow_nan=False))
    expected = np.where(np.isfinite(values) & (values < 1e38), values, np.nan)
    np.testing.assert_allclose(numbers(found), expected, rtol=1e-7)


def test_maps_are_drawn_where_they_lie_and_linked_as_they_are(iris):
    model, view = iris
    (one,) = told(view)["maps"]
    som_map = model.som_map_
    assert np.allclose(numbers(one["places"]), som_map.plane_positions, atol=1e-4)
    assert [tuple(cell) for cell in one["cells"]] == model.neurons_
    edges = numbers(one["edges"])
    assert np.array_equal(edges, som_map.edges())
    apart = [np.linalg.norm(model.weights_[a] - model.weights_[b]) for a, b in edges]
    assert numbers(one["lengths"]) == pytest.approx(apart, abs=1e-3)
    assert numbers(one["values"]["birth"]).tolist() == som_map.birth_epochs.tolist()
    assert one["parents"] == som_map.parents.tolist()
    assert np.abs(numbers(one["prototypes"]) - model.weights_).max() < 1e-4
    labels = told(view)["labels"]
    assert [labels["names"][int(k)] for k in numbers(one["labels"])] == list(
        map(str, model.neuron_labels_)
    )


@pytest.mark.parametrize(
    "growth", ["directed", {"name": "fixed", "rows": 4, "columns": 5, "wrap": True}]
)
def test_hexagonal_maps_and_tori_bring_their_own_corners_and_links(growth):
    X = load_iris().data
    model = SomVQ(growth=growth, grid="hexagonal", epochs=8).fit(X)
    found = told(view_of(model, model.evaluate(X)))
    (one,), som_map = found["maps"], model.som_map_
    assert np.allclose(one["corners"], som_map.grid.corners, atol=1e-4)
    assert len(one["corners"]) == 6
    assert np.allclose(numbers(one["places"]), som_map.plane_positions, atol=1e-4)
    assert np.array_equal(numbers(one["edges"]), som_map.edges())


def test_novelty_is_that_of_the_estimator(iris):
    X, y = load_iris(return_X_y=True)
    model, _ = iris
    found = parsed(model.explore(X, y))
    novelty = model.score_samples(X)
    assert numbers(found["samples"]["novelty"]) == pytest.approx(novelty, abs=np.ptp(novelty) / 6e4)
    means = [novelty[model.bmu(X) == k].mean() for k in np.flatnonzero(model.hit_counts_)]
    values = numbers(found["maps"][0]["values"]["novelty"])
    assert values[model.hit_counts_ > 0] == pytest.approx(means, rel=1e-4)
    assert np.isnan(values[model.hit_counts_ == 0]).all()


def test_the_dendrogram_joins_neighbours_as_ward_does():
    X = np.random.default_rng(3).normal(size=(80, 2)) * [9, 1]
    som_map = SomMap.rectangle(1, 8, np.sort(X[:8], axis=0))  # a line: neighbours are nearest
    som_map.prototypes = np.column_stack([[0, 1, 3, 10, 11, 20, 20.5, 40], np.zeros(8)])
    view = MapView(
        Evaluation(som_map, LocalEngine().over(np.repeat(som_map.prototypes, 2, 0), Euclidean())),
        np.arange(8),
        (),
    )
    (one,) = told(view)["maps"]
    joins = numbers(one["joins"])
    tree = linkage(som_map.prototypes, "ward")
    assert numbers(one["heights"]) == pytest.approx(tree[:, 2], rel=1e-4)
    for count in range(1, 9):
        cluster = np.arange(15)
        for i, pair in enumerate(joins[: 8 - count]):
            cluster[np.isin(cluster, cluster[pair])] = 8 + i
        expected = cut_tree(tree, n_clusters=count)[:, 0]
        assert adjusted_rand_score(cluster[:8], expected) == 1


HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>&amp;\u2028\u2029",
    "{{script}}",
    "\x1b[31m\u202e",
]


def test_names_are_text(iris):
    _, view = iris
    names = dict(enumerate(HOSTILE[:3]))
    plain = Explorer().draw(view).text
    ids = np.array([f"{HOSTILE[0]}{i}" for i in range(150)])
    hostile = replace(
        view,
        feature_names=HOSTILE[:4],
        label_names=names,
        title=HOSTILE[4] + HOSTILE[0],
        sample_ids=ids,
    )
    text = Explorer().draw(hostile).text
    found = told(hostile)
    assert found["samples"]["ids"][7] == f"{HOSTILE[0]}7"
    assert found["features"][0] == HOSTILE[0]
    assert found["features"][3] == "{{script}}"
    assert found["classes"][1] == "<!--<script>"
    assert "\u202e" not in found["title"]
    (title,) = re.findall("<title>(.*)</title>", text)
    assert not set(title) & set("<>")
    text = text.replace(title, re.search("<title>(.*)</title>", plain)[1])
    for mark in ("<", ">", "&"):
        assert text.count(mark) == plain.count(mark)
    assert "\u2028" not in text


def test_the_page_reaches_for_nothing(iris):
    text = Explorer().draw(iris[1]).text
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']|https?:|@import|url\(", text)
    for word in (
        "localStorage",
        "sessionStorage",
        "cookie",
        "fetch(",
        "XMLHttpRequest",
        "innerHTML",
        "eval(",
    ):
        assert word not in text


def test_too_many_samples_are_sampled_by_the_seed_and_said(iris):
    model, view = iris
    found = told(view, max_samples=40)
    rows = numbers(found["samples"]["rows"])
    assert len(rows) == 40
    assert np.all(np.diff(rows) > 0)
    assert "Of 150 samples these are 40" in found["notes"][0]
    hits = numbers(found["maps"][0]["values"]["hits"])
    assert hits.tolist() == model.hit_counts_.tolist()  # all of them
    leaf = numbers(found["samples"]["leaf"])
    assert np.array_equal(leaf, model.bmu(load_iris().data)[rows])
    other = replace(view, evaluation=replace(view.evaluation, seed=1))
    assert not np.array_equal(numbers(told(other, max_samples=40)["samples"]["rows"]), rows)


def big(n_neurons, n, features, **more):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, features)).astype(np.float32)
    som_map = SomMap.rectangle(n_neurons // 20, 20, X[:n_neurons])
    y = rng.integers(0, 10, n)
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()), y=y)
    return MapView(evaluation, rng.integers(0, 10, n_neurons), (), "classifier", **more)


@pytest.mark.parametrize(("features", "shape"), [(16, None), (784, (28, 28))])
def test_a_large_page_keeps_to_its_size(features, shape):
    view = big(2000, 30_000 if features == 16 else 4000, features, image_shape=shape)
    page = Explorer().draw(view)
    found = parsed(page)
    assert len(page.text.encode()) < 8_000_000
    samples = found["samples"]
    if features == 16:
        assert len(numbers(samples["valued"])) == 30_000
    else:
        assert len(found["features"]) == 400
        assert "Of 784 features the page has the 400" in found["notes"][0]
        assert found["image"] is None


def test_missing_values_stay_missing():
    X = load_iris().data.copy()
    X[::3, 1] = np.nan
    page = SomVQ(max_neurons=10, epochs=5).fit(X).explore(X)
    assert np.array_equal(np.isnan(numbers(parsed(page)["samples"]["values"])), np.isnan(X))
    assert "NaN" not in page.text.partition('id="data">')[2].partition("</script>")[0]


@pytest.mark.parametrize("kind", [SomVQ, SomRegressor])
def test_estimators_are_explored(kind, tmp_path):
    X, y = load_iris(return_X_y=True)
    model = kind(max_neurons=12, epochs=5).fit(X, y.astype(float))
    page = model.explore(X, y.astype(float), names=["a", "b", "c", "d"], path=tmp_path / "map.html")
    assert isinstance(page, Html)
    assert (tmp_path / "map.html").read_text() == page.text
    shown = page._repr_html_()
    assert 'sandbox="allow-scripts allow-downloads"' in shown
    assert "allow-same-origin" not in shown
    assert page.text.split("<body>")[0] not in shown  # it is escaped


def test_sparse_samples_and_the_index_of_a_frame():
    pd = pytest.importorskip("pandas")
    X = load_iris().data
    model = SomVQ(max_neurons=12, epochs=5)
    assert "feature 0" in model.fit(csr_array(X)).explore(csr_array(X)).text
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"plant {i}" for i in range(150)])
    text = model.fit(frame).explore(frame).text
    assert '"plant 149"' in text
    assert '"features":["a","b","c","d"]' in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"names": ["a"]}, "1 names of features, and the map has 4 features"),
        ({"y": [0, 1]}, "y has 2 values for 150 samples"),
        ({"image_shape": (3, 3)}, r"images of \(3, 3\) do not have the 4 features"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(given, said, tmp_path):
    X = load_iris().data
    model = SomVQ(max_neurons=12, epochs=5).fit(X)
    with pytest.raises((TypeError, ValueError), match=said):
        model.explore(X, path=tmp_path / "map.html", **given)
    assert not list(tmp_path.iterdir())
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        model.explore(X, path=tmp_path)


NAMES = ["sepal length", "sepal width", "petal length", "petal width"]


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
    assert numbers(found["maps"][0]["prototypes"]) == pytest.approx(prototypes, abs=1e-3)
    assert np.abs(numbers(found["samples"]["values"]) - X).max() < 1e-5
    seen = (X - mean) / spread
    apart = np.linalg.norm(seen - standard.estimator.weights_[standard.answers(X).unit], axis=1)
    assert numbers(found["samples"]["distance"]) == pytest.approx(apart, abs=1e-3)
    # What is most telling is so to the map, to which all columns are as wide as each other.
    spreads = standard.estimator.weights_.std(axis=0)
    widest = spreads / np.abs(standard.estimator.weights_).max(axis=0)
    assert found["telling"] == np.argsort(-widest).tolist()


def test_steps_that_cannot_be_undone_leave_what_the_map_sees():
    model = scaled(PCA(2), SomVQ, max_neurons=9)
    found = parsed(model.explore(X))
    assert not found["units"]
    assert found["features"] == ["pca0", "pca1"]
    assert numbers(found["maps"][0]["prototypes"]) == pytest.approx(
        model.estimator.weights_, abs=1e-3
    )
    own_space = scaled(StandardScaler(), SomVQ, max_neurons=9, metric="cosine")
    assert not parsed(own_space.explore(X))["units"]


def test_a_run_shows_values_in_the_units_of_its_numbers(tmp_path, monkeypatch):
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
    found = parsed(Html(page.read_text()))
    assert numbers(found["epochs"])[0, 0] == 1
    prototypes = numbers(found["maps"][0]["prototypes"])
    assert prototypes == pytest.approx(done.model.undo(done.model.estimator.weights_), abs=1e-3)
    assert prototypes.min() > 0
