"""Whitening gives scipy's Mahalanobis distance; the shrinkage is that of scikit-learn."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.preprocessing import scale

from dbgsom_core import SomVQ
from dbgsom_core.training.parts import fit_metric
from dbgsom_plugins.metrics.norms import Mahalanobis


@pytest.fixture
def correlated(rng):
    return rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)) * [1, 10, 1e3, 1e-3, 1] + 50


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, "ledoit_wolf"])
def test_distances_are_scipys_with_the_shrunk_covariance(shrinkage, correlated):
    metric = fit_metric(Mahalanobis(shrinkage=shrinkage), correlated).calls
    share = ledoit_wolf_shrinkage(scale(correlated)) if shrinkage == "ledoit_wolf" else shrinkage
    covariance = np.cov(correlated.T)
    covariance = (1 - share) * covariance + share * np.diag(np.diag(covariance))
    expected = cdist(correlated, correlated[:9], "mahalanobis", VI=np.linalg.inv(covariance))
    points = metric.prepare(correlated)
    np.testing.assert_allclose(metric.pairwise(points, points[:9]), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shrinkage", [0.0, "ledoit_wolf"])
def test_a_singular_covariance_is_no_trouble(shrinkage, rng):
    X = rng.normal(size=(60, 3))
    X = np.column_stack([X, X[:, 0] + X[:, 1], np.full(60, 7.0)])
    learned = fit_metric(Mahalanobis(shrinkage=shrinkage), X)
    metric = learned.calls
    vq = SomVQ(metric=learned.metric, epochs=10).fit(X)
    assert np.isfinite(vq.weights_).all()
    points = metric.prepare(X)
    if shrinkage == 0.0:  # as if the features that say nothing new were not there
        inverse = np.linalg.inv(np.cov(X[:, :3].T))
        expected = cdist(X[:, :3], X[:5, :3], "mahalanobis", VI=inverse)
        np.testing.assert_allclose(metric.pairwise(points, points[:5]), expected, atol=1e-7)


@pytest.mark.parametrize("shrinkage", [0.0, "ledoit_wolf"])
def test_a_weight_is_the_sample_so_many_times(shrinkage, correlated):
    weights = np.random.default_rng(1).integers(0, 4, len(correlated))
    repeated = np.repeat(correlated, weights, axis=0)
    metric = {"name": "mahalanobis", "shrinkage": shrinkage}
    one = SomVQ(metric=metric, max_neurons=12, epochs=20).fit(correlated, sample_weight=weights)
    other = SomVQ(metric=metric, max_neurons=12, epochs=20).fit(repeated)
    for name in ("mean", "whitening"):
        np.testing.assert_allclose(one._metric.state[name], other._metric.state[name], rtol=1e-9)
    if shrinkage != 0:  # without it no axis of the whitened data is longer than another
        np.testing.assert_allclose(one.weights_, other.weights_, rtol=1e-7, atol=1e-9)
