"""Outliers that count less (D'Urso et al. 2019)."""

import numpy as np
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.engine.moments import weighted_median
from dbgsom_core.engine.results import smoothed_weights
from dbgsom_core.engine.samples import LocalSamples
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.state import TrainingConfig
from dbgsom_core.training.train import batch_update
from dbgsom_plugins.growth.fixed import Fixed
from dbgsom_plugins.metrics.norms import Euclidean
from dbgsom_plugins.training import Gaussian


def test_the_weight_is_the_published_one():
    distance = np.array([0.0, 0.1, 1.0, 3.0])
    expected = 1 - np.sqrt(1 - np.exp(-0.7 * distance**2))
    found = smoothed_weights(distance, np.ones(4), 0.7)
    np.testing.assert_allclose(found / found[0], expected, rtol=1e-12)
    assert found.sum() == pytest.approx(4)


def test_15_robust_weights_enter_the_centres_and_the_counts():
    """W_j = Σ h s x / Σ h s, with the same s above and below."""
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(40, 3)), rng.normal(size=(4, 3))
    som_map = SomMap.rectangle(2, 2, W)
    data = LocalSamples(X, guarded(Euclidean()))
    task = TrainingConfig(
        data=data, kernel=Gaussian(), growth=Fixed(), epochs=1, tol=0.0, deviation=1.0, robust=0.8
    )
    found = data.assign(W)
    updated = batch_update(som_map, task, data.found(W, found), 1.0)
    s = 1 - np.sqrt(1 - np.exp(-0.8 * found.distance**2))
    h = np.exp(-(som_map.hops[:, found.bmu].astype(float) ** 2) / 2)
    np.testing.assert_allclose(updated, (h * s) @ X / ((h * s).sum(axis=1)[:, None]), rtol=1e-12)


def outliers(X, seed=0):
    rng = np.random.default_rng(seed)
    return np.vstack([X, 100 + 500 * rng.random((30, X.shape[1]))])


def test_a_robust_map_of_spoilt_data_is_that_of_the_data(digits):
    X, _ = digits
    clean = SomVQ(max_neurons=60).fit(X)
    usual, robust = (
        SomVQ(max_neurons=60, robust=robust).fit(outliers(X)) for robust in (None, "auto")
    )
    assert (usual.weights_.max(axis=1) > 30).any()
    assert (robust.weights_.max(axis=1) < 17).all()
    assert robust.calculate_quantization_error(X) < 1.03 * clean.quantization_error_
    assert robust.growing_threshold_ == pytest.approx(clean.growing_threshold_, rel=0.05)


def test_a_number_is_gamma_itself(iris):
    by_number = SomVQ(robust=1e-12).fit(iris[0])
    np.testing.assert_allclose(by_number.weights_, SomVQ().fit(iris[0]).weights_, rtol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_weighted_median_is_that_of_repeated_values(seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.integers(0, 9, 11).astype(float), rng.integers(1, 4, 11)
    expected = np.sort(np.repeat(values, weights))[(weights.sum() - 1) // 2]
    assert weighted_median(values, weights.astype(float)) == expected
