"""CSV files: detect the dialect, read rows in batches, write."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbgsom_core.errors import DataError
from dbgsom_core.tables.cells import parse_numbers, short, to_bool
from dbgsom_core.tables.columns import MOST_FAULTS, as_array, as_texts, is_text, no_known_column
from dbgsom_core.tables.reader import CsvDialect, TableReader
from dbgsom_core.tables.safe_files import open_packed, reading, refuse_binary

STANDARD_STREAM = "-"  # standard input, or output
_BLOCK = 1 << 23  # bytes that pyarrow parses at a time; a row must lie in two of them
_HEAD = 1 << 22  # bytes by which the dialect is found: the header of 100,000 columns lies in them
_MOST_COLUMNS = 100_000  # each takes pyarrow 8 kB of memory, whatever it holds
_SNIFFED = 100  # records by which a delimiter is chosen
_DELIMITERS = (";", "\t", "|", ",")  # the comma last, as it may be a decimal mark
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that spreadsheets write
UNKNOWN_DIALECT = CsvDialect()


class CsvHead(NamedTuple):
    """Header and dialect of a CSV file, but for its marks of numbers.

    Attributes
    ----------
    names : list of str
        Of the columns, stripped; numbers from 0 without a header.
    delimiter, encoding : str
    has_header : bool
    skip : int
        How many lines of the file stand above the first row.
    """

    names: list[str]
    delimiter: str
    encoding: str
    has_header: bool
    skip: int


def sniff_csv(
    start: bytes,
    path: str,
    dialect: CsvDialect = UNKNOWN_DIALECT,
    trained: CsvDialect = UNKNOWN_DIALECT,
    known: Collection[str] = (),
    guess: bool = True,
) -> CsvHead:
    """Detect the dialect of a CSV file from its first bytes; see `open_table`."""
    encoding = _encoding(start, dialect, trained)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)
    except LookupError:
        raise DataError(f"{path}: there is no encoding '{short(encoding)}'") from None
    except UnicodeError:
        raise _wrong_encoding(path, encoding) from None
    if "\0" in text:
        raise _zero_byte(path, text.count("\n", 0, text.index("\0")) + 1)
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")
    stated = _SEP.fullmatch(lines.readline())
    skip = 1 if stated else 0
    if not stated:
        lines.seek(0)
    below = lines.tell()
    delimiter = dialect.delimiter or ("" if guess else ",")
    if stated and (not delimiter or _parts(lines, stated[1])):
        delimiter = stated[1]
    elif not delimiter:
        delimiter = _guess_delimiter(text, dialect, trained, known)
    lines.seek(below)
    names, above, end = _first_record(lines, delimiter, path)
    _check_names(names, path, delimiter, known, guess and dialect.delimiter is None)
    has_header = dialect.header
    if has_header is None:
        has_header = not guess or _is_header(names, known, dialect.decimal or ".")
    if not has_header:
        names = [str(place) for place in range(len(names))]
    return CsvHead(names, delimiter, encoding, has_header, skip + (end if has_header else above))


def _encoding(start: bytes, dialect: CsvDialect, trained: CsvDialect) -> str:
    """Return the encoding that a byte order mark, the user or a model's training says."""
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if dialect.encoding is not None:
        return dialect.encoding
    with suppress(UnicodeDecodeError):  # other encodings seldom make valid UTF-8
        codecs.getincrementaldecoder("utf-8")().decode(start)
        return "utf-8"
    return trained.encoding or "utf-8"


def _parts(lines: io.StringIO, delimiter: str) -> bool:
    """Return whether a delimiter parts the next record into several fields."""
    with suppress(csv.Error):
        return len(next(csv.reader(lines, delimiter=delimiter), ())) > 1
    return False


def _guess_delimiter(
    text: str, dialect: CsvDialect, trained: CsvDialect, known: Collection[str]
) -> str:
    """Return the delimiter that finds most known names, then most records of one width."""
    candidates = [*_DELIMITERS]
    if dialect.decimal == ",":
        candidates.remove(",")
    if trained.delimiter:
        candidates.insert(0, trained.delimiter)
    best, best_score = ",", (0, 0.0)
    for delimiter in candidates:
        records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows: list[list[str]] = []
        with suppress(csv.Error):
            rows += (row for row in islice(records, _SNIFFED) if any(map(str.strip, row)))
        if not rows:
            continue
        width, times = Counter(map(len, rows)).most_common(1)[0]
        names = {name.strip() for name in rows[0]}
        score = len(names.intersection(known)), round(times / len(rows), 1)
        if width > 1 and score > best_score:
            best, best_score = delimiter, score
    return best


def _first_record(lines: io.StringIO, delimiter: str, path: str) -> tuple[list[str], int, int]:
    """Return the first record, stripped, and how many lines stand above it and below its end."""
    records, above = csv.reader(lines, delimiter=delimiter), 0
    try:
        for record in records:
            fields = [cell.strip() for cell in record]
            if any(fields) or len(fields) > 1:
                return fields, above, records.line_num
            above = records.line_num
    except csv.Error as error:
        raise DataError(f"{path}, line {above + 1}: no CSV ({error})") from None
    raise DataError(f"{path} is empty: give a file with data")


def _check_names(
    names: Sequence[str], path: str, delimiter: str, known: Collection[str], is_guessed: bool
) -> None:
    if len(names) > _MOST_COLUMNS:
        raise DataError(
            f"{path}: {len(names)} columns are more than {_MOST_COLUMNS}: save them as .npy"
        )
    if len(names) > 1:
        return
    for other in _DELIMITERS:
        if other == delimiter or other not in names[0]:
            continue
        fields = [field.strip() for field in next(csv.reader([names[0]], delimiter=other))]
        if is_guessed and known and not {*known}.intersection(fields):
            raise DataError(no_known_column(path, known, fields))
        shown = r'"\t"' if other == "\t" else f"'{other}'"
        column = f"{path} has the single column '{short(names[0])}'"
        raise DataError(f"{column}: give delimiter as {shown}")


def _is_header(names: Sequence[str], known: Collection[str], decimal: str) -> bool:
    """Return whether the first record of a file is a header."""
    if known and {*known} <= {*names}:
        return True
    if known and all(map(str.isdigit, known)):  # a model that learnt from a table without names
        return False
    values, bad = parse_numbers(pa.array(names), decimal)
    indexed = ["", *map(str, range(len(names) - 1))]  # as pandas heads a table without names
    return bool(bad.any() or np.isnan(values).all() or [*names] == indexed)


@dataclass
class CsvReader(TableReader):
    """The rows of a CSV file, which may be standard input, as batches of text."""

    head: Any = None  # a `CsvHead`
    content: bytes | None = None  # of standard input

    @classmethod
    def open(cls, path: str, *hints: Any) -> CsvReader:
        """Open a file and detect its dialect, with the hints of `sniff_csv`."""
        content = None
        with reading(path, "text"):
            if path == STANDARD_STREAM:
                content = sys.stdin.buffer.read()
                refuse_binary(content, "standard input", packed=True)
                start = content[:_HEAD]
            else:
                with open_packed(path) as file:
                    start = file.read(_HEAD)
            head = sniff_csv(start, path, *hints)
        given = hints[0] if hints else UNKNOWN_DIALECT
        return cls(
            path,
            "csv",
            head.names,
            [pa.string()] * len(head.names),
            dialect=replace(
                given, delimiter=head.delimiter, encoding=head.encoding, header=head.has_header
            ),
            files=() if content is not None else (Path(path).expanduser(),),
            head=head,
            content=content,
        )

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        from pyarrow import csv as arrow_csv

        names = [str(place) for place in range(len(self.names))]
        chosen = [names[place] for place in places]
        n, last = 0, ""
        with self._stream() as stream:
            try:
                with arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(
                        column_names=names,
                        skip_rows=self.head.skip,
                        encoding=self.head.encoding,
                        block_size=_BLOCK,
                    ),
                    arrow_csv.ParseOptions(
                        delimiter=self.head.delimiter,
                        newlines_in_values=True,
                        invalid_row_handler=lambda row: "error" if row.text.strip() else "skip",
                    ),
                    arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        include_columns=[*dict.fromkeys([*chosen, names[-1]])],
                    ),
                ) as batches:
                    for batch in batches:
                        self._check_zero_bytes(batch, n)
                        n += batch.num_rows
                        if batch.num_rows:
                            last = str(batch.column(names[-1])[-1].as_py())
                        yield batch.select(chosen)
            except pa.ArrowInvalid as error:
                self._check_records()
                if n or next(self._records(), None) is not None:  # pyarrow refuses empty tables
                    reason = short(str(error))
                    raise DataError(f"{self.path} cannot be read ({reason})") from None
        if "\n" in last:  # a quote that is never closed takes in all that follows
            self._check_records()

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        wanted = {*rows}
        if not wanted:
            return {}
        records = enumerate(islice(self._records(), max(wanted) + 1))
        return {row: line for row, (line, _) in records if row in wanted}

    def _check_zero_bytes(self, batch: pa.RecordBatch, first: int) -> None:
        for column in batch.columns:
            found = to_bool(pc.match_substring(column, "\0"))
            if found.any():
                row = first + int(found.argmax())
                line = self.lines([row]).get(row, row)
                raise _zero_byte(self.path, line)

    def _check_records(self) -> None:
        """Raise `DataError` for records without a field a column, and quotes never closed."""
        width, faults, n = len(self.names), list[str](), 0
        for line, fields in self._records(strict=True):
            if len(fields) == width:
                continue
            n += 1
            if n <= MOST_FAULTS:
                faults.append(
                    f"{self.path}, line {line} has {len(fields)} field{'s' * (len(fields) != 1)} "
                    f"where the table has {width} column{'s' * (width != 1)}"
                )
        if n > MOST_FAULTS:
            faults.append(f"{self.path}: … and {n - MOST_FAULTS} more such lines")
        if faults:
            raise DataError("\n".join(faults))

    def _records(self, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Yield the line, from 1, and the fields of each row, by the module csv."""
        with self._stream() as stream:
            text = io.TextIOWrapper(stream, self.head.encoding, newline="")
            for _ in range(self.head.skip):
                text.readline()
            records = csv.reader(text, delimiter=self.head.delimiter, strict=strict)
            line = self.head.skip + 1
            try:
                for fields in records:
                    is_blank = not fields or (
                        len(fields) == 1 < len(self.names) and not fields[0].strip()
                    )
                    if not is_blank:
                        yield line, fields
                    line = self.head.skip + records.line_num + 1
            except csv.Error as error:
                raise DataError(f"{self.path}, line {line}: no CSV ({error})") from None

    @contextmanager
    def _stream(self) -> Iterator[Any]:
        with reading(self.path, "text"):
            try:
                if self.content is not None:
                    yield io.BytesIO(self.content)
                else:
                    with open_packed(self.path) as stream:
                        yield stream
            except UnicodeError:
                raise _wrong_encoding(self.path, self.head.encoding) from None


def _wrong_encoding(path: str, encoding: str) -> DataError:
    other = "UTF-8"
    if encoding.upper() == "UTF-8":
        other = "cp1252 (Windows, Excel) or latin-1"
    return DataError(
        f"{path} is no text of the encoding {encoding.upper()}: give encoding as that of the file, "
        f"such as {other}"
    )


def _zero_byte(path: str, line: int) -> DataError:
    return DataError(
        f"{path}, line {line} holds a zero byte: it is damaged, or in another encoding"
    )


class CsvWriter:
    """Writer of batches as CSV to a file of bytes.

    Floats are the shortest text that reads back to the bit; texts have quotes where they need
    them.
    """

    def __init__(self, file: Any, schema: pa.Schema, delimiter: str = ",") -> None:
        self._file, self._delimiter = file, delimiter
        header = io.StringIO()
        csv.writer(header, delimiter=delimiter, lineterminator="\n").writerow(schema.names)
        file.write(header.getvalue().encode())

    def write_batch(self, batch: pa.RecordBatch) -> None:
        cells = [self._cells(as_array(column)) for column in batch.columns]
        if len(cells) == 1:  # readers would leave an empty line out
            cells = [pc.if_else(pc.equal(cells[0], ""), '""', cells[0])]
        ended = pc.binary_join_element_wise(cells[-1], "\n", "")
        lines = pc.binary_join_element_wise(*cells[:-1], ended, self._delimiter)
        _, offsets, content = lines.cast(pa.large_string()).buffers()
        ends = np.frombuffer(offsets, np.int64)
        if content is not None:
            self._file.write(memoryview(content)[: ends[len(lines)]])

    def close(self) -> None:
        self._file.close()

    def _cells(self, column: pa.Array) -> pa.Array:
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        texts = pc.fill_null(as_texts(column), "")
        if not is_text(column):
            return texts
        special = pc.match_substring_regex(texts, f'[{re.escape(self._delimiter)}"\\n\\r]')
        escaped = pc.replace_substring(texts, '"', '""')
        quoted = pc.binary_join_element_wise('"', escaped, '"', "")
        return pc.if_else(special, quoted, texts)


def csv_writer(path: Path, schema: pa.Schema) -> CsvWriter:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    return CsvWriter(path.open("wb"), schema, delimiter)
