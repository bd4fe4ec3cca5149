"""Metrics written for one pair run in a compiled loop that gives what numpy would give."""

import math

import numba
import numpy as np
import pytest
from pydantic import Field

from dbgsom_core import SomVQ
from dbgsom_core.api import Component
from dbgsom_core.engine.scalar import scalar_assign, scalar_pairwise
from dbgsom_core.errors import ComponentError, PluginError
from dbgsom_core.interfaces.metrics import MetricAbilities


def _minkowski(x, w, params):
    total = 0.0
    for k in range(x.size):
        total += abs(x[k] - w[k]) ** params[0]
    return total ** (1.0 / params[0])


class Minkowski(Component):
    """Minkowski distance."""

    p: float = Field(default=3.0, ge=1, description="power")
    label: str = Field(default="x", description="no number, so no parameter")
    scalar = staticmethod(numba.njit(_minkowski))


class Own(Minkowski):
    """Chooses its parameters itself."""

    def scalar_params(self):
        return [2.0]


class Uncompiled(Component):
    """Forgot numba."""

    scalar = staticmethod(_minkowski)


def slow(X, W, p):
    return (np.abs(X[:, None] - W).astype(np.float64) ** p).sum(axis=2) ** (1 / p)


def test_the_loop_gives_what_numpy_gives(rng):
    X, W = rng.normal(size=(50, 6)), rng.normal(size=(9, 6))
    for metric, p in ((Minkowski(), 3.0), (Minkowski(p=1.5), 1.5), (Own(), 2.0)):
        expected = slow(X, W, p)
        np.testing.assert_allclose(scalar_pairwise(MetricAbilities.of(metric), X, W), expected)
        bmu, distance = scalar_assign(MetricAbilities.of(metric), X, W)
        np.testing.assert_array_equal(bmu, expected.argmin(axis=1))
        np.testing.assert_allclose(distance, expected.min(axis=1))


def test_parameters_are_the_numbers_among_the_fields():
    assert MetricAbilities.of(Minkowski(p=4)).scalar_params() == [4.0]
    assert MetricAbilities.of(Own()).scalar_params() == [2.0]


def test_the_engine_prefers_assign_then_scalar_then_pairwise():
    class Pair(Minkowski):
        """Both."""

        def pairwise(self, X, prototypes):
            return slow(X, prototypes, self.p)

    class Whole(Pair):
        """All three."""

        def assign(self, X, prototypes):
            d = self.pairwise(X, prototypes)
            return d.argmin(axis=1), d.min(axis=1)

    assert [MetricAbilities.of(one()).level for one in (Minkowski, Pair, Whole)] == [
        "scalar", "scalar", "assign",
    ]  # fmt: skip


def test_a_map_is_trained_the_same_with_any_threads(rng):
    X = rng.normal(size=(3000, 8))
    params = {"metric": Minkowski(), "growth": {"name": "fixed", "rows": 10, "columns": 10}}
    first, second = (
        SomVQ(**params, epochs=3, engine={"name": "local", "threads": t, "chunk_rows": c}).fit(X)
        for t, c in ((1, 4096), (2, 100))
    )
    np.testing.assert_array_equal(first.weights_, second.weights_)
    assert first.average_distances_.min() > 0


def test_a_function_that_is_not_compiled_is_told(rng):
    with pytest.raises(PluginError, match=r"write scalar = staticmethod\(numba.njit\(f\)\)"):
        SomVQ(metric=Uncompiled()).fit(rng.normal(size=(20, 3)))
    with pytest.raises(PluginError, match=r"metric Uncompiled \(test_scalar_metrics.py:\d+\)"):
        MetricAbilities.of(Uncompiled())


BEND = 0.75


def manhattan(x, w, params):
    total = 0
    for k in range(x.size):
        total += abs(x[k] - w[k])
    return total


def euclidean(x, w, params):
    total = 0.0
    for k in range(len(w)):
        total += (x[k] - w[k]) ** 2
    return math.sqrt(total)


def minkowski(x, w, params):
    total = 0.0
    for k in range(x.size):
        total += abs(x[k] - w[k]) ** params[0]
    return total ** (1.0 / params[0])


def constant(x, w, params):
    return 1.0


def huber(x, w, params):
    gap = 0.0
    for k in range(x.size):
        gap += (x[k] - w[k]) ** 2
    gap = gap**0.5
    return gap if gap <= BEND else (BEND * (2 * gap - BEND)) ** 0.5


def sliced(x, w, params):
    return np.abs(x[1:] - w[1:]).sum()


def metric_of(function, **options):
    """Return a metric with two parameters around a function."""

    class Metric(Component):
        """Made for a test."""

        scalar = staticmethod(numba.njit(**options)(function))

        def scalar_params(self):
            return [3.0, 0.5]

    return MetricAbilities.of(Metric())


def by_pairs(function, X, W):
    jitted = numba.njit(function)
    params = np.array([3.0, 0.5])
    return np.array([[jitted(x, w, params) for w in W] for x in X], dtype=float)


@pytest.mark.parametrize("function", [manhattan, euclidean, minkowski, constant, huber, sliced])
def test_distances_have_the_bits_of_single_pairs(function, rng):
    X, W = rng.normal(size=(9, 5)), rng.normal(size=(37, 5))
    W[33] = W[4]  # ties go to the lower row
    X[0], X[1] = W[4], W[36]
    metric = metric_of(function)
    expected = by_pairs(function, X, W)
    np.testing.assert_array_equal(scalar_pairwise(metric, X, W), expected)
    for data in (X, np.asfortranarray(X)):
        data.flags.writeable = False
        bmu, distance = scalar_assign(metric, data, W)
        np.testing.assert_array_equal(bmu, expected.argmin(axis=1))
        np.testing.assert_array_equal(distance, expected.min(axis=1))


def test_given_signatures_are_obeyed(rng):
    scalar = numba.njit("float64(float64[::1], float64[::1], float64[::1])")(manhattan)
    metric = type("Given", (Component,), {"__doc__": "x.", "scalar": staticmethod(scalar)})()
    metric = MetricAbilities.of(metric)
    X, W = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    np.testing.assert_array_equal(scalar_pairwise(metric, X, W), by_pairs(manhattan, X, W))


def test_a_division_by_zero_is_told_as_the_function_wants(rng):
    def shares(x, w, params):
        total = 0.0
        for k in range(x.size):
            total += abs(x[k] - w[k]) / w[k]
        return total

    X, W = rng.normal(size=(3, 2)), np.ones((20, 2))
    W[18, 1] = 0.0
    with pytest.raises(ComponentError, match="ZeroDivisionError"):
        scalar_pairwise(metric_of(shares, error_model="python"), X, W)
    with pytest.raises(ComponentError, match="not finite"):
        scalar_pairwise(metric_of(shares), X, W)
