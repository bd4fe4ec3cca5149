"""What a fitted map says of samples at once, why it says so of one, and how it shows itself."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomVQ, presets
from dbgsom_core.persistence import FittedModel
from dbgsom_core.tables import Columns

DEEP = {
    "name": "hierarchical",
    "base": {"name": "directed", "spreading_factor": 0.1},
    "tau_2": 0.02,
}


@pytest.fixture(scope="module")
def wine():
    return load_wine(as_frame=True)


@pytest.fixture(scope="module")
def clf(wine):
    return SomClassifier(max_neurons=30).fit(wine.data, wine.target)


@pytest.fixture(scope="module")
def deep(digits):
    return SomVQ(**presets.square(), growth=DEEP, epochs=30).fit(digits[0])


def test_answers_are_those_of_the_single_methods(clf, wine):
    found = clf.answers(wine.data)
    np.testing.assert_array_equal(found.label, clf.predict(wine.data))
    np.testing.assert_array_equal(found.probabilities, clf.predict_proba(wine.data))
    np.testing.assert_array_equal(found.novelty, clf.score_samples(wine.data))
    np.testing.assert_array_equal(found.outlier, found.novelty < clf.offset_)
    np.testing.assert_array_equal(found.cell, np.array(clf.neurons_)[found.unit])
    apart = np.linalg.norm(wine.data - clf.weights_[found.unit], axis=1)
    np.testing.assert_allclose(found.distance, apart, rtol=1e-9)
    assert (clf.hit_counts_[found.unit] > 0).all()
    assert SomVQ(epochs=5).fit(wine.data).answers(wine.data).probabilities is None


@pytest.mark.parametrize("estimator", [SomVQ(epochs=5), SomClassifier(epochs=5)])
def test_answers_are_of_the_map_that_was_asked(estimator, iris):
    X, y = iris
    asked, known = estimator.fit(X, y).answers(X), estimator.answers(X)
    names = ("label", "cell", "leaf", "distance", "pvalue", "outlier", "probabilities")
    before = [getattr(known, name) for name in names]
    estimator.partial_fit(X[:60] + 1, y[:60])
    estimator.set_params(max_neurons=4).fit(X[::-2] * 2, y[::-2])
    for name, expected in zip(names, before, strict=True):
        np.testing.assert_array_equal(getattr(asked, name), expected)


def test_an_explanation_says_what_pulls_a_sample_away(clf, wine):
    x = wine.data.iloc[[10]].copy()
    x["ash"] += 50 * wine.data["ash"].std(ddof=0)
    found = clf.explain(x)
    first = found.differences[0]
    prototype = clf.weights_[found.unit][list(wine.data).index("ash")]
    assert first.feature == "ash"
    assert first.value == x["ash"].item()
    assert first.prototype == pytest.approx(prototype)
    assert first.deviations == pytest.approx(
        (first.value - prototype) / wine.data["ash"].std(ddof=0)
    )
    assert found.novelty == clf.score_samples(x)[0]
    assert found.label == clf.predict(x)[0]
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert list(found.probabilities) == [0, 1, 2]
    linked = clf.som_map_.neighbours(found.unit)
    assert sorted(one.unit for one in found.neighbours) == linked
    distances = [one.distance for one in found.neighbours]
    assert distances == sorted(distances)


def test_a_row_of_a_table_is_explained_as_it_comes(clf, wine):
    wanted = clf.explain(wine.data.iloc[[7]])
    assert clf.explain(wine.data.iloc[7]) == wanted
    columns = Columns(tuple(wine.data))
    scaler = StandardScaler().fit(wine.data.to_numpy())
    scaled = SomClassifier(max_neurons=20).fit(scaler.transform(wine.data.to_numpy()), wine.target)
    model = FittedModel((("standardize", scaler),), scaled, columns)
    found = model.explain(wine.data[list(wine.data)[::-1]].iloc[7])
    assert found == model.explain(wine.data.to_numpy()[7])
    told = {one.feature: one for one in found.differences}
    assert told["ash"].value == pytest.approx(wine.data["ash"][7])
    raw = scaler.inverse_transform(scaled.weights_[[found.unit]])[0]
    assert told["ash"].prototype == pytest.approx(raw[list(wine.data).index("ash")])
    assert model.answers(wine.data).label.tolist() == model.predict(wine.data).tolist()


def test_what_is_missing_pulls_nowhere(wine):
    X = wine.data.to_numpy().copy()
    X[0, 3] = np.nan
    found = SomVQ(max_neurons=20, epochs=10).fit(X).explain(X[0])
    assert "feature 3" not in [one.feature for one in found.differences]
    assert len(found.differences) == X.shape[1] - 1


def test_a_feature_that_never_varied_is_infinitely_far_once_it_does(wine):
    X = np.column_stack([wine.data, np.full(len(wine.data), 7.0)])
    vq = SomVQ(max_neurons=20, epochs=10).fit(X)
    assert vq.explain(X[0]).differences[-1].deviations == 0
    x = X[0].copy()
    x[-1] = 6.0
    assert vq.explain(x).differences[0].deviations == -np.inf


def test_an_explanation_goes_down_the_child_maps(deep, digits):
    answers = deep.answers(digits[0])
    way = deep.leaf_paths_[answers.leaf]
    at = int(np.flatnonzero(way[:, 1] >= 0)[0])
    found = deep.explain(digits[0][at])
    assert found.path == tuple(way[at][way[at] >= 0])
    below = deep.som_map_.children[found.unit]
    assert len(found.path) == 2
    linked = below.neighbours(found.path[1])
    assert sorted(one.unit for one in found.neighbours) == linked
    top = next(x for x, path in zip(digits[0], way, strict=True) if path[1] < 0)
    for neighbour in deep.explain(top).neighbours:
        assert (neighbour.label is None) == (neighbour.unit in deep.som_map_.children)


# ------------------------------------------------------------------------------- in notebooks


def test_a_fitted_map_says_how_good_it_is_below_the_diagram(clf):
    assert "quantization error" not in SomClassifier()._repr_mimebundle_()["text/html"]
    facts = f"{len(clf.neurons_)} neurons after {clf.n_iter_} epochs, quantization error "
    assert facts in clf._repr_mimebundle_()["text/html"]
    assert facts in clf._repr_html_()


def test_verbose_prints_a_tenth_of_the_epochs_or_all(iris, capsys, monkeypatch):
    monkeypatch.setattr("dbgsom_core.estimators.display._SECONDS_BETWEEN_LINES", math.inf)
    SomVQ(epochs=200, tol=0.0, verbose=1).fit(iris[0])
    lines = capsys.readouterr().out.splitlines()[-11:]
    epochs = [int(one.split()[1].partition("/")[0]) for one in lines]
    assert epochs == [1, *range(20, 201, 20)]
    SomVQ(epochs=4, tol=0.0, verbose=2).fit(iris[0])
    assert capsys.readouterr().out.count("epoch") == 4


# ---------------------------------------------------------------------- as scikit-learn expects


def test_tables_go_in_and_come_out(clf, wine):
    again = SomClassifier(max_neurons=30).set_output(transform="pandas").fit(wine.data, wine.target)
    table = again.transform(wine.data)
    assert isinstance(table, pd.DataFrame)
    assert list(table) == list(again.get_feature_names_out())
    assert list(table.index) == list(wine.data.index)
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(wine.data[list(wine.data)[::-1]])


def test_a_warning_is_about_the_line_that_called_whatever_stands_between(iris):
    model = SomVQ(epochs=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(iris[0])
        model.fit_predict(iris[0])
        make_pipeline(StandardScaler(), model).fit(iris[0])
    assert [(one.category, one.filename) for one in caught] == [(ConvergenceWarning, __file__)] * 3
    first = caught[0].lineno
    assert [one.lineno for one in caught] == [first, first + 1, first + 2]
