"""A look at a file or data set of which nothing is known: what it is, by a part of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.files import exists, open_regular, why_unreadable
from dbgsom_core.runs.first_look.column_kinds import CELLS, Format, Look, look_at_columns
from dbgsom_core.runs.first_look.csv_text import look_at_csv

_ROWS = 5000  # of an array that are looked at


def look(given: str, registry: Any) -> Look:
    """Look at a file, or at a data set that a plugin offers by this name.

    Raises
    ------
    DataError
        There is neither, or nothing in it that could be read.
    """
    path = Path(given).expanduser()
    if not exists(path):
        names = registry.names("dataset")
        if given in names:
            return _named(given, registry)
        near = did_you_mean(given, [*names, *_siblings(path)])
        raise DataError(f"there is no file and no data set '{given}'{near}")
    try:
        with open_regular(path) as file:
            start = file.read(8)
    except OSError as error:
        raise DataError(f"{given} cannot be read: {why_unreadable(path, error)}") from None
    if not start:
        raise DataError(f"{given} is empty: give a file with data")
    if start.startswith(b"\x93NUMPY"):
        return _npy(given, path)
    if start.startswith(b"PK") and path.suffix == ".npz":
        return _npz(given, path)
    if start.startswith(b"PAR1"):
        return _parquet(given, path)
    return look_at_csv(given, path)


def _siblings(path: Path) -> list[str]:
    try:
        return [one.name for one in itertools.islice(path.parent.iterdir(), 1000)]
    except OSError:
        return []


def _npy(given: str, path: Path) -> Look:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{given} is no array that can be read: {error}") from None
    return _array("npy", given, array, {}, None)


def _npz(given: str, path: Path) -> Look:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = {name: archive[name] for name in names[:20]}
    except Exception as error:  # a damaged byte raises anything
        raise DataError(f"{given} is no archive that can be read: {error}") from None
    tables = [name for name, one in arrays.items() if one.ndim == 2 and one.dtype.kind in "fiub"]
    if not tables:
        raise DataError(
            f"{given} holds no array (samples, features) of numbers: {', '.join(names)}"
        )
    usual = [name for name in tables if name.lower() in ("x", "data", "x_train", "features")]
    x = (usual or sorted(tables, key=lambda name: -arrays[name].size))[0]
    fit = [n for n, one in arrays.items() if one.ndim == 1 and len(one) == len(arrays[x])]
    called = [name for name in fit if name.lower() in ("y", "target", "labels", "label", "y_train")]
    y = (called or fit[:1] or [None])[0]
    options = {} if x == "X" else {"x": x}
    if y not in ("y", None):
        options["y"] = y
    return _array("npz", given, arrays[x], options, None if y is None else arrays[y])


def _array(format: Format, given: str, array: Any, options: dict[str, Any], y: Any) -> Look:
    if array.ndim != 2 or array.dtype.kind not in "fiub" or not array.size:
        raise DataError(
            f"{given} holds {array.dtype} of shape {array.shape}, not numbers (samples, features)"
        )
    step = max(1, len(array) // _ROWS)
    some = np.asarray(array[::step][:_ROWS], dtype=np.float64)
    with np.errstate(all="ignore"):
        spreads = [float(np.nanstd(column)) for column in some.T[:1000]]
    return Look(
        format,
        given,
        rows=len(array),
        whole=step == 1,
        options=options,
        features=array.shape[1],
        missing=bool(np.isnan(some).any()),
        spreads=spreads,
        classes=_classes(y),
        has_target=y is not None,
    )


def _classes(y: Any) -> int | None:
    if y is None:
        return None
    distinct = len(set(np.asarray(y).tolist()))
    numbers = y.dtype.kind == "f" and (y != np.floor(y)).any()
    many = y.dtype.kind in "fiu" and distinct > max(20, len(y) ** 0.5)
    return None if numbers or many else distinct


def _named(given: str, registry: Any) -> Look:
    try:
        data = registry.build("dataset", given).load()
    except ValueError as error:
        raise DataError(
            f"data set '{given}' needs fields, see 'dbgsom plugins show {given}': give a file "
            "instead"
        ) from error
    return _array("name", given, data.X, {}, data.y)


def _parquet(given: str, path: Path) -> Look:
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{given}: Parquet needs the package pyarrow: pip install pyarrow"
        ) from None
    try:
        with open_regular(path) as stream:
            opened = parquet.ParquetFile(stream)
            total, names = opened.metadata.num_rows, opened.schema_arrow.names
            most = max(50, min(50_000, CELLS // max(1, len(names))))
            batch = next(opened.iter_batches(batch_size=most), None)
            frame = None if batch is None else batch.to_pandas(ignore_metadata=True)
    except Exception as error:  # what a damaged byte raises is in no list
        raise DataError(f"{given} is no Parquet file, or damaged: {error}") from None
    if frame is None or not len(frame):
        raise DataError(f"{given} has no rows: give a file with data")
    whole = len(frame) == total
    cells, nested = [], set()
    for i in range(len(names)):
        column = frame.iloc[:, i]  # names may stand there again
        gone = column.isna()
        cells.append(
            ["" if lost else str(one).strip() for one, lost in zip(column, gone, strict=True)]
        )
        if column.dtype == object and any(
            isinstance(one, (list, dict, np.ndarray)) for one in column
        ):
            nested.add(i)
    found = [
        replace(one, kind="text") if one.place in nested else one
        for one in look_at_columns([name.strip() for name in names], cells, ".")
    ]
    return Look("parquet", given, found, total, whole)
