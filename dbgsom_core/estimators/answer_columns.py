"""What a model says of samples, as named columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.estimators.answers import Answers
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.training.groups import Calibration

COLUMNS = (
    "label", "unit", "x", "y", "path", "distance", "novelty", "pvalue", "outlier", "probabilities",
)  # fmt: skip
Table = dict[str, Any]  # a column (n,) by its name


def answer_table(model: Any, X: Any, columns: Sequence[str] = ()) -> Table:
    """Return what a fitted model says of raw samples, column by column.

    Parameters
    ----------
    model : FittedModel, SomVQ, SomClassifier or SomRegressor
    X : array-like, sparse matrix or DataFrame (n, …)
        Numbers of any type; a table where the model knows the columns of one. Where it was fitted
        with names of features, those of a DataFrame are checked.
    columns : sequence of str
        Which of ``label``, ``unit``, ``x``, ``y``, ``path`` (of child maps), ``distance``,
        ``novelty``, ``pvalue``, ``outlier`` and ``probabilities``, in this order; all that the
        model has without it. ``probabilities`` becomes a column ``probability_CLASS`` each.

    Returns
    -------
    dict of str to array (n,)

    Raises
    ------
    DataError
        There is no such column, the model has it not, or the samples cannot be used.
    """
    known = model if isinstance(model, FittedModel) else FittedModel((), model)
    names = chosen_columns(known, columns)
    rows = as_samples(known, X)
    bare = known.columns is None and not known.steps  # the estimator itself knows its features
    answers: Answers = known.estimator.answers(rows) if bare else known.answers(rows)
    return answer_columns(known, answers, names)


def as_samples(model: FittedModel, X: Any) -> Any:
    """Return samples of any kind as the model's first step takes them without a warning."""
    if model.columns is not None or hasattr(X, "tocsr"):
        return X
    first = model.steps[0][1] if model.steps else model.estimator
    names = getattr(first, "feature_names_in_", None)
    if hasattr(X, "iloc"):
        frame = X.astype(np.float64)
        return frame.to_numpy() if names is None else frame
    array = np.asarray(X, dtype=np.float64)
    if names is None or array.ndim != 2 or array.shape[1] != len(names):
        return array
    import pandas as pd

    return pd.DataFrame(array, columns=names)


def chosen_columns(model: FittedModel, columns: Sequence[str]) -> list[str]:
    """Return which columns are wanted: those given, or all that a model has."""
    estimator = model.estimator
    novelty, lacking = getattr(estimator, "_novelty", None), {}
    if not isinstance(novelty, Calibration):
        lacking["pvalue"] = "it was saved by an older version"
    if novelty is None:
        lacking |= dict.fromkeys(("novelty", "outlier"), lacking["pvalue"])
    if not hasattr(estimator, "classes_") or estimator._leaf_probabilities is None:
        lacking["probabilities"] = "its labeller gives none"
    if not columns:
        deep = bool(estimator.som_map_.children)
        return [name for name in COLUMNS if not lacking.get(name) and (deep or name != "path")]
    for name in columns:
        if name not in COLUMNS:
            raise DataError(
                f"there is no column '{name}'{did_you_mean(name, COLUMNS)}; there are "
                f"{', '.join(COLUMNS)}"
            )
        if lacking.get(name):
            raise DataError(f"the model has no {name}: {lacking[name]}")
    return list(dict.fromkeys(columns))


def written_columns(model: FittedModel, names: Sequence[str]) -> list[str]:
    """Return what columns are called in a table: one for each class, target, and column of the
    labeller.
    """
    several = {}
    if "probabilities" in names:
        classes = model.estimator.classes_.tolist()
        several["probabilities"] = [f"probability_{one}" for one in classes]
    if model.estimator.leaf_labels_.ndim == 2:  # of several targets, or numbers of one
        columns = LabellerAbilities.of(model.estimator._parts.labeller).columns
        numbers = columns or range(model.estimator.leaf_labels_.shape[1])
        several["label"] = [f"label_{number}" for number in numbers]
    return [one for name in names for one in several.get(name, [name])]


def answer_columns(model: FittedModel, answers: Answers, names: Sequence[str]) -> Table:
    """Return the named columns of what a model answered, an array (n,) each."""
    table: Table = {}
    for name in names:
        if name in ("x", "y"):
            table[name] = answers.cell[:, ("x", "y").index(name)]
        elif name == "path":
            paths = np.array([way_of(path) for path in model.estimator._tree.paths.tolist()])
            table[name] = paths[answers.leaf]
        elif name == "probabilities" or (name == "label" and answers.label.ndim == 2):
            columns = answers.label if name == "label" else np.asarray(answers.probabilities)
            table |= zip(written_columns(model, [name]), columns.T, strict=True)
        else:
            table[name] = getattr(answers, name)
    return table


def way_of(path: Sequence[int]) -> str:
    """Return the rows of the neurons on the way to a leaf as text, ``6/2``."""
    return "/".join(str(neuron) for neuron in path if neuron >= 0)
