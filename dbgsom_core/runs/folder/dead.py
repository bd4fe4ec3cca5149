"""Closing runs whose process died without a word: killed outright, or with its machine.

A run touches its status every `SECONDS_BETWEEN_SIGNS`, which tells of it where its process cannot
be seen: on another machine, in a container.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbgsom_core.files import sweep
from dbgsom_core.runs.folder.store import (
    SECONDS_TO_WRITE,
    StoredRun,
    find_folders,
    read_run,
    read_status,
    stamp,
    sweep_run,
    write_status,
)

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SECONDS_BETWEEN_SIGNS = 30.0
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")  # of a run
_SECONDS_UNSEEN = 86400.0  # without a sign of life from elsewhere
_SECONDS_TO_WAIT = 10.0  # for who closes a run, or goes on with one


@contextmanager
def seen_alive(status: Path) -> Iterator[None]:
    """Touch the status of a run again and again, as long as it goes on."""
    ended = threading.Event()

    def give_signs() -> None:
        while not ended.wait(SECONDS_BETWEEN_SIGNS):
            with contextlib.suppress(OSError):  # who writes the folder tells what is wrong with it
                os.utime(status)

    threading.Thread(target=give_signs, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


@contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """Let no other process of this machine close a run, or go on with it, meanwhile.

    Raises
    ------
    OSError
        There is no such folder, or another process does not come to an end with it.
    """
    if fcntl is None:
        from filelock import FileLock

        with FileLock(folder / ".lock", timeout=_SECONDS_TO_WAIT):
            yield
        return
    opened = os.open(folder, os.O_RDONLY)  # the folder itself: no file is left behind
    try:
        _lock(opened)
        yield
    finally:
        os.close(opened)


def _lock(opened: int) -> None:
    until = time.monotonic() + _SECONDS_TO_WAIT
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        except OSError:  # a file system that knows no locks of folders
            return


def close_dead_runs(root: Path, experiment: str) -> list[StoredRun]:
    """Say "killed" in each run of an experiment whose process has died; return those runs.

    Their temporary files are removed, and folders that hold nothing. A run of another machine, or
    of a container with process numbers of its own, has died when it gave no sign of life for a day.
    """
    closed = []
    for folder in find_folders(root, experiment):
        if read_status(folder).status == "running":
            stored = close_if_dead(read_run(folder))
            if stored.status == "killed":
                closed.append(stored)
    _remove_empty(root / experiment)
    return closed


def remove_unbegun(root: Path) -> None:
    """Remove folders of runs that were killed before they wrote a word, of all experiments."""
    with contextlib.suppress(OSError):
        for group in {path.parent for path in root.glob("**/*-*-*") if _ID.fullmatch(path.name)}:
            _remove_empty(group)


def close_if_dead(stored: StoredRun) -> StoredRun:
    """Return the run, as killed when its process has died; the folder says so from now on."""
    if not has_died(stored):
        return stored
    closed, files = _killed(stored), stored.files
    # A folder that cannot be written can still be read.
    with contextlib.suppress(OSError), alone_with(files.folder):
        stored = read_run(files.folder)
        if not has_died(stored):  # somebody goes on with it
            return stored
        times = stamp(closed.started), stamp(closed.ended)
        write_status(files, "killed", *times, error=closed.error, process=stored.process)
        sweep_run(files)
    return closed


def has_died(stored: StoredRun) -> bool:
    """Say whether a run that says "running" is known to go on no more."""
    # Nobody knows what a damaged folder is, so it is left as it is.
    if stored.damage or stored.status != "running":
        return False
    lives = stored.process is not None and stored.process.lives()
    return stored.silent > _SECONDS_UNSEEN if lives is None else not lives


def _killed(stored: StoredRun) -> StoredRun:
    ended = datetime.fromtimestamp(time.time() - stored.silent, UTC)
    process, how = stored.process, "died without a word"
    who = "its process" if process is None else f"its process {process.pid} on {process.host}"
    if process is not None and process.lives() is None:
        how = "gave no sign of life for a day"
    error = f"{who} {how}: it was killed, or the machine went down"
    if stored.torn:
        error = f"{stored.torn}: its process was killed, or the disk was full"
    return replace(stored, status="killed", ended=ended, error=error)


def _remove_empty(group: Path) -> None:
    """Remove folders whose process was killed before it wrote a word."""
    with contextlib.suppress(OSError):
        for folder in [one for one in group.glob("*") if one.is_dir() and not one.is_symlink()]:
            if time.time() - folder.stat().st_mtime > SECONDS_TO_WRITE:
                names = [path.name for path in folder.iterdir()]
                if all(name.startswith(".status-") for name in names):
                    sweep(folder)
                    folder.rmdir()
