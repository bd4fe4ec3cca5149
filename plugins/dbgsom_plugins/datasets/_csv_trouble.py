"""Find the first line of a CSV file that cannot be used, and say why.

Only read when the fast reader gave up: a slow walk over the records that knows their lines.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dbgsom_core.api import DataError, open_regular
from dbgsom_plugins.datasets._arrays import CURE
from dbgsom_plugins.datasets._csv_columns import Columns

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "-nan", "<na>", "null", "none", "?", "-", "."})
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_LONGEST_LINE = 1 << 24  # letters: a table of a million columns
_MOST_BLANK = 1_000_000  # blank lines in a row
_LONG = 40  # characters of a value that a message shows


def records(path: str, file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the record starts, its stripped fields), blank lines left out.

    Raises
    ------
    DataError
        The file is no UTF-8 text, its quotes never close, or a line never ends.
    """
    line, blank = 1, 0
    with io.TextIOWrapper(open_regular(file), encoding="utf-8-sig", newline="") as stream:
        lines = _lines(path, stream)
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        try:
            for row in reader:
                fields = [field.strip() for field in row]
                if fields and fields != [""]:
                    yield line, fields
                    blank = 0
                elif (blank := blank + 1) > _MOST_BLANK:
                    raise DataError(f"{path}, line {line}: too many blank lines: this is no table")
                line = reader.line_num + 1
        except UnicodeDecodeError:
            raise DataError(f"{path} is no UTF-8 text: save it with the encoding UTF-8") from None
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: no CSV ({error}): check the quotes from this line on"
            ) from None


def _lines(path: str, stream: io.TextIOWrapper) -> Iterator[str]:
    number = 1
    while line := stream.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{path}, line {number} has more than {_LONGEST_LINE} letters: this is no table"
            )
        if "\0" in line:
            raise DataError(
                f"{path}, line {number} holds a zero byte: the file is damaged or cut off, or is "
                "no UTF-8 text; save it again"
            )
        yield line
        number += 1


def trouble(
    path: str,
    rows: Iterator[tuple[int, list[str]]],
    columns: Columns,
    delimiter: str,
    numeric_target: bool = False,
    keeps_missing: bool = False,
) -> DataError | None:
    """Return what is wrong with the first record that cannot be used, or None.

    Parameters
    ----------
    path : str
        What messages call the file.
    rows : iterator of (line, fields)
        The records below the header.
    columns : Columns
    delimiter : str
    numeric_target : bool
        The target must hold finite numbers.
    keeps_missing : bool
        Numeric cells may say that a value is missing.
    """
    numeric = {*columns.numeric, *((columns.target,) if numeric_target else ())}
    for line, fields in rows:
        where = f"{path}, line {line}"
        if len(fields) != len(columns.names):
            return DataError(_ragged(where, fields, columns.names, delimiter))
        for i in columns.used:
            kept = keeps_missing and i in columns.numeric
            problem = _cell(fields[i], i in numeric, i == columns.target, kept)
            if problem:
                return DataError(f"{where}, column {columns.called(i)}: {problem}")
    return None


def is_number(text: str) -> bool:
    """Return whether text is a number as CSV files write it (Python's ``1_000`` is none)."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _cell(text: str, numeric: bool, is_target: bool, keeps_missing: bool) -> str | None:
    if text == "" or (numeric and text.lower() in MISSING_WORDS):
        if keeps_missing:
            return None
        cure = "drop such samples" if is_target else CURE
        return "the value is missing" + (f" (found '{text}')" if text else "") + f": {cure}"
    if not numeric:
        return None
    if not is_number(text):
        shown = text if len(text) <= _LONG else text[:_LONG] + "…"
        if _DECIMAL_COMMA.fullmatch(text):
            return f"'{shown}' is no number: write it with a decimal point"
        return (
            f"'{shown}' is no number: list the column under categorical or drop, "
            "or make it the target"
        )
    if not math.isfinite(float(text)):
        return f"the value '{text}' is infinite: drop or replace it"
    return None


def _ragged(where: str, fields: Sequence[str], names: Sequence[str], delimiter: str) -> str:
    found = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    if any("\n" in field for field in fields):
        cure = "check for a quote that never closes"
    elif len(fields) > len(names):
        cure = f"put quotes around a field that contains {delimiter!r}"
    else:
        cure = "give every line a field for each column"
    return f"{where} has {found} where the table has {len(names)} columns: {cure}"
