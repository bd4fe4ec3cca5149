"""A search that is done once finds what the plain loop finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.engine import local
from dbgsom_core.engine.euclidean import search as module
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.metrics.norms import Euclidean

EUCLIDEAN = MetricAbilities.of(Euclidean())


@st.composite
def data_and_prototypes(draw):
    """Ties, duplicates, offsets; samples and prototypes that are too far out to be packed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, d = draw(st.integers(1, 150)), draw(st.sampled_from([1, 2, 5, 16]))
    kind = draw(st.sampled_from(["normal", "coarse", "tight", "wide"]))
    X = rng.normal(size=(n, d))
    if kind == "coarse":
        X = rng.integers(-2, 3, size=(n, d)).astype(float)
    elif kind == "tight":
        X = 1e-7 * X + rng.integers(0, 2, size=(n, d))
    elif kind == "wide":
        X *= 10.0 ** rng.integers(-15, 16, size=(n, 1))
    X += draw(st.sampled_from([0.0, 1000.0, -1e6]))
    X = X.astype(draw(st.sampled_from([np.float32, np.float64])))
    X *= X.dtype.type(draw(st.sampled_from([1.0, 1e-9])))
    W = X[rng.integers(n, size=draw(st.integers(2, 60)))].astype(float)
    W = W + draw(st.sampled_from([0.0, 1e-6, 1.0])) * rng.normal(size=W.shape)
    if draw(st.booleans()):
        X[rng.integers(n)] = rng.choice([-1e35, 1e35], size=d)
    W[0] *= draw(st.sampled_from([1.0, 30.0, 1e3, 1e6]))
    if draw(st.booleans()):
        W[0] = 1e30
    return X, W


@settings(deadline=None)
@given(data_and_prototypes(), st.sampled_from([1, 3]))
def test_the_nearest_are_those_of_the_plain_loop(drawn, threads):
    X, W = drawn
    data = LocalSamples(X, EUCLIDEAN, threads)
    expected, distances = data.nearest_plainly(W, 2)
    found = module.nearest_units(data, W, 2)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(module.nearest_units(data, W, 1), expected[:, :1])
    for units, exact in zip(found.T, distances.T, strict=True):
        np.testing.assert_array_equal(data.distances_to(W, units), exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_and_threads_change_nothing(dtype, rng, monkeypatch):
    X = rng.normal(size=(20_000, 24)).astype(dtype)
    W = X[:40].astype(float)
    data = LocalEngine(threads=2).over(X, Euclidean())
    plainly, expected = data.assign_plainly(W), data.nearest_plainly(W, 2)
    monkeypatch.setattr(LocalSamples, "assign_plainly", None)  # neither must be used
    monkeypatch.setattr(LocalSamples, "nearest_plainly", None)
    found = data.assign(W)
    np.testing.assert_array_equal(found.bmu, plainly.bmu)
    np.testing.assert_array_equal(found.distance, plainly.distance)
    units, distances = data.nearest_units(W, 2)
    assert distances is None  # the search found the units without them
    np.testing.assert_array_equal(units, expected[0])
    monkeypatch.setattr(module, "_ROWS", 17)
    np.testing.assert_array_equal(data.nearest_units(W, 2)[0], expected[0])
    np.testing.assert_array_equal(data.nearest_units(W, 1)[0], expected[0][:, :1])


def test_missing_values_are_left_to_the_metric(rng):
    X = rng.normal(size=(20_000, 24))
    X[12_345, 3] = np.nan
    W = X[:40].copy()
    data = LocalEngine().over(X, Euclidean())
    assert module.nearest_units(data, W, 1) is None
    found, plainly = data.assign(W), data.assign_plainly(W)
    np.testing.assert_array_equal(found.bmu, plainly.bmu)
    np.testing.assert_array_equal(found.distance, plainly.distance)
    assert data.incomplete


@pytest.mark.parametrize("size", [1e-320, 1e-308, 1e-150, 1e-100, 1e100, 1e150, 1e307])
def test_units_are_those_of_the_definition_where_its_squares_are_0_or_infinite(
    size, rng, monkeypatch
):
    monkeypatch.setattr(local, "_FAST_PAYS_ONCE", 0)
    X, W = size * rng.uniform(-1, 1, size=(40, 3)), size * rng.uniform(-1, 1, size=(9, 3))
    data = LocalSamples(X, EUCLIDEAN)
    with np.errstate(over="ignore"):
        expected = data.nearest_plainly(W, 2)[0]
        np.testing.assert_array_equal(data.nearest_units(W, 2)[0], expected)
        np.testing.assert_array_equal(data.assign(W).bmu, data.assign_plainly(W).bmu)
