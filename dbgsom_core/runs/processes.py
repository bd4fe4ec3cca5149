"""Worker processes for parallel runs of a sweep.

Each process has its own pipe, for tasks, events to display and results: if it dies, only its task
fails. When the sweep's process dies, the workers end as after a signal.
"""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import connection, resource_tracker
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.engine.runtime import MOST_THREADS, available_threads, compile_clock
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.callbacks import Callbacks, call
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import ended_by_term, make_callbacks, mirror_ended
from dbgsom_core.runs.data import load_data, same_data
from dbgsom_core.runs.folder import read_run
from dbgsom_core.runs.pipeline import Task, run_task
from dbgsom_core.runs.results import warnings_as_notes
from dbgsom_core.runs.stored_runs import clean_up_finished, mark_killed

_SPAWN = multiprocessing.get_context("spawn")
_SECONDS_BETWEEN_EPOCHS = 0.05
_SECONDS_TO_IMPORT = 1.0  # by the first run of a process: statistics, figures
_STARTS = 2  # times that a process must have to do at least what its start takes
_SECONDS_BETWEEN_CHECKS = 0.5  # in which Windows would not hear of Ctrl-C
_SECONDS_TO_REPORT = 120.0  # for trackers of a child that is asked to end
# Signals of the terminal reach all of its processes; that of the sweep ends the others by TERM.
_IGNORED = (signal.SIGINT,)  # the sweep ends its processes itself

Send = Callable[[str, Any], None]


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
    alone until its first epoch, as it compiles the loops; another process is started where the
    others would be busy for twice as long as it takes to start. ``display`` is called by lifecycle
    hooks for the ``runs`` of all processes, and by ``say(text)``.
    """

    def __init__(self, jobs: int, display: object, runs: int) -> None:
        self._display, self._left = display, runs
        threads = max(available_threads() // jobs, 1)
        self._slots = [_Slot(threads) for _ in range(jobs)]
        self._compiled = False
        self._seconds: list[float] = []  # of the runs that have ended
        self._start_seconds = 0.0  # of the first process, until its run began

    @property
    def _busy(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot.task is not None]

    @property
    def free(self) -> bool:
        if not self._compiled:
            return not self._busy
        idle = [slot for slot in self._slots if slot.task is None]
        return any(slot.lives for slot in idle) or bool(idle and self._pays())

    def _pays(self) -> bool:
        """Return whether another process would have much to do, once it has started."""
        living = sum(slot.lives for slot in self._slots)
        known = [slot.expected_seconds for slot in self._busy if slot.run is not None]
        if not self._seconds:  # the first run imports much, too
            known = [seconds - _SECONDS_TO_IMPORT for seconds in known]
        seconds = min([*self._seconds[1:], *known], default=0.0)
        return not living or self._left * seconds / living > _STARTS * self._start_seconds

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def start(self, task: Task) -> None:
        try:
            content = pickle.dumps(task)
        except Exception as error:
            raise DbgsomError(
                f"'{task.name}' cannot be sent to another process ({error}): sweep with -j 1"
            ) from error
        idle = [slot for slot in self._slots if slot.task is None]
        next((slot for slot in idle if slot.lives), idle[0]).start(task, content)
        self._left -= 1
        started = sum(slot.process is not None for slot in self._slots)
        if not self._left and self._seconds and started < len(self._slots):
            alone = started == 1
            enough = "one process is" if alone else f"{started} of {len(self._slots)} processes are"
            text = f"{enough} enough: a run takes {min(self._seconds):.1f} s, and another process "
            text += f"{self._start_seconds:.0f} s to start{'; -j 1 costs less' if alone else ''}"
            show(self._display, "say", text=text)

    def wait(self) -> ChildResult | None:
        """Wait for the next event, and return how a child ended if it was that."""
        slots = {slot.pipe: slot for slot in self._busy}
        for pipe in connection.wait(list(slots), _SECONDS_BETWEEN_CHECKS):
            slot = slots[pipe]
            assert slot.task is not None
            try:
                event, content = slot.pipe.recv()
            except (EOFError, OSError):
                event, content = "died", None
                slot.process.join()  # else it would seem to live for the next task
                if slot.run is None and slot.is_used:  # it died between two runs
                    slot.start(slot.task, slot.content)
                    continue
            if event not in ("done", "failed", "died"):
                self._show(slot, event, content)
                continue
            task, run, self._compiled, slot.is_used = slot.task, slot.run, True, True
            if event == "done":
                self._seconds.append(time.monotonic() - slot.begun)
            slot.task = slot.run = None
            if event == "done":
                run, measures, notes = content
                return ChildResult(task, run, RunResult(measures, notes=notes))
            stored = None if run is None or event == "failed" else mark_killed(read_run(run.folder))
            if stored is not None and stored.status == "finished":  # only trackers were left
                clean_up_finished(stored, task.experiment.tracking)
                return ChildResult(task, run, RunResult(stored.measures))
            if stored is not None:
                mirror_ended(stored, task.experiment.tracking)
            error = content or DbgsomError(slot.death_reason())
            if run is not None:
                show(self._display, "dbgsom_run_failed", run=run, error=error)
            return ChildResult(task, run, error=error)
        return None

    def _show(self, slot: _Slot, event: str, content: Any) -> None:
        if event == "log":
            name, level, text = content
            logging.getLogger(name).log(level, "%s", text)
        elif event == "printed":
            with suppress(OSError):  # nobody reads any more
                print(content, file=sys.stderr, flush=True)
        elif event == "compiles":
            show(self._display, "say", text=content)
        elif event == "started":
            slot.run, slot.begun = content, time.monotonic()
            self._start_seconds = self._start_seconds or slot.begun - slot.started
            show(self._display, "dbgsom_run_started", run=slot.run)
        elif event == "phase":
            show(self._display, "dbgsom_run_phase", run=slot.run, phase=content)
        elif event == "epoch":
            self._compiled, slot.epoch = True, content
            slot.first = slot.first or content
            show(self._display, "dbgsom_epoch_finished", run=slot.run, epoch=content)
        else:
            show(self._display, "dbgsom_run_finished", run=slot.run, result=content)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self._display = None  # it has been told of the end of the sweep
        running = {slot: slot.run for slot in self._busy}
        try:
            for slot in running:
                slot.process.terminate()
            until = time.monotonic() + _SECONDS_TO_REPORT
            while self._busy and time.monotonic() < until:
                self.wait()
        finally:
            for slot in self._slots:
                slot.close()
            for run in filter(None, running.values()):
                mark_killed(read_run(run.folder))


class _Slot:
    """A process that is started with the first task, and anew where it has died."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.process: Any = None
        self.pipe: Any = None
        self.task: Task | None = None
        self.content = b""  # of the task, for its process
        self.is_used = False  # the process has done a task already
        self.run: Run | None = None
        self.started = 0.0  # when the process did
        self.begun = 0.0  # when its run did
        self.first: EpochRecord | None = None  # epoch that was sent of its run
        self.epoch: EpochRecord | None = None  # the last one

    @property
    def lives(self) -> bool:
        return self.process is not None and bool(self.process.is_alive())

    @property
    def expected_seconds(self) -> float:
        """How long the run that goes on takes at least."""
        fit, first, last = 0.0, self.first, self.epoch
        if first is not None and last is not None and last.epoch > first.epoch:
            # The first epochs have to load the compiled loops.
            seconds = (last.seconds - first.seconds) / (last.epoch - first.epoch)
            fit = first.seconds + seconds * (last.epochs - first.epoch)
        return max(time.monotonic() - self.begun, fit)

    def start(self, task: Task, content: bytes) -> None:
        self.run = self.first = self.epoch = None
        if not self.lives:
            self.task, self.is_used, self.started = None, False, time.monotonic()
            self.close()
            self.pipe, child_end = _SPAWN.Pipe()
            level = logging.getLogger("dbgsom").getEffectiveLevel()
            arguments = (child_end, self._threads, level)
            self.process = _SPAWN.Process(target=_work, args=arguments)
            with _starting_process():
                self.process.start()
            child_end.close()
        self.task, self.content = task, content
        with suppress(OSError):  # it has died already, which `wait` finds
            self.pipe.send_bytes(content)

    def death_reason(self) -> str:
        self.process.join()
        pid, code = self.process.pid, self.process.exitcode
        if code >= 0:
            return f"its process {pid} ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"its process {pid} was ended by {name}{memory}"

    def close(self) -> None:
        if self.process is None:
            return
        self.pipe.close()
        if self.task is not None:
            self.process.kill()
        self.process.join()


@contextmanager
def _starting_process() -> Iterator[None]:
    """Start a process that does not import the caller's script, and that no signal ends early.

    A process inherits which signals are held back until it ignores them; those of this process come
    afterwards.
    """
    main = sys.modules["__main__"]
    resource_tracker.ensure_running()  # which would let signals through
    masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED) if masks else set()
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def show(display: object, method: str, **event: Any) -> None:
    """Call a method of the display, if it has it; what it raises ends no sweep."""
    with suppress(Exception):
        call(display, method, event)


def _work(pipe: Any, threads: int, level: int) -> None:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
    os.environ[MOST_THREADS] = str(threads)
    lock = threading.Lock()

    def send(event: str, content: Any) -> None:
        with lock, suppress(OSError):  # the sweep is gone
            pipe.send((event, content))

    os.dup2(2, 1)  # what libraries print is no result of the sweep
    sys.stdout = sys.stderr = _Lines(send)
    logger = logging.getLogger("dbgsom")
    logger.addHandler(_LogSender(send))
    logger.propagate = False
    logger.setLevel(level)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = _Worker(send)
    while True:
        try:
            content = pipe.recv_bytes()
        except (EOFError, OSError):  # the sweep has ended
            return
        try:
            with ended_by_term():
                done = worker.run(content)
        except (KeyboardInterrupt, SystemExit) as error:
            send("failed", DbgsomError(str(error)))
        except Exception as error:
            send("failed", portable_error(error))
        else:
            send("done", done)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


class _Worker:
    """Runs children and sends to the sweep what is to be shown; keeps the data of the last one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._callbacks: Callbacks | None = None
        self._loaded: tuple[Experiment, Data, list[str]] | None = None
        self._sent = 0.0
        self._last: EpochRecord | None = None

    def run(self, content: bytes) -> tuple[Run, dict[str, float], tuple[str, ...]]:
        try:
            task: Task = pickle.loads(content)
        except Exception as error:
            raise DbgsomError(
                f"its components cannot be read in another process ({error}): sweep with -j 1"
            ) from None
        experiment = task.experiment
        registry = get_registry().without(experiment.disabled)
        if self._callbacks is None:  # trackers do not vary within a sweep
            self._callbacks = make_callbacks(experiment.tracking, registry, [self])
        with compile_clock(partial(self._send, "compiles")):
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
        self._sent, self._last = 0.0, None
        self._send("started", run)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        self._last = replace(epoch, births=(), changes=())
        if time.monotonic() - self._sent >= _SECONDS_BETWEEN_EPOCHS:
            self._send("epoch", self._last)
            self._sent = time.monotonic()

    def dbgsom_run_phase(self, phase: str) -> None:
        self._send("phase", phase)

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        history = () if self._last is None else (self._last,)
        self._send("finished", RunResult(dict(result.measures), history))


def portable_error(error: Exception) -> DbgsomError:
    """Return an error that another process can read, of the same exit code."""
    if not isinstance(error, DbgsomError):
        return DbgsomError(f"{type(error).__name__}: {error}")
    kind = type(error) if type(error).__module__ == DbgsomError.__module__ else DbgsomError
    return kind(str(error))


class _Lines(io.TextIOBase):
    """A text stream whose lines the sweep prints."""

    def __init__(self, send: Send) -> None:
        self._send, self._begun = send, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._send("printed", line.rstrip("\r"))
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return the descriptor of standard error, for what writes there itself."""
        return 2


class _LogSender(logging.Handler):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send("log", (record.name, record.levelno, record.getMessage()))
