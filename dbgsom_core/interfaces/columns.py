"""How the columns of a table become features: kept with the model, so that it reads such tables."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.interfaces.cells import (
    NA_VALUES,
    date_features,
    in_utc,
    moments_of,
    number,
    number_problem,
    numbers,
    short,
)
from dbgsom_core.interfaces.faults import CellsError, Faults, infinite

if TYPE_CHECKING:
    import pandas as pd

_BLOCK = 256  # columns that are copied in one go
_NAMED = 5  # names or values that a message lists
Unseen = dict[str, Counter[str]]  # categories that are not known and their rows, by column
PARTS = ("year", "month", "day", "weekday", "hour")  # that a date may become


@dataclass(frozen=True)
class Columns:
    """The columns of a table that became samples, by name, and how each was read.

    A column is a number unless `categories` or `dates` name it. A name that stands in the table
    again is numbered as by pandas: ``a.1``.

    Attributes
    ----------
    names : tuple of str
        Columns that became features, in the order of the features.
    categories : mapping of str to tuple of str
        The values of each categorical column, in the order of its features, which are 1 for this
        value and 0 for all others.
    dates : mapping of str to tuple of str
        The form of each column of dates (for `time.strptime`, or ``"ISO8601"``) and what of it
        became features: ``"ordinal"``, the days since 1970 with the time as a fraction, or some of
        ``"year"``, ``"month"``, ``"day"``, ``"weekday"`` (0 is Monday) and ``"hour"``.
    target : str or None
    ids : tuple of str
        Columns that identify a sample.
    dropped : tuple of str
        Columns that were left out on purpose.
    na_values : tuple of str
        What a missing value is written as, in any case of letters.
    decimal : str
        The decimal mark.
    thousands : str
        What may stand between thousands: ``"."``, ``","``, ``"'"``, ``" "`` or nothing.
    units : mapping of str to str, or None
        The unit that may follow or lead the numbers of a column: with ``"cm"`` the cell ``173 cm``
        is 173, and so is ``173``.
    dtype : str
        Of the samples: ``"float64"`` or ``"float32"``.
    """

    names: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    target: str | None = None
    ids: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    na_values: tuple[str, ...] = NA_VALUES
    decimal: str = "."
    dtype: str = "float64"
    thousands: str = ""
    units: Mapping[str, str] | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the D features: ``age``, ``colour=red``, ``day.weekday``."""
        return tuple(feature for name in self.names for feature in self.features_of(name))

    def samples(
        self, frame: pd.DataFrame, unseen: Unseen | None = None
    ) -> NDArray[np.floating[Any]]:
        """Return the samples (n, D) that the rows of a table are.

        Columns are found by name, in any order. Others are ignored, with one warning unless they
        had another role in the table of the training. A category that is not known is 0 in all
        columns of its own, with a warning. What is missing becomes nan.

        Parameters
        ----------
        frame : DataFrame (n, …)
            Cells as text, as in a file, or of the types that pandas reads them as.
        unseen : dict of str to Counter, optional
            Counts the categories that are not known, by column; nobody is warned of them then.

        Returns
        -------
        float array (n, D), C-contiguous, of `dtype`

        Raises
        ------
        DataError
            Columns are missing or there twice, or cells are no numbers or dates; all are told, at
            most 20.
        """
        strange = {} if unseen is None else unseen
        X, faults = self.read(frame, strange)
        if faults:
            raise CellsError("the table", faults)
        if unseen is None:
            for told in told_unseen(strange):
                warnings.warn(told, stacklevel=2)
        return X

    def read(self, frame: pd.DataFrame, unseen: Unseen) -> tuple[NDArray[np.floating[Any]], Faults]:
        """Return what `samples` does, and what is wrong with cells instead of raising it.

        Returns
        -------
        X : float array (n, D)
            Infinite, or of 0 as a number or a date, where a cell is faulty.
        faults : Faults
        """
        chosen, faults, codes = self._chosen(frame), Faults(), self.codes
        X = np.empty((len(chosen), len(self.feature_names)), dtype=self.dtype)
        at = 0
        for start, end in self._runs(chosen.dtypes):
            if end - start > 1:
                width = end - start
                part = chosen.iloc[:, start:end].to_numpy(dtype=self.dtype, na_value=np.nan)
            else:
                name = self.names[start]
                width = len(self.features_of(name))
                part = self._coded(name, chosen.iloc[:, start], unseen, faults)
            X[:, at : at + width] = part
            if codes and self.names[start] not in (*self.categories, *self.dates):
                numbers_read = X[:, at : at + width]
                numbers_read[np.isin(numbers_read, np.array(codes, X.dtype))] = np.nan
            at += width
        faults.take(infinite(X, self.feature_names))
        return X, faults

    def check_complete(self, X: NDArray[np.floating[Any]], where: str, cure: str) -> None:
        """Raise `DataError` where values of samples X (n, D) are missing: which, and the cure."""
        faults = Faults()
        faults.add_where(np.isnan(X), self.feature_names, f"the value is missing: {cure}")
        if faults:
            raise CellsError(where, faults)

    def is_missing(self, cell: str) -> bool:
        """Say whether a cell says that its value is missing."""
        return cell.strip().upper() in _upper(self.na_values)

    def problem(self, name: str, cell: str) -> str | None:
        """Return what keeps a cell of a file from being read, as the end of a sentence, or None."""
        cell = cell.strip()
        if name in self.categories or self.is_missing(cell):
            return None
        if name in self.dates:
            form = self.dates[name][0]
            if np.isnat(moments_of([cell], form)[0]):
                return f"'{short(cell)}' is no date of the form {form}"
            return None
        return number_problem(cell, self.decimal, self.thousands, self.unit(name))

    @property
    def codes(self) -> list[float]:
        """The numbers among ``na_values``, such as -9, which -9.0 is, too."""
        return _numeric(self.na_values)

    def missing(self, column: pd.Series) -> NDArray[np.bool_]:
        """Return which cells of a column of a table (n,) say that their value is missing."""
        if column.dtype.kind == "M":
            return np.asarray(column.isna(), dtype=bool)
        if _is_numeric(column.dtype):
            return np.asarray(column.isna() | column.isin(self.codes), dtype=bool)
        return self.texts(column)[1]

    def unit(self, name: str) -> str:
        """Return the unit of the numbers of a column; empty: none."""
        return (self.units or {}).get(name, "")

    def features_of(self, name: str) -> Sequence[str]:
        """Return the names of the features that a column became."""
        if name in self.categories:
            return [f"{name}={value}" for value in self.categories[name]]
        if name in self.dates:
            parts = self.dates[name][1:]
            return [name if part == "ordinal" else f"{name}.{part}" for part in parts]
        return (name,)

    def _chosen(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of the features, in their order."""
        written = [str(name).strip() for name in frame.columns]
        found = numbered(written)
        places = {name: place for place, name in enumerate(found)}
        missing = [name for name in self.names if name not in places]
        if missing:
            near = did_you_mean(missing[0], found) if len(missing) == 1 else ""
            raise DataError(
                f"the table lacks {_columns(missing)}, which the model needs{near} "
                f"(it has: {_listed(found)})"
            )
        known = {*self.names, *self.ids, *self.dropped, self.target}
        twice = [
            name
            for name, n in Counter(written).items()
            if n > 1 and name in self.names and f"{name}.1" not in known
        ]
        if twice:
            raise DataError(f"the table has {_columns(twice)} twice: rename or drop one")
        extra = [name for name in found if name not in known]
        if extra:
            warnings.warn(
                f"{_columns(extra)} of the table {'are' if len(extra) > 1 else 'is'} unknown to "
                "the model and ignored",
                stacklevel=4,
            )
        if found == [*self.names]:
            return frame
        return frame.iloc[:, [places[name] for name in self.names]]

    def _runs(self, dtypes: Iterable[Any]) -> Iterator[tuple[int, int]]:
        """Yield where columns begin and end that are copied in one go: numbers, or a single one."""
        start = 0
        for place, (name, dtype) in enumerate(zip(self.names, dtypes, strict=True)):
            plain = _is_numeric(dtype) and name not in self.categories and name not in self.dates
            if plain and place - start < _BLOCK:
                continue
            if place > start:
                yield start, place
            if not plain:
                yield place, place + 1
            start = place if plain else place + 1
        if start < len(self.names):
            yield start, len(self.names)

    def _coded(self, name: str, column: pd.Series, unseen: Unseen, faults: Faults) -> NDArray[Any]:
        if name in self.categories:
            return self._category(name, column, unseen)
        if name in self.dates:
            return self._date(name, column, faults)
        return self._numbers(name, column, faults)[:, np.newaxis]

    def _numbers(self, name: str, column: pd.Series, faults: Faults) -> NDArray[np.float64]:
        if _is_numeric(column.dtype):
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        cells, missing, where = self._distinct(column)
        values = np.full(len(cells), np.nan)
        written = self.decimal, self.thousands, self.unit(name)
        values[~missing] = numbers(cells[~missing].tolist(), *written)
        bad = ~missing & ~np.isfinite(values)
        values[bad] = 0
        self._add(faults, name, cells, bad, where)
        return np.asarray(values[where])

    def _date(self, name: str, column: pd.Series, faults: Faults) -> NDArray[np.float64]:
        form, *parts = self.dates[name]
        if column.dtype.kind == "M":
            moments = in_utc(column)
            missing = np.isnat(moments)
            return np.where(missing[:, np.newaxis], np.nan, date_features(moments, parts))
        cells, missing, where = self._distinct(column)
        moments = np.full(len(cells), np.datetime64("NaT", "us"))
        moments[~missing] = moments_of(cells[~missing], form)
        bad = ~missing & np.isnat(moments)
        moments[bad] = np.datetime64(0, "us")
        self._add(faults, name, cells, bad, where)
        features = np.where(missing[:, np.newaxis], np.nan, date_features(moments, parts))
        return np.asarray(features[where])

    def _category(self, name: str, column: pd.Series, unseen: Unseen) -> NDArray[np.float64]:
        values = self.categories[name]
        cells, missing, where = self._distinct(column)
        read: list[Any]
        if _is_numeric(column.dtype):  # 1, 1.0 and "01" are one code, True and "true" another
            known: dict[Any, int] = {}
            for i, value in enumerate(values):
                known.setdefault(number(value, self.decimal), i)
            read = [number(cell, ".") for cell in cells]
        else:
            known, read = {value: i for i, value in enumerate(values)}, cells.tolist()
        codes = np.array([known.get(one, -1) for one in read], dtype=np.intp)
        coded = np.zeros((len(cells), len(values)))
        coded[codes >= 0, codes[codes >= 0]] = 1
        coded[missing] = np.nan
        strange = (codes < 0) & ~missing
        if strange.any():
            unseen.setdefault(name, Counter()).update(cells[where[strange[where]]].tolist())
        return np.asarray(coded[where])

    def texts(self, column: pd.Series) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the cells of a column as stripped texts (n,), and which are missing (n,)."""
        cells, missing, where = self._distinct(column)
        return cells[where], missing[where]

    def _distinct(
        self, column: pd.Series
    ) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.intp]]:
        """Return distinct cells as stripped texts, which are missing, and where each row is."""
        import pandas as pd

        where, found = pd.factorize(column)  # -1, the last, where there is none
        cells = np.array(
            [*(str(value).strip() for value in np.asarray(found, dtype=object).tolist()), ""],
            dtype=object,
        )
        words = _upper(self.na_values)
        missing = np.array([cell.upper() in words for cell in cells], dtype=bool)
        if _is_numeric(column.dtype):
            missing[:-1] |= np.isin(np.asarray(found, dtype=np.float64), self.codes)
        missing[-1] = True
        return cells, missing, where

    def _add(
        self,
        faults: Faults,
        name: str,
        cells: NDArray[Any],
        bad: NDArray[np.bool_],
        where: NDArray[np.intp],
    ) -> None:
        if bad.any():
            rows = np.flatnonzero(bad[where])
            faults.add(name, rows, lambda row: self.problem(name, cells[where[row]]) or "")


def numbered(names: Sequence[str]) -> list[str]:
    """Return the names of a table's columns, those that stand there again as pandas calls them.

    ``a, a, a`` are ``a``, ``a.1`` and ``a.2``.
    """
    times: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(f"{name}.{times[name]}" if times[name] else name)
        times[name] += 1
    return found


def missing_words(columns: Columns) -> list[str]:
    """Return the spellings of a missing value that pandas is to know."""
    forms = (form for word in columns.na_values for form in (word, word.lower(), word.title()))
    return [form + pad for form in dict.fromkeys(forms) for pad in ("", " ")]


@lru_cache(maxsize=16)
def _upper(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word.strip().upper() for word in words)


@lru_cache(maxsize=16)
def _numeric(words: tuple[str, ...]) -> list[float]:
    read = [number(word, ".") for word in words]
    return [value for value in read if value is not None and not math.isnan(value)]


def told_unseen(unseen: Unseen) -> list[str]:
    """Return a sentence for each column with categories that did not occur in training."""
    told = []
    for name, rows in unseen.items():
        values = [f"'{short(one)}' ({n} row{'s' * (n > 1)})" for one, n in rows.items()]
        counts = "counts" if len(values) == 1 else "count"
        told.append(
            f"column '{name}': {_listed(values)} did not occur in training and {counts} as none "
            "of its values"
        )
    return told


def _is_numeric(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "biuf"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _columns(names: Sequence[str]) -> str:
    quoted = _listed([f"'{short(name)}'" for name in names])
    return f"{len(names)} columns ({quoted})" if len(names) > 1 else f"column {quoted}"
