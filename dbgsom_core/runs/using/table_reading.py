"""Tables from files, a chunk at a time: CSV, parquet and npy, however large they are."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.interfaces.cells import number, short
from dbgsom_core.interfaces.columns import Columns, Unseen, missing_words, numbered
from dbgsom_core.interfaces.files import open_regular
from dbgsom_core.interfaces.unpacking import open_text

if TYPE_CHECKING:
    import pandas as pd

CELLS_A_CHUNK = 1 << 21
_MOST_ROWS, _LEAST_ROWS = 1 << 17, 1 << 10
_HEAD = 1 << 20  # bytes in which the first lines are looked for
_SHOWN = 5  # names that a note lists
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that spreadsheets write
_DELIMITERS = (",", ";", "\t", "|")


class Chunk(NamedTuple):
    """Some rows: the number of the first one, samples as the model takes them, columns kept.

    ``line`` is the first one's in the file; None where rows are no lines.
    """

    first: int
    X: Any
    kept: dict[str, Any]
    line: int | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to be read.

    Attributes
    ----------
    columns : Columns or None
        Those that the model knows; None: all that are not kept, by their place.
    width : int
        How many features there are.
    keep : tuple of str
        Columns to carry along.
    optional : tuple of str
        More of them, where they are there.
    delimiter, encoding : str or None
        Of a CSV file; None: found out.
    trained : str or None
        The encoding of the training's file, which others have as well unless they are UTF-8.
    only : int or None
        The one row that is read; all others are nan.
    notes, unseen
        What a reader should know, and the categories that did not occur in training.
    """

    columns: Columns | None
    width: int
    keep: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str | None = None
    trained: str | None = None
    only: int | None = None
    notes: list[str] = field(default_factory=list)
    unseen: Unseen = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows go into one chunk."""
        return min(_MOST_ROWS, max(_LEAST_ROWS, CELLS_A_CHUNK // max(self.width, 1)))


def chunks_of(path: str, wanted: Wanted) -> Iterator[Chunk]:
    """Yield the rows of a file; ``-`` is a CSV table on standard input.

    Raises
    ------
    DataError
        The file cannot be read, lacks columns, or holds cells that are none.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] == ".npy":
        yield from _npy(path, wanted)
    elif suffixes and suffixes[-1] in (".parquet", ".pq"):
        yield from _parquet(path, wanted)
    elif suffixes and suffixes[-1] in (".npz", ".xlsx", ".xls", ".json", ".feather", ".arrow"):
        raise DataError(f"{path}: rows are read from CSV (also packed), parquet and npy files")
    else:
        yield from _csv(path, wanted)


def _npy(path: str, wanted: Wanted) -> Iterator[Chunk]:
    if wanted.keep:
        raise DataError(f"{path} has no columns by name: leave out --keep {','.join(wanted.keep)}")
    try:
        with open_regular(Path(path)):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file makes numpy raise anything
        raise DataError(f"{path} cannot be read as an array: {_line(error)}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise DataError(f"{path} holds no table of numbers: {array.dtype}, shape {array.shape}")
    if array.shape[1] != wanted.width:
        raise DataError(
            f"{path} has {array.shape[1]} columns, and the model was trained on {wanted.width}"
        )
    for first in range(0, len(array), wanted.rows):
        yield Chunk(first, np.array(array[first : first + wanted.rows]), {})


def _parquet(path: str, wanted: Wanted) -> Iterator[Chunk]:
    pq = _parquet_reader(path)
    try:
        with open_regular(Path(path)) as stream:
            file = pq.ParquetFile(stream)
            names = list(file.schema_arrow.names)
            table = _Table(path, names, wanted)
            first = 0
            read = [names[place] for place in table.read]
            for batch in file.iter_batches(batch_size=wanted.rows, columns=read):
                frame = batch.to_pandas(ignore_metadata=True)[read]  # an index is a column
                yield table.chunk(first, frame)
                first += len(frame)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # pyarrow's errors are many
        raise DataError(f"{path} cannot be read as parquet: {_line(error)}") from error


def _parquet_reader(path: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path}: parquet files need pyarrow: pip install 'dbgsom-core[parquet]'"
        ) from None
    return pyarrow.parquet


def _csv(path: str, wanted: Wanted) -> Iterator[Chunk]:
    head = _Head.of(path, wanted)
    table = _Table(path, head.names, wanted)
    done = 0
    for text in (False, True):
        try:
            with _opened(path) as stream:
                left = done
                for frame in _frames(stream, head, table, wanted, text):
                    rest = frame.iloc[left:]
                    left -= len(frame) - len(rest)
                    if len(rest):
                        line = None if head.line is None else head.line + done
                        yield table.chunk(done, rest)._replace(line=line)
                        done += len(rest)
            return
        except DataError:
            raise
        except UnicodeError:
            raise DataError(
                f"{path} is no text of the encoding {head.encoding}: say which with --encoding, "
                "such as latin-1"
            ) from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        except Exception as error:  # what pandas may raise is in no list
            # Cells that are no plain numbers are read once more, slowly, as text.
            if text or path == "-":
                raise DataError(f"{path} cannot be read as a table: {_line(error)}") from error


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    if path == "-":
        yield sys.stdin.buffer
    else:
        with open_text(Path(path), path) as stream:
            yield stream


class _Head(NamedTuple):
    """How a CSV file begins."""

    names: list[str]
    delimiter: str
    encoding: str
    skipped: int  # lines before the header
    header: bool
    line: int | None  # of the first row, where every row is one line

    @classmethod
    def of(cls, path: str, wanted: Wanted) -> _Head:
        encoding = wanted.encoding or wanted.trained or "utf-8"
        if encoding.lower() in ("utf-8", "utf8"):
            encoding = "utf-8-sig"
        try:
            with _opened(path) as stream:
                start = stream.peek(_HEAD) if path == "-" else stream.read(_HEAD)
            if start.startswith(codecs.BOM_UTF8):  # whatever the training's file was
                encoding = "utf-8-sig"
            elif wanted.encoding is None and encoding != "utf-8-sig" and _is_utf8(start):
                wanted.notes.append(
                    f"{path} is read as UTF-8, which it is, and not as {encoding}, which the "
                    "training's file was; --encoding says otherwise"
                )
                encoding = "utf-8-sig"
            text = start.decode(encoding, "ignore")
        except LookupError:
            raise DataError(f"--encoding: there is no encoding '{short(encoding)}'") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        text = text.removeprefix("\ufeff")
        lines = text.splitlines()
        skipped, delimiter = 0, wanted.delimiter
        said = _SEP.fullmatch(lines[0]) if lines else None
        if said:
            skipped, delimiter = 1, delimiter or said[1]
        while skipped < len(lines) and not lines[skipped].strip():
            skipped += 1
        rest = "\n".join(lines[skipped:])
        if not rest.strip():
            raise DataError(f"{path} is empty: give a file with a header and rows")
        known = set() if wanted.columns is None else set(wanted.columns.names)

        def fits(one: str) -> tuple[int, int]:
            cells = _first_record(rest, one)
            return len(known.intersection(cells)), len(cells)

        delimiter = delimiter or max(_DELIMITERS, key=fits)
        names = _first_record(rest, delimiter)
        # Files without a header count their columns, and so does a model that learnt from one.
        counted = all(number(cell, ".") is not None for cell in names) or (
            bool(known) and all(map(str.isdigit, known))
        )
        header = not counted or (bool(known) and known <= set(names))
        if not header:
            names = [str(place) for place in range(len(names))]
        broken = '"' in rest or not all(map(str.strip, lines[skipped:])) or len(start) >= _HEAD
        line = None if broken else skipped + header + 1
        return cls(names, delimiter, encoding, skipped, header, line)


def _is_utf8(start: bytes) -> bool:
    """Say whether the beginning of a file holds letters that are no ASCII, all of them UTF-8."""
    try:
        return not codecs.getincrementaldecoder("utf-8")().decode(start).isascii()
    except UnicodeDecodeError:
        return False


def _first_record(text: str, delimiter: str) -> list[str]:
    try:
        record = next(csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in record]


class _Table:
    """Which columns of a file are read, and what becomes of them."""

    def __init__(self, path: str, names: Sequence[str], wanted: Wanted) -> None:
        self.path, self.columns, self._wanted = path, wanted.columns, wanted
        self.names = numbered([str(name).strip() for name in names])
        keep = [self._place(name) for name in wanted.keep]
        keep += [self.names.index(name) for name in wanted.optional if name in self.names]
        self.kept = list(dict.fromkeys(keep))
        if self.columns is None:
            features = [place for place in range(len(self.names)) if place not in self.kept]
            if len(features) != wanted.width:
                raise DataError(
                    f"{path} has {len(features)} columns for the model, which was trained on "
                    f"{wanted.width} without knowing their names: leave others out of the file, or "
                    "carry them along with --keep"
                )
            self.numeric = set(features)
        else:
            features = self._known(self.columns)
            coded = {*self.columns.categories, *self.columns.dates}
            self.numeric = {place for place in features if self.names[place] not in coded}
        self.features = features
        self.read = sorted({*features, *self.kept})

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise DataError(
                f"{self.path} has no column '{name}' to carry along{did_you_mean(name, self.names)}"
            )
        return self.names.index(name)

    def _known(self, columns: Columns) -> list[int]:
        import pandas as pd

        with warnings.catch_warnings(), located(self.path):
            warnings.simplefilter("ignore")
            columns.samples(pd.DataFrame(columns=self.names))
        kept = {self.names[place] for place in self.kept}
        known = {*columns.names, *columns.ids, *columns.dropped, columns.target, *kept}
        strange = [f"'{short(name)}'" for name in self.names if name not in known]
        if strange:
            shown = ", ".join(strange[:_SHOWN]) + (", …" if len(strange) > _SHOWN else "")
            self._wanted.notes.append(
                f"{self.path}: {len(strange)} column(s) that the model does not know are ignored: "
                f"{shown}"
            )
        return [self.names.index(name) for name in columns.names]

    def chunk(self, first: int, frame: pd.DataFrame) -> Chunk:
        """Return the rows of a frame whose columns are those that are ``read``."""
        at = {place: i for i, place in enumerate(self.read)}
        kept = {self.names[place]: frame.iloc[:, at[place]] for place in self.kept}
        part = frame.iloc[:, [at[place] for place in self.features]]
        if self.columns is None:
            try:
                X = part.to_numpy(dtype=np.float64, na_value=np.nan)
            except (ValueError, TypeError) as error:
                raise DataError(f"{self.path}: {self._text_fault(first, part, error)}") from None
        else:
            part.columns = self.columns.names
            X = self._samples(first, part, self.columns)
        return Chunk(first, X, kept)

    def _samples(self, first: int, part: pd.DataFrame, columns: Columns) -> Any:
        only, unseen = self._wanted.only, self._wanted.unseen
        if only is None:
            with located(self.path, first):
                return columns.samples(part, unseen)
        X = np.full((len(part), len(columns.feature_names)), np.nan, dtype=columns.dtype)
        if first <= only < first + len(part):
            with located(self.path, only):
                X[only - first] = columns.samples(part.iloc[[only - first]], unseen)[0]
        return X

    def _text_fault(self, first: int, part: pd.DataFrame, error: Exception) -> str:
        for place, name in enumerate(part.columns):
            for row, cell in enumerate(part.iloc[:, place].tolist()):
                if isinstance(cell, str) and number(cell, ".") is None:
                    called = self.names[name] if isinstance(name, int) else name
                    return f"row {first + row}, column '{called}': '{cell:.40}' is no number"
        return _line(error)


@contextmanager
def located(path: str, first: int = 0) -> Iterator[None]:
    """Say of which file, and of which of its rows, a fault of a table is."""
    try:
        yield
    except DataError as error:

        def row(match: re.Match[str]) -> str:
            return f"{path}, row {first + int(match[1])}"

        told = re.sub(r"(?m)^the table, row (\d+)", row, str(error))
        raise DataError(re.sub(r"(?m)^the table", lambda _: path, told)) from error


def _frames(
    stream: Any, head: _Head, table: _Table, wanted: Wanted, text: bool
) -> Iterator[pd.DataFrame]:
    import pandas as pd

    columns = wanted.columns
    missing = missing_words(Columns(("x",)) if columns is None else columns)
    numeric = set() if text else table.numeric
    places = range(len(table.names))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # lines that are too long
        reader = pd.read_csv(
            stream,
            sep=head.delimiter,
            header=None,
            skiprows=head.skipped + head.header,
            names=list(places),
            index_col=False,
            dtype={i: "float64" if i in numeric else "str" for i in places},
            na_filter=bool(numeric),
            na_values=dict.fromkeys(numeric, missing),  # type: ignore[arg-type]
            keep_default_na=False,
            skipinitialspace=True,
            decimal="." if columns is None else columns.decimal,
            encoding=head.encoding,
            compression=None,
            chunksize=wanted.rows,
            **_exact_floats(),
        )
        with reader:  # of all columns: pandas would let lines that are too long pass
            for frame in reader:
                yield frame[table.read]


def _exact_floats() -> dict[str, Any]:
    """Return what makes pandas read a float as Python does; since 3.1 it always does."""
    import pandas as pd

    major, minor = (int(part) for part in pd.__version__.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}


def _line(error: object) -> str:
    return "".join(str(error).strip().splitlines()[:1])
