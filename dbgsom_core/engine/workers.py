"""Threads that share numbered tasks; the compiled loops that they run release the GIL."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache

MOST_THREADS = "DBGSOM_THREADS"  # so that processes beside each other share the processors


def share(threads: int, tasks: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(worker, task)`` once for each of ``tasks`` tasks; the caller is worker 0.

    A worker takes the next task when it is done with one. An exception of any task is raised, and
    no task is begun after it.
    """
    helpers = 0 if _within.alone else min(threads, tasks) - 1
    if helpers <= 0:
        for task in range(tasks):
            work(0, task)
        return
    left = itertools.count()

    def run(worker: int) -> None:
        nonlocal left
        try:
            while (task := next(left)) < tasks:  # next() is atomic
                work(worker, task)
        except BaseException:
            left = itertools.count(tasks)
            raise

    futures = [_pool(threads).submit(run, worker + 1) for worker in range(helpers)]
    try:
        run(0)
    finally:
        # No task is left for who has not begun: within a task of the same pool it never would.
        begun = [future for future in futures if not future.cancel()]
        wait(begun)
    for future in begun:
        future.result()


class _Within(threading.local):
    alone = False


_within = _Within()


@contextmanager
def alone() -> Iterator[None]:
    """Let this thread do within a ``with`` block itself what it would share."""
    before, _within.alone = _within.alone, True
    try:
        yield
    finally:
        _within.alone = before


def available_threads() -> int:
    """Return how many threads this process may run at once, at most ``DBGSOM_THREADS`` of them."""
    most = os.environ.get(MOST_THREADS, "")
    # macOS and Windows know no affinity.
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(may, int(most)) if most.isdecimal() and int(most) else may


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="dbgsom")


if hasattr(os, "register_at_fork"):  # a forked child has the pool's object but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
