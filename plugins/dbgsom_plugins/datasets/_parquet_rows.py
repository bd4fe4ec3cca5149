"""Columns of Parquet files as a dask array, whose rows stay in the files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, open_regular
from dbgsom_core.tables import parquet_file, reading


def parquet_rows(files: Sequence[str], columns: Sequence[str], dtype: str) -> Any:
    """Return columns of numbers of Parquet files as a dask array (n, D); nulls are nan.

    A partition is a row group. Computing it raises `DataError` where its file has changed since.
    """
    import dask
    import dask.array as da
    import dask.dataframe as dd

    shapes, sources = [], []
    for path in map(os.path.abspath, files):
        with reading(path, "Parquet file"), open_regular(Path(path)) as stream:
            metadata = parquet_file(stream).metadata
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            facts = _facts(os.fstat(stream.fileno()))
        shapes += [(size, len(columns)) for size in sizes]
        sources += [(path, facts)] * len(sizes)
    paths = list(dict.fromkeys(path for path, _ in sources))
    frame = dd.read_parquet(paths, columns=list(columns), index=False, split_row_groups=True)
    numbers = dask.delayed(_numbers, pure=False)
    blocks = zip(frame.to_delayed(), shapes, sources, strict=True)
    parts = [
        da.from_delayed(numbers(block, shape, dtype, *source), shape, dtype)
        for block, shape, source in blocks
    ]
    return da.concatenate(parts)


def _numbers(
    frame: Any, shape: tuple[int, int], dtype: str, path: str, facts: tuple[int, ...]
) -> NDArray[np.floating[Any]]:
    with reading(path, "Parquet file"):
        if _facts(Path(path).stat()) != facts:
            raise DataError(
                f"{path} changed while it was read: leave it as it is until the end, and begin "
                "again"
            )
    found: NDArray[np.floating[Any]] = frame.to_numpy(dtype, na_value=np.nan)
    if found.shape != shape:
        raise DataError(f"{path} is damaged: a row group has {len(found)} rows, not {shape[0]}")
    return found


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_size, found.st_mtime_ns
