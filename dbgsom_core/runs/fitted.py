"""What a run says of a fitted estimator, for estimators that were fitted without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dbgsom_core.estimators.evaluating import chosen_measures, evaluated
from dbgsom_core.estimators.exploring import view_of
from dbgsom_core.estimators.measuring import MeasureTable, table_of
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.data.loading import digest
from dbgsom_core.runs.data.usable import n_classes
from dbgsom_core.runs.params import Value, estimator_params


def params_of(estimator: Any) -> dict[str, Value]:
    """Return the flat parameters of a fitted estimator, called as in runs."""
    seed = estimator.random_state
    given = int(seed) if isinstance(seed, (int, np.integer)) else str(seed)
    return {**estimator_params(estimator), "seed": given}


def facts_of(estimator: Any, X: Any, y: Any) -> Mapping[str, Any]:
    """Return what a run says of its data."""
    names = getattr(estimator, "feature_names_in_", None)
    array = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    target = None if y is None else np.asarray(y)
    classes = None if target is None or estimator._kind == "regressor" else n_classes(target)
    return {
        "name": type(X).__name__,
        "samples": len(array),
        "features": array.shape[1],
        "classes": classes,
        "digest": digest(Data(array, target)),
        **({} if names is None else {"feature_names": list(map(str, names))}),
    }


def measured(estimator: Any, X: Any, y: Any, names: Sequence[str]) -> dict[str, float]:
    """Return measures of the training data, called as in runs."""
    values, rest = {}, []
    for name in names:
        known = getattr(estimator, f"{name}_", None)
        if known is None:
            rest.append(name)
        else:
            values[f"train/{name}"] = float(known)
    if rest:
        evaluation = estimator.evaluate(X, y=y, predictions=estimator.predict(X))
        for name in rest:
            measure = get_registry().build("measure", name)
            values[f"train/{name}"] = float(guarded("measure", measure, "compute")(evaluation))
    return values


def drawn(estimator: Any, X: Any, y: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return figures of a fitted map, by name."""
    if not names:
        return {}
    return _drawn(estimator, estimator.evaluate(X, y=y, predictions=estimator.predict(X)), names)


def tested(
    model: Any, X: Any, y: Any, measures: Any, figures: Sequence[str]
) -> tuple[MeasureTable, dict[str, Any]]:
    """Return what measures say of a model on raw samples, and figures of them, by name."""
    known = model if isinstance(model, FittedModel) else FittedModel((), model)
    estimator, evaluation = evaluated(known, X, y)
    found = table_of(chosen_measures(estimator, measures, y is not None), evaluation)
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
