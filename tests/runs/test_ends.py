"""However a run ends, its folder says so: signals, processes that are killed, full disks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import dbgsom_core
from dbgsom_core.api import STOP, FigureComponent, TrackerComponent
from dbgsom_core.cli import cli
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.files import write_atomically
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import ended_by_term, make_callbacks
from dbgsom_core.runs.folder import (
    JournalLine,
    Process,
    RunFiles,
    append_epoch,
    find_runs,
    journal_damage,
    read_run,
    write_json,
    write_status,
)
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.stored_runs import (
    RunLock,
    is_locked,
    mark_killed_runs,
)
from dbgsom_core.tables.safe_files import sweep

pytestmark = pytest.mark.one_version

CONFIG = """\
experiment: ends
dataset: iris
model: {{epochs: 5, max_neurons: 9}}
measures: [quantization_error]
figures: {figures}
tracking: {{name: run_folder, path: '{path}/runs'}}
"""


@pytest.fixture
def sent():
    """Heed signals, and send them to this very thread."""
    with ended_by_term():
        yield signal.raise_signal


@pytest.fixture
def run(tmp_path):
    """Run a small experiment beside observers; return the stored run."""

    def run(*extra, figures="[]", change=None, trackers=()):
        file = tmp_path / "run.yaml"
        file.write_text(CONFIG.format(path=tmp_path, figures=figures))
        registry = get_registry()
        experiment = load_experiment(file, registry=registry)
        if change is not None:
            experiment = change(experiment)
        observers = make_callbacks((*experiment.tracking, *trackers), registry, extra)
        run_experiment(experiment, observers, registry)

    run.stored = lambda: find_runs(tmp_path / "runs", "ends")[0]
    run.root = tmp_path / "runs" / "ends"
    return run


class Swallowing:
    """An observer that swallows whatever is raised while it works."""

    def __init__(self, work):
        self._work, self.failed = work, None

    def dbgsom_epoch_finished(self, run, epoch):
        if epoch.epoch == 2:
            try:
                self._work()
            except BaseException as error:
                self.swallowed = error

    def dbgsom_run_failed(self, run, error):
        self.failed = error


class Ending:
    """An observer that sends a signal after the second epoch."""

    failed = None

    def __init__(self, send):
        self._send = send

    def dbgsom_epoch_finished(self, run, epoch):
        if epoch.epoch == 2:
            self._send()

    def dbgsom_run_failed(self, run, error):
        self.failed = error


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGTERM, "Interrupted: asked to end by SIGTERM"),
        (signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_run_that_a_signal_ends_says_so(run, sent, number, error):
    observer = Ending(lambda: sent(number))
    with pytest.raises(KeyboardInterrupt):
        run(observer)
    assert isinstance(observer.failed, KeyboardInterrupt)
    stored = run.stored()
    assert (stored.status, stored.error) == ("killed", error)
    assert [line.epoch for line in stored.epochs()] == [1, 2]


def test_a_signal_that_the_shell_ignores_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ended_by_term():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_that_has_finished_stays_so(run, sent):
    class Late:
        failed = False

        def dbgsom_run_finished(self, run, result):
            sent(signal.SIGINT)

        def dbgsom_run_failed(self, run, error):
            self.failed = True

    late = Late()
    with pytest.raises(KeyboardInterrupt):
        run(late)
    assert run.stored().status == "finished"
    assert not late.failed


def test_a_folder_that_vanishes_ends_the_run_as_failed(run, caplog):
    observer = Swallowing(lambda: shutil.rmtree(run.root))
    with pytest.raises(DbgsomError, match=r"cannot be written .*: somebody removed it"):
        run(observer)
    assert "training goes on" not in caplog.text
    assert run.stored().status == "failed"
    assert isinstance(observer.failed, DbgsomError)


def test_a_run_that_cannot_begin_leaves_no_empty_folder(run, monkeypatch):
    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dbgsom_core.runs.folder.write_atomically", full)
    with pytest.raises(DbgsomError, match="No space left on device"):
        run()
    assert list(run.root.iterdir()) == []


def test_figures_and_trackers_that_raise_are_noted_and_the_run_goes_on(run):
    seen = []

    class Broken(FigureComponent):
        """A figure that cannot be drawn."""

        def draw(self, view):
            folder = next(run.root.iterdir())
            seen.extend(path.name for path in folder.iterdir())
            raise RuntimeError("no ink")

    class Closed(TrackerComponent):
        """A tracker whose observer cannot be made."""

        def observer(self):
            raise RuntimeError("no store")

    class Fails(TrackerComponent):
        """A tracker whose observer fails in every event."""

        def observer(self):
            return SimpleNamespace(dbgsom_epoch_finished=lambda: 1 / 0)

    def change(experiment):
        return replace(experiment, figures=(("broken", Broken()),))

    trackers = [("broken", Closed()), ("fails", Fails())]
    run(figures="[hit_map]", change=change, trackers=trackers)
    assert {"model.npz", "measures.json", "output_example.npy"} <= set(seen)  # before any figure
    stored = run.stored()
    assert (stored.status, len(stored.epochs())) == ("finished", 5)
    report = stored.files.report.read_text()
    assert "* figure broken failed (" in report
    assert "no ink" in report
    assert "failed in observer (ComponentError: " in report
    assert report.count("failed in dbgsom_epoch_finished (ZeroDivisionError") == 1


def test_an_observer_of_a_run_may_end_its_training(run):
    class Enough:
        def dbgsom_epoch_finished(self, epoch):
            return STOP if len(epoch.som_map) == epoch.neurons and epoch.epoch == 3 else None

    run(Enough())
    stored = run.stored()
    assert stored.status == "finished"
    assert [line.epoch for line in stored.epochs()] == [1, 2, 3]
    told = "observer Enough ended the training after 3 of at most 5 epochs"
    assert told in stored.files.report.read_text()


def test_a_configuration_stops_on_validation_accuracy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rule = {"name": "patience", "measure": "accuracy", "epochs": 3, "keep_best": True}
    config = {
        "experiment": "stops",
        "dataset": "iris",
        "model": {"estimator": "classifier", "epochs": 40, "tol": 0.0, "stopping": rule},
        "measures": ["accuracy"],
        "figures": [],
        "tracking": [],
    }
    found = dbgsom_core.run(config)
    (note,) = (one for one in found.notes if "patience" in one)
    ran = found.model.estimator
    assert note.startswith(f"patience ended the training after {ran.n_iter_} of at most 40 epochs")
    assert f"the map is that of epoch {ran.kept_epoch_}" in note
    assert ran.kept_epoch_ == ran.n_iter_ - 3
    config["model"]["stopping"]["measure"] = "r2"
    with pytest.raises(ConfigError, match=r"stopping: measure 'r2' is for estimator regressor"):
        dbgsom_core.run(config)


STARTED = "2026-11-24T10:15:00.000+00:00"
HOLDER = """
import sys, time
from pathlib import Path
from dbgsom_core.runs.folder import RunFiles, write_status
from dbgsom_core.runs.stored_runs import RunLock
folder = Path(sys.argv[1])
lock = RunLock(folder)
assert lock.acquire()
write_status(RunFiles(folder), "running", sys.argv[2])
print("up", flush=True)
time.sleep(600)
"""


def running_run(root, process=..., name="1"):
    files = RunFiles(root / "digits" / name)
    write_status(files, "running", STARTED, process=process)
    return files


@pytest.fixture
def other_process(tmp_path):
    """A process that runs a run, until it is killed."""
    folder = tmp_path / "digits" / "1"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", HOLDER, str(folder), STARTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        yield process
        process.kill()


def test_a_run_is_killed_once_its_process_is(other_process, tmp_path):
    files = RunFiles(tmp_path / "digits" / "1")
    files.figure("u_matrix").parent.mkdir()
    for place in (files.folder, files.figure("u_matrix").parent):
        (place / ".model-0123456789ab.npz").write_bytes(b"half")
    (files.folder / ".kept").write_text("whose?")
    assert is_locked(files.folder)
    assert mark_killed_runs(tmp_path, "digits") == []
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    (killed,) = mark_killed_runs(tmp_path, "digits")
    stored = read_run(files.folder)
    assert stored.status == killed.status == "killed"
    assert f"its process {other_process.pid} on" in stored.error
    assert "died without a word: it was killed, or the machine went down" in stored.error
    assert stored.started.isoformat(timespec="milliseconds") == STARTED
    assert stored.ended is not None
    assert stored.process.pid == other_process.pid
    assert {path.name for path in files.folder.rglob("*")} == {
        "status.json",
        "figures",
        ".kept",
        ".lock",
    }
    assert mark_killed_runs(tmp_path, "digits") == []


@pytest.mark.parametrize("command", ["compare", "show", "run"])
def test_commands_mark_it_in_its_status(command, other_process, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "digits").rename(tmp_path / "runs" / "digits")
    files = RunFiles(tmp_path / "runs" / "digits" / "1")
    write_json(files.run, {"id": "1", "name": "one", "experiment": "digits"})
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    (tmp_path / "run.yaml").write_text(
        "experiment: digits\ndataset: iris\nmodel: {epochs: 2}\nmeasures: []\nfigures: []\n"
        "tracking: []\n"
    )
    words = {"compare": ["compare", "digits"], "show": ["show", "digits"]}
    CliRunner().invoke(cli, words.get(command, ["run", "-q", "run.yaml"]))
    assert read_run(files.folder).status == "killed"


def test_a_run_of_another_host_died_when_it_gave_no_sign_for_a_day(tmp_path):
    elsewhere = Process(host="elsewhere", pid=1)
    files = running_run(tmp_path, elsewhere)
    assert mark_killed_runs(tmp_path, "digits") == []
    long_ago = time.time() - 90_000
    os.utime(files.status, (long_ago, long_ago))
    (files.folder / ".lock").touch()
    assert mark_killed_runs(tmp_path, "digits") == []  # the lock was touched just now
    os.utime(files.folder / ".lock", (long_ago, long_ago))
    (killed,) = mark_killed_runs(tmp_path, "digits")
    assert "on elsewhere gave no sign of life for a day" in killed.error
    assert abs(killed.ended.timestamp() - long_ago) < 60
    assert read_run(files.folder).status == "killed"


def test_a_run_that_goes_on_touches_its_lock(tmp_path):
    lock = RunLock(tmp_path)
    with lock:
        assert lock.acquire()
        os.utime(lock.path, (0, 0))
        lock.touch()
        assert time.time() - lock.path.stat().st_mtime < 60
        os.utime(lock.path, (0, 0))
        lock.touch()  # not in every epoch
        assert lock.path.stat().st_mtime == 0


@pytest.mark.parametrize(
    ("epochs", "damage"),
    [([1, 2, 3], ""), ([1, 3], "lacks epoch 2"), ([2], "lacks epoch 1"), ([1, 2, 2], "2 twice")],
)
def test_a_lost_or_doubled_line_of_the_journal_is_noticed(epochs, damage, tmp_path):
    files, length = running_run(tmp_path), 0
    for epoch in epochs:
        length = append_epoch(files.journal, JournalLine(epoch, 0, {"a": 1.0}), length)
    found = journal_damage(read_run(files.folder))
    assert found.endswith(damage)
    assert bool(found) == bool(damage)


def test_only_what_was_left_half_written_is_swept(tmp_path):
    def killed(temporary):
        temporary.write_text("{")
        (tmp_path / "name").write_text(temporary.name)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.b.json", killed)
    (tmp_path / (tmp_path / "name").read_text()).touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_a_full_disk_has_space_for_the_end(tmp_path, monkeypatch):
    files = running_run(tmp_path, None)

    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dbgsom_core.runs.folder.write_atomically", full)
    write_status(files, "failed", STARTED, STARTED, "ä" * 9000)
    stored = read_run(files.folder)
    assert stored.status == "failed"
    assert files.status.stat().st_size <= 4096


def test_a_folder_of_another_format_is_refused_in_a_sentence(run):
    run()
    stored = run.stored()
    known = json.loads(stored.files.run.read_text())
    assert known["format"] == 1
    write_json(stored.files.run, {**known, "format": 2})
    assert run.stored().damage == "run.json: 'format': Input should be 1"
