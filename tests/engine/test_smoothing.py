"""Sums smoothed over the map are a matrix product."""

import numpy as np
import pytest

from dbgsom_core.engine.smoothing import reach_of, smoothed, step_length
from dbgsom_core.som_map.som_map import SomMap


@pytest.mark.parametrize("width", [0.1, 0.5, 3.0])
def test_the_smoothed_sums_are_a_matrix_product(width, rng):
    """Also where only far neurons have hits and every weight in reach is tiny."""
    som_map = SomMap.rectangle(9, 12, np.zeros((108, 1)))
    hits = rng.integers(0, 3, size=108) * (np.arange(108) > 70)
    sums = rng.normal(size=(108, 5)) * (hits > 0)[:, None]
    weights = np.exp(-np.square(np.arange(som_map.diameter + 1.0)) / (2 * width**2))
    reach = reach_of(weights, float(hits.sum()))
    got = smoothed(som_map.hops, weights, reach, hits, sums, threads=2)
    influence = weights[som_map.hops]
    np.testing.assert_allclose(got[0], influence @ sums, rtol=1e-9, atol=0)
    np.testing.assert_allclose(got[1], influence @ hits, rtol=1e-12, atol=0)


def test_the_step_is_the_root_of_the_mean_square_over_neurons(rng):
    before, after = rng.normal(size=(2, 7, 5))
    expected = np.sqrt(np.mean(np.linalg.norm(after - before, axis=1) ** 2))
    assert step_length(before, after) == pytest.approx(expected, rel=1e-14)
