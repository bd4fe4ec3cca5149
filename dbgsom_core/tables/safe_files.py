"""Reads of files of unknown content, with limits on decompression, and what writes leave."""

from __future__ import annotations

import bz2
import errno
import gzip
import itertools
import lzma
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.files import open_regular

MOST_SIBLINGS = 1000  # names that are looked through for one that was meant
_UNIT = 512  # bytes in which a system tells what a file takes up
_UNPACKED = (1 << 30, 100)
_TEMPORARY = re.compile(r"\..+-[0-9a-f]{12}(\.\w+)?")
_SHOWN = 200  # characters of a path that a message shows
_BINARY = {
    b"PK\x03\x04": "a zip archive, or a workbook: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old workbook: save the sheet as CSV",
    b"SQLite format 3": "a database: export the table as CSV",
    b"PAR1": "a parquet file: read it with the data set 'parquet'",
    b"ARROW1": "a feather file: read it with the data set 'feather'",
    b"\x93NUMPY": "a .npy file: read it with the data set 'npy'",
    b"\x89HDF": "an HDF5 or NetCDF file: it needs the data set of a plugin",
    b"CDF\x01": "a NetCDF file: it needs the data set of a plugin",
    b"CDF\x02": "a NetCDF file: it needs the data set of a plugin",
}


def check_written(file: Path, path: str = "") -> None:
    """Raise `DataError` for a large sparse file, whose holes would be read as zeros."""
    told = file.stat()
    held = _UNIT * getattr(told, "st_blocks", told.st_size)  # not every system tells
    if told.st_size > unpacked_most(held):
        raise DataError(
            f"{path or file} would be read as {told.st_size} bytes and takes up {held} on disk, so "
            "nearly all of it was never written: write all of its rows"
        )


def unpacked_most(size: int) -> int:
    """Return the largest allowed unpacked size of ``size`` bytes of a compressed or sparse file.

    1 GiB in any case, and a hundred times as many.
    """
    return max(_UNPACKED[0], _UNPACKED[1] * size)


def exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def why_unreadable(path: str | Path, error: OSError) -> str:
    """Return why a file cannot be opened, as the end of a sentence, with a similar name."""
    if not isinstance(error, FileNotFoundError):
        return error.strerror or str(error)
    file = Path(path)
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    siblings = [one.name for one in itertools.islice(file.parent.iterdir(), MOST_SIBLINGS)]
    return f"there is no such file{did_you_mean(file.name, siblings)}"


def read_at_most(path: Path, limit: int) -> bytes:
    """Return the content of a regular file; raise OSError if it has more than ``limit`` bytes."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
        if max(size, len(content)) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return content


def sweep(folder: Path) -> None:
    """Remove temporary files of `write_atomically` of killed processes from a folder."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


# ------------------------------------------------------------------------------- files of bytes


def _open_zstd(path: Path) -> Any:
    import pyarrow as pa  # is slow to import

    return pa.input_stream(str(path), compression="zstd")


_PACKED: dict[bytes, tuple[str, Any]] = {  # by how a file begins: the tool, and what unpacks
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
    b"\x28\xb5\x2f\xfd": ("zstd", _open_zstd),
}


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Turn exceptions from reading a file into a `DataError` with the reason.

    ``kind`` is what it should be, ``"Parquet file"``.
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
            raise DataError(f"{shown!r} is no path of a file: it holds a null character") from None
        reason = "".join(str(error).strip().splitlines()[:1])[:_SHOWN]
        raise DataError(f"{shown} is no {kind}, or damaged ({reason}): write it again") from error


def open_packed(path: str) -> Any:
    """Open a regular file for reading bytes, decompressed if it is compressed.

    gzip, bzip2, xz and zstd are known by how it begins. Raises `DataError` where it is empty, or no
    text but an archive, a workbook, a Parquet file.
    """
    place = Path(path).expanduser()
    file = open_regular(place)
    start = file.read(16)
    for begin, (_, unpack) in _PACKED.items():
        if start.startswith(begin):
            file.close()
            return unpack(place)
    try:
        if not start:
            raise DataError(f"{path} is empty: give a file with data")
        refuse_binary(start, path)
    except DataError:
        file.close()
        raise
    file.seek(0)
    return file


def refuse_binary(start: bytes, path: str, packed: bool = False) -> None:
    """Raise `DataError` for a file that is binary by its first bytes, or compressed twice."""
    kinds = {begin: f"packed by {tool}: unpack it first" for begin, (tool, _) in _PACKED.items()}
    for begin, kind in (_BINARY | kinds if packed else _BINARY).items():
        if start.startswith(begin):
            raise DataError(f"{path} is {kind}")
