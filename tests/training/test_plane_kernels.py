"""Kernels that read the plane: what they are given, and what their updates are."""

import numpy as np
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.api import KernelComponent
from dbgsom_core.errors import ComponentError
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.training import MexicanHat

FIXED = {"name": "fixed", "rows": 4, "columns": 4}


class Offsets(KernelComponent):
    """East learns from west more than west from east."""

    reads = "offsets"

    def weight(self, hops, width):
        x, y = np.asarray(hops).T
        return np.exp(-(x**2 + y**2) / (2 * width**2)) * np.where(
            x > 0, 1.0, 0.25 * (x < 0) + (x == 0)
        )


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
def test_an_update_is_the_sum_over_all_samples(metric, iris):
    X = iris[0]

    def fitted(start, end, epochs):
        kernel = Offsets(start=start, end=end)
        return SomVQ(growth=FIXED, kernel=kernel, metric=metric, epochs=epochs, tol=0).fit(X)

    first, after = fitted(1.5, 1.5, 1), fitted(1.5, 1.0, 2)
    units, cells = first.bmu(X), first.som_map_.plane_positions
    ways = cells[:, None] - cells[units]  # to the neuron that learns
    weights = Offsets().weight(ways.reshape(-1, 2), 1.0).reshape(ways.shape[:2])
    expected = weights @ X / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after.weights_, expected, rtol=1e-9)


def test_inhibition_is_a_step_and_no_mean(iris):
    X = iris[0]
    start = SomVQ(growth=FIXED, grid="square", epochs=1, kernel="plane_gaussian").fit(X).weights_
    hat = MexicanHat(start=1.0, end=1.0, inhibition=0.1, spread=2.5)
    units = ((X[:, None] - start) ** 2).sum(axis=2).argmin(axis=1)
    at = SomMap.rectangle(4, 4, start).plane_positions
    apart = np.linalg.norm(at[:, None] - at[units], axis=2)
    weights = hat.weight(apart, 1.0)
    held, amount = weights.sum(axis=1), np.abs(weights).sum(axis=1)
    steps = (weights @ X - held[:, None] * start) / amount[:, None]
    expected = start + np.where(held > 0, 1.0, 0.0)[:, None] * steps
    fit = SomVQ(growth=FIXED, grid="square", epochs=1, kernel=hat, init=start).fit(X)
    np.testing.assert_allclose(fit.weights_, expected, rtol=1e-9)
    assert (weights < 0).any()


class Negative(KernelComponent):
    """Weigh less than nothing."""

    def weight(self, hops, width):
        return 1.0 - np.asarray(hops)


class Lost(Negative):
    """Read the stars."""

    reads = "stars"


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"kernel": Negative()}, "or say inhibits = True"),
        ({"kernel": Lost()}, "reads = 'stars'"),
        ({"kernel": "mexican_hat", "metric": "manhattan"}, "has negative weights"),
        ({"kernel": {"name": "mexican_hat", "inhibition": 0.5}}, "below 1"),
    ],
)
def test_what_a_kernel_may_not_say_is_told(params, told, iris):
    with pytest.raises((ComponentError, ValueError), match=told):
        SomVQ(growth=FIXED, **params).fit(iris[0])
