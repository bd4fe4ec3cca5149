"""What is logged beside a program: in order, waited for where that is asked, and at its end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from dbgsom_plugins.trackers.mlflow_background import Background
from dbgsom_plugins.trackers.mlflow_quiet import calm

_PROGRAM = """
import time
from concurrent.futures import ThreadPoolExecutor
from dbgsom_plugins.trackers.mlflow_background import background

def send():
    time.sleep(0.05)
    with ThreadPoolExecutor(1) as pool:  # as MLflow sends files
        print(pool.submit(lambda: "sent").result())

background.do(send)
print("ended")
"""


@pytest.fixture(scope="module")
def background() -> Background:
    return Background()


@pytest.fixture
def gate(background: Background) -> Iterator[threading.Event]:
    """What all work waits behind until it is set."""
    found = threading.Event()
    background.do(lambda: [found.wait(10)])
    yield found
    found.set()
    background.wait()


def test_work_is_done_in_order_and_a_run_is_waited_for_alone(
    background: Background, gate: threading.Event
) -> None:
    done: list[str] = []
    for run in ("a", "b"):
        background.do(lambda run=run: done.append(run), run)
    background.wait("c")  # of which nothing is left
    assert done == []
    gate.set()
    background.wait("b")
    assert done == ["a", "b"]


def test_a_warning_that_is_to_be_an_error_is_raised_where_somebody_waits(
    background: Background,
) -> None:
    def warn() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.warn("lost", stacklevel=1)

    background.do(warn)
    with pytest.raises(UserWarning, match="lost"):
        background.wait()
    background.wait()  # once


def test_work_waits_for_itself_no_more_than_a_moment(background: Background) -> None:
    background.do(lambda: background.wait("a"), "a")
    background.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_nothing_left_and_may_log(
    background: Background, gate: threading.Event
) -> None:
    begun, held = threading.Event(), threading.Lock()
    gate.set()

    def work() -> None:
        with held:  # as a lock of MLflow
            begun.set()
            threading.Event().wait(0.05)

    background.do(work)
    begun.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads, of which this is about
        child = os.fork()
    if not child:
        done: list[bool] = []
        background.do(lambda: done.append(held.acquire(timeout=1)))
        background.wait()
        os._exit(0 if done == [True] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_left_is_done_when_the_program_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout.split(), done.stderr) == (["ended", "sent"], "")


def test_what_it_leaves_out_is_of_mlflow_and_no_warning_of_the_program() -> None:
    told = "\x1b[93mUnion type hint is inferred as AnyType, and MLflow doesn't validate the data"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # In a thread of its own, as there: what is logged in this one stays unheard from then on.
        worker = threading.Thread(target=calm, args=(lambda: None,))
        worker.start()
        worker.join()
        warnings.warn_explicit(told, UserWarning, "a.py", 1, module="mlflow.types.type_hints")
        with pytest.raises(UserWarning, match="Union type hint"):
            warnings.warn_explicit(told, UserWarning, "a.py", 1, module="theirs")
        with pytest.raises(UserWarning, match="is wrong"):
            warnings.warn("this type hint is wrong", stacklevel=1)
