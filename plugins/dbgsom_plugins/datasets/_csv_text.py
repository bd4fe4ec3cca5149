"""The text of a CSV file, record by record, with the lines on which they start."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbgsom_core.api import DataError, open_text

_LONGEST_LINE = 1 << 24  # letters: a table of a million columns
_MOST_BLANK = 1_000_000  # blank lines in a row
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


class _WithoutZeros(io.TextIOWrapper):
    """A text that is read in pieces, none of which may hold a zero byte: pandas would cut there."""

    def read(self, size: int | None = -1) -> str:
        piece = super().read(size)
        if "\0" in piece:
            raise ValueError("a zero byte")
        return piece


@dataclass(frozen=True)
class Text:
    """How the text of a table is to be read.

    Attributes
    ----------
    path : str
        What messages call the file.
    file : Path
    delimiter, encoding : str
    sep : bool
        The first line says which delimiter follows, and is no record.
    """

    path: str
    file: Path
    delimiter: str
    encoding: str
    sep: bool = False

    def open(self) -> io.TextIOWrapper:
        """Open the file as text, unpacked where it is packed."""
        codec = "utf-8-sig" if self.encoding.lower() in ("utf-8", "utf8") else self.encoding
        return _WithoutZeros(open_text(self.file, self.path), encoding=codec, newline="")

    def said_delimiter(self) -> str | None:
        """Return the delimiter that a first line such as ``sep=;`` says, or None."""
        with self.told(), self.open() as stream:
            found = _SEP.fullmatch(stream.readline(10))
        return found[1] if found else None

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line on which the record starts, its stripped fields), blank lines left out.

        Raises
        ------
        DataError
            The file is no text of its encoding, its quotes never close, or a line never ends.
        """
        with self.told(), self.open() as stream:
            above = 1 if self.sep else 0
            if self.sep:
                stream.readline(_LONGEST_LINE)
            line, blank = above + 1, 0
            lines = self._lines(stream, line)
            reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)
            try:
                for row in reader:
                    fields = [field.strip() for field in row]
                    if fields and fields != [""]:
                        yield line, fields
                        blank = 0
                    elif (blank := blank + 1) > _MOST_BLANK:
                        raise DataError(
                            f"{self.path}, line {line}: too many blank lines: this is no table"
                        )
                    line = above + reader.line_num + 1
            except csv.Error as error:
                raise DataError(
                    f"{self.path}, line {line}: no CSV ({error}): check the quotes from this line "
                    "on"
                ) from None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what reading raises into a sentence."""
        try:
            yield
        except UnicodeError:
            other = "that of the file, such as cp1252 (Windows, Excel) or latin-1"
            if self.encoding.lower() != "utf-8":
                other = "UTF-8"
            raise DataError(
                f"{self.path} is no text of the encoding {self.encoding.upper()}: set encoding to "
                f"{other}, or save it as UTF-8"
            ) from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _lines(self, stream: io.TextIOWrapper, number: int) -> Iterator[str]:
        while line := stream.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise DataError(
                    f"{self.path}, line {number} has more than {_LONGEST_LINE} letters: this is no "
                    "table"
                )
            if "\0" in line:
                raise DataError(
                    f"{self.path}, line {number} holds a zero byte: the file is damaged or cut "
                    f"off, or is no {self.encoding.upper()} text; save it again"
                )
            yield line
            number += 1
