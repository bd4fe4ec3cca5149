"""Tables in files of any format, read and written in batches.

A new built-in format is a subclass of `TableReader` and an entry of `FORMATS`; its data set stands
in ``dbgsom_plugins/datasets/table_files.py``. That of a plugin is found by `format_of`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbgsom_core.errors import DataError, PluginError
from dbgsom_core.files import open_regular, reading, write_atomically
from dbgsom_core.tables.csv import (
    STANDARD_STREAM,
    UNKNOWN_DIALECT,
    CsvReader,
    csv_writer,
)
from dbgsom_core.tables.reader import (
    CsvDialect,
    TableFormat,
    TableReader,
    as_array,
    as_column,
    is_number,
)

_PAGES = 1 << 16  # bytes of a column of a Parquet file that are read at a time
_NO_TABLES = (".npz", ".xlsx", ".xls", ".json")  # suffixes that are no CSV by another name


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
    if format is not None:
        table_format = FORMATS.get(format) or format_of(f".{format}")
    elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir may raise
        table_format = _format_of_folder(path)
    else:
        table_format = format_of(suffix)
    if table_format is None and (format is not None or suffix in _NO_TABLES):
        raise DataError(f"{path}: tables are read from {', '.join(FORMATS)} files")
    if table_format is None or table_format.name == "csv" or path == STANDARD_STREAM:
        return CsvReader.open(path, dialect, trained, known, guess)
    return table_format.open(path)


def format_of(suffix: str) -> TableFormat | None:
    """Return the format of files with this suffix, built in or of a plugin, or None.

    A plugin names a `TableFormat` in the entry-point group ``dbgsom.table_formats``, by the ending
    without its dot. It is imported once such a file is read or written.
    """
    for built_in in FORMATS.values():
        if suffix in built_in.suffixes:
            return built_in
    for entry in entry_points(group="dbgsom.table_formats", name=suffix.removeprefix(".")):
        plugin = f"{entry.value} of {entry.dist.name if entry.dist else 'a plugin'}"
        try:
            offered = entry.load()
        except Exception as error:
            raise PluginError(f"{suffix} files: {plugin} cannot be imported: {error}") from error
        if not isinstance(offered, TableFormat) or suffix not in offered.suffixes:
            raise PluginError(f"{suffix} files: {plugin} is no TableFormat of such files")
        return offered
    return None


def _format_of_folder(path: str) -> TableFormat:
    """Return the format of the files in a folder: Feather, a plugin's, or else Parquet."""
    with reading(path, "folder of tables"):
        suffixes = {file.suffix.lower() for file in Path(path).iterdir()}
    parquet = FORMATS["parquet"]
    if suffixes.isdisjoint(parquet.suffixes):
        for suffix in sorted(suffixes):
            other = format_of(suffix)
            if other is not None and other.name not in ("csv", "npy"):
                return other
    return parquet


def parquet_file(stream: Any) -> Any:
    """Return a `pyarrow.parquet.ParquetFile` that is read a page of a column at a time."""
    from pyarrow import parquet

    return parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_PAGES)


def _files_of(path: str, suffixes: Collection[str]) -> list[Path]:
    """Return the files of a table: itself, or those of a folder, part.2 before part.10."""
    file = Path(path).expanduser()
    if not os.path.isdir(file):  # noqa: PTH112
        return [file]

    def in_order(path: Path) -> list[int | str]:  # texts and numbers in turn
        words = re.split(r"(\d+)", path.name)
        return [int(word) if word.isdecimal() else word for word in words]

    files = []
    for part in sorted(file.iterdir(), key=in_order):
        if part.name[0] not in "._" and part.suffix.lower() in suffixes:
            files.append(part)
    if not files:
        suffix = next(iter(suffixes))
        raise DataError(f"{path} is a folder without a {suffix} file: give another path")
    return files


@dataclass
class _FilesReader(TableReader):
    """Parquet or Feather files of the same columns, one after the other."""

    @classmethod
    def open(cls, path: str, format: str) -> _FilesReader:
        """Open a file, or a folder of files, which all have the same columns."""
        schema: Any = None
        rows = 0
        with reading(path, f"{format} file"):
            files = _files_of(path, FORMATS[format].suffixes)
            for file in files:
                with open_regular(file) as stream:
                    if format == "parquet":
                        opened = parquet_file(stream)
                        rows += opened.metadata.num_rows
                        other = opened.schema_arrow
                    else:
                        other = pa.ipc.open_file(stream).schema
                schema = schema or other
                if not other.equals(schema, check_metadata=False):
                    raise DataError(
                        f"{path}: {file.name} has other columns, or of other types, than "
                        f"{files[0].name}: give each file the same"
                    )
        if len({*schema.names}) < len(schema.names):
            raise DataError(f"{path} has several columns of one name: rename all but one")
        names = [name.strip() for name in schema.names]
        known = rows if format == "parquet" else None
        return cls(path, format, names, list(schema.types), known, files=files)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        for file in self.files:
            with open_regular(file) as stream:
                if self.format == "parquet":
                    opened = parquet_file(stream)
                    names = [opened.schema_arrow.names[place] for place in places]
                    for batch in opened.iter_batches(rows, columns=names):
                        yield batch.select(names)
                else:
                    opened = pa.ipc.open_file(stream)
                    for number in range(opened.num_record_batches):
                        batch = opened.get_batch(number)
                        batch.validate(full=True)  # as the reader of Parquet does
                        yield batch.select([*places])


@dataclass
class _NpyReader(TableReader):
    """An array (n, D) of numbers, with columns "0", "1" and so on."""

    array: Any = None

    @classmethod
    def open(cls, path: str) -> _NpyReader:
        file = Path(path).expanduser()
        with reading(path, "npy file"):
            open_regular(file).close()
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        if array.ndim != 2 or array.dtype.kind not in "fiub":
            raise DataError(f"{path} holds no table of numbers: {array.dtype}, shape {array.shape}")
        names = list(map(str, range(array.shape[1])))
        types = [pa.from_numpy_dtype(array.dtype.newbyteorder("="))] * len(names)
        return cls(path, "npy", names, types, len(array), array=array)

    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        kind = self.array.dtype.newbyteorder("=")
        for start in range(0, len(self.array), rows):
            part = np.asarray(self.array[start : start + rows], kind)
            columns = [pa.array(np.ascontiguousarray(part[:, place])) for place in places]
            yield pa.RecordBatch.from_arrays(columns, names=[*map(str, places)])


def check_target(path: str) -> None:
    """Raise `DataError` where no table can be written to a path; ``-`` is standard output."""
    if path == STANDARD_STREAM:
        return
    target = Path(path).expanduser()
    table_format = format_of(target.suffix.lower())
    if table_format is None or table_format.write is None:
        suffixes = chain.from_iterable(built_in.suffixes for built_in in FORMATS.values())
        raise DataError(f"{path}: tables are written as {', '.join(suffixes)}, or to - as CSV")
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises where a folder cannot be read
        raise DataError(f"{path} is a folder: name a file")
    if not os.path.isdir(target.parent):  # noqa: PTH112
        raise DataError(f"there is no folder {target.parent} to write {target.name} in")


def write_table(
    path: str | Path,
    batches: Iterable[pa.RecordBatch | pa.Table | Mapping[str, Any]],
    *,
    progress: Callable[[int], object] = lambda rows: None,
    beside: str | None = None,
    dialect: CsvDialect = UNKNOWN_DIALECT,
) -> int:
    """Write a table, whole or not at all, and return how many rows it has.

    Floats are the shortest text that reads back to the bit; what is null or nan is empty.

    Parameters
    ----------
    path : str or Path
        Its suffix says the format; ``-`` is CSV on standard output.
    batches : iterable of RecordBatch, Table, or mapping of str to arrays (n,)
        Of the same columns each.
    progress : callable
        Gets the number of rows so far.
    beside : str, optional
        A table of the same rows. Where it has the same format, and this can add columns to a
        table, a copy of it is written with these.
    dialect : CsvDialect
        The delimiter and the decimal mark of a CSV file.

    Raises
    ------
    DataError
        The path will not do, the file cannot be written, or what ``batches`` raise.
    """
    path, rows = str(path), 0
    check_target(path)
    target = Path(path).expanduser()
    suffix = ".csv" if path == STANDARD_STREAM else target.suffix.lower()
    format: Any = format_of(suffix)
    make_writer: Any = format.write
    source: tuple[str, ...] = ()
    if format.name == "csv":
        make_writer = partial(csv_writer, delimiter=dialect.delimiter, decimal=dialect.decimal)
    if beside is not None and format.add:
        if os.path.isdir(beside):  # noqa: PTH112
            into = f"write all of it to a .csv, or file by file to {format.suffixes[0]}"
            raise DataError(f"{beside} is a folder: {into}")
        if Path(beside).suffix.lower() in format.suffixes:
            make_writer, source = format.add, (beside,)

    def write(place: Path) -> None:
        nonlocal rows
        writer: Any = None
        schema: Any = None
        try:
            for batch in _record_batches(batches):
                if writer is None:
                    schema = batch.schema
                    writer = make_writer(place, schema, *source)
                writer.write_batch(batch.cast(schema))
                rows += batch.num_rows
                progress(rows)
        finally:
            if writer is not None:
                writer.close()

    try:
        if path == STANDARD_STREAM:
            write(target)
        else:
            write_atomically(target, write)
    except BrokenPipeError:
        raise  # the reader closed the pipe
    except OSError as error:
        what = "standard output" if path == STANDARD_STREAM else path
        raise DataError(f"{what} cannot be written: {error.strerror or error}") from error
    return rows


def _record_batches(tables: Iterable[Any]) -> Iterator[pa.RecordBatch]:
    """Yield batches of plain columns; what is masked or nan in arrays is null."""
    for table in tables:
        if isinstance(table, Mapping):
            columns = [as_column(values) for values in table.values()]
            table = pa.table(columns, names=[*table])
        batches = [table] if isinstance(table, pa.RecordBatch) else table.to_batches()
        for batch in batches:
            columns = []
            for column in batch.columns:
                if pa.types.is_dictionary(column.type) or pa.types.is_null(column.type):
                    column = as_array(column)
                columns.append(column)
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _parquet_writer(path: Path, schema: pa.Schema) -> Any:
    from pyarrow import parquet

    return parquet.ParquetWriter(path, schema)


class _NpyWriter:
    """Writer of an array of one column, or of records; nulls become nan, -1, False or empty text.

    It holds all rows until they are written: how long texts are is known at the end.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._names = path, schema.names
        self._batches: list[pa.RecordBatch] = []

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)

    def close(self) -> None:
        columns = []
        for column in pa.Table.from_batches(self._batches).columns:
            empty: Any = -1
            if pa.types.is_boolean(column.type):
                empty = False
            elif pa.types.is_floating(column.type):
                empty = np.nan
            elif not is_number(column.type):
                column, empty = column.cast(pa.string()), ""
            values = pc.fill_null(column, empty).to_numpy()
            columns.append(values.astype(np.str_) if empty == "" else values)
        if len(columns) > 1:
            np.save(self._path, np.rec.fromarrays(columns, names=self._names))
        else:
            np.save(self._path, columns[0])


FORMATS: dict[str, TableFormat] = {
    "csv": TableFormat("csv", (".csv", ".tsv"), CsvReader.open, csv_writer),
    "parquet": TableFormat(
        "parquet",
        (".parquet", ".pq"),
        lambda path: _FilesReader.open(path, "parquet"),
        _parquet_writer,
    ),
    "feather": TableFormat(
        "feather",
        (".feather", ".arrow"),
        lambda path: _FilesReader.open(path, "feather"),
        lambda path, schema: pa.ipc.new_file(str(path), schema),
    ),
    "npy": TableFormat("npy", (".npy",), _NpyReader.open, _NpyWriter),
}
