"""Scalars and artefacts that observers add to the folder of a run."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
import time
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from dbgsom_core.interfaces.privacy import without_secrets
from dbgsom_core.tables.safe_files import open_regular, write_atomically

SCALARS = "scalars.jsonl"
ARTIFACTS = "artifacts"
# The first words of what a run itself logs, and what mirrors make of it.
RESERVED = ("best", "epoch", "fold", "stability", "stability_high", "stability_low", "system",
            "test", "train")  # fmt: skip
_LONGEST = 240  # letters of a name, and bytes of each word: file systems take 255
_WORD = re.compile(
    r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(\.|$))\w[\w\-. ]*(?<![. ])"
)  # not Windows' devices
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # as the journal has them
_lock = threading.Lock()  # a tracker may have a thread of its own


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
        self._known: set[tuple[str, int]] | None = None  # None: not read yet

    def scalar(self, name: str, value: float, step: int) -> None:
        """See `Run.log_scalar`."""
        name = without_secrets(_name(name, "a scalar"))
        first = name.partition("/")[0]
        if first in RESERVED:
            raise ValueError(
                f"a scalar cannot be called {name!r}: what begins with '{first}/' is the run's own"
            )
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"the scalar {name!r} must be a number, not {value!r}")
        if not (isinstance(step, Integral) and 0 <= step < 1 << 63):  # what trackers hold
            raise ValueError(
                f"the step of {name!r} must be a whole number from 0, below 2^63, not {step!r}"
            )
        number, step = float(value), int(step)
        plain = number if math.isfinite(number) else _NOT_FINITE[f"{number}"]
        line = {"epoch": step, "time": int(time.time() * 1000), "metrics": {name: plain}}
        path = self._folder / SCALARS
        with _lock:
            if self._known is None:
                self._known = _logged(path)
            if (name, step) in self._known:
                return
            with path.open("ab") as journal:
                journal.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self._known.add((name, step))

    def artifact(self, name: str, content: str | bytes | os.PathLike[str]) -> Path:
        """See `Run.log_artifact`."""
        path = self._folder.joinpath(ARTIFACTS, *_name(name, "an artefact").split("/"))
        if isinstance(content, str):
            content = without_secrets(content).encode()
        if isinstance(content, os.PathLike):
            with open_regular(Path(content)):  # no pipe or device
                write_atomically(path, lambda new: shutil.copyfile(content, new))
        elif isinstance(content, (bytes, bytearray, memoryview)):
            write_atomically(path, lambda new: new.write_bytes(content))
        else:
            kind = type(content).__name__
            raise ValueError(
                f"the artefact {name!r} must be text, bytes or the path of a file, not {kind}"
            )
        return path


def _name(name: Any, what: str) -> str:
    words = name.split("/") if isinstance(name, str) else [""]
    fits = [_WORD.fullmatch(word) and len(os.fsencode(word)) <= _LONGEST for word in words]
    if not all(fits) or len(name) > _LONGEST:
        raise ValueError(
            f"{what} needs a name of at most {_LONGEST} letters, digits, '_', '-', '.' and spaces, "
            f"words that begin with a letter, a digit or '_' between '/', not {name!r}"
        )
    return str(name)


def _logged(path: Path) -> set[tuple[str, int]]:
    # What a process that was interrupted has logged already; a truncated last line is cut off.
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
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            known = json.loads(line)
            found |= {(name, int(known["epoch"])) for name in known["metrics"]}
    return found
