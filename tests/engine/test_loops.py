"""Compiled loops beside their definitions in numpy: distances, groups, scores, smoothed sums."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.engine.samples import smallest
from dbgsom_core.engine.smoothing import kernel_reach, smooth_totals
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.metrics.norms import Euclidean


def by_definition(X, W):
    """Squares added feature by feature."""
    squares = np.zeros((len(X), len(W)))
    with np.errstate(over="ignore"):
        for x, w in zip(X.T.astype(np.float64), W.T, strict=True):
            squares += np.square(x[:, None] - w)
    return np.sqrt(squares)


def check(X, W, k=3, threads=1):
    data = replace(LocalEngine().over(X, Euclidean()), threads=threads)
    expected = by_definition(X, W)
    blocks = np.vstack([np.empty((0, len(W))), *(block for _, block in data.chunks(W))])
    np.testing.assert_array_equal(blocks, expected)
    np.testing.assert_array_equal(data.distances(W), expected.astype(X.dtype))
    columns = np.argsort(expected, axis=1, kind="stable")[:, :k]
    found = data.nearest_plainly(W, k)
    np.testing.assert_array_equal(found[0], columns)
    np.testing.assert_array_equal(found[1], np.take_along_axis(expected, columns, axis=1))
    np.testing.assert_array_equal(data.nearest_units(W, k)[0], columns)


@settings(deadline=None, max_examples=80)
@given(st.data(), st.integers(1, 3))
def test_they_are_those_of_the_definition(drawn, threads):
    """Groups far apart and tight, ties, samples on prototypes, offsets and odd scales."""
    draw = drawn.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, d = draw(st.integers(0, 70)), draw(st.sampled_from([1, 2, 3, 4, 7, 64]))
    centres = 10.0 ** draw(st.floats(0, 12)) * rng.normal(size=(3, d))
    W = centres[rng.integers(3, size=draw(st.integers(4, 90)))] + rng.normal(size=(1, d))
    X = centres[rng.integers(3, size=n)] + rng.normal(size=(n, d))
    if draw(st.booleans()):
        X, W = np.round(X), np.round(W)
    X[::3] *= 10.0 ** draw(st.floats(0, 12))
    X[::5] = W[rng.integers(len(W), size=len(X[::5]))]
    scale = 10.0 ** draw(st.sampled_from([0, -30, -18, 12]))  # float32 ends at 3e38
    X = (scale * X).astype(draw(st.sampled_from([np.float32, np.float64])))
    check(X, scale * W, draw(st.integers(1, 4)), threads)


@pytest.mark.parametrize("scale", [5e-324, 1e-160, 1e154, 1e307])
def test_neither_tiny_nor_huge_numbers_are_an_exception(rng, scale):
    """Their squares round to nothing, or overflow: those are ties."""
    check(scale * rng.normal(size=(60, 5)), scale * rng.normal(size=(150, 5)), 7)


@pytest.mark.parametrize("k", [2, 160])
def test_the_smallest_are_those_of_a_stable_sort(rng, k):
    block = np.round(2 * rng.normal(size=(200, 160))) / 2  # ties, also among the last of the k
    expected = np.argsort(block, axis=1, kind="stable")[:, :k]
    columns, values = np.empty((200, k), np.int64), np.empty((200, k))
    smallest(block, columns, values)
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(block, expected, axis=1))


@pytest.mark.parametrize("width", [0.1, 0.5, 3.0])
def test_the_smoothed_sums_are_a_matrix_product(width, rng):
    """Also where only far neurons have hits and every weight in reach is tiny."""
    som_map = SomMap.rectangle(9, 12, np.zeros((108, 1)))
    hits = rng.integers(0, 3, size=108) * (np.arange(108) > 70)
    sums = rng.normal(size=(108, 5)) * (hits > 0)[:, None]
    weights = np.exp(-np.square(np.arange(som_map.diameter + 1.0)) / (2 * width**2))
    reach = kernel_reach(weights, float(hits.sum()))
    got = smooth_totals(som_map.hops, weights, reach, hits, sums, threads=2)
    influence = weights[som_map.hops]
    np.testing.assert_allclose(got[0], influence @ sums, rtol=1e-9, atol=0)
    np.testing.assert_allclose(got[1], influence @ hits, rtol=1e-12, atol=0)
