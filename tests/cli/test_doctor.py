"""``dbgsom doctor``: one line for each thing that a run needs, with a cure where it is missing."""

import json
import os
from types import SimpleNamespace

import pytest

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import TrackerComponent
from dbgsom_core.runs import doctor
from dbgsom_core.runs.folder import RunFiles, write_status

STARTED = "2026-11-24T10:15:00.000+00:00"
RUN = "experiment: x\ndataset: iris\ntracking: {tracking}\n"


@pytest.fixture
def no_plugins(monkeypatch):
    monkeypatch.setattr(doctor, "diagnose_isolated", lambda limit: ([], 1))


@pytest.mark.parametrize("colour", ["NO_COLOR", "FORCE_COLOR"])
def test_a_machine_that_is_ready(colour, dbgsom, monkeypatch, no_plugins, write, tmp_path):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(colour, "1")
    answer = dbgsom("doctor", write("run.yaml", RUN.format(tracking="null")))
    assert answer.code == 0, answer.out
    first, *others = answer.out.splitlines()
    assert first.startswith("✓ python: " if colour == "NO_COLOR" else "\x1b[32m✓\x1b[0m python: ")
    checks = {line.split(": ")[0].rpartition("m ")[2].lstrip("✓! ") for line in others}
    assert {"packages", "threads", "plugins", "runs", "disk for runs"} <= checks
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_what_is_broken_has_a_cure_and_exit_code_1(dbgsom, monkeypatch, no_plugins, write):
    monkeypatch.setenv("SOM_STORE", "http://user:word@127.0.0.1:9/hidden-place")
    file = write("run.yaml", RUN.format(tracking="{name: mlflow, uri: '${env:SOM_STORE}'}"))
    answer = dbgsom("doctor", file)
    assert answer.code == 1
    (line,) = [line for line in answer.out.splitlines() if line.startswith("✗")]
    assert line.startswith("✗ mlflow: the MLflow server at ${env:SOM_STORE} does not answer → ")
    assert "word" not in answer.out
    checks = json.loads(dbgsom("doctor", file, "--json").out)
    assert [check["name"] for check in checks if check["state"] == "broken"] == ["mlflow"]


def test_runs_that_were_left_open_are_counted_and_not_changed(tmp_path):
    write_status(RunFiles(tmp_path / "x" / "1"), "running", STARTED)
    (tmp_path / "x" / "1" / ".lock").touch()  # which no process holds
    write_status(RunFiles(tmp_path / "x" / "2"), "running", STARTED)
    write_status(RunFiles(tmp_path / "x" / "3"), "finished", STARTED)
    (tmp_path / "x" / "3" / "run.json").write_text("[")
    left, damaged = doctor.check_runs(tmp_path)
    assert left.message == f"1 of 3 in {tmp_path} left open by processes that died"
    assert left.hint == f"dbgsom sync --runs {tmp_path}"
    assert damaged.message.startswith("1 of 3")
    assert "running" in (tmp_path / "x" / "1" / "status.json").read_text()
    write_status(RunFiles(tmp_path / "y" / "x" / "1"), "killed", STARTED)
    (whole,) = doctor.check_runs(tmp_path / "y")
    assert whole.state == "ok"


@pytest.mark.parametrize(
    ("megabytes", "state"), [(50, "broken"), (500, "warning"), (5 << 10, "ok")]
)
def test_a_disk_that_is_full_or_cannot_be_written(megabytes, state, tmp_path, monkeypatch):
    usage = SimpleNamespace(free=megabytes << 20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    assert {check.state for check in doctor.check_disks(tmp_path / "not" / "yet")} == {state}
    monkeypatch.setattr(os, "access", lambda folder, how: folder != tmp_path)
    (runs, *_) = doctor.check_disks(tmp_path)
    assert (runs.state, runs.message) == ("broken", f"{tmp_path} cannot be written")


@pytest.mark.parametrize("folder", [None, "some"])
def test_loops_that_are_not_cached_or_not_compiled_yet(folder, tmp_path, monkeypatch):
    from dbgsom_core.engine import compile as compiling

    place = folder and tmp_path
    monkeypatch.setattr(compiling, "loops_folder", lambda: place)
    check = doctor.check_loops()
    assert check.state == "warning"
    if place is not None:
        (place / "a.nbi").write_text("")
        assert doctor.check_loops().message.startswith("1 are compiled")


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [(None, "ok", "two runs"), (DbgsomError("the line is dead"), "broken", "the line is dead")],
)
def test_trackers_say_whether_they_can_be_reached(error, state, message):
    class Tracker(TrackerComponent):
        def reachable(self):
            if error is not None:
                raise error
            return message

    check = doctor.check_tracker("other", Tracker())
    assert (check.state, check.message) == (state, message)
    assert doctor.check_tracker("mute", TrackerComponent()).state == "ok"
