"""What a person sees while a run trains: the time left does not include compilation."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

import dbgsom_core.engine.compile  # noqa: F401 - reports what numba compiles
from dbgsom_core.cli.run import TextDisplay
from dbgsom_core.engine.compile_clock import CompileClock
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
def test_the_time_left_leaves_out_compilation(display, capsys, bar):
    clock, run = CompileClock(), make_run()
    clock.seconds = 100.0  # before this run
    shown = TextDisplay(1, clock, None if display == "lines" else bar)

    def left():
        if display == "lines":
            return capsys.readouterr().err.rpartition("ETA ")[2].strip()
        return bar.tasks[0].fields["left"].removeprefix("ETA ")

    shown.dbgsom_run_started(run)
    clock.seconds = 120.0
    shown.dbgsom_epoch_finished(run, record(1, seconds=21.0))
    assert left() == "9 s"  # 1 s an epoch
    shown.dbgsom_epoch_finished(run, record(2, seconds=23.0))
    assert left() == "12 s"  # 3 s for two
    clock.seconds = 125.0
    shown.dbgsom_run_started(run)
    clock.seconds = 130.0  # before training began: not subtracted from it
    shown.dbgsom_epoch_finished(run, record(1, seconds=2.0))
    shown.dbgsom_epoch_finished(run, record(2, seconds=4.0))
    if display == "lines":
        assert left() == "8 s"


def test_a_run_that_ends_early_leaves_a_line_and_no_bar(bar, screen):
    display, run = TextDisplay(1, CompileClock(), bar), make_run()
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
