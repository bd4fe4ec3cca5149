"""Tables in CSV files."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from dbgsom_core.api import Columns, Data, DataError, number, open_regular
from dbgsom_plugins.datasets._csv_text import Text
from dbgsom_plugins.datasets._csv_trouble import trouble
from dbgsom_plugins.datasets._files import existing_file, first_hole
from dbgsom_plugins.datasets._roles import Roles
from dbgsom_plugins.datasets._table import Table

if TYPE_CHECKING:
    import pandas as pd

_OTHER_DELIMITERS = (";", "\t", ",", "|")
_MOST_COLUMNS = 1_000_000
_WIDE = 1000  # columns from which on what pandas spends on each column can be felt,
_FEW_ROWS = 1000  # and bytes a column below which this is more than it spends on the cells
_LOOKED_AT = (1000, 200_000)  # records, and cells, by which columns of dates are told
_INTEGER = re.compile(r"-?(0|[1-9]\d*)")


class Csv(Table):
    """A table in a CSV file: one sample a line, one feature a column.

    Columns hold numbers, dates, or categories that become one column of 0 and 1 for each value, and
    are given by name or by number, counted from 0 (-1 is the last). The target may hold text or
    numbers; numbers with leading zeros stay text. True and false count as 1 and 0. A file that
    gzip, bzip2, xz or zstd has packed is unpacked, up to 1 GiB or 100 times its size.
    """

    delimiter: str = Field(
        default=",",
        pattern=r'^[^"\r\n]$',
        description="the character between two fields; a first line such as sep=; says it, too",
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

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        """Write a table into a folder, and return the fields that read it."""
        path = Path(folder) / "table.csv"
        path.write_text("a,b,class\n1,2.5,x\n3,1.5,y\n2,0.5,x\n4,2,y\n", encoding="utf-8")
        return {"path": str(path), "target": "class"}

    def load(self) -> Data:
        """Return the table as float64 samples and, where they are named, its target and ids.

        Raises
        ------
        DataError
            The file is missing or no table, a column does not exist, or cells cannot be used; the
            sentences name the lines and the columns.
        """
        text = self._text()
        head = _head(text)
        names = self._names(text, head)
        roles = self.roles(names)
        forms = self._forms(roles, head[self._header_lines :])
        roles = self.without_dates(roles, forms)
        forms = {i: form for i, form in forms.items() if i in roles.features}
        few_rows = text.file.stat().st_size < _FEW_ROWS * len(names)
        walked = few_rows and len(names) > _WIDE

        def place(row: int) -> str:
            return f"line {next(islice(text.records(), self._header_lines + row, None))[0]}"

        try:
            frame = (self._walked if walked else self._read)(text, roles, forms)
            return self._data_of(frame, roles, forms, place)
        except DataError as error:
            raise DataError(self._trouble(text, roles, forms) or str(error)) from None
        except Exception as error:  # what pandas may raise is in no list
            told = self._trouble(text, roles, forms)
            if told is None and "EOF inside string" in str(error):
                told = f"{self.path}: a quote is opened and never closed"
            if told is not None:
                raise DataError(told) from None
        # Nothing is wrong with any cell: something is written as the fast reader does not know.
        try:
            frame = self._read(text, roles, forms, as_text=True)
        except DataError:
            raise
        except Exception as error:
            told = "".join(str(error).strip().splitlines()[:1])
            raise DataError(f"{self.path} cannot be read as a table: {told}") from None
        return self._data_of(frame, roles, forms, place)

    def _data_of(
        self,
        frame: pd.DataFrame,
        roles: Roles,
        forms: Mapping[int, str],
        place: Callable[[int], str],
    ) -> Data:
        return self.data_of(frame, roles, forms, self.decimal, place, self.thousands or "")

    @property
    def _header_lines(self) -> int:
        return 1 if self.header else 0

    def _text(self) -> Text:
        text = Text(self.path, existing_file(self.path), self.delimiter, self.encoding)
        with open_regular(text.file) as stream:
            hole = first_hole(stream)
        if hole is not None:
            raise DataError(
                f"{self.path} has a hole from byte {hole} on: it was cut off or never filled; "
                "copy or save it again"
            )
        said = text.said_delimiter()
        if said is None:
            return text
        given = "delimiter" in self.model_fields_set
        return replace(text, sep=True, delimiter=self.delimiter if given else said)

    def _names(self, text: Text, head: Sequence[tuple[int, list[str]]]) -> list[str]:
        if not head:
            raise DataError(f"{self.path} is empty: give a file with data")
        names = head[0][1]
        if len(names) > _MOST_COLUMNS:
            raise DataError(f"{self.path} has {len(names)} columns, more than {_MOST_COLUMNS}")
        if len(names) == 1:
            for other in _OTHER_DELIMITERS:
                if other != text.delimiter and other in names[0]:
                    shown = r'"\t"' if other == "\t" else f"'{other}'"
                    raise DataError(
                        f"{self.path} has the single column '{names[0]:.40}': "
                        f"set delimiter: {shown}"
                    )
        if not self.header:
            return [str(i) for i in range(len(names))]
        numbers = [name for name in names if number(name, self.decimal) is not None]
        if 2 * len(numbers) > len(names) and not all(map(_INTEGER.fullmatch, numbers)):
            raise DataError(
                f"{self.path}, line {head[0][0]} holds numbers instead of column names: "
                "add a header line or set header: false"
            )
        if len(head) == 1:
            raise DataError(f"{self.path} has a header and no line below it: give a file with data")
        return names

    def _forms(self, roles: Roles, head: Sequence[tuple[int, list[str]]]) -> dict[int, str]:
        """Return the columns among the features that hold dates, with their forms."""
        plain, faults = self._columns(roles, {}), []
        forms: dict[int, str] = {}
        for i in roles.features:
            if i in roles.categorical or i in roles.units:
                continue
            cells = [fields[i] for _, fields in head if i < len(fields)]
            cells = [cell for cell in cells if not plain.is_missing(cell)]
            if not cells or number(cells[0], self.decimal) is not None:
                continue
            try:
                form = self.date_form(roles.names[i], cells)
            except DataError as error:
                faults.append(f"{self.path}: {error}")
            else:
                forms |= {} if form is None else {i: form}
        if faults:
            raise DataError("\n".join(faults))
        return forms

    def _columns(self, roles: Roles, forms: Mapping[int, str]) -> Columns:
        """Return how cells are written, before it is known which categories there are."""
        return Columns(
            tuple(roles.names[i] for i in roles.features),
            dates={roles.names[i]: (form, "ordinal") for i, form in forms.items()},
            na_values=self.na_values,
            decimal=self.decimal,
            thousands=self.thousands or "",
            units={roles.names[i]: unit for i, unit in roles.units.items()} or None,
        )

    def _walked(self, text: Text, roles: Roles, forms: Mapping[int, str]) -> pd.DataFrame:
        """Return the used columns of a table, read row by row."""
        import pandas as pd

        plain = self._columns(roles, {})
        numeric = roles.plain(forms)
        texts: dict[int, list[str]] = {i: [] for i in {*roles.used} - {*numeric}}
        rows = []
        for _, fields in islice(text.records(), self._header_lines, None):
            if len(fields) != len(roles.names):
                raise ValueError("a line does not fit the others")
            cells = [fields[i] for i in numeric]
            if self.missing == "keep":
                cells = ["nan" if plain.is_missing(cell) else cell for cell in cells]
            if self.decimal == "," or self.thousands or any("_" in cell for cell in cells):
                read = [number(cell, self.decimal, self.thousands or "") for cell in cells]
                if None in read:
                    raise ValueError("a cell is no number")
                rows.append(np.array(read, dtype=np.float64))
            else:
                rows.append(np.array(cells, dtype=np.float64))
            for i, column in texts.items():
                column.append(fields[i])
        table = np.array(rows).reshape(len(rows), len(numeric))
        table[np.isin(table, Columns((), na_values=self.na_values).codes)] = np.nan
        frame = pd.DataFrame(table, columns=numeric)
        return pd.concat([frame, pd.DataFrame(texts)], axis=1) if texts else frame

    def _read(
        self, text: Text, roles: Roles, forms: Mapping[int, str], as_text: bool = False
    ) -> pd.DataFrame:
        import pandas as pd

        # What pandas takes for marks between thousands may stand anywhere in a number.
        numeric = set() if as_text or self.thousands else {*roles.plain(forms)}
        places = range(len(roles.names))
        # As objects: pandas looks up what a name means anew for each column.
        float64, string = np.dtype(np.float64), pd.api.types.pandas_dtype("str")
        # Other words for what is missing are no numbers, which is told without looking for them.
        sought = self.missing == "keep" or Columns((), na_values=self.na_values).codes
        words = _in_any_case(self.na_values) if sought else []
        with warnings.catch_warnings(), text.told(), text.open() as stream:
            # Lines that are too long are only warned of.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            options: dict[str, Any] = {
                "na_values": dict.fromkeys(numeric, words) if words else None,
                **_exact_floats(),
            }
            frame: pd.DataFrame = pd.read_csv(
                stream,
                sep=text.delimiter,
                header=0 if self.header else None,
                names=list(places),
                index_col=False,
                dtype={i: float64 if i in numeric else string for i in places},
                na_filter=bool(words and numeric),
                keep_default_na=False,
                decimal=self.decimal,
                skipinitialspace=True,
                skiprows=1 if text.sep else 0,
                low_memory=False,
                **options,
            )
        last = frame.iloc[:, -1]
        if (last.isna() | (last == "")).any():  # too short, or empty
            problem = self._trouble(text, roles, forms, cells=False)
            if problem is not None:
                raise DataError(problem)
        return frame

    def _trouble(
        self, text: Text, roles: Roles, forms: Mapping[int, str], cells: bool = True
    ) -> str | None:
        return trouble(
            self.path,
            islice(text.records(), self._header_lines, None),
            roles,
            self._columns(roles, forms),
            text.delimiter,
            numeric_target=roles.target in roles.units,
            missing=self.missing,
            missing_target=self.missing_target,
            cells=cells,
        )


def _head(text: Text) -> list[tuple[int, list[str]]]:
    head: list[tuple[int, list[str]]] = []
    cells = 0
    for record in text.records():
        head.append(record)
        cells += len(record[1])
        if len(head) > _LOOKED_AT[0] or (len(head) > 2 and cells > _LOOKED_AT[1]):
            break
    return head


def _in_any_case(words: Sequence[str]) -> list[str]:
    return [
        form + pad  # pandas strips cells on the left only
        for word in words
        for form in {word, word.upper(), word.lower(), word.title()}
        for pad in ("", " ")
    ]


def _exact_floats() -> dict[str, Any]:
    """Return what makes pandas read a float as Python does.

    Since 3.1 it does without, but for 17 digits between a plus sign and a blank: an ulp aside.
    """
    import pandas as pd

    major, minor = (int(part) for part in pd.__version__.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}
