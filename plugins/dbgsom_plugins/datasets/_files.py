"""What every reader of files asks first: is it a file, does it hold anything, does it fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from dbgsom_core.api import DataError, did_you_mean, open_regular

_LONG = 200  # letters of a path that a message shows
_BLOCK = 1 << 9  # no hole is smaller
_MOST_SIBLINGS = 1000  # names that are looked through for one that was meant


def existing_file(path: str, fits: bool = True) -> Path:
    """Return the path of a file that exists, is not empty and, without ``fits=False``, fits.

    ``~`` is the home folder; a relative path starts at the working directory.

    Raises
    ------
    DataError
        There is no such file, it is no regular one, it may not be read, it is empty, or larger
        than this machine's memory.
    """
    shown = path if len(path) <= _LONG else f"{path[:_LONG]}…"
    try:
        file = Path(path).expanduser()
        with open_regular(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            empty = not stream.read(1)
    except FileNotFoundError:
        raise DataError(_missing(shown, file)) from None
    except IsADirectoryError:
        raise DataError(f"{shown} is a folder: give the path of a file in it") from None
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {error.strerror or error}") from None
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{shown!r} is no usable path: {error}") from None
    if empty:
        raise DataError(f"{path} is empty: give a file with data")
    if fits and size > memory():
        raise DataError(
            f"{path} has {size} bytes, more than this machine has memory: give a part of it"
        )
    return file


def is_folder(path: str) -> bool:
    """Say whether a path is that of a folder; one that no folder can have is not."""
    try:
        return Path(path).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):
        return False


def first_hole(stream: BinaryIO) -> int | None:
    """Return where the first hole of a file begins, which reads as zeros; None: it has none."""
    try:
        hole = os.lseek(stream.fileno(), 0, os.SEEK_HOLE)
    except (AttributeError, OSError):  # not every system and disk knows of holes
        return None
    stream.seek(hole)
    start = stream.read(_BLOCK)
    return hole if start and not any(start) else None


def memory() -> float:
    """Return how many bytes of memory this process may take; infinity where nobody says.

    Those of the machine, or fewer where a control group (of a container, say) or a limit of the
    process allows no more.
    """
    try:
        machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        machine = float("inf")
    return min([machine, *_own_limits(), *_limits_of_groups(Path("/proc/self/cgroup"))])


def _own_limits() -> Iterator[float]:
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        most = resource.getrlimit(kind)[0]
        if most != resource.RLIM_INFINITY:
            yield float(most)


def _limits_of_groups(told: Path, root: Path = Path("/sys/fs/cgroup")) -> Iterator[float]:
    # Of the control groups that a process is in, and of those above: lines are number:kinds:path.
    # A container may see its own group as the root of all.
    try:
        lines = os.fsdecode(told.read_bytes()).split("\n")  # names may be of any bytes
        groups = [line.split(":", 2) for line in lines]
    except OSError:
        return
    for _, kinds, path in (group for group in groups if len(group) == 3):
        if kinds and "memory" not in kinds.split(","):
            continue
        name = "memory.limit_in_bytes" if kinds else "memory.max"
        top = root / kinds
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # no such file; "max"
                yield float((folder / name).read_text())
            if folder == top:
                break


def _missing(path: str, file: Path) -> str:
    if not file.parent.is_dir():
        return (
            f"there is no file {path} and no folder {str(file.parent)[:_LONG]}: "
            "relative paths start at the working directory"
        )
    siblings = [sibling.name for sibling in islice(file.parent.iterdir(), _MOST_SIBLINGS)]
    hint = did_you_mean(file.name, siblings)
    return f"there is no file {path}{hint or ': relative paths start at the working directory'}"
