"""What a command says beside its answer: names, tags, JSON lines, pipes that nobody reads."""

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

from dbgsom_core.cli.output import JsonLines, show_warnings
from dbgsom_core.runs.folder import find_runs

RUN = """\
experiment: told
dataset: iris
model: {epochs: 3, max_neurons: 9}
measures: quantization_error
figures: null
tracking: null
"""


@pytest.fixture(autouse=True)
def warnings_as_before(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_tells_everything_as_json_lines(dbgsom, write, tmp_path):
    file = write("run.yaml", RUN + "tags: {stage: try}\n")
    answer = dbgsom("run", file, "--log-json", "--name", "one", "--tag", "who.is=me")
    assert answer.code == 0
    assert "run folder:" in answer.out
    told = [one for one in events(answer.err) if one["event"] != "compiling"]
    assert [one["event"] for one in told] == ["run_started", *3 * ["epoch"], "run_finished"]
    (stored,) = find_runs(tmp_path / "runs", "told")
    assert {one["run"] for one in told} == {stored.id}
    assert told[0]["name"] == stored.name == "one"
    assert told[0]["tags"] == stored.tags == {"stage": "try", "who.is": "me"}
    assert stored.config["tags"] == stored.tags
    assert [one["epoch"] for one in told[1:4]] == [1, 2, 3]
    assert told[1]["epochs"] == 3
    assert told[1]["quantization_error"] > told[3]["quantization_error"] > 0
    assert told[-1]["measures"] == stored.measures
    for one in told:
        assert one["level"] == "info"
        assert datetime.fromisoformat(one["time"]).utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (RUN.replace("iris", "iriss"), 2, "did you mean 'iris'?"),
        (RUN + "split: {test_size: 0.99}\n", 2, "lower split.test_size"),
    ],
)
def test_what_is_wrong_is_one_object(text, code, said, dbgsom, write):
    answer = dbgsom("run", write("run.yaml", text), "--log-json")
    (told,) = events(answer.err)
    assert answer.code == told["exit_code"] == code
    assert told["level"] == told["event"] == "error"
    assert said in told["message"]


def test_a_wrong_option_is_told_as_json_too(dbgsom, write):
    answer = dbgsom("run", write("run.yaml", RUN), "--log-json", "--tag", "nothing")
    (told,) = events(answer.err)
    assert (answer.code, told["exit_code"]) == (2, 2)
    assert "'nothing' is not written KEY=VALUE" in told["message"]


def test_whatever_others_print_becomes_lines_of_json(capsys, monkeypatch):
    lines = JsonLines(sys.stderr)
    monkeypatch.setattr(sys, "stderr", lines)
    show_warnings(quiet=False)
    print("half", end="", file=sys.stderr)
    print(" a line", file=sys.stderr)
    print("two\nlines", file=sys.stderr)
    logging.getLogger("dbgsom.x").warning("a \x1b[31m warning")
    lines.event("info", "epoch", error=float("nan"), list=[float("inf"), 1.5])
    told = events(capsys.readouterr().err)
    assert [one.get("message") for one in told] == [
        "half a line",
        "two",
        "lines",
        r"a \x1b[31m warning",
        None,
    ]
    assert (told[3]["level"], told[3]["logger"]) == ("warning", "dbgsom.x")
    assert (told[4]["error"], told[4]["list"]) == (None, [None, 1.5])


def test_secrets_stay_hidden_in_json(dbgsom, write, monkeypatch):
    monkeypatch.setenv("SOM_HIDDEN", 'open "sesame"')
    file = write("run.yaml", RUN + "name: ${env:SOM_HIDDEN}\ntags: {word: 'x ${env:SOM_HIDDEN}'}\n")
    answer = dbgsom("run", file, "--log-json")
    assert answer.code == 0
    assert "sesame" not in answer.err + answer.out
    assert events(answer.err)[0]["tags"] == {"word": "x ${env:SOM_HIDDEN}"}


def test_quiet_says_nothing_and_verbose_each_epoch(dbgsom, write):
    file = write("run.yaml", RUN)
    assert dbgsom("run", file, "-q").err == ""
    assert dbgsom("run", file, "-v").err.count("epoch ") >= 3


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("mlflow.user=me", "not starting with 'mlflow.'"),
        ("a{b=1", "'a{b' is no key of a tag"),
        ("=1", "is not written KEY=VALUE"),
    ],
)
def test_a_tag_that_mlflow_would_refuse_is_refused(tag, said, dbgsom, write, tmp_path):
    answer = dbgsom("run", write("run.yaml", RUN), "--tag", tag)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "runs").exists()


def test_a_sweep_has_the_name_and_the_tags_that_it_is_given(dbgsom, write, tmp_path):
    file = write("sweep.yaml", RUN + "sweep: {grid: {seed: [1, 2]}}\n")
    assert dbgsom("sweep", file, "-q", "--name", "both", "--tag", "a=b").code == 0
    stored = find_runs(tmp_path / "runs", "told")
    assert [one.name for one in stored if one.kind == "sweep"] == ["both"]
    assert [one.tags for one in stored] == 3 * [{"a": "b"}]


CALL = [sys.executable, "-m", "dbgsom_core.cli"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["config", "show", "run.yaml"],
        ["run", "run.yaml"],
    ],
    ids=" ".join,
)
def test_a_pipe_that_nobody_reads_ends_a_command_without_a_word(arguments, write, tmp_path):
    write("run.yaml", RUN)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*CALL, *arguments], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr
    if arguments[0] == "run":  # it is complete all the same
        (stored,) = find_runs(tmp_path / "runs", "told")
        assert stored.status == "finished"


def test_errors_that_nobody_reads_end_a_command_without_a_word(write, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*CALL, "validate", "gone.yaml"], cwd=tmp_path, stderr=writing, stdout=subprocess.PIPE
        )
    finally:
        os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stdout == b""


@pytest.mark.parametrize("colour", [{"NO_COLOR": "1", "FORCE_COLOR": ""}, {"FORCE_COLOR": "1"}])
def test_colour_is_left_away_where_nobody_wants_it(colour, dbgsom, write, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in colour.items():
        monkeypatch.setenv(name, value)
    answer = dbgsom("run", write("run.yaml", RUN), "-v")
    assert ("\x1b[" in answer.out) == (colour == {"FORCE_COLOR": "1"})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_behind_standard_output_is_told_in_a_sentence(write, tmp_path):
    write("run.yaml", RUN)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CALL, "config", "show", "run.yaml"], cwd=tmp_path, stdout=full,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
