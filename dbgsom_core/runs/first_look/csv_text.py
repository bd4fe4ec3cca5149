"""A look at a file of delimited text: how it is written, and what its columns seem to be."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.cells import without_unit
from dbgsom_core.interfaces.unpacking import open_text
from dbgsom_core.runs.first_look.column_kinds import (
    CELLS,
    Look,
    decimal_mark,
    doubtful_marks,
    has_header,
    look_at_columns,
    thousands_mark,
    usual_unit,
)

_WHOLE = 8 << 20  # bytes up to which all of a file is looked at
_HEAD = 2 << 20  # bytes of the beginning of a larger one
_BLOCK = 1 << 18  # bytes of each part in its middle
_BLOCKS = 8
_CHECKED = 256 << 20  # bytes that are looked through for letters that are no UTF-8
_DELIMITERS = (";", "\t", "|", ",")
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NOT_CP1252 = rb"[\x81\x8d\x8f\x90\x9d]"


def look_at_csv(given: str, path: Path) -> Look:
    """Look at a file of delimited text, whose path was ``given`` so.

    Raises
    ------
    DataError
        It cannot be read, or holds no table.
    """
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
    rows = [row for row in rows if len(row) == width][: max(50, CELLS // width)]
    columns = list(zip(*rows, strict=True))
    units = [usual_unit(list(dict.fromkeys(column[1:]))) for column in columns]
    plain = [
        [without_unit(cell, unit) for cell in column] if unit else column
        for column, unit in zip(columns, units, strict=True)
    ]
    lower = [column[1:] for column in plain]  # the first row may be names
    decimal = decimal_mark(lower, quoted=delimiter == ",")
    thousands = thousands_mark(lower, decimal)
    header = has_header([column[0] for column in plain], decimal, thousands)
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
    notes = doubtful_marks(names, [column[below:] for column in plain], decimal)
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
                if cells > CELLS:
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
                if width == 1:
                    cure = "take lines above the table out of the file"
                elif any("\n" in field for field in row):
                    cure = "check for a quote that never closes"
                return f"line {line} has {fields} and line {first} has {width}: {cure}"
        line = above + reader.line_num + 1
    raise AssertionError("no line differs")
