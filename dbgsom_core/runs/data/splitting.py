"""Which rows are trained on and which are tested on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import Experiment, Split
from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.runs.data.usable import with_a_class

LEAST_ROWS = 4
MOST_FOLDS = 10_000
Rows = NDArray[np.intp]

_SHOWN = 10  # names that a message lists


def held_out(experiment: Experiment, data: Data) -> tuple[Rows, Rows]:
    """Return the rows to train and to test on where ``split.test_size`` keeps some for testing.

    Raises
    ------
    DataError
        There are too few rows, or too few of a class.
    """
    from sklearn.model_selection import train_test_split

    split = experiment.split
    assert split is not None
    rows = np.arange(len(data.X))
    try:
        train, test = train_test_split(
            rows,
            test_size=split.test_size,
            random_state=experiment.seed,
            stratify=_strata(data, "split.stratify") if split.stratify else None,
        )
    except ValueError as error:
        raise _undivided(error) from error
    _check_enough([(train, test)], "so lower split.test_size")
    return np.sort(train), np.sort(test)  # a table is read from its beginning to its end


def divisions(experiment: Experiment, data: Data) -> list[tuple[Rows, Rows]]:
    """Return the rows to train and to test on of each fold, none where nothing is divided so.

    Raises
    ------
    DataError
        There are too few rows, too few of a class, or no such groups.
    """
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
        places = [features.index(one) for one in data.columns.features_of(name)]
        values = np.asarray(data.X[:, places])
        groups = np.where(np.isnan(values).any(axis=1), np.nan, values.argmax(axis=1))
    else:
        known = [*ids, *features]
        listed = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
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


def _strata(data: Data, who: str) -> NDArray[Any]:
    if data.y is None:
        raise DataError(f"{who} needs classes, but the data set has none; divide it without")
    known = with_a_class(data.y)
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
