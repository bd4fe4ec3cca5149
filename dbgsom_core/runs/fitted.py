"""What a run says of a fitted estimator, for estimators that were fitted without one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dbgsom_core.estimators.display import view_of
from dbgsom_core.estimators.measuring import MeasureTable, measured
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.data import digest, n_classes
from dbgsom_core.runs.manifest import data_title


def data_name(X: Any) -> str:
    """Return what a run calls data that no configuration names: by its file, or its size."""
    file = getattr(X, "filename", None)  # of a memory-mapped array
    sizes = [one if isinstance(one, (int, np.integer)) else "?" for one in np.shape(X)]
    kind = "table" if hasattr(X, "columns") else "array"
    return data_title(
        {"path": os.fspath(file)} if file else None, f"{kind}-{'x'.join(map(str, sizes))}"
    )


def digest_of(X: Any, y: Any) -> str:
    """Return the digest of samples and targets, as runs tell it, or of how dask makes them."""
    if hasattr(X, "__dask_graph__"):  # which may be larger than memory
        from dask.base import tokenize

        return str(tokenize(X, y))
    array = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    return digest(Data(array, None if y is None else np.asarray(y)))


def facts_of(estimator: Any, X: Any, y: Any, found: str) -> Mapping[str, Any]:
    """Return what a run says of its data, whose digest is known."""
    names = getattr(estimator, "feature_names_in_", None)
    target = None if y is None else np.asarray(y)
    classes = None if target is None or estimator._kind == "regressor" else n_classes(target)
    return {
        "name": data_name(X),
        "samples": len(estimator.labels_),
        "features": estimator.n_features_in_,
        "classes": classes,
        "digest": found,
        **({} if names is None else {"feature_names": list(map(str, names))}),
    }


def default_measures(estimator: Any, y: Any) -> tuple[str, ...]:
    """Return the names of measures of the training data that are cheap and suit an estimator."""
    own = {"classifier": ("accuracy",), "regressor": ("r2",)}.get(estimator._kind, ())
    return ("quantization_error", "topographic_error", *(() if y is None else own))


def known_measures(
    estimator: Any, names: Sequence[str]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return measures that a fit left, called as in runs, and the names of the others."""
    known = {name: getattr(estimator, f"{name}_", None) for name in names}
    values = {f"train/{name}": float(one) for name, one in known.items() if one is not None}
    return values, tuple(name for name, one in known.items() if one is None)


def seen(
    estimator: Any, X: Any, y: Any, measures: Sequence[str], figures: Sequence[str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return measures of the training data, called as in runs, and figures, by name."""
    evaluation = estimator.evaluate(X, y=y, predictions=estimator.predict(X))
    values = {}
    for name in measures:
        measure = get_registry().build("measure", name)
        values[f"train/{name}"] = float(guarded("measure", measure, "compute")(evaluation))
    return values, _drawn(estimator, evaluation, figures)


def tested(
    model: Any, X: Any, y: Any, measures: Any, figures: Sequence[str]
) -> tuple[MeasureTable, dict[str, Any]]:
    """Return what measures say of a model on raw samples, and figures of them, by name."""
    known = model if isinstance(model, FittedModel) else FittedModel((), model)
    estimator, evaluation, found = measured(known, X, y, measures)
    return found, _drawn(estimator, evaluation, figures, known.names_prepared())


def _drawn(
    estimator: Any, evaluation: Evaluation, names: Sequence[str], features: Any = None
) -> dict[str, Any]:
    known = getattr(estimator, "feature_names_in_", ()) if features is None else features
    title = type(estimator).__name__
    view = view_of(estimator, evaluation, feature_names=list(map(str, known)), title=title)
    figures: dict[str, Any] = {}
    for name in names:
        figure = get_registry().build("figure", name)
        figures |= images_of(name, guarded("figure", figure, "draw")(view))
    return figures
