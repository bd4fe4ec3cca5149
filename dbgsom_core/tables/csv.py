"""CSV files: detect the dialect, read rows in batches, write."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbgsom_core.errors import DataError
from dbgsom_core.tables.cells import NA_VALUES, parse_numbers, short
from dbgsom_core.tables.columns import MOST_FAULTS, as_array, as_texts, is_text, no_known_column
from dbgsom_core.tables.reader import ROWS, CsvDialect, TableReader
from dbgsom_core.tables.safe_files import open_packed, reading, refuse_binary

STANDARD_STREAM = "-"  # standard input, or output
_PIECE = 1 << 23  # bytes that are read at a time
_BLOCK = 1 << 23  # bytes that pyarrow parses at a time, which hold a row
_HEAD = 1 << 20  # bytes in which the dialect is looked for
_LONGEST_LINE = 1 << 24  # characters: a table of a million columns
_MOST_COLUMNS = 100_000  # each takes pyarrow 8 kB of memory, whatever it holds
_SNIFFED = 100  # records by which a delimiter is chosen
_DELIMITERS = (";", "\t", "|", ",")
csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))  # of the whole process
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that spreadsheets write
UNKNOWN_DIALECT = CsvDialect()


class CsvHead(NamedTuple):
    """Dialect, header and first rows of a CSV file."""

    names: list[str]  # of the columns, stripped; numbers from 0 without a header
    dialect: CsvDialect  # all but decimal and thousands are known
    skip: int  # bytes of the text in UTF-8 above the first row
    line: int  # of the first row, from 1
    is_spaced: bool  # blanks stand before quotes
    notes: list[str]  # what was found out and a reader should know

    @property
    def delimiter(self) -> str:
        return self.dialect.delimiter or ","

    @property
    def encoding(self) -> str:
        return self.dialect.encoding or "utf-8"


def sniff_csv(
    start: bytes,
    path: str,
    dialect: CsvDialect = UNKNOWN_DIALECT,
    trained: CsvDialect = UNKNOWN_DIALECT,
    known: Collection[str] = (),
    guess: bool = True,
) -> CsvHead:
    """Detect the dialect of a CSV file from its first bytes; see `open_table`."""
    notes: list[str] = []
    encoding = _encoding(start, path, dialect, trained, notes)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)
    except LookupError:
        raise DataError(f"{path}: there is no encoding '{short(encoding)}'") from None
    except UnicodeError:
        raise _no_such_text(path, encoding) from None
    skip = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
    text = text.removeprefix("\ufeff")
    first = io.StringIO(text, newline="").readline()
    said, line = _SEP.fullmatch(first), 1
    if said:
        skip, text, line = skip + len(first.encode()), text[len(first) :], 2
    delimiter = dialect.delimiter
    if said and said[1] != delimiter:
        with suppress(csv.Error):
            records = csv.reader(io.StringIO(text, newline=""), delimiter=said[1])
            if delimiter is None or len(next(records, ())) > 1:
                delimiter = said[1]
    if delimiter is None:
        delimiter = _guess_delimiter(text, dialect, trained, known) if guess else ","
    known_dialect = replace(dialect, delimiter=delimiter, encoding=encoding)
    is_spaced = re.search(_blank_quote(delimiter), text.lstrip().partition("\n")[0].encode())
    whole = CsvHead([], known_dialect, skip, line, bool(is_spaced), notes)
    line, names, raw = next(_records(iter([text.encode()]), whole, path), (line, [], ""))
    if not names:
        raise DataError(f"{path} is empty: give a file with data")
    if len(names) > _MOST_COLUMNS:
        raise DataError(
            f"{path}: {len(names)} columns are more than {_MOST_COLUMNS}: save them as .npy"
        )
    for other in _DELIMITERS if len(names) == 1 else ():
        if other != delimiter and other in names[0]:
            parts = said and said[1] == delimiter
            why = f" (its line sep={delimiter} does not part it)" if parts else ""
            fields = next(csv.reader([names[0]], delimiter=other))
            if known and dialect.delimiter is None and not {*known} & {*map(str.strip, fields)}:
                raise DataError(no_known_column(path, known, fields))
            shown = r'"\t"' if other == "\t" else f"'{other}'"
            raise DataError(
                f"{path} has the single column '{short(names[0])}'{why}: set delimiter: {shown}"
            )
    header = dialect.header
    if header is None:
        header = not guess or _is_header(names, known, dialect.decimal or ".")
    if header:
        skip += len(raw.encode())
        line += raw.strip("\r\n").count("\n") + 1
    else:
        names = [str(place) for place in range(len(names))]
    return whole._replace(
        names=names, dialect=replace(known_dialect, header=header), skip=skip, line=line
    )


def _blank_quote(delimiter: str) -> bytes:
    return rf'(^|[\n\r]|{re.escape(delimiter)}) +"'.encode()


def _encoding(
    start: bytes, path: str, dialect: CsvDialect, trained: CsvDialect, notes: list[str]
) -> str:
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    encoding = dialect.encoding or trained.encoding or "utf-8"
    if encoding.lower() in ("utf-8", "utf8", "utf-8-sig"):
        return "utf-8"
    if dialect.encoding is None:
        with suppress(UnicodeDecodeError):
            if not codecs.getincrementaldecoder("utf-8")().decode(start).isascii():
                notes.append(
                    f"{path} is read as UTF-8, which it is, and not as {encoding}, which the "
                    "training's file was; --encoding says otherwise"
                )
                return "utf-8"
    return encoding


def _guess_delimiter(
    text: str, dialect: CsvDialect, trained: CsvDialect, known: Collection[str]
) -> str:
    """Return the delimiter that gives most records the same number of fields, or known names."""

    def fit(delimiter: str) -> tuple[int, bool, bool, float]:
        lines = io.StringIO(text, newline="")
        rows: list[list[str]] = []
        with suppress(csv.Error):
            records = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            rows = [row for row in islice(records, _SNIFFED) if any(map(str.strip, row))]
        if not rows:
            return 0, False, False, 0
        width, times = Counter(map(len, rows)).most_common(1)[0]
        usual = delimiter == trained.delimiter and width > 1
        parts = delimiter != dialect.decimal or usual  # decimal commas may stand in quotes
        named = len({*known}.intersection(map(str.strip, rows[0])))
        return named, parts, usual, round(times / len(rows), 1) if width > 1 else 0

    fits = {one: fit(one) for one in (*_DELIMITERS, *filter(None, [trained.delimiter]))}
    best = max(fits, key=lambda one: fits[one])
    return best if fits[best][-1] else ","


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
    """The rows of a CSV file, which may be standard input, as batches of text and numbers."""

    head: Any = None
    stream: Any = None  # standard input
    text: bytes | None = None  # what was read of it, or all that there is

    @classmethod
    def open(cls, path: str, *hints: Any) -> CsvReader:
        """Open a file and detect its dialect, with the hints of `sniff_csv`."""
        stream: Any = None
        with reading(path, "text"):
            if path == STANDARD_STREAM:
                start, stream = _start_of_input(sys.stdin)
            else:
                with open_packed(path) as file:
                    start = file.read(_HEAD)
                    while not re.search(rb"[\r\n]", start) and len(start) <= _LONGEST_LINE + _HEAD:
                        start += (more := file.read(_HEAD))
                        if not more:
                            break
            head = sniff_csv(start, path, *hints)
        return cls(
            path,
            "csv",
            head.names,
            [pa.string()] * len(head.names),
            dialect=head.dialect,
            notes=head.notes,
            files=() if stream else (Path(path).expanduser(),),
            head=head,
            stream=stream,
            text=start if stream else None,
        )

    def batches(
        self,
        places: Sequence[int] | None = None,
        rows: int = ROWS,
        numbers: Collection[int] = (),
        na_values: Sequence[str] = NA_VALUES,
    ) -> Iterator[pa.RecordBatch]:
        # A blank line is no missing number; standard input cannot be read again.
        numbers = numbers if len(self.names) > 1 and self.stream is None else ()
        chosen, done = [*(range(len(self.names)) if places is None else places)], 0
        with self._chunks() as chunks:
            for batch in self._parsed(chunks, chosen, numbers, na_values):
                if batch is None:
                    break
                done += batch.num_rows
                yield from _slices(batch, rows)
            else:
                return
        with self._chunks() as chunks:  # a cell is no number: text from here on
            for batch in self._parsed(chunks, chosen):
                skipped = min(done, batch.num_rows)
                done -= skipped
                yield from _slices(batch.slice(skipped), rows)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        yield from self.batches(places, rows)

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        wanted, found = {*rows}, {}
        if wanted and self.stream is None:
            with self._chunks() as chunks:
                records = _records(chunks, self.head, self.path)
                for row, (line, _, _) in enumerate(islice(records, max(wanted) + 1)):
                    if row in wanted:
                        found[row] = line
        return found

    def _parsed(
        self,
        chunks: Iterator[bytes],
        places: Sequence[int],
        numbers: Collection[int] = (),
        words: Sequence[str] = (),
    ) -> Iterator[Any]:
        """Yield batches of rows by pyarrow; None, and no more, where a cell is no number."""
        from pyarrow import csv as arrow_csv

        names, delimiter = [str(place) for place in range(len(self.names))], self.head.delimiter
        chosen = [names[place] for place in places]
        is_ragged = False

        def refuse(row: Any) -> str:
            nonlocal is_ragged
            is_ragged = bool(row.text.strip()) or delimiter in row.text
            return "error" if is_ragged else "skip"

        text, last = _Text(chunks, self.head, self.path), ""
        types = dict.fromkeys(names, pa.string()) | {names[i]: pa.float64() for i in numbers}
        try:
            with arrow_csv.open_csv(
                text,
                arrow_csv.ReadOptions(column_names=names, block_size=_BLOCK),
                arrow_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
                ),
                arrow_csv.ConvertOptions(
                    column_types=types,
                    include_columns=[*dict.fromkeys([*chosen, names[-1]])],
                    null_values=[form for one in words for form in (one, one.lower(), one.upper())],
                    decimal_point=self.head.dialect.decimal or ".",
                ),
            ) as batches:
                for batch in batches:
                    columns = [batch.column(names[i]) for i in numbers]
                    if not all(pc.all(pc.is_finite(column)).as_py() for column in columns):
                        yield None
                        return
                    if batch.num_rows:
                        last = str(batch.column(names[-1])[-1].as_py())
                    batch = batch.select(chosen)
                    if len(names) == 1:  # lines of blanks are no rows
                        cells = batch.column(0)
                        blank = pc.equal(pc.utf8_trim_whitespace(cells), "")
                        batch = batch.filter(pc.invert(pc.and_(pc.not_equal(cells, ""), blank)))
                    yield batch
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):
                return
            if numbers and not is_ragged:
                yield None
                return
            self._check_lines()
            raise DataError(f"{self.path} cannot be read ({short(str(error))})") from None
        if "\n" in last or text.quotes % 2:
            self._check_lines()

    def _check_lines(self) -> None:
        """Raise `DataError` for malformed lines, found by the module csv."""
        faults, n = list[str](), 0
        head, width = self.head, len(self.names)
        with self._chunks() as chunks:
            for line, fields, raw in _records(chunks, head, self.path) if not self.stream else ():
                why = ""
                try:
                    lines = io.StringIO(raw, newline="")
                    [*csv.reader(lines, delimiter=head.delimiter, strict=True)]
                except csv.Error as error:
                    if "\n" in raw[:-1] or "unexpected end" in str(error):
                        why = ": a quote is opened and never closed"
                if why or len(fields) != width:
                    n += 1
                    faults += [f"{self.path}, line {line}{why or _ragged(fields, head)}"][
                        : 10 - n + 1
                    ]
        if n > MOST_FAULTS:
            faults.append(f"{self.path}: … and {n - MOST_FAULTS} more such lines")
        if faults:
            raise DataError("\n".join(faults))

    @contextmanager
    def _chunks(self) -> Iterator[Iterator[bytes]]:
        """Open the text below the header in UTF-8, some bytes at a time."""
        with reading(self.path, "text"):
            try:
                if self.text is not None:
                    read = self.stream.read1 if self.stream else io.BytesIO().read1
                    yield _utf8(chain([self.text], iter(lambda: read(_PIECE), b"")), self.head)
                else:
                    with open_packed(self.path) as stream:
                        yield _utf8(iter(lambda: stream.read(_PIECE), b""), self.head)
            except UnicodeError:
                raise _no_such_text(self.path, self.head.encoding) from None


def _slices(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    return (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))


class _Text(io.RawIOBase):
    """A UTF-8 stream that counts quotes and raises for binary content."""

    def __init__(self, chunks: Iterator[bytes], head: CsvHead, path: str) -> None:
        self._chunks, self._path, self._line = chunks, path, head.line
        self._left = memoryview(b"")
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = 0
        while n < len(buffer):  # a record may lie in no more than two reads
            if not self._left:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                if b"\0" in chunk:
                    line = self._line + chunk.count(b"\n", 0, chunk.index(b"\0"))
                    raise DataError(
                        f"{self._path}, line {line} holds a zero byte: the file is damaged or cut "
                        "off, or is no text of this encoding; save it again"
                    )
                self._line += chunk.count(b"\n")
                self.quotes += chunk.count(b'"')
                self._left = memoryview(chunk)
            some = self._left[: len(buffer) - n]
            buffer[n : n + len(some)] = some
            self._left = self._left[len(some) :]
            n += len(some)
        return n


def parse_csv(sample: bytes, head: CsvHead, path: str, is_cut: bool = False) -> pa.Table:
    """Return the records of a piece of a CSV file as a table of text.

    With ``is_cut`` the sample may end within a record, which is left out.
    """
    text = sample.decode(head.encoding, "ignore").encode()
    if is_cut:
        end = b"\n" if b"\n" in text else b"\r"
        cut = text.rfind(end) + 1
        while cut and text.count(b'"', 0, cut) % 2:  # it stands in quotes
            cut = text.rfind(end, 0, cut - 1) + 1
        text = text[: cut or text.rfind(end) + 1]
    places = range(len(head.names))
    reader = CsvReader(path, "csv", head.names, [], head=head._replace(skip=0), text=text)
    schema = pa.schema([(str(place), pa.string()) for place in places])
    return pa.Table.from_batches(reader.batches(places), schema)


def _start_of_input(stdin: Any) -> tuple[bytes, Any]:
    """Return some lines that come first from standard input, and the stream of the rest."""
    try:  # a thread blocked in sys.stdin would keep Python from ending
        stream: Any = os.fdopen(os.dup(stdin.fileno()), "rb")
    except (OSError, AttributeError, ValueError):  # it is no file
        stream = stdin.buffer
    start = b""
    while len(start) < _HEAD and start.count(b"\n") < _SNIFFED and (more := stream.read1(_HEAD)):
        start += more
    refuse_binary(start, "standard input", packed=True)
    return start, stream


def _utf8(chunks: Iterable[bytes], head: CsvHead) -> Iterator[bytes]:
    """Yield a text below its header in UTF-8, without blanks before quotes."""
    decoder = codecs.getincrementaldecoder(head.encoding)()
    skip, left, blank_quote = head.skip, b"", re.compile(_blank_quote(head.delimiter))
    for chunk in chain(chunks, [b""]):
        is_last = not chunk
        if head.encoding != "utf-8":
            chunk = decoder.decode(chunk, final=is_last).encode()
        chunk, skip = chunk[skip:], max(0, skip - len(chunk))
        if head.is_spaced:
            cut = len(left + chunk) if is_last else (left + chunk).rfind(b"\n") + 1
            chunk, left = (left + chunk)[:cut], (left + chunk)[cut:]
            chunk = blank_quote.sub(rb'\1"', chunk)
        if chunk:
            yield chunk


def _no_such_text(path: str, encoding: str) -> DataError:
    other = "that of the file, such as cp1252 (Windows, Excel) or latin-1"
    other = other if encoding.upper() == "UTF-8" else "UTF-8"
    return DataError(
        f"{path} is no text of the encoding {encoding.upper()}: set encoding to {other}, or save "
        "it as UTF-8"
    )


def _ragged(fields: Sequence[str], head: CsvHead) -> str:
    n, width = len(fields), len(head.names)
    if any("\n" in cell for cell in fields):
        cure = "check for a quote that never closes"
    elif n > width == 1:
        cure = "take lines above the table out of the file, or put quotes around the field"
    elif n > width:
        cure = f"put quotes around a field that contains {head.delimiter!r}"
    else:
        cure = "give every line a field for each column"
    found, expected = f"{n} field{'s' * (n != 1)}", f"{width} column{'s' * (width != 1)}"
    return f" has {found} where the table has {expected}: {cure}"


def _records(
    chunks: Iterable[bytes], head: CsvHead, path: str
) -> Iterator[tuple[int, list[str], str]]:
    """Yield the records of a text in UTF-8: line, stripped fields, and what they were read from.

    Blank lines are left out, and stand before what the record below them was read from.
    """
    raw: list[str] = []
    taken = start = 0
    stream = io.BufferedReader(_Text(iter(chunks), head, path), _HEAD)
    text = io.TextIOWrapper(stream, "utf-8", newline="")

    def lines() -> Iterator[str]:
        nonlocal taken
        for one in iter(lambda: text.readline(_LONGEST_LINE), ""):
            if len(one) >= _LONGEST_LINE:
                raise DataError(
                    f"{path}, line {head.line + taken} has more than {_LONGEST_LINE} letters: this "
                    "is no table"
                )
            taken += 1
            raw.append(one)
            yield one

    try:
        for row in csv.reader(lines(), delimiter=head.delimiter, skipinitialspace=head.is_spaced):
            fields = [cell.strip() for cell in row]
            line, start = head.line + start, taken
            if fields and (fields != [""] or raw[-1].strip()):
                yield line, fields, "".join(raw)
                raw.clear()
    except csv.Error as error:
        where = f"{path}, line {head.line + start}"
        raise DataError(f"{where}: no CSV ({error}): check the quotes from this line on") from None


class CsvWriter:
    """Writer of batches as CSV.

    Floats are the shortest text that reads back to the bit; texts have quotes where they need
    them. ``write`` gets bytes.
    """

    def __init__(
        self,
        write: Callable[[Any], object],
        schema: pa.Schema,
        delimiter: str = ",",
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._write, self._delimiter, self.close = write, delimiter, close
        header = self._quoted(pa.array(schema.names, pa.string())).to_pylist()
        write(((delimiter.join(header) or '""') + "\n").encode())

    def write_batch(self, batch: pa.RecordBatch) -> None:
        cells = [self._cells(as_array(column)) for column in batch.columns]
        if len(cells) == 1:  # readers would leave an empty line out
            cells = [pc.if_else(pc.equal(pc.fill_null(cells[0], ""), ""), '""', cells[0])]
        empty = {"null_handling": "replace", "null_replacement": ""}
        ended = pc.binary_join_element_wise(cells[-1], "\n", "", **empty)
        lines = pc.binary_join_element_wise(*cells[:-1], ended, self._delimiter, **empty)
        _, offsets, content = lines.cast(pa.large_string()).buffers()
        ends = np.frombuffer(offsets, np.int64)
        if content is not None:
            self._write(memoryview(content)[: ends[len(lines)]])

    def _cells(self, column: pa.Array) -> pa.Array:
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        texts = as_texts(column)
        return self._quoted(texts) if is_text(column) else texts

    def _quoted(self, texts: pa.Array) -> pa.Array:
        special = pc.match_substring_regex(texts, f'[{re.escape(self._delimiter)}"\\n\\r]')
        if not pc.any(special).as_py():
            return texts
        escaped = pc.replace_substring(texts, '"', '""')
        return pc.if_else(special, pc.binary_join_element_wise('"', escaped, '"', ""), texts)


def csv_writer(path: Path, schema: pa.Schema) -> CsvWriter:
    file = path.open("wb")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    return CsvWriter(file.write, schema, delimiter, file.close)
