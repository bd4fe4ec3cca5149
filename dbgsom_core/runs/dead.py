"""Closing runs whose process died without a word: killed outright, or with its machine."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dbgsom_core.interfaces.files import sweep
from dbgsom_core.runs.store import (
    StoredRun,
    find_folders,
    read_run,
    read_status,
    sweep_run,
    write_status,
)

_SECONDS_TO_BEGIN = 60.0  # in which a new folder gets its status


def close_dead_runs(root: Path, experiment: str) -> list[StoredRun]:
    """Say "killed" in each run of an experiment whose process has died; return those runs.

    Their temporary files are removed, and folders that hold nothing. A run of another machine, or
    of a container with process numbers of its own, is left alone: nobody here knows how it is.
    """
    closed = []
    for folder in find_folders(root, experiment):
        if read_status(folder).status == "running":
            stored = close_if_dead(read_run(folder))
            if stored.status == "killed":
                closed.append(stored)
    _remove_empty(root / experiment)
    return closed


def close_if_dead(stored: StoredRun) -> StoredRun:
    """Return the run, as killed when its process has died; the folder says so from now on."""
    if not stored.died:
        return stored
    files = stored.files
    signs = [path.stat().st_mtime for path in (files.journal, files.status) if path.exists()]
    ended = datetime.fromtimestamp(max(signs, default=time.time()), UTC)
    who = "its process"
    if stored.process is not None:
        who = f"its process {stored.process.pid} on {stored.process.host}"
    error = f"{who} died without a word: it was killed, or the machine went down"
    with contextlib.suppress(OSError):  # a folder that cannot be written can still be read
        write_status(
            files,
            "killed",
            None if stored.started is None else stored.started.isoformat(timespec="milliseconds"),
            ended.isoformat(timespec="milliseconds"),
            error,
            stored.process,
        )
        sweep_run(files)
    return replace(stored, status="killed", ended=ended, error=error)


def _remove_empty(group: Path) -> None:
    """Remove folders whose process was killed before it wrote a word."""
    with contextlib.suppress(OSError):
        for folder in [one for one in group.glob("*") if one.is_dir() and not one.is_symlink()]:
            if time.time() - folder.stat().st_mtime > _SECONDS_TO_BEGIN:
                names = [path.name for path in folder.iterdir()]
                if all(name.startswith(".status-") for name in names):
                    sweep(folder)
                    folder.rmdir()
