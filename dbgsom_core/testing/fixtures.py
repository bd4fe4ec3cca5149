"""Small data, maps and states that the checks share, and small fits."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.samples import Samples
from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.guard import Guarded, MetricWithState
from dbgsom_core.interfaces.labellers import LabelEvidence, Surroundings
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.grid import SQUARE, Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training import parts

SAMPLES, FEATURES = 40, 4


def generator() -> np.random.Generator:
    return np.random.default_rng(19820101)


def samples_for(metric: Any, n: int = SAMPLES) -> NDArray[np.float64]:
    """Return raw samples that a metric accepts: its ``examples``, or normal ones."""
    examples = metric.examples
    if examples is None:
        return generator().standard_normal((n, FEATURES))
    given = np.asarray(examples(generator(), n), dtype=np.float64)
    assert given.ndim == 2 and len(given) == n, f"examples({n}) must have shape ({n}, D)"
    return given


def fitted(metric: Any) -> Any:
    """Return a metric as engines call it, fitted to `samples_for`, if it fits.

    Its answers are checked, those of a built-in, too.
    """
    state = parts.fit_metric(metric, samples_for(metric)).state
    found = Guarded(metric)
    return found if state is None else MetricWithState(found, state)


def classes() -> NDArray[np.str_]:
    return np.array(["ash", "beech", "cedar"])[np.arange(SAMPLES) % 3]


def data() -> NDArray[np.float64]:
    """Return samples (SAMPLES, FEATURES) in three clusters, by `classes`."""
    centres = 4.0 * generator().standard_normal((3, FEATURES))
    return centres[np.arange(SAMPLES) % 3] + generator().standard_normal((SAMPLES, FEATURES))


def ring(grid: Grid = SQUARE) -> SomMap:
    """Return a map of neurons around a free cell, eight or as many as it has links."""
    cells = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    if grid != SQUARE:
        cells = grid.beside((0, 0))
    return SomMap(cells, generator().standard_normal((len(cells), FEATURES)), grid)


def context(som_map: SomMap) -> Context:
    """Return the context of a run that has not begun, for strategies and labellers."""
    metric = get_registry().build("metric", "euclidean")
    samples = Samples(generator().standard_normal((SAMPLES, FEATURES)), metric)
    return Context(samples, samples.assign(som_map.prototypes))


def evidence() -> LabelEvidence:
    som_map, y = ring(), classes()
    bmu = np.arange(SAMPLES) % (len(som_map) - 1)
    names, codes = np.unique(y, return_inverse=True)
    counts = np.zeros((len(som_map), len(names)), dtype=np.int64)
    np.add.at(counts, (bmu, codes), 1)
    asked = context(som_map)
    return LabelEvidence(som_map, bmu, counts.sum(axis=1), y, names, counts, context=asked)


def surroundings(numbers: bool = False) -> Surroundings:
    """Return micro-clusters around the samples, of the ring's first neurons; one is empty."""
    rng = np.random.default_rng(7)
    shape = (SAMPLES, 5)
    distances = np.sort(rng.random(shape), axis=1)
    weights = rng.integers(1, 9, shape).astype(np.float64)
    weights[0, -1] = 0.0
    units = rng.integers(0, 4, shape)
    values = rng.normal(size=shape) if numbers else rng.integers(0, 3, shape)
    return Surroundings(distances, weights, values, units, data(), 0 if numbers else 3)


def trained() -> Any:
    return deepcopy(_trained())


@lru_cache(maxsize=1)
def _trained() -> Any:
    from dbgsom_core.estimators.som import SomClassifier

    fixed = {"name": "fixed", "rows": 3, "columns": 3}
    return SomClassifier(growth=fixed, epochs=5, random_state=0).fit(data(), classes())


@lru_cache(maxsize=1)
def stability() -> Any:
    return _trained().stability(data(), classes(), n=2)


def only_regresses(component: Any) -> bool:
    return tuple(getattr(component, "estimators", None) or ()) == ("regressor",)


# -------------------------------------------------------------------------------------- small fits


def check_fit(X: NDArray[Any], y: NDArray[Any] | None = None, **parts: Any) -> Any:
    """Return an estimator trained on X (n, D) after checking what it holds.

    With ``y`` a classifier is trained, or a regressor for numbers and for a labeller of regressors
    only. Where plugins offer every part the model is saved, loaded and predicts again.
    """
    from dbgsom_core.estimators.som import SomClassifier, SomRegressor, SomVQ

    fixed = {"name": "fixed", "rows": 2, "columns": 3}
    params = {"growth": fixed, "epochs": 6, "random_state": 0, **parts}
    numbers = y is not None and y.dtype.kind == "f"
    regresses = numbers or only_regresses(parts.get("labeller"))
    supervised = SomRegressor if regresses else SomClassifier
    estimator: Any = SomVQ(**params).fit(X) if y is None else supervised(**params).fit(X, y)
    assert np.isfinite(estimator.weights_).all(), "the fit leaves prototypes that are not finite"
    assert np.isfinite(estimator.quantization_error_), "the quantization error is not finite"
    answers = np.asarray(estimator.predict(X))
    assert estimator._point(answers).shape == (len(X),), "predict gives no answer for each sample"
    _save_and_load(estimator, X, answers)
    return estimator


def check_threads(X: NDArray[Any], y: NDArray[Any] | None = None, **parts: Any) -> None:
    """Fit with one thread and whole chunks, then with two and small ones: the maps are equal."""
    engines = ({"name": "local", "threads": 1}, {"name": "local", "threads": 2, "chunk_rows": 7})
    first, second = (check_fit(X, y, engine=engine, **parts) for engine in engines)
    close = first.weights_.shape == second.weights_.shape
    close = close and np.allclose(first.weights_, second.weights_, rtol=1e-9, atol=1e-12)
    assert close, "threads and chunks change the map"


def _save_and_load(estimator: Any, X: NDArray[Any], answers: NDArray[Any]) -> None:
    from dbgsom_core.persistence import load

    try:
        for _, kind, part in estimator._parts.each():
            get_registry().identify(kind, part)
    except PluginError:  # not installed: it cannot be loaded by name
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        estimator.save(path)
        again = np.asarray(load(path).predict(X))
    assert np.array_equal(again, answers), "a saved and loaded model answers differently"
