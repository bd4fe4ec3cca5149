"""Tables in files: CSV, also packed, Parquet, Feather and npy, read and written in batches."""

from __future__ import annotations

import bz2
import codecs
import csv
import errno
import gzip
import io
import lzma
import os
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbgsom_core.errors import DataError
from dbgsom_core.files import (
    check_written,
    open_regular,
    unpacked_most,
    why_unreadable,
    write_atomically,
)
from dbgsom_core.tables.cells import parse_numbers, short
from dbgsom_core.tables.columns import MOST_FAULTS, as_array, numbered

STANDARD_STREAM = "-"  # standard input, or output
ROWS = 1 << 17  # of a batch at most
_PIECE = 1 << 23  # bytes of a text that are parsed at a time
_HEAD = 1 << 20  # bytes in which the dialect is looked for
_LONGEST_LINE = 1 << 24  # characters: a table of a million columns
_MOST_COLUMNS = 1_000_000
_MOST_BLANK = 1_000_000  # blank lines in a row
_SNIFFED = 100  # records by which a delimiter is chosen
_PAGES = 1 << 16  # bytes of a column of a Parquet file that are read at a time
_DELIMITERS = (",", ";", "\t", "|")
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that spreadsheets write
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_NO_TEXT = {
    b"PK\x03\x04": "a zip archive, or a workbook: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old workbook: save the sheet as CSV",
    b"SQLite format 3": "a database: export the table as CSV",
    b"PAR1": "a parquet file: read it with the data set 'parquet'",
    b"\x93NUMPY": "a .npy file: read it with the data set 'npy'",
    b"ARROW1": "a feather file: read it with the data set 'feather'",
}


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is written, as far as that is known: None where it is not.

    Attributes
    ----------
    delimiter, encoding, decimal : str or None
    thousands : str or None
        What may stand between thousands; empty: nothing.
    header : bool or None
        Whether the first line names the columns.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None


DEFAULT_DIALECT = CsvDialect(",", "utf-8", ".", "", True)


class CsvHead(NamedTuple):
    """How a CSV file begins.

    Attributes
    ----------
    names : list of str
        Of the columns, stripped; numbers from 0 without a header.
    dialect : CsvDialect
        All but ``decimal`` and ``thousands`` filled in.
    skip : int
        Bytes of the text in UTF-8 above the first row.
    line : int
        Of the first row, from 1.
    notes : list of str
    """

    names: list[str]
    dialect: CsvDialect
    skip: int
    line: int
    notes: list[str]


@dataclass
class TableReader:
    """A table in a file, of which batches of rows are read.

    A format of a plugin subclasses it and fills in ``batches``.

    Attributes
    ----------
    path : str
        What messages call the file.
    format : str
    names : list of str
        Of the columns, stripped; names may stand there twice.
    types : list of pyarrow.DataType
        Text for all columns of a CSV file.
    num_rows : int or None
        None where only reading tells.
    dialect : CsvDialect or None
        Of a CSV file.
    notes : list of str
        What was found out about the file and a reader should know.
    """

    path: str
    format: str
    names: list[str]
    types: list[pa.DataType]
    num_rows: int | None = None
    dialect: CsvDialect | None = None
    notes: list[str] = field(default_factory=list)

    def batches(
        self, places: Sequence[int] | None = None, rows: int = ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most so many at a time.

        Parameters
        ----------
        places : sequence of int, optional
            Columns that are read, by their places from 0 and in this order; None: all.
        rows : int

        Yields
        ------
        pyarrow.RecordBatch
            Its columns are called by their places.

        Raises
        ------
        DataError
            The file is damaged, or lines have not a field a column.
        """
        raise NotImplementedError

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        """Return the lines of rows that were read, by a second reading; none where rows have none."""
        return {}


@dataclass(frozen=True)
class TableFormat:
    """A format of files with tables.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        In small letters, with their dots.
    open : callable
        Gets a path and returns a `TableReader`; raises `DataError`.
    write : callable, optional
        Gets a path and a `pyarrow.Schema`, and returns an object with ``write(batch)`` and
        ``close()``.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[str], TableReader]
    write: Callable[[Path, pa.Schema], Any] | None = None


def open_table(
    path: str,
    dialect: CsvDialect = CsvDialect(),
    *,
    trained: CsvDialect = CsvDialect(),
    known: Collection[str] = (),
    guess: bool = True,
    format: str | None = None,
) -> TableReader:
    """Open a table; ``-`` is a CSV table on standard input.

    Parameters
    ----------
    path : str
        ``~`` is the home folder.
    dialect : CsvDialect
        What is known of a CSV file.
    trained : CsvDialect
        How the table of a model's training was written, which is tried first.
    known : collection of str
        Names of columns that are expected.
    guess : bool
        Find out what is not known of a CSV file; False: it is as `DEFAULT_DIALECT`, but for a
        byte order mark and a line ``sep=``.
    format : str, optional
        In place of the one that the suffix says.

    Raises
    ------
    DataError
        It cannot be read, is empty, or no table.
    """
    suffix = Path(path).suffix.lower()
    if format is None:
        found = [one for one in FORMATS.values() if suffix in one.suffixes]
        if not found and suffix in (".npz", ".xlsx", ".xls", ".json"):
            raise DataError(f"{path}: tables are CSV (also packed), {_listed_formats()} files")
        format = found[0].name if found and path != STANDARD_STREAM else "csv"
    if format != "csv":
        return FORMATS[format].open(path)
    return _CsvReader(path, dialect, trained, known, guess)


def register_format(one: TableFormat) -> None:
    """Let `open_table` and `write_table` know a format."""
    FORMATS[one.name] = one


@contextmanager
def reading(path: str, what: str = "table") -> Iterator[None]:
    """Turn what reading a file raises into a `DataError` with a sentence."""
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    try:
        yield
    except DataError:
        raise
    except IsADirectoryError:
        raise DataError(f"{shown} is a folder: give the path of a file in it") from None
    except FileNotFoundError as error:
        raise DataError(f"{shown} cannot be read: {why_unreadable(path, error)}") from error
    except MemoryError as error:
        raise DataError(f"{shown} does not fit in memory: give a part of it") from error
    except Exception as error:  # what a damaged byte raises is in no list
        if isinstance(error, OSError) and error.errno is not None:  # none comes from pyarrow
            raise DataError(f"{shown} cannot be read: {error.strerror or error}") from error
        if isinstance(error, ValueError) and "null byte" in str(error):
            raise DataError(f"{shown!r} is no usable path: {error}") from None
        told = "".join(str(error).strip().splitlines()[:1])[:200]
        raise DataError(f"{shown} is no {what}, or damaged ({told}): write it again") from error


def open_packed(path: str) -> BinaryIO:
    """Open a regular file for reading in bytes; one that a tool has packed is unpacked.

    gzip, bzip2, xz and, where Python or the package zstandard can, zstd, told by how it begins.

    Raises
    ------
    DataError
        It is empty, or no text but an archive, a workbook, a Parquet file.
    OSError
        It cannot be opened. Reading raises it where the file is damaged, or unpacks to more than
        1 GiB and 100 times its size.
    """
    file = open_regular(Path(path).expanduser())
    try:
        start = file.read(16)
        file.seek(0)
        if not start:
            raise DataError(f"{path} is empty: give a file with data")
        for begin, kind in _NO_TEXT.items():
            if start.startswith(begin):
                raise DataError(f"{path} is {kind}")
        packing = next((name for begin, name in _PACKED.items() if start.startswith(begin)), None)
        if packing is None:
            return file
        most = unpacked_most(os.fstat(file.fileno()).st_size)
        return io.BufferedReader(_Unpacked(file, _unpacker(packing, path)(file), most), _HEAD)
    except BaseException:
        file.close()
        raise


def _unpacker(packing: str, path: str) -> Callable[[BinaryIO], Any]:
    if packing == "gzip":
        return lambda file: gzip.GzipFile(fileobj=file)
    if packing == "bzip2":
        return bz2.BZ2File
    if packing == "xz":
        return lzma.LZMAFile
    with suppress(ImportError):  # it is new in Python 3.14
        found: Callable[[BinaryIO], Any] = import_module("compression.zstd").ZstdFile
        return found
    with suppress(ImportError):
        reader = import_module("zstandard").ZstdDecompressor()
        return lambda file: reader.stream_reader(file, read_across_frames=True)
    raise DataError(f"{path} is packed (zstd): install the package zstandard, or unpack it first")


class _Unpacked(io.RawIOBase):
    """What a packed file unpacks to, up to so many bytes."""

    def __init__(self, file: BinaryIO, unpacked: Any, most: int) -> None:
        self._file, self._unpacked, self._most, self._left = file, unpacked, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._unpacked.read(len(buffer))
        except Exception as error:  # each library raises its own
            raise OSError(errno.EIO, f"it is damaged or cut short ({error})") from error
        self._left -= len(content)
        if self._left < 0:
            raise OSError(errno.EFBIG, f"it unpacks to more than {self._most} bytes")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._unpacked.close()
            self._file.close()
        super().close()


# ---------------------------------------------------------------------------------------- CSV


def sniff_csv(
    start: bytes,
    path: str,
    dialect: CsvDialect = CsvDialect(),
    trained: CsvDialect = CsvDialect(),
    known: Collection[str] = (),
    guess: bool = True,
) -> CsvHead:
    """Find out how a CSV file is written from its first bytes; see `open_table`."""
    notes: list[str] = []
    encoding = _encoding(start, path, dialect, trained, notes)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)
    except LookupError:
        raise DataError(f"{path}: there is no encoding '{short(encoding)}'") from None
    except UnicodeError:
        raise _no_such_text(path, encoding) from None
    skip, text = (3, text[1:]) if start.startswith(codecs.BOM_UTF8) else (0, text)
    text = text.removeprefix("\ufeff")
    if "\0" in text[:_LONGEST_LINE]:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _zero_byte(path, line, encoding)
    first = io.StringIO(text, newline="").readline()
    said, line = _SEP.fullmatch(first), 1
    if said:
        skip, text, line = skip + len(first.encode()), text[len(first) :], 2
    delimiter = dialect.delimiter or (said[1] if said else None)
    if delimiter is None:
        delimiter = _guess_delimiter(text, dialect, trained, known) if guess else ","
    records = _records(io.StringIO(text, newline=""), delimiter, line, path, encoding)
    line, names, raw = next(records, (line, [], ""))
    if not names:
        raise DataError(f"{path} is empty: give a file with data")
    if len(names) > _MOST_COLUMNS:
        raise DataError(f"{path} has {len(names)} columns, more than {_MOST_COLUMNS}")
    for other in _DELIMITERS if len(names) == 1 else ():
        if other != delimiter and other in names[0]:
            why = f" (its line sep={delimiter} does not part it)" if said else ""
            shown = r'"\t"' if other == "\t" else f"'{other}'"
            raise DataError(
                f"{path} has the single column '{short(names[0])}'{why}: set delimiter: {shown}"
            )
    header = dialect.header
    if header is None:
        header = not guess or _is_header(names, known, dialect.decimal or ".")
    if header:
        skip += len(raw.encode())
        line += raw.rstrip("\r\n").lstrip("\r\n").count("\n") + 1
    else:
        names = [str(place) for place in range(len(names))]
    return CsvHead(
        names,
        replace(dialect, delimiter=delimiter, encoding=encoding, header=header),
        skip,
        line,
        notes,
    )


def _encoding(
    start: bytes, path: str, dialect: CsvDialect, trained: CsvDialect, notes: list[str]
) -> str:
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8"
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
    """Return what parts the fields of most records into as many fields each."""

    def fit(delimiter: str) -> tuple[int, bool, bool, float, int]:
        records = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
        )
        rows: list[list[str]] = []
        with suppress(csv.Error):
            rows = [row for row in islice(records, _SNIFFED) if any(map(str.strip, row))]
        if not rows:
            return 0, False, False, 0, 0
        width, times = Counter(map(len, rows)).most_common(1)[0]
        usual = delimiter == trained.delimiter and width > 1
        parts = delimiter != dialect.decimal or usual  # decimal commas may stand in quotes
        share = round(times / len(rows), 1) if width > 1 else 0
        named = len({*known}.intersection(map(str.strip, rows[0])))
        return named, parts, usual, share, width

    return max(dict.fromkeys((*_DELIMITERS, *filter(None, [trained.delimiter]))), key=fit)


def _is_header(names: Sequence[str], known: Collection[str], decimal: str) -> bool:
    """Return whether the first record of a file names the columns and is no row."""
    if known and {*known} <= {*names}:
        return True
    if known and all(map(str.isdigit, known)):  # a model that learnt from a table without names
        return False
    values, bad = parse_numbers(pa.array(names), decimal)
    indexed = ["", *map(str, range(len(names) - 1))]  # as pandas heads a table without names
    return bool(bad.any() or np.isnan(values).all() or [*names] == indexed)


def _records(
    text: Iterable[str], delimiter: str, line: int, path: str, encoding: str
) -> Iterator[tuple[int, list[str], str]]:
    """Yield the records of a text: the line of each, its stripped fields, and what it was read from.

    Blank lines are left out, and stand before what the record below them was read from.
    """
    raw: list[str] = []
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        readline = getattr(text, "readline", None)
        for one in iter(lambda: readline(_LONGEST_LINE), "") if readline else text:
            if len(one) >= _LONGEST_LINE:
                raise DataError(
                    f"{path}, line {line + taken} has more than {_LONGEST_LINE} letters: this is "
                    "no table"
                )
            if "\0" in one:
                raise _zero_byte(path, line + taken, encoding)
            taken += 1
            raw.append(one)
            yield one

    blank = start = 0
    try:
        for row in csv.reader(lines(), delimiter=delimiter, skipinitialspace=True):
            fields = [cell.strip() for cell in row]
            if fields and (fields != [""] or raw[-1].strip()):
                yield line + start, fields, "".join(raw)
                raw.clear()
                blank = 0
            elif (blank := blank + 1) > _MOST_BLANK:
                raise DataError(
                    f"{path}, line {line + start}: too many blank lines: this is no table"
                )
            start = taken
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line + start}: no CSV ({error}): check the quotes from this line on"
        ) from None


def _zero_byte(path: str, line: int, encoding: str) -> DataError:
    return DataError(
        f"{path}, line {line} holds a zero byte: the file is damaged or cut off, or is no "
        f"{encoding.upper()} text; save it again"
    )


def parse_csv(sample: bytes, head: CsvHead, path: str) -> pa.Table:
    """Return the records of a piece of a CSV file as a table of stripped text.

    Raises
    ------
    DataError
        A line has not a field a column.
    """
    text = sample.decode(head.dialect.encoding or "utf-8", "ignore")
    reader = _CsvText(path, head, io.BytesIO(text.encode()))
    batches = [*reader.records(0, head.line, [*range(len(head.names))], ROWS)]
    schema = pa.schema([(str(place), pa.string()) for place in range(len(head.names))])
    return pa.Table.from_batches(batches, schema)


class _CsvReader(TableReader):
    """A CSV file; its cells are text."""

    def __init__(
        self,
        path: str,
        dialect: CsvDialect,
        trained: CsvDialect,
        known: Collection[str],
        guess: bool,
    ) -> None:
        with reading(path, "text"):
            if path == STANDARD_STREAM:
                self._start, self._stream = _start_of_input(sys.stdin)
            else:
                with open_packed(path) as stream:
                    self._start, self._stream = stream.read(_HEAD), None
        self._head = sniff_csv(self._start, path, dialect, trained, known, guess)
        names = self._head.names
        super().__init__(
            path,
            "csv",
            names,
            [pa.string()] * len(names),
            dialect=self._head.dialect,
            notes=self._head.notes,
        )
        self._pieces: list[tuple[int, int, bool]] = []  # first row, its line, each row is a line

    def batches(
        self, places: Sequence[int] | None = None, rows: int = ROWS
    ) -> Iterator[pa.RecordBatch]:
        chosen = [*range(len(self.names))] if places is None else [*places]
        self._pieces = []
        with _encoded(self.path, self._head), self._opened() as stream:
            text = _CsvText(self.path, self._head, stream)
            yield from text.batches(chosen, rows, self._pieces)

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        starts = [first for first, _, _ in self._pieces]
        found: dict[int, int] = {}
        left: set[int] = set()
        for row in rows:
            first, line, is_plain = self._pieces[bisect_right(starts, row) - 1]
            if is_plain:
                found[row] = line + row - first
            else:
                left.add(row)
        if left and self._stream is None:
            with _encoded(self.path, self._head), self._opened() as stream:
                text = io.TextIOWrapper(io.BufferedReader(stream), "utf-8", newline="")
                known = self._head.dialect
                records = _records(
                    text, known.delimiter or ",", self._head.line, self.path, "utf-8"
                )
                for row, (line, _, _) in enumerate(islice(records, max(left) + 1)):
                    if row in left:
                        found[row] = line
        return found

    def _opened(self) -> _Utf8:
        if self._stream is not None:
            stream: Any = _Chained(self._start, self._stream)
        else:
            stream = open_packed(self.path)
        return _Utf8(stream, self._head.dialect.encoding or "utf-8", self._head.skip)


def _start_of_input(stdin: Any) -> tuple[bytes, Any]:
    """Return what comes first from standard input, two lines of it or more, and the rest."""
    try:  # Python cannot end while a thread waits for what comes into its own reader
        stream: Any = os.fdopen(os.dup(stdin.fileno()), "rb")
    except (OSError, AttributeError, ValueError):  # it is no file
        stream = stdin.buffer
    start = b""
    while len(start) < _HEAD and start.count(b"\n") < _SNIFFED and (more := stream.read1(_HEAD)):
        start += more
    kinds = {begin: f"packed by {name}: unpack it first" for begin, name in _PACKED.items()}
    for begin, kind in (_NO_TEXT | kinds).items():
        if start.startswith(begin):
            raise DataError(f"standard input is {kind}")
    return start, stream


class _Chained(io.RawIOBase):
    """Bytes, and then what a stream holds."""

    def __init__(self, start: bytes, stream: Any) -> None:
        self._start, self._stream = start, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = getattr(self._stream, "read1", self._stream.read)
        content = self._start[: len(buffer)] or read(len(buffer))
        self._start = self._start[len(content) :]
        buffer[: len(content)] = content
        return len(content)


class _Utf8(io.RawIOBase):
    """The text of a file from its first row on, in UTF-8."""

    def __init__(self, stream: Any, encoding: str, skip: int) -> None:
        self._stream, self._left = stream, b""
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        while skip > 0:
            content = self._next(_HEAD)
            if not content:
                break
            self._left, skip = content[skip:], skip - len(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._next(len(buffer))
        content, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _next(self, n: int) -> bytes:
        read = getattr(self._stream, "read1", self._stream.read)
        while True:
            content: bytes = read(n)
            if self._decoder is None:
                return content
            text = self._decoder.decode(content, final=not content)
            if text or not content:
                return text.encode()


@contextmanager
def _encoded(path: str, head: CsvHead) -> Iterator[None]:
    with reading(path, "text"):
        try:
            yield
        except UnicodeError:
            raise _no_such_text(path, head.dialect.encoding or "utf-8") from None


def _no_such_text(path: str, encoding: str) -> DataError:
    other = "that of the file, such as cp1252 (Windows, Excel) or latin-1"
    other = other if encoding.upper() == "UTF-8" else "UTF-8"
    return DataError(
        f"{path} is no text of the encoding {encoding.upper()}: set encoding to {other}, or save "
        "it as UTF-8"
    )


class _CsvText:
    """Parses a text in UTF-8, a piece after the other: by pyarrow, by the module csv from the first
    piece on that pyarrow does not read.
    """

    def __init__(self, path: str, head: CsvHead, stream: Any) -> None:
        self._path, self._head, self._stream = path, head, stream
        self._delimiter = head.dialect.delimiter or ","
        spaced = rf'(?:^|{re.escape(self._delimiter)})[ ]+"'.encode()
        self._spaced = re.compile(spaced, re.MULTILINE)  # quotes behind blanks

    def batches(
        self, places: list[int], rows: int, pieces: list[tuple[int, int, bool]]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows; ``pieces`` gets where each piece begins."""
        row, line = 0, self._head.line
        for piece, is_whole in self._pieces():
            table = None
            if is_whole and not (b' "' in piece and self._spaced.search(piece)):
                table = self._parsed(piece, places)
            if table is None:
                self._stream = _Chained(piece, self._stream)
                pieces.append((row, line, False))
                yield from self.records(row, line, places, rows)
                return
            breaks = piece.count(b"\n") or piece.count(b"\r")
            breaks += not piece.endswith((b"\n", b"\r"))
            pieces.append((row, line, breaks == table.num_rows))
            row, line = row + table.num_rows, line + breaks
            yield from table.combine_chunks().to_batches(max_chunksize=rows)

    def records(
        self, row: int, line: int, places: list[int], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rest of the rows, read one by one; raises what is wrong with lines."""
        text = io.TextIOWrapper(io.BufferedReader(self._stream, _HEAD), "utf-8", newline="")
        width, ragged, n_ragged = len(self._head.names), [], 0
        rows = max(1, min(rows, (1 << 20) // width))
        some: list[list[str]] = []
        raw, last = "", line
        for last, fields, raw in _records(text, self._delimiter, line, self._path, "utf-8"):
            if len(fields) != width:
                n_ragged += 1
                if len(ragged) < MOST_FAULTS:
                    ragged.append(f"{self._path}, line {last} {self._ragged(fields)}")
            elif not ragged:
                some.append(fields)
                if len(some) == rows:
                    yield _batch(some, places)
                    some = []
        try:  # the last record ends within quotes, or not
            [*csv.reader(io.StringIO(raw, newline=""), delimiter=self._delimiter, strict=True)]
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise DataError(
                    f"{self._path}, line {last}: a quote is opened and never closed"
                    + "".join(f"\n{one}" for one in ragged)
                ) from None
        if n_ragged > len(ragged):
            ragged.append(f"{self._path}: … and {n_ragged - len(ragged)} more such lines")
        if ragged:
            raise DataError("\n".join(ragged))
        if some:
            yield _batch(some, places)

    def _pieces(self) -> Iterator[tuple[bytes, bool]]:
        """Yield pieces of whole records, and False for one of which nobody knows where it ends."""
        left, quotes, newline = b"", 0, b"\n"
        while True:
            content = self._stream.read(_PIECE)
            if not content:
                break
            if b"\0" in content:  # told with its line
                yield left + content, False
                return
            if newline == b"\n" and b"\n" not in content and b"\r" in content:
                newline = b"\r"
            quotes += content.count(b'"')
            left += content
            cut, within = left.rfind(newline), quotes % 2
            within = left.count(b'"', 0, max(cut, 0)) % 2 if quotes else 0
            while within and cut >= 0:  # the line break stands in quotes
                last = left.rfind(b'"', 0, cut)
                cut = left.rfind(newline, 0, max(last, 0))
                within = left.count(b'"', 0, max(cut, 0)) % 2
            if cut < 0:
                if len(left) > 2 * _LONGEST_LINE:
                    yield left, False
                    return
                continue
            yield left[: cut + 1], True
            left = left[cut + 1 :]
        if left:
            yield left, left.count(b'"') % 2 == 0

    def _parsed(self, piece: bytes, places: list[int]) -> pa.Table | None:
        from pyarrow import csv as arrow_csv

        names = [str(place) for place in range(len(self._head.names))]
        chosen = [names[place] for place in places] or names[:1]
        has_quotes = b'"' in piece
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(piece),
                arrow_csv.ReadOptions(
                    column_names=names, block_size=max(_HEAD, len(piece) if has_quotes else 0)
                ),
                arrow_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=has_quotes,
                    invalid_row_handler=lambda row: "error" if row.text.strip() else "skip",
                ),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(chosen, pa.string()), include_columns=chosen
                ),
            )
        except pa.ArrowInvalid:
            if not piece.strip():
                return pa.table({name: pa.array([], pa.string()) for name in chosen})
            return None
        if len(names) == 1:  # lines of blanks are no rows
            cells = table.column(0)
            blank = pc.and_(pc.not_equal(cells, ""), pc.equal(pc.utf8_trim_whitespace(cells), ""))
            table = table.filter(pc.invert(blank))
        return table

    def _ragged(self, fields: Sequence[str]) -> str:
        n, width = len(fields), len(self._head.names)
        if any("\n" in cell for cell in fields):
            cure = "check for a quote that never closes"
        elif n > width:
            cure = f"put quotes around a field that contains {self._delimiter!r}"
        else:
            cure = "give every line a field for each column"
        fields_found = f"{n} field{'s' if n != 1 else ''}"
        return f"has {fields_found} where the table has {width} columns: {cure}"


def _batch(rows: Sequence[Sequence[str]], places: Sequence[int]) -> pa.RecordBatch:
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in places]
    return pa.RecordBatch.from_arrays(columns, names=[str(place) for place in places])


# ------------------------------------------------------------------------- Parquet, Feather, npy


@dataclass
class _ColumnarReader(TableReader):
    """Files of the same columns, one after the other."""

    files: Sequence[Path] = ()

    def batches(
        self, places: Sequence[int] | None = None, rows: int = ROWS
    ) -> Iterator[pa.RecordBatch]:
        chosen = [*range(len(self.names))] if places is None else [*places]
        labels = [str(place) for place in chosen]
        for file in self.files:
            with (
                reading(self.path, f"{self.format.capitalize()} file"),
                open_regular(file) as stream,
            ):
                for batch in self._read(file, stream, chosen, rows):
                    for start in range(0, batch.num_rows, rows):
                        part = batch.slice(start, rows)
                        yield pa.RecordBatch.from_arrays(part.columns, names=labels)

    def _read(
        self, file: Path, stream: Any, places: Sequence[int], rows: int
    ) -> Iterator[pa.RecordBatch]:
        if self.format == "feather":
            from pyarrow import ipc

            with ipc.open_file(pa.memory_map(str(file))) as opened:
                for number in range(opened.num_record_batches):
                    batch = opened.get_batch(number)
                    yield pa.RecordBatch.from_arrays(
                        [batch.column(place) for place in places], names=[*map(str, places)]
                    )
            return
        opened = parquet_file(stream)
        names = opened.schema_arrow.names
        for batch in opened.iter_batches(rows, columns=[*dict.fromkeys(names[i] for i in places)]):
            at = {name: i for i, name in enumerate(numbered(batch.schema.names))}  # all of a name
            labels = numbered(names)
            yield pa.RecordBatch.from_arrays(
                [batch.column(at[labels[place]]) for place in places], names=[*map(str, places)]
            )


def parquet_file(stream: Any, metadata: Any = None) -> Any:
    """Return a `pyarrow.parquet.ParquetFile` that is read a page of a column at a time."""
    from pyarrow import parquet

    return parquet.ParquetFile(stream, metadata=metadata, pre_buffer=False, buffer_size=_PAGES)


def files_of(path: str, suffixes: Collection[str]) -> list[Path]:
    """Return the files of a table: itself, or those of a folder, part.2 before part.10."""
    file = Path(path).expanduser()
    try:
        is_folder = file.is_dir()
    except (OSError, ValueError):
        is_folder = False
    if not is_folder:
        return [file]
    found = [
        one
        for one in file.iterdir()
        if one.suffix.lower() in suffixes and not one.name.startswith((".", "_"))
    ]
    if not found:
        raise DataError(
            f"{path} is a folder without a {min(suffixes, key=len)} file: give another path"
        )

    def in_order(one: Path) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", one.name)
        return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]

    return sorted(found, key=in_order)


def _open_columnar(path: str, format: str) -> TableReader:
    files = files_of(path, FORMATS[format].suffixes)
    schema: Any = None
    rows = 0 if format == "parquet" else None
    for file in files:
        with reading(path, f"{format.capitalize()} file"), open_regular(file) as stream:
            if format == "parquet":
                opened = parquet_file(stream)
                other = opened.schema_arrow
                rows = (rows or 0) + opened.metadata.num_rows
            else:
                with pa.ipc.open_file(stream) as opened:
                    other = opened.schema
        schema = schema or other
        if not other.equals(schema, check_metadata=False):
            raise DataError(
                f"{path}: {file.name} has other columns, or of other types, than "
                f"{files[0].name}: give each file the same"
            )
    assert schema is not None
    names = [name.strip() for name in schema.names]
    return _ColumnarReader(path, format, names, list(schema.types), rows, files=files)


@dataclass
class _NpyReader(TableReader):
    """An array (n, D) of numbers, whose columns are called by their places."""

    array: Any = None

    def batches(
        self, places: Sequence[int] | None = None, rows: int = ROWS
    ) -> Iterator[pa.RecordBatch]:
        chosen = [*range(len(self.names))] if places is None else [*places]
        for start in range(0, len(self.array), rows):
            part = np.asarray(self.array[start : start + rows])
            columns = [pa.array(np.ascontiguousarray(part[:, place])) for place in chosen]
            yield pa.RecordBatch.from_arrays(columns, names=[str(place) for place in chosen])


def _open_npy(path: str) -> TableReader:
    file = Path(path).expanduser()
    with reading(path, ".npy file"):
        with open_regular(file):
            check_written(file, path)
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise DataError(f"{path} holds no table of numbers: {array.dtype}, shape {array.shape}")
    width = array.shape[1]
    types = [pa.from_numpy_dtype(array.dtype.newbyteorder("="))] * width
    return _NpyReader(path, "npy", [*map(str, range(width))], types, len(array), array=array)


# ------------------------------------------------------------------------------------- writing


def check_target(path: str) -> None:
    """Raise `DataError` where no table can be written to a path; ``-`` is standard output."""
    if path == STANDARD_STREAM:
        return
    target = Path(path)
    if target.suffix.lower() not in table_suffixes():
        suffixes = ", ".join(table_suffixes())
        raise DataError(f"{path}: tables are written as {suffixes}, or to - as CSV")
    if target.is_dir():
        raise DataError(f"{path} is a folder: name a file")
    if not target.parent.is_dir():
        raise DataError(f"there is no folder {target.parent} to write {target.name} in")


def table_suffixes() -> list[str]:
    """Return the endings of files that `write_table` writes."""
    return [suffix for one in FORMATS.values() if one.write for suffix in one.suffixes]


def write_table(
    path: str | Path,
    batches: Iterable[pa.RecordBatch | pa.Table | Mapping[str, Any]],
    *,
    stream: Any = None,
    mask: Callable[[str], str] | None = None,
    progress: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write a table and return how many rows it has.

    A file is there once it is whole. Floats are the shortest text that reads back to the bit;
    what is null or nan is empty.

    Parameters
    ----------
    path : str or Path
        Its suffix says the format; ``-`` is CSV on standard output.
    batches : iterable of RecordBatch, Table, or mapping of str to arrays (n,)
        Of the same columns each.
    stream : text stream, optional
        In place of standard output.
    mask : callable, optional
        Gets texts and names of columns and returns what is written of them.
    progress : callable
        Gets the number of rows so far.

    Raises
    ------
    DataError
        The path will not do, the file cannot be written, or what ``batches`` raise.
    """
    path = str(path)
    check_target(path)
    rows = 0

    def fill(write: Callable[[pa.Schema], Any]) -> None:
        nonlocal rows
        writer, schema = None, None
        try:
            for some in batches:
                batch = _masked(as_batch(some), mask)
                if writer is None:
                    schema = _written_schema(batch.schema)
                    writer = write(schema)
                writer.write(_fitted(batch, schema))
                rows += batch.num_rows
                progress(rows)
        finally:
            if writer is not None:
                writer.close()

    if path == STANDARD_STREAM:
        out = sys.stdout if stream is None else stream
        try:
            fill(lambda schema: _CsvWriter(lambda text: out.write(str(text, "utf-8")), schema))
            out.flush()
        except OSError as error:
            if isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError):
                raise  # who read it has enough
            told = error.strerror or error
            raise DataError(f"standard output cannot be written: {told}") from error
        return rows
    suffix = Path(path).suffix.lower()
    chosen = next(one for one in FORMATS.values() if suffix in one.suffixes)
    assert chosen.write is not None
    write = chosen.write
    try:
        write_atomically(Path(path), lambda partial: fill(lambda schema: write(partial, schema)))
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return rows


def as_batch(some: pa.RecordBatch | pa.Table | Mapping[str, Any]) -> pa.RecordBatch:
    """Return columns as a batch: masked cells and nan are null, values of no type of their own text."""
    if isinstance(some, pa.RecordBatch):
        return some
    if isinstance(some, pa.Table):
        names, columns = some.column_names, [column.combine_chunks() for column in some.columns]
    else:
        names, columns = [*some], [_as_column(column) for column in some.values()]
    return pa.RecordBatch.from_arrays(
        [one if isinstance(one, pa.Array) else pa.concat_arrays(one.chunks) for one in columns],
        names=names,
    )


def _as_column(column: Any) -> Any:
    if isinstance(column, (pa.Array, pa.ChunkedArray)):
        return column
    if isinstance(column, np.ma.MaskedArray):
        return pa.array(column.data, mask=np.ma.getmaskarray(column), from_pandas=True)
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # of several kinds
        return pa.array([None if one is None or one != one else str(one) for one in column])


def _masked(batch: pa.RecordBatch, mask: Callable[[str], str] | None) -> pa.RecordBatch:
    if mask is None:
        return batch
    columns = []
    for column in batch.columns:
        column = as_array(column)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            cells = column.unique().drop_null().to_pylist()
            if mask("\n".join(cells)) != "\n".join(cells):
                column = pa.array(
                    [None if one is None else mask(one) for one in column.to_pylist()]
                )
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=[mask(name) for name in batch.schema.names])


def _written_schema(first: pa.Schema) -> pa.Schema:
    """Return the schema of a file by its first rows; a column that is empty there is text."""
    return pa.schema(
        [one.with_type(pa.string()) if pa.types.is_null(one.type) else one for one in first]
    )


def _fitted(batch: pa.RecordBatch, schema: Any) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    columns = [
        column if column.type == one.type else as_array(column).cast(one.type)
        for column, one in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class _CsvWriter:
    """Writes lines of CSV; texts stand in quotes where they have to."""

    def __init__(
        self, write: Callable[[Any], object], schema: pa.Schema, delimiter: str = ",",
        close: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        self._write, self._delimiter, self.close = write, delimiter, close
        header = self._quoted(pa.array(schema.names, pa.string())).to_pylist()
        write(((delimiter.join(header) or '""') + "\n").encode())

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch."""
        cells = [self._cells(column) for column in batch.columns]
        if len(cells) == 1:  # readers would leave an empty line out
            cells = [pc.if_else(pc.equal(pc.fill_null(cells[0], ""), ""), '""', cells[0])]
        ended = pc.binary_join_element_wise(
            cells[-1], "\n", "", null_handling="replace", null_replacement=""
        )
        lines = pc.binary_join_element_wise(
            *cells[:-1], ended, self._delimiter, null_handling="replace", null_replacement=""
        ).cast(pa.large_string())
        _, offsets, content = lines.buffers()
        ends = np.frombuffer(offsets, np.int64)[lines.offset : lines.offset + len(lines) + 1]
        if content is not None:
            self._write(memoryview(content)[ends[0] : ends[-1]])

    def _cells(self, column: pa.Array) -> pa.Array:
        column = as_array(column)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
            return column.cast(pa.string())
        return self._quoted(column.cast(pa.string()))

    def _quoted(self, texts: pa.Array) -> pa.Array:
        special = pc.match_substring_regex(texts, f'[{re.escape(self._delimiter)}"\\n\\r]')
        if not pc.any(special).as_py():
            return texts
        escaped = pc.replace_substring(texts, '"', '""')
        return pc.if_else(special, pc.binary_join_element_wise('"', escaped, '"', ""), texts)


def _open_csv_writer(path: Path, schema: pa.Schema) -> _CsvWriter:
    file = path.open("wb")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    return _CsvWriter(file.write, schema, delimiter, file.close)


class _ParquetWriter:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema, self._writer = path, schema, None

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch."""
        from pyarrow import parquet

        if self._writer is None:
            # To look for a number that stood before takes longer than all else, mostly in vain.
            often = [
                name
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
                if 2 * len(column.slice(0, 4096).unique()) <= len(column.slice(0, 4096))
            ]
            self._writer = parquet.ParquetWriter(self._path, self._schema, use_dictionary=often)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()


class _NpyWriter:
    """Writes an array of one column, or of records; its header has space for any number of rows."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        for one in schema:
            if not (
                pa.types.is_integer(one.type)
                or pa.types.is_floating(one.type)
                or pa.types.is_boolean(one.type)
            ):
                raise DataError(
                    f"a .npy file holds no text of any length: leave out '{short(one.name)}'"
                )
        types = [(one.name, np.dtype(one.type.to_pandas_dtype())) for one in schema]
        self._dtype = types[0][1] if len(types) == 1 else np.dtype(types)
        self._file: IO[bytes] = path.open("w+b")
        self._rows = 0
        self._header()

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch; what is null is nan, -1 or False."""
        content = np.empty(batch.num_rows, dtype=self._dtype)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            fill: Any = {"f": np.nan, "b": False}.get(
                np.dtype(column.type.to_pandas_dtype()).kind, -1
            )
            values = pc.fill_null(column, fill) if column.null_count else column
            at = content if self._dtype.names is None else content[name]
            at[:] = values.to_numpy(zero_copy_only=False)
        self._file.write(content.tobytes())
        self._rows += batch.num_rows

    def close(self) -> None:
        """Write how many rows there are, and end the file."""
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        # Names in any letters are for version 3, which fewer programs read.
        descr = np.lib.format.dtype_to_descr(self._dtype)
        told = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': ({self._rows},)}}"
        content = told.ljust(len(told) - len(str(self._rows)) + 20).encode()
        begin = np.lib.format.magic(2 if told.isascii() else 3, 0)
        content += b" " * (-(len(begin) + 5 + len(content)) % 64) + b"\n"
        self._file.write(begin + len(content).to_bytes(4, "little") + content)


def _open_feather_writer(path: Path, schema: pa.Schema) -> Any:
    from pyarrow import ipc

    return ipc.new_file(str(path), schema)


FORMATS: dict[str, TableFormat] = {
    one.name: one
    for one in (
        TableFormat(
            "csv", (".csv", ".tsv"), lambda path: open_table(path, format="csv"), _open_csv_writer
        ),
        TableFormat(
            "parquet",
            (".parquet", ".pq"),
            lambda path: _open_columnar(path, "parquet"),
            _ParquetWriter,
        ),
        TableFormat(
            "feather",
            (".feather", ".arrow"),
            lambda path: _open_columnar(path, "feather"),
            _open_feather_writer,
        ),
        TableFormat("npy", (".npy",), _open_npy, _NpyWriter),
    )
}


def _listed_formats() -> str:
    return ", ".join(name for name in FORMATS if name != "csv")
