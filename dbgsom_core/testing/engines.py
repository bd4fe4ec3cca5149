"""Checks of engines: a map does not depend on the engine, to the bit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.engine import EngineAbilities
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, check

_SAMPLES, _FEATURES = 211, 5  # so that parts of any usual size are of different length
_MANY, _WIDE = 9001, 32  # more than the built-in engines hold unpacked, or read at a time
_GROWING = {"name": "directed", "spreading_factor": 0.6, "max_neurons": 14}
_LEARNED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_weights_", "leaf_hit_counts_",
)  # fmt: skip


def _samples(n: int = _SAMPLES, d: int = _FEATURES) -> tuple[NDArray[Any], ...]:
    # Samples, classes, weights, and the samples with missing values.
    generator = material.generator()
    codes = generator.integers(0, 4, n)
    X = 3.0 * generator.standard_normal((4, d))[codes] + generator.standard_normal((n, d))
    gaps = np.where(generator.random(X.shape) < 0.1, np.nan, X)
    weights = generator.integers(0, 4, n).astype(np.float64)
    return X, np.array(["ash", "beech", "cedar", "yew"])[codes], weights, gaps


def _both(component: Any, **parts: Any) -> tuple[Any, Any]:
    # An estimator over this engine, and one over the built-in.
    from dbgsom_core.estimators.som import SomClassifier, SomVQ

    estimator = SomClassifier if "labeller" in parts else SomVQ
    params = {"growth": _GROWING, "epochs": 12, "tol": 0, "random_state": 0, **parts}
    return estimator(engine=component, **params), estimator(engine="local", **params)


def _assert_same(mine: Any, usual: Any) -> None:
    for name in _LEARNED:
        found, expected = getattr(mine, name), getattr(usual, name)
        assert np.array_equal(found, expected), f"{name} differs from that of engine 'local'"
    found, expected = (
        [(one.quantization_error, one.movement, one.births) for one in fitted.history_]
        for fitted in (mine, usual)
    )
    assert found == expected, "the epochs differ from those over engine 'local'"


def _assert_near(mine: Any, usual: Any, X: Any) -> None:
    # The same units, and sums but for their last digits.
    for name in ("neurons_", "labels_", "hit_counts_", "weights_", "errors_"):
        found, expected = (np.asarray(getattr(one, name)) for one in (mine, usual))
        close = 1e-5 * float(np.abs(expected).max()) if name in ("weights_", "errors_") else 0.0
        near = found.shape == expected.shape and np.allclose(found, expected, 0, close)
        assert near, f"{name} of many differs from engine 'local'"
    assert np.array_equal(mine.predict(X), usual.predict(X)), "predict differs for many samples"


@check("engine")
def check_same_maps(component: Any, subject: Subject) -> None:
    """A map that it trains has the bits of the built-in engine's: of float32, weighted and missing
    values too, with classes and child maps, and when training goes on.
    """
    X, y, weights, gaps = _samples()
    for parts in ({}, {"metric": "manhattan"}, {"init": "random", "robust": "auto"}):
        for dtype in (np.float64, np.float32):
            mine, usual = _both(component, **parts)
            _assert_same(mine.fit(X.astype(dtype)), usual.fit(X.astype(dtype)))
    mine, usual = _both(component)
    _assert_same(mine.fit(X, sample_weight=weights), usual.fit(X, sample_weight=weights))
    mine, usual = _both(component)
    _assert_same(mine.fit(gaps), usual.fit(gaps))
    assert np.array_equal(mine.impute(gaps), usual.impute(gaps)), "missing values differ"
    for growth in (_GROWING, {"name": "hierarchical", "base": _GROWING, "tau_2": 0.2}):
        mine, usual = _both(component, labeller="majority", growth=growth)
        _assert_same(mine.fit(X, y), usual.fit(X, y))
        assert np.array_equal(mine.predict_proba(X), usual.predict_proba(X)), "probabilities differ"
    mine, usual = _both(component)
    for part in (X[:90], X[90:]):
        _assert_same(mine.partial_fit(part), usual.partial_fit(part))


@check("engine")
def check_same_maps_of_many(component: Any, subject: Subject) -> None:
    """Of many samples it trains the map of the built-in engine, sums but for their last digits, of
    a memory-mapped file too, and the same bits when asked twice.
    """
    X, _, weights, _ = _samples(_MANY, _WIDE)
    X = X.astype(np.float32)
    mine, usual = (one.fit(X) for one in _both(component, epochs=6))
    _assert_near(mine, usual, X)
    again = _both(component, epochs=6)[0].fit(X)
    for name in _LEARNED:
        assert np.array_equal(getattr(again, name), getattr(mine, name)), f"{name} differs again"
    if EngineAbilities.of(component).opened is not None:
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/X.npy", X)
            mapped = np.load(f"{folder}/X.npy", mmap_mode="r")
            _assert_near(_both(component, epochs=6)[0].fit(mapped), usual, X)
    wide = X.astype(np.float64)
    mine, usual = (one.fit(wide, sample_weight=weights) for one in _both(component, epochs=6))
    _assert_near(mine, usual, wide)


@check("engine")
def check_same_incomplete_maps_of_many(component: Any, subject: Subject) -> None:
    """So it does of many samples with missing values, or it refuses them."""
    gaps = _samples(_MANY, _WIDE)[3]
    mine, usual = _both(component, epochs=6)
    try:
        mine.fit(gaps)
    except DataError as error:
        raise SkipTest(str(error)) from error
    _assert_near(mine, usual.fit(gaps), gaps)


@check("engine")
def check_same_answers(component: Any, subject: Subject) -> None:
    """It answers for new samples as the built-in engine does, to the bit."""
    X = _samples()[0]
    mine, usual = (one.fit(X[:120]) for one in _both(component))
    new = X[120:]
    answers: dict[str, Callable[[Any], Any]] = {
        "predict": lambda one: one.predict(new),
        "bmu": lambda one: one.bmu(new, 3),
        "distances": lambda one: one.transform(new, "distances"),
        "mixture": lambda one: one.transform(new, "mixture"),
        "score_samples": lambda one: one.score_samples(new),
        "quantization error": lambda one: one.calculate_quantization_error(new),
        "evaluation": lambda one: one.evaluate(new).distance,
        "chunks": lambda one: np.vstack([block for _, block in one.evaluate(new).chunks()]),
        "squares": lambda one: one.evaluate(new).won_squares,
    }
    for name, of in answers.items():
        assert np.array_equal(of(mine), of(usual)), f"{name} differs from engine 'local'"
