"""Compile all loops once, by small fits that between them call each with every type."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from dbgsom_core.engine.compile import loops_folder
from dbgsom_core.engine.runtime import compile_clock
from dbgsom_core.estimators.measuring import default_measures, table_of
from dbgsom_core.estimators.som import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.plugins.registry import Registry

_SMALL: dict[str, Any] = {"epochs": 6, "max_neurons": 12}  # compared without being packed
_LARGE: dict[str, Any] = {"epochs": 25, "max_neurons": 80}


def compiled_loops() -> int | None:
    """Return how many loops the cache folder holds; None where there can be no such folder."""
    folder = loops_folder()
    return None if folder is None else sum(1 for _ in folder.glob("*.nbi"))


def warm(registry: Registry, show: Callable[[str], object]) -> tuple[float, list[str]]:
    """Fit small maps of each kind, so that what they call is compiled and kept.

    ``show`` is called with the name of each fit. Returns the seconds spent with compiling, and a
    sentence for each fit that failed.
    """
    failed = []
    with compile_clock() as clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, fit in _fits(registry):
            show(name)
            try:
                fit()
            except Exception as error:
                failed.append(f"{name}: {type(error).__name__}: {error}")
    return clock.seconds, failed


def _fits(registry: Registry) -> Iterator[tuple[str, Callable[[], object]]]:
    rng = np.random.default_rng(0)
    for settings, X in (
        (_SMALL, np.abs(rng.normal(size=(400, 5)))),
        (_LARGE, np.abs(rng.normal(size=(5000, 16)))),
    ):
        size = f"{len(X)} rows"
        classes, weights = rng.integers(0, 3, len(X)), rng.random(len(X)) + 0.5
        gaps = np.where(rng.random(X.shape) < 0.2, np.nan, X)
        gaps[:, 0] = X[:, 0]
        vq = SomVQ(**settings)
        for dtype in (np.float64, np.float32):
            name, Xt = f"{size}, {np.dtype(dtype).name}", X.astype(dtype)
            yield name, partial(_use, registry, vq, Xt)
            classifier = SomClassifier(**settings)
            yield f"{name}, classes", partial(_use, registry, classifier, Xt, classes)
            yield f"{name}, missing values", partial(_impute, vq, gaps.astype(dtype))
            yield f"{name}, sparse", partial(_predict, vq, csr_array(Xt))
        numbers = SomRegressor(**settings)
        yield f"{size}, numbers as targets", partial(_predict, numbers, X, X[:, 0])
        yield f"{size}, weights", partial(vq.fit, X, sample_weight=weights)
        yield f"{size}, robust", partial(_predict, SomVQ(robust="auto", **settings), X)
        for offered in registry.offered("metric"):
            metric = {"name": f"{offered.distribution}:{offered.name}"}
            codes = np.round(X) if offered.name == "hamming" else X
            fitted = SomVQ(metric=metric, **settings)
            yield f"{size}, {offered.name}", partial(_predict, fitted, codes)
    for d in (20, 40):  # more than measures look at, and packed to look for units once
        X = rng.normal(size=(12000, d))
        classes = rng.integers(0, 3, len(X))
        for dtype in (np.float64, np.float32):
            name = f"{len(X)} × {d}, {np.dtype(dtype).name}"
            classifier = SomClassifier(**_LARGE)
            yield name, partial(_use, registry, classifier, X.astype(dtype), classes)
    X = rng.normal(size=(2000, 4))
    smoothed = {"name": "directed", "smooth_before_growth": True, "max_neurons": 60}
    nested = {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 12}}
    fixed = {"name": "fixed", "rows": 18, "columns": 18}
    for growth in (smoothed, nested, fixed, {"name": "gsom"}):
        fitted = SomVQ(growth=growth, epochs=8)
        yield f"growth {growth['name']}", partial(_predict, fitted, X)
    cosine = SomVQ(metric="cosine", **_SMALL)
    yield "sparse, cosine", partial(_predict, cosine, csr_array(np.abs(X)))


def _predict(estimator: Any, X: Any, y: Any = None) -> None:
    estimator.fit(X, y).predict(X)


def _impute(estimator: Any, X: Any) -> None:
    estimator.fit(X).impute(X)


def _use(registry: Registry, estimator: Any, X: Any, y: Any = None) -> None:
    estimator.fit(X, y)
    found = estimator.evaluate(X, y, predictions=estimator.predict(X))
    table_of(default_measures(registry, estimator._kind, y is not None), found)
    estimator.bmu(X, k=2)
    estimator.score_samples(X)
    estimator.transform(X[:50])
    estimator.partial_fit(X[:200], *(() if y is None else (y[:200],)))
