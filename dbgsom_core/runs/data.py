"""Load the data of an experiment and check that its parts can use it; nothing is written before."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment, parse_experiment
from dbgsom_core.config.components import fills_gaps
from dbgsom_core.engine.moments import extremes
from dbgsom_core.engine.sums import has_missing
from dbgsom_core.engine.tables import BlockTable, block_rows
from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.tables.safe_files import exists
from dbgsom_core.training.targets import class_labels

LEAST_ROWS = 4

_MOST_NAMES = 10_000  # of features that a run writes down
_BLOCK_BYTES = 1 << 20  # of a table that are checked together
_LISTED = 5  # rows or columns in a sentence


def load_section(dataset: Any, folder: str | None = None) -> Data:
    """Load what the section ``dataset`` of a configuration describes, see `load_data`.

    Relative paths start at ``folder``, or at the working directory.
    """
    experiment = parse_experiment({"experiment": "source", "dataset": dataset, "tracking": []})
    return load_data(experiment if folder is None else replace(experiment, folder=Path(folder)))


def load_data(experiment: Experiment) -> Data:
    """Load the data set of an experiment; `DataError` where its parts cannot use it.

    Its samples are a table where the data set leaves them where they are and the engine reads them
    there.
    """
    data = _load(experiment, experiment.dataset)
    name, X, y = experiment.data_called, data.X, data.y
    _check_is_table(name, X)
    if len(X) < LEAST_ROWS:
        raise DataError(f"data set '{name}' has {len(X)} rows; a map needs at least {LEAST_ROWS}")
    if X.shape[1] == 0:
        raise DataError(f"data set '{name}' has no columns to train on")
    _check_values(experiment, name, data)
    low, high = extremes(X)
    if not (high > low).any():
        raise DataError(f"all columns of data set '{name}' are constant: there is nothing to map")
    _check_target(experiment, name, y)
    if experiment.model.estimator == "classifier" and not _has_classes(experiment, y):
        raise DataError(
            f"no sample of data set '{name}' has a class: its target holds only what marks "
            "unlabelled samples; name another target, or another mark (model.unlabelled)"
        )
    return data


def load_test(experiment: Experiment, data: Data) -> Data | None:
    """Load the data set that ``split.test`` keeps for testing, its columns as those of ``data``."""
    if experiment.split is None or experiment.split.test is None:
        return None
    loaded, name = _load(experiment, experiment.split.test), "split.test"
    _check_is_table(name, loaded.X)
    test = replace(loaded, X=_same_columns(data, loaded, name), feature_names=data.feature_names)
    _check_values(experiment, name, test)
    if (data.y is None) != (loaded.y is None):
        which = "the data to train on" if data.y is None else f"data set '{name}'"
        raise DataError(f"{which} has no targets, and its counterpart has: name them in both")
    _check_target(experiment, name, loaded.y)
    return test


def same_data(first: Experiment, second: Experiment) -> bool:
    """Return whether two experiments load the same data, and check it alike."""
    same_set = (first.dataset_name, first.dataset) == (second.dataset_name, second.dataset)
    same_reader = first.engine == second.engine  # which may want it left where it is
    return same_set and same_reader and first.model.estimator == second.model.estimator


def digest(data: Data) -> str:
    """Return the sha256 of X and y, their shapes and types included."""
    found = hashlib.sha256()
    for array in (data.X, data.y):
        if array is None:
            found.update(b"none")
            continue
        if array.dtype == object:
            array = array.astype(str)
        found.update(f"{array.dtype.str}{array.shape}".encode())
        step = max(1, (1 << 22) // (math.prod(array.shape[1:]) * array.dtype.itemsize or 1))
        for start in range(0, len(array), step):
            found.update(np.ascontiguousarray(array[start : start + step]).data.cast("B"))
    return found.hexdigest()


def facts_of(experiment: Experiment, data: Data, test: Data | None = None) -> dict[str, Any]:
    """Return what a manifest says of the data: name, samples, features, classes and digest.

    Data of its own that is kept for testing stands under ``test``.
    """
    regresses = experiment.model.estimator == "regressor"
    facts = {
        "name": experiment.dataset_name,
        "samples": len(data.X),
        "features": data.X.shape[1],
        "classes": None if data.y is None or regresses else n_classes(data.y),
        "digest": digest(data),
    }
    names = data.feature_names
    if names is not None and data.columns is None and len(names) <= _MOST_NAMES:
        facts["feature_names"] = list(map(str, names))
    if test is not None:
        facts["test"] = {"samples": len(test.X), "digest": digest(test)}
    return facts


def has_target(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which targets (n,) are there: not None, not nan."""
    if y.dtype == object:
        return np.array([value is not None and value == value for value in y], dtype=bool)
    return ~np.isnan(y) if y.dtype.kind == "f" else np.ones(len(y), dtype=bool)


def n_classes(y: NDArray[Any]) -> int:
    """Return how many distinct classes targets (n,) name."""
    return len(set(y[has_target(y)].tolist()))


def check_part(
    experiment: Experiment, X: NDArray[Any] | None, y: NDArray[Any] | None, part: str
) -> None:
    """Raise `DataError` for a part, to train on or to test on, that lacks values or classes.

    X is prepared, or None where that would take too long.
    """
    rows: Any = ()
    columns: Any = ()
    if X is not None and not isinstance(X, BlockTable) and X.dtype.kind == "f" and has_missing(X):
        missing = np.isnan(X)
        rows = np.flatnonzero(missing.all(axis=1))
        columns = np.flatnonzero(missing.all(axis=0))
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
    if experiment.model.estimator == "classifier" and not _has_classes(experiment, y):
        raise DataError(
            f"split: no sample of {part} has a class; divide otherwise (split.stratify keeps the "
            "shares of classes), or label more samples"
        )


def _load(experiment: Experiment, dataset: Any) -> Data:
    # A relative path means the working directory first, then the folder of the configuration.
    beside, absent = {}, False
    for field in ("path", "target_path"):
        value = getattr(dataset, field, None)
        if isinstance(value, str) and not exists(value):
            if exists(experiment.folder / value):
                beside[field] = str(experiment.folder / value)
            absent |= field not in beside and not Path(value).is_absolute()
    component = dataset.model_copy(update=beside) if beside else dataset
    opened = guarded("dataset", component, "opened")
    reader = guarded("engine", experiment.engine, "opened")
    try:
        if opened is not None and reader is not None:
            left: Data | None = opened()
            table = None if left is None else reader(left.X)
            if left is not None and isinstance(table, BlockTable):
                return replace(left, X=table)
        data: Data = guarded("dataset", component, "load")()
    except DataError as error:
        if absent:
            places = "in the working directory and beside the configuration"
            raise DataError(f"{error} (looked {places}, in {experiment.folder})") from error
        raise
    return data


def _same_columns(data: Data, test: Data, name: str) -> Any:
    """Return the samples to test on with their columns as in the data to train on."""
    names, found = data.feature_names, test.feature_names
    if names is None or found is None or list(names) == list(found):
        if data.X.shape[1] != test.X.shape[1]:
            raise DataError(
                f"data set '{name}' has {test.X.shape[1]} columns, and the data to train on has "
                f"{data.X.shape[1]}: give both the same"
            )
        return test.X
    coded = {
        f"{column}={value}"
        for table in (data.columns, test.columns)
        if table is not None
        for column, values in table.categories.items()
        for value in values
    }
    missing = [column for column in names if column not in found and column not in coded]
    extra = [column for column in found if column not in names and column not in coded]
    if missing or extra:
        what = f"lacks the column '{missing[0]}'" if missing else f"also has '{extra[0]}'"
        near = did_you_mean(missing[0], extra) if missing else ""
        raise DataError(
            f"data set '{name}' {what}{near}: give it the columns of the data to train on"
        )
    # A category that does not occur there is 0 everywhere, as is one that the map has never seen.
    given = np.asarray(test.X)
    places = {column: place for place, column in enumerate(found)}
    X = np.zeros((len(test.X), len(names)), dtype=data.X.dtype)
    for place, column in enumerate(names):
        if column in places:
            X[:, place] = given[:, places[column]]
    return X


# --------------------------------------------------------------------------------------- checks


def _check_is_table(name: str, X: NDArray[Any]) -> None:
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise DataError(f"data set '{name}' is no table of numbers: {X.dtype}, shape {X.shape}")


def _check_values(experiment: Experiment, name: str, data: Data) -> None:
    problems = list(_value_problems(experiment, data))
    if problems:
        raise DataError("\n".join(f"data set '{name}' {problem}" for problem in problems))


def _value_problems(experiment: Experiment, data: Data) -> Iterator[str]:
    X, names = data.X, data.feature_names
    if isinstance(X, BlockTable):
        bad = X.finite_or_where(block_rows(X, _BLOCK_BYTES))
        if bad is not None:
            column = bad[1] if names is None else f"'{names[bad[1]]}'"
            yield (
                f"holds a value that is missing or infinite, in row {bad[0]} (from 0), column "
                f"{column}, and what is read in blocks must be complete: drop or fill it, or hold "
                "the data in memory (engine: local)"
            )
        return
    with np.errstate(over="ignore", invalid="ignore"):  # finite only if every value is
        if X.dtype.kind != "f" or np.isfinite(np.sum(X)) or np.isfinite(X).all():
            return
    infinite = np.isinf(X)
    if infinite.any():
        yield f"holds {infinite.sum()} infinite value(s), in {_first_place(infinite, names)}"
    gaps = np.isnan(X)
    if not gaps.any():
        return
    filled = any(fills_gaps(step.name) for step in experiment.prepare)
    registry = get_registry()
    metric = registry.build("metric", experiment.model.params.get("metric", "euclidean"))
    if not filled and "missing" not in MetricAbilities.of(metric).handles:
        yield (
            f"holds {gaps.sum()} missing value(s), in {_first_place(gaps, names)}, and metric "
            f"'{registry.name_of('metric', metric)}' takes none: drop or fill them, or take "
            "one that does, such as euclidean or manhattan"
        )
    empty = np.flatnonzero(gaps.all(axis=0))
    if len(empty):
        columns = [f"'{names[int(i)]}'" if names is not None else str(i) for i in empty]
        yield f"has columns without any value: {_listed(columns)}: drop them"
    nothing = np.flatnonzero(gaps.all(axis=1))
    if len(nothing) and not filled:
        rows = _listed([str(i) for i in nothing])
        yield f"has rows without any value (from 0): {rows}: drop them"


def _first_place(bad: NDArray[np.bool_], names: Any) -> str:
    row, column = np.argwhere(bad)[0]
    columns = int(bad.any(axis=0).sum())
    name = f"'{names[int(column)]}'" if names is not None else str(column)
    more = f" ({columns} columns)" if columns > 1 else ""
    return f"row {row} (from 0), column {name} first{more}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _has_classes(experiment: Experiment, y: NDArray[Any] | None) -> bool:
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


def _check_target(experiment: Experiment, name: str, y: NDArray[Any] | None) -> None:
    estimator = experiment.model.estimator
    if estimator == "vq":
        return
    but = f", but model.estimator is {estimator}"
    if y is None:
        kind = "classes" if estimator == "classifier" else "targets"
        raise DataError(
            f"data set '{name}' has no {kind}{but}; name the target, or use estimator: vq"
        )
    known = has_target(y)
    if estimator == "regressor":
        is_numeric = y.ndim == 1 and y.dtype.kind in "fiub"
        if not known.all() or (is_numeric and not np.isfinite(y).all()):
            raise DataError(f"data set '{name}' has rows without a target; drop them or fill them")
        if not is_numeric:
            raise DataError(
                f"the target of data set '{name}' holds no numbers{but}; use estimator: classifier "
                "for classes"
            )
        return
    if not known.any():
        raise DataError(f"no sample of data set '{name}' has a class: there is nothing to learn")
    from sklearn.utils.multiclass import type_of_target

    kind = type_of_target(np.array(y[known].tolist()) if y.dtype == object else y[known])
    if kind not in ("binary", "multiclass"):
        raise DataError(
            f"the target of data set '{name}' holds no classes (it looks {kind}){but}; use "
            "estimator: vq"
        )
