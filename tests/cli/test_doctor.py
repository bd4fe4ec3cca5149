"""What doctor says, and that damaged run folders stop no command."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import TrackerComponent
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs import doctor
from dbgsom_core.runs.compare import compare
from dbgsom_core.runs.folder import (
    RunFiles,
    write_json,
    write_status,
    write_yaml,
)
from dbgsom_core.runs.stored_runs import mark_killed_runs

pytestmark = pytest.mark.one_version

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
    assert line.startswith(
        "✗ mlflow: the MLflow server at http://***@127.0.0.1:9/hidden-place does not answer → "
    )
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
    assert left.message == f"1 of 3 runs in {tmp_path} were left open by processes that died"
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
    class Mute(TrackerComponent):
        def observer(self):
            return object()

    class Tracker(Mute):
        def reachable(self):
            if error is not None:
                raise error
            return message

    check = doctor.check_tracker("other", Tracker())
    assert (check.state, check.message) == (state, message)
    assert doctor.check_tracker("mute", Mute()).state == "ok"


BEGAN = "2026-11-24T10:15:00.000+00:00"
BOMB = "\n".join(
    ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def text(content):
    return lambda path: path.write_text(content, encoding="utf-8")


DAMAGE = {
    "a pipe as status": ("status.json", pipe, "status.json cannot be read: it is no regular file"),
    "a link to itself": ("run.json", link, "run.json cannot be read"),
    "a huge file": ("measures.json", holes, "measures.json cannot be read: it has more than"),
    "nesting that JSON reads": (
        "run.json",
        text('{"params": {"a": ' + "[" * 500 + "]" * 500 + "}}"),
        "run.json is no JSON: recursion limit",
    ),
    "aliases without end": ("config.yaml", text(BOMB), "config.yaml:5:15: aliases"),
    "a list": ("run.json", text("[1]"), "run.json: Input should be"),
    "half a file": ("status.json", text('{"status": "fin'), "status.json is no JSON"),
    "no number": ("measures.json", text('{"a": {}}'), "'a': Input should be a valid number"),
    "an unknown end": ("status.json", text('{"status": "lost"}'), "'status': Input should be"),
    "no time": (
        "status.json",
        text('{"status": "finished", "started": "now"}'),
        "status.json: 'started': Input should be a valid datetime",
    ),
    "odd rankings": ("run.json", text('{"rankings": [1]}'), "'rankings.0': Input"),
    "bytes": ("run.json", lambda path: path.write_bytes(b"\xff\xfe"), "run.json is no JSON"),
}  # fmt: skip


def finished(root, name, seed=1, **model):
    files = RunFiles(root / "digits" / name)
    write_status(files, "finished", BEGAN, BEGAN)
    write_json(files.run, {"id": name, "name": name, "experiment": "digits", "params": {}})
    config = {"experiment": "digits", "dataset": "iris", "seed": seed, "model": model}
    write_yaml(files.config, {**config, "tracking": "run_folder"})
    write_json(files.measures, {"train/quantization_error": 1.5})
    return files


@pytest.fixture
def root(tmp_path):
    finished(tmp_path / "runs", "whole-1", seed=1)
    finished(tmp_path / "runs", "whole-2", seed=2)
    return tmp_path / "runs"


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_a_row_of_compare(what, root):
    name, damage, message = DAMAGE[what]
    files = finished(root, "broken")
    damage(files.folder / name)
    found = compare("digits", by="quantization_error", runs=root, registry=get_registry())
    assert {run.id for run in found.runs} == {"whole-1", "whole-2"}
    assert set(found.damaged) == {"broken"}
    assert message in found.damaged["broken"]
    assert mark_killed_runs(root, "digits") == []  # its state is unknown
    assert len(found.tables) == 1


def test_commands_report_damage_and_go_on(root, dbgsom, monkeypatch):
    pipe(finished(root, "bad\x1b[31m").status)
    answer = dbgsom("compare", "digits", "--by", "quantization_error")
    assert answer.code == 0
    *_, header, row = answer.out.splitlines()
    assert header.split() == ["run", "state"]
    assert row.startswith(r"bad\x1b[31m  damaged: status.json cannot be read")
    answer = dbgsom("sync")
    assert answer.code == 1
    assert answer.out == "0 run(s) brought up to date\n"  # a run folder has no mirror
    assert r"bad\x1b[31m: damaged: status.json" in answer.err
    monkeypatch.setattr("dbgsom_core.plugins.doctor.run_isolated", lambda *task: ([], ""))
    answer = dbgsom("plugins", "doctor")
    assert r"bad\x1b[31m: damaged: status.json" in answer.err


def test_names_in_a_table_are_shown_as_text(root, dbgsom):
    finished(root, "whole-3", kernel="a\x1b]0;title\x07\nb")
    answer = dbgsom("compare", "digits", "--by", "quantization_error")
    assert r"a\x1b]0;title\x07\nb" in answer.out
    assert "\x1b" not in answer.out


def test_a_journal_that_is_a_folder_beside_a_damaged_status_is_shown(root, dbgsom):
    files = finished(root, "broken")
    files.status.write_text("{")
    files.journal.mkdir()
    answer = dbgsom("show", "broken")
    assert answer.code == 0
    assert "status.json is no JSON" in answer.out
    assert "metrics.jsonl cannot be read: it is no regular file" in answer.out
    assert "no epoch yet" in answer.out


def test_nothing_goes_on_in_a_damaged_folder(root, dbgsom):
    files = finished(root, "broken")
    write_status(files, "killed", BEGAN, BEGAN)
    pipe(files.measures)
    answer = dbgsom("run", "--resume", files.folder)
    assert answer.code == 2
    assert "is damaged, so nothing can go on there: measures.json cannot be read" in answer.err
    assert dbgsom("run", "--resume", "a" * 5000).code == 2
