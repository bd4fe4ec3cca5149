"""Load, check, divide and prepare the data of an experiment, before anything is written."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment, Split
from dbgsom_core.engine.moments import extremes
from dbgsom_core.engine.partitions import Partitions, take
from dbgsom_core.errors import DataError, DbgsomError, did_you_mean
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.models import names_after, prepared
from dbgsom_core.files import exists, with_files
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.figures import as_label
from dbgsom_core.runs.describe import digest
from dbgsom_core.runs.folder import DATA_FILE
from dbgsom_core.runs.prepare import first_in_order, fit_steps, make_steps, sample_rows
from dbgsom_core.training.targets import EVEN, class_weights, encode_classes, positive_code

RowNumbers = NDArray[np.intp]
Division = tuple[RowNumbers, RowNumbers]  # the rows of a fold to train and to test on

LEAST_ROWS = 4  # a square map begins with four neurons
_MOST_FOLDS = 10_000  # each is a fit: more is a mistake, such as leaving one out of many rows
_MOST_NAMES = 10_000  # feature names in run.json, which is read whole

# ------------------------------------------------------------------------------------- loading


def load_data(experiment: Experiment) -> Data:
    """Return the data to train on; raises `DataError` where they will not do."""
    data = _load(experiment, experiment.dataset)
    name, y = experiment.data_called, data.y
    if len(data.X) < LEAST_ROWS:
        raise DataError(
            f"data set '{name}' has {len(data.X)} rows; a map needs at least {LEAST_ROWS}"
        )
    estimator = experiment.model.estimator
    if y is None and estimator != "vq":
        raise DataError(f"data set '{name}' has no target for a {estimator}: name it, or use vq")
    unlabelled = experiment.model.params.get("unlabelled", "auto")
    if unlabelled not in ("auto", None) and y is not None and unlabelled not in y.tolist():
        warnings.warn(f"model.unlabelled: no sample has the class {unlabelled!r}", stacklevel=2)
    return data


def load_test(experiment: Experiment, data: Data) -> Data | None:
    """Return the separate data to test on, with the columns of the training data; None: none."""
    if experiment.split is None or experiment.split.test is None:
        return None
    test = _load(experiment, experiment.split.test)
    both = "the data to train on and of data set 'split.test'"
    if (data.y is None) != (test.y is None):
        raise DataError(f"only one of {both} has targets: name them in both")
    if data.y is not None and test.y is not None and _is_text(test.y) != _is_text(data.y):
        raise DataError(f"only one of the targets of {both} are text: store both as text")
    return replace(test, X=_same_columns(data, test), feature_names=data.feature_names)


def _load(experiment: Experiment, dataset: Any) -> Data:
    """Return the data of a data set, where the engine of an experiment wants it."""
    component = with_files(dataset, experiment.folder)
    source, engine = guarded(component), guarded(experiment.engine)
    data: Data | None = None
    try:
        if engine.out_of_memory and source.opened is not None:
            data = source.opened()
        if data is None:
            data = source.load()
        table = engine.opened(data.X)
    except DataError as error:
        if getattr(component, "path", None) != DATA_FILE or exists(DATA_FILE):
            raise
        raise DataError(
            "the rows are those of a data frame, which was not kept (keep_data=False) or not "
            "given: run(config, data=frame)"
        ) from error
    if isinstance(table, Partitions):
        return replace(data, X=table)
    if data.X.dtype.kind not in "fiub":
        raise DataError(f"data set '{experiment.data_called}' holds {data.X.dtype}, no numbers")
    if experiment.model.estimator == "regressor" and data.y is not None and _is_text(data.y):
        with data_errors(f"the target of data set '{experiment.data_called}'"):
            return replace(data, y=data.y.astype(np.float64))
    return data


def _is_text(y: NDArray[Any]) -> bool:
    return y.dtype.kind == "U" or any(isinstance(label, str) for label in y.tolist())


def _same_columns(data: Data, test: Data) -> Any:
    """Return the test samples with the columns of the training data, in their order."""
    features, test_features = list(data.feature_names or ()), list(test.feature_names or ())
    if not features or not test_features or features == test_features:
        if data.X.shape[1] != test.X.shape[1]:
            sizes = f"{test.X.shape[1]} columns, and the data to train on has {data.X.shape[1]}"
            raise DataError(f"data set 'split.test' has {sizes}: give both the same")
        return test.X
    columns: Sequence[str] = features
    test_columns: Sequence[str] = test_features
    if data.columns is not None and test.columns is not None:
        columns, test_columns = data.columns.names, test.columns.names
    for column in sorted({*columns} ^ {*test_columns}):
        what = f"lacks the column '{column}'{did_you_mean(column, test_columns)}"
        if column in test_columns:
            what = f"also has the column '{column}'"
        raise DataError(f"data set 'split.test' {what}")
    # A value of a category that no test row has is a column of zeros.
    place_of = {feature: place for place, feature in enumerate(test_features)}
    return _take_columns(test.X, [place_of.get(feature, -1) for feature in features])


def _take_columns(X: Any, places: Sequence[int]) -> Any:
    """Return columns of X (n, D), where they are; the place -1 is zeros."""
    take_columns = partial(_columns, places)
    if isinstance(X, Partitions):
        return X.map(take_columns)
    return take_columns(X)


def _columns(places: Sequence[int], rows: NDArray[Any]) -> NDArray[Any]:  # also on workers
    zeros = np.zeros(len(rows), rows.dtype)
    return np.column_stack([zeros if place < 0 else rows[:, place] for place in places])


def same_data(first: Experiment, second: Experiment) -> bool:
    same_set = (first.dataset_name, first.dataset) == (second.dataset_name, second.dataset)
    same_reader = first.engine == second.engine  # an engine may read the data from the disk
    return same_set and same_reader and first.model.estimator == second.model.estimator


def facts_of(experiment: Experiment, data: Data, test: Data | None = None) -> dict[str, Any]:
    """Return the facts of the data that a run's folder holds."""
    classes = None
    if data.y is not None and experiment.model.estimator != "regressor":
        classes = n_classes(data.y)
    facts = {
        "name": experiment.dataset_name,
        "samples": len(data.X),
        "features": data.X.shape[1],
        "classes": classes,
        "digest": digest(data.X, data.y),
    }
    if data.y is not None:
        facts["rows"] = digest(len(data.X), data.y)  # the same with other columns
    names = data.feature_names
    if names is not None and data.columns is None and len(names) <= _MOST_NAMES:
        facts["feature_names"] = list(map(str, names))
    if test is not None:
        facts["test"] = {"samples": len(test.X), "digest": digest(test.X, test.y)}
        if test.y is not None:
            facts["test"]["rows"] = digest(len(test.X), test.y)
    return facts


def has_target(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which targets (n,) are known: not None, not nan."""
    import pandas as pd  # is slow to import

    return np.asarray(pd.notna(y))


def n_classes(y: NDArray[Any]) -> int:
    return len(set(y[has_target(y)].tolist()))


# --------------------------------------------------------------------------------------- checks


@contextmanager
def data_errors(where: str) -> Iterator[None]:
    """Raise what a library finds wrong with data as a `DataError`, by its first line."""
    try:
        yield
    except DbgsomError:
        raise
    except ValueError as error:
        raise DataError(f"{where}: {str(error).splitlines()[0]}") from error


def check_fold(estimator: Any, parts: Any, fold: Fold) -> None:
    """Raise `DataError` for samples of a fold that an estimator does not take."""
    with data_errors("the part to train on"):
        estimator._checked(fold.train.X, parts, reset=True)
    if fold.test is not None:
        with data_errors("the part to test on"):
            estimator._checked(fold.test.X, parts, reset=False)


def check_part(
    experiment: Experiment, X: NDArray[Any] | None, y: NDArray[Any] | None, part: str
) -> None:
    """Raise `DataError` for a part to train on with a column of nothing, or without a class."""
    if X is not None:
        empty = np.flatnonzero(np.isnan(extremes(X)[0]))
        if len(empty):
            raise DataError(f"split: column {empty[0]} has no value in {part}; drop it")
    if experiment.model.estimator == "classifier" and not _has_classes(experiment, y):
        cure = "name another target or model.unlabelled, or keep shares by split.stratify: true"
        raise DataError(f"no sample of {part} has a class: {cure}")


def _has_classes(experiment: Experiment, y: NDArray[Any] | None) -> bool:
    """Return whether a sample has a class; raises `DataError` for what are no classes."""
    params = experiment.model.params
    with data_errors(f"data set '{experiment.data_called}'"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit says it
        assert y is not None
        target = encode_classes(y, y, params.get("unlabelled", "auto"), known_classes=y[:0])
        if params.get("class_weight") is not None:
            class_weights(params["class_weight"], target, None)
        threshold = params.get("threshold", EVEN)
        if threshold != EVEN:
            positive_code(threshold, params.get("positive"), target)
    return bool(target.known.any())


# ------------------------------------------------------------------------------------- dividing


@dataclass(frozen=True)
class Part:
    """Prepared samples X (n, D), an array or a table, their targets y (n,) and rows in the data."""

    X: Any
    y: NDArray[Any] | None
    rows: RowNumbers | slice | None = None


@dataclass(frozen=True)
class Fold:
    """A split of the data: fitted prepare steps, training part, test part."""

    steps: tuple[tuple[str, Any], ...]
    train: Part
    test: Part | None


def final_fold(experiment: Experiment, data: Data, test: Data | None = None) -> Fold:
    """Return the fold of the final model: all data, or all but the test part."""
    if experiment.split is not None and experiment.split.holds_out:
        ((train, tested),) = _divide(experiment, data, experiment.split)
        return make_fold(experiment, data, train, tested)
    every = slice(None) if isinstance(data.X, Partitions) else np.arange(len(data.X))
    return make_fold(experiment, data, every, None, test)


def mark_trained(experiment: Experiment, data: Data) -> NDArray[np.bool_]:
    """Return which rows (n,) the final model is fitted to."""
    trained = np.ones(len(data.X), dtype=bool)
    if experiment.split is not None and experiment.split.holds_out:
        ((_, tested),) = _divide(experiment, data, experiment.split)
        trained[tested] = False
    return trained


def make_fold(
    experiment: Experiment,
    data: Data,
    train: RowNumbers | slice,
    test: RowNumbers | None,
    test_data: Data | None = None,
) -> Fold:
    """Return a fold whose prepare steps are fitted to its training rows."""
    y = data.y
    steps = make_steps(experiment)
    y_train = None if y is None else y[train]
    count, names = first_in_order(steps), data.feature_names
    if count:  # of what is divided, rows no longer lie behind each other
        if isinstance(data.X, Partitions):
            raise DataError(
                "prepare: rows in order have to be in memory: leave out engine, or lags"
            )
        data = replace(data, X=fit_steps(steps[:count], data.X, y, names))
        names = names_after(steps[:count], names)
    # Prepare steps may change their input, so it is a copy; without steps it may be a memory map.
    is_whole = test is None and (not steps or isinstance(data.X, Partitions))
    X = data.X if is_whole else take(data.X, train)
    categories = []
    if data.columns is not None:
        categories = list(map(data.columns.features_of, data.columns.categories))
    X_train = fit_steps(steps[count:], X, y_train, names, categories, experiment.seed)
    tested = None
    if test is not None:
        y_test = None if y is None else y[test]
        tested = Part(prepared(steps[count:], take(data.X, test)), y_test, test)
    elif test_data is not None:
        tested = Part(prepared(steps, test_data.X), test_data.y, slice(None))
    return Fold(tuple(steps), Part(X_train, y_train, train), tested)


def divisions(experiment: Experiment, data: Data) -> list[Division]:
    """Return training and test rows of each fold; none without cross-validation."""
    split = experiment.split
    if split is None or not split.divides:
        return []
    return _divide(experiment, data, split)


def _divide(experiment: Experiment, data: Data, split: Split) -> list[Division]:
    """Return the training and test rows of each fold, in ascending order."""
    with data_errors("split: the data cannot be divided like this"):
        splitter = _splitter(split, experiment.seed)
        strata = groups = None
        if "Stratified" in type(splitter).__name__:
            strata = _strata(data, f"split: {split.name or 'stratify'}")
        if split.groups is not None:
            groups = _groups(data, split.groups)
        count = splitter.get_n_splits(data.X, strata, groups)
        if count > _MOST_FOLDS:
            raise DataError(f"split: makes {count} folds, more than {_MOST_FOLDS}: ask for fewer")
        parts = []
        for train, test in splitter.split(data.X, strata, groups):
            parts.append((np.sort(train), np.sort(test)))  # a table is read from its beginning
    least = min(len(train) for train, _ in parts)
    if least < LEAST_ROWS:
        raise DataError(
            f"split: {least} rows are left to train on; a map needs at least {LEAST_ROWS}"
        )
    return parts


def _splitter(split: Split, seed: int) -> Any:
    """Return the splitter of scikit-learn that is named, or that a short form means."""
    from sklearn import model_selection

    fields: dict[str, Any] = {}
    if split.folds is not None:
        name, fields = "KFold", {"n_splits": split.folds}
    elif split.name is None:
        name, fields = "ShuffleSplit", {"n_splits": 1, "test_size": split.test_size}
    else:
        name = split.name
        fields = split.model_dump(
            include=split.model_fields_set - {"name", "groups", "stratify", "refit"},
            exclude_none=True,
        )
    if split.name is None and split.stratify:
        name = f"Stratified{name}"
    if name in ("KFold", "StratifiedKFold"):
        fields.setdefault("shuffle", True)
    is_random = name.startswith("Repeated") or name.endswith("ShuffleSplit")
    if is_random or fields.get("shuffle"):
        fields["random_state"] = seed
    return getattr(model_selection, name)(**fields)


def _groups(data: Data, name: str) -> NDArray[Any]:
    """Return the group (n,) of each sample, by the values of a column."""
    groups = column_of(data, name, "split.groups")
    texts = groups.astype(str)
    missing = np.flatnonzero(~has_target(groups) | (texts == ""))
    if len(missing):
        where = f"{len(missing)} row(s), the first of them {missing[0]} (from 0)"
        raise DataError(f"split.groups: '{name}' is missing in {where}; drop these rows")
    return np.unique(texts, return_inverse=True)[1]


def column_of(data: Data, name: str, key: str) -> NDArray[Any]:
    """Return the values (n,) of a column, of the samples or beside them; empty: no category.

    Raises
    ------
    DataError
        There is no such column; the sentence begins with the ``key`` that names it.
    """
    table, features = data.columns, list(map(str, data.feature_names or ()))
    others: dict[str, Any] = {**(data.ids or {}), **data.annotations, **data.variables}
    if table is not None and table.target is not None and data.y is not None:
        others.setdefault(table.target, data.y)
    if name in others:
        return np.asarray(others[name])
    if name in features:
        return np.asarray(_take_columns(data.X, [features.index(name)])[:])[:, 0]
    if table is not None and name in table.categories:
        # A category is as many columns as it has values: 1 in that of its value, or in none.
        places = list(map(features.index, table.features_of(name)))
        is_value = _take_columns(data.X, places)[:] == 1
        values = np.array([*table.categories[name], ""])
        return values[np.where(is_value.any(axis=1), is_value.argmax(axis=1), -1)]
    cure = f"there is no column '{name}'{did_you_mean(name, [*others, *features])}"
    if table is not None and name in table.dropped:
        cure = f"'{name}' is dropped: list it under id, which keeps it beside the samples"
    raise DataError(f"{key}: {cure}")


def _strata(data: Data, key: str) -> NDArray[Any]:
    """Return the class (n,) of each sample, by which a splitter keeps shares."""
    if data.y is None:
        raise DataError(f"{key} needs classes, but the data set has none; divide it without")
    known = has_target(data.y)
    if known.all():
        return data.y
    return np.where(known, data.y.astype(str), "")  # samples without a class are a stratum


def subsample(part: Part, seed: int) -> Part:
    """Return the samples of a part for measures and figures, in memory.

    A part that stays where it is is sampled, see `sample_rows`, unless it is small; one in memory
    is returned whole.
    """
    X = part.X
    if not isinstance(X, Partitions):
        return part
    drawn = sample_rows(X, seed)
    if len(drawn) == len(X):
        return replace(part, X=X[:])
    rows: Any = part.rows
    if isinstance(rows, slice):  # all
        rows = drawn
    elif rows is not None:
        rows = rows[drawn]
    return Part(X[drawn], None if part.y is None else part.y[drawn], rows)


# ------------------------------------------------------------------------------------ baselines


def baselines(
    fold: Fold, divided: Sequence[Division], y: NDArray[Any] | None, kind: str
) -> dict[str, float]:
    """Return the measures of a constant prediction, the most frequent class or the mean."""
    if y is None or fold.train.y is None or kind == "vq":
        return {}
    parts = {"train": [(fold.train.y, fold.train.y)]}
    if divided:
        parts["test"] = [(y[train], y[test]) for train, test in divided]
    elif fold.test is not None and fold.test.y is not None:
        parts["test"] = [(fold.train.y, fold.test.y)]
    means = {}
    for part, pairs in parts.items():
        measures = [_measure_dummy(_known(train), _known(test), kind) for train, test in pairs]
        if all(measures):
            # A fold whose training part lacks a class has no log loss.
            for name in (name for name in measures[0] if all(name in of for of in measures)):
                means[f"{part}/{name}"] = statistics.fmean(values[name] for values in measures)
    return means


def _measure_dummy(train: NDArray[Any], test: NDArray[Any], kind: str) -> dict[str, float]:
    """Return measures of a prediction without features; none without samples."""
    from sklearn import dummy, metrics

    if not len(train) or not len(test):
        return {}
    model: Any = dummy.DummyRegressor()
    measures: dict[str, Callable[..., float]] = {
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
    }
    if kind == "classifier":
        model = dummy.DummyClassifier()
        measures = {
            "accuracy": metrics.accuracy_score,
            "balanced_accuracy": metrics.balanced_accuracy_score,
            "macro_f1": partial(metrics.f1_score, average="macro"),
        }
    answers = model.fit(train, train).predict(test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that one of both lacks
        values = {name: float(measure(test, answers)) for name, measure in measures.items()}
    if kind == "classifier" and set(test.tolist()) <= set(train.tolist()):
        shares = model.predict_proba(test)
        values["log_loss"] = float(metrics.log_loss(test, shares, labels=model.classes_))
    return values


def most_frequent(y: NDArray[Any] | None, names: Sequence[str] | None) -> str:
    """Return the name of the most frequent class of targets (n,), the first of equals."""
    assert y is not None
    labels, counts = np.unique(_known(y), return_counts=True)
    label = labels[counts.argmax()]
    if names is not None and y.dtype.kind in "iu" and 0 <= label < len(names):
        label = names[label]
    return as_label(label)


def _known(y: NDArray[Any]) -> NDArray[Any]:
    """Return the known targets; numbers that stand beside None as numbers."""
    known = y[has_target(y)]
    return np.array(known.tolist()) if y.dtype == object else known
