"""Work in pieces and threads, the BLAS thread limit, and the clock of compilation of a process."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

MOST_THREADS = "DBGSOM_THREADS"  # limit for processes that share the processors
COMPILES = "compiling loops that are not cached yet: takes about 15 s in all, once"
_PIECE = 8192  # rows: few enough that arrays for them stay in a cache
log = logging.getLogger("dbgsom_core")


def share(threads: int, tasks: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(worker, task)`` once for each of ``tasks`` tasks; the caller is worker 0.

    A worker takes the next task when it has finished one. An exception of any task is raised, and
    no task is started after it.
    """
    # New threads for each call, not of `threading`: an interrupt may leave a lock of a pool or of a
    # Thread held, and other threads, or the end of the process, then wait for ever.
    if threads == 1 or tasks <= 1:
        for task in range(tasks):
            work(0, task)
        return
    remaining = itertools.count()

    def run(worker: int) -> None:
        nonlocal remaining
        try:
            while (task := next(remaining)) < tasks:  # next() is atomic
                work(worker, task)
        except BaseException:
            remaining = itertools.count(tasks)
            raise

    def run_helper(worker: int, future: Future[None]) -> None:
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
            start_new_thread(run_helper, (worker, futures[-1]))
        run(0)
    except BaseException:  # also before the first task
        remaining = itertools.count(tasks)
        raise
    finally:
        started = [future for future in futures if not future.cancel()]
        wait(started)
    for future in started:
        future.result()


def pieces(n: int, size: int = _PIECE) -> list[slice]:
    """Return slices of ``n`` rows, ``size`` at a time or few enough to be read at once."""
    size = max(1, size)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def available_threads() -> int:
    """Return how many threads this process may run at once, at most ``DBGSOM_THREADS`` of them."""
    limit = os.environ.get(MOST_THREADS, "")
    # macOS and Windows have no affinity.
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(allowed, int(limit)) if limit.isdecimal() and int(limit) else allowed


@cache
def available_memory() -> float:
    """Return how many bytes of memory this process may take; infinity where nothing says so.

    Those of the machine, or fewer where a control group (of a container, say) or a limit of the
    process allows no more.
    """
    try:
        machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        machine = float("inf")
    limits = [machine, *_group_limits()]
    with suppress(ImportError):  # Windows
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            most = resource.getrlimit(kind)[0]
            if most != resource.RLIM_INFINITY:
                limits.append(float(most))
    return min(limits)


def _group_limits(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[float]:
    # Yield the limits of the control groups of this process and of those above. Lines are
    # number:kinds:path. A container may see its own group as the root of all.
    try:
        lines = os.fsdecode(groups.read_bytes()).split("\n")  # names may be of any bytes
    except OSError:
        return
    for _, kinds, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if not kinds or "memory" in kinds.split(","):
            name = "memory.limit_in_bytes" if kinds else "memory.max"
            group = root / kinds / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root / kinds):
                    with suppress(OSError, ValueError):  # no such file; "max"
                        yield float((folder / name).read_text())


@cache  # to look through the libraries of a process takes milliseconds
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # slow to import

    return ThreadpoolController().select(user_api="blas")


class _BlasLimit:
    # Open blocks of `one_blas_thread`, and what restores the limit before the first.
    lock = threading.Lock()
    blocks = 0
    limiter: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread within a ``with`` block.

    The limit is the process's: of blocks in several Python threads the first sets it, and the last
    to end restores the limit before. threadpoolctl's own limit would be restored by the first.
    """
    limit = _BlasLimit
    with limit.lock:
        if limit.blocks == 0:
            limit.limiter = _blas().limit(limits=1)
        limit.blocks += 1
    try:
        yield
    finally:
        with limit.lock:
            limit.blocks -= 1
            if limit.blocks == 0:
                limit.limiter.restore_original_limits()


class CompileClock:
    """Total ``seconds`` of compilations; ``tell`` is called once, when the first begins."""

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self.seconds = 0.0
        self._tell = tell
        self._depth = 0  # of nested compilations
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
    """Yield a clock of compilations in the block; ``tell`` gets a message when the first begins."""
    clock = CompileClock(tell)
    clocks.append(clock)
    try:
        yield clock
    finally:
        clocks.remove(clock)
