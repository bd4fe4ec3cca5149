"""Groups are cut across their longest direction, as a singular value decomposition finds it."""

import numpy as np
import pytest

from dbgsom_core.engine.halving import cut


def by_decomposition(X, weights):
    X = X - np.average(X, axis=0, weights=weights)
    return X @ np.linalg.svd(np.sqrt(weights)[:, None] * X)[2][0] > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-200, 1.0, 1e30])
def test_each_group_is_cut_in_two_across_its_longest_direction(dtype, size, rng):
    if dtype == np.float32 and size < 1:
        size = 1e-30
    groups = rng.integers(0, 4, size=400) * 3  # numbers may be missing
    long = rng.normal(size=(10, 1, 6))
    X = (5 + 3 * rng.normal(size=(400, 1)) * long[groups][:, 0] + rng.normal(size=(400, 6))) * size
    X, weights = X.astype(dtype), rng.integers(1, 4, size=400).astype(float)
    parts = cut(X, weights, groups, 1, 4.0)
    np.testing.assert_array_equal(parts // 2, groups)
    for group in np.unique(groups):
        mine = groups == group
        expected = by_decomposition(X[mine].astype(float) / size, weights[mine])
        agree = np.mean(parts[mine] % 2 == expected)
        assert max(agree, 1 - agree) > 0.97  # the iteration ends early
    twice = cut(X, weights, parts, 1, 4.0)
    np.testing.assert_array_equal(cut(X, weights, groups, 2, 4.0), twice)


def test_what_weighs_little_or_lies_in_one_place_stays_whole(rng):
    X = np.vstack([rng.normal(size=(3, 2)), np.ones((9, 2)), rng.normal(size=(4, 2))])
    groups = np.repeat([0, 1, 2], [3, 9, 4])
    parts = cut(X, np.ones(16), groups, 1, 4.0)
    np.testing.assert_array_equal(parts[:12], 2 * groups[:12])
    assert set(parts[12:]) == {4, 5}
    twice = cut(np.repeat(X, 2, axis=0), np.ones(32), np.repeat(groups, 2), 1, 8.0)
    weighed = cut(X, np.full(16, 2.0), groups, 1, 8.0)
    np.testing.assert_array_equal(twice[::2], weighed)
