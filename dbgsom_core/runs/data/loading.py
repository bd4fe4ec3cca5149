"""From a data set's name to arrays that are ready to train: load, check, split, prepare."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment, parse_experiment
from dbgsom_core.config.places import Place, Problems
from dbgsom_core.engine.moments import extremes
from dbgsom_core.engine.tables import BlockTable, picked
from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.estimators.scaling import prepared
from dbgsom_core.files import exists
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.runs.data.faults import check_labelled
from dbgsom_core.runs.data.prepare import StepError, fit_steps, make_step
from dbgsom_core.runs.data.splitting import LEAST_ROWS, Rows, held_out
from dbgsom_core.runs.data.usable import check_values, n_classes, with_a_class

_MOST_NAMES = 10_000  # of features that a run writes down


@dataclass(frozen=True)
class Part:
    """Prepared samples X (n, D), an array or a table, with their targets y (n,) if there are any.

    ``rows`` (n,) are theirs in the data set, where they are of it.
    """

    X: Any
    y: NDArray[Any] | None
    rows: Rows | slice | None = None


@dataclass(frozen=True)
class Fold:
    """One division of the data: fitted prepare steps, the part to train on, the part to test on."""

    steps: tuple[tuple[str, Any], ...]
    train: Part
    test: Part | None


def load_section(dataset: Any, folder: str | None = None) -> Data:
    """Load what the section ``dataset`` of a configuration describes, see `load_data`.

    Relative paths start at ``folder``, or at the working directory.

    Raises
    ------
    ConfigError, DataError
        It describes nothing, or what it describes cannot be read or used.
    """
    experiment = parse_experiment({"experiment": "source", "dataset": dataset, "tracking": []})
    return load_data(experiment if folder is None else replace(experiment, folder=Path(folder)))


def load_data(experiment: Experiment) -> Data:
    """Load the data set and make sure that it can be used.

    Its samples are a table where the data set leaves them where they are and the engine reads them
    there.

    Raises
    ------
    DataError
        It cannot be read, has fewer than 4 rows, holds infinite values, or missing ones that the
        metric cannot take, has no column that varies, or lacks the classes or the numbers
        that a classifier or a regressor needs.
    """
    data = _loaded(experiment, experiment.dataset)
    name, X, y = experiment.data_called, data.X, data.y
    _check_table(name, X)
    if len(X) < LEAST_ROWS:
        raise DataError(f"data set '{name}' has {len(X)} rows; a map needs at least {LEAST_ROWS}")
    if X.shape[1] == 0:
        raise DataError(f"data set '{name}' has no columns to train on")
    check_values(experiment, name, data)
    low, high = extremes(X)
    if not (high > low).any():
        raise DataError(f"all columns of data set '{name}' are constant: there is nothing to map")
    _check_target(experiment, name, y)
    if experiment.model.estimator == "classifier":
        check_labelled(experiment, data)
    return data


def same_data(one: Experiment, other: Experiment) -> bool:
    """Say whether two experiments load the same data, and check it alike."""
    same_set = (one.dataset_name, one.dataset) == (other.dataset_name, other.dataset)
    same_reader = one.engine == other.engine  # which may want it left where it is
    return same_set and same_reader and one.model.estimator == other.model.estimator


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
    """Return what a run says of its data: name, samples, features, classes and digest.

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


def load_test(experiment: Experiment, data: Data) -> Data | None:
    """Load the data set that ``split.test`` keeps for testing, its columns as those of ``data``.

    Raises
    ------
    DataError
        It cannot be read, or has other columns or targets than the data to train on.
    """
    if experiment.split is None or experiment.split.test is None:
        return None
    loaded, name = _loaded(experiment, experiment.split.test), "split.test"
    _check_table(name, loaded.X)
    test = replace(loaded, X=_same_columns(data, loaded, name), feature_names=data.feature_names)
    check_values(experiment, name, test)
    if (data.y is None) != (loaded.y is None):
        which = "the data to train on" if data.y is None else f"data set '{name}'"
        raise DataError(f"{which} has no targets, and its counterpart has: name them in both")
    _check_target(experiment, name, loaded.y)
    return test


def whole(experiment: Experiment, data: Data, test: Data | None = None) -> Fold:
    """Return the fold of the model that is kept: all data, or that without the test part."""
    if experiment.split is not None and experiment.split.holds_out:
        return make_fold(experiment, data, *held_out(experiment, data))
    every = slice(None) if isinstance(data.X, BlockTable) else np.arange(len(data.X))
    return make_fold(experiment, data, every, None, test)


def make_fold(
    experiment: Experiment,
    data: Data,
    train: Rows | slice,
    test: Rows | None,
    apart: Data | None = None,
) -> Fold:
    """Return one division of the data, its prepare steps fitted on the part to train on.

    Parts of a table are tables.

    It is tested on the rows ``test``, or on the data ``apart``.
    """
    y = data.y
    steps = make_steps(experiment)
    y_train = None if y is None else y[train]
    # Steps may change what they get; all rows without any are not copied: they may be a map.
    is_whole = test is None and (not steps or isinstance(data.X, BlockTable))
    X = data.X if is_whole else picked(data.X, train)
    metric = experiment.model.params.get("metric")
    X_train = fit_steps(steps, X, y_train, data.feature_names, metric)
    tested = None
    if test is not None:
        apart = Data(picked(data.X, test), None if y is None else y[test])
    if apart is not None:
        tested = Part(prepared(steps, apart.X), apart.y)
    return Fold(tuple(steps), Part(X_train, y_train, train), tested)


def make_steps(experiment: Experiment) -> list[tuple[str, Any]]:
    """Return the unfitted prepare steps of an experiment by name.

    Raises
    ------
    ConfigError
        Steps that cannot be made, each with its place.
    """
    steps, problems = [], Problems()
    for number, step in enumerate(experiment.prepare):
        try:
            steps.append((step.name, make_step(step.where or step.name, step.params)))
        except StepError as error:
            path = ".".join(filter(None, ["prepare", str(number), error.parameter]))
            place = step.places.get(error.parameter or "name", step.places.get("name"))
            problems.add(place or Place(str(experiment.source)), path, str(error))
    problems.raise_any()
    return steps


def _loaded(experiment: Experiment, dataset: Any) -> Data:
    component = _found(dataset, experiment.folder)
    opened = guarded("dataset", component, "opened")
    reader = guarded("engine", experiment.engine, "opened")
    if opened is not None and reader is not None:
        left: Data | None = opened()
        table = None if left is None else reader(left.X)
        if left is not None and isinstance(table, BlockTable):
            return replace(left, X=table)
    data: Data = guarded("dataset", component, "load")()
    return data


def _found(dataset: Any, folder: Path) -> Any:
    # A relative path means the working directory first, then the folder of the configuration.
    beside = {
        field: str(folder / value)
        for field in ("path", "target_path")
        if isinstance(value := getattr(dataset, field, None), str)
        and not exists(value)
        and exists(folder / value)
    }
    return dataset.model_copy(update=beside) if beside else dataset


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
    lacking = [one for one in names if one not in found and one not in coded]
    extra = [one for one in found if one not in names and one not in coded]
    if lacking or extra:
        told = f"lacks the column '{lacking[0]}'" if lacking else f"also has '{extra[0]}'"
        near = did_you_mean(lacking[0], extra) if lacking else ""
        raise DataError(
            f"data set '{name}' {told}{near}: give it the columns of the data to train on"
        )
    # A category that does not occur there is 0 everywhere, as is one that the map has never seen.
    given = np.asarray(test.X)
    at = {one: place for place, one in enumerate(found)}
    X = np.zeros((len(test.X), len(names)), dtype=data.X.dtype)
    for place, one in enumerate(names):
        if one in at:
            X[:, place] = given[:, at[one]]
    return X


def _check_table(name: str, X: NDArray[Any]) -> None:
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise DataError(f"data set '{name}' is no table of numbers: {X.dtype}, shape {X.shape}")


def _check_target(experiment: Experiment, name: str, y: NDArray[Any] | None) -> None:
    if experiment.model.estimator == "classifier":
        _check_classes(name, y)
    if experiment.model.estimator == "regressor":
        _check_numbers(name, y)


def _check_classes(name: str, y: NDArray[Any] | None) -> None:
    if y is None:
        raise DataError(
            f"data set '{name}' has no classes, but model.estimator is classifier; "
            "name the target, or use estimator: vq"
        )
    known = with_a_class(y)
    if not known.any():
        raise DataError(f"no sample of data set '{name}' has a class: there is nothing to learn")
    from sklearn.utils.multiclass import type_of_target

    kind = type_of_target(np.array(y[known].tolist()) if y.dtype == object else y[known])
    if kind not in ("binary", "multiclass"):
        raise DataError(
            f"the target of data set '{name}' holds no classes (it looks {kind}), but "
            "model.estimator is classifier; use estimator: vq"
        )


def _check_numbers(name: str, y: NDArray[Any] | None) -> None:
    if y is None:
        raise DataError(
            f"data set '{name}' has no targets, but model.estimator is regressor; "
            "name the target, or use estimator: vq"
        )
    if y.dtype == object and not with_a_class(y).all():
        raise DataError(f"data set '{name}' has rows without a target; drop them or fill them")
    if y.ndim != 1 or y.dtype.kind not in "fiub":
        raise DataError(
            f"the target of data set '{name}' holds no numbers, but model.estimator is regressor; "
            "use estimator: classifier for classes"
        )
    if not np.isfinite(y).all():
        raise DataError(f"data set '{name}' has rows without a target; drop them or fill them")
