"""A process that runs children of a sweep, one after the other, as its parent hands them over.

It hears from its parent on standard input (the level of logging, then bytes that hold a `Task`,
`Stop`, and None when there is no more to do) and answers on what was standard output (pairs of a
word and what it tells). What anybody prints goes to standard error, which the parent shows. Signals
of the terminal are the parent's to heed: it passes them on. When the parent is gone, so is standard
input, and the process ends as if it had been asked to.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from dbgsom_core.config import Experiment
from dbgsom_core.engine.compiling import CompileClock, compile_clock
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.privacy import hiding, private_logger
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.callbacks import Callbacks
from dbgsom_core.plugins.importing import no_exit
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.data import load_data, same_data
from dbgsom_core.runs.figures import warnings_as_notes
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.signals import SIGNALS, shutdown

# The path comes first, so that what is imported is what the parent would import.
BOOTSTRAP = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from dbgsom_core.runs.sweeps.worker import main; main()"
)
_SECONDS_BETWEEN_EPOCHS = 0.05
_HEEDED = ("SIGTERM", "SIGXCPU")
UNHEEDED = tuple(number for number in SIGNALS if number.name not in _HEEDED)

Send = Callable[[str, Any], None]


@dataclass(frozen=True)
class Task:
    """One child of a sweep: what to run, under which name, and what there is of it already."""

    name: str
    experiment: Experiment
    parent: Run
    varies: dict[str, Any]
    stored: StoredRun | None


@dataclass(frozen=True)
class Stop:
    """End at once, as by this signal; ``why`` is told where the signal alone would not tell it."""

    signal: int
    why: str = ""


def main() -> None:
    """Run what the parent hands over until it has no more."""
    for number in UNHEEDED:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # they were held back while this was imported
        signal.pthread_sigmask(signal.SIG_UNBLOCK, UNHEEDED)
    stdin: Any = sys.stdin
    parent = stdin.detach()  # else Python would want it at the end, while a thread reads it
    sys.stdin = None  # nobody else asks here
    send = _sending()
    _log_to(send, pickle.load(parent))
    _die_first()
    tasks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    code = 0
    try:
        with (
            no_exit(),
            shutdown.handling(),
            compile_clock(lambda told: send("compiles", told)) as clock,
        ):
            threading.Thread(target=_hear, args=(parent, tasks), daemon=True).start()
            _Worker(send, clock).run(tasks)
    except KeyboardInterrupt:
        code = 128 + (shutdown.signal or signal.SIGINT)
    sys.exit(code)


class _Worker:
    def __init__(self, send: Send, clock: CompileClock) -> None:
        self._send, self._clock = send, clock
        self._registry = get_registry()
        self._observers: Callbacks | None = None
        self._loaded: tuple[Experiment, Data, list[str]] | None = None

    def run(self, tasks: queue.SimpleQueue[bytes | None]) -> None:
        while (content := tasks.get()) is not None:
            try:
                task: Task = pickle.loads(content)
            except Exception as error:
                told = f"its parts cannot be read in another process ({error}): sweep with -j 1"
                self._send("failed", DbgsomError(told))
            else:
                with hiding(task.experiment.secrets):
                    self._run(task)

    def _run(self, task: Task) -> None:
        experiment = task.experiment
        registry = self._registry.without(experiment.disabled)
        if self._observers is None:  # trackers do not vary within a sweep
            relay = [_Relay(self._send, self._clock)]
            self._observers = make_callbacks(experiment.tracking, registry, relay)
        try:
            data, notes = self._data(experiment)
            done = run_experiment(
                experiment,
                self._observers,
                registry,
                data=data,
                data_notes=notes,
                parent=task.parent,
                name=task.name,
                varies=task.varies,
                stored=task.stored,
            )
        except Exception as error:
            shutdown.check()  # it may have failed of that
            self._send("failed", portable(error))
        else:
            told = tuple(self._observers.notes)
            self._send("finished", (done.run, dict(done.result.measures), told))

    def _data(self, experiment: Experiment) -> tuple[Data, list[str]]:
        """Return the data of an experiment, and what was noted when it was loaded."""
        if self._loaded is None or not same_data(experiment, self._loaded[0]):
            notes: list[str] = []
            with warnings_as_notes(notes):
                self._loaded = experiment, load_data(experiment), notes
        return self._loaded[1:]


class _Relay:
    """Tells the parent of what is to be shown."""

    def __init__(self, send: Send, clock: CompileClock) -> None:
        self._send, self._clock = send, clock
        self._told, self._compiled = 0.0, 0.0
        self._last: EpochRecord | None = None

    def dbgsom_run_started(self, run: Run) -> None:
        """Say which run began, and where."""
        self._told, self._compiled, self._last = 0.0, self._clock.seconds, None
        self._send("started", run)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Pass some epochs on, with the seconds that nothing was compiled in."""
        compiled = self._clock.seconds - self._compiled
        self._last = replace(
            epoch, seconds=max(epoch.seconds - compiled, 0.0), births=(), changes=()
        )
        if time.monotonic() - self._told >= _SECONDS_BETWEEN_EPOCHS:
            self._send("epoch", self._last)
            self._told = time.monotonic()

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Pass on how the training ended."""
        history = () if self._last is None else (self._last,)
        self._send("ended", RunResult(dict(result.measures), history))


def portable(error: Exception) -> DbgsomError:
    """Return an error that another process can read, of the same exit code."""
    if not isinstance(error, DbgsomError):
        return DbgsomError(f"{type(error).__name__}: {error}")
    kind = type(error) if type(error).__module__ == DbgsomError.__module__ else DbgsomError
    return kind(str(error))


def _die_first() -> None:
    """Let Linux, when memory runs out, end this process before that of the sweep."""
    score = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        score.write_text(str(min(int(score.read_text()) + 300, 1000)))


def _sending() -> Send:
    """Return what answers the parent; what others print goes to standard error from now on."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(word: str, told: Any) -> None:
        content = pickle.dumps((word, told))
        with lock, suppress(OSError):  # nobody reads any more
            answers.write(content)
            answers.flush()

    return send


def _hear(parent: BinaryIO, tasks: queue.SimpleQueue[bytes | None]) -> None:
    """Pass on what the parent says until it is gone."""
    try:
        while (told := pickle.load(parent)) is not None:
            if isinstance(told, Stop):
                shutdown.forward(told.signal, told.why)
            else:
                tasks.put(told)
        tasks.put(None)
    except Exception:
        shutdown.forward(signal.SIGTERM, "the process of its sweep ended")


class _Handler(logging.Handler):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send("log", (record.name, record.levelno, record.getMessage()))


def _log_to(send: Send, level: int) -> None:
    logger = private_logger("dbgsom")
    logger.addHandler(_Handler(send))
    logger.propagate = False
    logger.setLevel(level)
