"""What the readers of tables share: the roles of columns, and how their cells become samples."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dbgsom_core.api import (
    NA_VALUES,
    Columns,
    Component,
    Data,
    DataError,
    callers_level,
    date_forms,
    is_unit,
    numbered,
    told_faults,
)
from dbgsom_core.api import number as number_of
from dbgsom_plugins.datasets._arrays import CURE, MISSING, Missing
from dbgsom_plugins.datasets._images import IMAGE_SHAPE, ImageShape, as_images
from dbgsom_plugins.datasets._roles import Names, Roles, choose_roles

if TYPE_CHECKING:
    import pandas as pd

MISSING_TARGET = "drop or fill such samples, or set missing_target: drop, or unlabelled"
_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_WITHOUT = "is no number: write it without '"
_PARTS = ("year", "month", "day", "weekday", "hour")


class Table(Component):
    """Fields of every reader of tables: one sample a row, one column a feature or a role."""

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
        default=None,
        description="columns that become samples; null: all that have no other role",
    )
    drop: Names = Field(default=(), description="columns to leave out")
    categorical: Names = Field(default=(), description="columns that hold categories")
    dates: Literal["drop", "ordinal", "parts"] = Field(
        default="drop",
        description="what becomes of columns of dates: drop leaves them out, ordinal counts days, "
        "parts makes year, month, day, weekday (0 is Monday) and, where there are times, hour",
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

    def roles(self, names: Sequence[str]) -> Roles:
        """Return the roles of the columns of a file; raises `DataError`."""
        return choose_roles(
            self.path,
            names,
            self.target,
            self.id,
            self.columns,
            self.drop,
            self.categorical,
            self.extra,
            self.units,
        )

    def without_dates(self, roles: Roles, forms: Mapping[int, str]) -> Roles:
        """Return the roles without columns of dates where these are dropped, which is told."""
        if self.dates != "drop" or not forms:
            return roles
        if "dates" not in self.model_fields_set:
            named = ", ".join(f"'{roles.names[i]}' ({form})" for i, form in forms.items())
            warnings.warn(
                f"{self.path}: columns of dates are left out: {named}; set dates: ordinal, or "
                "parts, to take them in, or drop to leave them out without a word",
                stacklevel=callers_level(),
            )
        features = tuple(i for i in roles.features if i not in forms)
        if not features:
            raise DataError(
                f"{self.path}: no column but dates is left for the samples: set dates: ordinal"
            )
        return replace(roles, features=features)

    def date_form(self, name: str, cells: Sequence[str]) -> str | None:
        """Return the form in which some cells are dates, or None; raises where two forms fit."""
        forms = date_forms(cells, self.date_format)
        if len(forms) > 1 and self.dates != "drop":
            raise DataError(
                f"column '{name}' holds dates whose day and month cannot be told apart "
                f"('{cells[0]}'): set date_format to {' or '.join(map(repr, forms))}"
            )
        return forms[0] if forms else None

    def data_of(
        self,
        frame: pd.DataFrame,
        roles: Roles,
        forms: Mapping[int, str],
        decimal: str = ".",
        place: Callable[[int], str] = "row {}".format,
        thousands: str = "",
    ) -> Data:
        """Return the samples that the rows of a table are.

        Parameters
        ----------
        frame : DataFrame
            Its columns are called by their positions in ``roles.names``.
        roles : Roles
        forms : mapping of int to str
            Forms of the columns of dates among the features.
        decimal, thousands : str
        place : callable
            What messages call a row, from 0.

        Raises
        ------
        DataError
            Cells cannot be used; the sentences name rows, from 0, and columns.
        """
        names = numbered(roles.names)  # of those that stand there again
        known = self.columns_of(roles)
        plain = replace(known, names=(), decimal=decimal, thousands=thousands)
        y = None
        if self.missing == "keep":
            frame = self._with_values(frame, roles, plain, place)
        if roles.target is not None:
            y, missing = self._target(frame[roles.target], names[roles.target], plain)
            if missing.any() and self.missing_target == "drop":
                kept = np.flatnonzero(~missing)
                warnings.warn(
                    f"{self.path}: {missing.sum()} of {len(missing)} samples have no target and "
                    "are left out",
                    stacklevel=callers_level(),
                )
                if not len(kept):
                    raise DataError(f"{self.path}: no sample has a target")
                frame, y = frame.iloc[kept], np.array(y[kept].tolist())
        columns = replace(
            plain,
            names=known.names,
            categories={
                names[i]: self._categories(frame[i], names[i], plain)
                for i in roles.features
                if i in roles.categorical
            },
            dates={
                names[i]: (form, *self._date_parts(frame[i], form, plain))
                for i, form in forms.items()
            },
            dtype=_dtype(frame.dtypes.loc[list(roles.features)].tolist()),
        )
        chosen = frame if [*frame.columns] == [*roles.features] else frame[list(roles.features)]
        X = columns.samples(chosen.set_axis(columns.names, axis=1))
        if self.missing == "error":
            columns.check_complete(X, self.path, CURE)
        return self._with_beside(Data(X, y, columns.feature_names, columns=columns), frame, roles)

    def columns_of(self, roles: Roles) -> Columns:
        """Return what a model is to know of the columns, all features being numbers."""
        names = numbered(roles.names)
        return Columns(
            names=tuple(names[i] for i in roles.features),
            target=None if roles.target is None else names[roles.target],
            ids=tuple(names[i] for i in roles.ids),
            dropped=tuple(names[i] for i in (*roles.dropped, *roles.extra)),
            na_values=self.na_values,
            units={names[i]: unit for i, unit in roles.units.items()} or None,
        )

    def data_around(
        self, X: Any, columns: Columns, frame: pd.DataFrame, roles: Roles
    ) -> Data | None:
        """Return samples (n, D) that lie elsewhere with what a frame holds of other columns.

        None where rows are to be left out. It raises as `data_of`.
        """
        y = None
        if roles.target is not None:
            y, missing = self._target(frame[roles.target], columns.target or "", columns)
            if missing.any() and self.missing_target == "drop":
                return None
        return self._with_beside(Data(X, y, columns.feature_names, columns=columns), frame, roles)

    def _with_beside(self, data: Data, frame: pd.DataFrame, roles: Roles) -> Data:
        columns, names = data.columns, numbered(roles.names)
        assert columns is not None
        beside = tuple(names[i] for i in roles.extra)
        plain = replace(columns, names=beside, categories={}, dates={}, dtype="float64")
        values = plain.samples(frame[list(roles.extra)].set_axis(plain.names, axis=1))
        ids = {names[i]: plain.texts(frame[i])[0].astype(np.str_) for i in roles.ids}
        variables = dict(zip(plain.names, values.T, strict=True))
        data = replace(data, ids=ids or None, variables=variables)
        return as_images(data, self.image_shape, self.path)

    def _with_values(
        self, frame: pd.DataFrame, roles: Roles, plain: Columns, place: Callable[[int], str]
    ) -> pd.DataFrame:
        """Return the rows in which a feature has a value, which is told; all where none has."""
        empty = np.arange(len(frame))
        for i in roles.features:
            column = frame[i].iloc[empty]
            empty = empty[plain.missing(column)]
            if not len(empty):
                return frame
        if len(empty) == len(frame):
            return frame
        warnings.warn(
            f"{self.path}: {len(empty)} of {len(frame)} rows have no value in any feature and are "
            f"left out, {place(int(empty[0]))} first",
            stacklevel=callers_level(),
        )
        return frame.drop(index=frame.index[empty])

    def _target(
        self, column: pd.Series, name: str, plain: Columns
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        cells, missing = plain.texts(column)
        if missing.any() and self.missing_target == "error":
            told = f"column '{name}': the target is missing: {MISSING_TARGET}"
            faults = [f"row {row}, {told}" for row in np.flatnonzero(missing)]
            raise DataError(told_faults(self.path, faults))
        if column.dtype.kind in "iuf" and not missing.any():
            y = column.to_numpy()
        elif plain.unit(name):
            y = replace(plain, names=(name,), dtype="float64").samples(column.to_frame(name))[:, 0]
            y = y[~missing]
            if (y % 1 == 0).all() and (abs(y) < 2**53).all():
                y = y.astype(np.int64)
        else:
            y = numbers_or_text(cells[~missing].astype(np.str_), plain.decimal, plain.thousands)
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            faults = [
                f"row {row}, column '{name}': the target is infinite"
                for row in np.flatnonzero(~missing)[~np.isfinite(y)]
            ]
            raise DataError(told_faults(self.path, faults))
        return (y if len(y) == len(missing) else _with_gaps(y, missing)), missing

    def _categories(self, column: pd.Series, name: str, plain: Columns) -> tuple[str, ...]:
        cells, missing = plain.texts(column)
        values = sorted(set(cells[~missing]))
        if not values:
            raise DataError(f"{self.path}: column '{name}' holds no value at all: drop it")
        return tuple(values)

    def _date_parts(self, column: pd.Series, form: str, plain: Columns) -> tuple[str, ...]:
        if self.dates == "ordinal":
            return ("ordinal",)
        days = Columns(("t",), dates={"t": (form, "ordinal")}, na_values=plain.na_values)
        found = days.samples(column.to_frame("t"))
        return _PARTS if (found[~np.isnan(found)] % 1).any() else _PARTS[:-1]


def numbers_or_text(
    texts: NDArray[np.str_], decimal: str = ".", thousands: str = ""
) -> NDArray[Any]:
    """Return cells (n,) as int64 where all are integers, else float64 where all are numbers.

    Otherwise, and where a number has a leading zero (a code, no quantity), they stay text.
    """
    distinct, where = np.unique(texts, return_inverse=True)
    words: Sequence[str] = distinct.tolist()
    if any(map(_LEADING_ZERO.match, words)) or any(
        word.lower() in ("true", "false") for word in words
    ):
        return texts
    numbers = [number_of(word, decimal, thousands) for word in words]
    if None in numbers:
        return texts
    if all(map(_INTEGER.fullmatch, words)):
        integers = [int(word) for word in words]
        if max(map(abs, integers), default=0) < 2**63:
            return np.array(integers, dtype=np.int64)[where]
        return texts
    return np.array(numbers, dtype=np.float64)[where]


def units_cure(told: str, name: str) -> str:
    """Return what makes a number of a cell with a unit, of which a sentence tells; else nothing."""
    unit = told.rpartition(_WITHOUT)[2] if _WITHOUT in told else ""
    return f"set units: {{{name}: '{unit}}}, or " if unit else ""


def _with_gaps(y: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Return targets with None, or nan beside floats, where one is missing."""
    whole: NDArray[Any] = np.full(len(missing), np.nan if y.dtype.kind == "f" else None)
    whole[~missing] = y.tolist()
    return whole


def _dtype(dtypes: Sequence[Any]) -> str:
    single = all(getattr(dtype, "name", "").lower().startswith("float32") for dtype in dtypes)
    return "float32" if single else "float64"
