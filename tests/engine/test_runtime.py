"""Tasks shared by threads: each once, errors are the caller's, forks do not mix; BLAS."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from threadpoolctl import threadpool_info

from dbgsom_core.engine.runtime import one_blas_thread, share


@pytest.mark.parametrize("worker_that_fails", [0, 1])
def test_an_error_of_any_worker_reaches_the_caller_after_all_have_stopped(worker_that_fails):
    meet, finished = threading.Barrier(2, timeout=30), []

    def work(worker, task):
        meet.wait()
        if worker == worker_that_fails:
            raise KeyError(task)
        finished.append(task)

    with pytest.raises(KeyError):
        share(2, 2, work)
    assert len(finished) == 1
    share(2, 2, lambda worker, task: finished.append(task))  # nobody is lost
    assert len(finished) == 3


def test_a_task_may_share_tasks_of_its_own():
    done = []

    def work(worker, task):
        share(2, 3, lambda inner, part: done.append((task, part)))

    caller = threading.Thread(target=share, args=(2, 4, work), daemon=True)
    caller.start()
    caller.join(30)  # it waited for ever for a thread that waited for it
    assert sorted(done) == [(task, part) for task in range(4) for part in range(3)]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_helpers_of_its_own():
    meet = threading.Barrier(2, timeout=30)
    share(2, 2, lambda worker, task: meet.wait())
    child = os.fork()
    if child == 0:
        share(2, 2, lambda worker, task: meet.wait())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


INTERRUPTED = """
import signal, time
from dbgsom_core.engine.runtime import share

def hear(number, frame):
    while frame is not None:
        if frame.f_code is share.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back

share(2, 4, lambda worker, task: None)
signal.signal(signal.SIGALRM, hear)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
times, until = 0, time.monotonic() + 1.5
while times < 50 or time.monotonic() < until:
    try:
        share(2, 4, lambda worker, task: None)
    except KeyboardInterrupt:
        times += 1
signal.setitimer(signal.ITIMER_REAL, 0)
done = []
share(2, 50, lambda worker, task: done.append(task))
assert sorted(done) == list(range(50)), done
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
def test_whatever_an_interrupt_breaks_tasks_are_done_and_the_process_ends():
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stderr=subprocess.PIPE) as process:
        try:
            _, told = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, told


def test_blas_keeps_one_thread_while_another_fit_ends():
    def threads():
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    before = threads()
    first, second = one_blas_thread(), one_blas_thread()  # as two threads of Python meet
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(threads()) <= {1}
    second.__exit__(None, None, None)
    assert threads() == before
