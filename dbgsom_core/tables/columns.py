"""The mapping from a table's columns to features, which a model stores for later tables."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, did_you_mean, name_list
from dbgsom_core.tables.cells import (
    NA_VALUES,
    date_features,
    is_missing,
    number,
    number_problem,
    parse_dates,
    parse_numbers,
    short,
    to_bool,
)
from dbgsom_core.tables.reader import (
    FRAME,
    FrameReader,
    TableReader,
    arrow_table,
    as_texts,
    is_moment,
    is_text,
)

_MOST_FAULTS = 20  # columns that one message lists: a screen of sentences
Unseen = dict[str, Counter[str]]  # categories that are not known and their rows, by column


class Faults:
    """Unusable cells: of each column the first one, and how many; false without any."""

    def __init__(self) -> None:
        self._by_column: dict[str, tuple[int, str, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_column)

    def add(self, column: str, rows: NDArray[np.intp], problem: Callable[[int], str]) -> None:
        """Add rows (n,), in their order, of a column; ``problem`` ends the sentence of a row."""
        if len(rows) and column in self._by_column:
            row, sentence, count = self._by_column[column]
            self._by_column[column] = row, sentence, count + len(rows)
        elif len(rows):
            row = int(rows[0])
            self._by_column[column] = row, problem(row), len(rows)

    def check(self, table: TableReader, first: int = 0) -> None:
        """Raise `DataError` for cells of a table, the rows of which begin at ``first``."""
        faults = []
        for name, (row, problem, count) in self._by_column.items():
            faults.append((first + row, name, problem, count))
        faults = sorted(faults)[:_MOST_FAULTS]
        if not faults:
            return
        lines = table.lines(row for row, *_ in faults)
        sentences = []
        for row, name, problem, count in faults:
            place = f"line {lines[row]}" if row in lines else f"row {row}"
            more = f" (and {count - 1} more)" if count > 1 else ""
            sentences.append(f"{table.path}, {place}, column '{short(name)}': {problem}{more}")
        raise DataError("\n".join(sentences))


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
        Those of ``dropped`` whose cells are kept beside the samples, as ids are: dates and texts.
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
        return tuple(chain.from_iterable(map(self.features_of, self.names)))

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
        values, bad = parse_numbers(pa.array(self.na_values, pa.string()), words=())
        numbers: list[float] = values[~bad].tolist()
        return numbers

    def read(self, X: Any, takes_gaps: bool) -> Any:
        """Return the samples of a data frame, see `samples`, or an array as it is.

        Raises
        ------
        DataError
            A data frame cannot be used, or has missing values and the model takes none.
        """
        table = arrow_table(X)
        if table is None:
            return X
        samples, faults = self.samples(table), Faults()
        if not takes_gaps:
            self.gaps(samples, faults, "the model's metric takes none")
            faults.check(FrameReader.open(table))
        return samples

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
            Columns are missing or there twice, or cells are no numbers or dates.
        """
        reader = FrameReader.open(arrow_table(table))
        places, strange = self.places(reader.names, FRAME)
        if strange:
            text = f"{_columns(strange)} of {FRAME}: unknown to the model, and ignored"
            warnings.warn(text, stacklevel=2)
        unseen = Unseen()
        parts, first = [np.empty((0, len(self.feature_names)), self.dtype)], 0
        for batch in reader.batches(places):
            faults = Faults()
            parts.append(self.features(batch.columns, unseen, faults))
            faults.check(reader, first)
            first += batch.num_rows
        for sentence in unseen_sentences(unseen):
            warnings.warn(sentence, stacklevel=2)
        return np.concatenate(parts)

    def features(
        self, columns: Sequence[pa.Array], unseen: Unseen, faults: Faults, hint: str = ""
    ) -> NDArray[np.floating[Any]]:
        """Return the samples (n, D) of columns (n,), in the order of ``names``.

        Parameters
        ----------
        columns : sequence of pyarrow.Array
            Of the types that `TableReader.batches` yields.
        unseen : dict
            Gets the categories that are not known.
        faults : Faults
            Gets the cells that cannot be used.
        hint : str
            Ends the sentence on a cell that is no number.
        """
        n = len(columns[0]) if columns else 0
        blocks = [np.empty((n, 0), dtype=self.dtype)]
        block: NDArray[np.floating[Any]]
        for name, column in zip(self.names, columns, strict=True):
            if name in self.categories:
                block = self._categories(name, column, unseen)
            elif name in self.dates:
                moments = self._dates(name, column, faults)
                block = date_features(moments, self.dates[name][1:])
            else:
                block = self.numbers(name, column, faults, hint)[:, None]
            with np.errstate(over="ignore"):  # of float32
                block = block.astype(self.dtype, copy=False)
            infinite = np.flatnonzero(np.isinf(block).any(axis=1))
            faults.add(name, infinite, lambda row: "the value is infinite: drop or replace it")
            blocks.append(block)
        return np.hstack(blocks)

    def numbers(
        self, name: str, column: pa.Array, faults: Faults, hint: str = ""
    ) -> NDArray[np.floating[Any]]:
        """Return a column (n,) as numbers, nan where they are missing; see `features`."""
        if is_moment(column.type):  # it is reported as no number
            column = as_texts(column)
        if is_text(column):
            notation = self.decimal, self.thousands, self.unit(name)
            values: Any
            values, bad = parse_numbers(column, *notation, self.na_values)
            values[bad] = 0  # so that it is not reported as missing, too

            def problem(row: int) -> str:
                return number_problem(column[row].as_py(), *notation, hint)

            faults.add(name, np.flatnonzero(bad), problem)
        else:
            if column.type != pa.float32():
                column = pc.cast(column, pa.float64(), safe=False)
            values = np.array(pc.fill_null(column, np.nan))
        values[np.isin(values, np.array(self.codes, values.dtype))] = np.nan
        return np.asarray(values)

    def gaps(
        self,
        X: NDArray[np.floating[Any]],
        faults: Faults,
        cure: str,
        rows: NDArray[np.bool_] | bool = True,
    ) -> None:
        """Add the missing values of samples X (n, D), in all ``rows`` (n,) or some, to faults."""
        place = 0  # of the first feature of a column
        for name in self.names:
            missing = np.flatnonzero(np.isnan(X[:, place]) & rows)
            faults.add(name, missing, lambda row: f"the value is missing: {cure}")
            place += len(self.features_of(name))

    def missing(self, column: pa.Array) -> NDArray[np.bool_]:
        """Return which cells of a column (n,) are missing values."""
        if is_text(column):
            return is_missing(column, self.na_values)
        if is_moment(column.type):
            return to_bool(pc.is_null(column))
        return np.asarray(np.isnan(self.numbers("", column, Faults())))

    def texts(self, column: pa.Array) -> pa.Array:
        """Return the cells of a column as stripped texts (n,), null where they are missing."""
        texts = pc.utf8_trim_whitespace(as_texts(column))
        return pc.if_else(pa.array(self.missing(column)), pa.scalar(None, pa.string()), texts)

    def places(self, written: Sequence[str], where: str = FRAME) -> tuple[list[int], list[str]]:
        """Return where in a table the columns of the features are, and which it does not know.

        ``written`` are the names of the table's columns, stripped. Raises `DataError` where columns
        are missing, or there twice.
        """
        names = numbered(written)
        places = {name: place for place, name in enumerate(names)}
        missing = [name for name in self.names if name not in places]
        if missing:
            near = did_you_mean(missing[0], names) if len(missing) == 1 else ""
            has = name_list(list(map(short, names)))
            text = f"{where} lacks {_columns(missing)}, which the model needs{near}"
            raise DataError(f"{text} (it has: {has})")
        known = {*self.names, *self.ids, *self.dropped, self.target}
        for name, count in Counter(written).items():
            if count > 1 and name in self.names and f"{name}.1" not in known:
                raise DataError(f"{where} has column '{short(name)}' twice: rename or drop one")
        others = [name for name in names if name not in known]
        return [places[name] for name in self.names], others

    def _categories(self, name: str, column: pa.Array, unseen: Unseen) -> NDArray[np.float64]:
        """Return a column (n,) as one-hot features (n, V), nan where it is missing."""
        values = self.categories[name]
        codes: dict[Any, int] = {value: code for code, value in enumerate(values)}
        if not is_text(column):  # 1, 1.0 and "01" are one code, True and "true" another
            for code, value in enumerate(values):
                codes.setdefault(number(value, self.decimal), code)
            codes.pop(None, None)
        unknown, missing = len(values), len(values) + 1
        encoded = self.texts(column).dictionary_encode()
        cells = encoded.dictionary.to_pylist()
        code_of = np.full(len(cells) + 1, missing)  # by distinct cell; the last is that of none
        for place, cell in enumerate(cells):
            if cell not in codes:
                cell = number(cell)
            code_of[place] = codes.get(cell, unknown)
        places = np.asarray(pc.fill_null(encoded.indices, -1))
        of_rows = code_of[places]
        strange = places[of_rows == unknown]
        if len(strange):
            unseen.setdefault(name, Counter()).update(cells[place] for place in strange.tolist())
        features = np.eye(len(values) + 2, len(values))  # an unknown value is 0 in all of them
        features[missing] = np.nan
        return np.asarray(features[of_rows])

    def _dates(self, name: str, column: pa.Array, faults: Faults) -> NDArray[np.datetime64]:
        """Return a column (n,) as timestamps, NaT where they are missing."""
        form = self.dates[name][0]
        if is_moment(column.type):
            moments = pc.cast(column, pa.timestamp("us"), safe=False)
            return np.asarray(moments.to_numpy(zero_copy_only=False))
        texts = as_texts(column)
        moments = parse_dates(texts, form)
        bad = np.flatnonzero(np.isnat(moments) & ~is_missing(texts, self.na_values))

        def problem(row: int) -> str:
            return f"'{short(texts[row].as_py())}' is no date of the form {form}"

        faults.add(name, bad, problem)
        moments[bad] = np.datetime64(0, "us")  # so that it is not reported as missing, too
        return moments


def numbered(names: Iterable[str]) -> list[str]:
    """Return the column names of a table, repeated names numbered as in pandas.

    ``a, a, a`` are ``a``, ``a.1`` and ``a.2``.
    """
    times: Counter[str] = Counter()
    unique = []
    for name in names:
        unique.append(f"{name}.{times[name]}" if times[name] else name)
        times[name] += 1
    return unique


def unseen_sentences(unseen: Unseen) -> list[str]:
    """Return a sentence for each column with categories that did not occur in training."""
    sentences = []
    for name, rows in unseen.items():
        values = []
        for value, count in rows.items():
            noun = "row" if count == 1 else "rows"
            values.append(f"'{short(value)}' ({count} {noun})")
        text = f"column '{name}': {name_list(values)} did not occur in training"
        sentences.append(f"{text}: none of its known values")
    return sentences


def _columns(names: Sequence[str]) -> str:
    quoted = name_list([f"'{short(name)}'" for name in names])
    return f"{len(names)} columns ({quoted})" if len(names) > 1 else f"column {quoted}"
