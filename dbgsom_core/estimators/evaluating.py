"""Measuring fitted maps of any shape: an estimator, a pipeline, the model of a run."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.engine.contract import Samples
from dbgsom_core.estimators.answer_columns import as_samples
from dbgsom_core.estimators.growing_map import GrowingMap
from dbgsom_core.estimators.measuring import default_measures, named_measures
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.measures import AskedEvaluation, Evaluation
from dbgsom_core.plugins.registry import get_registry


def evaluated(model: Any, X: Any, y: Any, seed: int = 0) -> tuple[GrowingMap, Evaluation]:
    """Return the estimator of a model, and what it makes of samples; see `measures.evaluate`."""
    estimator, samples = _within(model, X)
    check_is_fitted(estimator)
    targets = None if y is None else np.asarray(y)
    found = estimator.evaluate(samples, y=targets, seed=seed)
    if targets is not None and len(targets) != found.data.n:
        raise ValueError(f"y has {len(targets)} values for {found.data.n} samples")
    given = {one.name: getattr(found, one.name) for one in fields(found)}

    def predictions(_: Samples) -> NDArray[Any]:
        return np.asarray(estimator._point(estimator.predict(samples)))

    return estimator, AskedEvaluation(**given, predictions_of=predictions)


def chosen_measures(estimator: GrowingMap, measures: Any, has_targets: bool) -> dict[str, Any]:
    """Return the measures that are meant, by name; see `measures.evaluate`."""
    registry, kind = get_registry(), estimator._kind
    if isinstance(measures, str) and measures == "default":
        return default_measures(registry, kind, has_targets)
    return named_measures(registry, kind, measures)


def _within(model: Any, X: Any) -> tuple[GrowingMap, Any]:
    # The estimator and what it takes.
    model = getattr(model, "model", model)  # a finished run
    if isinstance(model, FittedModel):
        rows = as_samples(model, X)
        bare = model.columns is None and not model.steps  # the estimator knows its features
        return model.estimator, rows if bare else model.prepare(rows)
    if isinstance(model, Pipeline):
        inner = model.steps[-1][1]
        if isinstance(inner, GrowingMap):
            return inner, model[:-1].transform(X) if len(model.steps) > 1 else X
    if isinstance(model, GrowingMap):
        return model, X
    raise ValueError(
        "evaluate takes a fitted SomVQ, SomClassifier or SomRegressor, a pipeline that ends in one "
        f"of them, or the model of a run, not a {type(model).__name__}"
    )
