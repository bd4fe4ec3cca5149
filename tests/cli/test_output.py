"""What a command prints beside its answer: warnings, progress, tables, pipes."""

import os
import subprocess
import sys
import warnings

import pytest

from dbgsom_core.cli.console import echo
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


# ------------------------------------------------------------------------------ text, names, tags


def test_quiet_prints_nothing_and_verbose_each_epoch(dbgsom, write):
    file = write("run.yaml", RUN)
    assert dbgsom("run", file, "-q").err == ""
    assert dbgsom("run", file, "-v").err.count("epoch ") >= 3


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("a{b=1", "tags.a{b"),
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


def test_a_closed_pipe_ends_a_command_silently(write, tmp_path):
    write("run.yaml", RUN)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*DBGSOM, "run", "run.yaml"],
            cwd=tmp_path,
            text=True,
            stdout=writing,
            stderr=subprocess.PIPE,
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr
    (stored,) = find_runs(tmp_path / "runs", "printed")
    assert stored.status == "finished"


STEERING = "red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"
AS_TEXT = r"red \x1b[31m, a title \x1b]0;x\x07, backwards \u202etxt.exe, over\rwritten"


def test_a_command_prints_control_characters_as_text(capsys):
    echo(STEERING)
    echo(STEERING, err=True)
    echo("two\nlines\tand tabs, äöü 日本 🙂")
    printed = capsys.readouterr()
    assert printed.out == f"{AS_TEXT}\ntwo\nlines\tand tabs, äöü 日本 🙂\n"
    assert printed.err == f"{AS_TEXT}\n"


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
