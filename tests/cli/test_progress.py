"""What a person sees while a run trains."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from dbgsom_core.cli.run import TextDisplay
from dbgsom_core.interfaces.epochs import EpochRecord


def record(epoch, seconds):
    return EpochRecord(epoch, 10, "growing", 1.0, 4, (), 0.5, 0.1, seconds)


def make_run(name="a"):
    data = {"samples": 9, "features": 2}
    return SimpleNamespace(kind="run", name=name, id=name, data=data, total_epochs=10)


@pytest.fixture(autouse=True)
def every_epoch_is_printed(monkeypatch):
    monkeypatch.setattr("dbgsom_core.cli.run._SECONDS_BETWEEN_LINES", 0.0)


@pytest.fixture
def screen():
    return io.StringIO()


@pytest.fixture
def bar(screen):
    return Progress(console=Console(file=screen, width=80), auto_refresh=False)


@pytest.mark.parametrize("display", ["lines", "bar"])
def test_the_time_left_is_shown(display, capsys, bar):
    shown, run = TextDisplay(1, None if display == "lines" else bar), make_run()
    shown.dbgsom_run_started(run)
    shown.dbgsom_epoch_finished(run, record(2, seconds=3.0))
    printed = capsys.readouterr().err if display == "lines" else bar.tasks[0].fields["left"]
    assert printed.strip().endswith("ETA 12 s")


def test_a_run_that_ends_early_leaves_a_line_and_no_bar(bar, screen):
    display, run = TextDisplay(1, bar), make_run()
    for end in (lambda: display.dbgsom_run_failed(run, KeyboardInterrupt()), display.clear):
        display.dbgsom_run_started(run)
        display.dbgsom_epoch_finished(run, record(3, seconds=1.0))
        end()
        assert bar.tasks == []
        assert screen.getvalue().splitlines()[-1].startswith("epoch 3/10 ")
        assert screen.getvalue().endswith("  stopped in 1.00 s\n")
    display.dbgsom_run_started(run)
    display.clear()  # before the first epoch there is nothing to print
    assert (bar.tasks, screen.getvalue().splitlines()[-1][:2]) == ([], "a:")
