"""Who takes part: a function of (X, rows, columns, epochs) for each package that is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable

import numpy as np

WIDTHS = {"start": 5.0, "end": 0.5, "decay": "exponential"}


def ours(X, rows, columns, epochs):
    """The public estimator with everything that its fit does: checks, measures, labels."""
    from dbgsom_core import SomVQ

    growth = {"name": "fixed", "rows": rows, "columns": columns}
    kernel = {"name": "gaussian", **WIDTHS}
    return SomVQ(growth=growth, kernel=kernel, epochs=epochs, tol=0.0).fit(X)


def faiss_k_means(X, rows, columns, epochs):
    """K-means without a map: the speed of an exact search with a library's own kernels."""
    import faiss

    k_means = faiss.Kmeans(
        X.shape[1],
        rows * columns,
        niter=epochs,
        max_points_per_centroid=len(X),
        min_points_per_centroid=1,
    )
    k_means.train(X)
    return k_means


def sklearn_k_means(X, rows, columns, epochs):
    """Lloyd's algorithm of scikit-learn for as many iterations."""
    from sklearn.cluster import KMeans

    estimator = KMeans(rows * columns, init="random", n_init=1, max_iter=epochs, tol=0.0)
    return estimator.fit(X)


def fastersom(X, rows, columns, epochs):
    """A batch SOM on PyTorch, here on the CPU."""
    from fastersom import SOM

    som = SOM(rows, columns, epochs, sigma_initial=5.0, sigma_final=0.5, device="cpu")
    return som.fit(X)


def xpysom(X, rows, columns, epochs):
    """A batch SOM on numpy (or CuPy)."""
    with contextlib.redirect_stdout(io.StringIO()):
        from xpysom import XPySom

        som = XPySom(columns, rows, X.shape[1], sigma=5.0, sigmaN=0.5, xp=np)
        som.train(X, epochs)
    return som


def minisom(X, rows, columns, epochs):
    """A SOM that is trained sample by sample."""
    from minisom import MiniSom

    som = MiniSom(columns, rows, X.shape[1], sigma=5.0, learning_rate=0.5)
    som.train(X, epochs, use_epochs=True)
    return som


CONTESTANTS: dict[str, tuple[str, Callable[..., object], bool]] = {
    # name: (module, function, whether it takes minutes)
    "dbgsom-core": ("dbgsom_core", ours, False),
    "faiss k-means": ("faiss", faiss_k_means, False),
    "scikit-learn k-means": ("sklearn", sklearn_k_means, False),
    "fastersom": ("fastersom", fastersom, False),
    "xpysom": ("xpysom", xpysom, True),
    "minisom": ("minisom", minisom, True),
}


def installed(slow: bool) -> dict[str, Callable[..., object]]:
    """Return those that can run here, without the slow ones unless asked for."""
    return {
        name: function
        for name, (module, function, is_slow) in CONTESTANTS.items()
        if importlib.util.find_spec(module) and (slow or not is_slow)
    }
