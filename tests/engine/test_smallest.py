"""The k smallest of each row, as a stable sort finds them."""

import numpy as np
import pytest

from dbgsom_core.engine.samples import _smallest


@pytest.mark.parametrize("k", [1, 2, 4, 5, 9, 40])
@pytest.mark.parametrize("step", [0.0, 0.5, 4.0])
def test_they_are_those_of_a_stable_sort(rng, k, step):
    block = rng.normal(size=(200, 160))
    if step:  # ties, also among the last of the k
        block = np.round(block / step) * step
    expected = np.argsort(block, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(_smallest(block, k), expected)
