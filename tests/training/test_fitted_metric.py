"""What a metric learns is used everywhere and saved; what it forms replaces the means."""

import pickle

import numba
import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import MetricComponent
from dbgsom_core.errors import PluginError

DBGSOM_API_VERSION = 1
FIXED = {"name": "fixed", "rows": 4, "columns": 4}


def _distance(x, w, params):
    return np.sqrt(((x - w) ** 2).sum())


class Scaled(MetricComponent):
    """Euclidean distance in units of each feature's range, written for one pair."""

    scalar = staticmethod(numba.njit(_distance))

    def fit(self, X):
        return {"range": np.ptp(X, axis=0)}

    def prepare(self, X, state):
        return (X / state["range"]).astype(X.dtype)


class Means(MetricComponent):
    """Euclidean distance whose prototypes are means, formed by itself."""

    def pairwise(self, X, prototypes):
        return np.sqrt(((X[:, None] - prototypes) ** 2).sum(axis=2))

    def form(self, X, units, influence, weights, so_far):
        shares = influence[units] if weights is None else influence[units] * weights[:, None]
        total = shares.sum(axis=0)
        means = shares.T @ X / np.where(total > 0, total, 1)[:, None]
        return np.where(total[:, None] > 0, means, so_far)


def test_the_state_is_used_in_training_and_prediction(iris):
    X = iris[0] * [1, 10, 100, 1000]
    learned = SomVQ(metric=Scaled(), growth=FIXED, epochs=8).fit(X)
    by_hand = SomVQ(growth=FIXED, epochs=8).fit(X / np.ptp(X, axis=0))
    np.testing.assert_allclose(learned.weights_, by_hand.weights_, rtol=1e-9)
    new, scaled = X[:7] + 0.1, (X[:7] + 0.1) / np.ptp(X, axis=0)
    np.testing.assert_array_equal(learned.predict(new), by_hand.predict(scaled))
    np.testing.assert_allclose(learned.transform(new), by_hand.transform(scaled), atol=1e-6)


class Forgetful(Means):
    """Learns what nobody gets."""

    def fit(self, X):
        return {"mean": X.mean(axis=0)}


class LearnsALot(Scaled):
    """Returns no mapping."""

    def fit(self, X):
        return np.ptp(X, axis=0)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (Forgetful(), r"metric Forgetful.*lacks prepare"),
        (LearnsALot(), r"LearnsALot \(.*: fit returned .*; expected a mapping"),
    ],
)
def test_a_metric_that_learns_what_cannot_be_used_is_named(metric, told):
    with pytest.raises(PluginError, match=told):
        SomVQ(metric=metric).fit(np.eye(5))


def test_the_state_is_saved(tmp_path, iris):
    X, y = iris
    model = SomClassifier(metric={"name": "mahalanobis", "shrinkage": 0.1}).fit(X[::2], y[::2])
    model.save(tmp_path / "map.npz")
    for again in (SomClassifier.load(tmp_path / "map.npz"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_formed_means_train_the_map_of_the_ordinary_update(digits):
    X = digits[0][:300]
    growth = {"name": "directed", "max_neurons": 20}  # with a pull on linked neighbours
    formed_, ordinary = (
        SomVQ(metric=metric, growth=growth, epochs=40).fit(X) for metric in (Means(), "euclidean")
    )
    assert formed_.neurons_ == ordinary.neurons_
    np.testing.assert_allclose(formed_.weights_, ordinary.weights_, atol=1e-8)
