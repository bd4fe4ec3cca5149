"""Whitening gives scipy's Mahalanobis distance; the shrinkage is that of scikit-learn."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.preprocessing import scale

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


def test_features_that_say_nothing_new_count_nothing(rng):
    X = rng.normal(size=(60, 3))
    more = np.column_stack([X, X[:, 0] + X[:, 1], np.full(60, 7.0)])
    metric = fit_metric(Mahalanobis(shrinkage=0.0), more).calls
    points = metric.prepare(more)
    expected = cdist(X, X[:5], "mahalanobis", VI=np.linalg.inv(np.cov(X.T)))
    np.testing.assert_allclose(metric.pairwise(points, points[:5]), expected, atol=1e-7)
