"""What a person sees while a run trains: no time that compiling took is foreseen again."""

import io
import time
from types import SimpleNamespace

import numpy as np
from numba import njit
from rich.console import Console
from rich.progress import Progress

import dbgsom_core.engine.compile  # noqa: F401 - tells what numba compiles
from dbgsom_core.cli.progress import BarObserver, LineObserver
from dbgsom_core.engine.compiling import COMPILES, CompileClock, compile_clock
from dbgsom_core.interfaces.epochs import EpochRecord

RUN = SimpleNamespace(kind="run", name="a run", id="1", data={"samples": 9, "features": 2})


def record(epoch, seconds):
    return EpochRecord(epoch, 10, "growing", 1.0, 4, (), 0.5, 0.1, seconds)


def test_the_clock_adds_up_what_numba_compiles_and_tells_once():
    def add_up(X):
        total = 0.0
        for x in X:
            total += x
        return total

    told = []
    started = time.perf_counter()
    with compile_clock(told.append) as clock:
        njit(add_up)(np.ones(3))
        njit(add_up)(np.ones(3, np.float32))
    whole = time.perf_counter() - started
    assert told == [COMPILES]
    assert 0 < clock.seconds < whole
    before = clock.seconds
    njit(add_up)(np.ones(3, int))
    assert clock.seconds == before, "nobody listens any more"


def test_the_time_left_leaves_out_what_compiling_took(monkeypatch, capsys):
    monkeypatch.setattr("dbgsom_core.cli.progress._SECONDS_BETWEEN_LINES", 0.0)
    clock = CompileClock()
    clock.seconds = 100.0  # before this run
    observer = LineObserver(1, clock)
    observer.dbgsom_run_started(RUN)
    clock.seconds = 120.0
    observer.dbgsom_epoch_finished(RUN, record(1, seconds=21.0))
    observer.dbgsom_epoch_finished(RUN, record(2, seconds=23.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].endswith("ETA 9 s")  # 1 s an epoch
    assert lines[2].endswith("ETA 12 s")  # 3 s for two


def test_what_was_compiled_before_training_began_is_not_counted_against_it(monkeypatch, capsys):
    monkeypatch.setattr("dbgsom_core.cli.progress._SECONDS_BETWEEN_LINES", 0.0)
    clock = CompileClock()
    observer = LineObserver(1, clock)
    observer.dbgsom_run_started(RUN)
    clock.seconds = 5.0
    observer.dbgsom_epoch_finished(RUN, record(1, seconds=2.0))
    observer.dbgsom_epoch_finished(RUN, record(2, seconds=4.0))
    assert capsys.readouterr().err.splitlines()[2].endswith("ETA 8 s")


def test_a_bar_foresees_no_compilation_either():
    seen, clock = [], CompileClock()
    bar = SimpleNamespace(
        console=SimpleNamespace(print=lambda *text, **how: None),
        add_task=lambda *given, **fields: 0,
        update=lambda task, **fields: seen.append(fields["left"]),
    )
    observer = BarObserver(bar, 1, clock)
    observer.dbgsom_run_started(SimpleNamespace(total_epochs=10, **vars(RUN)))
    clock.seconds = 20.0
    observer.dbgsom_epoch_finished(RUN, record(1, seconds=21.0))
    assert seen == ["ETA 9 s"]


def test_lines_of_runs_beside_each_other_say_whose_they_are(monkeypatch, capsys):
    monkeypatch.setattr("dbgsom_core.cli.progress._SECONDS_BETWEEN_LINES", 0.0)
    observer = LineObserver(2, CompileClock())
    runs = [SimpleNamespace(**{**vars(RUN), "id": name, "name": name}) for name in "ab"]
    for run in runs:
        observer.dbgsom_run_started(run)
    for run in runs[::-1]:
        observer.dbgsom_epoch_finished(run, record(1, seconds=2.0))
    for run in runs:
        observer.dbgsom_run_finished(run, SimpleNamespace(history=[record(10, seconds=2.0)]))
    observer.say("2/2 done")
    told = [line.split(":")[0].split(" ")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == ["[1/2]", "[2/2]", "[2/2]", "[1/2]", "[1/2]", "[2/2]", "2/2"]


def test_bars_of_runs_that_have_ended_make_room():
    shown, said = {}, []
    bar = SimpleNamespace(
        console=SimpleNamespace(print=lambda text, **how: said.append(text)),
        add_task=lambda number, **fields: shown.setdefault(len(said), number) and len(said),
        update=lambda task, **fields: None,
        remove_task=shown.pop,
    )
    observer = BarObserver(bar, 3, CompileClock())
    runs = [
        SimpleNamespace(total_epochs=10, **{**vars(RUN), "id": name, "name": name})
        for name in "abc"
    ]
    for run in runs:
        observer.dbgsom_run_started(run)
    assert list(shown.values()) == ["1/3 ", "2/3 ", "3/3 "]
    observer.dbgsom_run_finished(runs[1], SimpleNamespace(history=[record(10, seconds=2.0)]))
    observer.dbgsom_run_failed(runs[0], RuntimeError())
    assert list(shown.values()) == ["3/3 "]
    assert said[-1].startswith("2/3 epoch 10/10")


def test_a_run_that_ends_early_leaves_no_bar_but_how_far_it_came():
    screen = io.StringIO()
    bar = Progress(console=Console(file=screen, width=80), auto_refresh=False)
    observer = BarObserver(bar, 1, CompileClock())
    run = SimpleNamespace(**vars(RUN), total_epochs=10)
    for end in (lambda: observer.dbgsom_run_failed(run, KeyboardInterrupt()), observer.clear):
        observer.dbgsom_run_started(run)
        observer.dbgsom_epoch_finished(run, record(3, seconds=1.0))
        end()
        assert bar.tasks == []
        assert screen.getvalue().splitlines()[-1].startswith("epoch 3/10 ")
        assert screen.getvalue().endswith("  stopped\n")
    observer.dbgsom_run_started(run)
    observer.clear()  # before the first epoch there is nothing to tell
    assert (bar.tasks, screen.getvalue().splitlines()[-1]) == ([], "a run")
