"""Tables in CSV files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Columns as TableColumns
from dbgsom_core.api import Component, Data, DataError, open_regular
from dbgsom_plugins.datasets._arrays import MISSING, Missing
from dbgsom_plugins.datasets._csv_columns import Columns, choose_columns
from dbgsom_plugins.datasets._csv_trouble import MISSING_WORDS, is_number, records, trouble
from dbgsom_plugins.datasets._files import existing_file, first_hole, packing

if TYPE_CHECKING:
    import pandas as pd

_OTHER_DELIMITERS = (";", "\t", ",", "|")
_MOST_COLUMNS = 1_000_000
_WIDE = 1000  # columns from which on what pandas spends on each column can be felt,
_FEW_ROWS = 1000  # and bytes a column below which this is more than it spends on the cells
_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_ANY_CASE = [
    form + pad  # pandas strips cells on the left only
    for word in MISSING_WORDS
    for form in {word, word.upper(), word.title()}
    for pad in ("", " ")
]
_LEADING_ZERO = re.compile(r"[+-]?0\d")


class Csv(Component):
    """A table in a CSV file (UTF-8): one sample a line, one feature a column.

    All columns but the target hold numbers, or categories that become one column of 0 and 1 for
    each value. Columns are given by name or by number, counted from 0 (-1 is the last). The target
    may hold text or numbers; numbers with leading zeros stay text. True and false
    count as 1 and 0.
    """

    path: str = Field(min_length=1, description="the file; relative to the working directory")
    target: str | int | None = Field(
        default=None, description="column with classes or values to predict; null: none"
    )
    drop: tuple[str | int, ...] = Field(
        default=(), strict=False, description="columns to leave out"
    )
    categorical: tuple[str | int, ...] = Field(
        default=(), strict=False, description="columns that hold categories"
    )
    delimiter: str = Field(
        default=",", pattern=r'^[^"\r\n]$', description="the character between two fields"
    )
    header: bool = Field(default=True, description="whether the first line names the columns")
    missing: Missing = Field(default="error", description=MISSING)

    @classmethod
    def examples(cls, folder: str | Path) -> dict[str, Any]:
        """Write a table into a folder, and return the fields that read it."""
        path = Path(folder) / "table.csv"
        path.write_text("a,b,class\n1,2.5,x\n3,1.5,y\n2,0.5,x\n4,2,y\n", encoding="utf-8")
        return {"path": str(path), "target": "class"}

    def load(self) -> Data:
        """Return the table as float64 samples and, where a target is named, its column.

        Raises
        ------
        DataError
            The file is missing or no table, a column does not exist, or a cell cannot be used;
            the sentence names the line and the column.
        """
        file = existing_file(self.path)
        with open_regular(file) as stream:
            packed = packing(stream.read(8))
            hole = first_hole(stream)
        if packed:
            raise DataError(f"{self.path} is packed ({packed}), no text: unpack it first")
        if hole is not None:
            raise DataError(
                f"{self.path} has a hole from byte {hole} on: it was cut off or never filled; "
                "copy or save it again"
            )
        columns = choose_columns(
            self.path, self._names(file), self.target, self.drop, self.categorical
        )
        few_rows = file.stat().st_size < _FEW_ROWS * len(columns.names)
        walked = few_rows and len(columns.names) > _WIDE
        frame: Any = (self._walked if walked else self._read)(file, columns)
        X, feature_names = self._samples(file, frame, columns)
        y = None if columns.target is None else self._target(file, frame, columns)
        names = columns.names
        left_out = {*range(len(names))} - {*columns.used}
        categories = {
            names[i]: tuple(
                feature[len(names[i]) + 1 :]
                for feature in feature_names
                if feature.startswith(f"{names[i]}=")
            )
            for i in columns.features
            if i in columns.categorical
        }
        kept = TableColumns(
            names=tuple(names[i] for i in columns.features),
            categories=categories,
            target=None if columns.target is None else names[columns.target],
            dropped=tuple(names[i] for i in sorted(left_out)),
        )
        return Data(X=X, y=y, feature_names=feature_names, columns=kept)

    def _names(self, file: Path) -> list[str]:
        first = list(islice(records(self.path, file, self.delimiter), 2))
        if not first:
            raise DataError(f"{self.path} is empty: give a file with data")
        names = first[0][1]
        if len(names) > _MOST_COLUMNS:
            raise DataError(f"{self.path} has {len(names)} columns, more than {_MOST_COLUMNS}")
        if len(names) == 1:
            for other in _OTHER_DELIMITERS:
                if other != self.delimiter and other in names[0]:
                    shown = r'"\t"' if other == "\t" else f"'{other}'"
                    raise DataError(
                        f"{self.path} has the single column '{names[0]:.40}': "
                        f"set delimiter: {shown}"
                    )
        if not self.header:
            return [str(i) for i in range(len(names))]
        numbers = [name for name in names if is_number(name)]
        if 2 * len(numbers) > len(names) and not all(map(_INTEGER.fullmatch, numbers)):
            raise DataError(
                f"{self.path}, line {first[0][0]} holds numbers instead of column names: "
                "add a header line or set header: false"
            )
        if len(first) == 1:
            raise DataError(f"{self.path} has a header and no line below it: give a file with data")
        return names

    def _walked(self, file: Path, columns: Columns) -> Mapping[int, Any]:
        """Return the used columns of a table, read row by row."""
        import pandas as pd

        numeric, known = columns.numeric, len(columns.names)
        texts: dict[int, list[str]] = {i: [] for i in {*columns.used} - {*numeric}}
        numbers = []
        for _, fields in self._rows(file):
            cells = [fields[i] for i in numeric] if len(fields) == known else ["_"]
            if self.missing == "keep":
                cells = ["nan" if cell.lower() in MISSING_WORDS else cell for cell in cells]
            try:
                if any("_" in cell for cell in cells):
                    raise ValueError("a line does not fit the others")
                numbers.append(np.array(cells, dtype=np.float64))
            except ValueError as error:
                raise self._explained(file, columns, str(error)) from None
            for i, column in texts.items():
                column.append(fields[i])
        X = np.array(numbers).reshape(len(numbers), len(numeric))
        return dict(zip(numeric, X.T, strict=True)) | {i: pd.Series(texts[i]) for i in texts}

    def _rows(self, file: Path) -> Iterator[tuple[int, list[str]]]:
        rows = records(self.path, file, self.delimiter)
        return islice(rows, 1 if self.header else 0, None)

    def _read(self, file: Path, columns: Columns) -> pd.DataFrame:
        import pandas as pd

        numeric = set(columns.numeric)
        places = range(len(columns.names))
        # As objects: pandas looks up what a name means anew for each column.
        number, text = np.dtype(np.float64), pd.api.types.pandas_dtype("str")
        # By column: a text such as "none" may be a category.
        empty: dict[Any, Sequence[str]] = {}
        if self.missing == "keep":
            empty = dict.fromkeys(numeric, _ANY_CASE)
        try:
            with warnings.catch_warnings():
                # Lines that are too long are only warned of.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame: pd.DataFrame = pd.read_csv(
                    file,
                    sep=self.delimiter,
                    header=0 if self.header else None,
                    names=list(places),
                    index_col=False,
                    dtype={i: number if i in numeric else text for i in places},
                    na_filter=bool(empty),
                    na_values=empty,
                    keep_default_na=False,
                    skipinitialspace=True,
                    **_exact_floats(),
                    encoding="utf-8-sig",
                    compression=None,  # whatever the file is called
                    low_memory=False,
                )
        except Exception as error:  # what pandas may raise is in no list
            raise self._explained(file, columns, str(error)) from None
        if empty and frame.iloc[:, -1].isna().any():  # or a line is too short
            problem = self._trouble(file, columns)
            if problem is not None:
                raise problem
        return frame

    def _samples(
        self, file: Path, frame: Mapping[int, Any], columns: Columns
    ) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        blocks: list[NDArray[Any]] = []
        names: list[str] = []
        for i in columns.features:
            name = columns.names[i]
            if i in columns.categorical:
                cells = self._texts(file, frame, columns, i)
                categories = np.unique(cells)
                blocks.extend(cells == category for category in categories)
                names.extend(f"{name}={category}" for category in categories)
            else:
                blocks.append(np.asarray(frame[i]))
                names.append(name)
        X = np.empty((len(blocks[0]), len(blocks)))
        for i, block in enumerate(blocks):
            X[:, i] = block
        if np.isinf(X).any() or (self.missing == "error" and np.isnan(X).any()):
            raise self._explained(file, columns, "a value is not finite")
        return X, tuple(names)

    def _target(self, file: Path, frame: Mapping[int, Any], columns: Columns) -> NDArray[Any]:
        assert columns.target is not None
        values = numbers_or_text(self._texts(file, frame, columns, columns.target))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise self._explained(file, columns, "a target is not finite", numeric_target=True)
        return values

    def _texts(
        self, file: Path, frame: Mapping[int, Any], columns: Columns, column: int
    ) -> NDArray[np.str_]:
        cells = frame[column].str.strip()
        if (cells.isna() | (cells == "")).any():
            raise self._explained(file, columns, "a cell is empty")
        texts = cells.tolist()
        if any("\0" in text for text in texts):
            raise self._explained(file, columns, "a cell holds a zero byte")
        return np.array(texts, dtype=np.str_)

    def _explained(
        self, file: Path, columns: Columns, otherwise: str, numeric_target: bool = False
    ) -> DataError:
        found = self._trouble(file, columns, numeric_target)
        if "EOF inside string" in otherwise:
            otherwise = "a quote is opened and never closed"
        first_line = "".join(otherwise.strip().splitlines()[:1])
        return found or DataError(f"{self.path} cannot be read as a table: {first_line}")

    def _trouble(
        self, file: Path, columns: Columns, numeric_target: bool = False
    ) -> DataError | None:
        return trouble(
            self.path,
            self._rows(file),
            columns,
            self.delimiter,
            numeric_target,
            self.missing == "keep",
        )


def _exact_floats() -> dict[str, Any]:
    """Return what makes pandas read a float as Python does; since 3.1 it always does."""
    import pandas as pd

    major, minor = (int(part) for part in pd.__version__.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}


def numbers_or_text(texts: NDArray[np.str_]) -> NDArray[Any]:
    """Return cells (n,) as int64 where all are integers, else float64 where all are numbers.

    Otherwise, and where a number has a leading zero (a code, no quantity), they stay text.
    """
    distinct, where = np.unique(texts, return_inverse=True)
    words: Sequence[str] = distinct.tolist()
    if any(map(_LEADING_ZERO.match, words)) or not all(map(is_number, words)):
        return texts
    if all(map(_INTEGER.fullmatch, words)):
        integers = [int(word) for word in words]
        if max(map(abs, integers)) < 2**63:
            return np.array(integers, dtype=np.int64)[where]
        return texts
    return np.array([float(word) for word in words])[where]
