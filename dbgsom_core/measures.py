"""Measures of fitted maps, from Python."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from dbgsom_core.estimators.growing_map import GrowingMap
from dbgsom_core.estimators.measuring import (
    MeasureTable,
    default_measures,
    named_measures,
    table_of,
)
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.plugins.registry import get_registry

__all__ = ["MeasureTable", "evaluate"]


def evaluate(
    model: Any, X: Any, y: Any = None, measures: Any = "default", *, seed: int = 0
) -> MeasureTable:
    """Measure a fitted map on samples.

    Parameters
    ----------
    model : SomVQ, SomClassifier, SomRegressor, Pipeline or FittedModel
        A fitted estimator, a scikit-learn pipeline that ends in one, or the model of a run.
    X : array-like (n, D)
        Samples as the model takes them.
    y : array-like (n,), optional
        Targets; measures that need them are left out without.
    measures : "default", or a name, mapping with ``name`` or instance, or a list of these
        As under ``measures:`` in YAML. ``"default"``: all built-in ones that suit the estimator.
    seed : int
        For measures that draw a sample.

    Returns
    -------
    MeasureTable
        A mapping of names to numbers, named as in YAML and MLflow; ``to_frame()`` says of each
        which values are better, its range, definition and source. What cannot be measured is left
        out of the mapping, and ``notes`` say why.

    Raises
    ------
    ValueError
        The model is none of these or not fitted, X or y cannot be used, or a measure does not suit.
    UnknownNameError, PluginError
        Nobody offers a measure of this name, or its plugin is broken.

    Examples
    --------
    >>> from dbgsom_core import SomVQ
    >>> from dbgsom_core.measures import evaluate
    >>> found = evaluate(SomVQ().fit(X), X, measures=["trustworthiness", "topographic_error"])
    >>> found["trustworthiness"]  # doctest: +SKIP
    """
    estimator, samples = _within(model, X)
    registry = get_registry()
    kind = estimator._kind
    targets = None if y is None else np.asarray(y)
    if isinstance(measures, str) and measures == "default":
        chosen = default_measures(registry, kind, targets is not None)
    else:
        chosen = named_measures(registry, kind, measures)
    predictions = estimator.predict(samples)
    if targets is not None and len(targets) != len(predictions):
        raise ValueError(f"y has {len(targets)} values for {len(predictions)} samples")
    evaluation = estimator.evaluate(samples, y=targets, predictions=predictions, seed=seed)
    return table_of(chosen, evaluation)


def _within(model: Any, X: Any) -> tuple[GrowingMap, Any]:
    # The estimator and what it takes.
    model = getattr(model, "model", model)  # a finished run
    if isinstance(model, FittedModel):
        return model.estimator, model.prepare(X)
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
