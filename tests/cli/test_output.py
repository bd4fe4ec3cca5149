"""What a command prints beside its answer: JSON lines, warnings, progress, pipes, redaction."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from rich.console import Console
from rich.progress import Progress

from dbgsom_core.cli import cli
from dbgsom_core.cli.console import (
    JsonLines,
    redacted_terminal,
    say,
    show_warnings,
    unescaped,
)
from dbgsom_core.cli.run import TextDisplay
from dbgsom_core.cli.show import print_table
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.privacy import register
from dbgsom_core.runs.folder import find_runs

pytestmark = pytest.mark.one_version

RUN = """\
experiment: printed
dataset: iris
model: {epochs: 3, max_neurons: 9}
measures: quantization_error
figures: null
tracking: null
"""
DBGSOM = [sys.executable, "-m", "dbgsom_core.cli"]


@pytest.fixture(autouse=True)
def warnings_as_before(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def events(text):
    return [json.loads(line) for line in text.splitlines()]


# ------------------------------------------------------------------------------------ JSON lines


def test_a_run_is_reported_in_json_lines(dbgsom, write, tmp_path):
    file = write("run.yaml", RUN + "tags: {stage: try}\n")
    answer = dbgsom("run", file, "--log-json", "--name", "one", "--tag", "who.is=me")
    assert answer.code == 0
    assert "run folder:" in answer.out
    told = [event for event in events(answer.err) if event["event"] != "compiling"]
    phases = [event for event in told if event["event"] == "phase"]
    found = [event for event in told if event["event"] != "phase"]
    assert [event["message"] for event in phases] == ["measuring", "writing", "logging"]
    assert told.index(phases[0]) == 4  # after the last epoch
    assert [event["event"] for event in found] == ["run_started", *3 * ["epoch"], "run_finished"]
    (stored,) = find_runs(tmp_path / "runs", "printed")
    assert {event["run"] for event in told} == {stored.id}
    assert found[0]["name"] == stored.name == "one"
    assert found[0]["tags"] == stored.tags == stored.config["tags"]
    assert stored.tags == {"stage": "try", "who.is": "me"}
    assert [event["epoch"] for event in found[1:4]] == [1, 2, 3]
    assert found[1]["epochs"] == 3
    assert found[1]["quantization_error"] > found[3]["quantization_error"] > 0
    assert found[-1]["measures"] == stored.measures
    for event in found:
        assert event["level"] == "info"
        assert datetime.fromisoformat(event["time"]).utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (RUN.replace("iris", "iriss"), [], "did you mean 'iris'?"),
        (RUN + "split: {test_size: 0.99}\n", [], "lower split.test_size"),
        (RUN, ["--tag", "nothing"], "'nothing' is not written KEY=VALUE"),
    ],
)
def test_an_error_is_one_object(text, arguments, message, dbgsom, write):
    answer = dbgsom("run", write("run.yaml", text), "--log-json", *arguments)
    (event,) = events(answer.err)
    assert answer.code == event["exit_code"] == 2
    assert event["level"] == event["event"] == "error"
    assert message in event["message"]


def test_whatever_is_printed_becomes_lines_of_json(capsys, monkeypatch):
    lines = JsonLines(sys.stderr)
    monkeypatch.setattr(sys, "stderr", lines)
    show_warnings()
    print("half", end="", file=sys.stderr)
    print(" a line", file=sys.stderr)
    print("two\nlines", file=sys.stderr)
    for _ in range(2):  # the same warning is printed once
        logging.getLogger("dbgsom.x").warning("a \x1b[31m warning")
    warnings.showwarning(UserWarning("of Python"), UserWarning, "a.py", 1)
    lines.event("info", "epoch", error=float("nan"), list=[float("inf"), 1.5])
    *printed, last = events(capsys.readouterr().err)
    messages = ["half a line", "two", "lines", r"a \x1b[31m warning", "of Python"]
    assert [event["message"] for event in printed] == messages
    assert (printed[3]["level"], printed[3]["logger"]) == ("warning", "dbgsom.x")
    assert (last["error"], last["list"]) == (None, [None, 1.5])


# ------------------------------------------------------------------------------ text, names, tags


def test_quiet_prints_nothing_and_verbose_each_epoch(dbgsom, write):
    file = write("run.yaml", RUN)
    assert dbgsom("run", file, "-q").err == ""
    assert dbgsom("run", file, "-v").err.count("epoch ") >= 3


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("mlflow.user=me", "not starting with 'mlflow.'"),
        ("a{b=1", "'a{b' is no key of a tag"),
        ("=1", "is not written KEY=VALUE"),
    ],
)
def test_a_tag_that_mlflow_would_refuse_is_refused(tag, message, dbgsom, write, tmp_path):
    answer = dbgsom("run", write("run.yaml", RUN), "--tag", tag)
    assert answer.code == 2
    assert message in answer.err
    assert not (tmp_path / "runs").exists()


def test_a_sweep_passes_its_tags_on_to_its_runs(dbgsom, write, tmp_path):
    file = write("sweep.yaml", RUN + "sweep: {grid: {seed: [1, 2]}}\n")
    assert dbgsom("sweep", file, "-q", "--name", "both", "--tag", "a=b").code == 0
    stored = find_runs(tmp_path / "runs", "printed")
    assert [run.name for run in stored if run.kind == "sweep"] == ["both"]
    assert [run.tags for run in stored] == 3 * [{"a": "b"}]


# ----------------------------------------------------------------------------- pipes, full disks


@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        (["--help"], "stdout"),
        (["config", "show", "run.yaml"], "stdout"),
        (["run", "run.yaml"], "stdout"),
        (["validate", "gone.yaml"], "stderr"),
    ],
)
def test_a_closed_pipe_ends_a_command_silently(arguments, closed, write, tmp_path):
    write("run.yaml", RUN)
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {closed: writing}
    try:
        done = subprocess.run([*DBGSOM, *arguments], cwd=tmp_path, text=True, **streams)
    finally:
        os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert not done.stdout
    assert "Error" not in (done.stderr or "")
    assert "Exception" not in (done.stderr or "")
    if arguments[0] == "run":  # it is complete all the same
        (stored,) = find_runs(tmp_path / "runs", "printed")
        assert stored.status == "finished"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_behind_standard_output_is_reported(write, tmp_path):
    write("run.yaml", RUN)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*DBGSOM, "config", "show", "run.yaml"], cwd=tmp_path, stdout=full,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


STEERING = "red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"
AS_TEXT = r"red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=[Terminal, io.StringIO], ids=["terminal", "pipe"])
def screen(request, monkeypatch):
    """What a border is drawn around: call it within the test, as pytest has streams of its own."""

    def screen():
        streams = request.param(), request.param()
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        return streams

    return screen


@pytest.fixture
def a_command_that(monkeypatch, dbgsom):
    def call(does):
        monkeypatch.setitem(cli.commands, "odd", click.Command("odd", callback=does))
        return dbgsom("odd")

    return call


def test_a_command_prints_control_characters_as_text(a_command_that):
    def odd():
        click.echo(STEERING)
        print(STEERING, file=sys.stderr)
        print("two\nlines\tand tabs, äöü 日本 🙂")

    answer = a_command_that(odd)
    assert answer.out == f"{AS_TEXT}\ntwo\nlines\tand tabs, äöü 日本 🙂\n"
    assert answer.err == f"{AS_TEXT}\n"


@pytest.mark.parametrize("debug", ["", "1"])
@pytest.mark.parametrize("kind", [RuntimeError, click.ClickException])
def test_errors_and_tracebacks_are_text(kind, debug, a_command_that, monkeypatch):
    monkeypatch.setenv("DBGSOM_DEBUG", debug)

    def odd():
        raise kind(STEERING)

    answer = a_command_that(odd)
    assert AS_TEXT in answer.err
    assert "\x1b" not in answer.err


def test_bars_may_go_back_to_the_start_of_their_line(screen):
    _, err = screen()
    with redacted_terminal():
        sys.stderr.write("\r 10 %")
        sys.stderr.write("\r 20 %\r")
        sys.stderr.write("\r")
    assert err.getvalue() == "\r 10 %\r 20 %\r\r"


def test_rich_keeps_its_colours_and_hides_what_the_environment_held(screen, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    streams = screen()
    terminal = isinstance(streams[0], Terminal)
    with redacted_terminal():
        register({}, "hunter22", "${env:TOKEN}")
        Console(highlight=False).print("[bold]hunter22[/bold]")
        with Progress(console=Console(file=unescaped(sys.stderr))) as bar:
            bar.add_task("busy")
            bar.update(bar.task_ids[0], completed=100)
    out, err = (stream.getvalue() for stream in streams)
    assert "\\x1b" not in out + err
    assert ("\x1b[1m" in out, "\x1b[" in err) == (terminal, terminal)
    assert "busy" in err
    assert "${env:TOKEN}" in out
    assert "hunter22" not in out


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "0.9 \\xb1 0.1 in K\\xf6ln: 391 \\xd7 11, QE \\u2193, \\u6f22"),
        ("cp1252", "0.9 ± 0.1 in Köln: 391 × 11, QE \\u2193, \\u6f22"),
        ("utf-8", "0.9 ± 0.1 in Köln: 391 × 11, QE ↓, 漢"),
    ],
)
@pytest.mark.parametrize("printer", ["print", "click", "rich"])
def test_a_pipe_of_few_characters_gets_text_in_those(monkeypatch, encoding, shown, printer):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    text = "0.9 ± 0.1 in Köln: 391 × 11, QE ↓, 漢"
    with redacted_terminal():
        if printer == "rich":
            Console(highlight=False).print(text)
        else:
            (click.echo if printer == "click" else print)(text)
    streams[0].flush()
    assert streams[0].buffer.getvalue().decode(encoding) == shown + "\n"


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def terminal(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdout", Terminal())
        return sys.stdout

    return terminal


NUMBERS = ["0.93 ± 0.01", "95 % CI", "0.1 to -0.3", "5 of 8", "p = 0.04", "p < 0.001"]


@pytest.mark.parametrize("width", [24, 31, 40, 63, 80])
def test_prose_wraps_between_words_and_within_no_number(width, terminal):
    screen = terminal(width)
    text = " and ".join(f"a longer word, {number}," for number in NUMBERS * 2)
    say(text)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(lines) == text
    assert sum(line.count(number) for line in lines for number in NUMBERS) == 2 * len(NUMBERS)


def test_prose_on_a_pipe_is_a_line(capsys):
    say("one sentence " * 30)
    assert capsys.readouterr().out == "one sentence " * 30 + "\n"


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_a_table_breaks_no_number(width, terminal):
    screen = terminal(width)
    names = ["variant", "accuracy ↑", "quantization_error ↓", "topographic_error ↓"]
    row = ["kernel=gaussian, spreading_factor=0.5", "0.930 ± 0.010", "0.3969 ± 0.0023", "0.5"]
    print_table(names, [row])
    shown = re.sub(r"\x1b\[\d*m", "", screen.getvalue())
    assert all(number in shown for number in row[1:])
    assert "spreading_factor=0.5" in shown
    assert max(map(len, shown.splitlines())) <= max(width, 67)
    assert ("quantization_error ↓" in shown) == (width == 120)


def record(epoch, seconds):
    return EpochRecord(epoch, 10, "growing", 1.0, 4, (), 0.5, 0.1, seconds)


def make_run(name="a"):
    data = {"samples": 9, "features": 2}
    return SimpleNamespace(kind="run", name=name, id=name, data=data, total_epochs=10)


@pytest.fixture(autouse=True)
def every_epoch_is_printed(monkeypatch):
    monkeypatch.setattr("dbgsom_core.cli.run._SECONDS_BETWEEN_LINES", 0.0)


@pytest.fixture
def bar_screen():
    return io.StringIO()


@pytest.fixture
def bar(bar_screen):
    return Progress(console=Console(file=bar_screen, width=80), auto_refresh=False)


def test_the_bar_says_what_goes_on(bar):
    display, run = TextDisplay(1, bar), make_run()
    run.parent = None

    def left():
        (task,) = bar.tasks
        return task.fields["left"]

    display.reads("a.csv")
    assert left() == "reading a.csv"
    display.dbgsom_run_started(run)
    display.dbgsom_run_phase(run, "fold 2 of 5")
    assert left() == "fold 2 of 5"
    display.dbgsom_epoch_finished(run, record(9, seconds=0.001))
    assert left() == "ETA 1 s"
    display.dbgsom_epoch_finished(run, record(10, seconds=3.0))
    assert left() == ""
    display.dbgsom_run_phase(run, "drawing")
    assert left() == "drawing"
    display.dbgsom_run_finished(run, SimpleNamespace(history=[record(10, seconds=3.0)]))
    assert left() == "logging"
    display.clear()
    assert bar.tasks == []


@pytest.mark.parametrize("display", ["lines", "bar"])
def test_the_time_left_is_shown(display, capsys, bar):
    shown, run = TextDisplay(1, None if display == "lines" else bar), make_run()
    shown.dbgsom_run_started(run)
    shown.dbgsom_epoch_finished(run, record(2, seconds=3.0))
    printed = capsys.readouterr().err if display == "lines" else bar.tasks[0].fields["left"]
    assert printed.strip().endswith("ETA 12 s")


def test_a_run_that_ends_early_leaves_a_line_and_no_bar(bar, bar_screen):
    display, run = TextDisplay(1, bar), make_run()
    for end in (lambda: display.dbgsom_run_failed(run, KeyboardInterrupt()), display.clear):
        display.dbgsom_run_started(run)
        display.dbgsom_epoch_finished(run, record(3, seconds=1.0))
        end()
        assert bar.tasks == []
        assert bar_screen.getvalue().splitlines()[-1].startswith("epoch 3/10 ")
        assert bar_screen.getvalue().endswith("  stopped in 1.00 s\n")
    display.dbgsom_run_started(run)
    display.clear()  # before the first epoch there is nothing to print
    assert (bar.tasks, bar_screen.getvalue().splitlines()[-1][:2]) == ([], "a:")
