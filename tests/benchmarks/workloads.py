"""The data that the benchmarks use, made from seeds."""

from __future__ import annotations

import numpy as np


def clusters(n, d, seed=0):
    """Return n samples of 50 clusters on a 10-dimensional plane with noise, float32 (n, d)."""
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(50, 10))[rng.integers(50, size=n)] + 0.5 * rng.normal(size=(n, 10))
    return (plane @ rng.normal(size=(10, d)) + 0.5 * rng.normal(size=(n, d))).astype(np.float32)


def many_digits(n=60_000, seed=0):
    """Return scikit-learn's digits, repeated with noise and shifts, float32 (n, 64)."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    images = load_digits().images[rng.integers(1797, size=n)]
    for axis in (1, 2):
        moved = rng.random(n) < 0.3
        images[moved] = np.roll(images[moved], 1, axis=axis)
    return (images + rng.normal(size=images.shape)).reshape(n, 64).astype(np.float32)


FITS = {  # name: (data, rows, columns, epochs)
    "clusters 100k x 64, K=400": (lambda: clusters(100_000, 64), 20, 20, 50),
    "digits 60k x 64, K=400": (many_digits, 20, 20, 50),
    "clusters 1M x 16, K=100": (lambda: clusters(1_000_000, 16), 10, 10, 50),
}
