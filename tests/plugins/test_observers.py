"""Observers: one that raises stops nothing, but for the one that keeps the run."""

import pytest

from dbgsom_core.interfaces.privacy import masked, without_passwords
from dbgsom_core.plugins.observers import Observers


class Tripping:
    def dbgsom_run_started(self, run):
        raise RuntimeError("tripped")


class Hearing:
    def __init__(self):
        self.heard = []

    def dbgsom_run_started(self, run):
        self.heard.append(run)


def test_an_observer_that_raises_is_reported_and_the_next_is_told(caplog):
    hearing = Hearing()
    observers = Observers([Tripping(), hearing])
    for run in ("r", "s"):
        observers.tell("dbgsom_run_started", run=run)
    assert hearing.heard == ["r", "s"]
    told = "observer Tripping failed in dbgsom_run_started (RuntimeError: tripped)"
    assert observers.notes == [told]
    assert "tripped" in caplog.text


def test_the_vital_observer_ends_the_run():
    vital = Tripping()
    with pytest.raises(RuntimeError, match="tripped"):
        Observers([vital, Hearing()], vital=vital).tell("dbgsom_run_started", run="r")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@host/x", "http://***@host/x"),
        ("http://user:p@ss@host:9", "http://***@host:9"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_passwords_are_masked_whole(text, shown):
    assert without_passwords(text) == shown
    assert masked({"a": [{"uri": text}], "n": 3}) == {"a": [{"uri": shown}], "n": 3}
