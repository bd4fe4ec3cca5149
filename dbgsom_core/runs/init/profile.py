"""What a file or data set of which nothing is known seems to hold, by a part of it."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.runs.init.columns import (
    MOST_CLASSES,
    Cells,
    ColumnProfile,
    ambiguous_marks,
    common_unit,
    decimal_mark,
    is_header,
    profile_columns,
    thousands_mark,
)
from dbgsom_core.tables import (
    CsvDialect,
    as_array,
    open_packed,
    open_table,
    parse_csv,
    reading,
    sniff_csv,
    without_unit,
)
from dbgsom_core.tables._files import exists, open_regular, why_unreadable

_CELLS = 2_000_000  # of a table that are looked at, more or less
_LEAST_ROWS, _MOST_ROWS = 50, 50_000
_ARRAY_ROWS = 5000  # of an array that are looked at
_WHOLE = 8 << 20  # bytes up to which all of a text is looked at
_HEAD = 2 << 20  # bytes of the beginning of a larger one
_BLOCK, _BLOCKS = 1 << 18, 8  # bytes of a part of its middle, and how many of these
_CHECKED = 256 << 20  # bytes that are looked through for characters that are not UTF-8
_NOT_CP1252 = rb"[\x81\x8d\x8f\x90\x9d]"


@dataclass(frozen=True)
class TableProfile:
    """What a data set seems to hold.

    Attributes
    ----------
    format : {"csv", "parquet", "feather", "npy", "npz", "name"}
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

    format: str
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
    if start.startswith((b"PAR1", b"ARROW1")):
        return _columnar(given, "parquet" if start.startswith(b"PAR1") else "feather")
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
    format: str, given: str, X: Any, y: Any = None, options: dict[str, Any] | None = None
) -> TableProfile:
    if X.ndim != 2 or X.dtype.kind not in "fiub" or not X.size:
        raise DataError(
            f"{given} holds {X.dtype} of shape {X.shape}, not numbers (samples, features)"
        )
    step = max(1, len(X) // _ARRAY_ROWS)
    some = np.asarray(X[::step][:_ARRAY_ROWS], dtype=np.float64)
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


def _columnar(given: str, format: str) -> TableProfile:
    reader = open_table(given, format=format)
    most = max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // max(1, len(reader.names))))
    batch = next(reader.batches(rows=most), None)
    if batch is None or not batch.num_rows:
        raise DataError(f"{given} has no rows: give a file with data")
    texts = [_as_text(column) for column in batch.columns]
    empty = pa.array([""] * batch.num_rows)
    columns = profile_columns(
        reader.names, [Cells.of(empty if text is None else text) for text in texts]
    )
    columns = [
        replace(column, kind="text") if text is None else column
        for column, text in zip(columns, texts, strict=True)
    ]
    rows = reader.num_rows or batch.num_rows
    return TableProfile(reader.format, given, columns, rows, batch.num_rows == rows)


def _as_text(column: pa.Array) -> pa.Array | None:
    """Return cells as text; None for cells that are no values, such as lists."""
    try:
        return as_array(column).cast(pa.string())
    except pa.ArrowException:
        return None


def _csv(given: str, path: Path) -> TableProfile:
    """Profile a CSV file by its beginning and, where it is large, by parts of its middle."""
    with reading(given, "text"):
        head, parts, size = _samples(given, path)
    encoding = _encoding(given, head, parts)
    complete = size is not None and size <= len(head)
    start = head.decode(encoding, "ignore").encode()
    start = start if complete else _whole_records(start)
    dialect = CsvDialect(encoding="utf-8", header=False)
    found = sniff_csv(start, given, dialect)
    table = parse_csv(start[found.skip :], found, given)
    seen, width = table.num_rows, table.num_columns
    for part in parts:
        text = part.decode(encoding, "ignore").encode().partition(b"\n")[2]
        with suppress(DataError):  # it begins within quotes
            table = pa.concat_tables([table, parse_csv(_whole_records(text), found, given)])
    columns = table.slice(0, max(_LEAST_ROWS, _CELLS // width)).columns
    first = [column[0].as_py() for column in columns]
    below = [Cells.of(column.slice(1)) for column in columns]  # the first row may be names
    units = [common_unit(cells) for cells in below]
    plain = [
        Cells(without_unit(cells.texts, unit), cells.counts)
        for cells, unit in zip(below, units, strict=True)
    ]
    delimiter = found.dialect.delimiter or ","
    decimal = decimal_mark(plain, comma_parts_fields=delimiter == ",")
    thousands = thousands_mark(plain, decimal)
    bare = [
        without_unit(pa.array([cell]), unit)[0].as_py()
        for cell, unit in zip(first, units, strict=True)
    ]
    header = is_header(bare, decimal, thousands)
    named = sum(map(bool, first))
    if header and width > 2 and 2 * named < width:
        raise DataError(
            f"{given}: the first line names {named} of {width} columns: take lines above the "
            "header away"
        )
    if header and table.num_rows == 1:
        raise DataError(f"{given} has a header and no line below it: give a file with data")
    names = first if header else found.names
    cells = below if header else [Cells.of(column) for column in columns]
    said = start[: found.skip].removeprefix(b"\xef\xbb\xbf").strip() != b""
    options = {
        "delimiter": (delimiter, "," if not said else delimiter),
        "encoding": (encoding, "utf-8"),
        "decimal": (decimal, "."),
        "thousands": (thousands, ""),
        "header": (header, True),
    }
    notes = ambiguous_marks(names, plain, decimal)
    if said:
        notes.append(f"the first line says that '{delimiter}' parts fields")
    if size is None:
        notes.append("it is packed: only its beginning was looked at")
    rows = (seen - header) * max(1.0, (size or 0) / len(head))
    return TableProfile(
        "csv",
        given,
        profile_columns(names, cells, decimal, thousands),
        int(rows),
        complete,
        {key: value for key, (value, usual) in options.items() if value != usual},
        notes,
    )


def _whole_records(text: bytes) -> bytes:
    """Return a text up to the last line break that stands in no quotes."""
    cut = text.rfind(b"\n")
    while cut > 0 and text.count(b'"', 0, cut) % 2:
        cut = text.rfind(b"\n", 0, cut)
    return text[: cut + 1]


def _samples(given: str, path: Path) -> tuple[bytes, list[bytes], int | None]:
    """Return the beginning of a file, parts of its middle, and its size; None where it is packed
    and larger than the beginning.
    """
    with open_packed(given) as file:
        head = file.read(_WHOLE + 1)
        if len(head) <= _WHOLE:
            return head, [], len(head)
        if not file.seekable():
            return head[:_HEAD], [], None
        size, parts = path.stat().st_size, []
        for number in range(1, _BLOCKS + 1):
            file.seek(_HEAD + (size - _HEAD - _BLOCK) * number // _BLOCKS)
            parts.append(file.read(_BLOCK))
    return head[:_HEAD], parts, size


def _encoding(given: str, head: bytes, parts: Sequence[bytes]) -> str:
    """Return the encoding of a text: UTF-8, or another one where it cannot be that."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder, left = codecs.getincrementaldecoder("utf-8")(), _CHECKED
    with reading(given, "text"), open_packed(given) as file:
        while left > 0 and (some := file.read(_WHOLE)):
            left -= len(some)
            try:
                decoder.decode(some)
            except UnicodeDecodeError:
                characters = b"".join([head, *parts, some])
                windows = re.search(rb"[\x80-\x9f]", characters)
                return "cp1252" if windows and not re.search(_NOT_CP1252, characters) else "latin-1"
    return "utf-8"
