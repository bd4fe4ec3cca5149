"""Class probabilities from the groups around a sample and from a logistic regression."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from dbgsom_core import SomClassifier, persistence, presets
from dbgsom_plugins.labellers import neurons
from dbgsom_plugins.labellers.neurons import (
    _FOLDS,
    _PENALTIES_OF_CLASSES,
    _folds,
    _logistic_regression,
)

FEW = {"epochs": 8, "max_neurons": 20, "tol": 0}


def halves(n=400, classes=3):
    X, y = make_classification(
        n, 6, n_informative=4, n_classes=classes, flip_y=0.15, class_sep=0.8, random_state=3
    )
    return X[::2], y[::2], X[1::2], y[1::2]


@pytest.mark.parametrize(("classes", "most"), [(2, 1), (3, 1), (3, 4)])
def test_the_regression_is_the_one_of_scikit_learn_with_the_likeliest_penalty(
    classes, most, monkeypatch
):
    monkeypatch.setattr(neurons, "_LEAST_GAIN", 1e-15)  # as near as scikit-learn is asked to go
    monkeypatch.setattr(neurons, "_STEPS", 500)
    X, y, *_ = halves(600, classes)
    weights = np.random.default_rng(0).integers(1, most + 1, len(y)) * 1.0
    weights /= weights.sum()
    X = X - weights @ X
    X /= np.sqrt(weights @ X**2)
    folds = _folds(X, y)

    def twin(penalty, rows):
        total = weights[rows].sum()  # two classes have one row of slopes, the difference of ours
        strength = (2 if classes == 2 else 1) / (penalty * total)
        model = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
        return model.fit(X[rows], y[rows], weights[rows])

    losses = []
    for penalty in _PENALTIES_OF_CLASSES:
        logs = np.empty((len(y), classes))
        for fold in range(_FOLDS):
            left = folds == fold
            logs[left] = twin(penalty, ~left).predict_log_proba(X[left])
        losses.append(-np.average(logs[np.arange(len(y)), y], weights=weights))
    likeliest = _PENALTIES_OF_CLASSES[int(np.argmin(losses))]
    slopes, intercepts, _, _ = _logistic_regression(X, y, weights, folds, _FOLDS, classes)
    shares = softmax(X @ slopes + intercepts, axis=1)
    expected = twin(likeliest, slice(None)).predict_proba(X)
    np.testing.assert_allclose(shares, expected, atol=1e-4)


def test_probabilities_are_the_product_of_both_by_their_shares():
    *known, X, _ = halves()
    fitted = SomClassifier(**FEW).fit(*known)
    state = fitted._answering.state
    votes = SomClassifier(**FEW, labeller="kernel_vote").fit(*known).predict_proba(X)
    mix, n = state["mix"]
    Z = (X - state["mean"]) / state["scale"]
    linear = softmax(Z @ state["slopes"] + state["intercepts"], axis=1)
    linear = (n * linear + state["shares"]) / (n + 1)
    expected = softmax(mix * np.log(votes) + (1 - mix) * np.log(linear), axis=1)
    assert 0 < mix < 1
    np.testing.assert_allclose(fitted.predict_proba(X), expected, rtol=1e-9)
    np.testing.assert_array_equal(
        fitted.classes_[fitted.predict_proba(fitted.weights_).argmax(axis=1)],
        fitted.neuron_labels_,
    )


def test_it_sees_a_plane_that_neurons_cannot_and_keeps_what_they_see():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 8))
    plane = (X @ rng.normal(size=8) > 0).astype(int)
    rings = (np.linalg.norm(X[:, :2], axis=1) > 1.2).astype(int)
    X_rings = X * [1, 1, *[0.05] * 6]

    def loss(labeller, X, y):
        clf = SomClassifier(labeller=labeller, epochs=20, tol=0).fit(X[:400], y[:400])
        return log_loss(y[400:], clf.predict_proba(X[400:]))

    assert loss("linear_vote", X, plane) < 0.5 * loss("kernel_vote", X, plane)
    assert loss("linear_vote", X_rings, rings) < 1.05 * loss("kernel_vote", X_rings, rings)


def test_a_weight_of_two_is_the_same_sample_twice():
    X, y, X_test, _ = halves()
    twice = np.arange(len(X)) % 3 == 0
    fixed = {"name": "fixed", "rows": 3, "columns": 4}
    params = {**presets.square(), "epochs": 8, "growth": fixed}
    weighted = SomClassifier(**params).fit(X, y, np.where(twice, 2.0, 1.0))
    repeated = SomClassifier(**params).fit(
        np.concatenate([X, X[twice]]), np.concatenate([y, y[twice]])
    )
    assert 0 < weighted._answering.state["mix"][0] < 1
    np.testing.assert_allclose(
        weighted.predict_proba(X_test), repeated.predict_proba(X_test), rtol=1e-6
    )


@pytest.mark.parametrize(
    "engine",
    [{"name": "local", "threads": 1, "chunk_rows": 64}, {"name": "dask", "shard": 0.05}],
    ids=lambda engine: engine["name"],
)
def test_every_engine_gives_the_same_bits(engine):
    X, y, X_test, _ = halves(1200)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    weights = np.random.default_rng(1).integers(1, 3, len(y))
    usual = SomClassifier(**FEW, engine={"name": "local", "threads": 2}).fit(X, y, weights)
    other = SomClassifier(**FEW, engine=engine).fit(X, y, weights)
    shares = usual.predict_proba(X_test)
    np.testing.assert_array_equal(other.predict_proba(X_test), shares)
    rows = [usual.predict_proba(X_test[row : row + 1])[0] for row in range(30)]
    np.testing.assert_array_equal(rows, shares[:30])


def test_sparse_samples_are_answered_as_dense_ones():
    X, y, X_test, _ = halves()
    dense, sparse = SomClassifier(**FEW).fit(X, y), SomClassifier(**FEW).fit(csr_array(X), y)
    expected = dense.predict_proba(X_test)
    np.testing.assert_allclose(sparse.predict_proba(csr_array(X_test)), expected, rtol=1e-6)
    np.testing.assert_allclose(sparse.predict_proba(X_test), expected, rtol=1e-6)


@pytest.mark.parametrize(("columns", "classes"), [(1001, 2), (600, 17)])
def test_wide_samples_get_the_votes_alone(columns, classes):
    X = np.random.default_rng(0).normal(size=(120, columns))
    y = np.arange(120) % classes
    ours = SomClassifier(**FEW).fit(X, y)
    votes = SomClassifier(**FEW, labeller="kernel_vote").fit(X, y)
    np.testing.assert_array_equal(ours.predict_proba(X), votes.predict_proba(X))


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: (X, np.zeros(len(y), int)),  # one class
        lambda X, y: (X[:5], [0, 1, 2, 3, 3]),  # fewer samples than classes times folds
        lambda X, y: (X * [1e-150, 1e-20, 1, 0, 1e60, 1e120], y),
        lambda X, y: (X.astype(np.float32), np.where(np.arange(len(y)) % 4, None, y)),
    ],
)
def test_odd_samples_and_classes_get_finite_shares(change):
    X, y = change(*halves()[:2])
    clf = SomClassifier(**FEW).fit(X, y)
    far = clf.predict_proba(np.concatenate([X, 1e6 * X]))
    assert np.isfinite(far).all()
    assert far.min() > 0
    np.testing.assert_allclose(far.sum(axis=1), 1)


def test_a_class_without_samples_keeps_a_chance_and_a_file_answers_to_the_bit(tmp_path):
    X, y, X_test, _ = halves()
    clf = SomClassifier(**FEW).partial_fit(X, y, classes=[0, 1, 2, 9])
    shares = clf.predict_proba(X_test)
    assert 0 < shares[:, 3].max() < 0.05
    clf.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(
        persistence.load(tmp_path / "m.npz").predict_proba(X_test), shares
    )
