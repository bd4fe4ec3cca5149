"""The answers of a fitted model as named columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.estimators.fitted_map import Answers
from dbgsom_core.interfaces.component import guarded

COLUMNS = (
    "label", "unit", "x", "y", "path", "distance", "novelty", "pvalue", "outlier", "probabilities",
)  # fmt: skip
Table = dict[str, Any]  # a column (n,) by its name


def select_columns(model: Any, columns: Sequence[str]) -> list[str]:
    """Return the valid names among ``columns``, or all columns that a model has."""
    estimator = model.estimator
    known = list(COLUMNS)
    if not hasattr(estimator, "classes_") or estimator._leaf_probabilities is None:
        known.remove("probabilities")
    for name in columns:
        if name not in known:
            hint = did_you_mean(name, known)
            raise DataError(f"'{name}' is none of {', '.join(known)}{hint}")
    if columns:
        return list(dict.fromkeys(columns))
    if not estimator.som_map_.children:
        known.remove("path")
    return known


def column_names(model: Any, names: Sequence[str]) -> list[str]:
    """Return the column names of a table, one for each class, target or labeller's column."""
    estimator = model.estimator
    called = []
    for name in names:
        if name == "probabilities":
            called += [f"probability_{label}" for label in estimator.classes_.tolist()]
        elif name == "label" and estimator.leaf_labels_.ndim == 2:
            called += [f"label_{part}" for part in guarded(estimator._parts.labeller).columns]
        else:
            called.append(name)
    return called


def columns_of_answers(model: Any, answers: Answers, names: Sequence[str]) -> Table:
    """Return the named columns of a model's answers, an array (n,) each."""
    table: Table = {}
    for name in names:
        if name in "xy":
            values = answers.cell[:, "xy".index(name)]
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
