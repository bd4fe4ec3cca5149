"""Errors of an epoch are sums of exact distances; units and errors do not depend on a block."""

import numpy as np
import pytest

from dbgsom_core.engine.euclidean.packing import NEAR, PackedSamples
from dbgsom_core.engine.euclidean.search import FastSearch
from dbgsom_core.engine.local import LocalSamples, Samples
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_plugins.metrics.norms import Euclidean

EUCLIDEAN = MetricAbilities.of(Euclidean())


def grid(n_neurons):
    return np.column_stack(np.divmod(np.arange(n_neurons), 8))


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [6, 37])
def test_errors_are_sums_of_the_distances_of_packed_samples_for_any_engine(dtype, d, rng):
    X = (rng.normal(size=(6000, d)) + 5).astype(dtype)
    W = np.vstack([X[:10], X[10:30] + 1e-7, rng.permutation(X)[:50] + 0.1]).astype(float)
    data, doubled = LocalSamples(X, EUCLIDEAN), FastSearch(None, PackedSamples.of(X, 1))
    doubled.data = data
    doubled.double()
    searches = [FastSearch(data, PackedSamples.of(X, 2)), doubled, Samples(X, EUCLIDEAN).search()]
    found = [search.assign(W, grid(80)) for search in searches]
    frame = data.quantisation
    numbers, packed = data.quantised(), (W - frame.centre) * frame.scale
    apart = packed[found[0].bmu]
    squares = np.square(numbers.astype(np.float32) - apart).sum(axis=1)
    near = squares < NEAR * np.square(packed).sum(axis=1).max()
    squares[near] = np.square(numbers - apart).sum(axis=1)[near]
    errors = np.bincount(found[0].bmu, np.sqrt(squares), 80) / frame.scale
    np.testing.assert_allclose(found[0].errors, errors, rtol=1e-12)
    own = np.bincount(found[0].bmu, found[0].distance, 80)
    np.testing.assert_allclose(found[0].errors, own, rtol=1e-7, atol=1e-7)
    for other in found[1:]:
        np.testing.assert_array_equal(other.errors, found[0].errors)
        assert other.total_error == found[0].total_error


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_after_growth_errors_are_those_of_a_whole_pass_whoever_shares_a_block(dtype, rng):
    known, n = 64, 3000
    X, W = rng.normal(size=(n, 6)), rng.normal(size=(known + 2, 6))
    order = LocalSamples(X, EUCLIDEAN).nearest_plainly(W[:known], 2)[0]
    apart, middle = W[order[:, 0]] - W[order[:, 1]], (W[order[:, 0]] + W[order[:, 1]]) / 2
    beyond = ((X - middle) * apart).sum(axis=1) / np.square(apart).sum(axis=1)
    X = np.where((rng.random(n) < 0.03)[:, None], X - beyond[:, None] * apart, X).astype(dtype)
    data, positions = LocalSamples(X, EUCLIDEAN), grid(known + 2)
    whole = FastSearch(data, PackedSamples.of(X, 1)).assign(W, positions)
    for passes, ranks in ((1, np.arange(known)), (1, rng.permutation(known)), (3, None)):
        search = FastSearch(data, PackedSamples.of(X, 1), prunes=True)
        for _ in range(passes):
            found = search.assign(W[:known], positions[:known])
        if ranks is not None:
            search.samples.sort(ranks.astype(np.int32))
        found = search.admit(found, W, positions, known)
        assert search.samples.one.dtype == np.float32
        np.testing.assert_array_equal(found.bmu, data.assign_plainly(W).bmu)
        for part in ("hits", "packed_sums", "errors", "total_error"):
            np.testing.assert_array_equal(getattr(found, part), getattr(whole, part))


# ---------------------------------------------------------------------------- sizes at the far ends


@pytest.mark.parametrize("power", [-480, -300, 0, 300, 500])
def test_units_do_not_depend_on_the_size_of_the_data(power, rng):
    X = rng.uniform(-1, 1, size=(500, 3))
    W = np.vstack([X[:20], X[:20], (X[:10] + X[10:20]) / 2])  # duplicates: ties to the lower row
    scale = 2.0**power
    search = FastSearch(LocalSamples(X * scale, EUCLIDEAN), PackedSamples.of(X * scale, 1), True)
    expected = LocalSamples(X, EUCLIDEAN).assign_plainly(W)
    for _ in range(3):
        found = search.assign(W * scale)
        np.testing.assert_array_equal(found.bmu, expected.bmu)
        np.testing.assert_array_equal(found.distance, expected.distance * scale)
