"""Reading text and tables that a tool has packed, with a bound on what comes out."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from dbgsom_core.errors import DataError
from dbgsom_core.files import open_regular

# How many bytes a file of n bytes may unpack to: so many in any case, and so many times n.
UNPACKED = (1 << 30, 100)
_BUFFER = 1 << 20
_PACKED = {  # how files begin that tools unpack
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_STRANGE = {
    b"PK\x03\x04": "a zip archive, or a workbook: unpack it, or save the sheet as CSV",
    b"PAR1": "a parquet file: read it with the data set 'parquet'",
    b"\x93NUMPY": "a .npy file: read it with the data set 'npy'",
    b"\xd0\xcf\x11\xe0": "an old workbook: save the sheet as CSV",
    b"SQLite format 3": "a database: export the table as CSV",
}


def no_text(start: bytes) -> str:
    """Return what begins so, where that is no text, and the cure; empty where it may be text."""
    told = {begin: f"packed by {name}: unpack it first" for begin, name in _PACKED.items()}
    return next((kind for begin, kind in (_STRANGE | told).items() if start.startswith(begin)), "")


def open_text(path: Path, shown: str) -> BinaryIO:
    """Open a regular file of text for reading in bytes; one that is packed is unpacked.

    gzip, bzip2, xz and, where Python or the package zstandard can, zstd, told by how it begins.

    Parameters
    ----------
    path : Path
    shown : str
        What messages call it.

    Raises
    ------
    DataError
        It is something else: an archive, a workbook, a parquet file.
    OSError
        It cannot be opened. Reading raises it where the file is damaged or unpacks to more than
        1 GiB and 100 times its size.
    """
    file = open_regular(path)
    try:
        start = file.read(16)
        file.seek(0)
        for begin, told in _STRANGE.items():
            if start.startswith(begin):
                raise DataError(f"{shown} is {told}")
        packing = next((name for begin, name in _PACKED.items() if start.startswith(begin)), None)
        if packing is None:
            return file
        room = max(UNPACKED[0], UNPACKED[1] * os.fstat(file.fileno()).st_size)
        unpacked = _unpacker(packing, shown)(file)
        return io.BufferedReader(_Bounded(file, unpacked, room), _BUFFER)
    except BaseException:
        file.close()
        raise


def _unpacker(packing: str, shown: str) -> Callable[[BinaryIO], Any]:
    if packing == "gzip":
        return lambda file: gzip.GzipFile(fileobj=file)
    if packing == "bzip2":
        return bz2.BZ2File
    if packing == "xz":
        return lzma.LZMAFile
    try:
        found: Callable[[BinaryIO], Any] = import_module("compression.zstd").ZstdFile
        return found
    except ImportError:  # it is new in Python 3.14
        pass
    try:
        reader = import_module("zstandard").ZstdDecompressor()
        return lambda file: reader.stream_reader(file, read_across_frames=True)
    except ImportError:
        pass
    raise DataError(f"{shown} is packed (zstd): install the package zstandard, or unpack it first")


class _Bounded(io.RawIOBase):
    """What a packed file unpacks to, up to so many bytes."""

    def __init__(self, file: BinaryIO, unpacked: Any, room: int) -> None:
        self._file, self._unpacked, self._room = file, unpacked, room
        self._left = room

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read up to as many bytes as there is room for in the buffer."""
        try:
            content = self._unpacked.read(len(buffer))
        except Exception as error:  # each library raises its own
            raise OSError(errno.EIO, f"it is damaged or cut short ({error})") from error
        self._left -= len(content)
        if self._left < 0:
            raise OSError(errno.EFBIG, f"it unpacks to more than {self._room} bytes")
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file, too."""
        if not self.closed:
            self._unpacked.close()
            self._file.close()
        super().close()
