"""Small data, maps and states that the checks share."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.growth import DataSummary, GrowthState
from dbgsom_core.interfaces.guard import Guarded
from dbgsom_core.interfaces.labellers import LabelEvidence, Surroundings
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.grid import SQUARE, Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training import parts

SAMPLES, FEATURES = 40, 4


def generator() -> np.random.Generator:
    """Return a fresh generator, the same one every time."""
    return np.random.default_rng(19820101)


def samples_for(metric: Any, n: int = SAMPLES) -> NDArray[np.float64]:
    """Return raw samples that a metric accepts: its ``examples``, or normal ones."""
    examples = MetricAbilities.of(metric).examples
    if examples is None:
        return generator().standard_normal((n, FEATURES))
    given = np.asarray(examples(generator(), n), dtype=np.float64)
    assert given.ndim == 2 and len(given) == n, f"examples({n}) must have shape ({n}, D)"
    return given


def fitted(metric: Any) -> MetricAbilities:
    """Return what a metric can do that has learned from `samples_for`, where it learns.

    Its methods are its own, without the guard that a fit has: the checks look for themselves.
    """
    state = parts.fitted(metric, samples_for(metric)).state
    found = MetricAbilities.of(metric)
    own: dict[str, Any] = {
        name: one.bare for name, one in vars(found).items() if isinstance(one, Guarded)
    }
    bare = replace(found, **own, judge=None)
    return bare if state is None else bare.knowing(state)


def prepared(metric: MetricAbilities, X: NDArray[Any]) -> NDArray[Any]:
    """Return samples in the metric's space."""
    return np.ascontiguousarray(metric.prepared(X))


def metric_inputs(metric: MetricAbilities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return prepared samples (m, D) and prototypes (7, D) of a metric."""
    X = prepared(metric, samples_for(metric))
    means = (X[:28].reshape(4, 7, -1).sum(axis=0)) / 4
    return X, np.ascontiguousarray(metric.centred(means), dtype=np.float64)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that cannot be written."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def classes() -> NDArray[np.str_]:
    """Return class labels (SAMPLES,) as text."""
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


def summary() -> DataSummary:
    """Return what a growth strategy knows before training."""
    return DataSummary(SAMPLES, FEATURES, deviation=2.0, spread=2.0, n_classes=3)


def context(som_map: SomMap) -> Context:
    """Return what a strategy or a labeller may ask of a run, that has not begun."""
    metric = MetricAbilities.of(get_registry().find("metric", "euclidean")())
    samples = LocalSamples(generator().standard_normal((SAMPLES, FEATURES)), metric)
    return Context(samples, samples.assign(som_map.prototypes))


def growth_state(som_map: SomMap, threshold: float, room: int | None = None) -> GrowthState:
    """Return the state of a map that has settled with every neuron far above the threshold."""
    n = len(som_map)
    errors = np.linspace(1.0, 2.0, n) * (10.0 if np.isnan(threshold) else 10.0 * abs(threshold) + 1)
    counts = generator().integers(1, 9, (n, 3))
    return GrowthState(
        epoch=20,
        epochs=50,
        threshold=threshold,
        errors=frozen(errors),
        hits=frozen(counts.sum(axis=1)),
        class_counts=frozen(counts),
        movement=0.0,
        room=room,
        context=context(som_map),
    )


def evidence() -> LabelEvidence:
    """Return what a labeller sees of the ring after training; one neuron has no hits."""
    som_map, y = ring(), classes()
    bmu = np.arange(SAMPLES) % (len(som_map) - 1)
    names, codes = np.unique(y, return_inverse=True)
    counts = np.zeros((len(som_map), len(names)), dtype=np.int64)
    np.add.at(counts, (bmu, codes), 1)
    return LabelEvidence(
        som_map,
        frozen(bmu),
        frozen(counts.sum(axis=1)),
        frozen(y),
        frozen(names),
        frozen(counts),
        context=context(som_map),
    )


def surroundings(numbers: bool = False) -> Surroundings:
    """Return what a labeller sees around the samples, by the ring's first neurons; one is empty."""
    rng = np.random.default_rng(7)
    shape = (SAMPLES, 5)
    distances = np.sort(rng.random(shape), axis=1)
    weights = rng.integers(1, 9, shape).astype(np.float64)
    weights[0, -1] = 0.0
    units = rng.integers(0, 4, shape)
    values = rng.normal(size=shape) if numbers else rng.integers(0, 3, shape)
    return Surroundings(
        distances=frozen(distances),
        weights=frozen(weights),
        values=frozen(values),
        units=frozen(units),
        X=frozen(data()),
        n_classes=0 if numbers else 3,
    )


def trained() -> Any:
    """Return a small trained classifier on `data` and `classes`; whoever spoils it, spoils his."""
    return deepcopy(_trained())


@lru_cache(maxsize=1)
def _trained() -> Any:
    from dbgsom_core.estimators.classifier import SomClassifier

    fixed = {"name": "fixed", "rows": 3, "columns": 3}
    return SomClassifier(growth=fixed, epochs=5, random_state=0).fit(data(), classes())


@lru_cache(maxsize=1)
def stability() -> Any:
    """Return how sure the map of `trained` is."""
    return _trained().stability(data(), classes(), n=2)
