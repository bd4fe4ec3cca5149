"""What a file or data set of which nothing is known seems to hold, by a part of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.files import exists, open_regular, why_unreadable
from dbgsom_core.runs.init.columns import MOST_CLASSES, ColumnProfile

Format = Literal["csv", "parquet", "npy", "npz", "name"]
_CELLS = 2_000_000  # of a table that are looked at, more or less
_ROWS = 5000  # of an array that are looked at


@dataclass(frozen=True)
class TableProfile:
    """What a data set seems to hold.

    Attributes
    ----------
    format : {"csv", "parquet", "npy", "npz", "name"}
    path : str
        As it was given, or the name of a data set.
    columns : sequence of ColumnProfile
        Empty for arrays and data sets by name.
    rows : int
        How many there are, an estimate where it is not ``complete``.
    complete : bool
        All of it was looked at.
    options : mapping
        How a file is written: delimiter, encoding, decimal, header; names of arrays.
    notes : sequence of str
    features : int
        Of an array.
    missing : bool
        Values of an array are missing.
    spreads : sequence of float
        Standard deviations of the features of an array.
    classes : int or None
        How many an array of targets holds; None: it holds numbers, or there is none.
    has_target : bool
        Of an array.
    """

    format: Format
    path: str
    columns: Sequence[ColumnProfile] = ()
    rows: int = 0
    complete: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    features: int = 0
    missing: bool = False
    spreads: Sequence[float] = ()
    classes: int | None = None
    has_target: bool = False


def profile_data(given: str, registry: Any) -> TableProfile:
    """Profile a file, or a data set that a plugin offers by this name.

    Raises
    ------
    DataError
        There is neither, or nothing in it that could be read.
    """
    path = Path(given).expanduser()
    if given in registry.names("dataset") and not exists(path):
        return _named(given, registry)
    try:
        with open_regular(path) as file:
            start = file.read(8)
    except FileNotFoundError:
        near = did_you_mean(given, [*registry.names("dataset"), *_siblings(path)])
        raise DataError(f"there is no file and no data set '{given}'{near}") from None
    except (OSError, ValueError) as error:
        why = why_unreadable(path, error) if isinstance(error, OSError) else error
        raise DataError(f"{given} cannot be read: {why}") from None
    if not start:
        raise DataError(f"{given} is empty: give a file with data")
    if start.startswith(b"\x93NUMPY"):
        return _npy(given, path)
    if start.startswith(b"PK") and path.suffix == ".npz":
        return _npz(given, path)
    if start.startswith((b"PAR1", b"ARROW1", b"FEA1")):
        return _columnar(given)
    return _csv(given, path)


def _siblings(path: Path) -> list[str]:
    try:
        return [one.name for one in itertools.islice(path.parent.iterdir(), 1000)]
    except OSError:
        return []


def _npy(given: str, path: Path) -> TableProfile:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{given} is no array that can be read: {error}") from None
    return _array("npy", given, array)


def _npz(given: str, path: Path) -> TableProfile:
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
    y = next(iter(called or fit), None)
    usual_names = {"x": "X", "y": "y"}
    options = {
        key: name for key, name in (("x", x), ("y", y)) if name not in (None, usual_names[key])
    }
    return _array("npz", given, arrays[x], None if y is None else arrays[y], options)


def _named(given: str, registry: Any) -> TableProfile:
    try:
        data = registry.build("dataset", given).load()
    except ValueError as error:
        raise DataError(
            f"data set '{given}' needs fields, see 'dbgsom plugins show {given}': give a file "
            "instead"
        ) from error
    return _array("name", given, data.X, data.y)


def _array(
    format: Format, given: str, X: Any, y: Any = None, options: dict[str, Any] | None = None
) -> TableProfile:
    if X.ndim != 2 or X.dtype.kind not in "fiub" or not X.size:
        raise DataError(
            f"{given} holds {X.dtype} of shape {X.shape}, not numbers (samples, features)"
        )
    step = max(1, len(X) // _ROWS)
    some = np.asarray(X[::step][:_ROWS], dtype=np.float64)
    with np.errstate(all="ignore"):
        spreads = [float(np.nanstd(column)) for column in some.T[:1000]]
    return TableProfile(
        format,
        given,
        rows=len(X),
        complete=step == 1,
        options=options or {},
        features=X.shape[1],
        missing=bool(np.isnan(some).any()),
        spreads=spreads,
        classes=None if y is None else _classes(y),
        has_target=y is not None,
    )


def _classes(y: Any) -> int | None:
    distinct = len(set(np.asarray(y).tolist()))
    numbers = y.dtype.kind == "f" and (y != np.floor(y)).any()
    many = y.dtype.kind in "fiu" and distinct > max(MOST_CLASSES, len(y) ** 0.5)
    return None if numbers or many else distinct


def _columnar(given: str) -> TableProfile:
    reader = open_table(given)
    names = reader.names
    most = max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // max(1, len(names))))
    batch = next(reader.batches(rows=most), None)
    if batch is None or not batch.num_rows:
        raise DataError(f"{given} has no rows: give a file with data")
    texts = [_as_text(column) for column in batch.columns]
    cells = [Counter() if text is None else _counts(text) for text in texts]
    columns = [
        replace(column, kind="text") if texts[column.place] is None else column
        for column in profile_columns(names, cells)
    ]
    rows = reader.num_rows or batch.num_rows
    return TableProfile(reader.format, given, columns, rows, batch.num_rows == rows)


def _as_text(column: pa.Array) -> pa.Array | None:
    """Return cells as text; None for cells that are no values, such as lists."""
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        return None


def _counts(texts: pa.Array | pa.ChunkedArray) -> Counter[str]:
    """Return how often each text stands there, without blanks around it."""
    stripped = pc.utf8_trim_whitespace(texts.fill_null(""))
    pairs = pc.value_counts(stripped)
    return Counter(dict(zip(pairs.field(0).to_pylist(), pairs.field(1).to_pylist(), strict=True)))


def _csv(given: str, path: Path) -> TableProfile:
    """Profile a CSV file by its beginning and, where it is large, by parts of its middle."""
    try:
        head, parts, size = _sample(given, path)
    except OSError as error:
        raise DataError(f"{given} cannot be read: {why_unreadable(path, error)}") from None
    found = sniff_csv(head, given, CsvDialect())
    table = parse_csv(head, found, given)
    seen = table.num_rows
    if parts:
        table = pa.concat_tables([table, *(_middle(part, found, given) for part in parts)])
    rows = table.slice(0, max(_LEAST_ROWS, _CELLS // table.num_columns))
    cells = [_counts(column) for column in rows.columns]
    return _described(given, found, cells, seen, head, size)
