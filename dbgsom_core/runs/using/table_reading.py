"""Tables from files, a chunk at a time: CSV, parquet and npy, however large they are."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.interfaces.cells import short
from dbgsom_core.interfaces.columns import Columns, Unseen, missing_words, numbered
from dbgsom_core.interfaces.faults import Faults, gathered, infinite
from dbgsom_core.files import check_written, open_regular, why_unreadable
from dbgsom_core.runs.using.csv_frames import frames_of
from dbgsom_core.runs.using.parts import STANDARD_INPUT, parts_of
from dbgsom_core.runs.using.plain_lines import PlainLines
from dbgsom_core.runs.using.short_lines import (
    in_options,
    located,
    unreadable,
)
from dbgsom_core.runs.using.table_head import (
    NOT_SAID,
    Head,
    Written,
    look_at_head,
    no_such_text,
    opened,
)

if TYPE_CHECKING:
    import pandas as pd

CELLS_A_CHUNK = 1 << 20
_MOST_ROWS, _LEAST_ROWS = 1 << 17, 1 << 10
_SHOWN = 5  # names that a note lists
_PAGES = 1 << 16  # bytes of a column of a parquet file that are read at a time


class Chunk(NamedTuple):
    """Some rows: the number of the first one, samples as the model takes them, columns kept.

    ``line`` is the first one's in the file; None where rows are no lines. ``faults`` are cells
    that cannot be used, which are infinite or 0 in X.
    """

    first: int
    X: Any
    kept: dict[str, Any]
    line: int | None
    faults: Faults


@dataclass(frozen=True)
class Wanted:
    """What is to be read.

    Attributes
    ----------
    columns : Columns or None
        Those that the model knows; None: all that are not kept, by their place.
    width : int
        How many features there are.
    keep : tuple of str or None
        Columns to carry along; None where the command carries none.
    optional : tuple of str
        More of them, where they are there.
    written : Written
        What was said of a CSV file. The rest is as in training, or is found out.
    trained : Written
        What is known of the training's file.
    only : int or None
        The one row that is read; all others are nan.
    notes, unseen
        What a reader should know, and the categories that did not occur in training.
    """

    columns: Columns | None
    width: int
    keep: tuple[str, ...] | None = None
    optional: tuple[str, ...] = ()
    written: Written = NOT_SAID
    trained: Written = NOT_SAID
    only: int | None = None
    notes: list[str] = field(default_factory=list)
    unseen: Unseen = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The decimal mark."""
        return self.written.decimal or ("." if self.columns is None else self.columns.decimal)

    @property
    def thousands(self) -> str:
        """What may stand between thousands, or nothing."""
        if self.written.thousands is not None:
            return self.written.thousands
        known = "" if self.columns is None else self.columns.thousands
        return known.replace(self.mark, "")  # one mark means one thing

    @property
    def rows(self) -> int:
        """How many rows go into one chunk."""
        return min(_MOST_ROWS, max(_LEAST_ROWS, CELLS_A_CHUNK // max(self.width, 1)))


def chunks_of(path: str, wanted: Wanted) -> Iterator[Chunk]:
    """Yield the rows of a file; ``-`` is a CSV table on standard input.

    From the first cell on that is none the file is read to its end for others.

    Raises
    ------
    DataError
        The file cannot be read, lacks columns, or holds cells that are none.
    """
    return gathered(path, (chunk.faults or chunk for chunk in all_chunks_of(path, wanted)))


def all_chunks_of(path: str, wanted: Wanted) -> Generator[Chunk, None, None]:
    """Yield the rows of a file as `chunks_of` does, those with cells that are none, too."""
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
            check_written(Path(path))
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} cannot be read: {why_unreadable(path, error)}") from error
    except DataError:
        raise
    except Exception as error:  # a damaged file makes numpy raise anything
        raise DataError(f"{path} cannot be read as an array: {_line(error)}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise DataError(f"{path} holds no table of numbers: {array.dtype}, shape {array.shape}")
    if array.shape[1] != wanted.width:
        raise DataError(
            f"{path} has {array.shape[1]} columns, and the model was trained on {wanted.width}"
        )
    places = [str(place) for place in range(wanted.width)]
    for first in range(0, len(array), wanted.rows):
        X = np.array(array[first : first + wanted.rows])
        faults = infinite(X, places) if wanted.only is None else Faults()
        yield Chunk(first, X, {}, None, faults.placed(first, None, in_options))


def _parquet(path: str, wanted: Wanted) -> Iterator[Chunk]:
    pq = _parquet_reader(path)
    try:
        with open_regular(Path(path)) as stream:
            # Page by page: what is read ahead otherwise stays until the end, all of the file.
            file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=_PAGES)
            names = list(file.schema_arrow.names)
            table = _Table(path, names, wanted)
            first = 0
            read = dict.fromkeys(names[place] for place in table.read)
            labels = numbered(names)
            chosen = [labels[place] for place in table.read]
            for batch in file.iter_batches(batch_size=wanted.rows, columns=[*read]):
                frame = batch.to_pandas(ignore_metadata=True)  # an index is a column
                frame.columns = numbered(frame.columns)  # all of a name are read
                frame = frame[chosen]
                yield table.chunk(first, frame)
                first += len(frame)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {why_unreadable(path, error)}") from error
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
    known = () if wanted.columns is None else wanted.columns.names
    if wanted.thousands == wanted.mark:
        raise DataError(
            f"{path}: '{wanted.mark}' is the decimal mark and cannot stand between thousands, "
            "too: say with --decimal which other one it is"
        )
    written = wanted.written._replace(decimal=wanted.mark)
    head = look_at_head(path, known, written, wanted.trained, wanted.notes)
    table = _Table(path, head.names, wanted, head.line)
    done, whole = yield from _plain(path, head, table, wanted)
    if whole:
        return
    try:
        yield from _by_pandas(path, head, table, wanted, done)
    except UnicodeError:
        raise no_such_text(path, head.encoding) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {why_unreadable(path, error)}") from error


def _by_pandas(path: str, head: Head, table: _Table, wanted: Wanted, done: int) -> Iterator[Chunk]:
    # All rows but the first, which are done.
    start, missing = 0, missing_words(table.columns)
    for part in parts_of(path, head):
        # What pandas takes for marks between thousands may stand anywhere in a number.
        for text in (True,) if wanted.thousands else (False, True):
            try:
                with part.opened() as stream:
                    left = done - start
                    numeric = set() if text else table.numeric
                    for frame in frames_of(
                        stream, path, part, numeric, missing, wanted.mark, wanted.rows
                    ):
                        rest = frame[table.read].iloc[left:]
                        left -= len(frame) - len(rest)
                        if len(rest):
                            yield table.chunk(done, rest)
                            done += len(rest)
                break
            except (DataError, UnicodeError, OSError):
                raise
            except Exception as error:  # what pandas may raise is in no list
                # Cells that are no plain numbers are read once more, slowly, as text.
                if text:
                    raise DataError(unreadable(path, part, _line(error))) from error
        start = done


def _plain(
    path: str, head: Head, table: _Table, wanted: Wanted
) -> Generator[Chunk, None, tuple[int, bool]]:
    # As far as there is nothing but numbers: how many rows that were, and whether those are all.
    columns, done = table.columns, 0
    plain = {*table.features} == table.numeric and not table.kept
    if path == STANDARD_INPUT or not plain or wanted.only is not None:
        return 0, False
    places = np.full(len(table.names), -1)
    places[table.features] = np.arange(len(table.features))
    lines = PlainLines(head, places, missing_words(columns), wanted.mark, wanted.thousands)
    try:
        with opened(path) as stream:
            for numbers in lines.read(stream, wanted.rows):
                with np.errstate(over="ignore"):
                    X = numbers.astype(columns.dtype, copy=False)
                yield table.placed(done, X, infinite(X, columns.feature_names))
                done += len(X)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {why_unreadable(path, error)}") from error
    return done, lines.whole


class _Table:
    """Which columns of a file are read, and what becomes of them."""

    def __init__(
        self, path: str, names: Sequence[str], wanted: Wanted, first_line: int | None = None
    ) -> None:
        self.path, self._wanted, self._first_line = path, wanted, first_line
        self.names = numbered([str(name).strip() for name in names])
        keep = [self._place(name) for name in wanted.keep or ()]
        keep += [self.names.index(name) for name in wanted.optional if name in self.names]
        self.kept = list(dict.fromkeys(keep))
        if wanted.columns is None:
            features = [place for place in range(len(self.names)) if place not in self.kept]
            self._check_width(len(features))
            named = [self.names[place] for place in features]
            if len({*named}) < len(named):  # a name was taken by one that was numbered
                named = [str(place) for place in features]
            columns = Columns(tuple(named))
        else:
            columns = wanted.columns
            features = self._known(columns)
        self.columns = replace(columns, decimal=wanted.mark, thousands=wanted.thousands)
        coded = {*columns.categories, *columns.dates, *(columns.units or ())}
        self.numeric = {
            place for place, name in zip(features, columns.names, strict=True) if name not in coded
        }
        self.features = features
        self.read = sorted({*features, *self.kept})

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise DataError(
                f"{self.path} has no column '{name}' to carry along{did_you_mean(name, self.names)}"
            )
        return self.names.index(name)

    def _check_width(self, width: int) -> None:
        lacking = self._wanted.width - width
        if lacking:
            cure = "leave others out of the file"
            cure += "" if self._wanted.keep is None else ", or carry them along with --keep"
            cure = f"give the {lacking} that it lacks, in their order" if lacking > 0 else cure
            raise DataError(
                f"{self.path} has {width} columns for the model, which was trained on "
                f"{self._wanted.width} without knowing their names: {cure}"
            )

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
        part.columns = self.columns.names
        only, unseen = self._wanted.only, self._wanted.unseen
        if only is None:
            return self.placed(first, *self.columns.read(part, unseen), kept)
        X = np.full((len(part), len(self.columns.feature_names)), np.nan, self.columns.dtype)
        faults, row = Faults(), only - first
        if 0 <= row < len(part):
            X[row], faults = self.columns.read(part.iloc[[row]], unseen)
            faults = faults.placed(row, None, str)
        return self.placed(first, X, faults, kept)

    def placed(
        self, first: int, X: Any, faults: Faults, kept: dict[str, Any] | None = None
    ) -> Chunk:
        """Return samples X (n, D) that begin with row ``first`` of the file."""
        line = None if self._first_line is None else self._first_line + first
        return Chunk(first, X, kept or {}, line, faults.placed(first, line, in_options))


def _line(error: object) -> str:
    return "".join(str(error).strip().splitlines()[:1])
