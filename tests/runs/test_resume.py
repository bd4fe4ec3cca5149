"""Runs and sweeps that were interrupted go on in their folder, to the same bits."""

import json
import os
import platform
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.datasets import load_iris

from dbgsom_core import run
from dbgsom_core.errors import DbgsomError
from dbgsom_core.runs import pipeline
from dbgsom_core.runs.folder import Process, RunFiles, read_run, read_status, write_status
from dbgsom_core.runs.stored_runs import RunLock, claim
from dbgsom_plugins.trackers.run_folder import RunFolderObserver

pytestmark = pytest.mark.one_version

CONFIG = """\
experiment: resumed
dataset: {name: csv, path: data.csv, target: label}
model: {epochs: 12, max_neurons: 9, tol: 0.0}
measures: [quantization_error, topographic_error]
figures: []
tracking: {name: run_folder, checkpoint_seconds: 0}
"""
SWEEP = "sweep: {grid: {model.epochs: [8, 12, 10]}}\n"


@dataclass
class Room:
    """A folder with data and a configuration, in which commands are typed."""

    path: object
    called: object
    monkeypatch: object

    def dbgsom(self, *words, code=0):
        done = self.called(self.path, *words)
        assert done.code == code, done.err
        return done.err + done.out

    def interrupted(self, *words, at, run=1):
        """Interrupt a command in epoch ``at`` of the ``run``-th run that trains."""
        write, started = RunFolderObserver.dbgsom_epoch_finished, []

        def dbgsom_epoch_finished(observer, run_, epoch):
            write(observer, run_, epoch)
            if run_.id not in started:
                started.append(run_.id)
            if len(started) == run and epoch.epoch == at:
                signal.raise_signal(signal.SIGINT)

        def hear(observer, run, epoch):
            dbgsom_epoch_finished(observer, run, epoch)

        with self.monkeypatch.context() as patched:
            patched.setattr(RunFolderObserver, "dbgsom_epoch_finished", hear)
            return self.dbgsom(*words, code=130)

    def folders(self):
        """The run folders, oldest first; a name knows seconds only."""
        folders = (self.path / "runs" / "resumed").iterdir()
        return sorted(folders, key=_started)

    def results(self):
        """What the runs hold, without times and ids, by name."""
        found = {}
        for folder in self.folders():
            run = json.loads((folder / "run.json").read_text())
            assert run["name"] not in found
            files, journal = RunFiles(folder), []
            if files.journal.exists():
                lines = [json.loads(line) for line in files.journal.read_text().splitlines()]
                journal = [(line["epoch"], line["metrics"]) for line in lines]
            arrays = {}
            if files.model.exists():
                with np.load(files.model) as model:
                    arrays = {name: model[name].tobytes() for name in model.files}
                del arrays["header"]  # which knows how long it took
            arrays.pop("digest", None)
            children = [(one["name"], one["measures"]) for one in run.get("children", ())]
            status = json.loads(files.status.read_text())["status"]
            measures = json.loads(files.measures.read_text())
            left = [one.name for one in folder.iterdir() if one.name[0] == "."]
            left += ["checkpoints"] * files.checkpoints.exists()
            found[run["name"]] = (
                status, journal, measures, arrays, children, left, run["params"]
            )  # fmt: skip
        return found

    def anew(self):
        for folder in self.folders():
            folder.rename(self.path / folder.name)


def _started(folder):
    return read_status(folder).started


KILLER = """\
import os, signal, sys

left = int(sys.argv.pop(1))

def count(event, args):
    global left
    if event in ("open", "os.mkdir", "os.rename") and "runs/resumed/" in str(args[:2]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

from dbgsom_core.cli import main

sys.addaudithook(count)
main()
"""


@pytest.fixture
def room(tmp_path, called, monkeypatch):
    X, y = load_iris(return_X_y=True)
    table = "\n".join(
        ",".join(map(str, [*row, f"c{label}"])) for row, label in zip(X, y, strict=True)
    )
    (tmp_path / "data.csv").write_text(f"a,b,c,d,label\n{table}\n")
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "sweep.yaml").write_text(CONFIG + SWEEP)
    (tmp_path / "folds.yaml").write_text(CONFIG + "split: {folds: 3}\n")
    monkeypatch.chdir(tmp_path)
    return Room(tmp_path, called, monkeypatch)


def header(path):
    """What a model file says of itself, without how long its training took."""
    with np.load(path) as model:
        said = json.loads(bytes(model["header"]).decode())
    for epoch in said["estimator"]["history"]:
        del epoch["seconds"]
    return said


@pytest.mark.parametrize("by", ["id", "folder", "file", "told"])
def test_a_run_goes_on_to_the_same_bits(room, by):
    given = {"kernel": "{start: 2}", "growth": "{name: directed, threshold: auto}"}
    parts = "".join(f", {kind}: {fields}" for kind, fields in given.items())
    (room.path / "run.yaml").write_text(CONFIG.replace("tol: 0.0", f"tol: 0.0{parts}"))
    room.dbgsom("run", "run.yaml", "-q")
    whole, written = room.results(), header(RunFiles(*room.folders()).model)
    room.anew()
    told = room.interrupted("run", "run.yaml", "-q", at=7)
    (folder,) = room.folders()
    assert f"to go on: dbgsom run --resume {folder.name}\n" in told
    assert [one.name for one in RunFiles(folder).checkpoints.iterdir()]
    names = {"id": folder.name, "folder": str(folder), "file": "run.yaml"}
    words = ["run", "--resume", names[by]] if by != "told" else None
    if words is None:
        words = shlex.split(told.partition("to go on: dbgsom ")[2].splitlines()[0])
    room.dbgsom(*words, "-q")
    assert room.results() == whole
    assert header(RunFiles(folder).model) == written
    assert "there is nothing left to do" in room.dbgsom("run", "--resume", folder.name)


@pytest.mark.parametrize("by", ["file", "id", "told"])
@pytest.mark.parametrize("place", ["runs", "$ROOM/kept"])
def test_a_run_named_by_the_environment_goes_on(room, by, place):
    held = {"GROUP": "of alice", "ROOM": str(room.path), "SPREAD": "0.31415927"}
    for name, value in held.items():
        room.monkeypatch.setenv(name, value)
    config = CONFIG.replace("resumed", "${env:GROUP}").replace("data.csv", "'${env:ROOM}/data.csv'")
    config = config.replace("epochs: 12,", "epochs: 12, spreading_factor: '${env:SPREAD}',")
    config = config.replace(
        "run_folder,", f"run_folder, path: '{place}',".replace("$ROOM", "${env:ROOM}")
    )
    (room.path / "run.yaml").write_text(config)
    told = room.interrupted("run", "run.yaml", "-q", at=7)
    (folder,) = (room.path / place.rpartition("/")[2] / "env-GROUP").iterdir()
    words = shlex.split(told.partition("to go on: dbgsom ")[2].splitlines()[0])
    if by != "told":
        words[-1] = "run.yaml" if by == "file" else folder.name if place == "runs" else str(folder)
    room.dbgsom(*words, "-q")
    assert read_status(folder).status == "finished"
    assert len(RunFiles(folder).journal.read_text().splitlines()) == 12


def test_what_was_trained_before_is_not_trained_again(room, monkeypatch):
    room.interrupted("run", "run.yaml", "-q", at=9)
    heard, tell = [], pipeline.EpochCallback.__call__

    def call(self, epoch):
        heard.append(epoch.epoch)
        tell(self, epoch)

    monkeypatch.setattr(pipeline.EpochCallback, "__call__", call)
    room.dbgsom("run", "--resume", "run.yaml", "-q")
    assert heard == [9, 10, 11, 12]  # the ninth had been written to the journal, and no further


def test_folds_that_are_done_are_kept(room, monkeypatch):
    room.dbgsom("run", "folds.yaml", "-q")
    whole = room.results()
    room.anew()
    room.interrupted("run", "folds.yaml", "-q", at=3)
    made, make = [], pipeline.make_fold
    monkeypatch.setattr(pipeline, "make_fold", lambda *given: made.append(given) or make(*given))
    room.dbgsom("run", "--resume", "folds.yaml", "-q")
    assert room.results() == whole
    assert made == []


def _looks(folder):
    """What stands out, the table of rows and the figures of a run."""
    files = RunFiles(folder)
    report = files.report.read_text(encoding="utf-8")
    said = report.partition("What stands out")[2].partition("\n#")[0]
    figures = {path.name: path.read_bytes() for path in files.figures()}
    return said, files.table("assignments").read_text(encoding="utf-8"), figures


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("left", ["whole", "cut", "gone"])
def test_answers_of_finished_folds_are_kept(room, kind, left):
    target = {"classifier": "label", "regressor": "d"}[kind]
    text = CONFIG.replace("target: label", f"target: {target}, columns: [a, b, c]")
    text = text.replace("{epochs", f"{{estimator: {kind}, epochs")
    figure = {"classifier": "confusion_matrix, roc_curve", "regressor": "predicted_actual"}[kind]
    text = text.replace("figures: []", f"figures: [{figure}]")
    (room.path / "folds.yaml").write_text(text + "split: {folds: 3}\n")
    room.dbgsom("run", "folds.yaml", "-q")
    (folder,) = room.folders()
    whole = _looks(folder)
    assert whole[1].splitlines()[0].endswith(",fold,held_out")
    room.anew()
    room.interrupted("run", "folds.yaml", "-q", at=3)
    (folder,) = room.folders()
    kept = RunFiles(folder).checkpoints / "answers-2.npz"
    if left == "cut":
        kept.write_bytes(kept.read_bytes()[:-99])
    elif left == "gone":
        kept.unlink()
    room.dbgsom("run", "--resume", "folds.yaml", "-q")
    assert (_looks(folder) == whole) == (left == "whole")
    assert ("held_out" in _looks(folder)[1]) == (left == "whole")
    assert not RunFiles(folder).checkpoints.exists()


def test_a_sweep_keeps_finished_children_and_goes_on_with_the_others(room):
    room.dbgsom("sweep", "sweep.yaml", "-q")
    whole = room.results()
    room.anew()
    told = room.interrupted("sweep", "sweep.yaml", "-q", at=5, run=2)
    sweep, first, second = room.folders()
    assert f"--resume {sweep.name}\n" in told
    table = (room.path / "data.csv").read_text()
    (room.path / "data.csv").write_text(table.replace("5.1", "5.2", 1))
    assert "its data was 150 × 4" in room.dbgsom("run", "--resume", sweep.name, code=2)
    (room.path / "data.csv").write_text(table)
    kept = (first / "model.npz").stat().st_mtime_ns
    RunFiles(first).checkpoints.mkdir()  # it was killed when it had finished and not yet tidied up
    room.dbgsom("run", "--resume", sweep.name, "-q")
    assert len(room.folders()) == 4
    assert (first / "model.npz").stat().st_mtime_ns == kept
    assert RunFiles(second).model.exists()
    assert room.results() == whole


def test_what_tests_on_a_file_goes_on_with_the_same_file_only(room):
    table = (room.path / "data.csv").read_text()
    (room.path / "test.csv").write_text(table)
    split = "split: {test: {name: csv, path: test.csv, target: label}}\n"
    (room.path / "sweep.yaml").write_text(CONFIG + SWEEP + split)
    room.interrupted("sweep", "sweep.yaml", "-q", at=5, run=2)
    room.dbgsom("run", "--resume", "sweep.yaml", "-q")
    assert {result[0] for result in room.results().values()} == {"finished"}
    (room.path / "run.yaml").write_text(CONFIG + split)
    room.interrupted("run", "run.yaml", "-q", at=5)
    (room.path / "test.csv").write_text(table.replace("5.1", "5.2", 1))
    told = room.dbgsom("run", "--resume", "run.yaml", code=2)
    assert "its data to test on was 150 × 4 with digest" in told


def test_folds_of_other_rows_are_not_gone_on_with(room):
    (room.path / "folds.yaml").write_text(
        CONFIG.replace("target: label", "target: label, id: who")
        + "split: {name: GroupKFold, n_splits: 3, groups: who}\n"
    )
    header, *rows = (room.path / "data.csv").read_text().splitlines()

    def write(shift):
        lines = [f"{row},w{(i + shift) // 7}" for i, row in enumerate(rows)]
        (room.path / "data.csv").write_text("\n".join([f"{header},who", *lines]) + "\n")

    write(0)
    room.interrupted("run", "folds.yaml", "-q", at=3)
    write(3)
    told = room.dbgsom("run", "--resume", "folds.yaml", "-q", code=2)
    assert "its folds were of other rows; bring the groups back" in told
    write(0)
    room.dbgsom("run", "--resume", "folds.yaml", "-q")


def test_a_run_that_was_killed_goes_on_and_one_that_lives_does_not(room):
    room.interrupted("run", "run.yaml", "-q", at=4)
    (folder,) = room.folders()
    write_status(RunFiles(folder), "running", None)
    me = Process(host=platform.node(), pid=os.getpid())
    with RunLock(folder) as lock:
        assert lock.acquire()
        told = room.dbgsom("run", "--resume", folder.name, code=1)
    assert f"is already going on, in process {me.pid} on {me.host}" in told
    elsewhere = Process(host="elsewhere", pid=12)
    write_status(RunFiles(folder), "running", None, process=elsewhere)
    told = room.dbgsom("run", "--resume", folder.name, code=1)
    assert "may still go on, in process 12 on elsewhere" in told
    assert "its last sign of life is 0 s old" in told
    assert f"remove {folder / 'status.json'} and try again" in told
    (folder / "status.json").unlink()
    (folder / "environment.json").unlink()  # as where it was killed before that was written
    room.dbgsom("run", "--resume", "run.yaml", "-q")
    assert room.results()[next(iter(room.results()))][0] == "finished"


@pytest.mark.parametrize("change", ["lost", "doubled"])
def test_a_damaged_journal_is_refused_and_shown(room, change):
    room.interrupted("run", "run.yaml", "-q", at=6)
    (folder,) = room.folders()
    journal = RunFiles(folder).journal
    lines = journal.read_text().splitlines(keepends=True)
    lines[2:3] = [] if change == "lost" else [lines[2]] * 2
    journal.write_text("".join(lines))
    problem = "metrics.jsonl " + ("lacks epoch 3" if change == "lost" else "has epoch 3 twice")
    for name in (folder.name, "run.yaml"):
        told = room.dbgsom("run", "--resume", name, code=2)
        assert f"is damaged, so nothing can go on there: {problem}" in told
    assert f"damaged: {problem}" in room.dbgsom("show", folder.name)
    assert journal.read_text() == "".join(lines)


def test_epochs_that_the_end_of_the_journal_lost_end_the_run(room):
    room.interrupted("run", "run.yaml", "-q", at=6)
    (folder,) = room.folders()
    journal = RunFiles(folder).journal
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]))
    told = room.dbgsom("run", "--resume", folder.name, code=1)
    assert "metrics.jsonl lacks epoch 4, which this run has done" in told
    assert read_status(folder).status == "failed"


def test_of_processes_that_go_on_with_a_run_at_once_one_does(room):
    room.interrupted("run", "run.yaml", "-q", at=4)
    (folder,) = room.folders()
    stored = read_run(folder)

    locks = []

    def go_on(number):
        try:
            locks.append(claim(stored))
        except DbgsomError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as several:
        told = sorted(several.map(go_on, range(8)))
    assert told[0] == ""
    assert all(f"is already going on, in process {os.getpid()}" in one for one in told[1:])
    assert read_status(folder).started == stored.started
    locks.pop().release()
    write_status(RunFiles(folder), "finished", None)
    assert "has finished meanwhile" in go_on(0)


def test_other_data_and_other_configurations_are_refused(room):
    room.interrupted("run", "run.yaml", "-q", at=4)
    (folder,) = room.folders()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    told = room.dbgsom("run", "--resume", "run.yaml", "--set", "model.max_neurons=8", code=2)
    assert "model.max_neurons was 9 and is 8" in told
    assert "leave --set out" in room.dbgsom(
        "run", "--resume", folder.name, "--set", "seed=1", code=2
    )
    table = (room.path / "data.csv").read_text()
    (room.path / "data.csv").write_text(table.replace("5.1", "5.2", 1))
    told = room.dbgsom("run", "--resume", folder.name, code=2)
    assert "its data was 150 × 4 with digest" in told
    assert "bring it back" in told
    (room.path / "data.csv").write_text(table)
    environment = json.loads((folder / "environment.json").read_text())
    environment["versions"]["dbgsom-core"] = "0.0.1"
    (folder / "environment.json").write_text(json.dumps(environment))
    assert "dbgsom-core was '0.0.1' and is" in room.dbgsom("run", "--resume", folder.name, code=2)
    for path in before:
        if path.name != "environment.json":
            assert path.read_bytes() == before[path]
    assert len(room.folders()) == 1


def test_names_that_mean_no_run_are_told(room):
    assert "no interrupted run of run.yaml" in room.dbgsom("run", "--resume", "run.yaml", code=2)
    room.interrupted("run", "run.yaml", "-q", at=4)
    (folder,) = room.folders()
    told = room.dbgsom("run", "--resume", folder.name[:-1], code=2)
    assert "is no run folder and no configuration" in told
    assert f"did you mean '{folder.name}'?" in told
    RunFiles(folder).config.unlink()
    assert "start a new one" in room.dbgsom("run", "--resume", folder.name, code=2)


# Calls of the system below the folder of runs: about 25 until a sweep has begun, then its first
# run begins.
@pytest.mark.parametrize("calls", [5, 9, 21, 55])
def test_a_sweep_that_was_killed_as_it_began_goes_on_or_starts_anew(room, calls):
    words = [sys.executable, "-c", KILLER, str(calls), "sweep", "sweep.yaml", "-q"]
    assert subprocess.run(words, cwd=room.path, check=False).returncode == -signal.SIGKILL
    assert [*(room.path / "runs" / "resumed").iterdir()]
    room.dbgsom("sweep", "--resume", "sweep.yaml", "-q")
    left = room.results()
    assert len(left) == len(room.folders()) == 4
    assert {status for status, *_ in left.values()} == {"finished"}
    sweep, *runs = map(read_run, room.folders())
    assert {one.parent for one in runs} == {sweep.id}


def test_what_a_run_left_that_was_killed_before_it_began_is_removed(room):
    def killed(number):
        folder = room.path / "runs" / "resumed" / f"20261201-12000{number}-abcdef"
        folder.mkdir(parents=True)
        (folder / ".lock").touch()
        return folder

    killed(1)
    (killed(2) / "mine.txt").write_text("kept")
    with RunLock(killed(3)) as beginning:
        assert beginning.acquire()
        assert "no runs" in room.dbgsom("show")
        assert run("run.yaml", resume=True).experiment == "resumed"
        names = {folder.name for folder in (room.path / "runs" / "resumed").iterdir()}
    assert len(names) == 3
    assert {"20261201-120002-abcdef", "20261201-120003-abcdef"} < names
