"""Samples as non-negative mixtures: as good as scipy's, however far from the origin."""

import numpy as np
import pytest
from scipy.optimize import nnls

from dbgsom_core.engine.nnls import mixture_coefficients

SHAPES = [(30, 8), (6, 20), (40, 40), (1, 5), (5, 1)]


def residuals(X, W, c):
    """Return ‖x - Σ_j c_j w_j‖ in extended precision."""
    X, W, c = (np.asarray(part, dtype=np.longdouble) for part in (X, W, c))
    return np.sqrt(((X - c @ W) ** 2).sum(axis=1)).astype(float)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e5])
@pytest.mark.parametrize(("n_neurons", "d"), SHAPES)
def test_residuals_are_at_most_those_of_scipy(n_neurons, d, offset, rng):
    W = rng.normal(size=(n_neurons, d)) + offset
    X = 1.5 * rng.normal(size=(20, d)) + offset
    W[n_neurons // 2] = W[0]
    c = mixture_coefficients(X, W).toarray()
    assert (c >= 0).all()
    expected = residuals(X, W, [nnls(W.T, x)[0] for x in X])
    rounding = 1e-13 + 1e-15 * offset * d
    # Nothing is below the least; scipy 1.15 stops above it where prototypes coincide.
    assert (residuals(X, W, c) <= expected * (1 + 1e-9) + rounding).all()


@pytest.mark.parametrize("offset", [1e5, 1e6])
def test_normal_equations_would_not_do(offset, rng):
    W, X = rng.normal(size=(12, 6)) + offset, rng.normal(size=(50, 6)) + offset
    c = mixture_coefficients(X, W).toarray()
    # A mixture close to the samples weighs about 1, and the offset hides all but that.
    nearest = np.linalg.norm(X[:, None] - W, axis=2).min(axis=1)
    ours = residuals(X, W, c)
    assert (ours <= nearest * (1 + 1e-12)).all()
    gram_only = np.array([nnls(W @ W.T, W @ x)[0] for x in X])
    assert (residuals(X, W, gram_only) > ours * (1 + 1e-6)).mean() > 0.5


@pytest.mark.parametrize("offset", [1e8, 1e12, 1e150])
def test_far_from_the_origin_mixtures_stay_near(offset, rng):
    W, X = rng.normal(size=(12, 6)) + offset, rng.normal(size=(50, 6)) + offset
    c = mixture_coefficients(X, W).toarray()
    assert (c >= 0).all()
    np.testing.assert_allclose(c.sum(axis=1), 1, rtol=1e-6)


def test_float32_samples_and_zeros(rng):
    W = rng.normal(size=(7, 4))
    X = rng.normal(size=(9, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        mixture_coefficients(X, W).toarray(),
        mixture_coefficients(X.astype(np.float64), W).toarray(),
    )
    assert not mixture_coefficients(np.zeros((2, 4)), W).toarray().any()
    assert not mixture_coefficients(X, np.zeros((3, 4))).toarray().any()


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e3])
@pytest.mark.parametrize(("n_neurons", "d"), [(150, 20), (90, 60), (300, 3), (17, 33)])
def test_every_row_meets_the_conditions_of_an_optimum(n_neurons, d, offset, rng):
    """Kuhn & Tucker's, in extended precision: slopes are 0 inside and at most 0 outside."""
    W, X = rng.normal(size=(n_neurons, d)) + offset, 2 * rng.normal(size=(200, d)) + offset
    c = mixture_coefficients(X, W).toarray()
    assert (c >= 0).all()
    assert ((c > 0).sum(axis=1) <= d).all()
    wide, C = W.astype(np.longdouble), c.astype(np.longdouble)
    residual = X - C @ wide
    slopes = (residual @ wide.T).astype(float)
    parts = np.linalg.norm(X, axis=1) + c @ np.linalg.norm(W, axis=1)
    bound = 1e-8 * np.linalg.norm(W, axis=1).max() * np.linalg.norm(residual.astype(float), axis=1)
    bound += 1e-14 * np.linalg.norm(W, axis=1).max() * parts  # what a residual cannot tell
    assert (slopes <= bound[:, None]).all()
    assert (np.where(c > 0, -slopes, 0) <= bound[:, None]).all()


@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_a_row_is_the_same_wherever_it_stands_and_sorted(offset, rng):
    for n_neurons in (25, 120):  # the second's mixtures are not the only optima
        W, X = rng.normal(size=(n_neurons, 24)) + offset, rng.normal(size=(150, 24)) + offset
        W[3], X[5] = W[1], 0.0
        found = mixture_coefficients(X, W)
        assert found.has_canonical_format
        whole = found.toarray()
        np.testing.assert_array_equal(mixture_coefficients(X, W, threads=3).toarray(), whole)
        order = rng.permutation(len(X))
        np.testing.assert_array_equal(mixture_coefficients(X[order], W).toarray(), whole[order])
        for rows in (slice(0, 1), slice(61, 66), slice(149, 150)):
            np.testing.assert_array_equal(mixture_coefficients(X[rows], W).toarray(), whole[rows])


def test_read_only_and_strided_samples_are_taken_as_they_are(rng):
    W, X = rng.normal(size=(12, 6)), rng.normal(size=(40, 6))
    expected = mixture_coefficients(X, W).toarray()
    fixed = X.copy()
    fixed.flags.writeable = False
    for same in (fixed, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(mixture_coefficients(same, W).toarray(), expected)
    np.testing.assert_array_equal(fixed, X)
