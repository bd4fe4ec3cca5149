"""Rows of a file as the samples of a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.tables import (
    Columns,
    CsvDialect,
    Faults,
    Unseen,
    is_text,
    numbered,
    open_table,
    short,
)

UNKNOWN = CsvDialect()  # nothing was said of a file
_CELLS = 1 << 20  # of a batch
_MOST_ROWS, _LEAST_ROWS = 1 << 17, 1 << 10
_LISTED = 5  # names in a note


class SampleBatch(NamedTuple):
    """Some rows: the number of the first one, samples X (n, D), and columns to carry along.

    ``ids`` are those that were named to be kept, and those that identify a row; ``annotations``
    what the model's columns have beside the features. Cells at fault are 0 or infinite in X.
    """

    first: int
    X: NDArray[Any]
    ids: dict[str, pa.Array]
    annotations: dict[str, pa.Array]
    faults: Faults


class FileSamples:
    """The rows of a file as a model takes them, a batch at a time.

    Columns are found by name where the model knows names, else taken by place.

    ``ids`` are the places of columns that are carried along, by name, ``notes`` what a reader
    should know of the file, ``unseen`` the categories that did not occur in the training.
    """

    def __init__(
        self,
        path: str,
        model: FittedModel,
        dialect: CsvDialect = UNKNOWN,
        trained: CsvDialect = UNKNOWN,
        keep: Sequence[str] | None = None,
    ) -> None:
        """Open a file; raises `DataError` where it cannot be read or lacks columns.

        ``dialect`` is what was said of a CSV file, ``trained`` how that of the training was
        written. ``keep`` are columns to carry along; None where that is no option of the command.
        """
        columns = model.columns
        known = () if columns is None else columns.names
        mark = dialect.decimal or (columns.decimal if columns else ".")
        thousands = dialect.thousands
        if thousands is None:
            thousands = (columns.thousands if columns else "").replace(mark, "")
        if thousands == mark:
            raise DataError(
                f"{path}: '{mark}' is the decimal mark and cannot stand between thousands, too: "
                "say with --decimal which other one it is"
            )
        written = replace(dialect, decimal=mark, thousands=thousands)
        self.path, self.unseen = path, Unseen()
        with _options():
            self._reader = open_table(path, written, trained=trained, known=known)
        self.notes = [*self._reader.notes]
        names = numbered(self._reader.names)
        by_place = columns is None or self._reader.format == "npy"
        self.ids, self._annotations = self._carried(names, columns, keep or ())
        if by_place or columns is None:
            columns, self._places = self._by_place(names, columns, width_of(model), keep)
        else:
            self._places, strange = columns.places(self._reader.names, path)
            self._note_strange([name for name in strange if name not in self.ids])
        self._columns = replace(columns, decimal=mark, thousands=thousands)
        self.feature_names = self._columns.feature_names

    def batches(self) -> Iterator[SampleBatch]:
        """Yield all rows, in their order."""
        first = 0
        for batch in self._read():
            yield self._samples(batch, first)
            first += batch.num_rows

    def row(self, number: int) -> SampleBatch:
        """Return one row; faults of others do not count."""
        first = 0
        for batch in self._read():
            if number < first + batch.num_rows:
                found = self._samples(batch.slice(number - first, 1), number)
                if found.faults:
                    raise DataError(self.message(found.faults))
                return found
            first += batch.num_rows
        raise DataError(f"{self.path} has {first} rows, from 0: there is no row {number}")

    def message(self, faults: Faults) -> str:
        """Return what is wrong with cells, by lines of the file, with the options that mend it."""
        return _as_options(faults.message(self.path, self.lines(faults.rows())))

    def gaps(self, X: NDArray[Any], cure: str, first: int) -> Faults:
        """Return which values of samples X (n, D) are missing, of rows from ``first`` on."""
        return self._columns.gaps(X, cure).shift(first)

    def lines(self, rows: Sequence[int]) -> dict[int, int]:
        """Return the line of each row, where rows stand on lines that can be counted."""
        return self._reader.lines(rows)

    def _read(self) -> Iterator[pa.RecordBatch]:
        rows = min(_MOST_ROWS, max(_LEAST_ROWS, _CELLS // len(self.feature_names)))
        carried = {*self.ids.values(), *self._annotations.values()}
        used, columns = sorted({*self._places, *carried}), self._columns
        numbers = {
            place
            for name, place in zip(columns.names, self._places, strict=True)
            if not (name in columns.categories or name in columns.dates or columns.unit(name))
        }
        with _options():
            yield from self._reader.batches(used, rows, numbers - carried, columns.na_values)

    def _samples(self, batch: pa.RecordBatch, first: int) -> SampleBatch:
        def named(places: Mapping[str, int]) -> dict[str, pa.Array]:
            return {name: batch.column(str(place)) for name, place in places.items()}

        columns, faults = [batch.column(str(place)) for place in self._places], Faults()
        X = self._columns.features(columns, batch.num_rows, self.unseen, faults)
        ids, annotations = named(self.ids), named(self._annotations)
        for name, column in annotations.items():
            if is_text(column):
                annotations[name] = self._columns.texts(column)
        return SampleBatch(first, X, ids, annotations, faults.shift(first))

    def _carried(
        self, names: Sequence[str], columns: Columns | None, keep: Sequence[str]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Return the places of the columns that are carried along, by their names."""
        if self._reader.format == "npy":
            if keep:
                raise DataError(
                    f"{self.path} has no columns by name: leave out --keep {','.join(keep)}"
                )
            return {}, {}
        for name in keep:
            if name not in names:
                near = did_you_mean(name, names)
                raise DataError(f"{self.path} has no column '{name}' to carry along{near}")
        places = {name: place for place, name in enumerate(names)}
        own = () if columns is None else columns.ids
        beside = () if columns is None else columns.annotations
        ids = [*keep, *(name for name in own if name in places)]
        rest = [name for name in beside if name in places and name not in ids]
        return {name: places[name] for name in ids}, {name: places[name] for name in rest}

    def _by_place(
        self, names: Sequence[str], known: Columns | None, width: int, keep: Sequence[str] | None
    ) -> tuple[Columns, list[int]]:
        places = [place for place in range(len(names)) if place not in self.ids.values()]
        if len(places) != width:
            cure = "leave others out of the file"
            cure += "" if keep is None else ", or carry them along with --keep"
            lacking = width - len(places)
            cure = f"give the {lacking} that it lacks, in their order" if lacking > 0 else cure
            raise DataError(
                f"{self.path} has {len(places)} columns for the model, which was trained on "
                f"{width} without knowing their names: {cure}"
            )
        called = [names[place] for place in places] if known is None else [*known.feature_names]
        if len({*called}) < width:  # a name was taken by one that was numbered
            called = [str(place) for place in places]
        types = [self._reader.types[place] for place in places]
        single = self._reader.format == "npy" and all(one == pa.float32() for one in types)
        return Columns(tuple(called), dtype="float32" if single else "float64"), places

    def _note_strange(self, names: Sequence[str]) -> None:
        if names:
            shown = ", ".join(f"'{short(name)}'" for name in names[:_LISTED])
            self.notes.append(
                f"{self.path}: {len(names)} column(s) that the model does not know are ignored: "
                f"{shown}{', …' if len(names) > _LISTED else ''}"
            )


@contextmanager
def _options() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(_as_options(str(error))) from error


def _as_options(message: str) -> str:
    """Return a message about a table with options of commands in place of keys of a data set."""
    message = re.sub(r"set (thousands|decimal|delimiter):", r"give --\1", message)
    message = message.replace("set encoding to that of the file,", "say which with --encoding,")
    message = message.replace("set encoding to", "give --encoding")
    return message.replace("mark ',': write", "mark ',': give --decimal ., or write")


def width_of(model: FittedModel) -> int:
    """Return how many features a raw sample of a model has."""
    if model.columns is not None:
        return len(model.columns.feature_names)
    first = model.steps[0][1] if model.steps else model.estimator
    return int(getattr(first, "n_features_in_", model.estimator.n_features_in_))
