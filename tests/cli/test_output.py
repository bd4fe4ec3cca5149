"""What a command prints beside its answer: names, tags, JSON lines, warnings, closed pipes."""

import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path

import pytest

from dbgsom_core.cli.console import JsonLines, show_warnings
from dbgsom_core.runs.folder import find_runs

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
    found = [event for event in events(answer.err) if event["event"] != "compiling"]
    assert [event["event"] for event in found] == ["run_started", *3 * ["epoch"], "run_finished"]
    (stored,) = find_runs(tmp_path / "runs", "printed")
    assert {event["run"] for event in found} == {stored.id}
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


def test_secrets_stay_hidden_in_json(dbgsom, write, monkeypatch):
    monkeypatch.setenv("SOM_HIDDEN", 'open "sesame"')
    file = write("run.yaml", RUN + "name: ${env:SOM_HIDDEN}\ntags: {word: 'x ${env:SOM_HIDDEN}'}\n")
    answer = dbgsom("run", file, "--log-json")
    assert answer.code == 0
    assert "sesame" not in answer.err + answer.out
    assert events(answer.err)[0]["tags"] == {"word": "x ${env:SOM_HIDDEN}"}


# ------------------------------------------------------------------------------ text, names, tags


def test_quiet_prints_nothing_and_verbose_each_epoch(dbgsom, write):
    file = write("run.yaml", RUN)
    assert dbgsom("run", file, "-q").err == ""
    assert dbgsom("run", file, "-v").err.count("epoch ") >= 3


@pytest.mark.parametrize("colour", [{"NO_COLOR": "1", "FORCE_COLOR": ""}, {"FORCE_COLOR": "1"}])
def test_colour_follows_the_environment(colour, dbgsom, write, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in colour.items():
        monkeypatch.setenv(name, value)
    answer = dbgsom("run", write("run.yaml", RUN), "-v")
    assert ("\x1b[" in answer.out) == (colour == {"FORCE_COLOR": "1"})


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
