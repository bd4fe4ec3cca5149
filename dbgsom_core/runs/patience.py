"""Waiting for the work of others, but not for ever.

The work is done in a daemon thread. Unlike a process it needs neither a copy of the map nor parts
that can be pickled, and unlike an alarm it also ends the wait for C code that lets other threads
run. What it cannot end is C code that lets none; a run's model is on the disk before such code has
a turn.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.privacy import masked, private_logger
from dbgsom_core.plugins.observers import call

if TYPE_CHECKING:
    from dbgsom_core.interfaces.epochs import EpochRecord
    from dbgsom_core.interfaces.trackers import Run, RunResult

PATIENCE = 120.0  # seconds
_SECONDS_BETWEEN_LOOKS = 0.5  # in which Windows would not hear of Ctrl-C
_SECONDS_TO_CLOSE = 5.0
_log = private_logger("dbgsom")
_open: set[threading.Event] = set()  # of all that is being worked on
_T = TypeVar("_T")


class GivenUpError(DbgsomError):
    """Somebody's work took too long."""


class Aside:
    """A thread that does one job after another while its caller waits for a limited time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], _T], seconds: float | None = None) -> _T:
        """Return what ``work`` returns; what it raises is raised here.

        ``seconds`` are a limit of its own.

        Raises
        ------
        GivenUpError
            It took longer than the limit. The thread is left to it and is of no more use.
        """
        done = threading.Event()
        answers: list[_T] = []
        context = copy_context()  # which registry is in use
        errors: list[Exception] = []

        def job() -> None:
            try:
                answers.append(context.run(work))
            except Exception as error:
                errors.append(error)
            except BaseException as error:  # no person and no system interrupts this thread
                errors.append(DbgsomError(f"it raised {type(error).__name__}"))
            finally:
                _open.discard(done)
                done.set()

        _open.add(done)
        self._add(job)
        seconds = self._seconds if seconds is None else min(seconds, self._seconds)
        until = time.monotonic() + seconds
        while not done.wait(max(0.0, min(_SECONDS_BETWEEN_LOOKS, until - time.monotonic()))):
            if time.monotonic() >= until:
                raise GivenUpError(f"no answer within {seconds:g} s")
        if errors:
            raise errors[0]
        return answers[0]

    def begin(self, work: Callable[[], None]) -> None:
        """Have ``work``, which raises nothing, done before all that is asked for later."""
        context = copy_context()
        self._add(lambda: context.run(work))

    def _add(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            self._jobs.get()()


class PatientObserver:
    """A tracker's observer, made and told in a thread of its own, in order.

    One that does not answer is given up: it is told nothing more.
    """

    def __init__(self, name: str, make: Callable[[], object], seconds: float) -> None:
        self.__name__ = name
        self._make = make
        self._aside = Aside(seconds)
        self._observer: object = None
        self._given_up = False
        self._prepared = False

    def prepare(self) -> None:
        """Have it made and, where it has a method ``prepare``, get ready; nobody waits for it."""
        self._prepared = True
        self._aside.begin(self._get_ready)

    def close(self) -> None:
        """Have an observer that was to get ready put away, by its ``close``, what it still has."""
        if self._prepared and not self._given_up:
            try:
                self._aside.do(lambda: call(self._observer, "close", {}), _SECONDS_TO_CLOSE)
            except Exception as error:
                self._report("close", error)

    def dbgsom_run_started(self, run: Run) -> None:
        """Pass it on."""
        self._tell("dbgsom_run_started", run=run)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> Any:
        """Pass it on, and its answer back."""
        return self._tell("dbgsom_epoch_finished", run=run, epoch=epoch)

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Pass it on."""
        self._tell("dbgsom_run_finished", run=run, result=result)

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """Pass it on."""
        self._tell("dbgsom_run_failed", run=run, error=error)

    def _get_ready(self) -> None:
        try:
            self._observer = self._make()
        except BaseException:  # the first event tries again, and tells
            return
        try:
            call(self._observer, "prepare", {})
        except BaseException as error:
            self._report("prepare", error)

    def _report(self, method: str, error: BaseException) -> None:
        told = f"{self.__name__} failed in {method} ({type(error).__name__}: {error})"
        _log.warning("%s; the run goes on", masked(told))

    def _tell(self, hook: str, **event: Any) -> Any:
        if self._given_up:
            return None
        try:
            return self._aside.do(lambda: self._listen(hook, event))
        except GivenUpError as error:
            self._given_up = True
            raise GivenUpError(f"{error}; it is told nothing more") from None

    def _listen(self, hook: str, event: dict[str, Any]) -> Any:
        if self._observer is None:
            try:
                self._observer = self._make()
            except BaseException:
                self._given_up = True
                raise
        return call(self._observer, hook, event)


def leave(code: int) -> None:
    """End the process, without waiting for work that was given up."""
    if _open:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
