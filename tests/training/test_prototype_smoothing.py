"""Smoothing of the prototypes before growth."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dbgsom_core import SomVQ
from dbgsom_core.api import GrowthComponent
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.growth import smooth_over_links
from dbgsom_plugins.growth.classical import Gsom
from dbgsom_plugins.training import Gaussian


@given(st.integers(0, 2**32 - 1))
def test_it_is_a_loop_over_linked_neighbours(seed):
    rng = np.random.default_rng(seed)
    som_map = SomMap.rectangle(3, 4, rng.normal(size=(12, 2)))
    hits, weights = rng.integers(0, 5, 12), rng.random(6) + 0.1
    smooth_totals = smooth_over_links(som_map, hits, weights, som_map.hops)
    for neuron in range(12):
        total, mean = (
            weights[0] * hits[neuron],
            weights[0] * hits[neuron] * som_map.prototypes[neuron],
        )
        for other in som_map.neighbours(neuron):
            total += weights[1] * hits[other]
            mean = mean + weights[1] * hits[other] * som_map.prototypes[other]
        expected = mean / total if total else som_map.prototypes[neuron]
        np.testing.assert_allclose(smooth_totals[neuron], expected)


def test_growth_sees_the_smoothed_map_and_its_errors(iris):
    X = iris[0]
    seen = []

    class Recording(GrowthComponent):
        smooth_before_growth: bool = True

        def grow(self, som_map, state):
            seen.append((som_map.prototypes.copy(), state))
            return Gsom(when="every_epoch").grow(som_map, state) if state.epoch == 3 else ()

        def growing_threshold(self, summary):
            return 20.0

    SomVQ(growth=Recording(), grid="square", kernel=Gaussian(start=1.0, end=1.0), epochs=6).fit(X)
    (before, first), (after, second) = [pair for pair in seen if pair[1].epoch == 3]
    som_map = SomMap.rectangle(2, 2, before)
    weights = np.exp([0.0, -0.5, -2.0])
    np.testing.assert_allclose(after, smooth_over_links(som_map, first.hits, weights, som_map.hops))
    distances = np.linalg.norm(X[:, None] - after[None], axis=2)
    errors = np.bincount(distances.argmin(axis=1), distances.min(axis=1), minlength=4)
    np.testing.assert_allclose(second.errors, errors, rtol=1e-9)
