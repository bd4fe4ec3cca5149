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
from dbgsom_core.testing.fitting import check_fit
from dbgsom_core.testing.kit import Subject, check

_SAMPLES, _FEATURES = 211, 5  # so that parts of any usual size are of different length
_MANY, _WIDE = 9001, 32  # more than the built-in engines hold unpacked, or read at a time
_GROWING = {"name": "directed", "spreading_factor": 0.6, "max_neurons": 14}
_WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"metric": "manhattan"},
    {"init": "random", "robust": "auto"},
)
_LEARNED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_weights_", "leaf_hit_counts_",
)  # fmt: skip


def _samples(n: int = _SAMPLES, d: int = _FEATURES) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    generator = material.generator()
    codes = generator.integers(0, 4, n)
    centres = 3.0 * generator.standard_normal((4, d))
    X = centres[codes] + generator.standard_normal((n, d))
    return X, np.array(["ash", "beech", "cedar", "yew"])[codes]


def _both(component: Any, **parts: Any) -> tuple[Any, Any]:
    # An estimator over this engine, and one over the built-in.
    from dbgsom_core.estimators.classifier import SomClassifier
    from dbgsom_core.estimators.clustering import SomVQ

    estimator = SomClassifier if "labeller" in parts else SomVQ
    params: dict[str, Any] = {
        "growth": _GROWING,
        "epochs": 12,
        "tol": 0,
        "random_state": 0,
        **parts,
    }
    return estimator(engine=component, **params), estimator(engine="local", **params)


def _same(mine: Any, usual: Any) -> None:
    for name in _LEARNED:
        found, expected = getattr(mine, name), getattr(usual, name)
        assert np.array_equal(found, expected), f"{name} differs from that of engine 'local'"
    told = [
        [(one.quantization_error, one.movement, one.births) for one in fitted.history_]
        for fitted in (mine, usual)
    ]
    assert told[0] == told[1], "the epochs differ from those over engine 'local'"


@check("engine")
def check_same_maps(component: Any, subject: Subject) -> None:
    """A map that it trains has the bits of the built-in engine's, in float64 and float32."""
    X, _ = _samples()
    for dtype in (np.float64, np.float32):
        for parts in _WAYS:
            mine, usual = _both(component, **parts)
            _same(mine.fit(X.astype(dtype)), usual.fit(X.astype(dtype)))


def _near(mine: Any, usual: Any, X: Any) -> None:
    # The same units, and sums but for their last digits.
    for name in ("neurons_", "labels_", "hit_counts_"):
        found, expected = getattr(mine, name), getattr(usual, name)
        assert np.array_equal(found, expected), f"{name} of many differs from engine 'local'"
    for name in ("weights_", "errors_"):
        found, expected = getattr(mine, name), getattr(usual, name)
        near = np.allclose(found, expected, rtol=1e-5, atol=1e-5 * float(np.abs(expected).max()))
        assert near, f"{name} of many differs from engine 'local'"
    assert np.array_equal(mine.predict(X), usual.predict(X)), "predict differs for many samples"


@check("engine")
def check_same_maps_of_many(component: Any, subject: Subject) -> None:
    """Of many samples it trains the map of the built-in engine, sums but for their last digits."""
    for dtype in (np.float32, np.float64):
        X = _samples(_MANY, _WIDE)[0].astype(dtype)
        mine, usual = (one.fit(X) for one in _both(component, epochs=6))
        _near(mine, usual, X)


@check("engine", lambda component, _: EngineAbilities.of(component).opened is not None)
def check_same_maps_of_a_file(component: Any, subject: Subject) -> None:
    """So it does of a memory-mapped file, of which it may read parts."""
    X = _samples(_MANY, _WIDE)[0].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/X.npy", X)
        mine, usual = _both(component, epochs=6)
        _near(mine.fit(np.load(f"{folder}/X.npy", mmap_mode="r")), usual.fit(X), X)


@check("engine")
def check_same_weighted_maps_of_many(component: Any, subject: Subject) -> None:
    """So it does of many samples that count differently."""
    X = _samples(_MANY, _WIDE)[0]
    weights = material.generator().integers(0, 4, _MANY).astype(np.float64)
    mine, usual = (one.fit(X, sample_weight=weights) for one in _both(component, epochs=6))
    _near(mine, usual, X)


@check("engine")
def check_same_incomplete_maps_of_many(component: Any, subject: Subject) -> None:
    """So it does of many samples with missing values, or it refuses them."""
    X = _samples(_MANY, _WIDE)[0]
    X[material.generator().random(X.shape) < 0.1] = np.nan
    mine, usual = (one for one in _both(component, epochs=6))
    try:
        mine.fit(X)
    except DataError as error:
        raise SkipTest(str(error)) from error
    _near(mine, usual.fit(X), X)


@check("engine")
def check_same_maps_again(component: Any, subject: Subject) -> None:
    """Asked twice it gives the same bits."""
    X = _samples(_MANY, _WIDE)[0].astype(np.float32)
    first, second = (_both(component, epochs=6)[0].fit(X) for _ in range(2))
    for name in (*_LEARNED, "history_"):
        found, expected = (getattr(one, name) for one in (first, second))
        if name == "history_":
            found, expected = (
                [one.quantization_error for one in told] for told in (found, expected)
            )
        assert np.array_equal(found, expected), f"{name} is another one when it is asked twice"
    scores = (one.score_samples(X) for one in (first, first))
    assert np.array_equal(*scores), "answers are others when it is asked twice"


@check("engine")
def check_same_weighted_maps(component: Any, subject: Subject) -> None:
    """So has one of samples that count differently, some of them not at all."""
    X, _ = _samples()
    weights = material.generator().integers(0, 4, _SAMPLES).astype(np.float64)
    mine, usual = _both(component)
    _same(mine.fit(X, sample_weight=weights), usual.fit(X, sample_weight=weights))


@check("engine")
def check_same_incomplete_maps(component: Any, subject: Subject) -> None:
    """So has one of samples with missing values."""
    X, _ = _samples()
    X[material.generator().random(X.shape) < 0.1] = np.nan
    mine, usual = _both(component)
    _same(mine.fit(X), usual.fit(X))
    assert np.array_equal(mine.impute(X), usual.impute(X)), "what is missing is filled otherwise"


@check("engine")
def check_same_classes(component: Any, subject: Subject) -> None:
    """So have a map of samples with classes, and its child maps."""
    X, y = _samples()
    for growth in (_GROWING, {"name": "hierarchical", "base": _GROWING, "tau_2": 0.2}):
        mine, usual = _both(component, labeller="majority", growth=growth)
        _same(mine.fit(X, y), usual.fit(X, y))
        shares = (one.predict_proba(X) for one in (mine, usual))
        assert np.array_equal(*shares), "probabilities differ from those over engine 'local'"


@check("engine")
def check_training_goes_on(component: Any, subject: Subject) -> None:
    """So has one that goes on with new samples."""
    X, _ = _samples()
    mine, usual = _both(component)
    for part in (X[:90], X[90:]):
        _same(mine.partial_fit(part), usual.partial_fit(part))


@check("engine")
def check_same_answers(component: Any, subject: Subject) -> None:
    """It answers for new samples as the built-in engine does, to the bit."""
    X, _ = _samples()
    mine, usual = (one.fit(X[:120]) for one in _both(component))
    new = X[120:]
    asks: dict[str, Callable[[Any], Any]] = {
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
    for name, ask in asks.items():
        assert np.array_equal(ask(mine), ask(usual)), f"{name} differs from engine 'local'"


@check("engine")
def check_engine_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained over it, saved and loaded."""
    check_fit(material.data(), engine=component)
