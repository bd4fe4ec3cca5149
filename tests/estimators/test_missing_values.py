"""nan is a missing value: left out of distances and of means."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import nan_euclidean_distances

from dbgsom_core import SomVQ


def with_gaps(X, share, seed=0):
    X = np.array(X)
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X[~np.isnan(X).all(axis=1)]


def test_distances_are_those_of_scikit_learn(digits):
    X = with_gaps(digits[0], 0.3).astype(np.float32)
    vq = SomVQ(max_neurons=20, epochs=10).fit(X)
    expected = nan_euclidean_distances(X.astype(float), vq.weights_.astype(float))
    np.testing.assert_allclose(vq.transform(X, "distances"), expected, rtol=1e-5)
    np.testing.assert_array_equal(vq.bmu(X), expected.argmin(axis=1))
    assert vq.quantization_error_ == pytest.approx(expected.min(axis=1).mean(), rel=1e-6)
    assert vq.weights_.dtype == np.float32


def test_imputing_beats_column_means(digits):
    X, _ = digits
    gappy = with_gaps(X, 0.2)
    gaps = np.isnan(gappy)
    imputed = SomVQ().fit(gappy).impute(gappy)
    means = np.broadcast_to(np.nanmean(gappy, axis=0), X.shape)
    np.testing.assert_array_equal(imputed[~gaps], X[~gaps])
    error, usual = (np.sqrt(np.mean((found - X)[gaps] ** 2)) for found in (imputed, means))
    assert error < 0.7 * usual


def test_rows_and_columns_without_any_value_are_named(iris):
    X = iris[0].copy()
    X[[3, 7]] = np.nan
    with pytest.raises(
        ValueError, match=r"all values are missing in row 3 of X and in 1 more: leave"
    ):
        SomVQ().fit(X)
    X = iris[0].copy()
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="all values are missing in column 2 of X"):
        SomVQ().fit(X)


def test_a_metric_that_takes_no_gaps_says_so_as_scikit_learn_does(iris):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        SomVQ(metric="cosine").fit(with_gaps(iris[0], 0.1))
    with pytest.raises(ValueError, match="metric Cosine has its own"):
        SomVQ(metric="cosine").fit(iris[0]).impute(iris[0])
