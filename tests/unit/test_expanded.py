"""Distances through a matrix product are those of the definition."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dbgsom_core import SomVQ
from dbgsom_core.engine.local import LocalEngine
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
