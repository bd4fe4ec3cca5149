"""Metrics written for one pair run in a compiled loop that gives what numpy would give."""

import numba
import numpy as np
import pytest
from pydantic import Field

from dbgsom_core import SomVQ
from dbgsom_core.api import Component
from dbgsom_core.engine.scalar import scalar_assign, scalar_pairwise
from dbgsom_core.errors import PluginError
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
    with pytest.raises(PluginError, match="metric Uncompiled: has a scalar that is no compiled"):
        MetricAbilities.of(Uncompiled())


def manhattan(x, w, params):
    total = 0
    for k in range(x.size):
        total += abs(x[k] - w[k])
    return total


def test_given_signatures_are_obeyed(rng):
    scalar = numba.njit("float64(float64[::1], float64[::1], float64[::1])")(manhattan)
    metric = type("Given", (Component,), {"__doc__": "x.", "scalar": staticmethod(scalar)})()
    metric = MetricAbilities.of(metric)
    X, W = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    np.testing.assert_allclose(scalar_pairwise(metric, X, W), slow(X, W, 1))
