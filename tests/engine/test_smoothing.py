"""Sums smoothed over the map: ring by ring or as a product, they are one matrix product."""

import numpy as np
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.engine.euclidean import hexagonal_rings, hop_rings
from dbgsom_core.engine.smoothing import reach_of, smoothed, step_length
from dbgsom_core.som_map.grid import HEXAGONAL, SQUARE
from dbgsom_core.som_map.som_map import SomMap

KERNEL = {"name": "gaussian", "start": 2.0, "end": 0.5}


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (5, 9), (30, 20)])
@pytest.mark.parametrize("width", [0.1, 0.5, 3.0])
@pytest.mark.parametrize(("grid", "rings"), [(SQUARE, hop_rings), (HEXAGONAL, hexagonal_rings)])
def test_rings_add_up_to_a_matrix_product(shape, width, grid, rings, rng):
    n_neurons = shape[0] * shape[1]
    som_map = SomMap.rectangle(*shape, np.zeros((n_neurons, 2)), grid)
    won = rng.integers(-1000, 1000, size=(n_neurons, 4)).astype(float)
    won[:, 3] = rng.integers(5, size=n_neurons)
    weights = np.exp(-(np.arange(som_map.diameter + 1) ** 2) / (2 * width**2))
    expected = weights[som_map.hops] @ won
    reach, least = reach_of(weights, won[:, 3].sum())
    found = [rings.smoothed_rings(shape, weights, reach, least, won, threads) for threads in (1, 3)]
    size = weights[som_map.hops] @ np.abs(won)
    assert (np.abs(found[0] - expected) <= 1e-14 * size + 1e-300).all()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("grid", "rings"), [(SQUARE, hop_rings), (HEXAGONAL, hexagonal_rings)])
def test_a_large_rectangle_is_trained_by_rings_as_by_products(grid, rings, rng, monkeypatch):
    X = rng.normal(size=(6000, 8)) + 1e3

    def fitted():
        growth = {"name": "fixed", "rows": 26, "columns": 22}
        return SomVQ(growth=growth, grid=grid.name, epochs=12, tol=0.0, kernel=KERNEL).fit(X)

    used, smoothed_rings = [], rings.smoothed_rings

    def spy(*arguments):
        used.append(arguments[0])
        return smoothed_rings(*arguments)

    monkeypatch.setattr(rings, "smoothed_rings", spy)
    by_rings = fitted()
    assert set(used) == {(26, 22)}
    monkeypatch.setattr(hop_rings, "pays", lambda *sizes: False)
    used.clear()
    np.testing.assert_allclose(fitted().weights_, by_rings.weights_, rtol=1e-11)
    assert not used


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
