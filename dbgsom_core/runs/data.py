"""Load, check, divide and prepare the data of an experiment, before anything is written."""

from __future__ import annotations

import glob
import math
import statistics
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dbgsom_core.config import Experiment, Split, parse_experiment
from dbgsom_core.config.experiment import fills_gaps
from dbgsom_core.engine.moments import extremes, first_non_finite
from dbgsom_core.engine.partitions import Partitions, has_missing, take
from dbgsom_core.errors import DataError, callers_level, did_you_mean
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.models import prepared
from dbgsom_core.interfaces.figures import as_label
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.folder import DATA_FILE
from dbgsom_core.runs.prepare import fit_steps, listed_names, make_steps, sample_rows
from dbgsom_core.runs.text import digest
from dbgsom_core.tables import parse_numbers
from dbgsom_core.tables.frames import FRAME
from dbgsom_core.tables.safe_files import exists
from dbgsom_core.training.targets import LARGEST_TARGET, class_weights, encode_classes

Rows = NDArray[np.intp]

LEAST_ROWS = 4

_MOST_FOLDS = 10_000
_MOST_NAMES = 10_000  # feature names in run.json

# ------------------------------------------------------------------------------------- loading


def load_section(dataset: Any, folder: str | None = None) -> Data:
    experiment = parse_experiment({"experiment": "source", "dataset": dataset, "tracking": []})
    return load_data(experiment if folder is None else replace(experiment, folder=Path(folder)))


def load_data(experiment: Experiment) -> Data:
    data = _load(experiment, experiment.dataset)
    name, X, y = experiment.data_called, data.X, data.y
    if len(X) < LEAST_ROWS:
        raise DataError(f"data set '{name}' has {len(X)} rows; a map needs at least {LEAST_ROWS}")
    if X.shape[1] == 0:
        raise DataError(f"data set '{name}' has no columns to train on")
    _check_values(experiment, name, data)
    low, high = extremes(X)
    if not (high > low).any():
        raise DataError(
            f"all columns of data set '{name}' are constant: a map needs one that varies"
        )
    _check_target(experiment, name, y)
    unlabelled = experiment.model.params.get("unlabelled", "auto")
    if unlabelled not in ("auto", None) and y is not None and unlabelled not in y.tolist():
        warnings.warn(f"model.unlabelled: no sample has the class {unlabelled!r}", stacklevel=2)
    if experiment.model.estimator == "classifier" and not _has_classes(experiment, y):
        cure = "name another target, or another value that stands for no class (model.unlabelled)"
        raise DataError(f"no sample of data set '{name}' has a class: {cure}")
    return data


def load_test(experiment: Experiment, data: Data) -> Data | None:
    if experiment.split is None or experiment.split.test is None:
        return None
    loaded, name = _load(experiment, experiment.split.test), "split.test"
    test = replace(loaded, X=_same_columns(data, loaded), feature_names=data.feature_names)
    _check_values(experiment, name, test)
    if (data.y is None) != (loaded.y is None):
        which = "the data to train on" if data.y is None else f"data set '{name}'"
        raise DataError(f"{which} has no targets, and its counterpart has: name them in both")
    _check_target(experiment, name, loaded.y)
    if loaded.y is not None and _is_text(loaded.y) != _is_text(data.y):
        which, other = "the data to train on", f"data set '{name}'"
        if _is_text(loaded.y):
            which, other = other, which
        raise DataError(
            f"the targets of {which} are text, and those of {other} are not: store both as text"
        )
    return test


def _load(experiment: Experiment, dataset: Any) -> Data:
    # A relative path is relative to the working directory, or to the configuration's folder.
    beside, absent = {}, False
    in_memory = getattr(dataset, "path", None) == FRAME
    for field in () if in_memory else dataset.file_fields:
        given = getattr(dataset, field, None)
        several = given if isinstance(given, tuple) else (given,)
        found = [*several]
        for i, value in enumerate(several):
            if isinstance(value, str) and not _is_there(value):
                if _is_there(str(experiment.folder / value)):
                    found[i] = str(experiment.folder / value)
                absent |= found[i] == value and not Path(value).is_absolute()
        if found != [*several]:
            beside[field] = tuple(found) if isinstance(given, tuple) else found[0]
    component = dataset.model_copy(update=beside) if beside else dataset
    source, engine = guarded(component), guarded(experiment.engine)
    path = str(getattr(component, "path", ""))
    try:
        with _naming_frame(path) if Path(path).name == DATA_FILE else nullcontext():
            stays = engine.out_of_memory and source.opened is not None
            left: Data | None = source.opened() if stays else None
            data: Data = source.load() if left is None else left
            table = engine.opened(data.X)
    except DataError as error:
        if path == DATA_FILE and absent:
            raise DataError(
                "the rows are those of a data frame, which was not kept (keep_data=False) or not "
                "given: run(config, data=frame)"
            ) from error
        if absent:
            places = "in the working directory and beside the configuration"
            raise DataError(f"{error} (looked {places}, in {experiment.folder})") from error
        raise
    if isinstance(table, Partitions):
        return replace(data, X=table)
    if data.X.ndim != 2 or data.X.dtype.kind not in "fiub":
        what = f"{data.X.dtype}, shape {data.X.shape}"
        raise DataError(f"data set '{experiment.data_called}' is no table of numbers: {what}")
    if (
        experiment.model.estimator == "regressor"
        and data.y is not None
        and data.y.dtype.kind == "U"
    ):
        numbers, bad = parse_numbers(pa.array(data.y), ".", words=())
        return data if bad.any() else replace(data, y=numbers)
    return data


def _is_text(y: Any) -> bool:
    is_object = y.dtype == object
    return y.dtype.kind == "U" or (is_object and any(isinstance(one, str) for one in y))


def _is_there(path: str) -> bool:
    return exists(path) or (glob.has_magic(path) and any(glob.iglob(path)))  # noqa: PTH207


@contextmanager
def _naming_frame(path: str) -> Iterator[None]:
    """Let errors and warnings of loading name the data frame, and not the file of its rows."""
    with warnings.catch_warnings(record=True) as found:
        try:
            yield
        except DataError as error:
            if not Path(path).is_file():
                raise
            raise DataError(str(error).replace(path, "the data frame")) from error
    for one in found:
        text = str(one.message).replace(path, "the data frame")
        warnings.warn(text, one.category, stacklevel=callers_level())


def _same_columns(data: Data, test: Data) -> Any:
    names, found = data.feature_names, test.feature_names
    if names is None or found is None or list(names) == list(found):
        if data.X.shape[1] != test.X.shape[1]:
            sizes = f"{test.X.shape[1]} columns, and the data to train on has {data.X.shape[1]}"
            raise DataError(f"data set 'split.test' has {sizes}: give both the same")
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
            f"data set 'split.test' {what}{near}: its columns must be those of the training data"
        )
    # A category that is missing in the test data is 0 in all rows.
    given = np.asarray(test.X)
    places = {column: place for place, column in enumerate(found)}
    X = np.zeros((len(test.X), len(names)), dtype=data.X.dtype)
    for place, column in enumerate(names):
        if column in places:
            X[:, place] = given[:, places[column]]
    return X


def same_data(first: Experiment, second: Experiment) -> bool:
    same_set = (first.dataset_name, first.dataset) == (second.dataset_name, second.dataset)
    same_reader = first.engine == second.engine  # an engine may read the data from the disk
    return same_set and same_reader and first.model.estimator == second.model.estimator


def facts_of(experiment: Experiment, data: Data, test: Data | None = None) -> dict[str, Any]:
    regresses = experiment.model.estimator == "regressor"
    facts = {
        "name": experiment.dataset_name,
        "samples": len(data.X),
        "features": data.X.shape[1],
        "classes": None if data.y is None or regresses else n_classes(data.y),
        "digest": digest(data.X, data.y),
    }
    names = data.feature_names
    if names is not None and data.columns is None and len(names) <= _MOST_NAMES:
        facts["feature_names"] = list(map(str, names))
    if test is not None:
        facts["test"] = {"samples": len(test.X), "digest": digest(test.X, test.y)}
    return facts


def has_target(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which targets (n,) are known: not None, not nan."""
    if y.dtype == object:
        return np.array([value is not None and value == value for value in y], dtype=bool)
    return ~np.isnan(y) if y.dtype.kind == "f" else np.ones(len(y), dtype=bool)


def n_classes(y: NDArray[Any]) -> int:
    return len(set(y[has_target(y)].tolist()))


# --------------------------------------------------------------------------------------- checks


def check_part(
    experiment: Experiment, X: NDArray[Any] | None, y: NDArray[Any] | None, part: str
) -> None:
    trains = part.startswith("the part to train on")
    if X is not None and not isinstance(X, Partitions) and X.dtype.kind == "f" and has_missing(X):
        missing = np.isnan(X)
        rows, columns = (np.flatnonzero(missing.all(axis=axis)) for axis in (1, 0))
        if len(rows):
            raise DataError(f"prepare: row {rows[0]} of {part} has no value left; drop or fill it")
        if trains and len(columns):
            raise DataError(f"split: column {columns[0]} has no value in {part}; drop it")
    if trains and experiment.model.estimator == "classifier" and not _has_classes(experiment, y):
        raise DataError(
            f"split: no sample of {part} has a class; split.stratify: true keeps their shares"
        )


def _check_values(experiment: Experiment, name: str, data: Data) -> None:
    problems = list(_value_problems(experiment, data))
    if problems:
        raise DataError("\n".join(f"data set '{name}' {problem}" for problem in problems))


def _value_problems(experiment: Experiment, data: Data) -> Iterator[str]:
    X, names = data.X, data.feature_names

    def called(column: Any) -> str:
        return str(column) if names is None else f"'{names[int(column)]}'"

    def first_cell(bad: NDArray[np.bool_]) -> str:
        row, column = np.argwhere(bad)[0]
        columns = int(bad.any(axis=0).sum())
        more = f" ({columns} columns)" if columns > 1 else ""
        return f"row {row} (from 0), column {called(column)} first{more}"

    if isinstance(X, Partitions):
        bad = first_non_finite(X)
        if bad is not None:
            yield (
                f"holds a value that is missing or infinite, in row {bad[0]} (from 0), column "
                f"{called(bad[1])}, which data that stays where it is must not have: drop or fill "
                "it, or hold the data in memory (engine: local)"
            )
        return
    with np.errstate(over="ignore", invalid="ignore"):  # finite only if every value is
        if X.dtype.kind != "f" or np.isfinite(np.sum(X)) or np.isfinite(X).all():
            return
    infinite, gaps = np.isinf(X), np.isnan(X)
    if infinite.any():
        yield f"holds {infinite.sum()} infinite value(s), in {first_cell(infinite)}"
    if not gaps.any():
        return
    filled = any(fills_gaps(step.name) for step in experiment.prepare)
    registry = get_registry()
    metric = registry.build("metric", experiment.model.params.get("metric", "euclidean"))
    if not filled and "missing" not in guarded(metric).handles:
        yield (
            f"holds {gaps.sum()} missing value(s), in {first_cell(gaps)}, and metric "
            f"'{registry.name_of('metric', metric)}' takes none: drop or fill them, or take "
            "one that does, such as euclidean or manhattan"
        )
    empty = np.flatnonzero(gaps.all(axis=0))
    if len(empty):
        yield f"has columns without any value: {listed_names(map(called, empty))}: drop them"
    nothing = np.flatnonzero(gaps.all(axis=1))
    if len(nothing) and not filled:
        yield f"has rows without any value (from 0): {listed_names(map(str, nothing))}: drop them"


def _has_classes(experiment: Experiment, y: NDArray[Any] | None) -> bool:
    params = experiment.model.params
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit says it
            target = encode_classes(y, y, params.get("unlabelled", "auto"))
            if params.get("class_weight") is not None:
                class_weights(params["class_weight"], target, None)
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
        raise DataError(f"data set '{name}' has no {kind}{but}; name the target, or use vq")
    known = has_target(y)
    if estimator == "regressor":
        is_numeric = y.ndim == 1 and y.dtype.kind in "fiub"
        if not known.all() or (is_numeric and not np.isfinite(y).all()):
            raise DataError(f"data set '{name}' has rows without a target; drop them or fill them")
        if is_numeric and float(np.abs(y.astype(np.float64)).max()) > LARGEST_TARGET:
            raise DataError(
                f"the target of data set '{name}' holds {np.abs(y).max():.3g}, whose square is too "
                "large: divide it by a large number"
            )
        if not is_numeric:
            cure = "name another one, or set model.estimator: classifier"
            raise DataError(f"the target of data set '{name}' holds no numbers: {cure}")
        return
    if not known.any():
        raise DataError(f"no sample of data set '{name}' has a class: there is nothing to learn")
    from sklearn.utils.multiclass import type_of_target

    kind = type_of_target(np.array(y[known].tolist()) if y.dtype == object else y[known])
    if kind not in ("binary", "multiclass"):
        cure = "set model.estimator: regressor" if kind == "continuous" else "name another one"
        raise DataError(f"the target of data set '{name}' is {kind} and holds no classes: {cure}")


# ------------------------------------------------------------------------------------- dividing


@dataclass(frozen=True)
class Part:
    """Prepared samples X (n, D), an array or a table, their targets y (n,) and rows in the data."""

    X: Any
    y: NDArray[Any] | None
    rows: Rows | slice | None = None


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


def make_fold(
    experiment: Experiment,
    data: Data,
    train: Rows | slice,
    test: Rows | None,
    test_data: Data | None = None,
) -> Fold:
    y = data.y
    steps = make_steps(experiment)
    y_train = None if y is None else y[train]
    # Prepare steps may change their input, so it is a copy; without steps it may be a memory map.
    is_whole = test is None and (not steps or isinstance(data.X, Partitions))
    X = data.X if is_whole else take(data.X, train)
    table = data.columns
    categories = [] if table is None else [table.features_of(name) for name in table.categories]
    seed = experiment.seed
    X_train = fit_steps(steps, X, y_train, data.feature_names, categories, seed)
    if test is not None:
        test_data = Data(take(data.X, test), None if y is None else y[test])
    tested = None if test_data is None else Part(prepared(steps, test_data.X), test_data.y)
    return Fold(tuple(steps), Part(X_train, y_train, train), tested)


def divisions(experiment: Experiment, data: Data) -> list[tuple[Rows, Rows]]:
    """Return training and test rows of each fold; none without cross-validation."""
    split = experiment.split
    return _divide(experiment, data, split) if split is not None and split.divides else []


def _divide(experiment: Experiment, data: Data, split: Split) -> list[tuple[Rows, Rows]]:
    try:
        splitter = _splitter(split, experiment.seed)
        strata = groups = None
        if "Stratified" in type(splitter).__name__:
            strata = _strata(data, f"split: {split.name or 'stratify'}")
        if split.groups is not None:
            groups = _groups(data, split.groups, experiment.data_called)
        count = splitter.get_n_splits(data.X, strata, groups)
        if count > _MOST_FOLDS:
            raise DataError(f"split: makes {count} folds, more than {_MOST_FOLDS}: ask for fewer")
        parts = [  # sorted: a table is read from its beginning to its end
            (np.sort(train), np.sort(test))
            for train, test in splitter.split(data.X, strata, groups)
        ]
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"split: the data cannot be divided like this: {error}") from error
    least = min(len(train) for train, _ in parts)
    if least < LEAST_ROWS:
        cure = "lower split.test_size" if split.holds_out else "ask for more folds, or less to test"
        needed = f"a map needs at least {LEAST_ROWS}"
        raise DataError(f"split: {least} rows are left to train on; {needed}, so {cure}")
    return parts


def _splitter(split: Split, seed: int) -> Any:
    from sklearn import model_selection

    if split.folds is not None:
        name = "StratifiedKFold" if split.stratify else "KFold"
        return getattr(model_selection, name)(split.folds, shuffle=True, random_state=seed)
    if split.name is None:
        name = "StratifiedShuffleSplit" if split.stratify else "ShuffleSplit"
        splitter = getattr(model_selection, name)
        return splitter(n_splits=1, test_size=split.test_size, random_state=seed)
    given = {
        key: value
        for key, value in split.model_dump(exclude_none=True).items()
        if key in split.model_fields_set and key not in ("name", "groups", "stratify", "refit")
    }
    if split.name in ("KFold", "StratifiedKFold"):
        given.setdefault("shuffle", True)
    random = split.name.startswith("Repeated") or split.name.endswith("ShuffleSplit")
    if random or given.get("shuffle"):
        given["random_state"] = seed
    return getattr(model_selection, split.name)(**given)


def _groups(data: Data, name: str, dataset: str) -> NDArray[Any]:
    ids = {**data.annotations, **(data.ids or {})}
    features = list(data.feature_names or ())
    if name in ids:
        groups = np.asarray(ids[name])
    elif name in features:
        place, X = features.index(name), data.X
        groups = _column(X, place) if isinstance(X, Partitions) else X[:, place]
    elif data.columns is not None and name in data.columns.categories:
        # One column of 0 and 1 for each value; all of them are missing where the value is.
        places = [features.index(feature) for feature in data.columns.features_of(name)]
        values = np.asarray(data.X[:, places])
        groups = np.where(np.isnan(values).any(axis=1), np.nan, values.argmax(axis=1))
    else:
        known = [*ids, *features]
        listed = listed_names(known) if known else "none with a name"
        raise DataError(
            f"split.groups: data set '{dataset}' has no ids or feature '{name}'"
            f"{did_you_mean(name, known)} (it has: {listed})"
        )
    texts = groups.astype(str)
    missing = np.flatnonzero(np.isin(np.char.lower(np.char.strip(texts)), ("", "nan", "none")))
    if len(missing):
        where = f"{len(missing)} row(s), the first of them {missing[0]} (from 0)"
        raise DataError(f"split.groups: '{name}' is missing in {where}; drop these rows")
    return np.unique(texts, return_inverse=True)[1]


def _column(X: Partitions, place: int) -> NDArray[Any]:
    return np.concatenate(X.each(partial(_values, place), X.beside()))


def _values(place: int, rows: NDArray[Any]) -> NDArray[Any]:  # also on workers
    return rows[:, place]


def _strata(data: Data, key: str) -> NDArray[Any]:
    if data.y is None:
        raise DataError(f"{key} needs classes, but the data set has none; divide it without")
    known = has_target(data.y)
    if known.all():
        return data.y
    strata = data.y.astype(object)
    strata[~known] = ""  # samples without a class are a stratum
    return strata.astype(str)


def subsample(part: Part, seed: int) -> Part:
    """Return the samples of a part for measures and figures, in memory.

    A part that stays where it is is sampled, see `sample_rows`, unless it is small; one in memory
    is returned whole.
    """
    X = part.X
    if not isinstance(X, Partitions):
        return part
    rows = sample_rows(X, seed)
    if len(rows) == len(X):
        return replace(part, X=X[:])
    known: Any = rows if isinstance(part.rows, slice) else part.rows
    if known is not None and known is not rows:
        known = known[rows]
    return Part(X[rows], None if part.y is None else part.y[rows], known)


# ------------------------------------------------------------------------------------ baselines


def baselines(
    fold: Fold, divided: Sequence[tuple[Rows, Rows]], y: NDArray[Any] | None, kind: str
) -> dict[str, float]:
    """Return the measures of a constant prediction, the most frequent class or the mean."""
    if y is None or fold.train.y is None or kind == "vq":
        return {}
    measure = _measure_majority if kind == "classifier" else _measure_mean
    found = {"train": [measure(fold.train.y, fold.train.y)]}
    if divided:
        found["test"] = [measure(y[train], y[test]) for train, test in divided]
    elif fold.test is not None and fold.test.y is not None:
        found["test"] = [measure(fold.train.y, fold.test.y)]
    return {
        f"{part}/{name}": statistics.fmean(values[name] for values in several)
        for part, several in found.items()
        if all(several)
        for name in several[0]
    }


def _measure_majority(train: NDArray[Any], test: NDArray[Any]) -> dict[str, float]:
    # Empty without test samples.
    import pandas as pd

    train, test = train[has_target(train)], test[has_target(test)]
    if not len(test):
        return {}
    codes, _ = pd.factorize(np.concatenate([train, test]))
    tested = np.bincount(codes[len(train) :], minlength=codes.max() + 1)
    answer = np.bincount(codes[: len(train)]).argmax()
    hits, present = float(tested[answer]), np.count_nonzero(tested)
    answered = present + (hits == 0)  # F1 is of the classes that occur or are answered
    return {
        "accuracy": hits / len(test),
        "balanced_accuracy": float((hits > 0) / present),
        "macro_f1": float(2 * hits / (len(test) + hits) / answered),
    }


def most_frequent(y: NDArray[Any] | None, names: Sequence[str] | None) -> str:
    """Return the name of the most frequent class of targets (n,), of equals the one met first."""
    import pandas as pd

    assert y is not None
    codes, labels = pd.factorize(y[has_target(y)])
    label = labels[np.bincount(codes).argmax()]
    named = dict(enumerate(names or ())) if y.dtype.kind in "iu" else {}
    return as_label(named.get(label, label))


def _measure_mean(train: NDArray[Any], test: NDArray[Any]) -> dict[str, float]:
    train, test = (np.asarray(part[has_target(part)], np.float64) for part in (train, test))
    if not len(test) or not len(train):
        return {}
    errors = test - train.mean()
    return {"rmse": math.sqrt(np.square(errors).mean()), "mae": float(np.abs(errors).mean())}
