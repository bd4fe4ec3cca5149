"""Rows of Parquet files where they lie, read a page of each column at a time."""

from __future__ import annotations

import os
import threading
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, open_regular, private_logger
from dbgsom_plugins.datasets._unpacked import Unpacked, unpacked

_log = private_logger("dbgsom")

PAGED = {"pre_buffer": False, "buffer_size": 1 << 16}  # what pyarrow reads ahead it would keep
_BATCH = 1 << 18  # numbers that are decoded together
_BEHIND = 8  # times the longest slice that stays readable behind where a reader is
_LEAST_READERS = 2


class ParquetRows:
    """Columns of numbers of Parquet files, one after the other, as samples (n, D).

    Groups of rows are decoded from their beginning. Where they are ``unpacked`` that is done once:
    what is decoded is kept in a temporary file that is gone with this object, whatever ends the
    process. Else a reader stays where a slice ended, so that slices that follow each other, asked
    for by several threads in about this order, are decoded once in each pass. Memory holds some
    pages of each column for each group that is being decoded.

    Parameters
    ----------
    paths : sequence of str
        Files of the same columns.
    columns : sequence of str
        Those that become samples; integers, floats or booleans. None of them is nested.
    dtype : str
        Of the samples: ``float32`` or ``float64``. Nulls are nan.
    unpacked : bool or None
        None: where a disk has room for twice what that takes.

    Attributes
    ----------
    shape : (n, D)
    dtype : numpy.dtype
    files : tuple of str
    in_order : bool
        True: reading from the first row to the last costs least.
    """

    in_order = True

    def __init__(
        self,
        paths: Sequence[str],
        columns: Sequence[str],
        dtype: str,
        unpacked: bool | None = None,
    ) -> None:
        self.files, self._unpacks = tuple(map(os.path.abspath, paths)), unpacked
        self._columns, self.dtype = list(columns), np.dtype(dtype)
        self._starts, self._groups = [0], []
        self._known: dict[str, tuple[tuple[int, ...], Any]] = {}  # facts and metadata
        for path in self.files:
            with _open(path) as stream:
                meta = _parsed(path, stream).metadata
                self._known[path] = _facts(stream), meta
            for group in range(meta.num_row_groups):
                rows = meta.row_group(group).num_rows
                if rows:
                    self._groups.append((path, group))
                    self._starts.append(self._starts[-1] + rows)
        self.shape = (self._starts[-1], len(self._columns))
        self._lock = threading.Lock()
        self._readers: list[_Reader] = []  # the one that was asked last at the end
        self._asking: set[int] = set()
        self._unpacking = [_Unpacking() for _ in self._groups]
        self._unpacked: Unpacked | None = None
        self._is_asked = False

    def __reduce__(self) -> Any:
        return ParquetRows, (self.files, self._columns, self.dtype.name, self._unpacks)

    def __getitem__(self, rows: slice) -> NDArray[np.floating[Any]]:
        """Return the rows (m, D) of a slice without a step.

        Raises
        ------
        DataError
            A file cannot be read, or has changed.
        """
        start, stop, _ = rows.indices(self.shape[0])
        out = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
        at, into = start, self._temporary()
        while at < stop:
            place = bisect_right(self._starts, at) - 1
            end = min(stop, self._starts[place + 1])
            if into is not None and self._is_unpacked(into, place):
                into.read(at, out[at - start : end - start])
            else:
                for first, batch in self._reader(place, at).batches(at, end):
                    low, high = max(at, first), min(end, first + batch.num_rows)
                    _fill(out[low - start : high - start], batch.slice(low - first, high - low))
            at = end
        return out

    def _temporary(self) -> Unpacked | None:
        # The first slice that somebody asks for decides.
        with self._lock:
            if not self._is_asked:
                self._is_asked = True
                size = self.shape[0] * self.shape[1] * self.dtype.itemsize
                made = None if self._unpacks is False else unpacked(self.shape, self.dtype)
                if made is not None:
                    self._unpacked, folder = made
                    _log.info(
                        "%s is decoded into a temporary file of %.0f MB in %s, which is deleted at "
                        "the end", self.files[0], size / 1e6, folder,
                    )  # fmt: skip
                elif self._unpacks:
                    raise DataError(
                        f"no folder for temporary files has {2 * size / 1e6:.0f} MB of room to "
                        f"decode {self.files[0]} into, or this system has no such files: make "
                        "room, name another one in TMPDIR, or leave unpacked out"
                    )
            return self._unpacked

    def _is_unpacked(self, into: Unpacked, place: int) -> bool:
        # Decodes the group of rows the first time; False where the disk has no room for it.
        group, (path, number) = self._unpacking[place], self._groups[place]
        facts, meta = self._known[path]
        with group.lock:
            if group.done:
                _check_facts(path, _stat(path), facts)
                return True
            batches = _Batches(path, facts, meta, number, self._columns)
            at = self._starts[place]
            while at < self._starts[place + 1]:
                batch = batches.following()
                rows = np.empty((batch.num_rows, self.shape[1]), self.dtype)
                _fill(rows, batch)
                try:
                    into.write(at, rows)
                except OSError as error:
                    self._unpacked = None
                    _log.warning(
                        "%s is decoded anew in each pass: its temporary file cannot be written "
                        "(%s)", path, error.strerror or error,
                    )  # fmt: skip
                    return False
                at += batch.num_rows
            batches.check_unchanged()
            group.done = True
            return True

    def _reader(self, place: int, at: int) -> _Reader:
        with self._lock:
            living = {one.ident for one in threading.enumerate()}
            self._asking = (self._asking & living) | {threading.get_ident()}
            near = [one for one in self._readers if one.place == place and one.oldest <= at]
            if near:
                chosen = max(near, key=lambda one: one.oldest)
                self._readers.remove(chosen)
            else:
                path, group = self._groups[place]
                batches = _Batches(path, *self._known[path], group, self._columns)
                chosen = _Reader(batches, place, self._starts[place], self._starts[place + 1])
            most = max(_LEAST_READERS, len(self._asking))
            self._readers = [*self._readers[-(most - 1) :], chosen]
            return chosen


class _Unpacking:
    """Whether a group of rows is in the temporary file."""

    def __init__(self) -> None:
        self.done, self.lock = False, threading.Lock()


class _Reader:
    """Decodes one group of rows from its beginning, and keeps some of what it passed.

    Attributes
    ----------
    place : int
        Which group it is.
    oldest : int
        The first row that it still has, or has yet to decode.
    """

    def __init__(self, of: _Batches, place: int, first: int, stop: int) -> None:
        self.place, self.oldest = place, first
        self._of, self._first, self._stop = of, first, stop
        self._next, self._longest = first, 0
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, Any]] = deque()

    def batches(self, start: int, stop: int) -> list[tuple[int, Any]]:
        """Return record batches that hold these rows, each with its first row."""
        with self._lock:
            if start < self.oldest:  # another thread was faster, and they are gone
                self._of.restart()
                self._kept.clear()
                self._next = self.oldest = self._first
            self._longest = max(self._longest, stop - start)
            found = [one for one in self._kept if _end(one) > start and one[0] < stop]
            while self._next < stop:
                one = (self._next, self._of.following())
                self._next = _end(one)
                self._kept.append(one)
                if self._next > start:
                    found.append(one)
                while len(self._kept) > 1 and (
                    _end(self._kept[0]) <= self._next - _BEHIND * self._longest
                ):
                    self._kept.popleft()
                self.oldest = self._kept[0][0]
            self._of.check_unchanged()
            if self._next == self._stop:
                self._of.close()
            return found


class _Batches:
    """The record batches of one group of rows of a file, one after the other."""

    def __init__(
        self, path: str, facts: tuple[int, ...], meta: Any, group: int, columns: Sequence[str]
    ) -> None:
        self._path, self._facts, self._meta, self._group = path, facts, meta, group
        self._columns = list(columns)
        self.restart()

    def restart(self) -> None:
        """Begin again."""
        self._stream = _open(self._path)
        weakref.finalize(self, self._stream.close)
        self.check_unchanged()
        rows = max(1, _BATCH // len(self._columns))
        self._coming = _parsed(self._path, self._stream, self._meta).iter_batches(
            rows, row_groups=[self._group], columns=self._columns, use_threads=False
        )

    def following(self) -> Any:
        """Return the next one."""
        try:
            batch = next(self._coming, None)
        except MemoryError as error:
            raise DataError(
                f"there is no memory left for a page of each column of {self._path}: write it "
                "with smaller pages (data_page_size), or choose fewer columns"
            ) from error
        except Exception as error:  # what a damaged byte raises is in no list
            self.check_unchanged()
            raise _unreadable(self._path, error) from error
        if batch is None:
            raise _unreadable(self._path, "it ends before its last row")
        return batch.select(self._columns)

    def close(self) -> None:
        """Give back what pages take."""
        self._coming = iter(())

    def check_unchanged(self) -> None:
        """Raise `DataError` where the file is not what it was when the table was made."""
        _check_facts(self._path, os.fstat(self._stream.fileno()), self._facts)


def _end(one: tuple[int, Any]) -> int:
    return one[0] + int(one[1].num_rows)


def _fill(out: NDArray[Any], batch: Any) -> None:
    for column in range(out.shape[1]):
        out[:, column] = _numbers(batch.column(column))


def _numbers(column: Any) -> NDArray[Any]:
    # What is null is nan, of booleans and integers as well; long integers are rounded.
    known = column.cast("float64", safe=False) if column.null_count else column
    found: NDArray[Any] = known.to_numpy(zero_copy_only=False)
    return found


def _open(path: str) -> Any:
    try:
        return open_regular(Path(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _parsed(path: str, stream: Any, meta: Any = None) -> Any:
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(stream, metadata=meta, **PAGED)
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: object) -> DataError:
    told = "".join(str(error).strip().splitlines()[:1])[:200]
    return DataError(f"{path} is no Parquet file, or damaged ({told}): write it again")


def _facts(stream: Any) -> tuple[int, ...]:
    found = os.fstat(stream.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


def _stat(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None


def _check_facts(path: str, found: os.stat_result | None, facts: tuple[int, ...]) -> None:
    if found is None or (found.st_ino, found.st_size, found.st_mtime_ns) != facts:
        raise DataError(
            f"{path} changed while it was read: leave it as it is until the end, and begin again"
        )
