"""The pass over the data: what it finds does not depend on how it is run."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import Field

from dbgsom_core import SomVQ
from dbgsom_core.api import MetricComponent
from dbgsom_core.engine.samples import scalar_assign, scalar_pairwise
from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.plugins.registry import get_registry
from dbgsom_plugins.engines.local import LocalEngine

METRICS = ("euclidean", "manhattan")
coarse = hnp.arrays(  # few distinct values: many ties
    np.float64, st.tuples(st.integers(2, 30), st.just(3)), elements=st.integers(-2, 2)
)


class PairwiseOnly(MetricComponent):
    """Squared distance with the lowest level alone."""

    def pairwise(self, X, prototypes):
        return ((X[:, None] - prototypes[None]) ** 2).sum(-1)


class AssignOnly(MetricComponent):
    """The same with the highest level alone."""

    def assign(self, X, prototypes):
        distances = PairwiseOnly().pairwise(X, prototypes)
        return distances.argmin(axis=1), distances.min(axis=1)


def metric(name):
    return get_registry().build("metric", name)


@pytest.mark.parametrize("name", METRICS)
@given(X=coarse, W=coarse)
def test_units_are_the_arg_min_with_ties_to_the_lowest_row(name, X, W):
    data = LocalEngine().over(X, metric(name))
    distances = data.pairwise(data.X, W)
    positions = np.column_stack([np.arange(len(W)), np.zeros(len(W), int)])
    search = data.search()
    grown = search.assign_new_neurons(search.assign(W[:1], positions[:1]), W, positions, 1)
    for found in (data.assign(W), grown):
        np.testing.assert_array_equal(found.bmu, distances.argmin(axis=1))
        np.testing.assert_array_equal(found.distance, distances.min(axis=1))


@pytest.mark.parametrize("name", METRICS)
def test_threads_and_chunks_do_not_change_a_bit(name, rng):
    X, W = rng.normal(size=(3001, 7)), rng.normal(size=(150, 7))

    def results(threads, rows):
        data = LocalEngine(threads=threads, chunk_rows=rows).over(X, metric(name))
        found = data.assign(W)
        blocks = np.vstack([block for _, block in data.chunks(W)])
        return found.bmu, found.distance, blocks, *data.nearest_units(W, 2)

    expected = results(1, 10**6)
    for threads, rows in ((1, 7), (5, 1000)):
        for array, same in zip(results(threads, rows), expected, strict=True):
            np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("level", [PairwiseOnly, AssignOnly])
def test_one_level_of_a_metric_is_enough_for_everything(level, rng):
    X, W = rng.normal(size=(50, 3)), rng.normal(size=(9, 3))
    data = LocalEngine(chunk_rows=8).over(X, level())
    distances = PairwiseOnly().pairwise(X, W)
    np.testing.assert_array_equal(data.assign(W).bmu, distances.argmin(axis=1))
    np.testing.assert_array_equal(data.nearest_units(W, 3)[0], np.argsort(distances, axis=1)[:, :3])
    np.testing.assert_allclose(data.pairwise(X, W), distances, rtol=1e-12)


# ----------------------------------------------------------- metrics written for one pair


def _minkowski(x, w, params):
    total = 0.0
    for k in range(x.size):
        total += abs(x[k] - w[k]) ** params[0]
    return total ** (1.0 / params[0])


class Minkowski(MetricComponent):
    """Minkowski distance."""

    p: float = Field(default=3.0, ge=1, description="power")
    label: str = Field(default="x", description="no number, so no parameter")
    scalar = staticmethod(numba.njit(_minkowski))


class WithOwnParameters(Minkowski):
    """Chooses its parameters itself."""

    def scalar_params(self):
        return [2.0]


class Uncompiled(MetricComponent):
    """Forgot numba."""

    scalar = staticmethod(_minkowski)


def slow(X, W, p):
    return (np.abs(X[:, None] - W).astype(np.float64) ** p).sum(axis=2) ** (1 / p)


def test_the_loop_gives_what_numpy_gives(rng):
    X, W = rng.normal(size=(50, 6)), rng.normal(size=(9, 6))
    for metric, p in ((Minkowski(), 3.0), (WithOwnParameters(), 2.0)):
        expected = slow(X, W, p)
        np.testing.assert_allclose(scalar_pairwise(guarded(metric), X, W), expected)
        bmu, distance = scalar_assign(guarded(metric), X, W)
        np.testing.assert_array_equal(bmu, expected.argmin(axis=1))
        np.testing.assert_allclose(distance, expected.min(axis=1))


def test_a_function_that_is_not_compiled_is_told(rng):
    with pytest.raises(PluginError, match=r"write scalar = staticmethod\(numba.njit\(f\)\)"):
        SomVQ(metric=Uncompiled()).fit(rng.normal(size=(20, 3)))
    with pytest.raises(PluginError, match="metric Uncompiled: has a scalar that is no compiled"):
        guarded(Uncompiled())
