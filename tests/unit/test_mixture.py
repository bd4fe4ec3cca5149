"""Samples as non-negative mixtures: as good as scipy's, however far from the origin."""

import numpy as np
import pytest
from scipy.optimize import nnls

from dbgsom_core.engine.mixture import mixture_coefficients

SHAPES = [(30, 8), (6, 20), (40, 40), (1, 5), (5, 1)]


def residuals(X, W, c):
    """Return ‖x - Σ_j c_j w_j‖ in extended precision."""
    X, W, c = (np.asarray(part, dtype=np.longdouble) for part in (X, W, c))
    return np.sqrt(((X - c @ W) ** 2).sum(axis=1)).astype(float)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6, 1e8])
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


@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_normal_equations_would_not_do(offset, rng):
    W, X = rng.normal(size=(12, 6)) + offset, rng.normal(size=(50, 6)) + offset
    c = mixture_coefficients(X, W).toarray()
    # A mixture close to the samples weighs about 1, and the offset hides all but that.
    nearest = np.linalg.norm(X[:, None] - W, axis=2).min(axis=1)
    ours = residuals(X, W, c)
    assert (ours <= nearest * (1 + 1e-12)).all()
    gram_only = np.array([nnls(W @ W.T, W @ x)[0] for x in X])
    assert (residuals(X, W, gram_only) > ours * (1 + 1e-6)).mean() > 0.5


def test_a_mixture_of_prototypes_is_found_again(rng):
    W = rng.normal(size=(5, 9)) + 1e6
    true = rng.random((10, 5)) * (rng.random((10, 5)) < 0.6)
    np.testing.assert_allclose(mixture_coefficients(true @ W, W).toarray(), true, atol=1e-8)


def test_rows_do_not_depend_on_threads_or_on_other_rows(rng):
    for offset in (0.0, 1e7):
        W, X = rng.normal(size=(60, 30)) + offset, rng.normal(size=(500, 30)) + offset
        one = mixture_coefficients(X, W, threads=1).toarray()
        np.testing.assert_array_equal(mixture_coefficients(X, W, threads=3).toarray(), one)
        np.testing.assert_array_equal(mixture_coefficients(X[77:78], W).toarray(), one[77:78])


def test_float32_samples_and_zeros(rng):
    W = rng.normal(size=(7, 4))
    X = rng.normal(size=(9, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        mixture_coefficients(X, W).toarray(),
        mixture_coefficients(X.astype(np.float64), W).toarray(),
    )
    assert not mixture_coefficients(np.zeros((2, 4)), W).toarray().any()
    assert not mixture_coefficients(X, np.zeros((3, 4))).toarray().any()
