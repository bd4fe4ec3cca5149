"""Reads of files of unknown content, and what writes leave."""

from __future__ import annotations

import bz2
import errno
import gzip
import itertools
import lzma
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.files import open_regular

MOST_SIBLINGS = 1000  # names that are looked through for one that was meant
_TEMPORARY = re.compile(r"\..+-[0-9a-f]{12}(\.\w+)?")
_SHOWN = 200  # characters of a path, and of a library's message, that a message shows


def exists(path: str | Path) -> bool:
    """Return whether there is such a file or folder; False for what is no path at all."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def read_at_most(path: Path, limit: int) -> bytes:
    """Return the content of a regular file; raise OSError if it has more than ``limit`` bytes."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return content


def sweep(folder: Path) -> None:
    """Remove temporary files of `write_atomically` of killed processes from a folder."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name) and not path.is_dir():
            path.unlink(missing_ok=True)


@contextmanager
def reading(path: str, kind: str) -> Iterator[None]:
    """Turn exceptions from reading a file into a `DataError` with the reason.

    ``kind`` is what it should be, ``"parquet file"``.
    """
    shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        folder = Path(path).parent
        names = []
        if folder.is_dir():
            names = [file.name for file in itertools.islice(folder.iterdir(), MOST_SIBLINGS)]
        near = did_you_mean(Path(path).name, names)
        raise DataError(f"{shown} cannot be read: there is no such file{near}") from error
    except MemoryError as error:
        raise DataError(f"{shown} does not fit in memory: give a part of it") from error
    except Exception as error:  # what a damaged byte raises is in no list
        if isinstance(error, OSError) and error.errno is not None:  # pyarrow's have none
            raise DataError(f"{shown} cannot be read: {error.strerror or error}") from error
        reason = "".join(str(error).strip().splitlines()[:1])[:_SHOWN]
        raise DataError(f"{shown} is no {kind}, or damaged ({reason})") from error


def _open_zstd(path: Path) -> Any:
    import pyarrow as pa  # is slow to import

    return pa.input_stream(str(path), compression="zstd")


_PACKED: dict[bytes, Any] = {  # what unpacks a file, by how it begins
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _open_zstd,
}


def open_packed(path: str) -> Any:
    """Open a regular file for reading bytes, decompressed if it is compressed.

    gzip, bzip2, xz and zstd are known by how it begins.
    """
    place = Path(path).expanduser()
    file = open_regular(place)
    start = file.read(16)
    for begin, unpack in _PACKED.items():
        if start.startswith(begin):
            file.close()
            return unpack(place)
    file.seek(0)
    return file
