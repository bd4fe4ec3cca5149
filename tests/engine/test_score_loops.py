"""Ranks are those of numpy, and soft means those of their formula."""

import numpy as np
import pytest

from dbgsom_core.engine.score_loops import add_up, ranks_among, soft_means


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1000])
def test_ranks_are_those_of_numpy(rng, n):
    known = np.sort(np.round(rng.normal(size=n), 1))  # ties
    extremes = [-np.inf, np.inf, np.nan, known[0], known[-1]]
    values = np.concatenate([np.round(rng.normal(size=500), 1), known, extremes])
    found = np.full(len(values), 99)
    ranks_among(known, values, found)
    np.testing.assert_array_equal(found, np.searchsorted(known, values, side="right"))


def test_soft_means_are_those_of_the_formula(rng):
    distances = np.sort(rng.exponential(size=(300, 9)), axis=1)
    spreads, weights = rng.exponential(size=(2, 300, 9))
    weights *= rng.integers(0, 2, size=(300, 1)) * 20  # rows of nothing, too
    fading, found = np.empty((300, 10)), np.empty(300)
    add_up(weights, fading)
    up_to = np.cumsum(weights, axis=1)
    np.testing.assert_allclose(fading[:, 1:], up_to)
    assert not fading[:, 0].any()
    fading = np.exp(-fading / 10)
    soft_means(distances, spreads, weights, fading, 60.0, found)
    squares, counted = distances**2 + spreads, np.exp(-(up_to - weights) / 10) - np.exp(-up_to / 10)
    counted[up_to - weights >= 60] = 0
    some = weights.any(axis=1)
    expected = np.average(squares[some], axis=1, weights=counted[some])
    np.testing.assert_allclose(found[some], expected, rtol=1e-9)
    np.testing.assert_allclose(found[~some], squares[~some, 0])
