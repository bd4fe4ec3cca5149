"""Which process a run belongs to, and whether that process still lives."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process as another one, later, can tell it from those that get its number again.

    Attributes
    ----------
    host : str
    pid : int
    started : str or None
        When it started. On Linux ``boot/namespace/ticks``: which start of the machine, which
        space of process numbers, clock ticks since. Elsewhere as ``ps`` writes it; None: unknown.
    """

    host: str
    pid: int
    started: str | None

    @classmethod
    def this(cls) -> Process:
        """Return the process that asks."""
        return cls(platform.node(), os.getpid(), _started(os.getpid()))

    @classmethod
    def of(cls, record: Any) -> Process | None:
        """Read what a JSON file holds of a process; None when it is none."""
        if not (isinstance(record, Mapping) and isinstance(record.get("pid"), int)):
            return None
        started = record.get("started")
        known = started if isinstance(started, str) else None
        return cls(str(record.get("host")), record["pid"], known)

    def lives(self) -> bool | None:
        """Say whether the process still runs; None where that cannot be seen from here."""
        if self.host != platform.node() or self.started is None or os.name == "nt":
            return None
        now = _started(self.pid)
        mine = _started(os.getpid())
        if mine is not None and _space(mine) != _space(self.started):
            # A container on this machine has numbers of its own; a machine that was started again
            # has none of the old processes.
            same_boot = mine.partition("/")[0] == self.started.partition("/")[0]
            return None if same_boot else False
        return now == self.started


def _space(started: str) -> str:
    return started.rpartition("/")[0]


def _started(pid: int) -> str | None:
    """Return when a process started; None when there is none, or only its remains."""
    if not (_PROC / "self" / "stat").exists():
        return _asked_of_ps(pid)
    try:
        # The name, in parentheses, may hold anything; the state is the field behind it.
        fields = (
            (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        )
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("utf-8").strip()
        space = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return None
    return None if fields[0] in "ZXx" else f"{boot}/{space}/{fields[19]}"


def _asked_of_ps(pid: int) -> str | None:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=5, check=True, env={"LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
