"""The few nearest prototypes are those of the definition, whatever a matrix product loses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.metrics.euclidean import Euclidean


def by_definition(X, W, k):
    """Squares added feature by feature; of equal distances the first."""
    squares = np.zeros((len(X), len(W)))
    with np.errstate(over="ignore"):
        for x, w in zip(X.T.astype(np.float64), W.T, strict=True):
            squares += np.square(x[:, None] - w)
    distances = np.sqrt(squares)
    columns = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return columns, np.take_along_axis(distances, columns, axis=1)


def check(X, W, k, threads=1):
    data = replace(LocalEngine().over(X, Euclidean()), threads=threads)
    for found, expected in zip(data.nearest_units(W, k), by_definition(X, W, k), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("k", "n_neurons", "d"),
    [(3, 3, 2), (8, 70, 3), (16, 300, 13), (40, 90, 1), (16, 64, 4), (5, 65, 2), (63, 63, 3)],
)
@pytest.mark.parametrize("step", [0.0, 1.0, 4.0])
def test_they_are_those_of_the_definition(rng, dtype, k, n_neurons, d, step):
    X = 3 * rng.normal(size=(150, d))
    W = 3 * rng.normal(size=(n_neurons, d))
    if step:  # ties
        X, W = np.round(X / step) * step, np.round(W / step) * step
    X[::7] = W[rng.integers(n_neurons, size=len(X[::7]))]
    check(X.astype(dtype), W, k)


@settings(max_examples=200, deadline=None)
@given(
    n_neurons=st.integers(3, 400),
    d=st.integers(1, 40),
    n=st.integers(0, 40),
    share=st.floats(0, 1),
    apart=st.floats(0, 12),
    away=st.floats(0, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_clusters_far_apart_and_samples_far_away_are_no_exception(
    n_neurons, d, n, share, apart, away, seed
):
    """Where the product tells little apart, or nothing, more is compared."""
    rng = np.random.default_rng(seed)
    k = 3 + int(share * (min(n_neurons, 70) - 3))
    centres = 10.0**apart * rng.normal(size=(3, d))
    W = centres[rng.integers(3, size=n_neurons)] + rng.normal(size=(n_neurons, d))
    X = centres[rng.integers(3, size=n)] + rng.normal(size=(n, d))
    X[::3] *= 10.0**away
    check(X, W, k)


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-160, 1e-38, 1e25, 1e149, 1e154, 1e160, 1e307])
def test_neither_tiny_nor_huge_numbers_are_an_exception(rng, scale):
    """Their squares round to nothing, or overflow: those are ties."""
    check(scale * rng.normal(size=(60, 5)), scale * rng.normal(size=(150, 5)), 7)


def test_prototypes_in_one_place_are_found_in_their_order(rng):
    X = rng.normal(size=(20, 3))
    check(X, np.repeat(X[:1], 200, axis=0), 30)


@pytest.mark.parametrize("d", [777, 5000])
def test_many_features_are_no_exception(rng, d):
    check(rng.normal(size=(30, d)), rng.normal(size=(90, d)), 16)


@pytest.mark.parametrize(("n_neurons", "d"), [(130, 1), (130, 5001), (50, 40)])
def test_samples_may_be_as_far_away_as_squares_reach_and_farther(n_neurons, d):
    X, W = np.ones((60, d)), np.ones((n_neurons, d))
    W *= np.linspace(-1, 1, n_neurons)[:, None]
    X *= np.linspace(-1.5, 1.5, 60)[:, None]
    X[1], X[2, 0], X[3] = 1e200, -1e9, np.nextafter(W[7], 2)
    check(X, W, 7)


@pytest.mark.parametrize("n_neurons", [40, 65, 300])
@pytest.mark.parametrize("far", [1.0, 1e4, 1e9])
def test_beside_a_prototype_far_away_the_others_are_told_apart(rng, n_neurons, far):
    X, W = rng.normal(size=(50, 5)), rng.normal(size=(n_neurons, 5))
    W[3] *= far
    check(X, W, 20)


def test_they_are_the_same_in_several_pieces_and_threads(rng, monkeypatch):
    monkeypatch.setattr("dbgsom_core.engine.samples._SMALL_WORK", 0)
    monkeypatch.setattr("dbgsom_core.engine.samples._FEW_ROWS", (50, 60))
    X, W = rng.normal(size=(500, 3)), rng.normal(size=(2100, 3))
    for threads in (1, 2, 3):
        check(X, W, 6, threads)


def test_arrays_of_any_layout_are_read(rng):
    X, W = rng.normal(size=(90, 8)), rng.normal(size=(100, 4))
    given = X.copy()
    given.flags.writeable = False
    for part in (given[:, ::2], np.asfortranarray(given[:, :4]), given[::2, 4:]):
        check(part, W, 5)


@pytest.mark.parametrize("step", [2.0**-52, 2.0**-40, 2.0**-28, 2.0**-27, 2.0**-20])
@pytest.mark.parametrize("n_neurons", [9, 40, 64])
def test_distances_that_hardly_differ_or_by_a_lot_are_in_order(rng, step, n_neurons):
    near = 1.0 + step * rng.permutation(n_neurons)
    check(np.zeros((1, 1)), near[:, None], n_neurons)
    wide = 2.0 ** rng.permutation(n_neurons)[:, None]
    check(np.zeros((1, 1)), wide, n_neurons)
    for zeros in (1, 3, n_neurons):  # the sample itself, which 32 bits tell apart, or several
        check(np.zeros((1, 1)), np.where(np.arange(n_neurons) % 7 < zeros, 0, near)[:, None], 8)
        check(np.zeros((1, 1)), np.where(np.arange(n_neurons) < zeros, 0, near)[:, None], 8)
    check(np.zeros((1, 1)), 5e-324 * np.arange(n_neurons)[::-1, None], n_neurons)
