"""Training that goes on: partial_fit and warm_start."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from dbgsom_core import SomClassifier, SomVQ


def batches(X, size):
    return [slice(start, start + size) for start in range(0, len(X), size)]


@pytest.fixture
def shuffled(digits):
    order = np.random.default_rng(0).permutation(len(digits[0]))
    return digits[0][order], digits[1][order]


def test_what_was_seen_first_is_not_forgotten():
    """The second batch comes from elsewhere; samples of the first still have their neurons."""
    X, y = make_blobs([400, 400], centers=[[0, 0], [20, 0]], random_state=0)
    vq = SomVQ(kernel={"name": "gaussian", "end": 0.3}).fit(X[y == 0])
    before = vq.calculate_quantization_error(X[y == 0])
    for _ in range(3):
        vq.partial_fit(X[y == 1])
    assert vq.calculate_quantization_error(X[y == 0]) < 1.5 * before
    assert vq.calculate_quantization_error(X[y == 1]) < 2.0 * before


def test_it_goes_on_after_fit_and_after_load(iris, tmp_path):
    X = iris[0]
    vq = SomVQ().fit(X[:100])
    first = SomVQ().partial_fit(X[:100])
    np.testing.assert_array_equal(first.weights_, vq.weights_)
    vq.save(tmp_path / "map.npz")
    again = SomVQ.load(tmp_path / "map.npz")
    vq.partial_fit(X[100:])
    again.partial_fit(X[100:])
    np.testing.assert_array_equal(vq.weights_, again.weights_)


@pytest.mark.parametrize("labels", [list("abcdefghij"), list(range(-5, 5))])
def test_the_classifier_learns_batch_by_batch(labels, shuffled):
    X, y = shuffled[0], np.asarray(labels)[shuffled[1]]
    clf = SomClassifier(max_neurons=80)
    scores = [
        clf.partial_fit(X[rows], y[rows], classes=labels).score(X, y) for rows in batches(X, 450)
    ]
    assert scores[-1] > 0.95
    assert clf.classes_.tolist() == sorted(labels)
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1)


def test_classes_may_come_later(iris):
    X, y = iris
    clf = SomClassifier(epochs=30).partial_fit(X[y < 2], y[y < 2]).partial_fit(X[y == 2], y[y == 2])
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.score(X, y) > 0.85
    with pytest.raises(ValueError, match="mix texts and numbers"):
        clf.partial_fit(X, np.array(["a", "b", "c"])[y])


def test_warm_start_goes_on_where_fit_ended(shuffled):
    X, _ = shuffled
    vq = SomVQ(max_neurons=60, warm_start=True).fit(X)
    neurons = list(vq.neurons_)
    vq.set_params(epochs=20).fit(X)
    assert vq.neurons_[: len(neurons)] == neurons
    cold = SomVQ(max_neurons=60, epochs=20).fit(X)
    assert vq.quantization_error_ < cold.quantization_error_
    with pytest.raises(ValueError, match="continues a map of 64 features"):
        vq.fit(X[:, :10])


@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_a_map_does_not_go_on_in_another_metric(method, iris):
    X, _ = iris
    vq = SomVQ(warm_start=True, epochs=10).fit(X).set_params(metric="manhattan")
    with pytest.raises(ValueError, match=r"trained with metric Euclidean.* cannot go on"):
        getattr(vq, method)(X)


def test_a_fit_that_fails_leaves_the_map_as_it_was(iris):
    X, y = iris
    clf = SomClassifier(metric="mahalanobis", epochs=10).fit(X, y)
    before, answers = dict(vars(clf)), clf.predict_proba(X)
    with pytest.raises(ValueError, match="constant"):
        clf.fit(np.ones((40, 3)), y[:40])
    with pytest.raises(ValueError, match="Negative"):
        clf.partial_fit(X, y, sample_weight=-np.ones(len(X)))
    assert vars(clf).keys() == before.keys()
    assert all(vars(clf)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(clf.predict_proba(X), answers)
