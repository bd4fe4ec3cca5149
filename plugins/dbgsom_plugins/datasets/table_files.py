"""Tables in CSV, Parquet and Feather files: one sample a row, one column a feature or a role."""

from __future__ import annotations

import codecs
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from dbgsom_core.api import Data, DataError, DatasetComponent, available_memory
from dbgsom_core.errors import callers_level, did_you_mean
from dbgsom_core.tables import (
    ISO_DATES,
    NA_VALUES,
    PARTS,
    CellsError,
    Columns,
    CsvDialect,
    Faults,
    TableReader,
    as_array,
    date_forms,
    is_number,
    is_text,
    is_unit,
    numbered,
    open_table,
    parse_numbers,
    write_table,
)
from dbgsom_core.tables.frames import FRAME, FrameReader
from dbgsom_plugins.datasets._arrays import (
    CURE,
    IMAGE_SHAPE,
    INTEGER,
    MISSING,
    ImageShape,
    Missing,
    as_images,
    numbers_or_text,
    text_array,
)
from dbgsom_plugins.datasets._parquet_rows import parquet_rows

_AS_STORED = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)  # targets
_TARGET_CURE = "drop or fill such samples, or set missing_target: drop, or unlabelled"
_TEXT_CURE = "list the column under categorical, id or drop, or make it the target"
_LOOKED_AT = 1000  # rows by which columns of dates are known
_DATES = 0.9  # share of dates from which on what is none is a fault
_WITHOUT = "is no number: write it without '"
_ROLES = {
    "target": "target", "id": "id", "extra": "extra", "drop": "dropped", "columns": "among columns",
}  # fmt: skip
_SHOWN = 20  # column names that a message lists


# Columns by name or number; where a list is expected, one is a list of one.
Names = Annotated[
    str | int | tuple[str | int, ...],
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
]


@dataclass(frozen=True)
class Roles:
    """The roles of a table's columns, all as positions from 0."""

    names: Sequence[str]  # of every column of the file, numbered where one stands there twice
    features: tuple[int, ...]  # become samples, in the file's order, categorical ones included
    categorical: frozenset[int]
    target: int | None
    ids: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()  # numbers that figures show and the map is not trained on
    units: Mapping[int, str] = field(default_factory=dict)
    annotations: tuple[int, ...] = ()  # dates that are no features, kept beside the samples

    @property
    def used(self) -> tuple[int, ...]:
        target = () if self.target is None else (self.target,)
        return tuple(sorted({*self.features, *target, *self.ids, *self.extra}))


def _position(role: str, column: str | int, names: Sequence[str]) -> int:
    if isinstance(column, int):
        if not -len(names) <= column < len(names):
            raise DataError(
                f"{role} is column {column}, but there are {len(names)} columns, from 0"
            )
        return column % len(names)
    places = [i for i, name in enumerate(names) if name == column.strip()]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(
            f"two columns are called '{column}' ({', '.join(map(str, places))}, from 0): rename "
            f"one, or give the number of the one that is meant by {role}"
        )
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    raise DataError(
        f"{role} column '{column}' does not exist{did_you_mean(column, names)} (columns: {listed})"
    )


class Table(DatasetComponent):
    """Fields of every reader of tables: one sample a row, one column a feature or a role."""

    format: ClassVar[str]

    path: str = Field(min_length=1, description="the file; relative to the working directory")
    target: str | int | None = Field(
        default=None, description="column with classes or values to predict; null: none"
    )
    id: Names = Field(
        default=(),
        description="columns that identify a sample and are no features; kept beside the samples",
    )
    extra: Names = Field(
        default=(),
        description="columns of numbers that figures show beside the features, and no features",
    )
    columns: Names | None = Field(
        default=None, description="columns that become samples; null: all that have no other role"
    )
    drop: Names = Field(default=(), description="columns to leave out")
    categorical: Names = Field(default=(), description="columns that hold categories")
    dates: Literal["drop", "ordinal", "parts"] = Field(
        default="drop",
        description="what becomes of columns of dates: drop keeps them beside the samples alone, "
        "ordinal counts days, parts makes year, month, day, weekday (0 is Monday) and, where there "
        "are times, hour",
    )
    date_format: str | None = Field(
        default=None,
        min_length=2,
        description="how dates are written, as %d.%m.%Y; null: ISO 8601, or with dots or slashes "
        "where one reading alone fits",
    )
    units: Mapping[str, str] | None = Field(
        default=None,
        description="the unit that follows or leads the numbers of a column, by its name: with "
        "{height: cm} the cell 173 cm is 173, and so is 173; null: none",
    )
    na_values: tuple[str, ...] = Field(
        default=NA_VALUES,
        strict=False,
        description="what stands for a missing value, in any column and any case of letters",
    )
    missing: Missing = Field(default="error", description=MISSING)
    missing_target: Literal["error", "drop", "unlabelled"] = Field(
        default="error",
        description="samples without a target: error, drop, or unlabelled to keep them without",
    )
    image_shape: ImageShape = Field(default=None, description=IMAGE_SHAPE)

    @field_validator("units")
    @classmethod
    def _are_units(cls, units: Mapping[str, str] | None) -> Mapping[str, str] | None:
        for column, unit in (units or {}).items():
            if not is_unit(unit):
                raise ValueError(
                    f"'{unit:.40}' is no unit of '{column}': give what follows or leads its "
                    "numbers, as cm, which begins with neither a digit, a sign, a mark nor a blank"
                )
        return units

    def load(self) -> Data:
        """Return the table as samples and, where they are named, its target and ids.

        Raises
        ------
        DataError
            The file is missing, damaged or no table, a column does not exist, or cells cannot be
            used; the sentences name lines of a CSV file or rows, from 0, and columns.
        """
        table = self._open()
        roles = self._roles(table)
        size = sum(file.stat().st_size for file in table.files)
        size = max(size, 8 * (table.num_rows or 0) * len(roles.used))
        if size > available_memory():
            raise DataError(
                f"{self.path} has {size} bytes, more than this machine has memory: choose fewer "
                "columns, give a part of it, or as Parquet take engine: dask, which reads the rows "
                "where they are"
            )
        roles, forms = self._without_dates(roles, self._date_forms(table, roles))
        return _Cells(self, table, roles, forms).data()

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        path = Path(folder) / f"table.{cls.format}"
        columns = {"a": [1, 3, 2, 4], "b": [2.5, 1.5, 0.5, 2], "class": ["x", "y", "x", "y"]}
        write_table(path, [columns])
        return {"path": str(path), "target": "class"}

    def _open(self) -> TableReader:
        return open_table(self.path, format=self.format)

    def _roles(self, table: TableReader) -> Roles:
        """Return the roles of all columns, or raise all that is wrong with them."""
        names, faults = table.names, list[str]()

        def found(role: str, columns: Names | None) -> dict[int, str]:
            given = columns if isinstance(columns, tuple) else () if columns is None else (columns,)
            places = {}
            for column in given:
                try:
                    places[_position(role, column, names)] = role
                except DataError as error:
                    faults.append(str(error))
            return places

        def clash(column: int, one: str, other: str) -> None:
            faults.append(f"column '{names[column]}' is {one} and {other}: choose one")

        goals, left_out = found("target", self.target), found("drop", self.drop)
        identifying, features = found("id", self.id), found("columns", self.columns)
        categories, beside = found("categorical", self.categorical), found("extra", self.extra)
        units: dict[int, str] = {}
        for key, unit in (self.units or {}).items():
            counted = key not in names and key.isdecimal()  # keys are text
            units |= dict.fromkeys(found("units", int(key) if counted else key), unit)
        roles: dict[int, str] = {}
        for part in (goals, identifying, beside, left_out, features):
            for column in part.keys() & roles.keys():
                clash(column, _ROLES[roles[column]], _ROLES[part[column]])
            roles |= part
        for column in categories.keys() & (roles.keys() - features.keys()):
            clash(column, "categorical", _ROLES[roles[column]])
        for column in units.keys() & (identifying.keys() | categories.keys()):
            clash(column, "an id" if column in identifying else "categorical", "has a unit")
        kept = tuple(i for i in range(len(names)) if i not in roles)
        if self.columns is not None:
            kept = tuple(sorted(features))
            for column in categories.keys() - roles.keys():
                faults.append(f"column '{names[column]}' is categorical, but not among columns")
        faults += [
            f"column {i} (from 0) has no name (an index?): name it, or add {i} to drop"
            for i in kept
            if not names[i]
        ]
        used = [*kept, *goals, *identifying, *beside]
        for name, count in Counter(names[i] for i in used).items():
            if count > 1 and not any(f"called '{name}'" in fault for fault in faults):
                places = ", ".join(str(i) for i in used if names[i] == name)
                faults.append(
                    f"two columns are called '{name}' ({places}, from 0): rename one, or add its "
                    "number to drop"
                )
        if not kept and not faults:
            faults.append("no column is left for the samples: drop fewer")
        nested = [i for i in used if pa.types.is_nested(table.types[i])]
        if nested and not faults:
            faults.append(f"column '{names[nested[0]]}' holds lists or records: drop it")
        if faults:
            raise DataError("\n".join(f"{self.path}: {fault}" for fault in faults))
        return Roles(
            numbered(names),
            kept,
            frozenset(categories),
            next(iter(goals), None),
            tuple(identifying),
            tuple(beside),
            {i: unit for i, unit in units.items() if i in {*kept, *goals, *beside}},
        )

    def _date_forms(self, table: TableReader, roles: Roles) -> dict[int, str]:
        """Return the forms of the features that are dates."""
        candidates = [
            i
            for i in roles.features
            if i not in roles.categorical and i not in roles.units and not is_number(table.types[i])
        ]
        forms, problems = {}, []
        plain = self._columns(table, roles)
        head = next(table.batches(candidates, _LOOKED_AT), None) if candidates else None
        for i, column in zip(candidates, () if head is None else head.columns, strict=False):
            if _is_moment(table.types[i]):
                forms[i] = ISO_DATES
                continue
            with suppress(ValueError, TypeError, IndexError):
                if np.isfinite(float(column[0].as_py())):
                    continue  # as most columns are
            cells = plain.texts(column.slice(0, _LOOKED_AT)).drop_null()
            if not len(cells) or not parse_numbers(cells[:1], plain.decimal)[1][0]:
                continue
            found = date_forms(cells.to_pylist(), self.date_format, _DATES)
            if len(found) > 1 and self.dates != "drop":
                problems.append(
                    f"{self.path}: column '{roles.names[i]}' holds dates whose day and month "
                    f"cannot be told apart ('{cells[0]}'): set date_format to "
                    f"{' or '.join(map(repr, found))}"
                )
            elif found:
                forms[i] = found[0]
        if problems:
            raise DataError("\n".join(problems))
        return forms

    def _without_dates(self, roles: Roles, forms: dict[int, str]) -> tuple[Roles, dict[int, str]]:
        """Return the roles without columns of dates among the features where these are dropped."""
        if self.dates != "drop" or not forms:
            return roles, forms
        if "dates" not in self.model_fields_set:
            named = ", ".join(f"'{roles.names[i]}' ({form})" for i, form in forms.items())
            self._warn(
                f"columns of dates are left out: {named}; set dates: ordinal, or parts, to take "
                "them in, or drop to leave them out without a word"
            )
        features = tuple(i for i in roles.features if i not in forms)
        if not features:
            raise DataError(
                f"{self.path}: no column but dates is left for the samples: set dates: ordinal"
            )
        return replace(roles, features=features, annotations=tuple(forms)), {}

    def _columns(self, table: TableReader, roles: Roles) -> Columns:
        """Return what a model is to know of the columns, all features being numbers."""
        names, dialect = roles.names, table.dialect or CsvDialect()
        kinds = {table.types[i] for i in roles.features}
        return Columns(
            names=tuple(names[i] for i in roles.features),
            target=None if roles.target is None else names[roles.target],
            ids=tuple(names[i] for i in roles.ids),
            dropped=tuple(name for i, name in enumerate(names) if i not in roles.used)
            + tuple(names[i] for i in roles.extra),
            na_values=self.na_values,
            decimal=dialect.decimal or ".",
            thousands=dialect.thousands or "",
            units={names[i]: unit for i, unit in roles.units.items()} or None,
            dtype="float32" if kinds == {pa.float32()} else "float64",
            annotations=tuple(names[i] for i in roles.annotations),
        )

    def _warn(self, sentence: str) -> None:
        warnings.warn(f"{self.path}: {sentence}", stacklevel=callers_level())


class _Cells:
    """The cells of a table by their roles, and what is wrong with them.

    ``values`` are those of used columns by their places: of features that are numbers, and of extra
    columns, arrays of numbers; all others of pyarrow.
    """

    def __init__(
        self, fields: Table, table: TableReader, roles: Roles, forms: Mapping[int, str]
    ) -> None:
        self.fields, self.table, self.roles, self.forms = fields, table, roles, forms
        self.plain, self.faults, self.n = fields._columns(table, roles), Faults(), 0
        numbers = {*roles.features, *roles.extra} - {*roles.categorical, *forms}
        numbers |= {i for i in roles.units if i == roles.target}
        read = sorted({*roles.used, *roles.annotations})
        self.values: dict[int, Any] = {i: [] for i in read}
        for batch in table.batches(read):
            found = Faults()
            for i, column in zip(read, batch.columns, strict=True):
                cells: Any = as_array(column)
                if i in numbers:
                    cells = self.plain.numbers(roles.names[i], cells, found, hint=_cure)
                self.values[i].append(cells)
            self.faults.merge(found.shift(self.n))
            self.n += batch.num_rows
        for i in read if self.n else ():
            join = np.concatenate if i in numbers else pa.chunked_array
            self.values[i] = join(self.values[i])

    def data(self) -> Data:
        """Return the whole table."""
        fields, roles, names, faults = self.fields, self.roles, self.roles.names, self.faults
        if not self.n:
            cure = "a header and no line below it" if self.table.format == "csv" else "no rows"
            raise DataError(f"{fields.path} has {cure}: give a file with data")
        empty = np.full(self.n, fields.missing == "keep")  # rows in which no feature has a value
        for i in roles.features:
            if empty.any():
                empty &= self.plain.missing(self.values[i])
        empty &= not empty.all()
        kept, y = ~empty, None
        if roles.target is not None:
            y, has_target = self.target(kept)
            kept &= has_target
        categories, parts = {}, {}
        for i in roles.features:
            if i in roles.categorical:
                cells = self.plain.texts(self.values[i]).filter(pa.array(kept)).unique().drop_null()
                if not len(cells) and fields.missing == "keep":
                    faults.add(
                        names[i], np.arange(1), lambda row: "no row has a value: add it to drop"
                    )
                categories[names[i]] = tuple(sorted(cells.to_pylist())) or ("",)
            elif i in self.forms:
                form = self.forms[i]
                days = Columns(("t",), dates={"t": (form, "ordinal")}, na_values=fields.na_values)
                found = days.features([self.values[i]], self.n, {}, Faults())
                chosen = PARTS if (found[~np.isnan(found)] % 1).any() else PARTS[:-1]
                parts[names[i]] = (form, *(chosen if fields.dates == "parts" else ("ordinal",)))
        beside = self.beside(kept)
        columns = replace(self.plain, categories=categories, dates=parts)
        features = (self.values.pop(i) for i in roles.features)
        X = columns.features(features, self.n, {}, faults, hint=_cure)
        if fields.missing == "error":
            faults.merge(columns.gaps(X, CURE, kept))
        if faults:
            raise CellsError(fields.path, faults, self.table.lines(faults.rows()))
        if empty.any():
            first = int(np.flatnonzero(empty)[0])
            line = self.table.lines([first]).get(first)
            place = f"row {first}" if line is None else f"line {line}"
            fields._warn(
                f"{empty.sum()} of {self.n} rows have no value in any feature and are left out, "
                f"{place} first"
            )
        if not kept.all():
            X = X[kept]
        data = Data(X, y, columns.feature_names, columns=columns, **beside)
        return as_images(data, fields.image_shape, fields.path)

    def beside(self, kept: NDArray[np.bool_]) -> dict[str, Any]:
        """Return ids, annotations and variables of the rows that stay, as fields of `Data`."""
        roles, values = self.roles, self.values
        written = replace(self.plain, na_values=())  # NA may be an id

        def texts(of: Columns, places: Sequence[int]) -> dict[str, NDArray[np.str_]]:
            return {roles.names[i]: text_array(of.texts(values.pop(i)))[kept] for i in places}

        extra = tuple(roles.names[i] for i in roles.extra)
        as_numbers = replace(self.plain, names=extra, categories={}, dates={}, dtype="float64")
        cells = (values.pop(i) for i in roles.extra)
        numbers = as_numbers.features(cells, len(kept), {}, self.faults)
        return {
            "ids": texts(written, roles.ids) or None,
            "annotations": texts(self.plain, roles.annotations),
            "variables": dict(zip(extra, numbers[kept].T, strict=True)),
        }

    def target(self, kept: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the targets of rows that stay, and which rows (n,) these are."""
        plain, fields, name = self.plain, self.fields, self.plain.target or ""
        column = self.values.pop(self.roles.target or 0)
        missing = plain.missing(column)
        has_target = np.ones(len(missing), dtype=bool)
        if fields.missing_target == "error":
            rows = np.flatnonzero(missing & kept)
            message = f"the value is missing: {_TARGET_CURE}"
            self.faults.add(name, rows, lambda row: message, "missing")
        elif fields.missing_target == "drop" and (missing & kept).any():
            fields._warn(
                f"{(missing & kept).sum()} of {kept.sum()} samples have no target and are left out"
            )
            has_target = ~missing
            if not (has_target & kept).any():
                raise DataError(f"{fields.path}: no sample has a target")
        chosen = kept & has_target
        known = chosen & ~missing
        if isinstance(column, np.ndarray):
            y = column[known]
            if (y % 1 == 0).all() and (abs(y) < 2**53).all():
                y = y.astype(np.int64)
        elif any(test(column.type) for test in _AS_STORED):
            y = column.filter(pa.array(known)).to_numpy()
        elif self.table.format != "csv" and is_text(column):  # "1" is no number there
            y = text_array(column.filter(pa.array(known)))
        else:
            texts = plain.texts(column).filter(pa.array(known))
            y = numbers_or_text(texts, plain.decimal, plain.thousands)
        if y.dtype.kind == "f":
            rows = np.flatnonzero(known)[np.isinf(y)]
            message = "the target is infinite: drop such samples"
            self.faults.add(name, rows, lambda row: message)
        if known.sum() < chosen.sum():
            whole: NDArray[Any] = np.full(len(missing), np.nan if y.dtype.kind == "f" else None)
            whole[known] = y.tolist()
            y = whole[chosen]
        return y, has_target


def _cure(name: str, problem: str) -> str:
    """Return what may be done about a cell that is no number, as the end of a sentence."""
    if problem.endswith("is no number"):
        return f": {_TEXT_CURE}"
    if _WITHOUT in problem:
        unit = problem.rpartition(_WITHOUT)[2]
        return f", or set units: {{{name}: '{unit}}}, or {_TEXT_CURE}"
    return ""


class Csv(Table):
    """A table in a CSV file: one sample a line, one feature a column.

    Columns hold numbers, dates, or categories that become one column of 0 and 1 for each value, and
    are given by name or by number, counted from 0 (-1 is the last). The target may hold text or
    numbers; numbers with leading zeros stay text. True and false count as 1 and 0. A file that
    gzip, bzip2, xz or zstd has packed is unpacked.
    """

    format: ClassVar[str] = "csv"

    delimiter: str = Field(
        default=",",
        pattern=r"^[\t !#-~]$",
        description="the character between two fields; a first line sep=; that parts the header "
        "comes first",
    )
    decimal: Literal[".", ","] = Field(default=".", description="the decimal mark of numbers")
    thousands: Literal[".", ",", "'", " "] | None = Field(
        default=None, description="what stands between thousands in numbers; null: nothing"
    )
    encoding: str = Field(default="utf-8", min_length=1, description="how letters are written")
    header: bool = Field(default=True, description="whether the first line names the columns")

    @field_validator("encoding")
    @classmethod
    def _is_of_text(cls, encoding: str) -> str:
        try:
            known = codecs.lookup(encoding)
            "a".encode(encoding)
        except (LookupError, ValueError):
            raise ValueError(
                f"'{encoding:.40}' is no known encoding of text: such are utf-8, cp1252 (which "
                "Windows calls ANSI), latin-1 and utf-16"
            ) from None
        return encoding if known.name != "utf-8" else "utf-8"

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.thousands == self.decimal:
            other = "." if self.decimal == "," else ","
            raise ValueError(
                f"thousands and decimal are both '{self.decimal}', so that no number could be "
                f"read: set decimal: '{other}', or leave thousands out"
            )
        return self

    def _open(self) -> TableReader:
        thousands = self.thousands or ""
        dialect = CsvDialect(self.delimiter, self.encoding, self.decimal, thousands, self.header)
        table = open_table(self.path, dialect, guess=False, format="csv")
        _, bad = parse_numbers(pa.array(table.names), self.decimal, words=())
        found = [name for name, no in zip(table.names, bad, strict=True) if not no]
        if self.header and 2 * len(found) > len(bad) and not all(map(INTEGER.fullmatch, found)):
            raise DataError(
                f"{self.path}, line 1 holds numbers instead of column names: "
                "add a header line or set header: false"
            )
        return table


class Parquet(Table):
    """A table in a Parquet file: one sample a row, one feature a column.

    Columns hold numbers, dates, or categories that become one column of 0 and 1 for each value, and
    are given by name or by number, counted from 0 (-1 is the last). float32 stays float32 where all
    features are, and classes are of the type that the target has. With the engine dask, where all
    features are numbers, they stay in the file. The path may be a folder: its files, part.2 before
    part.10, are one table.
    """

    format: ClassVar[str] = "parquet"
    _table: pa.Table | None = PrivateAttr(default=None)

    def with_table(self, table: pa.Table) -> Self:
        """Return a data set of a table in memory, as `table_of_frame` makes it of a data frame."""
        copied = self.model_copy(update={"path": FRAME})
        copied._table = table
        return copied

    def _open(self) -> TableReader:
        return super()._open() if self._table is None else FrameReader.open(self._table)

    def opened(self) -> Data | None:
        """Return the table with its features where they are; None where some are no quantities.

        Target, ids and extra columns are read. Raises as `load`.
        """
        if self._table is not None or self.missing == "keep":
            return None
        if Columns((), na_values=self.na_values).codes:
            return None
        table = self._open()
        roles = self._roles(table)
        dates = {i: ISO_DATES for i in roles.features if _is_moment(table.types[i])}
        coded = roles.categorical.intersection(roles.features)
        if coded or (dates and self.dates != "drop"):
            return None
        roles, _ = self._without_dates(roles, dates)
        fits = (is_number(table.types[i]) for i in roles.features)
        twice = (table.names.count(table.names[i]) > 1 for i in roles.features)
        if not all(fits) or any(twice) or not table.num_rows:
            return None
        columns = self._columns(table, roles)
        X = parquet_rows([*map(str, table.files)], roles.features, columns.dtype)
        cells, y = _Cells(self, table, replace(roles, features=()), {}), None
        kept = np.ones(X.shape[0], dtype=bool)
        if cells.n not in (0, X.shape[0]):
            raise DataError(f"{self.path} has columns of unequal length: write it again")
        if roles.target is not None:
            missing = cells.plain.missing(cells.values[roles.target])
            if self.missing_target == "drop" and missing.any():
                return None
            y, _ = cells.target(kept)
        beside = cells.beside(kept)
        if cells.faults:
            raise CellsError(self.path, cells.faults)
        data = Data(X, y, columns.feature_names, columns=columns, **beside)
        return as_images(data, self.image_shape, self.path)


class Feather(Table):
    """A table in a Feather or Arrow file: one sample a row, one feature a column.

    Its columns are read as those of Parquet files are; a folder of files is one table.
    """

    format: ClassVar[str] = "feather"


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))
