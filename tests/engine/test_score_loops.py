"""Ranks are those of numpy, and soft means those of their formula."""

import numpy as np
import pytest

from dbgsom_core.engine.score_loops import Groups, ranks_among, soft_means


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1000])
def test_ranks_are_those_of_numpy(rng, n):
    known = np.sort(np.round(rng.normal(size=n), 1))  # ties
    extremes = [-np.inf, np.inf, np.nan, known[0], known[-1]]
    values = np.concatenate([np.round(rng.normal(size=500), 1), known, extremes])
    found = np.full(len(values), 99)
    ranks_among(known, values, found)
    np.testing.assert_array_equal(found, np.searchsorted(known, values, side="right"))


@pytest.mark.parametrize("k", [1, 6, 9])
def test_soft_means_are_those_of_the_formula(rng, k):
    weights, spreads = rng.exponential(size=(2, 50))
    weights = np.concatenate([20 * weights, np.zeros(5), [1e-9, 1e9]])
    spreads = np.concatenate([spreads, rng.exponential(size=7)])
    rows = rng.integers(0, len(weights), size=(400, 9))
    rows[:5] = 50  # of nothing
    distances = np.sort(rng.exponential(size=rows.shape), axis=1)
    found, held = np.empty(400), np.empty(400)
    soft_means(rows, distances, k, Groups.of(weights, spreads, 10.0), 60.0, found, held)
    rows, distances = rows[:, :k], distances[:, :k]
    up_to = np.cumsum(weights[rows], axis=1)
    before = up_to - weights[rows]
    counts = before < 60
    squares = distances**2 + spreads[rows]
    counted = np.exp(-before / 10) * -np.expm1(-weights[rows] / 10) * counts
    some = counted.any(axis=1)
    expected = np.average(squares[some], axis=1, weights=counted[some])
    np.testing.assert_allclose(found[some], expected, rtol=1e-9)
    assert not some[:5].any()
    np.testing.assert_allclose(found[~some], squares[~some, 0])
    np.testing.assert_allclose(held, np.where(counts, weights[rows], 0).sum(axis=1))
