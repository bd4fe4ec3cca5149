"""Children of a sweep in processes beside each other, seen from the process of the sweep."""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dbgsom_core.engine.workers import MOST_THREADS, available_threads
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.callbacks import call
from dbgsom_core.runs.callbacks import mirror_ended
from dbgsom_core.runs.find import mark_killed
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.resume import finish_off
from dbgsom_core.runs.signals import shutdown
from dbgsom_core.runs.sweeps.worker import BOOTSTRAP, UNHEEDED, Stop, Task

log = private_logger("dbgsom")

_SECONDS_BETWEEN_LOOKS = 0.5  # in which Windows would not hear of Ctrl-C
_SECONDS_TO_LEAVE = 10.0  # for a process that has nothing to do
_SECONDS_TO_REPORT = 120.0  # for trackers of a child that is asked to end


@dataclass(frozen=True)
class Ended:
    """How a child ended: its run and measures, or the error of one that failed."""

    task: Task
    run: Run | None = None
    result: RunResult | None = None
    error: Exception | None = None


class Workers:
    """Processes that each run one child of a sweep at a time; all have ended when it is left.

    The processors are divided between them, unless the configuration says how many threads to use.
    The first child trains alone until its first epoch: it compiles what all need.

    Parameters
    ----------
    jobs : int
        How many processes.
    display : object
        Has any of the lifecycle hooks, and hears of the runs of all processes; ``say(told)`` is
        called with a sentence.
    """

    def __init__(self, jobs: int, display: object) -> None:
        self._display = display
        self._threads = max(available_threads() // jobs, 1)
        self._told: queue.SimpleQueue[tuple[_Process, str, Any]] = queue.SimpleQueue()
        self._idle = [self._new() for _ in range(jobs)]
        self._busy: dict[_Process, Task] = {}
        self._compiles = self._compiled = False
        self._warned: set[str] = set()

    @property
    def free(self) -> bool:
        """Whether a child can be started."""
        return bool(self._idle) and (self._compiled or not self._busy)

    @property
    def busy(self) -> bool:
        """Whether there is a child to wait for."""
        return bool(self._busy)

    def start(self, task: Task) -> None:
        """Hand a child over to a process that has none.

        Raises
        ------
        DbgsomError
            Its parts cannot be sent to another process.
        """
        try:
            content = pickle.dumps(pickle.dumps(task))
        except Exception as error:
            raise DbgsomError(
                f"'{task.name}' cannot be sent to another process ({error}): sweep with -j 1"
            ) from error
        process = self._idle.pop(0)
        if process.has_ended():  # while it had nothing to do
            process.kill()
            process = self._new()
        self._busy[process] = task
        process.send(content)

    def wait(self) -> Ended | None:
        """Wait for the next thing to happen, and return how a child ended if it was that."""
        process, word, told = self._next()
        task = self._busy.get(process)
        if word == "log":
            self._log(*told)
        elif word == "said":
            _print(told)
        elif word == "compiles":
            if not self._compiles:  # others say the same
                show(self._display, "say", told=told)
            self._compiles = True
        elif word == "started":
            process.run = told
            self._show("dbgsom_run_started", process)
        elif word == "epoch":
            self._compiled = True
            self._show("dbgsom_epoch_finished", process, epoch=told)
        elif word == "ended":
            self._show("dbgsom_run_finished", process, result=told)
        elif task is not None:
            self._compiled = True
            del self._busy[process]
            return self._ended(process, task, word, told)
        return None

    def _log(self, name: str, level: int, text: str) -> None:
        """Pass on what a process logs; warnings that all have are said once."""
        if level < logging.WARNING or text not in self._warned:
            self._warned.add(text)
            logging.getLogger(name).log(level, "%s", text)

    def _ended(self, process: _Process, task: Task, word: str, told: Any) -> Ended:
        run, process.run = process.run, None
        if word == "finished":
            self._idle.append(process)
            run, measures, notes = told
            return Ended(task, run, RunResult(measures, notes=notes))
        if word == "failed":
            self._idle.append(process)
            error = told
        else:  # its process is gone
            process.kill()
            self._idle.append(self._new())
            closed = None if run is None else mark_killed(read_run(run.folder))
            if closed is not None and closed.status == "finished":  # it had only trackers to tell
                finish_off(closed, task.experiment.tracking)
                return Ended(task, run, RunResult(closed.measures))
            if closed is not None:
                mirror_ended(closed, task.experiment.tracking)
            why = how_it_ended(process.pid, told)
            error = DbgsomError(closed.error if closed and closed.error and told >= 0 else why)
        if run is not None:
            show(self._display, "dbgsom_run_failed", run=run, error=error)
        return Ended(task, run, error=error)

    def _show(self, hook: str, process: _Process, **told: Any) -> None:
        if process.run is not None:
            show(self._display, hook, run=process.run, **told)

    def _next(self) -> tuple[_Process, str, Any]:
        while True:
            with suppress(queue.Empty):
                return self._told.get(timeout=_SECONDS_BETWEEN_LOOKS)

    def _new(self) -> _Process:
        level = log.getEffectiveLevel()
        return _Process({MOST_THREADS: str(self._threads)}, level, self._told)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all processes: those with a child as the sweep ends, and none stays."""
        try:
            self.end("" if error is None else str(error))
            seconds = _SECONDS_TO_LEAVE + (_SECONDS_TO_REPORT if self._busy else 0.0)
            self._wait_for_all(time.monotonic() + seconds)
        finally:
            with shutdown.deferred():
                for process in (*self._idle, *self._busy):
                    process.kill()
                for process in self._busy:
                    if process.run is not None:
                        mark_killed(read_run(process.run.folder))

    def end(self, why: str = "") -> None:
        """Ask every process to end, one with a child as killed."""
        number = shutdown.signal or signal.SIGTERM
        for process in self._busy:
            process.send(pickle.dumps(Stop(number, "" if shutdown.signal else why)))
        for process in self._idle:
            process.send(pickle.dumps(None))

    def _wait_for_all(self, until: float) -> None:
        left = [one for one in (*self._idle, *self._busy) if not one.has_ended()]
        while left and time.monotonic() < until:
            with suppress(queue.Empty):
                process, word, told = self._told.get(timeout=0.05)
                if word == "said":
                    _print(told)
                elif word == "log":
                    self._log(*told)
                elif word == "started":
                    process.run = told
            left = [one for one in left if not one.has_ended()]


class _Process:
    """One process: what it says is put into a queue by threads, with what it means."""

    def __init__(
        self,
        environment: dict[str, str],
        level: int,
        told: queue.SimpleQueue[tuple[_Process, str, Any]],
    ) -> None:
        self.run: Run | None = None
        self._told = told
        with _signals_held_back():
            self._process = subprocess.Popen(
                [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-c", BOOTSTRAP],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **environment},
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        self._overhears = threading.Thread(target=self._overhear, daemon=True)
        self._overhears.start()
        threading.Thread(target=self._listen, daemon=True).start()
        self.send(pickle.dumps(sys.path) + pickle.dumps(level))

    def send(self, content: bytes) -> None:
        """Say something to the process; one that is gone does not hear it."""
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(content)
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it at once, whatever it does, and close what leads to it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(Exception), self._process.stdout as answers:
            while True:
                self._told.put((self, *pickle.load(answers)))
        try:
            code = self._process.wait(_SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:  # it says what nobody can read
            self._process.kill()
            code = self._process.wait()
        self._overhears.join(1.0)  # its last words come first
        self._told.put((self, "gone", code))

    def _overhear(self) -> None:
        assert self._process.stderr is not None
        with suppress(Exception), self._process.stderr as said:
            for line in said:
                self._told.put((self, "said", line.decode("utf-8", "replace").rstrip("\r\n")))


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let what starts in here hear no signal of the terminal before it can ignore it.

    A process inherits which signals are held back; those of this process come afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows has groups of processes for it
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEEDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def show(display: object, method: str, **told: Any) -> None:
    """Tell a display of something, if it wants to hear it; what it raises ends no sweep."""
    with suppress(Exception):
        call(display, method, told)


def _print(line: str) -> None:
    with suppress(OSError):  # nobody reads any more
        print(line, file=sys.stderr, flush=True)


def how_it_ended(pid: int, code: int) -> str:
    """Say how a process ended that should not have, from its exit code."""
    if code >= 0:
        return f"its process {pid} ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process {pid} was ended by {name}{memory}"
