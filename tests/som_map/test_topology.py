"""The topographic product and function, each beside a slow statement of its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core import SomVQ
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.topology import topographic_function, topographic_product
from dbgsom_plugins.metrics.norms import Euclidean

pairwise = Euclidean().pairwise


@st.composite
def random_maps(draw, largest=14):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = [(0, 0)]
    for _ in range(draw(st.integers(0, largest - 1))):
        free = SomMap(positions, np.zeros((len(positions), 1)))
        cells = [cell for k in range(len(free)) for cell in free.free_cells(k)]
        positions.append(cells[rng.integers(len(cells))])
    prototypes = rng.normal(size=(len(positions), draw(st.integers(1, 3))))
    return SomMap(positions, prototypes), rng


def slow_product(som_map, hops):
    """P as Bauer & Pawelzik write it, with one logarithm at a time."""
    n, W, cells = len(som_map), som_map.prototypes, som_map.positions

    def apart(i, j):
        return np.linalg.norm(W[i] - W[j])

    def steps(i, j):
        return float(som_map.hops[i, j]) if hops else np.linalg.norm(cells[i] - cells[j])

    total = 0.0
    for j in range(n):
        others = [i for i in range(n) if i != j]
        on_grid = sorted(others, key=lambda i, j=j: (round(steps(j, i), 9), apart(j, i)))
        in_space = sorted(others, key=lambda i, j=j: (apart(j, i), steps(j, i)))
        product = 1.0
        for k in range(1, n):
            a, v = on_grid[k - 1], in_space[k - 1]
            product *= apart(j, a) / apart(j, v) * steps(j, a) / steps(j, v)
            total += np.log(product ** (1 / (2 * k)))
    return total / (n * (n - 1)) if n > 1 else 0.0


@settings(max_examples=60)
@given(random_maps(), st.booleans())
def test_the_product_equals_its_slow_twin(pair, hops):
    som_map, _ = pair
    value = topographic_product(som_map, pairwise, "hops" if hops else "euclidean")
    assert value == pytest.approx(slow_product(som_map, hops), rel=1e-9, abs=1e-12)


def test_prototypes_that_coincide_leave_the_product_finite():
    som_map = SomMap.rectangle(2, 2, [[0.0], [0.0], [1.0], [1.0]])
    assert np.isfinite(topographic_product(som_map, pairwise))
    assert topographic_product(SomMap([(0, 0)], [[1.0]]), pairwise) == 0


def slow_function(som_map, bmu, second, neighbours, k):
    n, cells = len(som_map), som_map.positions
    over = np.full((n, n), np.inf)
    np.fill_diagonal(over, 0)
    for i, j in zip(bmu, second, strict=True):
        if i != j:
            over[i, j] = over[j, i] = 1
    for via in range(n):
        over = np.minimum(over, over[:, [via]] + over[via])
    if k == 0:
        return sum(slow_function(som_map, bmu, second, neighbours, one) for one in (1, -1))
    count = 0
    for i, j in itertools.product(range(n), repeat=2):
        grid = np.abs(cells[i] - cells[j]).max() if neighbours == 8 else som_map.hops[i, j]
        if k > 0:
            count += over[i, j] == 1 and grid > k
        else:
            count += np.abs(cells[i] - cells[j]).sum() == 1 and over[i, j] > -k
    return count / n


@settings(max_examples=60)
@given(random_maps(), st.integers(1, 40), st.sampled_from([4, 8]))
def test_the_function_equals_its_slow_twin(pair, samples, neighbours):
    som_map, rng = pair
    distances = pairwise(
        rng.normal(size=(samples, som_map.prototypes.shape[1])), som_map.prototypes
    )
    order = np.argsort(distances, axis=1)
    bmu, second = order[:, 0], order[:, min(1, len(som_map) - 1)]
    found = topographic_function(som_map, bmu, second, neighbours)
    assert found.k.tolist() == list(range(-found.k[-1], found.k[-1] + 1))
    for k, phi in zip(*found, strict=True):
        assert phi == pytest.approx(slow_function(som_map, bmu, second, neighbours, k)), k
    for k in (found.k[-1] + 1, -found.k[-1] - 1):
        assert found.at(k) == pytest.approx(slow_function(som_map, bmu, second, neighbours, k))


def test_the_estimators_offer_both(iris):
    vq = SomVQ(max_neurons=40, epochs=20).fit(iris[0])
    assert vq.topographic_product_ == topographic_product(vq.som_map_, pairwise)
    expected = topographic_function(vq.som_map_, *vq.bmu(iris[0], 2).T, 8)
    np.testing.assert_array_equal(vq.topographic_function(iris[0], neighbours=8).phi, expected.phi)
