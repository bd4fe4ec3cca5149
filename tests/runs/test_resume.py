"""Runs and sweeps that were interrupted go on in their folder, to the same bits."""

import json
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest
from sklearn.datasets import load_iris

from dbgsom_core.runs.folder import RunFiles, read_run, run_lock, write_json
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
    read: object

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
        folders = (path.parent for path in (self.path / "runs" / "resumed").glob("*/run.json"))
        return sorted(folders, key=_started)

    def results(self):
        """What the runs hold, without times and ids, by name."""
        return self.read(self.path / "runs" / "resumed")

    def anew(self):
        for folder in self.folders():
            folder.rename(self.path / folder.name)


def _started(folder):
    return read_run(folder).started


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
def room(tmp_path, called, monkeypatch, results):
    X, y = load_iris(return_X_y=True)
    table = "\n".join(
        ",".join(map(str, [*row, f"c{label}"])) for row, label in zip(X, y, strict=True)
    )
    (tmp_path / "data.csv").write_text(f"a,b,c,d,label\n{table}\n")
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "sweep.yaml").write_text(CONFIG + SWEEP)
    (tmp_path / "folds.yaml").write_text(CONFIG + "split: {folds: 3}\n")
    monkeypatch.chdir(tmp_path)
    return Room(tmp_path, called, monkeypatch, results)


@pytest.mark.parametrize("by", ["folder", "file", "told"])
def test_a_run_goes_on_to_the_same_bits(room, by):
    part = "kernel: {start: 2}"
    (room.path / "run.yaml").write_text(CONFIG.replace("tol: 0.0", f"tol: 0.0, {part}"))
    room.dbgsom("run", "run.yaml", "-q")
    whole = room.results()
    room.anew()
    told = room.interrupted("run", "run.yaml", "-q", at=7)
    (folder,) = room.folders()
    assert f"to go on: dbgsom run --resume {folder.name}\n" in told
    assert RunFiles(folder).checkpoint.exists()
    names = {"folder": str(folder), "file": "run.yaml"}
    words = ["run", "--resume", names[by]] if by != "told" else None
    if words is None:
        words = shlex.split(told.partition("to go on: dbgsom ")[2].splitlines()[0])
    room.dbgsom(*words, "-q")
    assert room.results() == whole
    assert "there is nothing left to do" in room.dbgsom("run", "--resume", folder.name)


def test_a_run_named_by_the_environment_goes_on(room):
    held = {"GROUP": "of alice", "ROOM": str(room.path), "SPREAD": "0.31415927"}
    for name, value in held.items():
        room.monkeypatch.setenv(name, value)
    config = CONFIG.replace("resumed", "${env:GROUP}").replace("data.csv", "'${env:ROOM}/data.csv'")
    config = config.replace("epochs: 12,", "epochs: 12, spreading_factor: '${env:SPREAD}',")
    config = config.replace("run_folder,", "run_folder, path: '${env:ROOM}/kept',")
    (room.path / "run.yaml").write_text(config)
    told = room.interrupted("run", "run.yaml", "-q", at=7)
    (folder,) = (room.path / "kept" / "env-GROUP").iterdir()
    words = shlex.split(told.partition("to go on: dbgsom ")[2].splitlines()[0])
    room.dbgsom(*words, "-q")
    assert read_run(folder).status == "finished"
    assert len(RunFiles(folder).journal.read_text().splitlines()) == 12


def _looks(folder):
    """The table of rows and the figures of a run."""
    files = RunFiles(folder)
    figures = {path.name: path.read_bytes() for path in files.figures()}
    return files.table("assignments").read_text(encoding="utf-8"), figures


def test_answers_of_finished_folds_are_kept(room):
    text = CONFIG.replace("{epochs", "{estimator: classifier, epochs")
    text = text.replace("figures: []", "figures: [confusion_matrix]")
    (room.path / "folds.yaml").write_text(text + "split: {folds: 3}\n")
    room.dbgsom("run", "folds.yaml", "-q")
    (folder,) = room.folders()
    whole = _looks(folder)
    assert whole[0].splitlines()[0].endswith(",fold,held_out,held_out_probability")
    room.anew()
    room.interrupted("run", "folds.yaml", "-q", at=3)
    (folder,) = room.folders()
    room.dbgsom("run", "--resume", "folds.yaml", "-q")
    assert _looks(folder) == whole
    assert not RunFiles(folder).checkpoint.exists()


def test_a_sweep_keeps_finished_children_and_goes_on_with_the_others(room):
    room.dbgsom("sweep", "sweep.yaml", "-q")
    whole = room.results()
    room.anew()
    told = room.interrupted("sweep", "sweep.yaml", "-q", at=5, run=2)
    sweep, first, second = room.folders()
    assert f"--resume {sweep.name}\n" in told
    table = (room.path / "data.csv").read_text()
    (room.path / "data.csv").write_text(table.replace("5.1", "5.2", 1))
    assert "data.digest was" in room.dbgsom("run", "--resume", sweep.name, code=2)
    (room.path / "data.csv").write_text(table)
    kept = (first / "model.npz").stat().st_mtime_ns
    room.dbgsom("run", "--resume", sweep.name, "-q")
    assert len(room.folders()) == 4
    assert (first / "model.npz").stat().st_mtime_ns == kept
    assert RunFiles(second).model.exists()
    assert room.results() == whole


def test_what_tests_on_a_file_goes_on_with_the_same_file_only(room):
    table = (room.path / "data.csv").read_text()
    (room.path / "test.csv").write_text(table)
    split = "split: {test: {name: csv, path: test.csv, target: label}}\n"
    (room.path / "run.yaml").write_text(CONFIG + split)
    room.interrupted("run", "run.yaml", "-q", at=5)
    (room.path / "test.csv").write_text(table.replace("5.1", "5.2", 1))
    told = room.dbgsom("run", "--resume", "run.yaml", code=2)
    assert "data.test.digest was" in told


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
    stored = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", stored | {"status": "running", "ended": None})
    with run_lock(folder):
        told = room.dbgsom("run", "--resume", folder.name, code=1)
        assert "is already going on in another process" in told
    room.dbgsom("run", "--resume", "run.yaml", "-q")
    assert room.results()[next(iter(room.results()))][0] == "finished"


def test_epochs_that_the_end_of_the_journal_lost_end_the_run(room):
    room.interrupted("run", "run.yaml", "-q", at=6)
    (folder,) = room.folders()
    journal = RunFiles(folder).journal
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:3]))
    told = room.dbgsom("run", "--resume", folder.name, code=1)
    assert "metrics.jsonl lacks epoch 4, which this run has done" in told
    assert read_run(folder).status == "failed"


def test_other_data_and_other_configurations_are_refused(room):
    room.interrupted("run", "run.yaml", "-q", at=4)
    (folder,) = room.folders()
    told = room.dbgsom("run", "--resume", "run.yaml", "--set", "model.max_neurons=8", code=2)
    assert "model.max_neurons was 9 and is 8" in told
    table = (room.path / "data.csv").read_text()
    (room.path / "data.csv").write_text(table.replace("5.1", "5.2", 1))
    told = room.dbgsom("run", "--resume", folder.name, code=2)
    assert "data.digest was" in told
    assert "give that back" in told
    (room.path / "data.csv").write_text(table)
    stored = json.loads((folder / "run.json").read_text())
    stored["environment"]["versions"]["dbgsom-core"] = "0.0.1"
    write_json(folder / "run.json", stored)
    assert "dbgsom-core was '0.0.1' and is" in room.dbgsom("run", "--resume", folder.name, code=2)
    assert len(room.folders()) == 1


def test_names_that_mean_no_run_are_told(room):
    assert "no run of this configuration" in room.dbgsom("run", "--resume", "run.yaml", code=2)
    room.interrupted("run", "run.yaml", "-q", at=4)
    (folder,) = room.folders()
    told = room.dbgsom("run", "--resume", folder.name[:-1], code=2)
    assert "is no run folder and no configuration" in told
    assert f"did you mean '{folder.name}'?" in told
    RunFiles(folder).config.unlink()
    assert "config.yaml" in room.dbgsom("run", "--resume", folder.name, code=2)


@pytest.mark.slow
# Calls of the system below the folder of runs: the sweep has begun, its first run is about to.
@pytest.mark.parametrize("calls", [35, 60])
def test_a_sweep_that_was_killed_as_it_began_goes_on(room, calls):
    words = [sys.executable, "-c", KILLER, str(calls), "sweep", "sweep.yaml", "-q"]
    assert subprocess.run(words, cwd=room.path, check=False).returncode == -signal.SIGKILL
    assert [*(room.path / "runs" / "resumed").iterdir()]
    room.dbgsom("sweep", "--resume", "sweep.yaml", "-q")
    left = room.results()
    assert len(left) == 4
    assert {status for status, *_ in left.values()} == {"finished"}
    sweep, *runs = map(read_run, room.folders())
    assert {one.parent for one in runs} == {sweep.id}
