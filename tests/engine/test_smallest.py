"""The k smallest of each row, as a stable sort finds them."""

import numpy as np
import pytest

from dbgsom_core.engine.loops import smallest
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.metrics.euclidean import Euclidean


@pytest.mark.parametrize("k", [1, 2, 4, 9, 40, 160])
@pytest.mark.parametrize("step", [0.0, 0.5, 4.0])
def test_they_are_those_of_a_stable_sort(rng, k, step):
    block = rng.normal(size=(200, 160))
    if step:  # ties, also among the last of the k
        block = np.round(block / step) * step
    expected = np.argsort(block, axis=1, kind="stable")[:, :k]
    columns, values = np.empty((200, k), np.int64), np.empty((200, k))
    smallest(block, columns, values)
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(block, expected, axis=1))


def test_of_fewer_prototypes_than_asked_for_the_first_stands_again(rng):
    """As a map of one neuron has no second nearest."""
    data = LocalEngine().over(rng.normal(size=(50, 3)), Euclidean())
    prototype = rng.normal(size=(1, 3))
    units, distances = data.nearest_plainly(prototype, 2)
    assert not units.any()
    expected = np.linalg.norm(data.X - prototype, axis=1)
    np.testing.assert_allclose(distances, np.column_stack([expected, expected]))
