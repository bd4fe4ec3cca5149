"""What a command prints beside its answer: warnings, progress, tables, pipes."""

import io
import json
import os
import re
import subprocess
import sys
import warnings
from types import SimpleNamespace

import click
import pytest

from dbgsom_core.cli import cli
from dbgsom_core.cli.console import echo, progress_bar
from dbgsom_core.cli.run import Display
from dbgsom_core.cli.show import print_table
from dbgsom_core.interfaces.epochs import EpochRecord
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
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def events(text):
    return [json.loads(line) for line in text.splitlines()]


# ------------------------------------------------------------------------------ text, names, tags


def test_quiet_prints_nothing_and_verbose_each_epoch(dbgsom, write):
    file = write("run.yaml", RUN)
    assert dbgsom("run", file, "-q").err == ""
    assert dbgsom("run", file, "-v").err.count("epoch ") >= 3


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("a{b=1", "tags.a{b: String should match"),
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


# ----------------------------------------------------------------------------- pipes, characters


@pytest.mark.parametrize("arguments", [["config", "show", "run.yaml"], ["run", "run.yaml"]])
def test_a_closed_pipe_ends_a_command_silently(arguments, write, tmp_path):
    write("run.yaml", RUN)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*DBGSOM, *arguments], cwd=tmp_path, text=True, stdout=writing, stderr=subprocess.PIPE
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr
    if arguments[0] == "run":  # it is complete all the same
        (stored,) = find_runs(tmp_path / "runs", "printed")
        assert stored.status == "finished"


STEERING = "red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"
AS_TEXT = r"red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def a_command_that(monkeypatch, dbgsom):
    def call(does):
        monkeypatch.setitem(cli.commands, "odd", click.Command("odd", callback=does))
        return dbgsom("odd")

    return call


def test_a_command_prints_control_characters_as_text(capsys):
    echo(STEERING)
    echo(STEERING, err=True)
    echo("two\nlines\tand tabs, äöü 日本 🙂")
    printed = capsys.readouterr()
    assert printed.out == f"{AS_TEXT}\ntwo\nlines\tand tabs, äöü 日本 🙂\n"
    assert printed.err == f"{AS_TEXT}\n"


@pytest.mark.parametrize("kind", [RuntimeError, click.ClickException])
def test_errors_are_text(kind, a_command_that):
    def odd():
        raise kind(STEERING)

    answer = a_command_that(odd)
    assert AS_TEXT in answer.err
    assert "\x1b" not in answer.err


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("cp1252", "Köln \\u6f22"), ("utf-8", "Köln 漢")],
)
def test_a_pipe_of_few_characters_gets_text_in_those(tmp_path, encoding, shown):
    (tmp_path / "run.yaml").write_text(RUN + "name: Köln 漢\n", encoding="utf-8")
    done = subprocess.run(
        [*DBGSOM, "config", "show", "run.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
    )
    assert f"name: {shown}" in done.stdout.decode(encoding)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def terminal(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdout", Terminal())
        return sys.stdout

    return terminal


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_breaks_no_number(width, terminal):
    screen = terminal(width)
    names = ["variant", "accuracy ↑", "quantization_error ↓", "topographic_error ↓"]
    row = ["kernel=gaussian, spreading_factor=0.5", "0.930 ± 0.010", "0.3969 ± 0.0023", "0.5"]
    print_table(names, [row])
    shown = re.sub(r"\x1b\[\d*m", "", screen.getvalue())
    assert all(number in shown for number in row[1:])
    assert "spreading_factor=0.5" in shown
    assert max(map(len, shown.splitlines())) <= width


def record(epoch, seconds):
    return EpochRecord(epoch, 10, "growing", 1.0, 4, (), 0.5, 0.1, seconds)


def make_run():
    data = {"samples": 9, "features": 2}
    return SimpleNamespace(kind="run", name="a", parent=None, data=data, total_epochs=10)


@pytest.fixture(autouse=True)
def every_epoch_is_printed(monkeypatch):
    monkeypatch.setattr("dbgsom_core.cli.run._SECONDS_BETWEEN_LINES", 0.0)


def test_the_bar_says_what_goes_on():
    shown, run = {}, make_run()
    display = Display(1, shown.update)

    def now():
        return shown["now"], shown["completed"], shown["total"]

    display.dbgsom_run_started(run)
    display.dbgsom_run_phase(run, "fold 2 of 5")
    assert now() == ("fold 2 of 5", 0, 10)
    display.dbgsom_epoch_finished(run, record(9, seconds=0.001))
    assert now() == ("epoch 9/10 4 neurons", 9, 10)
    display.dbgsom_run_phase(run, "drawing")
    assert now() == ("drawing", 9, 10)
    display.dbgsom_run_finished(run, SimpleNamespace(history=[]))
    assert now()[0] == ""


@pytest.mark.parametrize("stream", ["pipe", "terminal"])
def test_a_run_that_ends_early_leaves_a_line(stream, capsys, monkeypatch):
    screen = Terminal()
    if stream == "terminal":
        monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar(True) as update:
        display, run = Display(1, update), make_run()
        display.dbgsom_run_started(run)
        display.dbgsom_epoch_finished(run, record(3, seconds=1.0))
        display.dbgsom_run_failed(run, KeyboardInterrupt())
    printed = screen.getvalue() + capsys.readouterr().err
    first, last = "a: 9 × 2 samples\n", "  stopped in 1.00 s\n"
    assert first in printed
    assert last in printed
    if stream == "pipe":
        assert printed.startswith(first)
        assert printed.endswith(last)
