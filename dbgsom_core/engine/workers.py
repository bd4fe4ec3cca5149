"""Threads that share numbered tasks; the compiled loops that they run release the GIL."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import lru_cache
from queue import SimpleQueue

MOST_THREADS = "DBGSOM_THREADS"  # so that processes beside each other share the processors


def share(threads: int, tasks: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(worker, task)`` once for each of ``tasks`` tasks; the caller is worker 0.

    A worker takes the next task when it is done with one. An exception of any task is raised, and
    no task is begun after it.
    """
    helpers = min(threads, tasks) - 1
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

    futures: list[Future[None]] = []
    try:
        for worker in range(1, helpers + 1):
            futures.append(Future())
            _pool(threads).do(futures[-1], run, worker)
        run(0)
    except BaseException:  # also one that came before the first task
        left = itertools.count(tasks)
        raise
    finally:
        # No task is left for who has not begun: within a task of the same pool it never would.
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


_Job = tuple[Future[None], Callable[[int], None], int]


class _Pool:
    """Threads that do jobs, begun as these come, which no end of the process waits for.

    An interrupt of `concurrent.futures.ThreadPoolExecutor` may leave a lock of its own closed, on
    which its threads wait for ever, and the end of the process for them. Here there is none: a
    queue is in one piece, and what else an interrupt breaks is of one job, or of one thread.
    """

    def __init__(self, most: int) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._most = most

    def do(self, future: Future[None], job: Callable[[int], None], worker: int) -> None:
        """Have ``job(worker)`` done."""
        self._jobs.put((future, job, worker))
        if len(self._threads) < self._most:
            name = f"dbgsom_{len(self._threads)}"
            thread = threading.Thread(target=_serve, args=(self._jobs,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def __del__(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)


def _serve(jobs: SimpleQueue[_Job | None]) -> None:
    while (task := jobs.get()) is not None:
        future, job, worker = task
        if future.set_running_or_notify_cancel():
            try:
                job(worker)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)
        del task, future, job  # they may hold much


@lru_cache(maxsize=4)
def _pool(threads: int) -> _Pool:
    return _Pool(max(threads - 1, 1))


if hasattr(os, "register_at_fork"):  # a forked child has the pool's object but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
