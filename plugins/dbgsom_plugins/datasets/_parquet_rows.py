"""Columns of Parquet files as a dask array, whose rows stay in the files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.api import DataError, open_regular
from dbgsom_core.tables import numbered, parquet_file, reading


def parquet_rows(files: Sequence[str], places: Sequence[int], dtype: str) -> Any:
    """Return the columns at ``places`` of Parquet files as a dask array (n, D); nulls are nan.

    A chunk is a row group, which is decoded each time. `DataError`: a file is damaged, or it
    changed in the meantime.
    """
    import dask
    import dask.array as da

    read, parts = dask.delayed(_read_group, pure=False), []
    for path in map(os.path.abspath, files):
        with reading(path, "Parquet file"), open_regular(Path(path)) as stream:
            metadata = parquet_file(stream).metadata
            facts = _facts(os.fstat(stream.fileno()))
        for group in range(metadata.num_row_groups):
            shape = metadata.row_group(group).num_rows, len(places)
            lazy = read(path, facts, group, tuple(places), dtype)
            parts.append(da.from_delayed(lazy, shape, dtype))
    return da.concatenate(parts)


def _read_group(
    path: str, facts: tuple[int, ...], group: int, places: tuple[int, ...], dtype: str
) -> NDArray[np.floating[Any]]:
    with reading(path, "Parquet file"), open_regular(Path(path)) as stream:
        if _facts(os.fstat(stream.fileno())) != facts:
            raise DataError(
                f"{path} changed while it was read: leave it as it is until the end, and begin "
                "again"
            )
        file = parquet_file(stream)
        names = numbered(file.schema_arrow.names)
        table = file.read_row_group(group, [names[place] for place in places], use_threads=False)
        out = np.empty((table.num_rows, len(places)), dtype)
        for column, numbers in enumerate(table.columns):
            if numbers.null_count:
                numbers = pc.fill_null(pc.cast(numbers, pa.float64(), safe=False), np.nan)
            out[:, column] = numbers.to_numpy()
    return out


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_size, found.st_mtime_ns
