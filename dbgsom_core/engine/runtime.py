"""Threads, BLAS, and the clock of compilation: what all loops of a process share."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

MOST_THREADS = "DBGSOM_THREADS"  # so that processes beside each other share the processors
COMPILES = "compiling loops that are not cached yet: takes about 15 s in all, once"
log = logging.getLogger("dbgsom_core")


def share(threads: int, tasks: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(worker, task)`` once for each of ``tasks`` tasks; the caller is worker 0.

    A worker takes the next task when it is done with one. An exception of any task is raised, and
    no task is begun after it.
    """
    # New threads for each call, and none of `threading`: an interrupt may leave a lock of a pool or
    # of a Thread closed, on which others, and the end of the process, wait for ever.
    left = itertools.count()

    def run(worker: int) -> None:
        nonlocal left
        try:
            while (task := next(left)) < tasks:  # next() is atomic
                work(worker, task)
        except BaseException:
            left = itertools.count(tasks)
            raise

    def help_out(worker: int, future: Future[None]) -> None:
        if future.set_running_or_notify_cancel():
            try:
                run(worker)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    futures: list[Future[None]] = []
    try:
        for worker in range(1, min(threads, tasks)):
            futures.append(Future())
            start_new_thread(help_out, (worker, futures[-1]))
        run(0)
    except BaseException:  # also one that came before the first task
        left = itertools.count(tasks)
        raise
    finally:
        begun = [future for future in futures if not future.cancel()]
        wait(begun)
    for future in begun:
        future.result()


def available_threads() -> int:
    """Return how many threads this process may run at once, at most ``DBGSOM_THREADS`` of them."""
    most = os.environ.get(MOST_THREADS, "")
    # macOS and Windows know no affinity.
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(may, int(most)) if most.isdecimal() and int(most) else may


@lru_cache(maxsize=1)
def _blas_libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController  # slow to import

    class BlasController(ThreadpoolController):  # type: ignore[misc] # it has no types
        # Looks at libraries whose names hint at BLAS alone: a process may have hundreds.
        def _make_controller_from_path(self, filepath: str, *rest: Any) -> None:
            name = filepath.rpartition(os.sep)[2].lower()
            if any(part in name for part in ("blas", "blis", "mkl")):
                super()._make_controller_from_path(filepath, *rest)

    return list(BlasController().select(user_api="blas").lib_controllers)


class _Limit:
    """How many blocks of this process limit BLAS, and what was before the first of them."""

    def __init__(self) -> None:
        self.lock, self.blocks = threading.Lock(), 0
        self.before: list[tuple[Any, int]] = []

    def put_back(self) -> None:
        for library, threads in self.before:
            library.set_num_threads(threads)


_limit = _Limit()


def _start_anew() -> None:
    # In a forked process no block of another thread is open.
    global _limit
    if _limit.blocks:
        _limit.put_back()
    _limit = _Limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread within a ``with`` block.

    The limit is the process's: of blocks in several threads of Python the first sets it, and the
    last to end puts back what was before.
    """
    limit = _limit
    with limit.lock:
        if not limit.blocks:
            limit.before = [(library, library.get_num_threads()) for library in _blas_libraries()]
            for library, _ in limit.before:
                library.set_num_threads(1)
        limit.blocks += 1
    try:
        yield
    finally:
        with limit.lock:
            limit.blocks -= 1
            if not limit.blocks:
                limit.put_back()


class CompileClock:
    """Adds up the ``seconds`` of compilations that have ended; ``tell`` hears when one begins."""

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self.seconds = 0.0
        self._tell = tell
        self._depth = 0  # a loop that calls others may compile them as well
        self._since = 0.0

    def begin(self) -> None:
        if self._depth == 0:
            self._since = time.perf_counter()
        self._depth += 1
        if self._tell is not None:
            self._tell(COMPILES)
            self._tell = None

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._since


clocks = [CompileClock(log.info)]


@contextmanager
def compile_clock(tell: Callable[[str], object] | None = None) -> Iterator[CompileClock]:
    """Yield a clock of what is compiled within; ``tell`` gets a sentence when that begins."""
    clock = CompileClock(tell)
    clocks.append(clock)
    try:
        yield clock
    finally:
        clocks.remove(clock)
