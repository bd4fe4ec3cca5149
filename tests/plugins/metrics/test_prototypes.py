"""Medians and modes are those of a slow twin, and maps are trained with them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core import SomVQ
from dbgsom_plugins.metrics import norms
from dbgsom_plugins.metrics.directions import Hamming
from dbgsom_plugins.metrics.norms import weighted_median


def slow_median(values, weights):
    """Middle of the values at which the weighted sum of distances is smallest."""
    costs = np.array([np.sum(weights * np.abs(values - v)) for v in values])
    best = values[costs <= costs.min() * (1 + 1e-11)]
    return (best.min() + best.max()) / 2


def slow_mode(values, weights):
    """Smallest of the values with the most weight."""
    return max(sorted(set(values)), key=lambda v: round(weights[values == v].sum(), 9))


def slow(of_one, X, units, influence, weights, so_far):
    made = so_far.copy()
    for j in range(influence.shape[1]):
        share = influence[units, j] * (1.0 if weights is None else weights)
        for k in range(X.shape[1]):
            counted = (share > 0) & ~np.isnan(X[:, k])
            if counted.any():
                made[j, k] = of_one(X[counted, k].astype(float), share[counted])
    return made


def case(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    n, groups, n_neurons = rng.integers(1, 90), rng.integers(1, 6), rng.integers(1, 6)
    X = np.round(rng.normal(size=(n, 3)), 1).astype(dtype)
    X[rng.random(X.shape) < 0.1] = np.nan
    influence = rng.random((groups, n_neurons))
    if seed % 2:  # halves that are reached exactly, and neurons that nothing reaches
        influence = np.rint(influence)
    weights = None if seed % 3 else rng.integers(0, 3, n).astype(float)
    so_far = rng.normal(size=(n_neurons, 3))
    return X, rng.integers(0, groups, n), influence, weights, so_far


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(seed=st.integers(0, 10_000))
def test_the_median_is_the_slow_one(seed, dtype):
    task = case(seed, dtype)
    np.testing.assert_allclose(weighted_median(*task), slow(slow_median, *task), atol=1e-12)


@given(seed=st.integers(0, 10_000))
def test_the_mode_is_the_slow_one(seed):
    X, *rest = case(seed)
    task = (np.rint(2 * X), *rest)
    np.testing.assert_array_equal(Hamming().form(*task), slow(slow_mode, *task))


def test_the_median_has_the_same_bits_for_any_threads_and_sees_new_values(rng, monkeypatch):
    X, units = rng.normal(size=(9000, 5)), rng.integers(0, 30, 9000)
    influence, so_far = rng.random((30, 12)), np.zeros((12, 5))
    made = []
    for threads in (1, 5):
        monkeypatch.setattr(norms, "available_threads", lambda threads=threads: threads)
        made.append(weighted_median(X, units, influence, None, so_far))
    np.testing.assert_array_equal(made[0], made[1])
    X += 1.0
    moved = weighted_median(X, units, influence, None, so_far)
    np.testing.assert_allclose(moved, made[0] + 1, rtol=1e-12)


@pytest.mark.parametrize("metric", ["manhattan", "canberra"])
def test_data_of_few_distinct_values_does_not_collapse(metric):
    """Medians under a wide kernel are all alike: until it is narrow prototypes are means."""
    X = (np.random.default_rng(0).random((200, 12)) < 0.3).astype(float)
    vq = SomVQ(metric=metric, max_neurons=70).fit(X)
    assert len(np.unique(vq.labels_)) > 20
    assert set(np.unique(vq.weights_)) <= {0.0, 0.5, 1.0}
