"""Distances by expanded squares are those of the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from dbgsom_core import SomVQ
from dbgsom_core.engine.pairwise.expanded import Expanded
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.metrics.euclidean import Euclidean


def blocks(X, W, **engine):
    data = LocalEngine(**engine).over(X, Euclidean())
    return np.vstack([distances for _, distances in data.chunks(W)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_they_are_scipys(dtype, offset, scale, rng):
    X = (scale * (rng.normal(size=(3000, 12)) + offset)).astype(dtype)
    W = X[rng.choice(len(X), 70)].astype(float) + 0.3 * scale * rng.normal(size=(70, 12))
    np.testing.assert_allclose(blocks(X, W), cdist(X.astype(float), W), rtol=1e-9)


def test_samples_on_prototypes_and_tight_groups_lose_no_digits(rng):
    """Two far groups, each tighter than the rounding of an expanded square."""
    X = np.repeat([[0.0, 0.0], [1e6, 1e6]], 500, axis=0) + 1e-4 * rng.normal(size=(1000, 2))
    W = np.vstack([X[::50], X[::50] + 1e-5])
    found, expected = blocks(X, W), cdist(X, W)
    assert (found[::50, :20][np.arange(20), np.arange(20)] == 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@st.composite
def samples_and_prototypes(draw):
    """Shapes that fill no tile, groups far apart and tight, samples on prototypes, odd scales."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, d = draw(st.integers(1, 70)), draw(st.sampled_from([1, 2, 3, 4, 7, 64]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    X = rng.normal(size=(n, d)) * 10.0 ** draw(st.sampled_from([0, -3, -7]))
    X += rng.integers(0, 2, size=(n, 1)) * draw(st.sampled_from([0.0, 1.0, 1e5]))
    X = (X * 10.0 ** draw(st.sampled_from([0, -30, -18, 18, 25]))).astype(dtype)
    W = X[rng.integers(n, size=draw(st.integers(1, 40)))].astype(float)
    W = W + draw(st.sampled_from([0.0, 1e-9, 0.3])) * X.std(dtype=float) * rng.normal(size=W.shape)
    if draw(st.booleans()):
        X[0] *= 1e6  # far out, for its neighbours' sake
    return X, W


@settings(deadline=None, max_examples=200)
@given(samples_and_prototypes(), st.sampled_from([np.float32, np.float64]))
def test_every_distance_is_as_exact_as_its_dtype(drawn, dtype):
    X, W = drawn
    out = np.full((len(X), len(W)), np.nan, dtype)
    Expanded.of(W, dtype).fill(X, out)
    exact = np.sqrt(np.square(X.astype(np.longdouble)[:, None] - W).sum(axis=2))
    error, smallest = np.abs(out - exact), np.finfo(np.float32).smallest_normal
    relative = 2.0**-23 if dtype == np.float32 else 1e-12
    assert (error <= relative * np.maximum(exact, smallest if dtype == np.float32 else 0)).all()


@settings(deadline=None, max_examples=50)
@given(samples_and_prototypes(), st.data())
def test_a_distance_does_not_depend_on_the_other_samples(drawn, data):
    X, W = drawn
    out = np.empty((len(X), len(W)))
    expanded = Expanded.of(W, out.dtype)
    expanded.fill(X, out)
    start = data.draw(st.integers(0, len(X) - 1))
    alone = np.empty((1, len(W)))
    expanded.fill(X[start : start + 1], alone)
    np.testing.assert_array_equal(alone[0], out[start])


def test_the_least_distance_is_that_of_the_unit(rng):
    X = rng.normal(size=(3000, 20)) + 100.0
    vq = SomVQ(max_neurons=40, random_state=0).fit(X)
    np.testing.assert_array_equal(vq.transform(X, "distances").argmin(axis=1), vq.bmu(X))
    single = vq.transform(X.astype(np.float32), "distances")
    at_unit = np.take_along_axis(single, vq.bmu(X.astype(np.float32))[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(at_unit, single.min(axis=1), rtol=2.0**-22)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_and_chunks_change_no_bit(threads, rng):
    X, W = rng.normal(size=(5000, 9)), rng.normal(size=(33, 9))
    expected = blocks(X, W, threads=1)
    np.testing.assert_array_equal(blocks(X, W, threads=threads, chunk_rows=123), expected)
    vq = SomVQ(engine={"name": "local", "threads": threads, "chunk_rows": 77}, epochs=5).fit(X)
    same = SomVQ(engine={"name": "local", "threads": 1}, epochs=5).fit(X)
    found, expected = vq.transform(X, "distances"), same.transform(X, "distances")
    np.testing.assert_array_equal(found, expected)


def test_transform_is_that_of_k_means(digits):
    X, _ = digits
    vq = SomVQ(max_neurons=30, transform_algorithm="distances").fit(X)
    np.testing.assert_allclose(vq.transform(X), cdist(X, vq.weights_), rtol=1e-10)
    assert vq.transform(X).min(axis=1).mean() == pytest.approx(vq.quantization_error_)
    names = vq.set_output(transform="pandas").transform(X).columns
    assert list(names) == list(vq.get_feature_names_out())
    with pytest.raises(ValueError, match="transform_algorithm must be"):
        SomVQ(transform_algorithm="pca").fit(X)
    with pytest.raises(ValueError, match="algorithm must be 'mixture' or 'distances'"):
        vq.transform(X, "pca")
