"""Files that are read in bytes: only regular ones, unpacked within bounds, told in sentences."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from dbgsom_core.errors import DataError
from dbgsom_core.tables.safe_files import open_regular, unpacked_most, why_unreadable

_BUFFER = 1 << 20
_SHOWN = 200  # characters of a path that a message shows
_PACKED: dict[bytes, tuple[str, Any]] = {  # by how a file begins: the tool, and what unpacks
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda file: pa.CompressedInputStream(file, "zstd")),
}
_BINARY = {
    b"PK\x03\x04": "a zip archive, or a workbook: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old workbook: save the sheet as CSV",
    b"SQLite format 3": "a database: export the table as CSV",
    b"PAR1": "a parquet file: read it with the data set 'parquet'",
    b"ARROW1": "a feather file: read it with the data set 'feather'",
    b"\x93NUMPY": "a .npy file: read it with the data set 'npy'",
}


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Turn what reading a file raises into a `DataError` that says what is wrong with it.

    Parameters
    ----------
    path : str
        What messages call the file.
    kind : str
        What it should be, ``"Parquet file"``.
    """
    shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"
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
        if isinstance(error, OSError) and error.errno is not None:  # pyarrow's have none
            raise DataError(f"{shown} cannot be read: {error.strerror or error}") from error
        if "embedded null" in str(error):
            raise DataError(f"{shown!r} is no usable path: {error}") from None
        reason = "".join(str(error).strip().splitlines()[:1])[:_SHOWN]
        raise DataError(f"{shown} is no {kind}, or damaged ({reason}): write it again") from error


def open_packed(path: str) -> BinaryIO:
    """Open a regular file for reading in bytes; one that a tool has packed is unpacked.

    gzip, bzip2, xz and zstd are known by how it begins.

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
        refuse_binary(start, path)
        for begin, (_, unpack) in _PACKED.items():
            if start.startswith(begin):
                return io.BufferedReader(_Unpacked(file, unpack(file)), _BUFFER)
        return file
    except BaseException:
        file.close()
        raise


def refuse_binary(start: bytes, path: str, packed: bool = False) -> None:
    """Raise `DataError` where what begins so is no text, or is ``packed`` where that may not be."""
    kinds = {begin: f"packed by {tool}: unpack it first" for begin, (tool, _) in _PACKED.items()}
    for begin, kind in (_BINARY | kinds if packed else _BINARY).items():
        if start.startswith(begin):
            raise DataError(f"{path} is {kind}")


class _Unpacked(io.RawIOBase):
    """Bounded stream over a packed file."""

    def __init__(self, file: BinaryIO, unpacked: Any) -> None:
        self._file, self._unpacked = file, unpacked
        self._most = self._left = unpacked_most(os.fstat(file.fileno()).st_size)

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
