"""Callbacks of a run: one that raises stops nothing, but for the one that keeps the run."""

import pytest

from dbgsom_core.runs.session import Callbacks


class Failing:
    def __init__(self, error):
        self.error = error

    def dbgsom_run_started(self):
        raise self.error

    prepare = close = dbgsom_run_started


class Recording:
    def __init__(self):
        self.calls = []

    def prepare(self):
        self.calls.append("prepare")

    def close(self):
        self.calls.append("close")

    def dbgsom_run_started(self, run):
        self.calls.append(run)


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit("no")])
def test_one_that_raises_is_noted_once_and_the_next_is_called(error, caplog):
    recording = Recording()
    callbacks = Callbacks([Failing(error), recording])
    for run in ("r", "s"):
        callbacks.notify("dbgsom_run_started", run=run)
    assert recording.calls == ["r", "s"]
    note = f"observer Failing failed in dbgsom_run_started ({type(error).__name__}: no)"
    assert callbacks.notes == [note]
    assert caplog.messages == [f"{note}; the run goes on"] * 2


def test_what_the_required_one_raises_is_raised():
    required, other = Failing(RuntimeError("tripped")), Recording()
    with pytest.raises(RuntimeError, match="tripped"):
        Callbacks([required, other], required=required).notify("dbgsom_run_started", run="r")
    assert other.calls == []


def test_trackers_alone_prepare_and_close_though_no_run_began():
    tracker, plugin, broken = Recording(), Recording(), Failing(RuntimeError("no ink"))
    callbacks = Callbacks([plugin])
    callbacks.add_tracker("tracker two", broken)
    callbacks.add_tracker("tracker one", tracker)
    with callbacks.prepared():
        pass
    assert (tracker.calls, plugin.calls) == (["prepare", "close"], [])
    assert callbacks.notes == [
        f"tracker two failed in {method} (RuntimeError: no ink)" for method in ("prepare", "close")
    ]
