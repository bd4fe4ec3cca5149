"""What a metric learns is used everywhere and saved; what it forms replaces the means."""

import pickle

import numba
import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import MetricComponent
from dbgsom_core.engine.results import linked_runners_up
from dbgsom_core.engine.samples import Samples
from dbgsom_core.engine.smoothing import Neighbourhood
from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.metrics.norms import Manhattan

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


def test_pulled_samples_count_as_further_samples(rng):
    """Medians with a pull are those of all samples twice, the second time in their runner-up."""
    X, n_neurons = rng.normal(size=(200, 3)), 5
    som_map = SomMap.rectangle(1, n_neurons, rng.normal(size=(n_neurons, 3)))
    so_far, links = som_map.prototypes, som_map.links_or_self
    data = Samples(X, guarded(Manhattan()))
    found = data.found(so_far, data.assign(so_far))
    bmu, second = found.bmu, linked_runners_up(data, found.bmu, so_far, links)
    weights = np.exp(-np.arange(5.0))
    influence = weights[som_map.hops]
    made = found.fit_prototypes(Neighbourhood(weights, som_map.hops, links, 0.4))
    both = np.vstack([influence, 0.4 * np.eye(n_neurons)])
    units = np.concatenate([bmu, n_neurons + second])
    expected = Manhattan().form(np.vstack([X, X]), units, both, None, so_far)
    np.testing.assert_allclose(made, expected, atol=1e-12)
