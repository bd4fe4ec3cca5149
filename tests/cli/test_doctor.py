"""``dbgsom doctor``: one line for each thing that a run needs, with a cure where it is missing."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from dbgsom_core import SomClassifier
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import TrackerComponent
from dbgsom_core.runs import doctor
from dbgsom_core.runs.folder import RunFiles, write_status

STARTED = "2026-11-24T10:15:00.000+00:00"


def test_a_machine_that_is_ready_is_told_so(dbgsom, monkeypatch, write, tmp_path):
    monkeypatch.setattr(doctor, "diagnose_apart", lambda limit: ([], 1))
    file = write("run.yaml", "experiment: x\ndataset: iris\ntracking: null\n")
    answer = dbgsom("doctor", file)
    assert answer.code == 0, answer.out
    told = {line.split(": ")[0] for line in answer.out.splitlines()}
    for name in ("python", "packages", "threads", "plugins", "runs", "disk for runs"):
        assert told & {f"✓ {name}", f"! {name}"}, name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.yaml"]


def test_what_is_broken_has_a_cure_and_exit_code_1(dbgsom, monkeypatch, write):
    monkeypatch.setattr(doctor, "diagnose_apart", lambda limit: ([], 1))
    monkeypatch.setenv("SOM_STORE", "http://user:word@127.0.0.1:9/hidden-place")
    file = write(
        "run.yaml",
        "experiment: x\ndataset: iris\ntracking: {name: mlflow, uri: '${env:SOM_STORE}'}\n",
    )
    answer = dbgsom("doctor", file)
    assert answer.code == 1
    (line,) = [line for line in answer.out.splitlines() if line.startswith("✗")]
    assert line.startswith("✗ mlflow: the MLflow server at ${env:SOM_STORE} does not answer → ")
    assert "word" not in answer.out
    told = json.loads(dbgsom("doctor", file, "--json").out)
    assert [one["name"] for one in told if one["state"] == "broken"] == ["mlflow"]


def test_a_wrong_configuration_is_told_first(dbgsom, write):
    answer = dbgsom("doctor", write("run.yaml", "experiment: x\ndataset: iriss\n"))
    assert (answer.code, answer.out) == (2, "")


def test_runs_that_were_left_open_are_told_with_their_cure(tmp_path):
    write_status(RunFiles(tmp_path / "x" / "1"), "running", STARTED)
    (tmp_path / "x" / "1" / ".lock").touch()  # which nobody holds
    write_status(RunFiles(tmp_path / "x" / "2"), "running", STARTED)
    write_status(RunFiles(tmp_path / "x" / "3"), "finished", STARTED)
    (tmp_path / "x" / "3" / "run.json").write_text("[")
    left, damaged = doctor.check_runs(tmp_path)
    assert left.told == f"1 of 3 in {tmp_path} left open by processes that died, 1 going on"
    assert left.cure == f"dbgsom sync --runs {tmp_path}"
    assert damaged.told.startswith("1 of 3")
    assert "running" in (tmp_path / "x" / "1" / "status.json").read_text(), "nothing is changed"
    write_status(RunFiles(tmp_path / "y" / "x" / "1"), "killed", STARTED)
    (whole,) = doctor.check_runs(tmp_path / "y")
    assert whole.state == "ok"
    assert whole.told.endswith(", 1 killed: 'dbgsom run --resume RUN' goes on with one")


def test_a_disk_that_is_full_or_cannot_be_written_is_told(tmp_path, monkeypatch):
    for free, state in ((50 << 20, "broken"), (500 << 20, "warning"), (5 << 30, "ok")):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder, usage=usage: usage)
        assert {one.state for one in doctor.check_disks(tmp_path / "not" / "yet")} == {state}
    monkeypatch.setattr(os, "access", lambda folder, how: folder != tmp_path)
    (runs, *_) = doctor.check_disks(tmp_path)
    assert (runs.state, runs.told) == ("broken", f"{tmp_path} cannot be written")


def test_packages_that_are_missing_or_old_are_told(monkeypatch):
    needed = ["numpy>=999", "no-such-package>=1", "other>=1; extra == 'test'"]
    monkeypatch.setattr(doctor, "requires", lambda name: needed)
    found = {one.name: one for one in doctor.check_versions() if one.state == "broken"}
    assert found.keys() == {"numpy", "no-such-package"}
    assert found["numpy"].told.endswith("is too old")
    assert found["no-such-package"].cure == "pip install 'no-such-package>=1'"


def test_a_container_that_may_use_less_than_it_sees_is_told(tmp_path, monkeypatch):
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(doctor, "_CPU_QUOTA", quota)
    for text, state in (("50000 100000", "warning"), ("max 100000", "ok"), ("x", "ok")):
        quota.write_text(text)
        assert doctor.check_threads().state == state


@pytest.mark.parametrize("folder", [None, "some"])
def test_loops_that_are_not_kept_or_not_compiled_yet_are_told(folder, tmp_path, monkeypatch):
    from dbgsom_core.engine import compile as compiling
    from dbgsom_core.runs import warm as warming

    place = folder and tmp_path
    for module in (compiling, warming):
        monkeypatch.setattr(module, "loops_folder", lambda: place)
    told = doctor.check_loops()
    assert told.state == "warning"
    assert ("--warm" in told.cure) == (place is not None)
    if place is not None:
        (place / "a.nbi").write_text("")
        told = doctor.check_loops()
        assert told.told.startswith("1 are compiled")


def test_trackers_are_asked_whether_they_can_be_reached():
    class Gone(TrackerComponent):
        def reachable(self):
            raise DbgsomError("the line is dead")

    class Here(TrackerComponent):
        def reachable(self):
            return "two runs"

    assert doctor.check_tracker("gone", Gone()).told == "the line is dead"
    assert doctor.check_tracker("here", Here()) == doctor.Check("ok", "here", "two runs")
    assert doctor.check_tracker("mute", TrackerComponent()).state == "ok"


def test_a_fit_of_each_kind_warms_the_loops(monkeypatch):
    from dbgsom_core.runs import warm as warming

    done = []
    fits = [("one", lambda: done.append(1)), ("two", lambda: 1 / 0)]
    monkeypatch.setattr(warming, "_fits", lambda registry: iter(fits))
    told = []
    seconds, failed = warming.warm(None, told.append)
    assert (seconds, told, done) == (0.0, ["one", "two"], [1])
    assert failed == ["two: ZeroDivisionError: division by zero"]


def test_warming_knows_every_built_in_metric():
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.warm import _fits

    registry = Registry.discover(own_only=True)
    names = [name for name, _ in _fits(registry)]
    for metric in registry.names("metric"):
        assert f"400 rows, {metric}" in names


def test_warming_asks_what_a_run_asks(monkeypatch):
    """Loops of measures and of the labeller's votes are compiled, too, for one kind of array."""
    from dbgsom_core.estimators.measuring import default_measures
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs import warm as warming
    from dbgsom_plugins.labellers import loops

    registry, rng, tables = Registry.discover(own_only=True), np.random.default_rng(0), []
    measure = warming.table_of
    monkeypatch.setattr(warming, "table_of", lambda *given: tables.append((measure(*given), given)))
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    warming._use(registry, SomClassifier(epochs=3, max_neurons=6), X, y)
    ((found, (asked, evaluation)),) = tables
    assert set(found) == set(asked) == set(default_measures(registry, "classifier", True))
    assert evaluation.bmu.flags.c_contiguous
    for loop in ("relative_squares", "add_votes", "to_probabilities"):
        assert getattr(loops, loop).signatures


@pytest.mark.parametrize("colour", ["NO_COLOR", "FORCE_COLOR"])
def test_only_the_signs_are_coloured_where_colour_is_wanted(colour, dbgsom, monkeypatch, write):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(colour, "1")
    monkeypatch.setattr(doctor, "diagnose_apart", lambda limit: ([], 1))
    file = write("run.yaml", "experiment: x\ndataset: iris\ntracking: null\n")
    line = dbgsom("doctor", file).out.splitlines()[0]
    assert line.startswith("✓ python: " if colour == "NO_COLOR" else "\x1b[32m✓\x1b[0m python: ")


def test_a_store_is_looked_at_and_not_made(tmp_path, monkeypatch):
    from dbgsom_core.api import DbgsomError
    from dbgsom_plugins.trackers.mlflow import MLflow

    uri = f"sqlite:///{tmp_path / 'in' / 'm.db'}"
    assert MLflow(uri=uri).reachable().endswith("m.db is made by the first run")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "m.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(DbgsomError, match="cannot be opened as a SQLite store"):
        MLflow(uri=uri).reachable()
    (tmp_path / "in" / "m.db").write_bytes(b"")
    with pytest.raises(DbgsomError, match="half made"):
        MLflow(uri=uri).reachable()
    monkeypatch.setattr(os, "access", lambda folder, how: False)
    with pytest.raises(DbgsomError, match="cannot be written"):
        MLflow(uri=f"sqlite:///{tmp_path / 'x' / 'm.db'}").reachable()
