"""Tables to files, a chunk at a time: CSV, parquet and npy; whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from dbgsom_core.errors import DataError
from dbgsom_core.files import write_atomically
from dbgsom_core.runs.csv_lines import CsvLines, arrow_array
from dbgsom_core.runs.using.ahead import ahead

Table = Mapping[str, Any]  # columns by name, equally long; cells that are masked are left empty
ENDINGS = (".csv", ".tsv", ".parquet", ".pq", ".npy")
_DIGITS = 20  # of a number of rows
_LOOKED_AT = 4096  # values that tell whether a column repeats itself


def check_target(path: str) -> None:
    """Raise `DataError` where no table can be written to a path; ``-`` is standard output."""
    if path == "-":
        return
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise DataError(f"{path}: tables are written as {', '.join(ENDINGS)}, or to - as CSV")
    if target.is_dir():
        raise DataError(f"{path} is a folder: name a file")
    if not target.parent.is_dir():
        raise DataError(f"there is no folder {target.parent} to write {target.name} in")


def write_table(
    path: str,
    chunks: Iterable[Table],
    stdout: Any = None,
    tell: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write all chunks to a file and return how many rows they had.

    The file is there once it is whole. ``-`` is standard output, or the stream ``stdout`` in its
    place, which gets rows as they come. ``tell`` hears after each chunk how many are written.

    Raises
    ------
    DataError
        The path will not do, the file cannot be written, or what ``chunks`` raise.
    """
    check_target(path)
    rows = 0

    def write(put: Callable[[Table], None]) -> None:
        nonlocal rows
        for chunk in chunks:
            put(chunk)
            rows += len(next(iter(chunk.values())))
            tell(rows)

    if path == "-":
        stream = sys.stdout if stdout is None else stdout
        try:
            with _csv(lambda content: stream.write(str(content, "utf-8")), ",") as put:
                write(put)
            stream.flush()
        except OSError as error:
            if isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError):
                raise  # whoever read it has enough
            told = error.strerror or error
            raise DataError(f"standard output cannot be written: {told}") from error
        return rows

    def fill(partial: Path) -> None:
        with _writer(partial) as put:
            write(put)

    try:
        write_atomically(Path(path), fill)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return rows


@contextmanager
def _writer(path: Path) -> Iterator[Callable[[Table], None]]:
    ending = path.suffix.lower()
    if ending == ".npy":
        with path.open("w+b") as file, _npy(file) as put:
            yield put
    elif ending in (".parquet", ".pq"):
        with _parquet(path) as put:
            yield put
    else:
        delimiter = "\t" if ending == ".tsv" else ","
        with path.open("wb") as out, _csv(out.write, delimiter) as put:
            yield put


@contextmanager
def _csv(write: Callable[[Any], object], delimiter: str) -> Iterator[Callable[[Table], None]]:
    lines, first = CsvLines(delimiter), True

    def put(chunk: Table) -> None:
        nonlocal first
        if first:
            write(lines.header(chunk))
            first = False
        with closing(ahead(lines.blocks(chunk))) as blocks:
            for block in blocks:
                write(block)

    yield put


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Table], None]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path.suffix} files need pyarrow: pip install 'dbgsom-core[parquet]'"
        ) from None
    writer: Any = None

    def put(chunk: Table) -> None:
        nonlocal writer
        table = pa.table({name: arrow_array(column) for name, column in chunk.items()})
        if writer is None:
            # To look for a number that stood before takes longer than all else, mostly in vain.
            often = [name for name in table.column_names if _repeats(table[name])]
            writer = parquet.ParquetWriter(path, _schema(table.schema), use_dictionary=often)
        writer.write_table(table.cast(writer.schema))

    try:
        yield put
    finally:
        if writer is not None:
            writer.close()


def _repeats(column: Any) -> bool:
    """Say whether the values of a column come again, by the first few."""
    some = column.slice(0, _LOOKED_AT)
    return 2 * len(some.unique()) <= len(some)


def _schema(first: Any) -> Any:
    """Return the schema of a file by its first rows; a column that is empty there is text."""
    import pyarrow as pa

    return pa.schema(
        [one.with_type(pa.string()) if pa.types.is_null(one.type) else one for one in first]
    )


@contextmanager
def _npy(file: IO[bytes]) -> Iterator[Callable[[Table], None]]:
    # A header with room for the number of rows, which is known at the end.
    dtype: Any = None
    rows = 0

    def put(chunk: Table) -> None:
        nonlocal dtype, rows
        columns = {name: _without_mask(column) for name, column in chunk.items()}
        for name, column in columns.items():
            if column.dtype == object:
                raise DataError(f"a .npy file holds no text of any length: leave out '{name}'")
        if dtype is None:
            dtype = _dtype(columns)
            _npy_header(file, dtype, 0)
        length = len(next(iter(columns.values())))
        content = np.empty(length, dtype=dtype)
        for name, column in columns.items():
            if dtype.names is None:
                content[:] = column
            else:
                content[name] = column
        file.write(content.tobytes())
        rows += length

    yield put
    if dtype is not None:
        file.seek(0)
        _npy_header(file, dtype, rows)


def _without_mask(column: Any) -> Any:
    # An array has no empty cells: they are nan, -1, False or "" there.
    if not isinstance(column, np.ma.MaskedArray):
        return np.asarray(column)
    fill: Any = {"f": np.nan, "i": -1, "b": False, "U": ""}.get(column.dtype.kind)
    return column.filled(fill)


def _dtype(columns: Mapping[str, Any]) -> Any:
    if len(columns) == 1:
        return next(iter(columns.values())).dtype
    return np.dtype([(name, column.dtype) for name, column in columns.items()])


def _npy_header(file: IO[bytes], dtype: Any, rows: int) -> None:
    # Of a length that rows do not change; names in any letters are for version 3, which fewer read.
    descr = np.lib.format.dtype_to_descr(dtype)
    told = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': ({rows},)}}"
    content = told.ljust(len(told) - len(str(rows)) + _DIGITS).encode()
    begin = np.lib.format.magic(2 if told.isascii() else 3, 0)
    content += b" " * (-(len(begin) + 5 + len(content)) % 64) + b"\n"
    file.write(begin + len(content).to_bytes(4, "little") + content)
