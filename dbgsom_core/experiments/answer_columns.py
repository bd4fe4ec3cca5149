"""The answers of a fitted model as named columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.estimators.answers import Answers
from dbgsom_core.interfaces.guard import guarded

COLUMNS = (
    "label", "unit", "x", "y", "path", "distance", "novelty", "pvalue", "outlier", "probabilities",
)  # fmt: skip
Table = dict[str, Any]  # a column (n,) by its name


def select_columns(model: Any, columns: Sequence[str]) -> list[str]:
    """Return the valid names among ``columns``, or all columns that a model has."""
    estimator = model.estimator
    has_probabilities = hasattr(estimator, "classes_") and estimator._leaf_probabilities is not None
    if not columns:
        known = list(COLUMNS)
        if not has_probabilities:
            known.remove("probabilities")
        if not estimator.som_map_.children:
            known.remove("path")
        return known
    for name in columns:
        if name not in COLUMNS:
            hint = did_you_mean(name, COLUMNS)
            raise DataError(f"'{name}' is none of {', '.join(COLUMNS)}{hint}")
    if "probabilities" in columns and not has_probabilities:
        raise DataError("the model has no probabilities: its labeller does not compute any")
    return list(dict.fromkeys(columns))


def column_names(model: Any, names: Sequence[str]) -> list[str]:
    """Return the column names of a table, one for each class, target or labeller's column."""
    estimator = model.estimator
    several = []
    for name in names:
        if name == "probabilities":
            several += [f"probability_{label}" for label in estimator.classes_.tolist()]
        elif name == "label" and estimator.leaf_labels_.ndim == 2:  # of a labeller with columns
            columns = guarded(estimator._parts.labeller).columns
            several += [f"label_{column}" for column in columns]
        else:
            several.append(name)
    return several


def columns_of_answers(model: Any, answers: Answers, names: Sequence[str]) -> Table:
    """Return the named columns of a model's answers, an array (n,) each."""
    table: Table = {}
    for name in names:
        if name == "x":
            values = answers.cell[:, 0]
        elif name == "y":
            values = answers.cell[:, 1]
        elif name == "path":
            paths = [format_path(path) for path in model.estimator._tree.paths.tolist()]
            values = np.array(paths)[answers.leaf]
        else:
            values = np.asarray(getattr(answers, name))
        columns = [values] if values.ndim == 1 else values.T
        table |= zip(column_names(model, [name]), columns, strict=True)
    return table


def format_path(path: Sequence[int]) -> str:
    """Return the neurons on the path to a leaf as text, ``6/2``."""
    return "/".join(str(neuron) for neuron in path if neuron >= 0)
