"""The k smallest of each row, as a stable sort finds them."""

from dataclasses import replace

import numpy as np
import pytest

from dbgsom_core.engine.loops import smallest
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.metrics.euclidean import Euclidean


@pytest.mark.parametrize("k", [1, 2, 4, 9, 40, 160])
@pytest.mark.parametrize("step", [0.0, 0.5, 4.0])
def test_they_are_those_of_a_stable_sort(rng, k, step):
    block = rng.normal(size=(200, 160))
    if step:  # ties, also among the last of the k
        block = np.round(block / step) * step
    expected = np.argsort(block, axis=1, kind="stable")[:, :k]
    columns, values = np.empty((200, k), np.int64), np.empty((200, k))
    smallest(block, columns, values)
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(block, expected, axis=1))


def test_of_fewer_prototypes_than_asked_for_the_first_stands_again(rng):
    """As a map of one neuron has no second nearest."""
    data = LocalEngine().over(rng.normal(size=(50, 3)), Euclidean())
    prototype = rng.normal(size=(1, 3))
    units, distances = data.nearest_plainly(prototype, 2)
    assert not units.any()
    expected = np.linalg.norm(data.X - prototype, axis=1)
    np.testing.assert_allclose(distances, np.column_stack([expected, expected]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("k", "n_neurons", "d"),
    [(3, 3, 2), (8, 70, 3), (16, 300, 13), (40, 90, 1), (16, 64, 4), (5, 65, 2), (63, 63, 3)],
)
@pytest.mark.parametrize("step", [0.0, 1.0, 4.0])
def test_the_few_nearest_are_those_of_the_definition(rng, dtype, k, n_neurons, d, step):
    X = 3 * rng.normal(size=(150, d))
    W = 3 * rng.normal(size=(n_neurons, d))
    if step:  # ties
        X, W = np.round(X / step) * step, np.round(W / step) * step
    X[::7] = W[rng.integers(n_neurons, size=len(X[::7]))]
    data = LocalEngine().over(X.astype(dtype), Euclidean())
    for found, expected in zip(data.nearest_few(W, k), data.nearest_plainly(W, k), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_few_nearest_are_the_same_in_several_pieces_and_threads(rng, monkeypatch):
    monkeypatch.setattr("dbgsom_core.engine.samples._SMALL_WORK", 0)
    X, W = rng.normal(size=(500, 3)), rng.normal(size=(2100, 3))  # 64 rows a piece
    by_hand = np.sqrt(((X[:, None] - W) ** 2).sum(axis=2))
    expected = np.argsort(by_hand, axis=1, kind="stable")[:, :6]
    for threads in (1, 2):
        data = replace(LocalEngine().over(X, Euclidean()), threads=threads)
        np.testing.assert_array_equal(data.nearest_few(W, 6)[0], expected)


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e25, 1e160])
def test_the_few_nearest_are_found_where_float32_has_no_numbers(rng, scale):
    data = LocalEngine().over(scale * rng.normal(size=(60, 5)), Euclidean())
    W = scale * rng.normal(size=(50, 5))
    for found, expected in zip(data.nearest_few(W, 7), data.nearest_plainly(W, 7), strict=True):
        np.testing.assert_array_equal(found, expected)
