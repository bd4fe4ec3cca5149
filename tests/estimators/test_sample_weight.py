"""A weight counts as so many repetitions of the row, everywhere."""

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV

from dbgsom_core import SomClassifier, SomVQ


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "mahalanobis"])
def test_weights_are_repetitions(metric, digits):
    X = digits[0][:600]
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    params = {"metric": metric, "max_neurons": 40, "epochs": 30}
    vq = SomVQ(**params).fit(X, sample_weight=weights)
    twin = SomVQ(**params).fit(np.repeat(X, weights, axis=0))
    assert vq.neurons_ == twin.neurons_
    np.testing.assert_allclose(vq.weights_, twin.weights_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(vq.hit_counts_, twin.hit_counts_)
    np.testing.assert_allclose(vq.errors_, twin.errors_, rtol=1e-7)
    assert vq.quantization_error_ == pytest.approx(twin.quantization_error_, rel=1e-9)
    assert vq.topographic_error_ == pytest.approx(twin.topographic_error_, abs=1e-12)
    np.testing.assert_array_equal(np.repeat(vq.labels_, weights), twin.labels_)


def test_samples_of_weight_zero_train_nothing_and_are_labelled(iris):
    X, _ = iris
    weights = np.ones(len(X))
    weights[::3] = 0
    vq = SomVQ().fit(X, sample_weight=weights)
    kept = SomVQ().fit(X[weights > 0])
    np.testing.assert_allclose(vq.weights_, kept.weights_, rtol=1e-12)
    np.testing.assert_array_equal(vq.labels_, vq.predict(X))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(150), "[Nn]egative"),
        (np.r_[np.ones(3), np.zeros(147)], "leaves 3 samples with a positive weight"),
    ],
)
def test_bad_weights_are_refused(weights, message, iris):
    with pytest.raises(ValueError, match=message):
        SomVQ().fit(iris[0], sample_weight=weights)


def test_score_and_errors_are_weighted(iris):
    X, _ = iris
    vq = SomVQ().fit(X)
    weights = np.arange(len(X), dtype=float)
    expected = np.average(vq.transform(X, "distances").min(axis=1), weights=weights)
    assert vq.calculate_quantization_error(X, weights) == pytest.approx(expected)
    assert vq.score(X, sample_weight=weights) == pytest.approx(-expected)


def test_weights_are_routed_through_a_search(iris):
    X, y = iris
    weights = np.linspace(0.5, 2, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        clf = SomClassifier(epochs=10).set_fit_request(sample_weight=True)
        clf.set_score_request(sample_weight=True)
        search = GridSearchCV(clf, {"growth__spreading_factor": [0.3, 0.6]}, cv=3)
        search.fit(X, y, sample_weight=weights)
    assert search.best_score_ > 0.8
    assert search.best_estimator_.hit_counts_.sum() == pytest.approx(weights.sum())
