"""Processes that run children of a sweep beside each other.

Each slot is a pool of one process, so that a process that dies takes only its own child with it. A
pipe beside it carries what a child has to show, and to it the signal that ends it. When the process
of the sweep is gone, so is the other end of the pipe, and the child ends as if it were asked to.
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
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import connection, resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.engine.compiling import CompileClock, compile_clock
from dbgsom_core.engine.workers import MOST_THREADS, available_threads
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.plugins.callbacks import Callbacks, call
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks, mirror_ended
from dbgsom_core.runs.data import load_data, same_data
from dbgsom_core.runs.figures import warnings_as_notes
from dbgsom_core.runs.find import mark_killed
from dbgsom_core.runs.folder import StoredRun, read_run
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.resume import finish_off
from dbgsom_core.runs.signals import SIGNALS, shutdown

log = private_logger("dbgsom")

_SPAWN = multiprocessing.get_context("spawn")
_SECONDS_BETWEEN_EPOCHS = 0.05
_SECONDS_BETWEEN_CHECKS = 0.5  # in which Windows would not hear of Ctrl-C
_SECONDS_TO_REPORT = 120.0  # for trackers of a child that is asked to end
# Signals of the terminal reach all of its processes: the process of the sweep passes them on.
_IGNORED = tuple(number for number in SIGNALS if number.name not in ("SIGTERM", "SIGXCPU"))

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
class Ended:
    """How a child ended: its run and measures, or the error of one that failed."""

    task: Task
    run: Run | None = None
    result: RunResult | None = None
    error: BaseException | None = None


# --------------------------------------------------------------------- in the sweep's process


class Processes:
    """Slots that each run one child of a sweep at a time; leaving the context ends them all.

    The processors are divided between them, unless the configuration says how many threads to use.
    The first child trains alone until its first epoch: it compiles what all need. ``display`` hears
    of the runs of all processes by the lifecycle hooks, and of sentences by ``say(told)``.
    """

    def __init__(self, jobs: int, display: object) -> None:
        self._display = display
        threads = max(available_threads() // jobs, 1)
        self._wake, self._woken = _SPAWN.Pipe(duplex=False)
        self._slots = [_Slot(threads, self._woken) for _ in range(jobs)]
        self._compiles = self._compiled = False
        self._warned: set[str] = set()

    @property
    def _busy(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot.task is not None]

    @property
    def free(self) -> bool:
        """Whether a child can be started."""
        busy = len(self._busy)
        return busy < len(self._slots) and (self._compiled or not busy)

    @property
    def busy(self) -> bool:
        """Whether there is a child to wait for."""
        return bool(self._busy)

    def start(self, task: Task) -> None:
        """Give a child to a free slot.

        Raises
        ------
        DbgsomError
            Its components cannot be sent to another process.
        """
        try:
            content = pickle.dumps(task)
        except Exception as error:
            raise DbgsomError(
                f"'{task.name}' cannot be sent to another process ({error}): sweep with -j 1"
            ) from error
        next(slot for slot in self._slots if slot.task is None).start(task, content)

    def wait(self) -> Ended | None:
        """Wait for the next event, and return how a child ended if it was that."""
        pipes = {slot.pipe: slot for slot in self._busy if not slot.closed}
        for ready in connection.wait([self._wake, *pipes], _SECONDS_BETWEEN_CHECKS):
            if ready is self._wake:
                self._wake.recv()
            else:
                self._show_events(pipes[ready])  # type: ignore[index]
        for slot in self._busy:
            if slot.future is not None and slot.future.done():
                self._show_events(slot)  # what it sent before it ended
                self._compiled = True
                return self._ended(slot, slot.future)
        return None

    def _show_events(self, slot: _Slot) -> None:
        for event, content in slot.events():
            if event == "log":
                self._log(*content)
            elif event == "printed":
                with suppress(OSError):  # nobody reads any more
                    print(content, file=sys.stderr, flush=True)
            elif event == "compiles":
                if not self._compiles:  # others say the same
                    show(self._display, "say", told=content)
                self._compiles = True
            elif event == "ready":
                slot.is_ready = True
            elif event == "started":
                slot.run = content
                show(self._display, "dbgsom_run_started", run=slot.run)
            elif event == "epoch":
                self._compiled = True
                show(self._display, "dbgsom_epoch_finished", run=slot.run, epoch=content)
            else:
                show(self._display, "dbgsom_run_finished", run=slot.run, result=content)

    def _log(self, name: str, level: int, text: str) -> None:
        """Log what a process logs; warnings that all have are logged once."""
        if level < logging.WARNING or text not in self._warned:
            self._warned.add(text)
            logging.getLogger(name).log(level, "%s", text)

    def _ended(self, slot: _Slot, future: Future[Any]) -> Ended:
        assert slot.task is not None
        task, run = slot.task, slot.run
        slot.task = slot.run = slot.future = None
        error = future.exception()
        if error is None:
            run, measures, notes = future.result()
            return Ended(task, run, RunResult(measures, notes=notes))
        if isinstance(error, BrokenProcessPool):
            code = slot.exit_code()
            stored = None if run is None else mark_killed(read_run(run.folder))
            if stored is not None and stored.status == "finished":  # only trackers were left
                finish_off(stored, task.experiment.tracking)
                return Ended(task, run, RunResult(stored.measures))
            if stored is not None:
                mirror_ended(stored, task.experiment.tracking)
            error = DbgsomError(how_it_ended(slot.pid, code))
        if run is not None:
            show(self._display, "dbgsom_run_failed", run=run, error=error)
        return Ended(task, run, error=error)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all processes, those with a child as the signal or the error has it."""
        self._display = None  # it has been told of the end of the sweep
        try:
            number = shutdown.signal or signal.SIGTERM
            for slot in self._busy:
                self._show_events(slot)
                slot.stop(number, "" if shutdown.signal else str(error))
            until = time.monotonic() + _SECONDS_TO_REPORT
            while any(not slot.is_done for slot in self._busy) and time.monotonic() < until:
                for slot in self._busy:
                    self._show_events(slot)
                time.sleep(0.02)
            for slot in self._busy:
                self._show_events(slot)
        finally:
            with shutdown.deferred():
                for slot in self._slots:
                    slot.close()
                for slot in self._busy:
                    if slot.run is not None:
                        mark_killed(read_run(slot.run.folder))
                self._wake.close()
                self._woken.close()


class _Slot:
    """A pool of one process, which is started with the first task and anew where it has died."""

    def __init__(self, threads: int, woken: connection.Connection) -> None:
        self._threads, self._woken = threads, woken
        self._pool: ProcessPoolExecutor | None = None
        self._process: Any = None
        self.task: Task | None = None
        self.run: Run | None = None
        self.future: Future[Any] | None = None
        self.closed = self.is_ready = False

    def start(self, task: Task, content: bytes) -> None:
        """Run a child."""
        if self._pool is not None and not self._process.is_alive():
            self.close()
            self._pool = None
        if self._pool is None:
            self.pipe, child_end = _SPAWN.Pipe()
            self.closed = self.is_ready = False
            begin = (child_end, self._threads, log.getEffectiveLevel())
            self._pool = ProcessPoolExecutor(1, _SPAWN, _begin, begin)
            before = set(multiprocessing.active_children())
            with _starting_process():
                self.future = self._pool.submit(_run_task, content)
            self._process = (set(multiprocessing.active_children()) - before).pop()
            child_end.close()
        else:
            self.future = self._pool.submit(_run_task, content)
        self.task = task
        self.future.add_done_callback(lambda _: self._notify())

    def _notify(self) -> None:
        with suppress(OSError):  # the sweep has ended
            self._woken.send(None)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return int(self._process.pid)

    @property
    def is_done(self) -> bool:
        """Whether its child has ended."""
        return self.future is None or self.future.done()

    def events(self) -> Iterator[tuple[str, Any]]:
        """Yield what its process has sent."""
        while not self.closed:
            try:
                if not self.pipe.poll():
                    return
                event = self.pipe.recv()
            except (EOFError, OSError):
                self.closed = True
                return
            yield event

    def stop(self, number: int, reason: str) -> None:
        """End its child as by a signal, or a process that is still being started.

        ``reason`` replaces the sentence of the signal.
        """
        if not self.is_ready:
            self._process.kill()
            return
        with suppress(OSError):
            self.pipe.send((number, reason))

    def exit_code(self) -> int:
        """Return the exit code of its process that died."""
        self._process.join()
        return int(self._process.exitcode)

    def close(self) -> None:
        """End its process, at once where a child is still running."""
        if self._pool is None:
            return
        if not self.is_done:
            self._process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._process.join()
        self.pipe.close()
        self.closed = True


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


def how_it_ended(pid: int, code: int) -> str:
    """Return how a process ended that should not have, from its exit code."""
    if code >= 0:
        return f"its process {pid} ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process {pid} was ended by {name}{memory}"


# ------------------------------------------------------------------------- in a child's process

_running = threading.Lock()  # held while a child runs
_worker: _Worker


def _begin(pipe: connection.Connection, threads: int, level: int) -> None:
    """Prepare a new process for its tasks."""
    global _worker
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
    os.environ[MOST_THREADS] = str(threads)
    with suppress(OSError, ValueError):  # where memory runs out, Linux ends this process first
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(int(score.read_text()) + 300, 1000)))
    lock = threading.Lock()

    def send(event: str, content: Any) -> None:
        with lock, suppress(OSError):  # the sweep is gone
            pipe.send((event, content))

    os.dup2(2, 1)  # what libraries print is no result of the sweep
    sys.stdout = sys.stderr = _Lines(send)
    _log_to(send, level)
    _worker = _Worker(send)
    threading.Thread(target=_heed, args=(pipe,), daemon=True).start()
    send("ready", None)


def _heed(pipe: connection.Connection) -> None:
    """End the child as the sweep asks, and the process when that of the sweep is gone."""
    try:
        while True:
            shutdown.forward(*pipe.recv())
    except (EOFError, OSError):
        if not _running.acquire(blocking=False):
            shutdown.forward(signal.SIGTERM, "the process of its sweep ended")
            _running.acquire()
        os._exit(1)


def _run_task(content: bytes) -> tuple[Run, dict[str, float], tuple[str, ...]]:
    """Run a child; return its run, measures and notes."""
    try:
        task: Task = pickle.loads(content)
    except Exception as error:
        raise DbgsomError(
            f"its components cannot be read in another process ({error}): sweep with -j 1"
        ) from None
    with _running, shutdown.handling():
        try:
            return _worker.run(task)
        except Exception as error:
            shutdown.check()  # it may have failed of that
            raise portable_error(error) from None


class _Worker:
    """Runs children and sends to the sweep what is to be shown; keeps the data of the last one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._callbacks: Callbacks | None = None
        self._loaded: tuple[Experiment, Data, list[str]] | None = None
        self._clock: CompileClock | None = None
        self._sent, self._compiled = 0.0, 0.0
        self._last: EpochRecord | None = None

    def run(self, task: Task) -> tuple[Run, dict[str, float], tuple[str, ...]]:
        """Run a child."""
        experiment = task.experiment
        registry = get_registry().without(experiment.disabled)
        if self._callbacks is None:  # trackers do not vary within a sweep
            self._callbacks = make_callbacks(experiment.tracking, registry, [self])
        with compile_clock(partial(self._send, "compiles")) as self._clock:
            data, notes = self.load(experiment)
            done = run_experiment(
                experiment,
                self._callbacks,
                registry,
                data=data,
                data_notes=notes,
                parent=task.parent,
                name=task.name,
                varies=task.varies,
                stored=task.stored,
            )
        return done.run, dict(done.result.measures), tuple(self._callbacks.notes)

    def load(self, experiment: Experiment) -> tuple[Data, list[str]]:
        """Return the data of an experiment, and what was noted when it was loaded."""
        if self._loaded is None or not same_data(experiment, self._loaded[0]):
            notes: list[str] = []
            with warnings_as_notes(notes):
                self._loaded = experiment, load_data(experiment), notes
        return self._loaded[1:]

    def dbgsom_run_started(self, run: Run) -> None:
        """Send which run began, and where."""
        assert self._clock is not None
        self._sent, self._compiled, self._last = 0.0, self._clock.seconds, None
        self._send("started", run)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Send some epochs, with the seconds that nothing was compiled in."""
        assert self._clock is not None
        seconds = max(epoch.seconds - (self._clock.seconds - self._compiled), 0.0)
        self._last = replace(epoch, seconds=seconds, births=(), changes=())
        if time.monotonic() - self._sent >= _SECONDS_BETWEEN_EPOCHS:
            self._send("epoch", self._last)
            self._sent = time.monotonic()

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Send how the training ended."""
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
        """Send whole lines."""
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


def _log_to(send: Send, level: int) -> None:
    logger = private_logger("dbgsom")
    logger.addHandler(_LogSender(send))
    logger.propagate = False
    logger.setLevel(level)
