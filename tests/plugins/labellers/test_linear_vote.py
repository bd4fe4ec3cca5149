"""Class probabilities from the groups around a sample and from logistic regressions."""

from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from dbgsom_core import SomClassifier, persistence, presets
from dbgsom_plugins.labellers import neurons
from dbgsom_plugins.labellers.neurons import (
    _FOLDS,
    _PENALTIES_OF_CLASSES,
    _TOWARDS_EQUAL,
    _folds,
    _logistic_regression,
    _most_likely_pool,
    _terms,
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
    monkeypatch.setattr(neurons, "_ITERATIONS", 500)
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
    slopes, intercepts, _ = _logistic_regression(X, y, weights, folds, _FOLDS, classes)
    shares = softmax(X @ slopes + intercepts, axis=1)
    expected = twin(likeliest, slice(None)).predict_proba(X)
    np.testing.assert_allclose(shares, expected, atol=1e-4)


def with_categories(X):
    corners = np.random.default_rng(1).integers(0, 2, (len(X), 3))
    return np.hstack([X, corners])


def of_pairs(X):
    return (X[:, -1] + X[:, -2] == 1) + (np.abs(X[:, 0]) > 1)


def test_probabilities_are_the_product_of_all_by_their_exponents():
    known, _, new, _ = halves()
    known, new = with_categories(known), with_categories(new)
    y = of_pairs(known)
    fitted = SomClassifier(**FEW).fit(known, y)
    state = fitted._answering.state
    votes = SomClassifier(**FEW, labeller="kernel_vote").fit(known, y).predict_proba(new)
    Z = (new - state["mean"]) / state["scale"]
    steps = Z[:, state["step_columns"]] > state["steps"]
    pairs = np.stack([(Z[:, i] > 0) & (Z[:, j] > 0) for i, j in state["pairs"].T], axis=1)
    pool = votes ** state["exponents"][0]
    for name, features, exponent in zip(
        ("columns", "steps", "pairs"),
        (Z, np.hstack([Z, steps]), np.hstack([Z, pairs])),
        state["exponents"][1:],
        strict=True,
    ):
        scores = features @ state[f"{name}_slopes"] + state[f"{name}_intercepts"]
        shares = state["n"] * softmax(scores, axis=1) + state["shares"]
        pool *= (shares / (state["n"] + 1)) ** exponent
    assert state["pairs"].shape == (2, 3)
    assert np.count_nonzero(state["exponents"]) >= 3, "of four"
    expected = pool / pool.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(new), expected, rtol=1e-9)
    np.testing.assert_array_equal(
        fitted.classes_[fitted.predict_proba(fitted.weights_).argmax(axis=1)],
        fitted.neuron_labels_,
    )


def test_exponents_make_the_classes_as_likely_as_any_others_do():
    rng = np.random.default_rng(0)
    logs = np.log(rng.dirichlet(np.ones(3), (3, 200)))
    y, weights = rng.integers(0, 3, 200), rng.random(200)
    truth = np.eye(3)[y]
    logs[0] = np.log(0.6 * np.exp(logs[0]) + 0.4 * truth)

    def loss(exponents):
        shares = softmax(np.tensordot(exponents, logs, 1), axis=1)
        likely = log_loss(y, shares, sample_weight=weights)
        return likely + _TOWARDS_EQUAL / 2 * np.square(exponents - 1 / 3).sum()

    found = _most_likely_pool(logs, y, weights)
    grid = np.linspace(0, 2, 21)
    others = [loss(np.array(exponents)) for exponents in product(grid, grid, grid)]
    assert loss(found) <= min(others)
    assert 0 <= found.min() <= found.max() <= 2


def test_steps_lie_at_sixteenths_and_pairs_are_of_columns_of_two_values():
    X = np.stack([np.arange(160.0), np.repeat([0.0, 1.0], 80), np.tile([0.0, 1.0], 80)], 1)
    X = np.column_stack([X, X[:, 0] == 0])
    terms = _terms(X - X.mean(axis=0), np.ones(160))
    cuts = terms["steps"] + X[:, 0].mean()
    np.testing.assert_array_equal(terms["step_columns"], np.zeros(15))
    np.testing.assert_allclose(cuts, np.arange(9.0, 150, 10))
    np.testing.assert_array_equal(terms["pairs"], [[1], [2]])  # the last has too few samples


@pytest.mark.parametrize("kind", ["one inside the other", "pairs of categories"])
def test_it_sees_what_neither_votes_nor_planes_do(kind):
    rng = np.random.default_rng(0)
    if kind == "one inside the other":
        y = rng.integers(0, 2, 1200)
        X = rng.normal(size=(1200, 8)) * np.where(y, 2.0, 1.0)[:, None]
    else:
        codes = rng.integers(0, 4, (1200, 6))
        y = rng.integers(0, 3, (4, 4))[codes[:, 0], codes[:, 1]]
        X = np.hstack([np.eye(4)[column] for column in codes.T])
    X /= X.std(axis=0)
    forest = RandomForestClassifier(random_state=0).fit(X[:800], y[:800])
    clf = SomClassifier(max_neurons=60).fit(X[:800], y[:800])
    assert clf.score(X[800:], y[800:]) >= forest.score(X[800:], y[800:])


def test_many_samples_learn_steps_from_some_and_few_wide_ones_none():
    few = SomClassifier(**FEW).fit(*make_classification(6000, 30, random_state=0))
    assert "steps" in few._answering.state
    none = SomClassifier(**FEW).fit(
        *make_classification(3000, 90, n_informative=8, n_classes=6, random_state=0)
    )
    assert "steps" not in none._answering.state


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
    assert np.count_nonzero(weighted._answering.state["exponents"]) > 1
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
