"""Threads that share numbered tasks; the compiled loops that they run release the GIL."""

from __future__ import annotations

import itertools
import os
from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import Future, wait

MOST_THREADS = "DBGSOM_THREADS"  # so that processes beside each other share the processors


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
