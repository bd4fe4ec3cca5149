"""From a data set's name to arrays that are ready to train: load, check, split, prepare."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment
from dbgsom_core.engine.moments import extremes
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.files import exists
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.runs.faults import check_labelled
from dbgsom_core.runs.prepare import fit_steps, make_step
from dbgsom_core.runs.usable import check_values, n_classes, with_a_class

LEAST_ROWS = 4
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Part:
    """Prepared samples X (n, D) with their targets y (n,), where there are any."""

    X: NDArray[Any]
    y: NDArray[Any] | None


@dataclass(frozen=True)
class Fold:
    """One division of the data: fitted prepare steps, the part to train on, the part to test on."""

    steps: tuple[tuple[str, Any], ...]
    train: Part
    test: Part | None


def load_data(experiment: Experiment) -> Data:
    """Load the data set and make sure that it can be used.

    Raises
    ------
    DataError
        It cannot be read, has fewer than 4 rows, holds infinite values, or missing ones that the
        metric cannot take, has no column that varies, or lacks the classes or the numbers
        that a classifier or a regressor needs.
    """
    data: Data = guarded("dataset", _found(experiment), "load")()
    name, X, y = experiment.dataset_name, data.X, data.y
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise DataError(f"data set '{name}' is no table of numbers: {X.dtype}, shape {X.shape}")
    if len(X) < LEAST_ROWS:
        raise DataError(f"data set '{name}' has {len(X)} rows; a map needs at least {LEAST_ROWS}")
    if X.shape[1] == 0:
        raise DataError(f"data set '{name}' has no columns to train on")
    check_values(experiment, name, data)
    low, high = extremes(X)
    if not (high > low).any():
        raise DataError(f"all columns of data set '{name}' are constant: there is nothing to map")
    if experiment.model.estimator == "classifier":
        _check_classes(name, y)
        check_labelled(experiment, data)
    if experiment.model.estimator == "regressor":
        _check_numbers(name, y)
    return data


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
        found.update(np.ascontiguousarray(array).data.cast("B"))
    return found.hexdigest()


def facts_of(experiment: Experiment, data: Data) -> dict[str, Any]:
    """Return what a run says of its data: name, samples, features, classes and digest."""
    regresses = experiment.model.estimator == "regressor"
    return {
        "name": experiment.dataset_name,
        "samples": len(data.X),
        "features": data.X.shape[1],
        "classes": None if data.y is None or regresses else n_classes(data.y),
        "digest": digest(data),
    }


def whole(experiment: Experiment, data: Data) -> Fold:
    """Return the fold of the model that is kept: all data, or that without the test part."""
    split = experiment.split
    if split is None or split.folds is not None:
        return make_fold(experiment, data, np.arange(len(data.X)), None)
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(data.X))
    try:
        train, test = train_test_split(
            rows,
            test_size=split.test_size,
            random_state=experiment.seed,
            stratify=_strata(data) if split.stratify else None,
        )
    except ValueError as error:
        raise DataError(f"split: the data cannot be divided like this: {error}") from error
    if len(train) < LEAST_ROWS:
        raise DataError(
            f"split: {len(train)} rows are left to train on; a map needs at least {LEAST_ROWS}, "
            "so lower split.test_size"
        )
    return make_fold(experiment, data, train, test)


def divisions(experiment: Experiment, data: Data) -> list[tuple[Rows, Rows]]:
    """Return the rows to train and to test on of each fold, none without ``split.folds``.

    Raises
    ------
    DataError
        There are too few rows, or too few of a class, for so many folds.
    """
    split = experiment.split
    if split is None or split.folds is None:
        return []
    from sklearn.model_selection import KFold, StratifiedKFold

    divide = (StratifiedKFold if split.stratify else KFold)(
        n_splits=split.folds, shuffle=True, random_state=experiment.seed
    )
    strata = _strata(data) if split.stratify else None
    try:
        parts = list(divide.split(data.X, strata))
    except ValueError as error:
        raise DataError(f"split: the data cannot be divided like this: {error}") from error
    if min(len(train) for train, _ in parts) < LEAST_ROWS:
        raise DataError(
            f"split: some fold leaves fewer than {LEAST_ROWS} rows to train on; ask for more folds"
        )
    return parts


def make_fold(experiment: Experiment, data: Data, train: Rows, test: Rows | None) -> Fold:
    """Return one division of the data, its prepare steps fitted on the part to train on."""
    y = data.y
    steps = make_steps(experiment)
    y_train = None if y is None else y[train]
    X_train = fit_steps(steps, data.X[train], y_train)
    tested = None
    if test is not None:
        X_test = data.X[test]
        for _, step in steps:
            X_test = np.asarray(step.transform(X_test))
        tested = Part(X_test, None if y is None else y[test])
    return Fold(tuple(steps), Part(X_train, y_train), tested)


def make_steps(experiment: Experiment) -> list[tuple[str, Any]]:
    """Return the unfitted prepare steps of an experiment by name; errors say which it is."""
    steps = []
    for number, step in enumerate(experiment.prepare):
        try:
            steps.append((step.name, make_step(step.name, step.params)))
        except ConfigError as error:
            raise ConfigError(f"{experiment.source}: prepare.{number}: {error}") from error
    return steps


def _found(experiment: Experiment) -> Any:
    # A relative path means the working directory first, then the folder of the configuration.
    dataset = experiment.dataset
    beside = {
        field: str(experiment.folder / value)
        for field in ("path", "target_path")
        if isinstance(value := getattr(dataset, field, None), str)
        and not exists(value)
        and exists(experiment.folder / value)
    }
    return dataset.model_copy(update=beside) if beside else dataset


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


def _strata(data: Data) -> NDArray[Any]:
    if data.y is None:
        raise DataError("split.stratify needs classes, but the data set has none; set it to false")
    known = with_a_class(data.y)
    if known.all():
        return data.y
    strata = data.y.astype(object)
    strata[~known] = ""  # samples without a class are a layer of their own
    return strata.astype(str)
