"""Worker processes for parallel runs of a sweep: if one dies, only its run fails."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import types
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbgsom_core.config import Experiment
from dbgsom_core.engine.runtime import MOST_THREADS, available_threads
from dbgsom_core.errors import DbgsomError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.pipeline import DataCache, run_experiment
from dbgsom_core.runs.session import ended_by_term, make_callbacks

_SPAWN = multiprocessing.get_context("spawn")
_SECONDS = 0.5  # to wait for a run without a break

log = logging.getLogger("dbgsom")


class WorkerDiedError(DbgsomError):
    """The process of a run was ended from outside."""


class Workers:
    """Pools of one process each, for one run of a sweep at a time; a context manager.

    The processors are divided between them, unless threads are configured. Runs end as after
    SIGTERM when the other end of a pipe is closed: where the block is left by an exception, or the
    process of the sweep dies.
    """

    def __init__(self, jobs: int) -> None:
        self._threads = max(available_threads() // jobs, 1)
        self._reader, self._writer = _SPAWN.Pipe(duplex=False)
        self._idle: list[ProcessPoolExecutor | None] = [None] * jobs  # None: not started yet
        self._started: list[ProcessPoolExecutor] = []

    def run(self, tasks: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, Any]]:
        """Run tasks, names and arguments of `run_experiment`, and yield how each ended.

        That is the folder of a run and notes of its trackers, or an exception.
        """
        left = iter(tasks)
        running: dict[Future[Any], tuple[str, ProcessPoolExecutor]] = {}
        while True:
            while self._idle and (task := next(left, None)) is not None:
                pool, content = self._idle.pop() or self._start(), _pickled(*task)
                try:
                    future = pool.submit(_run, content)
                except BrokenProcessPool:  # its process was ended while it had nothing to do
                    pool = self._start()
                    future = pool.submit(_run, content)
                running[future] = task[0], pool
            if not running:
                return
            done, _ = wait(running, _SECONDS, FIRST_COMPLETED)  # signals come through in between
            for future in done:
                name, pool = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    self._idle.append(None)
                    text = "its process was ended from outside, as when memory runs out"
                    yield name, WorkerDiedError(text)
                else:
                    self._idle.append(pool)
                    yield name, error or future.result()

    def _start(self) -> ProcessPoolExecutor:
        arguments = (self._reader, self._threads, log.getEffectiveLevel())
        pool = ProcessPoolExecutor(1, _SPAWN, _start_worker, arguments)
        self._started.append(pool)
        with _without_script():
            pool.submit(os.getpid)
        return pool

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is not None:
            self._writer.close()  # which ends the runs
        for pool in self._started:
            pool.shutdown()
        self._writer.close()
        self._reader.close()


@contextmanager
def _without_script() -> Iterator[None]:
    """Start a process that does not import the caller's script, which then needs no guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _pickled(name: str, task: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps(task)
    except Exception as error:
        raise DbgsomError(
            f"'{name}' cannot be sent to another process ({error}): sweep with -j 1"
        ) from error


# ------------------------------------------------------------------------- in the worker process


_is_over = threading.Event()  # the sweep has ended, or its process is gone
_cache = DataCache()


def _start_worker(reader: Any, threads: int, level: int) -> None:
    """Set up a worker process, which ends with the sweep."""
    log.setLevel(level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the sweep, which ends the others
    os.environ[MOST_THREADS] = str(threads)
    os.dup2(2, 1)  # what libraries print is no result of the sweep
    sys.stdout = sys.stderr
    threading.Thread(target=_end_with_sweep, args=[reader], daemon=True).start()


def _end_with_sweep(reader: Any) -> None:
    reader.poll(None)  # nothing is ever sent
    _is_over.set()
    os.kill(os.getpid(), signal.SIGTERM)


def _run(content: bytes) -> tuple[Path, Sequence[str]]:
    try:
        with ended_by_term():
            return _run_child(**pickle.loads(content))
    except BaseException as error:  # also SystemExit, of code that is not ours
        raise portable_error(error) from None
    finally:
        if _is_over.is_set():  # the pool would wait for another task
            os._exit(1)


def _run_child(experiment: Experiment, **task: Any) -> tuple[Path, Sequence[str]]:
    registry = get_registry().without(experiment.disabled)
    callbacks = make_callbacks(experiment.tracking, registry)
    with callbacks.prepared():
        result = run_experiment(experiment, callbacks, registry, cache=_cache, **task)
    assert result.run is not None
    return result.run.folder, callbacks.notes


def portable_error(error: BaseException) -> DbgsomError:
    """Return an error that another process can read, of the same exit code."""
    if not isinstance(error, DbgsomError):
        return DbgsomError(f"{type(error).__name__}: {error}")
    kind = type(error) if type(error).__module__ == DbgsomError.__module__ else DbgsomError
    return kind(str(error))
