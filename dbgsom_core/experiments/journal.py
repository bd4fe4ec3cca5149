"""The journal of a run, ``metrics.jsonl``: a line for each epoch and for each point of an observer.

::

    {"epoch": 3, "time": <unix milliseconds>, "metrics": {"epoch/neurons": 9.0, …}}

The step of a point stands for the epoch. JSON knows no NaN: numbers that are not finite are the
strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. Several threads may append.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dbgsom_core.files import open_regular

JOURNAL = "metrics.jsonl"
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_lock = threading.Lock()


@dataclass(frozen=True)
class JournalLine:
    """A line of the journal; ``time`` is in milliseconds since 1970."""

    epoch: int
    time: int
    metrics: Mapping[str, float]

    @property
    def is_epoch(self) -> bool:
        """Whether it is an epoch of the run, not a point that an observer logged."""
        return any(name.startswith("epoch/") for name in self.metrics)


def append_line(path: Path, line: JournalLine) -> None:
    content = json.dumps(plain(vars(line)), allow_nan=False).encode() + b"\n"
    with _lock:
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as journal:
                journal.write(content)
        except OSError:
            with suppress(OSError):  # part of a line would spoil the next one
                os.truncate(path, size)
            raise


def read_journal(path: Path, offset: int = 0) -> tuple[list[JournalLine], int]:
    """Return the complete lines from a byte ``offset`` on, and the offset after them.

    An incomplete last line, which is being written or was truncated by a crash, is not read.
    """
    try:
        with open_regular(path) as journal:
            journal.seek(offset)
            content = journal.read()
    except FileNotFoundError:
        return [], offset
    complete = content[: content.rfind(b"\n") + 1]
    lines = []
    for text in complete.splitlines():
        with suppress(*_UNREADABLE):
            record = json.loads(text)
            metrics = {name: float(value) for name, value in record["metrics"].items()}
            lines.append(JournalLine(int(record["epoch"]), int(record["time"]), metrics))
    return lines, offset + len(complete)


def trim_journal(path: Path) -> list[JournalLine]:
    """Cut a truncated last line off a journal, and return the others."""
    with _lock:
        lines, end = read_journal(path)
        if path.exists() and path.stat().st_size > end:
            os.truncate(path, end)
    return lines


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's types: numpy scalars unwrapped, numbers not finite as strings."""
    if type(value).__module__ == "numpy":
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)
