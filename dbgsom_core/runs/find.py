"""Find stored runs by name, tell whether they live, and mark those whose process was killed.

A run holds the lock of its folder while it lives; the system frees it when the process dies.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dbgsom_core.config import fill_text
from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.runs.folder import (
    SECONDS_TO_WRITE,
    StoredRun,
    find_experiments,
    find_folders,
    find_runs,
    is_run,
    read_run,
    read_status,
    timestamp,
    write_status,
)
from dbgsom_core.tables.safe_files import exists, sweep

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")  # of a run
_SHORTEST_ID = 4  # characters of the end of an id that will do
_SECONDS_UNSEEN = 86400.0  # without a sign of life of a run whose lock cannot be seen

_LOCK = ".lock"
_SECONDS_BETWEEN_TOUCHES = 30.0
_SECONDS_TO_PROBE = 0.1  # others may probe at the same time


def find_folder(name: str, root: Path) -> Path | None:
    """Return the run folder that this is, or whose id under ``root`` this is; None: it is no run.

    The end of an id will do where no other id, no experiment and no file is called so. A reference
    to the environment, as messages show it, is filled.
    """
    folder = Path(fill_text(name))
    if is_run(folder):
        return folder
    known = find_experiments(root) if root.is_dir() and Path(name).name == name else []
    exact = next((root / group / name for group in known if is_run(root / group / name)), None)
    if exact is not None or name in known or exists(name):
        return exact
    meant = folders_ending_with(name, root, known)
    return meant[0] if len(meant) == 1 else None


def folders_ending_with(name: str, root: Path, known: Iterable[str]) -> list[Path]:
    """Return the run folders of some experiments whose id ends so, if there is enough of it."""
    if len(name) < _SHORTEST_ID:
        return []
    folders = (folder for group in known for folder in find_folders(root, group))
    return [folder for folder in folders if folder.name.endswith(name)]


def find_run(name: str, root: Path, *, besides: str = "") -> tuple[StoredRun, tuple[str, ...]]:
    """Return the run or sweep that a name means, and notes.

    ``name`` is a run's folder, its id or the end of that, or an experiment, which means its newest
    run that has finished, or its newest one where none has. Of others `DataError` says that they
    are none, and what they are not ``besides``.
    """
    folder = find_folder(name, root)
    if folder is not None:
        return mark_killed(read_run(folder.absolute())), ()
    groups = find_experiments(root)
    if name in groups:
        runs = [run for run in find_runs(root, name) if run.parent is None and not run.damage]
        finished = [run for run in runs if run.status == "finished"]
        if runs:
            newest = mark_killed((finished or runs)[-1])
            kind = "newest finished" if finished else "newest"
            return newest, (f"{newest.id} is the {kind} {newest.kind} of experiment '{name}'",)
    meant = folders_ending_with(name, root, groups)
    if len(meant) > 1:
        listed = ", ".join(str(folder) for folder in meant[:5])
        raise DataError(f"'{name}' may be any of {listed}: name its folder")
    ids = (folder.name for group in groups for folder in find_folders(root, group))
    hint = did_you_mean(name, [*groups, *ids]) or "; 'dbgsom run CONFIG' makes runs"
    raise DataError(
        f"'{name}' is no run folder{besides}, and {root.absolute()} has no run and no experiment "
        f"of this name{hint}"
    )


# ------------------------------------------------------------------------------ the lock of a run


class RunLock:
    """The lock of one run folder; its file's age is a sign of life for other hosts.

    Where the file system knows no locks the age of the file is all that there is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _LOCK
        self._lock: Any = FileLock(str(self.path), thread_local=False)  # any thread may release it
        self._touched = 0.0

    def acquire(self, seconds: float = _SECONDS_TO_PROBE) -> bool:
        """Take the lock; return False when another process still holds it after ``seconds``."""
        try:
            self._lock.acquire(timeout=seconds, poll_interval=0.01)
        except Timeout:
            return False
        except (OSError, NotImplementedError):  # a read-only folder, or one without locks
            pass
        return True

    def touch(self) -> None:
        """Show other hosts that the run lives; cheap enough for every epoch."""
        if time.monotonic() - self._touched > _SECONDS_BETWEEN_TOUCHES:
            self._touched = time.monotonic()
            with suppress(OSError):  # whoever writes the folder reports what is wrong with it
                os.utime(self.path)

    def release(self) -> None:
        """Free the lock; its file stays: another process may hold it open already."""
        self._lock.release()

    def remove_unused(self) -> None:
        """Remove the folder, if it holds nothing else: of a run that could not even begin."""
        folder = self.path.parent
        with suppress(OSError):
            if [path.name for path in folder.iterdir()] == [_LOCK]:
                self.path.unlink()
                folder.rmdir()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def is_locked(folder: Path) -> bool | None:
    """Return whether a process of this host holds the lock of a run folder; None: unknown."""
    path = folder / _LOCK
    if not path.exists():
        return None
    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=_SECONDS_TO_PROBE, poll_interval=0.01)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return None
    lock.release()
    return False


# --------------------------------------------------------------------------- runs that were killed


def has_died(stored: StoredRun) -> bool:
    """Return whether a run that says "running" goes on no more, as far as this host can see.

    Nobody holds its lock. Of a run of another host, or where locks cannot be seen, a day without a
    sign of life tells it.
    """
    if stored.damage or stored.status != "running":
        return False  # a damaged folder is left as it is
    elsewhere = stored.process is not None and stored.process.is_elsewhere
    locked = None if elsewhere else is_locked(stored.files.folder)
    if locked is None and stored.process is not None:
        return stored.silent > _SECONDS_UNSEEN
    return not locked


def mark_killed(stored: StoredRun) -> StoredRun:
    """Return the run, as killed when its process has died; the folder says so from now on."""
    if not has_died(stored):
        return stored
    files = stored.files
    killed = stored.model_copy(
        update={
            "status": "killed",
            "ended": datetime.fromtimestamp(time.time() - stored.silent, UTC),
            "error": _reason(stored),
        }
    )
    lock = RunLock(files.folder)
    with suppress(OSError):  # a folder that cannot be written can still be read
        if not lock.acquire():
            return read_run(files.folder)  # somebody goes on with it
        try:
            current = read_run(files.folder)
            if current.status != "running":  # somebody else was faster
                return current
            assert killed.ended is not None
            started = None if killed.started is None else timestamp(killed.started)
            times = started, timestamp(killed.ended)
            write_status(files, "killed", *times, error=killed.error, process=stored.process)
            files.remove_temporary()
        finally:
            lock.release()
    return killed


def _reason(stored: StoredRun) -> str:
    process, how = stored.process, "died without a word"
    if process is not None and process.is_elsewhere:
        how = "gave no sign of life for a day"
    where = "" if process is None else f" {process.pid} on {process.host}"
    return f"its process{where} {how}: it was killed, or the machine went down"


def mark_killed_runs(root: Path, experiment: str) -> list[StoredRun]:
    """Mark the runs of an experiment whose process has died as killed; return those runs.

    Their temporary files are removed, and folders that hold nothing.
    """
    killed = []
    for folder in find_folders(root, experiment):
        if read_status(folder).status == "running":
            stored = mark_killed(read_run(folder))
            if stored.status == "killed":
                killed.append(stored)
    _remove_empty(root / experiment)
    return killed


def remove_empty_folders(root: Path) -> None:
    """Remove folders of runs that were killed before they wrote a word, of all experiments."""
    with suppress(OSError):
        for group in {path.parent for path in root.glob("**/*-*-*") if _ID.fullmatch(path.name)}:
            _remove_empty(group)


def _remove_empty(group: Path) -> None:
    with suppress(OSError):
        for folder in [path for path in group.glob("*") if path.is_dir() and not path.is_symlink()]:
            if time.time() - folder.stat().st_mtime > SECONDS_TO_WRITE:
                names = [path.name for path in folder.iterdir()]
                if all(name.startswith(".status-") or name == ".lock" for name in names):
                    if is_locked(folder):
                        continue
                    (folder / ".lock").unlink(missing_ok=True)
                    sweep(folder)
                    folder.rmdir()
