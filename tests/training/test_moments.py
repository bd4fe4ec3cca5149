"""Whether data vary at all, and can be squared: told with and without their moments alike."""

import numpy as np
import pytest

from dbgsom_core import SomVQ


@pytest.mark.parametrize("X", [np.full((1000, 3), 0.1), np.full((50, 2), 1e-30)])
def test_constant_data_is_constant_whatever_the_rounding(X):
    with pytest.raises(ValueError, match="constant"):
        SomVQ().fit(X)


@pytest.mark.parametrize("factor", [1e160, 1e-200])
def test_data_whose_squares_leave_float64_are_refused_without_other_warnings(rng, factor):
    X = factor * rng.normal(size=(60, 3))
    with pytest.raises(ValueError, match=r"too (large|small) for float64|infinity or a value too"):
        SomVQ().fit(X)


def test_data_of_one_direction_is_constant_to_the_cosine(rng):
    with pytest.raises(ValueError, match="constant"):
        SomVQ(metric="cosine").fit(np.outer(rng.random(50) + 0.1, [1.0, 2.0, 3.0]))
