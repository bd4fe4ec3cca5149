"""Writing files so that a reader sees the old or the new one and never a part."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

_TEMPORARY = re.compile(r"\..+-[0-9a-f]{12}(\.\w+)?")


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
