"""Worker processes for parallel runs of a sweep.

Each slot is a pool of one process: if it dies, only its task fails, and the next task starts
another pool. Events to display come through a pipe a slot. When the sweep's process dies, the
workers end as after a signal.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.engine.runtime import MOST_THREADS, available_threads, compile_clock
from dbgsom_core.errors import DbgsomError
from dbgsom_core.experiments.callbacks import Callbacks
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.offers import without_plugins
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import ended_by_term, make_callbacks, mirror_ended
from dbgsom_core.runs.data import load_data, same_data
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.pipeline import Task, run_task
from dbgsom_core.runs.results import warnings_as_notes
from dbgsom_core.runs.stored_runs import clean_up_finished, mark_killed
from dbgsom_core.training.callbacks import call

_SPAWN = multiprocessing.get_context("spawn")
_SECONDS_BETWEEN_EPOCHS = 0.05  # a display draws no more often
_SECONDS_TO_REPORT = 120.0  # for trackers of a child that is asked to end

log = logging.getLogger("dbgsom")


@dataclass(frozen=True)
class ChildResult:
    """Result of a child: its run and measures, or its error."""

    task: Task
    run: Run | None = None
    result: RunResult | None = None
    error: BaseException | None = None


class Processes:
    """Worker slots, each for one child of a sweep at a time; a context manager that ends them.

    The processors are divided between them, unless threads are configured. The first child runs
    alone until its first epoch, as it compiles the loops for all. ``display`` is called by
    lifecycle hooks for the runs of all processes, and by ``say(text)``.
    """

    def __init__(self, jobs: int, display: object) -> None:
        self._display = display
        threads = max(available_threads() // jobs, 1)
        self._slots = [_Slot(threads) for _ in range(jobs)]
        self._compiled = False

    @property
    def busy(self) -> bool:
        return any(slot.task is not None for slot in self._slots)

    @property
    def free(self) -> bool:
        if not self._compiled:
            return not self.busy
        return any(slot.task is None for slot in self._slots)

    def start(self, task: Task) -> None:
        try:
            content = pickle.dumps(task)
        except Exception as error:
            raise DbgsomError(
                f"'{task.name}' cannot be sent to another process ({error}): sweep with -j 1"
            ) from error
        slot = next(slot for slot in self._slots if slot.task is None)
        slot.start(task, content)

    def wait(self) -> ChildResult | None:
        """Show what has happened for a moment, and return how a child ended if one did."""
        busy = [slot for slot in self._slots if slot.task is not None]
        wait([slot.future for slot in busy], timeout=_SECONDS_BETWEEN_EPOCHS)
        for slot in busy:
            is_done = slot.future.done()  # before its last events are read
            for method, event in slot.events():
                self._show(slot, method, event)
            if is_done:
                self._compiled = True
                return self._ended(slot)
        return None

    def _show(self, slot: _Slot, method: str, event: dict[str, Any]) -> None:
        if method == "log":
            logging.getLogger(event["name"]).log(event["level"], "%s", event["text"])
            return
        if method == "dbgsom_run_started":
            slot.run = event["run"]
        self._compiled |= method == "dbgsom_epoch_finished"
        show(self._display, method, **event)

    def _ended(self, slot: _Slot) -> ChildResult:
        assert slot.task is not None
        task, run = slot.task, slot.run
        slot.task = slot.run = None
        try:
            run, measures, notes = slot.future.result()
            return ChildResult(task, run, RunResult(measures, notes=notes))
        except BrokenProcessPool:
            slot.close()
            error = DbgsomError(
                "its process was ended from outside, as the system does when memory runs out"
            )
            if run is not None:
                stored = mark_killed(read_run(run.folder))
                if stored.status == "finished":  # only trackers were left
                    clean_up_finished(stored, task.experiment.tracking)
                    return ChildResult(task, run, RunResult(stored.measures))
                mirror_ended(stored, task.experiment.tracking)
        except DbgsomError as failure:
            error = failure
        if run is not None:
            show(self._display, "dbgsom_run_failed", run=run, error=error)
        return ChildResult(task, run, error=error)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self._display = None  # it has been told of the end of the sweep
        until = time.monotonic() + _SECONDS_TO_REPORT
        running = [slot for slot in self._slots if slot.task is not None]
        for slot in running:
            slot.terminate()
        while self.busy and time.monotonic() < until:
            self.wait()
        for slot in self._slots:
            slot.close()


class _Slot:
    """A process that is started with the first task, and anew where it has died."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None
        self._pipe: Any = None
        self.future: Future[Any] = Future()
        self.task: Task | None = None
        self.run: Run | None = None

    def start(self, task: Task, content: bytes) -> None:
        try:
            self.future = self._submit(content)
        except BrokenProcessPool:  # it died between two tasks
            self.close()
            self.future = self._submit(content)
        self.task = task

    def _submit(self, content: bytes) -> Future[Any]:
        if self._pool is None:
            self._pipe, child_end = _SPAWN.Pipe(duplex=False)
            arguments = (child_end, self._threads, log.getEffectiveLevel())
            self._pool = ProcessPoolExecutor(
                1, mp_context=_SPAWN, initializer=_start_worker, initargs=arguments
            )
            with _without_script():
                self._pid = self._pool.submit(os.getpid)
        return self._pool.submit(_run, content)

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what the process has sent since the last time."""
        with suppress(EOFError, OSError):  # it has died
            while self._pipe.poll():
                yield self._pipe.recv()

    def terminate(self) -> None:
        """Ask the process to end its run as interrupted."""
        assert self._pid is not None
        with suppress(BrokenProcessPool, ProcessLookupError):
            os.kill(self._pid.result(), signal.SIGTERM)

    def close(self) -> None:
        if self._pool is not None:
            if self.task is not None and self._pid is not None:
                with suppress(BrokenProcessPool, ProcessLookupError):
                    os.kill(self._pid.result(), signal.SIGKILL)
            self._pool.shutdown()
            self._pipe.close()
        self._pool = None


@contextmanager
def _without_script() -> Iterator[None]:
    """Start a process that does not import the caller's script, which then needs no guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def show(display: object, method: str, **event: Any) -> None:
    """Call a method of the display, if it has it; what it raises ends no sweep."""
    with suppress(Exception):
        call(display, method, event)


# ------------------------------------------------------------------------- in the worker process


_workers: list[_Worker] = []  # that of this process
_is_orphan = threading.Event()  # the process of the sweep is gone


def _start_worker(pipe: Any, threads: int, level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the sweep, which ends the others
    os.environ[MOST_THREADS] = str(threads)
    os.dup2(2, 1)  # what libraries print is no result of the sweep
    sys.stdout = sys.stderr
    worker = _Worker(pipe)
    _workers.append(worker)
    logger = logging.getLogger("dbgsom")
    logger.addHandler(_LogSender(worker))
    logger.propagate = False
    logger.setLevel(level)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        _is_orphan.set()
        os.kill(os.getpid(), signal.SIGTERM)


def _run(content: bytes) -> tuple[Run, dict[str, float], tuple[str, ...]]:
    try:
        with ended_by_term():
            return _workers[0].run(content)
    except (KeyboardInterrupt, SystemExit) as error:
        raise DbgsomError(str(error)) from None
    except Exception as error:
        raise portable_error(error) from None
    finally:
        if _is_orphan.is_set():  # the pool would wait for another task
            os._exit(1)


class _Worker:
    """Runs children and sends to the sweep what is to be shown; keeps the data of the last one."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self._lock = pipe, threading.Lock()
        self._callbacks: Callbacks | None = None
        self._loaded: tuple[Experiment, Data, list[str]] | None = None
        self._sent = 0.0
        self._run: Run | None = None
        self._last: EpochRecord | None = None

    def send(self, method: str, **event: Any) -> None:
        with self._lock, suppress(OSError):  # the sweep is gone
            self._pipe.send((method, event))

    def run(self, content: bytes) -> tuple[Run, dict[str, float], tuple[str, ...]]:
        try:
            task: Task = pickle.loads(content)
        except Exception as error:
            raise DbgsomError(
                f"its components cannot be read in another process ({error}): sweep with -j 1"
            ) from None
        experiment = task.experiment
        registry = without_plugins(get_registry(), experiment.disabled)
        if self._callbacks is None:  # trackers do not vary within a sweep
            self._callbacks = make_callbacks(experiment.tracking, registry, [self])
        with compile_clock(lambda text: self.send("say", text=text)):
            data, notes = self._load(experiment)
            done = run_task(task, self._callbacks, registry, data, notes)
        return done.run, dict(done.result.measures), tuple(self._callbacks.notes)

    def _load(self, experiment: Experiment) -> tuple[Data, list[str]]:
        if self._loaded is None or not same_data(experiment, self._loaded[0]):
            notes: list[str] = []
            with warnings_as_notes(notes):
                self._loaded = experiment, load_data(experiment), notes
        return self._loaded[1:]

    def dbgsom_run_started(self, run: Run) -> None:
        self._sent, self._run, self._last = 0.0, run, None
        self.send("dbgsom_run_started", run=run)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        self._last = replace(epoch, births=(), changes=())
        if time.monotonic() - self._sent >= _SECONDS_BETWEEN_EPOCHS:
            self.send("dbgsom_epoch_finished", run=self._run, epoch=self._last)
            self._sent = time.monotonic()

    def dbgsom_run_phase(self, phase: str) -> None:
        self.send("dbgsom_run_phase", run=self._run, phase=phase)

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        history = () if self._last is None else (self._last,)
        seen = RunResult(dict(result.measures), history)
        self.send("dbgsom_run_finished", run=self._run, result=seen)


def portable_error(error: Exception) -> DbgsomError:
    """Return an error that another process can read, of the same exit code."""
    if not isinstance(error, DbgsomError):
        return DbgsomError(f"{type(error).__name__}: {error}")
    kind = type(error) if type(error).__module__ == DbgsomError.__module__ else DbgsomError
    return kind(str(error))


class _LogSender(logging.Handler):
    """Handler that lets the sweep log what its workers do."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._worker.send("log", name=record.name, level=record.levelno, text=text)
