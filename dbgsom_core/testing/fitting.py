"""Training a small map with a component, the way a user would."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import PluginError
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.plugins.registry import get_registry

_FIXED = {"name": "fixed", "rows": 2, "columns": 3}


def check_fit(X: NDArray[Any], y: NDArray[Any] | None = None, **parts: Any) -> Any:
    """Return an estimator trained on X (n, D) after judging what it holds.

    With ``y`` a classifier is trained, or a regressor for numbers and for a labeller that serves no
    other. Where plugins offer every part the model is saved, loaded and asked again.
    """
    from dbgsom_core.estimators.classifier import SomClassifier
    from dbgsom_core.estimators.clustering import SomVQ
    from dbgsom_core.estimators.regressor import SomRegressor

    params = {"growth": _FIXED, "epochs": 6, "random_state": 0, **parts}
    numbers = y is not None and y.dtype.kind == "f"
    regresses = numbers or only_regresses(parts.get("labeller"))
    supervised = SomRegressor if regresses else SomClassifier
    estimator: Any = SomVQ(**params).fit(X) if y is None else supervised(**params).fit(X, y)
    assert np.isfinite(estimator.weights_).all(), "the fit leaves prototypes that are not finite"
    assert np.isfinite(estimator.quantization_error_), "the quantization error is not finite"
    answers = np.asarray(estimator.predict(X))
    assert estimator._point(answers).shape == (len(X),), "predict gives no answer for each sample"
    _saved_and_loaded(estimator, X, answers)
    return estimator


def only_regresses(component: Any) -> bool:
    """Return whether a labeller serves regressors and no other estimator."""
    return tuple(LabellerAbilities.of(component).estimators or ()) == ("regressor",)


def twice_in_threads(X: NDArray[Any], y: NDArray[Any] | None = None, **parts: Any) -> None:
    """Fit with one thread and whole chunks, then with two and small ones: the maps are equal."""
    engines = (
        {"name": "local", "threads": 1},
        {"name": "local", "threads": 2, "chunk_rows": 7},
    )
    first, second = (check_fit(X, y, engine=engine, **parts) for engine in engines)
    close = np.allclose(first.weights_, second.weights_, rtol=1e-9, atol=1e-12)
    assert first.weights_.shape == second.weights_.shape and close, (
        "threads and chunks change the map"
    )


def _saved_and_loaded(estimator: Any, X: NDArray[Any], answers: NDArray[Any]) -> None:
    from dbgsom_core.estimators.model_file import load

    try:
        for _, kind, part in estimator._parts.each():
            get_registry().identify(kind, part)
    except PluginError:  # not installed, so nobody could load it by name
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        estimator.save(path)
        again = np.asarray(load(path).predict(X))
    assert np.array_equal(again, answers), "a saved and loaded model answers differently"
