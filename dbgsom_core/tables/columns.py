"""The mapping from a table's columns to features, which a model stores for later tables."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, as_text, did_you_mean
from dbgsom_core.tables.cells import (
    NA_VALUES,
    date_features,
    has_other_decimal,
    is_missing,
    number,
    number_problem,
    parse_dates,
    parse_numbers,
    short,
    to_bool,
)
from dbgsom_core.tables.frames import arrow_table, is_pandas

MOST_FAULTS = 10  # of a column that one message lists
_MOST_COLUMNS = 20  # with faults that one message lists
_LISTED = 5  # names or values that a message lists
DECIMAL_MARK = "decimal mark"  # a cause of faults, see `Faults.add`
Hint = Callable[[str, str], str]  # of a column and a problem: what ends the sentence
Unseen = dict[str, Counter[str]]  # categories that are not known and their rows, by column
_MIDNIGHT = re.compile(r"(?: 00:00:00)?(?:\.0+)?(?=Z?$)")  # of a moment that is a day
PARTS = ("year", "month", "day", "weekday", "hour")  # that a date may become


class Fault(NamedTuple):
    """An unusable cell: its row from 0, its column, and the problem."""

    row: int
    column: str
    problem: str


class Faults:
    """Unusable cells: the first ones of each column, and their number; false without any.

    Attributes
    ----------
    total : int
    """

    def __init__(self) -> None:
        self.total = 0
        # By column and cause: how many, and the first ones.
        self._groups: dict[tuple[str, str], tuple[int, list[Fault]]] = {}

    def __bool__(self) -> bool:
        return self.total > 0

    def add(
        self, column: str, rows: NDArray[np.intp], problem: Callable[[int], str], cause: str = ""
    ) -> None:
        """Add rows (n,), in their order, of a column; ``problem`` ends the sentence of a row.

        Cells of a column with the same cause have one sentence; those without one have a sentence
        each. A `DECIMAL_MARK` groups the cells of all columns.
        """
        if len(rows):
            most = 1 if cause else MOST_FAULTS
            first = [Fault(row, column, problem(row)) for row in rows[:most].tolist()]
            self._add(("" if cause == DECIMAL_MARK else column, cause), len(rows), first)

    def merge(self, others: Faults) -> None:
        for key, (n, first) in others._groups.items():
            self._add(key, n, first)

    def shift(self, first: int) -> Faults:
        """Return the faults with rows counted from ``first``."""
        shifted = Faults()
        for key, (n, faults) in self._groups.items():
            shifted._add(key, n, [one._replace(row=one.row + first) for one in faults])
        return shifted

    def rows(self) -> list[int]:
        return sorted({fault.row for _, first in self._groups.values() for fault in first})

    def message(self, where: str, lines: Mapping[int, int] | None = None) -> str:
        """Return a sentence for each cell, at most 10 per column, and the number of others.

        ``where`` is what the table is called; ``lines`` are lines of the file by rows, and a row
        without a line is counted from 0.
        """
        sentences = []
        groups = sorted(self._groups.items(), key=lambda one: one[1][1][0].row)
        for (column, cause), (n, first) in groups[:_MOST_COLUMNS]:
            more = f" (and {n - 1} more)" if cause and n > 1 else ""
            for fault in first[: 1 if cause else MOST_FAULTS]:
                line = (lines or {}).get(fault.row)
                place = f"row {fault.row}" if line is None else f"line {line}"
                at = f"{where}, {place}, column '{short(fault.column)}'"
                sentences.append(f"{at}: {fault.problem}{more}")
            if n > MOST_FAULTS and not cause:
                left = f"… and {n - MOST_FAULTS} more such cells"
                sentences.append(f"{where}, column '{short(column)}': {left}")
        if (left_out := len(groups) - _MOST_COLUMNS) > 0:
            sentences.append(f"{where}: … and {left_out} more columns with such cells")
        return "\n".join(sentences)

    def _add(self, key: tuple[str, str], n: int, first: Sequence[Fault]) -> None:
        self.total += n
        count, kept = self._groups.get(key, (0, []))
        self._groups[key] = count + n, [*kept, *first][:MOST_FAULTS]


class CellsError(DataError):
    """Cells of a table cannot be used; the sentences name them.

    Attributes
    ----------
    faults : Faults
    """

    def __init__(self, where: str, faults: Faults, lines: Mapping[int, int] | None = None) -> None:
        super().__init__(where, faults, lines)
        self.faults = faults

    def __str__(self) -> str:
        where, faults, lines = self.args
        return as_text(faults.message(where, lines))


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
        The form of each column of dates (for `datetime.strptime`, or ``"ISO8601"``) and what of it
        became features: ``"ordinal"``, the days since 1970 with the time as a fraction, or some of
        ``"year"``, ``"month"``, ``"day"``, ``"weekday"`` (0 is Monday) and ``"hour"``.
    target : str or None
    ids : tuple of str
        Columns that identify a sample.
    dropped : tuple of str
        Columns that became no features.
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
    annotations : tuple of str
        Those of ``dropped`` whose cells are kept beside the samples, as ids are: dates.
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
    annotations: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the D features: ``age``, ``colour=red``, ``day.weekday``."""
        return tuple(feature for name in self.names for feature in self.features_of(name))

    def features_of(self, name: str) -> Sequence[str]:
        """Return the names of the features that a column became."""
        if name in self.categories:
            return [f"{name}={value}" for value in self.categories[name]]
        if name in self.dates:
            parts = self.dates[name][1:]
            return [name if part == "ordinal" else f"{name}.{part}" for part in parts]
        return (name,)

    def unit(self, name: str) -> str:
        """Return the unit of the numbers of a column; empty: none."""
        return (self.units or {}).get(name, "")

    @property
    def codes(self) -> list[float]:
        """The numbers among ``na_values``, missing in any notation: -9 also as -9.0."""
        values = [number(word) for word in self.na_values]
        return [value for value in values if value is not None]

    def read(self, X: Any, takes_gaps: bool) -> Any:
        """Return the samples of a data frame, see `samples`, or an array as it is.

        Raises
        ------
        DataError
            A data frame cannot be used, or has missing values and the model takes none.
        """
        table = arrow_table(X)
        if table is not None or is_pandas(X):
            samples = self.samples(X if table is None else table)
            if not takes_gaps:
                self.check_complete(samples, "the table", "the model's metric takes none")
            return samples
        if getattr(getattr(X, "dtype", None), "kind", "") == "O":
            try:
                return np.asarray(X, dtype=np.float64)
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"X holds values that are no numbers ({error}): pass a DataFrame with columns "
                    f"{', '.join(self.names[:5])}{', …' * (len(self.names) > 5)}"
                ) from error
        return X

    def samples(self, table: Any) -> NDArray[np.floating[Any]]:
        """Return the samples (n, D) of a table's rows.

        Columns are found by name, in any order. Others are ignored, with one warning unless they
        had another role in the table of the training. A category that is not known is 0 in all
        columns of its own, with a warning. What is missing becomes nan.

        Parameters
        ----------
        table : data frame (n, …) of pandas, polars, pyarrow or whatever exports Arrow
            Cells as text, as in a file, or of the types that others read them as.

        Raises
        ------
        DataError
            Columns are missing or there twice, or cells are no numbers or dates: all at once.
        """
        arrow = arrow_table(table)
        written = [*table.columns] if arrow is None else arrow.column_names
        n = len(table) if arrow is None else arrow.num_rows
        places, strange = self.places([str(name).strip() for name in written])
        if strange:
            warnings.warn(
                f"{_columns(strange)} of the table {'are' if len(strange) > 1 else 'is'} unknown "
                "to the model and ignored",
                stacklevel=2,
            )
        faults, unseen = Faults(), Unseen()

        def column(place: int) -> pa.Array:
            return _from_pandas(table.iloc[:, place]) if arrow is None else arrow.column(place)

        X = self.features(map(column, places), n, unseen, faults)
        if faults:
            raise CellsError("the table", faults)
        for sentence in unseen_sentences(unseen):
            warnings.warn(sentence, stacklevel=2)
        return X

    def features(
        self,
        columns: Iterable[Any],
        n: int,
        unseen: Unseen,
        faults: Faults,
        hint: Hint = lambda name, problem: "",
    ) -> NDArray[np.floating[Any]]:
        """Return the samples (n, D) of columns (n,) of pyarrow or numpy, in the order of ``names``.

        ``unseen`` gets the categories that are not known, ``faults`` the cells that cannot be used.
        ``hint`` gets the name of a column and why a cell is no number, and ends the sentence.
        """
        X = np.empty((n, len(self.feature_names)), dtype=self.dtype)
        at, sentinels = 0, np.array(self.codes)
        for name, column in zip(self.names, columns, strict=True):
            if isinstance(column, (pa.Array, pa.ChunkedArray)):
                column = as_array(column)
            end = at + len(self.features_of(name))
            if name in self.categories:
                X[:, at:end] = self._categories(name, column, unseen)
            elif name in self.dates:
                moments = self._dates(name, column, faults)
                X[:, at:end] = date_features(moments, self.dates[name][1:])
            else:
                with np.errstate(over="ignore"):
                    X[:, at] = self.numbers(name, column, faults, hint)
                infinite = np.flatnonzero(np.isinf(X[:, at]))
                faults.add(name, infinite, lambda row: "the value is infinite: drop or replace it")
                if len(sentinels):
                    X[np.isin(X[:, at], sentinels.astype(X.dtype)), at] = np.nan
            at = end
        return X

    def numbers(
        self, name: str, column: Any, faults: Faults, hint: Hint = lambda name, problem: ""
    ) -> NDArray[np.floating[Any]]:
        """Return a column (n,) as numbers, nan where they are missing; see `features`."""
        if isinstance(column, np.ndarray):
            return column
        if pa.types.is_temporal(column.type):
            column = pc.cast(column, pa.string())  # so that it is reported as no number
        if pa.types.is_decimal(column.type):  # its cast to a double is not rounded correctly
            column = pc.cast(pc.cast(column, pa.string()), pa.float64())
        if not is_text(column):
            column = (
                column if column.type == pa.float32() else pc.cast(column, pa.float64(), safe=False)
            )
            return np.asarray(pc.fill_null(column, math.nan))
        written = self.decimal, self.thousands, self.unit(name)
        values, bad = parse_numbers(column, *written, self.na_values)
        bad |= np.isinf(values)
        if bad.any():
            values[bad] = 0  # so that it is not reported as missing, too
            rows = np.flatnonzero(bad)
            other = has_other_decimal(column.take(pa.array(rows)), self.decimal)
            unlike = bad.sum() > (len(bad) - is_missing(column, self.na_values).sum()) // 2

            def problem(row: int) -> str:
                found = number_problem(column[row].as_py(), *written) or "it is no number"
                if found.endswith("infinite"):
                    return f"{found}: drop or replace it"
                return found + hint(name, found)

            faults.add(name, rows[other], problem, DECIMAL_MARK)
            faults.add(name, rows[~other], problem, "text" if unlike and len(rows) > 2 else "")
        return values

    def check_complete(self, X: NDArray[np.floating[Any]], where: str, cure: str) -> None:
        """Raise `DataError` for missing values of samples X (n, D), with a hint."""
        if faults := self.gaps(X, cure):
            raise CellsError(where, faults)

    def gaps(
        self, X: NDArray[np.floating[Any]], cure: str, rows: NDArray[np.bool_] | None = None
    ) -> Faults:
        """Return which values of samples X (n, D) are missing, in all ``rows`` (n,) or some."""
        faults, at = Faults(), 0
        for name in self.names:
            missing = np.isnan(X[:, at]) if rows is None else np.isnan(X[:, at]) & rows
            n = len(X) if rows is None else np.count_nonzero(rows)
            if n == np.count_nonzero(missing) and n > 1:
                faults.add(name, np.arange(1), lambda row: "no row has a value: add it to drop")
            else:
                found = np.flatnonzero(missing)
                faults.add(name, found, lambda row: f"the value is missing: {cure}", "missing")
            at += len(self.features_of(name))
        return faults

    def missing(self, column: Any) -> NDArray[np.bool_]:
        """Return which cells of a column (n,) are missing values."""
        if isinstance(column, np.ndarray):
            return np.asarray(np.isnan(column) | np.isin(column, self.codes))
        column = as_array(column)
        if is_text(column):
            return is_missing(column, self.na_values)
        if pa.types.is_temporal(column.type):
            return to_bool(pc.is_null(column))
        return self.missing(
            np.asarray(pc.fill_null(pc.cast(column, pa.float64(), safe=False), math.nan))
        )

    def texts(self, column: Any) -> pa.Array:
        """Return the cells of a column as stripped texts (n,), null where they are missing."""
        column = as_array(pa.array(column) if isinstance(column, np.ndarray) else column)
        missing = self.missing(column)
        texts = pc.utf8_trim_whitespace(as_texts(column))
        return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), texts)

    def places(
        self, written: Sequence[str], where: str = "the table"
    ) -> tuple[list[int], list[str]]:
        """Return where in a table the columns of the features are, and which it does not know.

        ``written`` are the names of the table's columns, stripped. Raises `DataError` where columns
        are missing, or there twice.
        """
        found = numbered(written)
        places = {name: place for place, name in enumerate(found)}
        missing = [name for name in self.names if name not in places]
        if missing:
            near = did_you_mean(missing[0], found) if len(missing) == 1 else ""
            if len(missing) == len(self.names) > 1:
                raise DataError(no_known_column(where, self.names, found))
            raise DataError(
                f"{where} lacks {_columns(missing)}, which the model needs{near} "
                f"(it has: {_listed(found)})"
            )
        known = {*self.names, *self.ids, *self.dropped, self.target}
        twice = [
            name
            for name, n in Counter(written).items()
            if n > 1 and name in self.names and f"{name}.1" not in known
        ]
        if twice:
            raise DataError(f"{where} has {_columns(twice)} twice: rename or drop one")
        return [places[name] for name in self.names], [one for one in found if one not in known]

    def _categories(self, name: str, column: Any, unseen: Unseen) -> NDArray[np.float64]:
        values = self.categories[name]
        if isinstance(column, np.ndarray):
            column = pa.array(column, from_pandas=True)
        missing = self.missing(column)
        encoded = pc.dictionary_encode(pc.cast(column, pa.string()))
        cells = [(cell or "").strip() for cell in encoded.dictionary.to_pylist()]
        if is_text(column):
            known: dict[Any, int] = {value: i for i, value in enumerate(values)}
            read: list[Any] = [*cells]
        else:  # 1, 1.0 and "01" are one code, True and "true" another
            known = {}
            for i, value in enumerate(values):
                known.setdefault(_code(value, self.decimal), i)
            read = [_code(cell) for cell in cells]
        codes = np.array([*(known.get(one, -1) for one in read), -1], dtype=np.intp)
        where = np.asarray(pc.fill_null(encoded.indices, -1))
        coded = np.vstack([np.eye(len(values)), np.zeros(len(values))])[codes[where]]
        coded[missing] = np.nan
        strange = (codes[where] < 0) & ~missing
        if strange.any():
            counts = unseen.setdefault(name, Counter())
            counts.update(cells[place] for place in where[strange].tolist())
        return np.asarray(coded)

    def _dates(self, name: str, column: Any, faults: Faults) -> NDArray[np.datetime64]:
        form = self.dates[name][0]
        if isinstance(column, np.ndarray):
            column = pa.array(column, from_pandas=True)
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            moments = pc.cast(column, pa.timestamp("us"), safe=False)
            return np.asarray(moments.to_numpy(zero_copy_only=False))
        texts = pc.cast(column, pa.string())
        moments = parse_dates(texts, form)
        bad = np.flatnonzero(np.isnat(moments) & ~is_missing(texts, self.na_values))
        faults.add(
            name, bad, lambda row: f"'{short(texts[row].as_py())}' is no date of the form {form}"
        )
        moments[bad] = np.datetime64(0, "us")
        return moments


def numbered(names: Sequence[str]) -> list[str]:
    """Return the column names of a table, repeated names numbered as in pandas.

    ``a, a, a`` are ``a``, ``a.1`` and ``a.2``.
    """
    times: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(f"{name}.{times[name]}" if times[name] else name)
        times[name] += 1
    return found


def unseen_sentences(unseen: Unseen) -> list[str]:
    """Return a sentence for each column with categories that did not occur in training."""
    sentences = []
    for name, rows in unseen.items():
        values = [f"'{short(value)}' ({n} row{'s' * (n > 1)})" for value, n in rows.items()]
        counts = "counts" if len(values) == 1 else "count"
        sentences.append(
            f"column '{name}': {_listed(values)} did not occur in training and {counts} as none "
            "of its values"
        )
    return sentences


def is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def as_texts(column: pa.Array) -> pa.Array:
    """Return cells of any type as text; a timestamp at midnight is a date."""
    texts = column.cast(pa.string())
    if pa.types.is_timestamp(column.type):  # of any unit: what is zero of it says nothing
        texts = pc.replace_substring_regex(texts, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")
        texts = pc.replace_substring_regex(texts, r"(?: 00:00:00)?(?:\.0+)?(Z?)$", r"\1")
    return texts


def as_array(column: Any) -> pa.Array:
    """Return a column of pyarrow as one array of numbers, bools, timestamps or text.

    Durations become seconds, bytes text, and half floats floats.
    """
    if isinstance(column, pa.ChunkedArray):
        if is_text(column) and column.nbytes >= 1 << 31:  # more than an array of text holds
            column = column.cast(pa.large_string())
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_array(column.dictionary_decode())
    if pa.types.is_duration(kind):  # a number, but of units that files and frames choose
        ticks = column.cast(pa.int64()).cast(pa.float64(), safe=False)
        return pc.divide(ticks, {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit])
    if pa.types.is_float16(kind):  # of which pyarrow 17 knows hardly a function
        return column.cast(pa.float32())
    types = pa.types
    tests: Any = (types.is_decimal, types.is_integer, types.is_floating, types.is_boolean)
    tests += (types.is_timestamp, types.is_date, types.is_string, types.is_large_string)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        cells = column.to_pylist()
        cells = [None if one is None else one.decode(errors="backslashreplace") for one in cells]
        return pa.array(cells, pa.string())
    return column if any(test(kind) for test in tests) else column.cast(pa.string())


def _code(cell: str, decimal: str = ".") -> int | float | str:
    """Return the canonical value of a category's cell: an exact integer, a date."""
    if re.fullmatch(r"[+-]?\d+", cell):
        return int(cell)
    value = number(cell, decimal)
    return _MIDNIGHT.sub("", cell) if value is None else value


def _from_pandas(series: Any) -> pa.Array:
    with suppress(pa.ArrowInvalid, pa.ArrowTypeError):
        array = pa.array(series, from_pandas=True)
        if not pa.types.is_nested(array.type):
            return array
    empty = series.isna().tolist()  # values of several kinds
    cells = [None if gap else str(cell) for cell, gap in zip(series, empty, strict=True)]
    return pa.array(cells, pa.string())


def _listed(names: Collection[str]) -> str:
    return ", ".join([*names][:_LISTED]) + (", …" if len(names) > _LISTED else "")


def no_known_column(where: str, known: Collection[str], found: Collection[str]) -> str:
    """Return what to say of a table that has no column of a model."""
    has = _listed([short(name) for name in found])
    wanted = _listed([short(name) for name in known])
    return f"{where} has none of the model's columns ({wanted}); it has {has}"


def _columns(names: Sequence[str]) -> str:
    quoted = _listed([f"'{short(name)}'" for name in names])
    return f"{len(names)} columns ({quoted})" if len(names) > 1 else f"column {quoted}"
