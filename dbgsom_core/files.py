"""Atomic writes, and reads of regular files only."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """Open a file to be read in bytes, and nothing else: a pipe or device might never end.

    Raises OSError where it cannot be opened, or is no regular file; ``strerror`` says which.
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


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then replace ``path`` by it.

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
    """Flush a file, or a folder's entries, to the disk (fsync).

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
