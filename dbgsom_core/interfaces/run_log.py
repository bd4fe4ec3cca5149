"""What observers add to the folder of a run: scalars and artefacts of their own."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
import time
from numbers import Real
from pathlib import Path
from typing import Any

from dbgsom_core.interfaces.privacy import without_secrets
from dbgsom_core.tables._files import open_regular, write_atomically

SCALARS = "scalars.jsonl"
ARTIFACTS = "artifacts"
# The first words of what a run itself logs, and what mirrors make of it.
RESERVED = ("best", "epoch", "fold", "stability", "stability_high", "stability_low", "system",
            "test", "train")  # fmt: skip
_LONGEST = 250  # letters of a name, as trackers take them
_LONGEST_FILE = 240  # bytes: file systems take 255, with what a name has while it is written
_STEPS = 1 << 63  # what stores of trackers hold
_WORD = re.compile(r"[\w][\w\-. ]*(?<![. ])")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # of Windows
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # as the journal has them
_lock = threading.Lock()  # a tracker that was given up may still be at work


class RunLog:
    """The scalars and artefacts of one run folder; several threads may log.

    Parameters
    ----------
    folder : Path
        The run folder. ``scalars.jsonl`` in it has a line a scalar, as its journal has them:
        ``{"epoch": step, "time": unix milliseconds, "metrics": {name: value}}``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[tuple[str, int]] | None = None  # None: nobody has looked

    def scalar(self, name: str, value: float, step: int) -> None:
        """See `Run.log_scalar`."""
        name = without_secrets(_name(name, "a scalar"))
        if name.partition("/")[0] in RESERVED:
            raise ValueError(
                f"a scalar cannot be called {name!r}: what begins with "
                f"'{name.partition('/')[0]}/' is the run's own; put a word of yours in front"
            )
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"the scalar {name!r} must be a number, not {value!r}")
        whole = hasattr(step, "__index__") and not isinstance(step, bool)
        if not whole or not 0 <= int(step) < _STEPS:
            raise ValueError(
                f"the step of {name!r} must be a whole number from 0, below 2^63, not {step!r}"
            )
        number, step = float(value), int(step)
        told = number if math.isfinite(number) else _NOT_FINITE[f"{number}"]
        line = {"epoch": step, "time": int(time.time() * 1000), "metrics": {name: told}}
        path = self._folder / SCALARS
        with _lock:
            if self._known is None:
                self._known = _points(path)
            if (name, step) in self._known:
                return
            with path.open("ab") as journal:
                journal.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self._known.add((name, step))

    def artifact(self, name: str, content: str | bytes | os.PathLike[str]) -> Path:
        """See `Run.log_artifact`."""
        words = _name(name, "an artefact").split("/")
        if any(len(os.fsencode(word)) > _LONGEST_FILE for word in words):
            raise ValueError(
                f"an artefact needs words of at most {_LONGEST_FILE} bytes between '/', as disks "
                f"take them, not {name!r}"
            )
        path = self._folder.joinpath(ARTIFACTS, *words)
        if isinstance(content, str):
            content = without_secrets(content).encode()
        if isinstance(content, (bytes, bytearray, memoryview)):
            write_atomically(path, lambda new: new.write_bytes(content))
        elif isinstance(content, os.PathLike):
            with open_regular(Path(content)) as source:
                write_atomically(path, lambda new: _copy(source, new))
        else:
            raise ValueError(
                f"the artefact {name!r} must be text, bytes or the path of a file, not "
                f"{type(content).__name__}"
            )
        return path


def _copy(source: Any, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(source, target)


def _name(name: Any, what: str) -> str:
    words = name.split("/") if isinstance(name, str) else [""]
    whole = all(_WORD.fullmatch(word) and not _DEVICES.fullmatch(word) for word in words)
    if not whole or len(name) > _LONGEST:
        raise ValueError(
            f"{what} needs a name of at most {_LONGEST} letters, digits, '_', '-', '.' and spaces, "
            f"words that begin with a letter, a digit or '_' between '/', not {name!r}"
        )
    return str(name)


def _points(path: Path) -> set[tuple[str, int]]:
    # What is logged already, by a process that was interrupted; its torn last line is cut off.
    try:
        with open_regular(path) as journal:
            content = journal.read()
    except FileNotFoundError:
        return set()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    found = set()
    for line in content[:whole].splitlines():
        try:
            known = json.loads(line)
            found |= {(name, int(known["epoch"])) for name in known["metrics"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found
