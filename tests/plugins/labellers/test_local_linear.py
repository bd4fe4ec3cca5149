"""Linear models around the neurons."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_friedman1
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from dbgsom_core import SomRegressor

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
        x, units = X_test[row] - state["mean"], groups.units[near]
        told = state["offsets"][units] + state["slopes"][units] @ (x @ state["axes"])
        expected = state["of_all"] @ [*x, 1] + kernel @ told / kernel.sum()
        assert found == pytest.approx(expected, rel=1e-9)
