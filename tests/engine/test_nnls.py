"""Samples as non-negative mixtures: as good as scipy's, however far from the origin."""

import numpy as np
import pytest

from dbgsom_core.engine.nnls import mixture_coefficients


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize(("n_neurons", "d"), [(150, 20), (17, 33)])
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
@pytest.mark.parametrize("n_neurons", [25, 120])  # the second's mixtures are not the only optima
def test_a_row_is_the_same_wherever_it_stands(n_neurons, offset, rng):
    W, X = rng.normal(size=(n_neurons, 24)) + offset, rng.normal(size=(150, 24)) + offset
    W[3], X[5] = W[1], 0.0
    whole = mixture_coefficients(X, W).toarray()
    np.testing.assert_array_equal(mixture_coefficients(X, W, threads=3).toarray(), whole)
    order = rng.permutation(len(X))
    np.testing.assert_array_equal(mixture_coefficients(X[order], W).toarray(), whole[order])
    np.testing.assert_array_equal(mixture_coefficients(X[61:66], W).toarray(), whole[61:66])
