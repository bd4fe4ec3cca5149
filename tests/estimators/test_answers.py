"""What a fitted map says of samples at once, why it says so of one, and how it shows itself."""

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomVQ
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


def test_answers_are_of_the_map_that_was_asked(iris):
    X, y = iris
    clf = SomClassifier(epochs=5).fit(X, y)
    lazy, known = clf.answers(X), clf.answers(X)
    names = ("label", "cell", "leaf", "distance", "pvalue", "outlier", "probabilities")
    before = [getattr(known, name) for name in names]
    clf.set_params(max_neurons=4).fit(X[::-2] * 2, y[::-2])
    for name, expected in zip(names, before, strict=True):
        np.testing.assert_array_equal(getattr(lazy, name), expected)


def test_an_explanation_says_what_pulls_a_sample_away(clf, wine):
    x = wine.data.iloc[[10]].copy()
    deviation = wine.data["ash"].std(ddof=0)
    x["ash"] += 50 * deviation
    explanation = clf.explain(x)
    first = explanation.differences[0]
    prototype = clf.weights_[explanation.unit][list(wine.data).index("ash")]
    assert (first.feature, first.value) == ("ash", x["ash"].item())
    assert first.prototype == pytest.approx(prototype)
    assert first.deviations == pytest.approx((first.value - prototype) / deviation)
    assert explanation.novelty == clf.score_samples(x)[0]
    assert explanation.label == clf.predict(x)[0]
    assert list(explanation.probabilities) == [0, 1, 2]
    neighbours = sorted(neighbour.unit for neighbour in explanation.neighbours)
    assert neighbours == clf.som_map_.neighbours(explanation.unit)
    distances = [neighbour.distance for neighbour in explanation.neighbours]
    assert distances == sorted(distances)


def test_a_row_of_a_table_is_explained_in_raw_units(wine):
    X = wine.data.to_numpy()
    scaler = StandardScaler().fit(X)
    scaled = SomClassifier(max_neurons=20, epochs=10).fit(scaler.transform(X), wine.target)
    model = FittedModel((("standardize", scaler),), scaled, Columns(tuple(wine.data)))
    explanation = model.explain(wine.data[list(wine.data)[::-1]].iloc[7])
    assert explanation == model.explain(X[7])
    ash = {line.feature: line for line in explanation.differences}["ash"]
    assert ash.value == pytest.approx(wine.data["ash"][7])
    raw = scaler.inverse_transform(scaled.weights_[[explanation.unit]])[0]
    assert ash.prototype == pytest.approx(raw[list(wine.data).index("ash")])


def test_what_is_missing_pulls_nowhere_and_what_never_varied_infinitely(wine):
    X = np.column_stack([wine.data, np.full(len(wine.data), 7.0)])
    X[0, 3] = np.nan
    vq = SomVQ(max_neurons=20, epochs=10).fit(X)
    x = X[0].copy()
    x[-1] = 6.0
    differences = vq.explain(x).differences
    assert "feature 3" not in [line.feature for line in differences]
    assert len(differences) == X.shape[1] - 1
    assert differences[0].deviations == -np.inf


def test_an_explanation_goes_down_the_child_maps(digits):
    X = digits[0]
    deep = SomVQ(growth=DEEP, epochs=20).fit(X)
    paths = deep.leaf_paths_[deep.answers(X).leaf]
    row = int(np.flatnonzero(paths[:, 1] >= 0)[0])
    explanation = deep.explain(X[row])
    assert explanation.path == tuple(paths[row][paths[row] >= 0])
    child = deep.som_map_.children[explanation.unit]
    neighbours = sorted(neighbour.unit for neighbour in explanation.neighbours)
    assert neighbours == child.neighbours(explanation.path[1])


# ------------------------------------------------------------------------------- in notebooks


def test_a_fitted_map_says_how_good_it_is_below_the_diagram(clf):
    assert "quantization error" not in SomClassifier()._repr_mimebundle_()["text/html"]
    facts = f"{len(clf.neurons_)} neurons after {clf.n_iter_} epochs, quantization error "
    assert facts in clf._repr_mimebundle_()["text/html"]
    assert facts in clf._repr_html_()


def test_verbose_prints_a_tenth_of_the_epochs_or_all(iris, capsys):
    for verbose, least in ((1, 11), (2, 40)):
        SomVQ(epochs=40, tol=0.0, verbose=verbose).fit(iris[0])
        assert capsys.readouterr().out.count("epoch") >= least


# ---------------------------------------------------------------------- as scikit-learn expects
