"""CSV files: detect the dialect, read rows in batches, write."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbgsom_core.errors import DataError
from dbgsom_core.files import open_regular, reading
from dbgsom_core.tables.cells import number, short, unit_of
from dbgsom_core.tables.reader import CsvDialect, TableReader, as_array, as_texts

STANDARD_STREAM = "-"  # standard input, or output
_BLOCK = 1 << 23  # characters that pyarrow parses at a time: enough for its threads
_MOST_RECORD = 2 * _BLOCK  # bytes: a row of more is a file without rows, or a quote left open
_HEAD = 1 << 22  # bytes by which the dialect is found: the header of 100,000 columns lies in them
_MOST_COLUMNS = 100_000  # each takes pyarrow 8 kB of memory, whatever it holds
_SNIFFED = 100  # records by which a delimiter is chosen: each candidate reads them anew
_DELIMITERS = (";", "\t", "|", ",")  # the comma last, as it may be a decimal mark
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that spreadsheets write
UNKNOWN_DIALECT = CsvDialect()


@dataclass
class CsvReader(TableReader):
    """The rows of a CSV file, which may be standard input, as batches of text.

    Attributes
    ----------
    skip : int
        How many lines of the file stand above the first row.
    content : bytes or None
        Of standard input.
    """

    skip: int = 0
    content: bytes | None = None

    @classmethod
    def open(
        cls,
        path: str,
        dialect: CsvDialect = UNKNOWN_DIALECT,
        trained: CsvDialect = UNKNOWN_DIALECT,
        known: Collection[str] = (),
        guess: bool = True,
    ) -> CsvReader:
        """Open a file and detect its dialect; see `open_table`."""
        content, files = None, [Path(path).expanduser()]
        with reading(path, "csv file"):
            if path == STANDARD_STREAM:
                content, files = sys.stdin.buffer.read(), []
                start = content[:_HEAD]
            else:
                with _open_packed(path) as file:
                    start = file.read(_HEAD)
            encoding, text = _decoded(start, path, dialect, trained)
            head = io.StringIO(text, newline="")
            skip, delimiter = 0, dialect.delimiter
            separator = _SEP.fullmatch(head.readline())
            if separator:
                skip, delimiter = 1, separator[1]
            else:
                head.seek(0)
            if delimiter is None and guess:
                delimiter = _guess_delimiter(text, dialect, trained, known)
            delimiter = delimiter or ","
            names, above, below = _first_record(head, delimiter, path)
        header = dialect.header
        if header is None:
            # A model that learnt from a table without names knows their numbers.
            is_numbered = bool(known) and all(map(str.isdigit, known))
            header = not guess or (is_header(names) and not is_numbered)
        if header:
            skip += below
        else:
            skip += above
            names = list(map(str, range(len(names))))
        return cls(
            path,
            "csv",
            names,
            [pa.string()] * len(names),
            dialect=replace(dialect, delimiter=delimiter, encoding=encoding, header=header),
            files=files,
            skip=skip,
            content=content,
        )

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        from pyarrow import csv as arrow_csv

        dialect: Any = self.dialect
        names = list(map(str, range(len(self.names))))
        chosen = list(map(str, places))
        parsing = arrow_csv.ParseOptions(
            delimiter=dialect.delimiter,
            newlines_in_values=True,
            invalid_row_handler=lambda row: "error" if row.text.strip() else "skip",
        )
        converting = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[*dict.fromkeys([*chosen, names[-1]])],
        )
        last = ""
        for block in self._blocks():
            whole = arrow_csv.ReadOptions(column_names=names, block_size=len(block) + 1)
            table = arrow_csv.read_csv(pa.BufferReader(block), whole, parsing, converting)
            for batch in table.to_batches():
                if batch.num_rows:
                    last = str(batch.column(names[-1])[-1].as_py())
                    yield batch.select(chosen)
        if "\n" in last or "\r" in last:  # a quote that is never closed takes in all that follows
            for _ in self._records(strict=True):
                pass

    def _blocks(self) -> Iterator[bytes]:
        """Yield the rows as UTF-8, some megabytes of whole records at a time.

        pyarrow's own reader of streams reads ahead in threads, which crash once a row is refused.
        """
        dialect: Any = self.dialect
        left = b""
        with self._rows() as rows:
            while text := rows.read(_BLOCK):
                block = left + text.encode()
                end = _end_of_records(block, dialect.delimiter)
                if not end and len(block) > _MOST_RECORD:
                    raise DataError(
                        f"{self.path} has a row of more than {_MOST_RECORD >> 20} MB: close the "
                        "quote that begins in it, or end its lines"
                    )
                left = block[end:]
                if block[:end].strip(b"\r\n"):
                    yield block[:end]
        if left.strip(b"\r\n"):
            yield left

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        chosen, lines = {*rows}, dict[int, int]()
        with reading(self.path, "csv file"), suppress(DataError):  # of very long fields
            records = islice(self._records(), max(chosen, default=-1) + 1)
            for row, line in enumerate(records):
                if row in chosen:
                    lines[row] = line
        return lines

    def _records(self, strict: bool = False) -> Iterator[int]:
        """Yield the line, from 1, on which each row begins, by the module csv."""
        dialect: Any = self.dialect
        with self._rows() as rows:
            records = csv.reader(rows, delimiter=dialect.delimiter, strict=strict)
            line = self.skip + 1
            try:
                for fields in records:
                    if any(map(str.strip, fields)) or len(fields) == len(self.names):
                        yield line
                    line = self.skip + records.line_num + 1
            except csv.Error as error:
                raise DataError(f"{self.path}, line {line}: no CSV ({error})") from None

    def _rows(self) -> io.TextIOWrapper:
        """Return the text of the file, of which the first row is read next."""
        dialect: Any = self.dialect
        stream = _open_packed(self.path) if self.content is None else io.BytesIO(self.content)
        encoding = dialect.encoding
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"  # which leaves out a byte order mark
        rows = io.TextIOWrapper(stream, encoding, newline="")
        for _ in range(self.skip):
            rows.readline()
        return rows


def _decoded(start: bytes, path: str, dialect: CsvDialect, trained: CsvDialect) -> tuple[str, str]:
    """Return the encoding that a byte order mark, the user or the training says, and the text."""
    encodings = [dialect.encoding or "utf-8", trained.encoding or "utf-8"]
    if start.startswith(codecs.BOM_UTF8):
        encodings = ["utf-8"]
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    for encoding in encodings:
        with suppress(UnicodeError, LookupError):
            text = codecs.getincrementaldecoder(encoding)().decode(start)
            if "\0" in text:
                raise DataError(f"{path} holds zero bytes: it is no text, or in another encoding")
            return encoding, text.removeprefix("\ufeff")
    raise DataError(
        f"{path} is no text of the encoding {encodings[0].upper()}: give encoding as that of the "
        "file, such as cp1252 (Windows, Excel)"
    )


def _end_of_records(block: bytes, delimiter: str) -> int:
    """Return where the last whole record ends in a block that begins with one; 0: nowhere.

    A line ends a record if an even number of quotes stand before it. Only those count that open a
    field, which follow a delimiter or the end of a line, and what stands up to their close.
    """
    if b'"' not in block:
        return max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
    text = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(text == ord('"'))
    opening = quotes[::2][quotes[::2] > 0]
    can_precede = bytearray(f'{delimiter}\r\n"'.encode())
    if not np.isin(text[opening - 1], can_precede).all():  # as in 5", which opens no field
        field = rb'(?:^|[\r\n%b])("[^"]*(?:""[^"]*)*("?))' % re.escape(delimiter.encode())
        pairs = [(match.start(1), match.start(2)) for match in re.finditer(field, block)]
        quotes = np.ravel(pairs)
    ends = np.flatnonzero((text == ord("\n")) | (text == ord("\r")))
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if not outside.size:
        return 0
    return int(outside[-1]) + 1


def _guess_delimiter(
    text: str, dialect: CsvDialect, trained: CsvDialect, known: Collection[str]
) -> str:
    """Return the delimiter that finds most known names, then most records as wide as the first."""
    candidates = [trained.delimiter or ";", *_DELIMITERS]
    if dialect.decimal == ",":
        candidates.remove(",")
    scores: dict[str, tuple[int, float]] = {}
    for delimiter in candidates:
        rows: list[list[str]] = []
        with suppress(csv.Error):
            records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            for row in islice(records, _SNIFFED):
                if any(map(str.strip, row)):
                    rows.append(row)
        if rows and len(rows[0]) > 1:
            names = set(map(str.strip, rows[0]))
            widths = Counter(map(len, rows))
            alike = widths[len(rows[0])] / len(rows)
            scores[delimiter] = len(names.intersection(known)), round(alike, 1)
    return max(scores, key=scores.__getitem__, default=",")


def _first_record(head: io.StringIO, delimiter: str, path: str) -> tuple[list[str], int, int]:
    """Return the first record, stripped, and how many lines stand above it and below its end."""
    records, above = csv.reader(head, delimiter=delimiter), 0
    names: list[str] = []
    for record in records:
        names = list(map(str.strip, record))
        if any(names) or len(names) > 1:
            break
        above = records.line_num
    if not any(names) and len(names) < 2:
        raise DataError(f"{path} is empty: give a file with data")
    if len(names) > _MOST_COLUMNS:
        raise DataError(f"{path}: more than {_MOST_COLUMNS} columns: save them as .npy")
    for other in _DELIMITERS:
        if len(names) == 1 and other != delimiter and other in names[0]:
            column = f"the single column '{short(names[0])}'"
            raise DataError(f"{path} has {column}: give delimiter as '{other}'")
    return names, above, records.line_num


def is_header(row: Sequence[str], marks: tuple[str, str] = (".", "")) -> bool:
    """Return whether half of the cells in the first row of a table are words."""
    cells = words = 0
    for cell in filter(None, row):
        cells += 1
        words += number(cell, *marks) is None and not unit_of(cell)
    return 2 * words >= cells


class CsvWriter:
    """Writer of batches as CSV to a file of text.

    Floats are the shortest text that reads back to the bit; texts have quotes where they need
    them.
    """

    def __init__(
        self, file: Any, schema: pa.Schema, delimiter: str = ",", decimal: str = "."
    ) -> None:
        self._file, self._decimal = file, decimal
        self._writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        self._writer.writerow(schema.names)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        columns = []
        for column in map(as_array, batch.columns):
            if pa.types.is_floating(column.type):
                column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
                column = pc.replace_substring(as_texts(column), ".", self._decimal)
            columns.append(as_texts(column).to_pylist())
        self._writer.writerows(zip(*columns, strict=True))

    def close(self) -> None:
        self._file.flush()
        if self._file is not sys.stdout:
            self._file.close()


def csv_writer(
    path: Path, schema: pa.Schema, delimiter: str | None = None, decimal: str | None = None
) -> CsvWriter:
    """Return a writer to a file, or to standard output.

    Where it is not said, tabs part the fields of a .tsv file, and semicolons beside decimal commas.
    """
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    if decimal == usual:
        usual = ";"
    marks = delimiter or usual, decimal or "."
    if str(path) == STANDARD_STREAM:
        return CsvWriter(sys.stdout, schema, *marks)
    return CsvWriter(path.open("w", encoding="utf-8", newline=""), schema, *marks)


# --------------------------------------------------------------------------- compressed files


def _open_zstd(path: Path) -> Any:
    return pa.input_stream(str(path), compression="zstd")


_PACKED: dict[bytes, Any] = {  # what unpacks a file, by how it begins
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _open_zstd,
}


def _open_packed(path: str) -> Any:
    """Open a regular file for reading bytes, decompressed if it is compressed."""
    place = Path(path).expanduser()
    file = open_regular(place)
    start = file.read(16)
    for begin, unpack in _PACKED.items():
        if start.startswith(begin):
            file.close()
            return unpack(place)
    file.seek(0)
    return file
