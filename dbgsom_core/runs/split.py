"""Divide the data into parts to train on and to test on, each prepared; subsamples; baselines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment, Split
from dbgsom_core.engine.tables import BlockTable, take
from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.estimators.samples import prepared
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.runs.data import LEAST_ROWS, has_target
from dbgsom_core.runs.prepare import fit_steps, make_steps

Rows = NDArray[np.intp]

MOST_FOLDS = 10_000
_LISTED = 10  # names in a message
_MOST_SAMPLES, _LEAST_SAMPLES = 1 << 18, 1 << 14  # of a subsample
_SUBSAMPLE_BYTES = 1 << 26


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


def final_fold(experiment: Experiment, data: Data, test: Data | None = None) -> Fold:
    """Return the fold of the model that is kept: all data, or that without the test part."""
    if experiment.split is not None and experiment.split.holds_out:
        return make_fold(experiment, data, *_held_out(experiment, data))
    every = slice(None) if isinstance(data.X, BlockTable) else np.arange(len(data.X))
    return make_fold(experiment, data, every, None, test)


def make_fold(
    experiment: Experiment,
    data: Data,
    train: Rows | slice,
    test: Rows | None,
    test_data: Data | None = None,
) -> Fold:
    """Return one division of the data, its prepare steps fitted on the part to train on.

    It is tested on the rows ``test``, or on ``test_data``. Parts of a table are tables.
    """
    y = data.y
    steps = make_steps(experiment)
    y_train = None if y is None else y[train]
    # Steps may change what they get; all rows without any are not copied: they may be a map.
    is_whole = test is None and (not steps or isinstance(data.X, BlockTable))
    X = data.X if is_whole else take(data.X, train)
    X_train = fit_steps(steps, X, y_train, data.feature_names)
    if test is not None:
        test_data = Data(take(data.X, test), None if y is None else y[test])
    tested = None if test_data is None else Part(prepared(steps, test_data.X), test_data.y)
    return Fold(tuple(steps), Part(X_train, y_train, train), tested)


def divisions(experiment: Experiment, data: Data) -> list[tuple[Rows, Rows]]:
    """Return the rows to train and to test on of each fold, none where nothing is divided so."""
    split = experiment.split
    if split is None or not split.divides:
        return []
    try:
        splitter = _splitter(split, experiment.seed)
        strata = groups = None
        if "Stratified" in type(splitter).__name__:
            strata = _strata(data, f"split: {split.name or 'stratify'}")
        if split.groups is not None:
            groups = _groups(data, split.groups, experiment.data_called)
        count = splitter.get_n_splits(data.X, strata, groups)
        if count > MOST_FOLDS:
            raise DataError(f"split: makes {count} folds, more than {MOST_FOLDS}: ask for fewer")
        parts = [
            (np.sort(train), np.sort(test))
            for train, test in splitter.split(data.X, strata, groups)
        ]
    except ValueError as error:
        raise _undivided(error) from error
    _check_enough(parts, "so ask for more folds, or for less to test on")
    return parts


def _held_out(experiment: Experiment, data: Data) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    split = experiment.split
    assert split is not None
    try:
        train, test = train_test_split(
            np.arange(len(data.X)),
            test_size=split.test_size,
            random_state=experiment.seed,
            stratify=_strata(data, "split.stratify") if split.stratify else None,
        )
    except ValueError as error:
        raise _undivided(error) from error
    _check_enough([(train, test)], "so lower split.test_size")
    return np.sort(train), np.sort(test)  # a table is read from its beginning to its end


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
    drawn = split.name.startswith("Repeated") or split.name.endswith("ShuffleSplit")
    if drawn or given.get("shuffle"):
        given["random_state"] = seed
    return getattr(model_selection, split.name)(**given)


def _groups(data: Data, name: str, dataset: str) -> NDArray[Any]:
    ids, features = dict(data.ids or {}), list(data.feature_names or ())
    if name in ids:
        groups = np.asarray(ids[name])
    elif name in features:
        place, X = features.index(name), data.X
        groups = X.column(place) if isinstance(X, BlockTable) else X[:, place]
    elif data.columns is not None and name in data.columns.categories:
        # One column of 0 and 1 for each value; all of them are missing where the value is.
        places = [features.index(feature) for feature in data.columns.features_of(name)]
        values = np.asarray(data.X[:, places])
        groups = np.where(np.isnan(values).any(axis=1), np.nan, values.argmax(axis=1))
    else:
        known = [*ids, *features]
        listed = ", ".join(known[:_LISTED]) + (", …" if len(known) > _LISTED else "")
        raise DataError(
            f"split.groups: data set '{dataset}' has no ids or feature '{name}'"
            f"{did_you_mean(name, known)} (it has: {listed or 'none with a name'})"
        )
    texts = groups.astype(str)
    missing = np.flatnonzero(np.isin(np.char.lower(np.char.strip(texts)), ("", "nan", "none")))
    if len(missing):
        raise DataError(
            f"split.groups: '{name}' is missing in {len(missing)} row(s), the first of them "
            f"{missing[0]} (from 0); give each row a group, or drop it"
        )
    return np.unique(texts, return_inverse=True)[1]


def _strata(data: Data, key: str) -> NDArray[Any]:
    if data.y is None:
        raise DataError(f"{key} needs classes, but the data set has none; divide it without")
    known = has_target(data.y)
    if known.all():
        return data.y
    strata = data.y.astype(object)
    strata[~known] = ""  # samples without a class are a layer of their own
    return strata.astype(str)


def _undivided(error: ValueError) -> DataError:
    if isinstance(error, DataError):
        return error
    return DataError(f"split: the data cannot be divided like this: {error}")


def _check_enough(parts: list[tuple[Rows, Rows]], cure: str) -> None:
    least = min(len(train) for train, _ in parts)
    if least < LEAST_ROWS:
        raise DataError(
            f"split: {least} rows are left to train on; a map needs at least {LEAST_ROWS}, {cure}"
        )


# ----------------------------------------------------------------------------------- subsamples


def subsample(part: Part, seed: int) -> Part:
    """Return the samples of a part that measures and figures use, in memory.

    Of a part that is read in blocks one is drawn from each of equal stretches, so that nothing of
    the length of the part is held. A part in memory, or of no more samples than that, is returned
    as it is.
    """
    X = part.X
    if not isinstance(X, BlockTable):
        return part
    n = len(X)
    count = int(np.clip(_SUBSAMPLE_BYTES // (X.nbytes // max(n, 1)), _LEAST_SAMPLES, _MOST_SAMPLES))
    if n <= count:
        return part
    ends = np.arange(count + 1) * n // count
    chances = np.random.default_rng(seed).random(count)
    rows = ends[:-1] + (chances * np.diff(ends)).astype(np.int64)
    known = rows if isinstance(part.rows, slice) else part.rows
    if known is not None and known is not rows:
        known = known[rows]
    return Part(X[rows], None if part.y is None else part.y[rows], known)


def evaluate_part(
    estimator: Any, some: Part, whole: Part, seed: int, hits: NDArray[Any] | None = None
) -> Evaluation:
    """Return a trained map beside ``some`` samples of a part, and what is known of the ``whole``.

    ``hits`` (K,) of the whole, or None where nobody counted them.
    """
    predictions = estimator.predict(some.X)
    found: Evaluation = estimator.evaluate(some.X, y=some.y, predictions=predictions, seed=seed)
    n = whole.X.shape[0]
    return found if some.X.shape[0] == n else replace(found, drawn_from=n, all_hits=hits)


# ------------------------------------------------------------------------------------ baselines


def baselines(
    fold: Fold, divided: Sequence[tuple[Rows, Rows]], y: NDArray[Any], classes: bool
) -> dict[str, float]:
    """Return measures, by logged names, of the most frequent class or, without classes, the mean.

    It is that of the training part, the first of equals; samples without a target do not count. For
    classes these are accuracy, balanced_accuracy and macro_f1, else rmse and mae; ``divided`` are
    the rows of each fold, whose mean is that of the test part.
    """
    assert fold.train.y is not None
    measure = _measure_majority if classes else _measure_mean
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
    # Nothing where no sample is to be tested.
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


def _measure_mean(train: NDArray[Any], test: NDArray[Any]) -> dict[str, float]:
    train, test = (np.asarray(part[has_target(part)], np.float64) for part in (train, test))
    if not len(test) or not len(train):
        return {}
    errors = test - train.mean()
    return {"rmse": math.sqrt(np.square(errors).mean()), "mae": float(np.abs(errors).mean())}
