"""A look at a file or data set of which nothing is known: what it is, by a part of it."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.interfaces.files import exists, open_regular, why_unreadable
from dbgsom_core.interfaces.unpacking import open_text
from dbgsom_core.runs.first_look.column_kinds import (
    Column,
    decimal_mark,
    has_header,
    look_at_columns,
    thousands_mark,
)

Format = Literal["csv", "parquet", "npy", "npz", "name"]
_WHOLE = 8 << 20  # bytes up to which all of a file is looked at
_HEAD = 2 << 20  # bytes of the beginning of a larger one
_BLOCK = 1 << 18  # bytes of each part in its middle
_BLOCKS = 8
_CHECKED = 256 << 20  # bytes that are looked through for letters that are no UTF-8
_CELLS = 2_000_000  # that are looked at, more or less
_DELIMITERS = (";", "\t", "|", ",")
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NOT_CP1252 = rb"[\x81\x8d\x8f\x90\x9d]"
_ROWS = 5000  # of an array that are looked at


@dataclass(frozen=True)
class Look:
    """What a data set seems to be.

    Attributes
    ----------
    format : {"csv", "parquet", "npy", "npz", "name"}
    path : str
        As it was given, or the name of a data set.
    columns : sequence of Column
        Empty for arrays and data sets by name.
    rows : int
        How many there are, an estimate where ``whole`` is False.
    whole : bool
        All of it was looked at.
    options : mapping
        How a file is written: delimiter, encoding, decimal, header; names of arrays.
    notes : sequence of str
    features : int
        Of an array.
    missing : bool
        Values of an array are missing.
    spreads : sequence of float
        Standard deviations of the features that are numbers.
    classes : int or None
        How many an array of targets names; None: it holds numbers, or there is none.
    has_target : bool
    """

    format: Format
    path: str
    columns: Sequence[Column] = ()
    rows: int = 0
    whole: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    features: int = 0
    missing: bool = False
    spreads: Sequence[float] = ()
    classes: int | None = None
    has_target: bool = False


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
    return _csv(given, path)


def _siblings(path: Path) -> list[str]:
    try:
        return [one.name for one in itertools.islice(path.parent.iterdir(), 1000)]
    except OSError:
        return []


# ------------------------------------------------------------------------------------- CSV


def _csv(given: str, path: Path) -> Look:
    try:
        head, parts, whole, size = _parts(given, path)
    except OSError as error:
        raise DataError(f"{given} cannot be read: {error.strerror or error}") from None
    if b"\0" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{given} is no text: give a CSV, Parquet, .npy or .npz file")
    encoding = _encoding(path, [head, *parts], whole)
    text = _decoded(head, encoding)
    said = _SEP.match(text.partition("\n")[0])
    if said:
        text = text.partition("\n")[2]
    delimiter = said[1] if said else _delimiter(text)
    rows = _parsed(text, delimiter, whole, skip_first=False)
    if not rows:
        raise DataError(f"{given} holds no rows: give a file with data")
    width = Counter(map(len, rows)).most_common(1)[0][0]
    seen = len(rows)
    if any(len(row) != width for row in rows):
        raise DataError(f"{given}, {_ragged(text, delimiter, 2 if said else 1)}")
    rows += [
        row
        for part in parts
        for row in _parsed(_decoded(part, encoding), delimiter, False, skip_first=True)
    ]
    rows = [row for row in rows if len(row) == width][: max(50, _CELLS // width)]
    columns = list(zip(*rows, strict=True))
    decimal = decimal_mark([column[1:] for column in columns]) if delimiter != "," else "."
    header = has_header(rows, decimal)
    named = sum(map(bool, rows[0]))
    if header and width > 2 and 2 * named < width:
        raise DataError(
            f"{given}: the first line names {named} of {width} columns: take lines above the "
            "header away"
        )
    names = list(rows[0]) if header else [str(i) for i in range(width)]
    if header and len(rows) == 1:
        raise DataError(f"{given} has a header and no line below it: give a file with data")
    below = 1 if header else 0
    cells = [column[below:] for column in columns]
    thousands = thousands_mark(cells, decimal)
    found = look_at_columns(names, cells, decimal, thousands)
    options: dict[str, Any] = {}
    if delimiter != "," and not said:
        options["delimiter"] = delimiter
    if encoding not in ("utf-8", "utf-8-sig"):
        options["encoding"] = encoding
    if decimal != ".":
        options["decimal"] = decimal
    if thousands:
        options["thousands"] = thousands
    if not header:
        options["header"] = False
    notes = []
    if said:
        notes.append(f"the first line says that '{delimiter}' parts fields")
    if not whole and not size:
        notes.append("it is packed: only its beginning was looked at")
    estimate = int((seen - below) * max(1.0, size / len(head)))
    return Look("csv", given, found, max(0, estimate), whole, options, notes)


def _parts(given: str, path: Path) -> tuple[bytes, list[bytes], bool, int]:
    """Return the beginning of a text, parts of its middle, whether that is all, and its size."""
    size = path.stat().st_size
    with open_text(path, given) as file:
        head = file.read(_WHOLE + 1)
        whole = len(head) <= _WHOLE
        parts = []
        packed = not file.seekable()
        if not whole and not packed:
            for place in range(1, _BLOCKS + 1):
                file.seek(_HEAD + (size - _HEAD - _BLOCK) * place // _BLOCKS)
                parts.append(file.read(_BLOCK))
    return (
        (head, [], True, len(head))
        if whole
        else (head[:_HEAD], parts, False, 0 if packed else size)
    )


def _encoding(path: Path, parts: Sequence[bytes], whole: bool) -> str:
    if parts[0].startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if parts[0].startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    decoder = codecs.getincrementaldecoder("utf-8")
    try:
        if whole:
            parts[0].decode("utf-8")
        else:
            reading, left = decoder(), _CHECKED
            with open_text(path, str(path)) as file:
                while left > 0 and (chunk := file.read(_WHOLE)):
                    reading.decode(chunk)
                    left -= len(chunk)
            for part in parts[1:]:
                decoder().decode(part.partition(b"\n")[2])
    except UnicodeDecodeError:
        letters = b"".join(parts)
        if re.search(rb"[\x80-\x9f]", letters) and not re.search(_NOT_CP1252, letters):
            return "cp1252"
        return "latin-1"
    return "utf-8"


def _decoded(part: bytes, encoding: str) -> str:
    return part.decode(encoding, errors="ignore").replace("\0", "")  # ends may be cut


def _delimiter(text: str) -> str:
    """Return what parts the fields of as many lines as possible into as many fields each."""
    lines = text[: 1 << 20].splitlines()
    sample = "\n".join(lines[:-1] if len(lines) > 2 else lines)
    best, found = (0.0, 1), ","
    for delimiter in _DELIMITERS:
        rows = _parsed(sample, delimiter, True, skip_first=False)
        if not rows:
            continue
        width, times = Counter(map(len, rows)).most_common(1)[0]
        share = times / len(rows)
        if width > 1 and (round(share, 1), 0 if best[1] > 1 else width) > (round(best[0], 1), 0):
            best, found = (share, width), delimiter
    return found


def _parsed(text: str, delimiter: str, whole: bool, skip_first: bool) -> list[list[str]]:
    """Return the stripped fields of the records of a text; the ends of a part may be cut."""
    if skip_first:
        text = text.partition("\n")[2]
    rows = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    cells = 0
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if fields and fields != [""]:
                rows.append(fields)
                cells += len(fields)
                if cells > _CELLS:
                    return rows
    except csv.Error:
        pass
    return rows if whole or not rows else rows[:-1]


def _ragged(text: str, delimiter: str, line: int) -> str:
    """Return which line of a text, whose first is ``line``, has not as many fields as the first."""
    above, first, width = line - 1, 0, 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        if any(map(str.strip, row)) or len(row) > 1:
            width, first = width or len(row), first or line
            if len(row) != width:
                fields = f"{len(row)} field{'s' if len(row) > 1 else ''}"
                cure = f"give every line a field a column, in quotes where it holds {delimiter!r}"
                return f"line {line} has {fields} and line {first} has {width}: {cure}"
        line = above + reader.line_num + 1
    raise AssertionError("no line differs")


# ------------------------------------------------------------------------- arrays, parquet, names


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
            most = max(50, min(50_000, _CELLS // max(1, len(names))))
            batch = next(opened.iter_batches(batch_size=most), None)
            frame = None if batch is None else batch.to_pandas()
    except Exception as error:  # what a damaged byte raises is in no list
        raise DataError(f"{given} is no Parquet file, or damaged: {error}") from None
    if frame is None or not len(frame):
        raise DataError(f"{given} has no rows: give a file with data")
    whole = len(frame) == total
    cells, nested = [], set()
    for i, name in enumerate(names):
        column = frame[name]
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
