"""Having runs mirrored by a process of its own, which imports MLflow and waits for the store."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.api import DbgsomError, EpochRecord, Run, RunResult, private_logger
from dbgsom_core.runs.hidden import hidden_as_told
from dbgsom_plugins.trackers.mlflow_address import (
    absolute,
    is_masked,
    sqlite_file,
    store_of,
)
from dbgsom_plugins.trackers.mlflow_quiet import SECONDS_TO_LOOK_WELL, answers, away

if TYPE_CHECKING:
    from dbgsom_core.runs.folder import State
    from dbgsom_plugins.trackers.mlflow import MLflow

SECONDS_TO_WAIT = 30.0  # at the end of a command, for each run that a server was not sent yet
SECONDS_WHEN_INTERRUPTED = 10.0  # a second Ctrl-C ends it at once
_MOST_SECONDS = 100.0  # for all of them, and for a file, which answers on any machine some time
SECONDS_ALONE = 30.0  # that a process may go on without its parent
_SECONDS_BEFORE_A_WORD = 4.0
_SECONDS_BETWEEN_LOOKS = 0.5  # in which Windows would not hear of Ctrl-C
_SECONDS_TO_LEAVE = 1.0  # for a process that has nothing more to do
_MOST_STARTS = 3
_log = private_logger("dbgsom.mlflow")

# The path comes first, so that what is imported is what this process would import.
_BOOTSTRAP = (
    "import json, sys; told = json.loads(sys.stdin.buffer.readline()); sys.path[:] = told['path']; "
    "from dbgsom_plugins.trackers.mlflow_process import main; main(told)"
)


class MLflowObserver:
    """Tells a process which runs there are, and waits for it when the last one has ended.

    What MLflow does not take costs a run nothing, and an error is logged. A process that is killed
    is started again when a run ends.
    """

    def __init__(self, settings: MLflow) -> None:
        self._settings = settings
        self._process: Any = None
        self._uri = ""  # of the store that the process was started for
        self._unused = False  # it was told of no run yet
        self._starts = 0
        self._left: dict[str, dict[str, Any]] = {}  # what was told of runs that were not sent yet

    def prepare(self) -> None:
        """Start the process, which imports MLflow while data is read."""
        if self._process is None and not is_masked(self._settings.uri):
            self._start(absolute(self._settings.uri))
            self._unused = True

    def close(self) -> None:
        """End a process that was told of no run."""
        if self._process is not None and self._unused:
            self._process.end()
            self._process = None

    def dbgsom_run_started(self, run: Run) -> None:
        """Have the run mirrored from now on."""
        self._tell(run)

    def dbgsom_epoch_finished(self, run: Run | None, epoch: EpochRecord) -> None:
        """Do nothing: the process reads the run's journal."""
        if run is None:
            raise DbgsomError(
                "this observer mirrors the folders of runs, and a fit has none: use "
                "dbgsom_core.run(…) with 'tracking', or dbgsom_core.mlflow.autolog()"
            )

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Have the results sent and the MLflow run ended."""
        self._end(run, "finished")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """Have the MLflow run ended as failed or killed."""
        self._end(run, "failed" if isinstance(error, Exception) else "killed")

    def _end(self, run: Run, status: State) -> None:
        self._tell(run, status)
        if run.parent is None and self._process is not None:
            seconds = SECONDS_WHEN_INTERRUPTED if status == "killed" else SECONDS_TO_WAIT
            uri, why = self._settings.uri, ""
            if sqlite_file(uri) is not None:
                seconds = _MOST_SECONDS
            elif self._process.waiting and not answers(uri, SECONDS_TO_LOOK_WELL):
                seconds, why = _SECONDS_BETWEEN_LOOKS, away(uri)
            self._process.wait(seconds, why)
            self._process.end()
            self._process, self._starts, self._left = None, 0, {}

    def _tell(self, run: Run, status: State = "running") -> None:
        folder = str(run.folder.absolute())
        told = {"folder": folder, "status": status, "top": run.parent is None}
        # A run that is gone on with has its store where it began.
        if self._unused and store_of(self._settings.uri, run.folder) != self._uri:
            self.close()
        self._left[folder], self._unused = told, False
        if self._process is not None and not self._process.gone:
            self._process.tell(told)
        elif self._starts < _MOST_STARTS:
            self._start(store_of(self._settings.uri, run.folder))

    def _start(self, uri: str) -> None:
        self._starts += 1
        self._uri = uri
        self._process = _start(self._settings.model_copy(update={"uri": uri}), self._left)


class Answers:
    """What a mirroring process says of the runs that it was told of.

    Parameters
    ----------
    left : dict
        What was told of each run, by its folder, until it was sent.
    """

    def __init__(self, left: dict[str, dict[str, Any]]) -> None:
        self._left = left
        self._lost: dict[str, str] = {}  # runs that could not be sent, and why
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._end = ""  # of a process that is gone

    @property
    def gone(self) -> bool:
        """Whether nothing will be answered any more."""
        return bool(self._end)

    def asked(self, told: Mapping[str, Any]) -> None:
        """Note that the process is told of a run."""
        with self._changed:
            self._lost.pop(str(told["folder"]), None)
            self._last = time.monotonic()

    def heard(self, word: str, told: Any) -> None:
        """Take one answer."""
        if word == "log":
            _log.log(*told)
            return
        with self._changed:
            for folder in told["folders"]:
                if word == "sent":
                    for noted in (self._left, self._lost):
                        noted.pop(folder, None)
                    self._last = time.monotonic()
                else:
                    self._lost[folder] = told["why"]
            self._changed.notify_all()

    def ended(self, how: str) -> None:
        """Note that the process is gone."""
        with self._changed:
            self._end = f"the process that mirrors to MLflow {how}"
            self._changed.notify_all()

    def wait(self, seconds: float, why: str = "") -> None:
        """Wait until every run was sent, or none was for so many seconds; log what was not, why."""
        begun = time.monotonic()
        spoken = False
        with self._changed:
            while self.waiting and not self._end:
                now = time.monotonic()
                until = min((begun if why else self._last) + seconds, begun + _MOST_SECONDS)
                if now >= until:
                    break
                if not spoken and now >= begun + _SECONDS_BEFORE_A_WORD:
                    spoken = True
                    # A file is only slow where the machine is.
                    level = logging.INFO if seconds == _MOST_SECONDS else logging.WARNING
                    told = "waiting for MLflow, %.0f s at most; Ctrl-C leaves the rest to '%s'"
                    _log.log(level, told, until - now, "dbgsom sync")
                self._changed.wait(min(until - now, _SECONDS_BETWEEN_LOOKS))
            why = self._end or why or f"MLflow did not take {_runs(self.waiting)} in time"
            reasons = dict.fromkeys([*self._lost.values(), *([why] if self.waiting else [])])
        for one in reasons:
            _log.error("%s", sentence(one))

    @property
    def waiting(self) -> list[str]:
        """The runs that have ended and of which nothing was answered yet."""
        ended = (one for one, told in self._left.items() if told["status"] != "running")
        return [one for one in ended if one not in self._lost]


class _Process(Answers):
    """The process, from this side."""

    def __init__(self, settings: MLflow, left: dict[str, dict[str, Any]]) -> None:
        super().__init__(left)
        self._ending = False
        self._told = bool(left)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOTSTRAP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("DBGSOM_DEBUG") else subprocess.DEVNULL,
            start_new_session=os.name != "nt",  # Ctrl-C is the parent's to heed
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        # Not on the command line and not in the environment, where others could read a password.
        self._write({"path": sys.path, "parent": os.getpid(), **as_told(settings)})
        for told in left.values():
            self._write(told)
        context = copy_context()  # what is hidden in messages
        self._listens = threading.Thread(target=context.run, args=(self._listen,), daemon=True)
        self._listens.start()

    def tell(self, told: Mapping[str, Any]) -> None:
        """Tell of a run."""
        self._told = True
        self.asked(told)
        self._write(told)

    def end(self) -> None:
        """End the process, whatever it does."""
        self._ending = True
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_LEAVE if self._told and not self._left else 0)
        self._process.kill()
        self._process.wait()
        self._listens.join(_SECONDS_TO_LEAVE)

    def _write(self, told: Mapping[str, Any]) -> None:
        with suppress(OSError, ValueError):  # it is gone
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers, suppress(ValueError):
            for line in answers:
                self.heard(*json.loads(line))
        how = _how(self._process.wait())
        self.ended(how)
        if not self._ending:
            _log.warning("%s", sentence(f"the process that mirrors to MLflow {how}"))


_start = _Process


def as_told(settings: MLflow) -> dict[str, Any]:
    """Return what the process is told of the tracker's settings."""
    experiment, register = settings.names
    return {
        "uri": settings.uri,
        "experiment": experiment,
        "register": register,
        "flush_seconds": settings.flush_seconds,
        "seconds_alone": SECONDS_ALONE,
        "within": asdict(settings.within),
        "hidden": hidden_as_told(),
    }


def sentence(why: str) -> str:
    """Return what is wrong with what it means for runs, and the cure."""
    return f"{why}: run folders are complete, and 'dbgsom sync' sends to MLflow what it misses"


def _runs(folders: list[str]) -> str:
    return f"run {Path(folders[0]).name}" if len(folders) == 1 else f"{len(folders)} runs"


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
