"""Decoded numbers in a temporary file, so that what is read often is decoded once."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SPARE = 2  # times what is written must be free: the disk is others', too
_IN_MEMORY = ("tmpfs", "ramfs")


class Unpacked:
    """Rows (n, D) in a file without a name, which is gone as soon as nobody uses it.

    Parameters
    ----------
    folder : str
    shape : (n, D)
    dtype : numpy.dtype
    """

    def __init__(self, folder: str, shape: tuple[int, int], dtype: np.dtype[np.floating]) -> None:
        self._shape, self._dtype = shape, dtype
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        weakref.finalize(self, file.close)
        self._file = file.fileno()

    def write(self, start: int, rows: NDArray[np.floating]) -> None:
        """Keep rows (m, D) from row ``start`` on; OSError where there is no room."""
        left, at = rows.data.cast("B"), start * self._row
        while len(left):
            done = os.pwrite(self._file, left, at)
            left, at = left[done:], at + done

    def read(self, start: int, out: NDArray[np.floating]) -> None:
        """Fill ``out`` (m, D) with the rows from row ``start`` on, which were written before."""
        left, at = out.data.cast("B"), start * self._row
        while len(left):
            done = os.preadv(self._file, [left], at)
            if not done:
                raise OSError("the temporary file is shorter than what was written to it")
            left, at = left[done:], at + done

    @property
    def _row(self) -> int:
        return self._shape[1] * self._dtype.itemsize


def unpacked(shape: tuple[int, int], dtype: np.dtype[np.floating]) -> tuple[Unpacked, str] | None:
    """Return a place for rows (n, D), and its folder; None where there is none.

    Nor is there on systems that cannot read at a place, such as Windows.
    """
    folder = folder_with_room(shape[0] * shape[1] * dtype.itemsize)
    if folder is None or not hasattr(os, "preadv"):
        return None
    try:
        return Unpacked(folder, shape, dtype), folder
    except OSError:  # it has room, and takes no more files
        return None


def folder_with_room(size: int) -> str | None:
    """Return a folder for temporary files on a disk with room for so many bytes twice, or None.

    TMPDIR comes first, then /var/tmp, since /tmp is memory on some systems.
    """
    for folder in dict.fromkeys((os.environ.get("TMPDIR", ""), "/var/tmp", tempfile.gettempdir())):
        if folder and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK):
            if _kind_of(Path(folder).resolve()) in _IN_MEMORY:
                continue
            if shutil.disk_usage(folder).free > _SPARE * size:
                return folder
    return None


def _kind_of(folder: Path) -> str:
    # Of the file system that holds it, where the system says so.
    mounted = dict(_mounted())
    return next((mounted[str(one)] for one in (folder, *folder.parents) if str(one) in mounted), "")


def _mounted() -> Iterator[tuple[str, str]]:
    try:
        with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                words = line.split(" ")
                yield words[4], words[words.index("-") + 1]
    except (OSError, IndexError, ValueError):
        return
