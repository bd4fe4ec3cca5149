"""The process that mirrors runs into MLflow beside those that make them.

It hears on standard input, a line of JSON each: the settings, then the folder of each run that
begins, and again, with how it ended, when it has. It answers on what was standard output, pairs of
a word and what it tells. When its parent is gone so is standard input: what that left is sent, for
some seconds at most, and the process ends.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.api import shell_word
from dbgsom_core.runs.find import has_died
from dbgsom_core.runs.folder import RunFiles, read_run, read_status
from dbgsom_core.runs.hidden import hiding_told
from dbgsom_plugins.trackers.mlflow import opened
from dbgsom_plugins.trackers.mlflow_address import Surroundings, sqlite_file
from dbgsom_plugins.trackers.mlflow_beside import sentence
from dbgsom_plugins.trackers.mlflow_quiet import answers, is_away, quiet, reason
from dbgsom_plugins.trackers.mlflow_sent import has_model, missed

if TYPE_CHECKING:
    from dbgsom_core.runs.folder import State
    from dbgsom_plugins.trackers.mlflow_mirror import Mirror

SECONDS_A_CALL = 10
MOST_HEALED = 10  # earlier runs that a run sends beside itself
_SECONDS_BETWEEN_TRIES = 5.0
_SECONDS_BETWEEN_LOOKS = 0.2  # at whether the parent, and a model, is there
_SECONDS_TO_DIE = 2.0  # for a process whose files are closed

Answer = Callable[[str, Any], None]
Told = queue.SimpleQueue[dict[str, Any] | None]


def main(settings: dict[str, Any]) -> None:
    """Mirror what standard input tells of until it ends."""
    gc.disable()  # looking through what is imported again and again takes a third of the time
    told: Told = queue.SimpleQueue()
    answer = _answering()
    threading.Thread(target=_hear, args=(told,), daemon=True).start()
    with quiet(SECONDS_A_CALL), hiding_told(settings["hidden"]):
        _import(settings["uri"])
        gc.freeze()
        gc.enable()
        Mirroring(settings, answer).follow(told)
    os._exit(0)  # no exit of a library is waited for


class Mirroring:
    """What one process mirrors.

    Parameters
    ----------
    settings : dict
        What `mlflow_beside.as_told` returns, and ``parent``, a process.
    answer : callable
        Takes ``log`` with a level and a text, and ``sent`` or ``lost`` with ``folders`` and,
        of those that were lost, ``why``.
    """

    def __init__(self, settings: dict[str, Any], answer: Answer) -> None:
        self._settings, self._answer = settings, answer
        self._place = settings["uri"], settings["experiment"], settings["register"]
        self._mirror: Mirror | None = None
        self._runs: dict[Path, State] = {}  # as they were told, until they have ended and are sent
        self._top: Path | None = None  # the run, or the sweep, that the command is about
        self._missed: list[Path] = []
        self._kept: set[Path] = set()  # runs that have a model
        self._why = ""  # the store took not all
        self._alone = False

    def follow(self, told: Told) -> None:
        """Mirror what is told until that ends, and what is left then."""
        due = 0.0
        while True:
            try:
                until = max(due - time.monotonic(), 0.0)
                self.hear(told.get(timeout=min(until, _SECONDS_BETWEEN_LOOKS)))
                due = 0.0
                continue  # all that was told comes first
            except queue.Empty:
                pass
            if not self._alone and self._orphaned():
                self.hear(None)
            elif self._has_new_model() or time.monotonic() >= due:
                due = time.monotonic() + self.turn()
                if self._alone and not self._runs:
                    return

    def hear(self, news: dict[str, Any] | None) -> None:
        """Note how a run stands; None: that the parent is gone."""
        if news is None:  # nobody is there any more
            self._alone, self._missed = True, []
            last = threading.Timer(self._settings["seconds_alone"], os._exit, (1,))
            last.daemon = True
            last.start()
            return
        folder = Path(news["folder"])
        self._runs[folder] = news["status"]
        if news["top"]:
            self._top = folder

    def _orphaned(self) -> bool:
        return os.name != "nt" and os.getppid() != self._settings["parent"]

    def _has_new_model(self) -> bool:
        new = {one for one in self._runs if has_model(RunFiles(one))} - self._kept
        self._kept |= new
        return bool(new)

    def turn(self) -> float:
        """Send what there is; return the seconds until the next time."""
        uri, told = self._settings["uri"], self._why
        if told and not answers(uri):
            self._lose([*self._runs])
            return _SECONDS_BETWEEN_TRIES
        self._why = ""
        for folder in list(self._runs):
            try:
                self._send(folder)
            except Exception as error:
                self._why = reason(uri, error)
                self._lose([*self._runs] if is_away(error) else [folder])
                if is_away(error):
                    break
        if self._why:
            if not told and "running" in self._runs.values():  # of others the end is told
                self._answer("log", (logging.WARNING, sentence(self._why)))
            return _SECONDS_BETWEEN_TRIES
        if self._missed:
            self._heal(1)
            return 0.0
        return float(self._settings["flush_seconds"])

    def _send(self, folder: Path) -> None:
        if self._mirror is None:
            self._mirror = opened(*self._place, Surroundings(**self._settings["within"]))
            self._look_back()
        status = self._runs[folder]
        if status == "running" and not self._alone:
            self._mirror.tail(folder)
            return
        if status == "running":
            _wait_for_its_end(folder)
        self._mirror.catch_up(folder, status)
        if folder == self._top:
            if read_run(folder).kind == "sweep":  # other processes may not have come to an end
                self._missed += [one for one in self._behind() if _is_child(one, folder)]
            self._heal(len(self._missed))
        del self._runs[folder]
        self._answer("sent", {"folders": [str(folder)]})

    def _lose(self, folders: list[Path]) -> None:
        ended = [str(one) for one in folders if self._runs[one] != "running"]
        self._answer("lost", {"folders": ended, "why": self._why})

    def _behind(self) -> list[Path]:
        return [] if self._top is None or self._alone else missed(self._top, *self._place)

    def _look_back(self) -> None:
        """Note which earlier runs of the experiment are to be sent, and say the rest."""
        found = self._behind()
        self._missed, more = found[:MOST_HEALED], len(found) - MOST_HEALED
        if more > 0:
            told = (
                f"{more} earlier run(s) of this experiment are not in MLflow: 'dbgsom sync "
                f"{shell_word(read_run(found[0]).experiment)}' sends them"
            )
            self._answer("log", (logging.WARNING, told))

    def _heal(self, count: int) -> None:
        """Send so many of the runs that were missed."""
        now, self._missed = self._missed[:count], self._missed[count:]
        try:
            for folder in now:
                assert self._mirror is not None
                self._mirror.catch_up(folder)
                self._mirror.finish_all()
        except Exception as error:
            self._missed = []
            told = reason(self._settings["uri"], error)
            told = f"an earlier run is not in MLflow and was not sent ({told}); try 'dbgsom sync'"
            self._answer("log", (logging.WARNING, told))


def _import(uri: str) -> None:
    """Import what sending will need, so that it is there when the first run begins."""
    for name in ("dbgsom_plugins.trackers.mlflow_mirror", "mlflow.pyfunc"):  # MLflow's is lazy
        importlib.import_module(name)
    if sqlite_file(uri) is not None:
        with suppress(ImportError):  # a place of MLflow's own, which opening a store comes to
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def _is_child(folder: Path, sweep: Path) -> bool:
    return read_run(folder).parent == sweep.name


def _wait_for_its_end(folder: Path) -> None:
    """Wait until the process of a run, whose files are closed, is gone."""
    until = time.monotonic() + _SECONDS_TO_DIE
    while not has_died(read_status(folder)) and time.monotonic() < until:
        time.sleep(0.05)


def _answering() -> Answer:
    """Return what answers the parent; what others print goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(word: str, told: Any) -> None:
        with suppress(OSError):  # nobody reads any more
            answers.write(json.dumps((word, told)).encode() + b"\n")
            answers.flush()

    return answer


def _hear(told: Told) -> None:
    with suppress(Exception):
        for line in sys.stdin.buffer:
            told.put(json.loads(line))
    told.put(None)
