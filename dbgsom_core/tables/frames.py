"""Data frames of Python, of pandas, polars or whatever exports Arrow, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dbgsom_core.errors import DataError
from dbgsom_core.tables.reader import TableReader

FRAME = "the data frame"  # what messages call a table that is in no file


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
        return None if is_column or not hasattr(data, "__arrow_c_stream__") else pa.table(data)
    except pa.ArrowException as error:
        raise DataError(f"{FRAME} cannot be read ({error})") from error


def table_of_frame(data: Any) -> tuple[pa.Table, str | None]:
    """Return the table of a data frame, and the name of its column that was the index.

    An index of whole numbers, or of several levels, is left out. Raises `DataError` where it is no
    data frame, or cannot be one of a file.
    """
    table, index = None if hasattr(data, "dask") else arrow_table(data), None
    if table is None:
        cure = "give a data frame of pandas, polars or pyarrow, such as pandas.DataFrame(X)"
        raise DataError(f"{type(data).__name__} is no data frame: {cure}")
    if hasattr(data, "iloc") and data.index.nlevels == 1 and data.index.dtype.kind not in "iu":
        name = str(data.index.name or "index")
        if name not in table.column_names:
            table, index = table.append_column(name, as_column(data.index.to_series())), name
    twice = [name for name, times in Counter(table.column_names).items() if times > 1]
    if twice:
        raise DataError(f"{FRAME} has several columns called '{twice[0]}': rename all but one")
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
    texts = [None if gap else str(cell) for cell, gap in zip(cells, cells.isna(), strict=True)]
    return pa.array(texts, pa.string())
