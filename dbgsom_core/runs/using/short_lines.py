"""Lines of a CSV file that lack fields, which pandas fills up, and what else is wrong with it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.faults import CellsError
from dbgsom_core.runs.using.parts import Part

if TYPE_CHECKING:
    import pandas as pd


class ShortLines:
    """Reads a CSV file a second time, as far as its last column has gaps, and counts fields."""

    def __init__(self, path: str, part: Part) -> None:
        self._path, self._part = path, part
        self._rows = 0
        self._records: Generator[tuple[int, int, int], None, None] | None = None

    def check(self, frame: pd.DataFrame) -> None:
        """Raise DataError where a line of the next rows, all columns of them, lacks fields."""
        self._rows += len(frame)
        last = frame.iloc[:, -1]
        if not (last.isna() | (last == "")).any():
            return
        if self._records is None:
            self._records = self._counted()
        columns = len(self._part.head.names)
        for row, line, fields in self._records:
            if fields < columns:
                told = f"{fields} field{'s' if fields != 1 else ''} and the header {columns}"
                raise DataError(
                    f"{self._path}, line {line} has {told}: give every line a field a column"
                )
            if row == self._rows:
                break

    def close(self) -> None:
        """Close the file."""
        if self._records is not None:
            self._records.close()

    def _counted(self) -> Generator[tuple[int, int, int], None, None]:
        # Rows from 1, with the line on which each ends and how many fields it has.
        head = self._part.head
        with self._part.opened() as stream, suppress(csv.Error):  # of cells that pandas reads
            text = io.TextIOWrapper(stream, encoding=head.encoding, newline="")
            number, row = 0, -int(head.header)

            def lines() -> Iterator[str]:
                nonlocal number
                blank = " \t\r\n".replace(head.delimiter, "")  # such lines pandas leaves out
                for number, line in enumerate(text, 1):
                    if number > head.skipped and line.strip(blank):
                        yield line

            for fields in csv.reader(lines(), delimiter=head.delimiter, skipinitialspace=True):
                row += 1
                if row > 0:
                    yield row, self._part.before + number, len(fields)


def unreadable(path: str, part: Part, told: str) -> str:
    """Return what is wrong with a part of a file of which pandas has ``told``, in our words."""
    delimiter = part.head.delimiter
    cure = f"give every line a field a column, in quotes where it holds {delimiter!r}"
    if long := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", told):
        wide, line, fields = long.groups()
        where = f"{path}, line {part.before + int(line)}"
        return f"{where} has {fields} fields and the header {wide}: {cure}"
    if told.startswith("Length of header"):
        more = f"lines have more fields than the header, divided at {delimiter!r}"
        return f"{path}: {more}: {cure}, or say what divides them with --delimiter"
    if "EOF inside string" in told:
        return f"{path}: a quote is opened and never closed"
    return f"{path} cannot be read as a table: {told}"


def in_options(told: str) -> str:
    """Return what is wrong with a cell with the options of commands for the keys of a file."""
    told = told.replace("set thousands:", "give --thousands")
    told = told.replace("set decimal:", "give --decimal")
    return told.replace("mark ',': write", "mark ',': give --decimal ., or write")


@contextmanager
def located(path: str, first: int = 0, line: int | None = None) -> Iterator[None]:
    """Say of which file, and of which of its rows, a fault of a table is.

    ``line`` is that of the file on which row ``first`` stands, where that is known.
    """
    try:
        yield
    except CellsError as error:
        raise CellsError(path, error.faults.placed(first, line, in_options)) from error
    except DataError as error:
        raise DataError(re.sub(r"(?m)^the table", lambda _: path, str(error))) from error
