"""Tables in files of any format, read and written in batches."""

from __future__ import annotations

import codecs
import io
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, PluginError
from dbgsom_core.files import open_regular, write_atomically
from dbgsom_core.tables.columns import as_array, is_text, numbered
from dbgsom_core.tables.csv import (
    STANDARD_STREAM,
    UNKNOWN_DIALECT,
    CsvReader,
    CsvWriter,
    csv_writer,
)
from dbgsom_core.tables.reader import CsvDialect, TableFormat, TableReader
from dbgsom_core.tables.safe_files import check_written, reading

_PAGES = 1 << 16  # bytes of a column of a Parquet file that are read at a time


def open_table(
    path: str,
    dialect: CsvDialect = UNKNOWN_DIALECT,
    *,
    trained: CsvDialect = UNKNOWN_DIALECT,
    known: Collection[str] = (),
    guess: bool = True,
    format: str | None = None,
) -> TableReader:
    """Open a table; ``-`` is a CSV table on standard input.

    Parameters
    ----------
    path : str
        ``~`` is the home folder; a folder of Parquet or Feather files is one table, or of files
        of a plugin's format, which opens it. Files of unknown suffixes are read as CSV.
    dialect : CsvDialect
        What is known of a CSV file.
    trained : CsvDialect
        How the table of a model's training was written, which is tried first.
    known : collection of str
        Names of columns that are expected.
    guess : bool
        Find out what is not known of a CSV file; False: commas part fields, the first line names
        the columns, and the text is UTF-8, but for a byte order mark and a line ``sep=``.
    format : str, optional
        Overrides the suffix.

    Raises
    ------
    DataError
        It cannot be read, is empty, or no table.
    """
    suffix = Path(path).suffix.lower()
    if format is None and os.path.isdir(path):  # noqa: PTH112 - Path.is_dir may raise
        with reading(path, "folder of tables"):
            endings = {Path(one).suffix.lower() for one in os.listdir(path)}  # noqa: PTH208
        kinds = [kind for kind in map(format_of, sorted(endings)) if kind is not None]
        names = [kind.name for kind in kinds]
        plugins = [kind for kind in kinds if kind.name not in FORMATS]
        if plugins and not {"parquet", "feather"}.intersection(names):
            return plugins[0].open(path)
        format = "feather" if "feather" in names else "parquet"
    found = FORMATS[format] if format else format_of(suffix)
    if found is None and suffix in (".npz", ".xlsx", ".xls", ".json"):
        raise DataError(f"{path}: tables are read from {', '.join(FORMATS)} files")
    if found is None or found.name == "csv" or path == STANDARD_STREAM:
        return CsvReader.open(path, dialect, trained, known, guess)
    return found.open(path)


def format_of(suffix: str) -> TableFormat | None:
    """Return the format of files with this suffix, built in or of a plugin, or None.

    A plugin names a `TableFormat` in the entry-point group ``dbgsom.table_formats``, by the ending
    without its dot. It is imported once such a file is read or written.
    """
    for one in FORMATS.values():
        if suffix in one.suffixes:
            return one
    for entry in entry_points(group="dbgsom.table_formats", name=suffix.removeprefix(".")):
        plugin = f"{entry.value} of {entry.dist.name if entry.dist else 'a plugin'}"
        try:
            found = entry.load()
        except Exception as error:
            raise PluginError(f"{suffix} files: {plugin} cannot be imported: {error}") from error
        if not isinstance(found, TableFormat) or suffix not in found.suffixes:
            raise PluginError(f"{suffix} files: {plugin} is no TableFormat of such files")
        return found
    return None


def parquet_file(stream: Any) -> Any:
    """Return a `pyarrow.parquet.ParquetFile` that is read a page of a column at a time."""
    from pyarrow import parquet

    return parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_PAGES)


def _files_of(path: str, suffixes: Collection[str]) -> list[Path]:
    """Return the files of a table: itself, or those of a folder, part.2 before part.10."""
    file = Path(path).expanduser()
    try:
        found = [*file.iterdir()]
    except (OSError, ValueError):
        return [file]
    found = [one for one in found if one.suffix.lower() in suffixes and one.name[0] not in "._"]
    if not found:
        suffix = next(iter(suffixes))
        raise DataError(f"{path} is a folder without a {suffix} file: give another path")

    def in_order(one: Path) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", one.name)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

    return sorted(found, key=in_order)


@dataclass
class _FilesReader(TableReader):
    """Parquet or Feather files of the same columns, one after the other."""

    @classmethod
    def open(cls, path: str, format: str) -> _FilesReader:
        files = _files_of(path, FORMATS[format].suffixes)
        schema: Any = None
        names: list[str] = []
        rows = 0
        for file in files:
            with reading(path, f"{format.capitalize()} file"), open_regular(file) as stream:
                if format == "parquet":
                    opened = parquet_file(stream)
                    rows += opened.metadata.num_rows
                    other = opened.schema_arrow
                else:
                    other = pa.ipc.open_file(stream).schema
                names = [name.strip() for name in other.names]
            schema = schema or other
            if not other.equals(schema, check_metadata=False):
                raise DataError(
                    f"{path}: {file.name} has other columns, or of other types, than "
                    f"{files[0].name}: give each file the same"
                )
        known = rows if format == "parquet" else None
        return cls(path, format, names, list(schema.types), known, files=files)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        for file in self.files:
            kind = f"{self.format.capitalize()} file"
            with reading(self.path, kind), open_regular(file) as stream:
                if self.format == "parquet":
                    opened = parquet_file(stream)
                    names = opened.schema_arrow.names
                    chosen = [*dict.fromkeys(names[place] for place in places)]
                    batches: Any = opened.iter_batches(rows, columns=chosen)
                else:
                    opened = pa.ipc.open_file(stream)
                    names = opened.schema.names
                    batches = map(opened.get_batch, range(opened.num_record_batches))
                labels = numbered(names)
                for batch in batches:
                    batch.validate(full=self.format != "parquet")  # whose reader validates
                    at = {label: i for i, label in enumerate(numbered(batch.schema.names))}
                    columns = [batch.column(at[labels[place]]) for place in places]
                    yield pa.RecordBatch.from_arrays(columns, names=[*map(str, places)])


@dataclass
class _NpyReader(TableReader):
    """An array (n, D) of numbers, with columns "0", "1" and so on."""

    array: Any = None

    @classmethod
    def open(cls, path: str) -> _NpyReader:
        file = Path(path).expanduser()
        with reading(path, ".npy file"):
            with open_regular(file):
                check_written(file, path)
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        if array.ndim != 2 or array.dtype.kind not in "fiub":
            raise DataError(f"{path} holds no table of numbers: {array.dtype}, shape {array.shape}")
        names = [*map(str, range(array.shape[1]))]
        types = [pa.from_numpy_dtype(array.dtype.newbyteorder("="))] * len(names)
        return cls(path, "npy", names, types, len(array), array=array)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        for part in self._parts(rows):
            part = part.astype(part.dtype.newbyteorder("="), copy=False)
            columns = [pa.array(np.ascontiguousarray(part[:, place])) for place in places]
            yield pa.RecordBatch.from_arrays(columns, names=[*map(str, places)])

    def _parts(self, rows: int) -> Iterator[NDArray[Any]]:
        array, n = self.array, len(self.array)
        if not array.flags.c_contiguous:
            yield from (array[start : start + rows] for start in range(0, n, rows))
            return
        # Read, not mapped: the system ends a process that looks at what was cut off a file.
        with reading(self.path, ".npy file"), open_regular(Path(self.path).expanduser()) as stream:
            stream.seek(array.offset)
            for start in range(0, n, rows):
                shape = min(rows, n - start), array.shape[1]
                size = math.prod(shape) * array.dtype.itemsize
                found = stream.read(size)
                if len(found) < size:
                    raise DataError(
                        f"{self.path} ends before its last row: it is cut short, write it again"
                    )
                yield np.frombuffer(found, array.dtype).reshape(shape)


def check_target(path: str) -> None:
    """Raise `DataError` where no table can be written to a path; ``-`` is standard output."""
    if path == STANDARD_STREAM:
        return
    target = Path(path).expanduser()
    found = format_of(target.suffix.lower())
    if found is None or found.write is None:
        suffixes = [suffix for one in FORMATS.values() if one.write for suffix in one.suffixes]
        raise DataError(f"{path}: tables are written as {', '.join(suffixes)}, or to - as CSV")
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises where a folder cannot be read
        raise DataError(f"{path} is a folder: name a file")
    if not os.path.isdir(target.parent):  # noqa: PTH112
        raise DataError(f"there is no folder {target.parent} to write {target.name} in")


def write_table(
    path: str | Path,
    batches: Iterable[pa.RecordBatch | pa.Table | Mapping[str, Any]],
    *,
    stream: Any = None,
    mask: Callable[[str], str] | None = None,
    progress: Callable[[int], object] = lambda rows: None,
    beside: str | None = None,
) -> int:
    """Write a table, whole or not at all, and return how many rows it has.

    Floats are the shortest text that reads back to the bit; what is null or nan is empty.

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
    beside : str, optional
        A table of the same rows. Where it has the same format, and this can add columns to a
        table, a copy of it is written with these.

    Raises
    ------
    DataError
        The path will not do, the file cannot be written, or what ``batches`` raise.
    """
    path = str(path)
    check_target(path)
    if mask is not None:
        batches = (_masked(as_batch(some), mask) for some in batches)
    if path == STANDARD_STREAM:
        out = sys.stdout if stream is None else stream
        try:
            rows = _write(batches, lambda schema: CsvWriter(_Utf8(out), schema), progress)
            out.flush()
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise  # the reader closed the pipe
            reason = error.strerror or error
            raise DataError(f"standard output cannot be written: {reason}") from error
        return rows
    target = Path(path).expanduser()
    format: Any = format_of(target.suffix.lower())
    if beside is not None and format.add and os.path.isdir(beside):  # noqa: PTH112
        into = f"write all of it to a .csv, or file by file to {format.suffixes[0]}"
        raise DataError(f"{beside} is a folder: {into}")
    adds = format.add and beside is not None and Path(beside).suffix.lower() in format.suffixes
    rows = 0

    def write(partial: Path) -> None:
        nonlocal rows

        def open_writer(schema: pa.Schema) -> Any:
            return format.add(partial, schema, beside) if adds else format.write(partial, schema)

        rows = _write(batches, open_writer, progress)

    try:
        write_atomically(target, write)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return rows


def _write(
    batches: Iterable[Any],
    open_writer: Callable[[pa.Schema], Any],
    progress: Callable[[int], object],
) -> int:
    """Write batches of the schema of the first one, and return how many rows they have."""
    rows = 0
    schema: Any = None
    writer: Any = None
    try:
        for some in batches:
            batch = as_batch(some)
            if writer is None:
                schema = pa.schema([_stored(field) for field in batch.schema])
                writer = open_writer(schema)
            if not batch.schema.equals(schema):
                columns = [
                    as_array(column).cast(kind)
                    for column, kind in zip(batch.columns, schema.types, strict=True)
                ]
                batch = pa.RecordBatch.from_arrays(columns, schema=schema)
            writer.write_batch(batch)
            rows += batch.num_rows
            progress(rows)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _stored(field: pa.Field) -> pa.Field:
    """Return a column as it is written: categories as their values, no known value as text."""
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        kind = pa.string()
    return pa.field(field.name, kind)


class _Utf8(io.RawIOBase):
    """A text stream to which UTF-8 is written; closing it leaves the stream open."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._out.write(self._decoder.decode(bytes(data)))
        return len(data)


def as_batch(some: pa.RecordBatch | pa.Table | Mapping[str, Any]) -> pa.RecordBatch:
    """Return columns as a batch; cells that are masked or nan are null."""
    if isinstance(some, pa.RecordBatch):
        return some
    if isinstance(some, pa.Table):
        names, columns = some.column_names, some.columns
    else:
        names, columns = [*some], [*some.values()]
    arrays = []
    for column in columns:
        if isinstance(column, np.ma.MaskedArray):
            column = pa.array(column.data, mask=np.ma.getmaskarray(column), from_pandas=True)
        elif not isinstance(column, (pa.Array, pa.ChunkedArray)):
            try:
                column = pa.array(column, from_pandas=True)
            except (pa.ArrowInvalid, pa.ArrowTypeError):  # of several kinds
                cells = [None if one is None or one != one else str(one) for one in column]
                column = pa.array(cells, pa.string())
        arrays.append(as_array(column) if isinstance(column, pa.ChunkedArray) else column)
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _masked(batch: pa.RecordBatch, mask: Callable[[str], str]) -> pa.RecordBatch:
    columns = []
    for column in map(as_array, batch.columns):
        if is_text(column):
            encoded = column.dictionary_encode()
            cells = encoded.dictionary.to_pylist()
            text = "\n".join(cells)
            if mask(text) != text:
                cells = pa.array([mask(cell) for cell in cells], column.type)
                column = cells.take(encoded.indices)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=[mask(name) for name in batch.schema.names])


def _parquet_writer(path: Path, schema: pa.Schema) -> Any:
    from pyarrow import parquet

    # A dictionary of numbers takes longer than all else and seldom saves space.
    texts = [one.name for one in schema if pa.types.is_string(one.type)]
    return parquet.ParquetWriter(path, schema, use_dictionary=texts or False)


class _NpyWriter:
    """Writer of an array of one column, or of records.

    Nulls become nan, -1, False or empty text; each text takes the space of the longest. How many
    rows there are, and how long texts, is known at the end: until then they lie in a nameless file.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._rows = path, 0
        kinds = [kind if is_number(kind) else pa.string() for kind in schema.types]
        self._schema = pa.schema(list(zip(schema.names, kinds, strict=True)))
        self._longest = dict.fromkeys(schema.names, 1)
        self._file = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
        self._stream = pa.ipc.new_stream(self._file, self._schema)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        columns = []
        for name, kind, column in zip(
            self._schema.names, self._schema.types, batch.columns, strict=True
        ):
            column = pc.fill_null(column.cast(kind), self._empty(kind))
            if is_text(column) and len(column):
                longest = pc.max(pc.utf8_length(column)).as_py()
                self._longest[name] = max(self._longest[name], longest)
            columns.append(column)
        self._stream.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self._rows += len(batch)

    def _empty(self, kind: pa.DataType) -> Any:
        if pa.types.is_string(kind):
            return ""
        if pa.types.is_boolean(kind):
            return False
        return math.nan if pa.types.is_floating(kind) else -1

    def close(self) -> None:
        fields = []
        for name, kind in zip(self._schema.names, self._schema.types, strict=True):
            if pa.types.is_string(kind):
                fields.append((name, np.dtype(f"U{self._longest[name]}")))
            else:
                fields.append((name, np.dtype(kind.to_pandas_dtype())))
        dtype = np.dtype(fields if len(fields) > 1 else fields[0][1])
        with self._file:
            self._stream.close()
            self._file.seek(0)
            np.save(self._path, np.empty(0, dtype))
            if not self._rows:
                return
            # The map writes the head; its pages are not touched, as the disk may be full.
            start = np.lib.format.open_memmap(self._path, "w+", dtype, (self._rows,)).offset
            with self._path.open("r+b") as out:
                out.seek(start)
                for batch in pa.ipc.open_stream(self._file):
                    out.write(self._records(batch, dtype))

    def _records(self, batch: pa.RecordBatch, dtype: np.dtype[Any]) -> bytes:
        found = np.empty(len(batch), dtype)
        for name, column in zip(self._schema.names, batch.columns, strict=True):
            into = found if dtype.names is None else found[name]
            into[:] = column.to_numpy(zero_copy_only=False)
        return found.tobytes()


def is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


FORMATS: dict[str, TableFormat] = {
    one.name: one
    for one in (
        TableFormat("csv", (".csv", ".tsv"), CsvReader.open, csv_writer),
        TableFormat(
            "parquet",
            (".parquet", ".pq"),
            lambda path: _FilesReader.open(path, "parquet"),
            _parquet_writer,
        ),
        TableFormat(
            "feather",
            (".feather", ".arrow"),
            lambda path: _FilesReader.open(path, "feather"),
            lambda path, schema: pa.ipc.new_file(str(path), schema),
        ),
        TableFormat("npy", (".npy",), _NpyReader.open, _NpyWriter),
    )
}
