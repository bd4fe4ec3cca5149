"""Data frames of Python, of pandas, polars or whatever exports Arrow, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dbgsom_core.errors import DataError
from dbgsom_core.tables.reader import TableReader

FRAME = "the data frame"  # what messages call a table that is in no file
_FEW = 5  # names in a message


@dataclass
class FrameReader(TableReader):
    """The rows of a table in memory, as a Parquet file of them would give them."""

    table: Any = None

    @classmethod
    def open(cls, table: pa.Table) -> FrameReader:
        names = [name.strip() for name in table.column_names]
        types = []
        for kind in table.schema.types:
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            types.append(pa.string() if pa.types.is_null(kind) else kind)
        return cls(FRAME, "parquet", names, types, table.num_rows, table=table)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        columns = [self.table.column(place).cast(self.types[place]) for place in places]
        chosen = pa.table(columns, names=[*map(str, places)])
        yield from chosen.to_batches(max_chunksize=rows)


def is_pandas(data: Any) -> bool:
    return hasattr(data, "iloc") and hasattr(data, "columns")


def arrow_table(data: Any) -> pa.Table | None:
    """Return a data frame of polars, pyarrow or whatever exports Arrow as a table, else None.

    Raises `DataError` where it has a type of its own that Arrow has not.
    """
    if is_pandas(data) or hasattr(data, "dtype") or isinstance(data, pa.ChunkedArray):
        return None
    if isinstance(data, pa.Table):
        return data
    try:
        if hasattr(data, "to_arrow"):
            return data.to_arrow()
        return pa.table(data) if hasattr(data, "__arrow_c_stream__") else None
    except pa.ArrowException as error:
        what = f"the data frame of {type(data).__module__.partition('.')[0]} cannot be read"
        raise DataError(f"{what} ({error}): make numbers or text of such columns") from error


def table_of_frame(data: Any) -> tuple[pa.Table, str | None]:
    """Return the table of a data frame, and the name of its column that was the index.

    An index of whole numbers is left out. Raises `DataError` where a column, or the whole, is no
    table of a file.
    """
    index = None
    if hasattr(data, "dask"):
        raise DataError("a dask data frame is not in memory: write it with to_parquet, and name it")
    if is_pandas(data):
        table, index = _of_pandas(data)
    else:
        table = arrow_table(data)
    if not isinstance(table, pa.Table):
        cure = "give a data frame of pandas, polars or pyarrow, such as pandas.DataFrame(X)"
        raise DataError(f"{type(data).__name__} is no data frame: {cure}")
    twice = [name for name, times in Counter(table.column_names).items() if times > 1]
    if twice:
        raise DataError(
            f"the data frame has several columns called '{twice[0]}': rename all but one"
        )
    for field in table.schema:
        if pa.types.is_nested(field.type):
            what = f"column '{field.name}' of the data frame holds lists or records"
            raise DataError(f"{what}: make columns of them, or drop it")
        if isinstance(field.type, pa.BaseExtensionType) or pa.types.is_duration(field.type):
            cure = "make numbers or text of it, as with dt.total_seconds() or astype(str)"
            raise DataError(f"column '{field.name}' of the data frame holds {field.type}: {cure}")
    if not table.num_columns or not table.num_rows:
        what = "rows" if table.num_columns else "columns"
        raise DataError(f"the data frame has no {what}: give one with data")
    return table.replace_schema_metadata(None), index


def _of_pandas(data: Any) -> tuple[pa.Table, str | None]:
    if data.columns.nlevels > 1:
        cure = "data.columns = ['_'.join(map(str, names)) for names in data.columns]"
        raise DataError(f"the columns of the data frame have names of several levels: {cure}")
    if data.index.nlevels > 1:
        cure = "data.reset_index() makes columns of them, reset_index(drop=True) leaves them out"
        raise DataError(f"the index of the data frame has several levels: {cure}")
    names, columns = [str(name) for name in data.columns], []
    for place, name in enumerate(names):
        columns.append(_array(f"column '{name}'", data.iloc[:, place]))
    named = str(data.index.name or "index")
    if data.index.dtype.kind in "iu" or named in names:
        return pa.table(columns, names=names), None
    columns.append(_array("the index", data.index.to_series()))
    return pa.table(columns, names=[*names, named]), named


def _array(called: str, values: Any) -> Any:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        kinds = list(dict.fromkeys(type(one).__name__ for one in values if one is not None))
        if hasattr(values, "sparse"):
            what, cure = "is sparse", "data.sparse.to_dense()"
        elif values.dtype == object and len(kinds) > 1:
            what = f"holds cells of several types, {', '.join(kinds[:_FEW])}"
            cure = "make them numbers with pandas.to_numeric, or text with astype(str)"
        else:
            what = f"holds {kinds[0] if kinds else values.dtype}: {str(error).splitlines()[0]}"
            cure = "make numbers or text of it, or drop it"
        raise DataError(f"{called} of the data frame {what}: {cure}") from error
