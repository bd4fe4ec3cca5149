"""Files of unknown content are read with care, and files are written whole or not at all."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from dbgsom_core.errors import DataError, did_you_mean

MOST_SIBLINGS = 1000  # names that are looked through for one that was meant
_SHOWN = 200  # characters of a path, and of a library's message, that a message shows
_TEMPORARY = re.compile(r"\..+-[0-9a-f]{12}(\.\w+)?")  # names that `write_atomically` gives


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


def exists(path: str | Path) -> bool:
    """Return whether there is such a file or folder; False for what is no path at all."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def with_files(component: Any, folder: Path) -> Any:
    """Return a component with the paths of its files, relative ones found by `_find_file`."""
    paths: dict[str, Any] = {}
    for field in component.file_fields:
        value = getattr(component, field, None)
        if isinstance(value, tuple):
            paths[field] = tuple(_find_file(path, folder) for path in value)
        elif value is not None:
            paths[field] = _find_file(value, folder)
    return component.model_copy(update=paths)


def _find_file(path: Any, folder: Path) -> Any:
    """Return a path relative to the working directory, or else to the configuration's folder."""
    in_folder = str(folder / path)
    if not _is_there(path) and _is_there(in_folder):
        return in_folder
    return path


def _is_there(path: str) -> bool:
    return exists(path) or any(glob.iglob(path))  # noqa: PTH207


def read_at_most(path: Path, limit: int) -> bytes:
    """Return the content of a regular file; raise OSError if it has more than ``limit`` bytes."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return content


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
        with suppress(OSError):  # what went wrong first is what counts
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
            with suppress(OSError):
                os.fsync(folder)
        finally:
            os.close(folder)


def sweep(folder: Path) -> None:
    """Remove temporary files of `write_atomically` of killed processes from a folder."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name) and not path.is_dir():
            path.unlink(missing_ok=True)
