"""How a CSV file is written: its encoding, delimiter and header, from how it begins."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.cells import NA_VALUES, number, short
from dbgsom_core.files import why_unreadable
from dbgsom_core.interfaces.unpacking import no_text, open_text

_HEAD = 1 << 20  # bytes in which the first lines are looked for
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that spreadsheets write
_GAPS = frozenset(word.upper() for word in NA_VALUES)
_DELIMITERS = (",", ";", "\t", "|")


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open a CSV file, unpacked where it is packed; ``-`` is standard input."""
    if path == "-":
        yield _own_input(sys.stdin)
    else:
        with open_text(Path(path), path) as stream:
            yield stream


@lru_cache(maxsize=1)
def _own_input(stdin: Any) -> Any:
    # Python cannot end while a thread waits for what comes into its own reader of standard input.
    try:
        return os.fdopen(os.dup(stdin.fileno()), "rb")
    except OSError:  # it is no file
        return stdin.buffer


class Written(NamedTuple):
    """How a CSV file is written, as far as that was said: None where it was not.

    ``thousands`` is what may stand between thousands.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None


NOT_SAID = Written()


class Head(NamedTuple):
    """How a CSV file begins."""

    names: list[str]
    delimiter: str
    encoding: str
    skipped: int  # lines before the header
    header: bool
    line: int | None  # of the first row, where every row is one line


def look_at_head(
    path: str,
    known: Collection[str],
    written: Written,
    trained: Written,
    notes: list[str],
) -> Head:
    """Look at how a CSV file begins.

    Parameters
    ----------
    path : str
    known : collection of str
        Columns that the model knows.
    written : Written
        What was said of the file, its decimal mark included; the rest is found out.
    trained : Written
        What is known of the training's file.
    notes : list of str
        Gets what a reader should know.

    Raises
    ------
    DataError
        It cannot be read, is empty, or its columns cannot be told apart.
    """
    delimiter, encoding = written.delimiter, written.encoding
    read_as = encoding or trained.encoding or "utf-8"
    if read_as.lower() in ("utf-8", "utf8"):
        read_as = "utf-8-sig"
    try:
        with opened(path) as stream:
            start = stream.peek(_HEAD) if path == "-" else stream.read(_HEAD)
        if path == "-" and (kind := no_text(start)):
            raise DataError(f"standard input is {kind}")
        if start.startswith(codecs.BOM_UTF8):  # whatever the training's file was
            read_as = "utf-8-sig"
        elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            read_as = "utf-16"
        elif encoding is None and read_as != "utf-8-sig" and _is_utf8(start):
            notes.append(
                f"{path} is read as UTF-8, which it is, and not as {read_as}, which the "
                "training's file was; --encoding says otherwise"
            )
            read_as = "utf-8-sig"
        text = start.decode(read_as, "replace")
    except LookupError:
        raise DataError(f"--encoding: there is no encoding '{short(read_as)}'") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {why_unreadable(path, error)}") from error
    text = text.removeprefix("\ufeff")
    lines = re.split(r"\r\n|\r|\n", text)  # letters that may end a line elsewhere stand in cells
    if not lines[-1]:
        lines.pop()
    skipped, given = 0, delimiter
    said = _SEP.fullmatch(lines[0]) if lines else None
    if said:
        skipped, delimiter = 1, delimiter or said[1]
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    rest = "\n".join(lines[skipped:])
    if not rest.strip():
        raise DataError(f"{path} is empty: give a file with a header and rows")

    def fits(one: str) -> tuple[int, bool, bool, int]:
        cells = _first_record(rest, one)
        usual = one == trained.delimiter and len(cells) > 1
        parts = one != written.decimal or usual  # numbers with decimal commas may be quoted
        return len({*known}.intersection(cells)), parts, usual, len(cells)

    candidates = dict.fromkeys((*_DELIMITERS, *filter(None, [trained.delimiter])))
    delimiter = delimiter or max(candidates, key=fits)
    names = _first_record(rest, delimiter)
    _check_parted(path, names, delimiter, "sep=" if said and not given else "")
    if not {*known} <= {*names} and any("\ufffd" in name for name in {*names} - {*known}):
        raise no_such_text(path, read_as)
    # Files without a header count their columns, and so does a model that learnt from one.
    counted = _are_numbers(names, written.decimal or ".") or (
        bool(known) and all(map(str.isdigit, known))
    )
    header = not counted or (bool(known) and {*known} <= {*names})
    if not header:
        names = [str(place) for place in range(len(names))]
    broken = '"' in rest or not all(map(str.strip, lines[skipped:])) or len(start) >= _HEAD
    broken |= path == "-"  # of which this is some
    line = None if broken else skipped + header + 1
    return Head(names, delimiter, read_as, skipped, header, line)


def no_such_text(path: str, encoding: str) -> DataError:
    """Return the refusal of a file whose letters are written otherwise."""
    name = "UTF-8" if encoding == "utf-8-sig" else encoding
    return DataError(
        f"{path} is no text of the encoding {name}: say which with --encoding, such as cp1252, "
        "that of Windows and Excel, or latin-1"
    )


def _are_numbers(cells: Sequence[str], mark: str) -> bool:
    """Say whether there are numbers in the cells of a line, and nothing else but gaps."""
    values = [number(cell.replace(mark, "."), ".") for cell in cells if cell.upper() not in _GAPS]
    indexed = ["", *map(str, range(len(cells) - 1))]  # as pandas heads a table without names
    return bool(values) and None not in values and [*cells] != indexed


def _is_utf8(start: bytes) -> bool:
    """Say whether the beginning of a file holds letters that are no ASCII, all of them UTF-8."""
    try:
        return not codecs.getincrementaldecoder("utf-8")().decode(start).isascii()
    except UnicodeDecodeError:
        return False


def _check_parted(path: str, names: list[str], delimiter: str, said: str) -> None:
    """Refuse a single column in whose name another delimiter stands."""
    others = [
        one for one in _DELIMITERS if len(names) == 1 and one != delimiter and one in names[0]
    ]
    if others:
        cure = "--delimiter '{}'".format(others[0].replace("\t", r"\t"))
        why = f"its line {said}{delimiter} does not part it" if said else "nothing parts it"
        raise DataError(f"{path} has the single column '{short(names[0])}' ({why}): give {cure}")


def _first_record(text: str, delimiter: str) -> list[str]:
    try:
        record = next(csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in record]
