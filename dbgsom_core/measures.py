"""Measures of fitted maps, from Python."""

from __future__ import annotations

from typing import Any

from dbgsom_core.estimators.measuring import MeasureTable, chosen_measures, evaluated, table_of

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
        A mapping of names to numbers, by the names that were asked for; ``to_frame()`` says of each
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
    estimator, evaluation = evaluated(model, X, y, seed)
    return table_of(chosen_measures(estimator, measures, y is not None), evaluation)
