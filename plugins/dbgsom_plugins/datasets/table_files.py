"""Tables in CSV, Parquet and Feather files: one sample a row, one column a feature or a role."""

from __future__ import annotations

import codecs
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    FRAME,
    ISO_DATES,
    NA_VALUES,
    PARTS,
    Columns,
    CsvDialect,
    Faults,
    FrameReader,
    TableReader,
    date_forms,
    is_moment,
    is_number,
    is_text,
    is_unit,
    numbered,
    open_table,
    parse_numbers,
    write_table,
)
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

_TARGET_CURE = "drop or fill such samples, or set missing_target: drop, or unlabelled"
_HINT = ": list the column under categorical, id, texts or drop, or make it the target"
_HEAD = 1000  # rows by which columns of dates are known: reading all as dates takes long
_DATES = 0.9  # share of dates from which on what is none is a fault
_LISTED = 20  # column names in a message: about three lines


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# Columns by name or number; where a list is expected, one is a list of one.
Names = Annotated[str | int | tuple[str | int, ...], BeforeValidator(_as_tuple)]


@dataclass(frozen=True)
class Roles:
    """The roles of a table's columns, all as positions from 0."""

    names: Sequence[str]  # of every column of the file, numbered where one stands there twice
    features: Sequence[int]  # become samples, in the file's order, categorical ones included
    categorical: Collection[int]
    target: int | None
    ids: Sequence[int] = ()
    extra: Sequence[int] = ()  # numbers that figures show and the map is not trained on
    units: Mapping[int, str] = field(default_factory=dict)
    annotations: Sequence[int] = ()  # dates that are no features, kept beside the samples
    texts: Sequence[int] = ()

    @property
    def others(self) -> list[int]:
        """All but the features that are read."""
        others = [*self.ids, *self.extra, *self.annotations, *self.texts]
        if self.target is None:
            return others
        return [self.target, *others]


def _position(role: str, column: str | int, names: Sequence[str]) -> int:
    """Return the place of a column that is given by its name or number."""
    if isinstance(column, int):
        if not -len(names) <= column < len(names):
            raise DataError(
                f"{role} is column {column}, but there are {len(names)} columns, from 0"
            )
        return column % len(names)
    if column.strip() in names:
        return names.index(column.strip())
    listed = ", ".join(names[:_LISTED])
    if len(names) > _LISTED:
        listed += ", …"
    hint = did_you_mean(column, names)
    raise DataError(f"{role} column '{column}' does not exist{hint} (columns: {listed})")


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
    texts: Names = Field(
        default=(),
        description="columns of free text: no features, but kept beside the samples, shown and "
        "searched in the explorer, and their words describe clusters",
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
        used = [*roles.features, *roles.others]
        size = sum(file.stat().st_size for file in table.files)
        size = max(size, 8 * (table.num_rows or 0) * len(used))
        if size > available_memory():
            raise DataError(
                f"{self.path} has {size} bytes, more than this machine has memory: choose fewer "
                "columns, give a part of it, or as Parquet take engine: dask, which reads the rows "
                "where they are"
            )
        cells = _read_columns(table, used)
        roles, forms = self._without_dates(roles, self._date_forms(table, roles, cells))
        return self._data(table, roles, forms, cells)

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

        def places(role: str, columns: Names | None) -> list[int]:
            # Of columns that exist; the others are faults.
            if columns is None:
                return []
            positions = []
            for column in columns if isinstance(columns, tuple) else [columns]:
                try:
                    positions.append(_position(role, column, names))
                except DataError as error:
                    faults.append(str(error))
            return positions

        roles: dict[int, str] = {}
        of_role: dict[str, list[int]] = {}
        for role in ("target", "id", "extra", "texts", "drop", "columns"):
            of_role[role] = places(role, getattr(self, role))
            for place in of_role[role]:
                other = roles.setdefault(place, role)
                if other != role:
                    faults.append(f"column '{names[place]}' is {other} and {role}: choose one")
        features = [place for place in range(len(names)) if place not in roles]
        if self.columns is not None:
            features = sorted(place for place in roles if roles[place] == "columns")
        categorical = places("categorical", self.categorical)
        for place in categorical:
            if place not in features:
                role = roles.get(place, "not among columns")
                faults.append(f"column '{names[place]}' is categorical and {role}: choose one")
        units = {}
        for key, unit in (self.units or {}).items():
            is_number = key not in names and key.isdecimal()  # keys are text
            for place in places("units", int(key) if is_number else key):
                units[place] = unit
                role = "categorical" if place in categorical else roles.get(place, "")
                if role in ("categorical", "id", "texts"):
                    faults.append(f"column '{names[place]}' is {role} and has a unit: choose one")
        read = [place for place, role in roles.items() if role not in ("drop", "columns")]
        faults += _faults_of_columns(table, [*features, *read])
        if not features:
            faults.append("no column is left for the samples: drop fewer")
        if faults:
            raise DataError("\n".join(f"{self.path}: {fault}" for fault in faults))
        target = next(iter(of_role["target"]), None)
        ids, extra, texts = ([*dict.fromkeys(of_role[role])] for role in ("id", "extra", "texts"))
        named = numbered(names)
        return Roles(named, features, categorical, target, ids, extra, units, texts=texts)

    def _date_forms(
        self, table: TableReader, roles: Roles, cells: Mapping[int, pa.Array]
    ) -> dict[int, str]:
        """Return the forms of the features that are dates."""
        forms, problems = {}, []
        plain = self._columns(table, roles)
        for place in roles.features:
            column = cells[place]
            if place in roles.categorical or place in roles.units:
                continue
            if is_moment(column.type):
                forms[place] = ISO_DATES
            if not is_text(column):
                continue
            head = plain.texts(column.slice(0, _HEAD)).drop_null()
            if not len(head):
                continue
            _, is_bad = parse_numbers(head[:1], plain.decimal, plain.thousands)
            if not is_bad[0]:  # as most columns are
                continue
            candidates = date_forms(head.to_pylist(), self.date_format, _DATES)
            if len(candidates) > 1 and self.dates != "drop":
                listed = " or ".join(map(repr, candidates))
                problems.append(
                    f"{self.path}: column '{roles.names[place]}' holds dates whose day and month "
                    f"cannot be told apart ('{head[0]}'): set date_format to {listed}"
                )
            elif candidates:
                forms[place] = candidates[0]
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
        features = [place for place in roles.features if place not in forms]
        if not features:
            raise DataError(
                f"{self.path}: no column but dates is left for the samples: set dates: ordinal"
            )
        return replace(roles, features=features, annotations=tuple(forms)), {}

    def _columns(self, table: TableReader, roles: Roles) -> Columns:
        """Return what a model is to know of the columns, all features being numbers."""
        names, dialect = roles.names, table.dialect or CsvDialect()
        types = {table.types[place] for place in roles.features}
        with_role = {*roles.features, *roles.ids, roles.target}

        def names_at(places: Iterable[int]) -> tuple[str, ...]:
            return tuple(names[place] for place in places)

        return Columns(
            names=names_at(roles.features),
            target=None if roles.target is None else names[roles.target],
            ids=names_at(roles.ids),
            dropped=names_at(place for place in range(len(names)) if place not in with_role),
            na_values=self.na_values,
            decimal=dialect.decimal or ".",
            thousands=dialect.thousands or "",
            units=dict(zip(names_at(roles.units), roles.units.values(), strict=True)) or None,
            dtype="float32" if types == {pa.float32()} else "float64",
            annotations=names_at([*roles.annotations, *roles.texts]),
        )

    def _data(
        self,
        table: TableReader,
        roles: Roles,
        forms: Mapping[int, str],
        cells: dict[int, pa.Array],
    ) -> Data:
        """Return the whole table."""
        plain, faults = self._columns(table, roles), Faults()
        n = len(next(iter(cells.values())))
        has_target = np.ones(n, dtype=bool)
        if roles.target is not None and self.missing_target == "drop":
            has_target = ~plain.missing(cells[roles.target])
        categories, dates = {}, {}
        for place in roles.features:
            name = roles.names[place]
            if place in roles.categorical:
                texts = plain.texts(cells[place]).filter(pa.array(has_target))
                values = texts.unique().drop_null().to_pylist()
                categories[name] = tuple(sorted(values)) or ("",)
            elif place in forms:
                dates[name] = (forms[place], "ordinal")
                if self.dates == "parts":
                    column = replace(plain, names=(name,), dates=dates)
                    days = column.features([cells[place]], {}, Faults())
                    has_times = (days[~np.isnan(days)] % 1).any()
                    dates[name] = (forms[place], *(PARTS if has_times else PARTS[:-1]))
        columns = replace(plain, categories=categories, dates=dates)
        X = columns.features([cells.pop(i) for i in roles.features], {}, faults, _HINT)
        is_empty = np.isnan(X).all(axis=1)
        if self.missing == "error" or is_empty.all():
            is_empty[:] = False
        is_used = ~is_empty
        others = self._other_columns(plain, roles, cells, is_used, faults)
        if self.missing == "error":
            columns.gaps(X, faults, CURE, is_used)
        faults.check(table)
        if is_empty.any():
            self._warn(
                f"{is_empty.sum()} of {n} rows have no value in any feature and are left out, "
                f"row {is_empty.argmax()} first"
            )
        if not is_used.all():
            X = X[is_used]
        data = Data(X, feature_names=columns.feature_names, columns=columns, **others)
        return as_images(data, self.image_shape, self.path)

    def _other_columns(
        self,
        plain: Columns,
        roles: Roles,
        cells: Mapping[int, pa.Array],
        is_used: NDArray[np.bool_],
        faults: Faults,
    ) -> dict[str, Any]:
        """Return target, ids, annotations, texts and variables of the rows that stay, for `Data`.

        ``is_used`` (n,) becomes false where a row has no target and is dropped for that.
        """
        y = None
        if roles.target is not None:
            y = self._target(plain, cells[roles.target], is_used, faults)
        written = replace(plain, na_values=())  # NA may be an id
        ids, annotations, variables = {}, {}, {}
        for place in roles.ids:
            ids[roles.names[place]] = text_array(written.texts(cells[place]))[is_used]
        for place in roles.annotations:
            annotations[roles.names[place]] = text_array(plain.texts(cells[place]))[is_used]
        for place in roles.texts:  # objects: one long text would make all of an array as long
            texts = plain.texts(cells[place]).fill_null("").to_numpy(zero_copy_only=False)
            annotations[roles.names[place]] = texts[is_used]
        for place in roles.extra:
            name = roles.names[place]
            numbers = plain.numbers(name, cells[place], faults)
            variables[name] = numbers.astype(np.float64)[is_used]
        return {
            "y": y,
            "ids": ids or None,
            "annotations": annotations,
            "texts": tuple(roles.names[place] for place in roles.texts),
            "variables": variables,
        }

    def _target(
        self, plain: Columns, column: pa.Array, is_used: NDArray[np.bool_], faults: Faults
    ) -> NDArray[Any]:
        """Return the targets of the rows that stay; see `_other_columns`."""
        name, is_missing = plain.target or "", plain.missing(column) & is_used
        if self.missing_target == "error":
            rows = np.flatnonzero(is_missing)
            faults.add(name, rows, lambda row: f"the value is missing: {_TARGET_CURE}")
        elif self.missing_target == "drop" and is_missing.any():
            count = f"{is_missing.sum()} of {is_used.sum()}"
            is_used &= ~is_missing
            if not is_used.any():
                raise DataError(f"{self.path}: no sample has a target")
            self._warn(f"{count} samples have no target and are left out")
        is_known = is_used & ~is_missing
        cells = column.filter(pa.array(is_known))
        if name in (plain.units or {}):
            y: NDArray[Any] = plain.numbers(name, column, faults)[is_known]
            if (y % 1 == 0).all() and (abs(y) < 2**53).all():
                y = y.astype(np.int64)
        elif is_number(column.type):
            y = cells.to_numpy(zero_copy_only=False)
        elif self.format != "csv" and is_text(column):  # "1" is no number there
            y = text_array(cells)
        else:
            y = numbers_or_text(plain.texts(cells), plain.decimal, plain.thousands)
        if y.dtype.kind == "f":
            rows = np.flatnonzero(is_known)[np.isinf(y)]
            faults.add(name, rows, lambda row: "the target is infinite: drop such samples")
        if is_known.sum() == is_used.sum():
            return y
        none = np.nan if y.dtype.kind == "f" else None
        targets: NDArray[Any] = np.full(len(is_used), none)
        targets[is_known] = y.tolist()
        return targets[is_used]

    def _warn(self, sentence: str) -> None:
        warnings.warn(f"{self.path}: {sentence}", stacklevel=callers_level())


def _faults_of_columns(table: TableReader, places: Sequence[int]) -> list[str]:
    """Return what is wrong with the columns that are read, whatever their roles."""
    names, faults = table.names, []
    for place in places:
        if not names[place]:
            faults.append(f"column {place} (from 0) has no name: name it, or drop {place}")
        elif pa.types.is_nested(table.types[place]):
            faults.append(f"column '{names[place]}' holds lists or records: drop it")
    for name, count in Counter(names[place] for place in places).items():
        if count > 1 and name:
            twice = ", ".join(str(place) for place in places if names[place] == name)
            faults.append(f"two columns are called '{name}': rename one, or drop {twice}")
    return faults


def _read_columns(table: TableReader, places: Sequence[int]) -> dict[int, pa.Array]:
    """Return columns of a table by their places, in memory."""
    batches = [*table.batches(places)]
    if not batches:
        raise DataError(f"{table.path} has no rows: give a file with data")
    whole = pa.Table.from_batches(batches)
    return {place: whole.column(str(place)).combine_chunks() for place in places}


class Csv(Table):
    """A table in a CSV file: one sample a line, one feature a column.

    Columns hold numbers, dates, or categories that become one column of 0 and 1 for each value, and
    are given by name or by number, counted from 0 (-1 is the last). The target may hold text or
    numbers; numbers with leading zeros stay text. True and false count as 1 and 0. A file that
    gzip, bzip2, xz or zstd has packed is unpacked.
    """

    format = "csv"

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
        _, is_bad = parse_numbers(pa.array(table.names), self.decimal, words=())
        numbers = np.array(table.names)[~is_bad]
        is_years = all(map(INTEGER.fullmatch, numbers))  # or other whole numbers, as names
        if self.header and 2 * len(numbers) > len(is_bad) and not is_years:
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

    format = "parquet"
    _table: pa.Table | None = PrivateAttr(default=None)

    def with_table(self, table: pa.Table) -> Self:
        """Return a data set of a table in memory, as `table_of_frame` makes it of a data frame."""
        copied = self.model_copy(update={"path": FRAME})
        copied._table = table
        return copied

    def _open(self) -> TableReader:
        if self._table is None:
            return super()._open()
        return FrameReader.open(self._table)

    def opened(self) -> Data | None:
        """Return the table with its features where they are; None where some are no quantities.

        Target, ids and extra columns are read. Raises as `load`.
        """
        if self._table is not None or self.missing == "keep":
            return None
        table = self._open()
        roles = self._roles(table)
        dates = {place: ISO_DATES for place in roles.features if is_moment(table.types[place])}
        if self.dates == "drop":
            roles, _ = self._without_dates(roles, dates)
        columns = self._columns(table, roles)
        are_numbers = all(is_number(table.types[place]) for place in roles.features)
        if not are_numbers or columns.codes or {*roles.categorical} & {*roles.features}:
            return None
        if not table.num_rows:
            raise DataError(f"{self.path} has no rows: give a file with data")
        cells, faults = {}, Faults()
        if roles.others:
            cells = _read_columns(table, roles.others)
        if roles.target is not None and self.missing_target == "drop":
            gaps = columns.missing(cells[roles.target])
            if gaps.any():
                return None
        is_used = np.ones(table.num_rows, dtype=bool)
        others = self._other_columns(columns, roles, cells, is_used, faults)
        faults.check(table)
        X = parquet_rows([*map(str, table.files)], roles.features, columns.dtype)
        data = Data(X, feature_names=columns.feature_names, columns=columns, **others)
        return as_images(data, self.image_shape, self.path)


class Feather(Table):
    """A table in a Feather or Arrow file: one sample a row, one feature a column.

    Its columns are read as those of Parquet files are; a folder of files is one table.
    """

    format = "feather"
