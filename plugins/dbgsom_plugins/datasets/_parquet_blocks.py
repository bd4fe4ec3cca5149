"""Rows of Parquet files where they lie, read a page of each column at a time."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.api import DataError, open_regular, private_logger
from dbgsom_core.tables import numbered, parquet_file, reading

_log = private_logger("dbgsom")

_BATCH = 1 << 18  # numbers that are decoded together
_BEHIND = 8  # times the longest slice that stays decoded behind the last one,
_KEPT = 1 << 20  # and rows of which that is at most
_CURSORS = 4  # places at which files are read at a time
_SPARE = 2  # times what is written must be free: the disk is others', too


class ParquetBlocks:
    """Columns of numbers, at ``places`` of Parquet files, as samples (n, D); nulls are nan.

    Where they are ``unpacked`` they are decoded once, into a temporary file that is gone with this
    object, whatever ends the process (None: where a disk has room for twice what that takes). Else
    slices that follow each other, requested by several threads in about this order, are decoded
    once in each pass; memory holds some pages of each column.
    """

    in_order = True

    def __init__(
        self, files: Sequence[str], places: Sequence[int], dtype: str, unpacked: bool | None = None
    ) -> None:
        self.files, self.dtype = tuple(map(os.path.abspath, files)), np.dtype(dtype)
        self._places, self._unpacks = [*places], unpacked
        self._starts, self._facts = [0], []
        for path in self.files:
            with reading(path, "Parquet file"), open_regular(Path(path)) as stream:
                self._starts.append(self._starts[-1] + parquet_file(stream).metadata.num_rows)
                self._facts.append(_facts(os.fstat(stream.fileno())))
        self.shape = (self._starts[-1], len(self._places))
        self._lock = threading.Lock()
        self._cursors: deque[_Cursor] = deque(maxlen=_CURSORS)  # the last one used at the end
        self._unpacked: IO[bytes] | None = None
        self._is_decided = unpacked is False

    def __reduce__(self) -> Any:
        return ParquetBlocks, (self.files, self._places, self.dtype.name, self._unpacks)

    def __getitem__(self, rows: slice) -> NDArray[np.floating[Any]]:
        """Return the rows (m, D) of a slice; `DataError`: a file is damaged, or has changed."""
        start, stop, _ = rows.indices(self.shape[0])
        out = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
        with self._lock:
            if not self._is_decided:
                self._unpack()
                self._is_decided = True
        ends = bisect_right(self._starts, start) - 1, bisect_right(self._starts, stop - 1)
        for number in range(*ends) if len(out) else ():
            path = self.files[number]
            with reading(path, "Parquet file"):
                if _facts(Path(path).stat()) != self._facts[number]:
                    raise DataError(
                        f"{path} changed while it was read: leave it as it is until the end, and "
                        "begin again"
                    )
            if self._unpacked is not None:
                continue
            low, high = max(start, self._starts[number]), min(stop, self._starts[number + 1])
            with self._lock:
                parts = self._cursor(number, low).read(low, high)
            for first, part in parts:
                begin, end = max(low, first), min(high, first + len(part))
                out[begin - start : end - start] = part[begin - first : end - first]
        if self._unpacked is not None and out.size:
            left, at = out.data.cast("B"), start * self.shape[1] * self.dtype.itemsize
            while len(left):
                n = os.preadv(self._unpacked.fileno(), [left], at)
                if not n:
                    raise OSError("the temporary file is shorter than what was written to it")
                left, at = left[n:], at + n
        return out

    def _cursor(self, number: int, row: int) -> _Cursor:
        for cursor in reversed(self._cursors):
            if cursor.number == number and cursor.oldest <= row:
                self._cursors.remove(cursor)
                break
        else:
            cursor = _Cursor(number, self._starts[number], self._decoded(number))
        self._cursors.append(cursor)
        return cursor

    def _decoded(self, number: int) -> Iterator[NDArray[Any]]:
        path, rows = self.files[number], max(1, _BATCH // self.shape[1])
        with reading(path, "Parquet file"), open_regular(Path(path)) as stream:
            file = parquet_file(stream)
            names = numbered(file.schema_arrow.names)
            chosen = [names[place] for place in self._places]
            n = 0
            for batch in file.iter_batches(rows, columns=chosen, use_threads=False):
                out = np.empty((batch.num_rows, self.shape[1]), self.dtype)
                for place, name in enumerate(chosen):
                    column = batch.column(name)
                    if column.null_count:
                        column = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan)
                    out[:, place] = column.to_numpy(zero_copy_only=False)
                n += len(out)
                yield out
            if n < self._starts[number + 1] - self._starts[number]:
                raise DataError(f"{path} is no Parquet file, or damaged: it ends too early")

    def _unpack(self) -> None:
        """Decode all rows into a temporary file, where a disk has room for that."""
        size, folder = self.shape[0] * self.shape[1] * self.dtype.itemsize, None
        # TMPDIR comes first, then /var/tmp, since /tmp is memory on some systems.
        names = (os.environ.get("TMPDIR", ""), "/var/tmp", tempfile.gettempdir())
        for one in filter(None, dict.fromkeys(names)):
            if os.access(one, os.W_OK | os.X_OK) and shutil.disk_usage(one).free > _SPARE * size:
                folder = one
                break
        if folder is not None and hasattr(os, "preadv"):  # not so on Windows
            try:
                file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
                weakref.finalize(self, file.close)
                for number in range(len(self.files)):
                    for rows in self._decoded(number):
                        file.write(rows.data)
                file.flush()
                self._unpacked = file
            except OSError as error:
                _log.warning(
                    "%s is decoded anew in each pass: its temporary file cannot be written (%s)",
                    self.files[0], error.strerror or error,
                )  # fmt: skip
            else:
                _log.info(
                    "%s is decoded into a temporary file of %.0f MB in %s, which is deleted at "
                    "the end", self.files[0], size / 1e6, folder,
                )  # fmt: skip
        if self._unpacked is None and self._unpacks:
            raise DataError(
                f"no folder for temporary files has {_SPARE * size / 1e6:.0f} MB of room to decode "
                f"{self.files[0]} into, or this system has no such files: make room, name another "
                "one in TMPDIR, or leave unpacked out"
            )


class _Cursor:
    """Decodes one file from its beginning, and keeps some of the rows that it passed."""

    def __init__(self, number: int, first: int, decoded: Iterator[NDArray[Any]]) -> None:
        self.number, self.oldest = number, first
        self._next, self._longest, self._decoded = first, 0, decoded
        self._kept: deque[tuple[int, NDArray[Any]]] = deque()

    def read(self, start: int, stop: int) -> list[tuple[int, NDArray[Any]]]:
        """Return arrays that hold these rows, each with its first row."""
        self._longest = max(self._longest, stop - start)
        while self._next < stop:
            rows = next(self._decoded)
            self._kept.append((self._next, rows))
            self._next += len(rows)
            while len(self._kept) > 1 and (
                self._kept[1][0] <= min(start, self._next - min(_BEHIND * self._longest, _KEPT))
            ):
                self._kept.popleft()
            self.oldest = self._kept[0][0]
        return [one for one in self._kept if one[0] < stop and one[0] + len(one[1]) > start]


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_size, found.st_mtime_ns
