"""Classes count as ``class_weight`` says, as in scikit-learn."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils.class_weight import compute_sample_weight

from dbgsom_core import SomClassifier, persistence

FEW = {"epochs": 8, "growth": {"name": "fixed", "rows": 3, "columns": 4}}


@pytest.fixture(scope="module")
def uneven():
    X, y = make_classification(
        800, 6, n_informative=4, weights=[0.85], class_sep=0.7, random_state=1
    )
    return X[::2], y[::2], X[1::2], y[1::2]


def assert_same(one, other, X, rtol=0.0):
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=rtol)


@pytest.mark.parametrize("given", ["balanced", {0: 0.5, 1: 3}, {1: 2}])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_multiplies_the_weights_of_samples_as_in_scikit_learn(given, weighted, uneven):
    X, y, X_test, _ = uneven
    weights = np.where(np.arange(len(y)) % 2, 2.0, 1.0) if weighted else np.ones(len(y))
    by_class = compute_sample_weight(given, y)
    if given == "balanced":  # so that the weights of both classes have the same sum
        totals = np.bincount(y, weights)
        by_class = (totals.sum() / 2 / totals)[y]
    ours = SomClassifier(class_weight=given, **FEW).fit(X, y, weights)
    assert_same(ours, SomClassifier(**FEW).fit(X, y, weights * by_class), X_test)


@pytest.mark.parametrize("given", [{"yes": 4}, "balanced"])
def test_samples_without_a_class_count_once(given, uneven):
    X, y, X_test, _ = uneven
    names = np.where(y == 1, "yes", "no").astype(object)
    is_known = np.arange(len(y)) % 3 > 0
    names[~is_known] = None
    ours = SomClassifier(class_weight=given, **FEW).fit(X, names)
    weights = np.ones(len(y))
    weights[is_known] = compute_sample_weight(given, names[is_known].astype(str))
    assert_same(ours, SomClassifier(**FEW).fit(X, names, weights), X_test)


@pytest.mark.parametrize("given", [{0: 1, 1: 3}, {np.int64(1): 2.5}])
def test_it_is_a_parameter_that_files_and_clones_keep(given, uneven, tmp_path):
    X, y, X_test, _ = uneven
    ours = SomClassifier(**FEW).set_params(class_weight=given).fit(X, y)
    ours.save(tmp_path / "m.npz")
    loaded = persistence.load(tmp_path / "m.npz")
    assert loaded.class_weight == given
    assert_same(clone(loaded).fit(X, y), ours, X_test)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "'class_weight' parameter of SomClassifier must be a str among {'balanced'}"),
        ({0: -1}, "Negative values in data passed to `sample_weight`"),
        ({1: 2, "maybe": 2}, "names 'maybe', which is no class of these samples .0, 1.: leave"),
    ],
)
def test_what_it_may_not_be_is_said(given, message, uneven):
    with pytest.raises(ValueError, match=message):
        SomClassifier(class_weight=given).fit(*uneven[:2])


def test_partial_fit_takes_weights_of_classes_and_not_their_balance(uneven):
    X, y, X_test, _ = uneven
    ours, weighted = SomClassifier(class_weight={1: 3}, **FEW), SomClassifier(**FEW)
    ours.partial_fit(X, y)
    weighted.partial_fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0))
    assert_same(ours, weighted, X_test)
    with pytest.raises(ValueError, match="'balanced' needs all samples at once"):
        SomClassifier(class_weight="balanced", **FEW).partial_fit(X, y)
