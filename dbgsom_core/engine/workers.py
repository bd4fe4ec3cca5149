"""Threads that share numbered tasks; the compiled loops that they run release the GIL."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread


def share(threads: int, tasks: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(worker, task)`` once for each of ``tasks`` tasks; the caller is worker 0.

    A worker takes the next task when it is done with one. An exception of any task is raised.
    """
    helpers = min(threads, tasks) - 1
    if helpers <= 0:
        for task in range(tasks):
            work(0, task)
        return
    left = itertools.count()

    def run(worker: int) -> None:
        while (task := next(left)) < tasks:  # next() is atomic
            work(worker, task)

    jobs: list[_Job] = []
    try:
        for helper in range(helpers):
            job = _Job(run, helper + 1)
            if not job.begin():
                break
            jobs.append(job)
        run(0)
    finally:
        errors = [job.wait() for job in jobs]
    for error in errors:
        if error is not None:
            try:
                raise error
            finally:
                del errors, error  # it knows this frame: together they would keep the data


def available_threads() -> int:
    """Return how many threads this process may run at once."""
    return len(os.sched_getaffinity(0))


class _Job:
    """What one helper does, and a lock that it releases when it is done."""

    def __init__(self, run: Callable[[int], None], worker: int) -> None:
        self.run = run
        self.worker = worker
        self.error: BaseException | None = None
        self.done = Lock()
        self.done.acquire()

    def begin(self) -> bool:
        """Give the job to a helper; False where no thread can be started."""
        try:
            helper = _idle.pop()
        except IndexError:
            try:
                helper = _Helper()
            except RuntimeError:
                return False
        helper.start(self)
        return True

    def wait(self) -> BaseException | None:
        """Return what the job raised once it is done."""
        self.done.acquire()
        error, self.error = self.error, None
        return error

    def do(self) -> None:
        try:
            self.run(self.worker)
        except BaseException as error:
            self.error = error


class _Helper:
    """A thread that sleeps until it gets a job.

    Handing a job over takes two locks, half the time that the queue and the future of an executor
    take, which passes over small data feel.
    """

    def __init__(self) -> None:
        self._job: _Job | None = None
        self._wake = Lock()
        self._wake.acquire()
        Thread(target=self._work, name="dbgsom", daemon=True).start()

    def start(self, job: _Job) -> None:
        self._job = job
        self._wake.release()

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            job, self._job = self._job, None
            assert job is not None
            job.do()
            done = job.done
            del job  # asleep it must not hold on to the data
            _idle.append(self)  # first, so that whoever waits finds it idle
            done.release()
            del done


_idle: deque[_Helper] = deque()  # as many as ever worked at once; append and pop are atomic

if hasattr(os, "register_at_fork"):  # a forked child has the helpers' objects but not their threads
    os.register_at_fork(after_in_child=_idle.clear)
