"""Tables that are read in batches of rows, from files and from data frames of Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbgsom_core.errors import DataError
from dbgsom_core.files import reading

FRAME = "the data frame"  # what messages call a table that is in no file
ROWS = 1 << 17  # of a batch at most
_TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # of a second


@dataclass(frozen=True)
class CsvDialect:
    """The dialect of a CSV file; None: unknown.

    Attributes
    ----------
    delimiter, encoding, decimal : str or None
    thousands : str or None
        What may stand between thousands; empty: nothing.
    header : bool or None
        Whether the first line names the columns.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None


@dataclass
class TableReader(ABC):
    """A table in a file, of which batches of rows are read; formats subclass it and `read`.

    Attributes
    ----------
    path : str
        What messages call the file.
    format : str
    names : list of str
        Of the columns, stripped; names may stand there twice.
    types : list of pyarrow.DataType
        Text for all columns of a CSV file.
    num_rows : int or None
        None where only reading tells.
    dialect : CsvDialect or None
        Of a CSV file.
    notes : list of str
        What a reader found out about the file and its user should know.
    files : sequence of Path
        Those of the table, one after the other.
    """

    path: str
    format: str
    names: list[str]
    types: list[pa.DataType]
    num_rows: int | None = None
    dialect: CsvDialect | None = None
    notes: list[str] = field(default_factory=list)
    files: Sequence[Path] = ()

    def batches(
        self,
        places: Sequence[int] | None = None,
        rows: int = ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most ``rows`` at a time.

        Parameters
        ----------
        places : sequence of int, optional
            Columns that are read, by their places from 0 and in this order; None: all.
        rows : int

        Yields
        ------
        pyarrow.RecordBatch
            Its columns are called by their places, and of the types that `as_array` returns. Cells
            of a CSV file are texts, as they stand there.

        Raises
        ------
        DataError
            The file is damaged.
        """
        if places is None:
            places = range(len(self.names))
        chosen = list(places)
        labels = list(map(str, chosen))
        with reading(self.path, f"{self.format} file"):
            for batch in self.read(chosen, rows):
                columns = list(map(as_array, batch.columns))
                plain = pa.RecordBatch.from_arrays(columns, names=labels)
                for start in range(0, plain.num_rows, rows):
                    yield plain.slice(start, rows)

    @abstractmethod
    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        """Yield batches of about ``rows`` rows of the columns at ``places``."""

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        """Return the line numbers of rows, by a second reading; none for formats without lines."""
        return {}


@dataclass(frozen=True)
class TableFormat:
    """A format of files with tables; see `format_of`.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        In small letters, with their dots.
    open : callable
        Gets a path, or a folder with such files, and returns a `TableReader`; raises `DataError`.
    write : callable, optional
        Gets a path and a `pyarrow.Schema`, and returns an object with ``write_batch(batch)`` and
        ``close()``.
    add : callable, optional
        As ``write``, and gets the path of a table of this format with the same rows, to a copy of
        which the columns are added; files with more than a table, such as FCS, have it.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[str], TableReader]
    write: Callable[[Path, pa.Schema], Any] | None = None
    add: Callable[[Path, pa.Schema, str], Any] | None = None


def as_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column of pyarrow as one array of numbers, bools, timestamps, dates or text.

    Durations become seconds, decimals floats, and categories their values.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        return as_array(column.dictionary_decode())
    if types.is_duration(kind):  # files and frames choose a unit, samples have one
        return pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), _TICKS[kind.unit])
    if types.is_decimal(kind):  # its cast to a double is not rounded correctly
        return column.cast(pa.string()).cast(pa.float64())
    if types.is_float16(kind):  # of which pyarrow 17 knows hardly a function
        return column.cast(pa.float32())
    if is_number(kind) or is_moment(kind):
        return column
    return column.cast(pa.string())


def as_texts(column: pa.Array) -> pa.Array:
    """Return cells of any type as text; a timestamp at midnight is a date."""
    texts = column.cast(pa.string())
    if pa.types.is_timestamp(column.type):  # of any unit: what is zero of it says nothing
        texts = pc.replace_substring_regex(texts, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")
        texts = pc.replace_substring_regex(texts, r"(?: 00:00:00)?(?:\.0+)?(Z?)$", r"\1")
    return texts


def is_text(column: pa.Array) -> bool:
    """Return whether a column of `as_array` holds texts."""
    return bool(pa.types.is_string(column.type))


def is_number(kind: pa.DataType) -> bool:
    """Return whether a type is one of numbers, bools among them."""
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def is_moment(kind: pa.DataType) -> bool:
    """Return whether a type is one of dates or timestamps."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


# ------------------------------------------------------------------------------------ data frames


@dataclass
class FrameReader(TableReader):
    """The rows of a table in memory, as a Parquet file of them would give them."""

    table: Any = None

    @classmethod
    def open(cls, table: pa.Table) -> FrameReader:
        names = [name.strip() for name in table.column_names]
        return cls(FRAME, "parquet", names, table.schema.types, table.num_rows, table=table)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        columns = [self.table.column(place) for place in places]
        whole = pa.table(columns, names=[*map(str, places)]).combine_chunks()
        yield from whole.to_batches(max_chunksize=rows)


def arrow_table(data: Any) -> pa.Table | None:
    """Return a data frame of pandas, polars or whatever exports Arrow as a table, else None.

    Columns of pandas that Arrow has no type for become text. Raises `DataError` where a data frame
    of others has one.
    """
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        columns = [as_column(data.iloc[:, place]) for place in range(data.shape[1])]
        return pa.table(columns, names=[*map(str, data.columns)])
    if isinstance(data, pa.Table):
        return data
    try:
        if hasattr(data, "to_arrow"):
            data = data.to_arrow()
        is_column = hasattr(data, "dtype") or isinstance(data, pa.ChunkedArray)
        if is_column or not hasattr(data, "__arrow_c_stream__"):
            return None
        return pa.table(data)
    except pa.ArrowException as error:
        raise DataError(f"{FRAME} cannot be read ({error})") from error


def table_of_frame(data: Any) -> tuple[pa.Table, str | None]:
    """Return the table of a data frame, and the name of its column that was the index.

    An index of whole numbers, or of several levels, is left out. Raises `DataError` where it is no
    data frame, or cannot be one of a file.
    """
    table = index = None
    if not hasattr(data, "dask"):
        table = arrow_table(data)
    if table is None:
        cure = "give a data frame of pandas, polars or pyarrow, such as pandas.DataFrame(X)"
        raise DataError(f"{type(data).__name__} is no data frame: {cure}")
    if hasattr(data, "iloc") and data.index.nlevels == 1 and data.index.dtype.kind not in "iu":
        name = str(data.index.name or "index")
        if name not in table.column_names:
            table, index = table.append_column(name, as_column(data.index.to_series())), name
    for name, times in Counter(table.column_names).items():
        if times > 1:
            raise DataError(f"{FRAME} has several columns called '{name}': rename all but one")
    if not table.num_columns or not table.num_rows:
        what = "rows" if table.num_columns else "columns"
        raise DataError(f"{FRAME} has no {what}: give one with data")
    return table.replace_schema_metadata(None), index


def as_column(values: Any) -> Any:
    """Return cells of an array, of pandas or of pyarrow as a column of pyarrow.

    What is of several types, or of none of Arrow's, becomes text.
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, mask=np.ma.getmaskarray(values), from_pandas=True)
    try:
        array = pa.array(values, from_pandas=True)
        is_plain = not pa.types.is_nested(array.type)
        if is_plain and not isinstance(array.type, pa.BaseExtensionType):
            return array
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass
    import pandas as pd  # is slow to import

    cells = pd.Series(values, dtype=object)
    texts = cells.map(str, na_action="ignore")  # leaves gaps, which become null
    return pa.array(texts, pa.string(), from_pandas=True)
