"""Writing files so that a reader sees the old or the new one, never a part; reading with bounds."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from dbgsom_core.errors import DataError, did_you_mean

MOST_SIBLINGS = 1000  # names that are looked through for one that was meant
_UNIT = 512  # bytes in which a system tells what a file takes up
_UNPACKED = (1 << 30, 100)
_TEMPORARY = re.compile(r"\..+-[0-9a-f]{12}(\.\w+)?")


def open_regular(path: Path) -> BinaryIO:
    """Open a file to be read in bytes, and nothing else: a pipe or device might never end.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file; ``strerror`` says which.
    """
    _check_regular(path.stat().st_mode)
    # Whoever puts a pipe in its place meanwhile does not make us wait for a writer.
    file = open(  # noqa: SIM115 # only this one takes an opener
        path, "rb", opener=lambda name, how: os.open(name, how | getattr(os, "O_NONBLOCK", 0))
    )
    try:
        _check_regular(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def check_written(file: Path, path: str = "") -> None:
    """Raise `DataError` where a large file is almost all holes, which would be read as zeros.

    ``path`` is what it is called in the message.
    """
    told = file.stat()
    held = _UNIT * getattr(told, "st_blocks", told.st_size)  # not every system tells
    if told.st_size > unpacked_most(held):
        raise DataError(
            f"{path or file} would be read as {told.st_size} bytes and takes up {held} on disk, so "
            "nearly all of it was never written: write all of its rows"
        )


def unpacked_most(size: int) -> int:
    """Return how many bytes may come of ``size`` bytes on disk that are packed or have holes.

    1 GiB in any case, and a hundred times as many.
    """
    return max(_UNPACKED[0], _UNPACKED[1] * size)


def exists(path: str | Path) -> bool:
    """Say whether a path leads to something; one that no file can have does not."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def why_unreadable(path: str | Path, error: OSError) -> str:
    """Return why a file cannot be opened, as the end of a sentence; which one may be meant."""
    if not isinstance(error, FileNotFoundError):
        return error.strerror or str(error)
    file = Path(path)
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    siblings = [one.name for one in itertools.islice(file.parent.iterdir(), MOST_SIBLINGS)]
    return f"there is no such file{did_you_mean(file.name, siblings)}"


def read_at_most(path: Path, limit: int) -> bytes:
    """Return what a regular file of up to ``limit`` bytes holds; a larger one is refused unread.

    Raises
    ------
    OSError
        It cannot be read, is no regular file, or is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
        if max(size, len(content)) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return content


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a new file beside ``path`` and move it to its place.

    The folder is made where it is missing. The temporary name keeps the suffix, because some
    writers choose their format by it. When ``write`` raises, nothing is left behind. What was
    written is on the disk when this returns: a power cut cannot take it back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.urandom(6).hex()}{path.suffix}")
    try:
        write(temporary)
        to_disk(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what counts
            temporary.unlink(missing_ok=True)
        raise
    to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Have the system write a file, or the names in a folder, from its memory to the disk.

    Not every system and disk can for folders; then the disk decides on its own.
    """
    if not path.is_dir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    elif os.name != "nt":
        folder = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                os.fsync(folder)
        finally:
            os.close(folder)


def sweep(folder: Path) -> None:
    """Remove what `write_atomically` left in a folder when its process was killed half way."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
