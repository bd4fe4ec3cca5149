"""Faults of the data that a fit would meet, found before anything is written."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment
from dbgsom_core.engine.sums import has_missing
from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.training.targets import class_labels


def check_labelled(experiment: Experiment, data: Data) -> None:
    """Refuse targets of a classifier that hold no class at all; raises `DataError`."""
    if experiment.model.estimator == "classifier" and not _any_label(experiment, data.y):
        raise DataError(
            f"no sample of data set '{experiment.data_called}' has a class: its target holds only "
            "what marks unlabelled samples; name another target, or another mark (model.unlabelled)"
        )


def check_part(
    experiment: Experiment, X: NDArray[Any] | None, y: NDArray[Any] | None, part: str
) -> None:
    """Refuse a part of the data, to train on or to test on, that cannot be used.

    X is prepared, or None where that would take too long.

    Raises
    ------
    DataError
        A row, or a column of a part to train on, has no value, or no sample of it a class.
    """
    rows, columns = _without_value(np.empty((0, 0)) if X is None else X)
    if len(rows):
        raise DataError(
            f"prepare: row {rows[0]} of {part} has no value left; drop such rows, or fill them"
        )
    if not part.startswith("the part to train on"):
        return
    if len(columns):
        raise DataError(
            f"split: column {columns[0]} has no value in {part}; drop it, or divide otherwise"
        )
    if experiment.model.estimator == "classifier" and not _any_label(experiment, y):
        raise DataError(
            f"split: no sample of {part} has a class; divide otherwise (split.stratify keeps the "
            "shares of classes), or label more samples"
        )


def _any_label(experiment: Experiment, y: NDArray[Any] | None) -> bool:
    unlabelled = experiment.model.params.get("unlabelled", "auto")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit says it
            class_labels(y, y, unlabelled)
    except ValueError as error:
        if "no sample has a class label" not in str(error):
            raise DataError(f"data set '{experiment.data_called}': {error}") from error
        return False
    return True


def _without_value(X: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows, and the columns, of which nothing is known."""
    nothing = np.empty(0, dtype=np.intp)
    if isinstance(X, BlockTable) or X.dtype.kind != "f" or not has_missing(X):
        return nothing, nothing
    missing = np.isnan(X)
    return np.flatnonzero(missing.all(axis=1)), np.flatnonzero(missing.all(axis=0))
