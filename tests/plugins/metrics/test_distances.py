"""Distances of the built-in metrics are those of scipy, exact at the edges, ties to the lowest."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dbgsom_core import SomVQ
from dbgsom_core.api import DataError
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.plugins.registry import get_registry

PLAIN = {
    "manhattan": ({}, "cityblock", {}),
    "chebyshev": ({}, "chebyshev", {}),
    "minkowski": ({"p": 3.5}, "minkowski", {"p": 3.5}),
    "canberra": ({}, "canberra", {}),
    "correlation": ({}, "correlation", {}),
    "jensen_shannon": ({}, "jensenshannon", {}),
    "hamming": ({}, "hamming", {}),
}


def build(name, **fields):
    return get_registry().build("metric", {"name": name, **fields})


def samples(name, rng, n):
    if name == "hamming":
        return rng.integers(0, 3, (n, 6))
    X = rng.normal(size=(n, 6))
    X[rng.random(X.shape) < 0.1] = 0.0
    return np.abs(X) + np.eye(6)[np.arange(n) % 6] if name == "jensen_shannon" else X


def prepared(metric, X):
    return guarded(metric).prepared(X)


@pytest.mark.parametrize("n_neurons", [7, 300, 40_000])
def test_units_of_many_samples_are_those_of_scipy(n_neurons, rng):
    metric = build("manhattan")
    W = rng.integers(-3, 4, (n_neurons, 2)).astype(float)
    X = rng.integers(-3, 4, (min(10_000, 4_000_000 // n_neurons), 2)).astype(float)
    expected = cdist(X, W, "cityblock")
    bmu, distance = metric.assign(X, W)
    np.testing.assert_array_equal(bmu, expected.argmin(axis=1))
    np.testing.assert_array_equal(distance, expected.min(axis=1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", PLAIN)
def test_distances_are_those_of_scipy(name, dtype, rng):
    fields, theirs, options = PLAIN[name]
    metric = build(name, **fields)
    X, W = samples(name, rng, 70).astype(dtype), samples(name, rng, 9).astype(dtype)
    points, prototypes = prepared(metric, X), prepared(metric, W).astype(np.float64)
    expected = cdist(X.astype(np.float64), W.astype(np.float64), theirs, **options)
    # Prepared float32 rows are rounded; every sum is in float64.
    rounding = 1e-6 if dtype == np.float32 and metric.prepare is not None else 1e-11
    computed = metric.pairwise(points, prototypes)
    np.testing.assert_allclose(computed, expected, rtol=rounding, atol=rounding)
    bmu, distance = metric.assign(points, prototypes)
    np.testing.assert_array_equal(bmu, computed.argmin(axis=1))
    np.testing.assert_array_equal(distance, computed.min(axis=1))


def test_no_power_overflows():
    X, W = np.array([[1e200, 0.0]]), np.array([[0.0, 0.0], [1e200, 0.0]])
    for p in (3.0, 7.5, 400.0):
        np.testing.assert_allclose(build("minkowski", p=p).pairwise(X, W), [[1e200, 0.0]])


def test_constant_rows_are_one_away_from_everything():
    metric = build("correlation")
    points = metric.prepare(np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 3.0], [1e300, 1e300, -1e300]]))
    assert points[0].tolist() == [0, 0, 0]
    assert metric.pairwise(points, points[:2])[0].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(np.linalg.norm(points[1:], axis=1), 1.0)


def test_jensen_shannon_is_exact_between_neighbours():
    """Where scipy's sum cancels: t = 1e-7 gives sqrt(s*t**2/4 summed) to leading order."""
    metric, share = build("jensen_shannon"), np.array([[0.5, 0.25, 0.25]])
    step = np.array([[1.0, -0.5, -0.5]]) * 1e-7
    t = step / (2 * share + step)
    expected = np.sqrt(np.sum(0.25 * (2 * share + step) * t**2))
    np.testing.assert_allclose(metric.pairwise(share, share + step), [[expected]], rtol=1e-8)
    assert metric.pairwise(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))[0, 0] == pytest.approx(
        np.sqrt(np.log(2)), rel=1e-15
    )


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("jensen_shannon", [[1.0, 0.0], [1.0, -2.0]], r"row 1 has -2\.0 in column 1"),
        ("jensen_shannon", [[1.0, 0.0], [0.0, 0.0]], "row 1 has .* all zero"),
        ("hamming", [[1.0, 2.0], [0.5, 2.0]], r"row 1 has 0\.5 in column 0"),
        ("correlation", [[1.0], [2.0]], "at least 2 features, but n_features = 1"),
    ],
)
def test_rows_that_a_metric_cannot_take_are_named(name, rows, message):
    with pytest.raises(DataError, match=message):
        build(name).prepare(np.array(2 * rows))
    with pytest.raises(ValueError, match=message):
        SomVQ(metric=name).fit(2 * rows)


@pytest.mark.parametrize("name", ["manhattan", "chebyshev", "minkowski", "canberra", "hamming"])
def test_missing_features_are_left_out_and_sums_scaled(name, rng):
    metric = build(name)
    X, W = samples(name, rng, 60).astype(float), samples(name, rng, 8).astype(float)
    X[rng.random(X.shape) < 0.3] = np.nan
    X[:, 0] = 2.0
    power = {"minkowski": 1 / 3, "chebyshev": 0.0, "hamming": 0.0}.get(name, 1.0)
    computed = metric.pairwise(X, W)
    for i, x in enumerate(X):
        seen = np.flatnonzero(~np.isnan(x))
        part = metric.pairwise(x[None, seen], W[:, seen])[0] * (6 / len(seen)) ** power
        np.testing.assert_allclose(computed[i], part, rtol=1e-13)
    bmu, distance = metric.assign(X, W)
    np.testing.assert_array_equal(bmu, computed.argmin(axis=1))
    np.testing.assert_array_equal(distance, computed.min(axis=1))
    assert np.isnan(metric.pairwise(np.full((1, 6), np.nan), W)).all()
