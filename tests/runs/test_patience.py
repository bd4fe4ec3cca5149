"""Observers and figures that hang or break: they are waited for so long, and told of once."""

import subprocess
import sys
import threading

import pytest

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.privacy import Secrets
from dbgsom_core.plugins.observers import Observers
from dbgsom_core.runs.patience import Aside, GivenUpError, PatientObserver
from dbgsom_core.runs.tracking import expecting_a_run


def test_work_is_done_in_order_and_what_it_raises_is_raised():
    aside = Aside(60)
    assert [aside.do(lambda one=one: one) for one in (1, 2)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        aside.do(lambda: 1 / 0)
    with pytest.raises(DbgsomError, match="it raised SystemExit"):
        aside.do(sys.exit)
    assert aside.do(threading.current_thread) is not threading.current_thread()


def test_a_tracker_that_cannot_be_made_is_told_of_once():
    def broken():
        raise RuntimeError("no ink")

    observer = PatientObserver("broken", broken, 60)
    with pytest.raises(RuntimeError, match="no ink"):
        observer.dbgsom_run_started(None)
    observer.dbgsom_epoch_finished(None, None)


def test_trackers_get_ready_while_nobody_waits_and_put_it_away_though_no_run_began():
    ready, heard = threading.Event(), []

    class Slow:
        def prepare(self):
            heard.append("prepare")
            ready.wait()

        def close(self):
            heard.append("close")

    with expecting_a_run(Observers([PatientObserver("slow", Slow, 60)])):
        ready.set()  # which is not come to where somebody waits
    assert heard == ["prepare", "close"]


def test_a_tracker_that_cannot_get_ready_is_told_of_and_hears_of_the_run_all_the_same(caplog):
    heard = []

    class Broken:
        def prepare(self):
            raise RuntimeError("no ink, said s3cret")

        def dbgsom_run_started(self, run):
            heard.append(run)

    observers, secrets = Observers([PatientObserver("broken", Broken, 60)]), Secrets()
    secrets.add("s3cret", "${env:INK}")
    with expecting_a_run(observers, secrets):
        observers.spread("dbgsom_run_started", run="it")
    assert heard == ["it"]
    assert caplog.messages == [
        "broken failed in prepare (RuntimeError: no ink, said ${env:INK}); the run goes on"
    ]


def test_giving_up_is_an_error_of_ours():
    over = threading.Event()
    try:
        with pytest.raises(GivenUpError, match=r"no answer within 0.05 s"):
            Aside(0.05).do(over.wait)
    finally:
        over.set()


LEAVING = """
import threading, time
from dbgsom_core.runs.patience import Aside, GivenUpError, leave
def hang():
    threading.Thread(target=time.sleep, args=(3600,)).start()
    time.sleep(3600)
try:
    Aside(0.05).do(hang)
except GivenUpError:
    print("given up")
    leave(7)
"""


def test_the_process_does_not_wait_for_what_was_given_up():
    done = subprocess.run(
        [sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (7, "given up\n")
