"""Linear models around the neurons."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_friedman1
from sklearn.linear_model import QuantileRegressor, Ridge
from sklearn.neighbors import KNeighborsRegressor

from dbgsom_core import SomRegressor
from dbgsom_plugins.labellers.neurons import _ridges

FEW = {"max_neurons": 15, "epochs": 10}


@pytest.fixture(scope="module")
def friedman():
    X, y = make_friedman1(600, noise=0.5, random_state=0)
    return X[::2], y[::2], X[1::2], y[1::2]


def test_a_plane_is_found_exactly(rng):
    X = rng.normal(size=(200, 3)) * [1, 10, 100]
    y = X @ [3.0, -2.0, 0.1] + 7
    regressor = SomRegressor().fit(X[:100], y[:100])
    np.testing.assert_allclose(regressor.predict(X[100:]), y[100:], atol=0.05)


def test_it_bends_where_a_plane_cannot_and_beats_neighbours_and_means(friedman):
    X, y, X_test, y_test = friedman
    ours = SomRegressor().fit(X, y).score(X_test, y_test)
    assert ours > Ridge().fit(X, y).score(X_test, y_test) + 0.02
    assert ours > KNeighborsRegressor(5).fit(X, y).score(X_test, y_test)
    assert ours > SomRegressor(labeller="mean").fit(X, y).score(X_test, y_test)


def test_sparse_samples_get_weighed_means_and_are_no_question_to_models_of_dense_ones(friedman):
    X, y, X_test, y_test = friedman
    regressor = SomRegressor(**FEW).fit(csr_array(X), y)
    assert regressor.score(csr_array(X_test), y_test) > 0.3
    with pytest.raises(ValueError, match=r"learnt from dense samples: give X\.toarray\(\)"):
        SomRegressor(**FEW).fit(X, y).predict(csr_array(X_test))


def test_answers_are_the_weighed_mean_of_the_models_around(friedman):
    X, y, X_test, _ = friedman
    regressor = SomRegressor(**FEW).fit(X, y)
    groups, state = regressor._answering, regressor._answering.state
    squares = np.square(X_test[:20, None] - groups.centres).sum(axis=2)
    for row, found in enumerate(regressor.predict(X_test[:20])):
        near = np.argsort(squares[row])[:4]
        away = squares[row, near] - squares[row, near[0]]
        kernel = np.exp(-away / (0.2 * squares[row, near[-1]]))
        x, units = (X_test[row] - state["mean"]) / state["scale"], groups.units[near]
        steps = x[state["step_columns"]] > state["steps"]
        told = state["offsets"][units] + state["slopes"][units] @ (x @ state["axes"])
        expected = state["of_all"] @ [*x, *steps, 1] + kernel @ told / kernel.sum()
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["steps", "pairs of categories"])
def test_it_sees_what_neither_a_plane_nor_neurons_do(kind):
    rng = np.random.default_rng(0)
    if kind == "steps":
        X = rng.normal(size=(1200, 10))
        y = 2 * np.abs(X[:, 0]) + 2 * (X[:, 1] > 0.5)
    else:
        codes = rng.integers(0, 4, (1200, 6))
        y = rng.normal(size=(4, 4))[codes[:, 0], codes[:, 1]]
        X = np.hstack([np.eye(4)[column] for column in codes.T])
    y = y + 0.1 * rng.normal(size=1200)
    X, X_test, y, y_test = X[:800], X[800:], y[:800], y[800:]
    plane = Ridge().fit(X, y).score(X_test, y_test)
    neighbours = KNeighborsRegressor(10).fit(X, y).score(X_test, y_test)
    ours = SomRegressor(max_neurons=40).fit(X, y).score(X_test, y_test)
    assert max(plane, neighbours) < 0.7
    assert ours > 0.9


@pytest.mark.parametrize(("n_columns", "penalty"), [(3, 3.0), (60, 1e-3)])
def test_residuals_are_those_of_fits_without_the_sample(rng, n_columns, penalty):
    X, y = rng.normal(size=(40, n_columns)), rng.normal(size=40)
    weights = rng.uniform(0.2, 1, 40)
    left_over, _, _ = _ridges(X, y, weights, np.ones(40, dtype=bool), np.array([penalty]), 0)
    for row in (0, 17):
        others = np.arange(40) != row
        # The mean of columns and target stays that of all samples, which the leverage counts.
        twin = Ridge(alpha=penalty).fit(X[others], y[others], weights[others])
        assert left_over[row, 0] == pytest.approx(y[row] - twin.predict(X[[row]])[0], rel=1e-6)


def test_absolute_loss_gives_medians_which_outliers_do_not_move(rng):
    X = rng.normal(size=(600, 3))
    y = X @ [3.0, -2.0, 1.0] + rng.exponential(size=600)
    y[::50] *= 100
    ours = SomRegressor(labeller={"name": "local_linear", "loss": "absolute"}, max_neurons=15)
    medians = QuantileRegressor(quantile=0.5, alpha=0).fit(X, y)
    new = rng.normal(size=(500, 3))
    away = ours.fit(X, y).predict(new) - medians.predict(new)
    assert np.abs(away).mean() < 0.2
    assert np.abs(away.mean()) < 0.1, "a mean is 0.3 above the median"
    squared = SomRegressor(max_neurons=15).fit(X, y).predict(new) - medians.predict(new)
    assert np.abs(squared).mean() > 1


def test_absolute_loss_of_sparse_samples_is_refused(friedman):
    X, y, *_ = friedman
    regressor = SomRegressor(labeller={"name": "local_linear", "loss": "absolute"}, **FEW)
    with pytest.raises(ValueError, match="loss: absolute needs dense samples"):
        regressor.fit(csr_array(X), y)
