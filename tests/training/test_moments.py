"""Whether data vary at all, and can be squared: told with and without their moments alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core import SomVQ
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.guard import guarded
from dbgsom_plugins.metrics.norms import Euclidean


@pytest.mark.parametrize("X", [np.full((1000, 3), 0.1), np.full((50, 2), 1e-30)])
def test_constant_data_is_constant_whatever_the_rounding(X):
    with pytest.raises(ValueError, match="constant"):
        SomVQ().fit(X)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-60, 60), st.sampled_from([np.float32, np.float64]))
def test_whether_data_vary_does_not_depend_on_the_order_of_rows(seed, power, dtype):
    rng = np.random.default_rng(seed)
    X = np.ones((9000, 2), dtype)
    X[: rng.integers(9000), 0] += dtype(2.0 ** (power / 2)) * dtype(np.finfo(dtype).eps)
    X[rng.integers(9000), 0] *= dtype(rng.choice([1, 1.5, 3]))
    low, high = float(X[:, 0].min()), float(X[:, 0].max())
    alone, with_moments = (Samples(X, guarded(Euclidean())) for _ in range(2))
    with_moments.moments()
    for samples in (alone, with_moments):
        if high - low > 8 * float(np.finfo(dtype).eps) * high:
            samples.check_varies()
        else:
            with pytest.raises(ValueError, match="constant"):
                samples.check_varies()


@pytest.mark.parametrize("factor", [1e160, 1e-200])
def test_data_whose_squares_leave_float64_are_refused_without_other_warnings(rng, factor):
    X = factor * rng.normal(size=(60, 3))
    with pytest.raises(ValueError, match=r"too (large|small) for float64|infinity or a value too"):
        SomVQ().fit(X)


def test_data_of_one_direction_is_constant_to_the_cosine(rng):
    with pytest.raises(ValueError, match="constant"):
        SomVQ(metric="cosine").fit(np.outer(rng.random(50) + 0.1, [1.0, 2.0, 3.0]))
