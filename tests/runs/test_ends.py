"""However a run ends, its folder says so: signals, processes that are killed, full disks."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import dbgsom_core
from dbgsom_core.api import STOP, FigureComponent, TrackerComponent
from dbgsom_core.cli import cli
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.folder import RunFiles, find_runs, read_run, write_json
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.session import ended_by_term, make_callbacks

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


def test_a_folder_that_vanishes_ends_the_run_as_failed(run, caplog):
    observer = Swallowing(lambda: shutil.rmtree(run.root))
    with pytest.raises(DbgsomError, match=r"cannot be written \(No such file"):
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
    assert {"model.npz", "measures.json", "neurons.csv"} <= set(seen)  # before any figure
    stored = run.stored()
    assert (stored.status, len(stored.epochs())) == ("finished", 5)
    report = stored.files.report.read_text()
    assert all(text in report for text in ("broken", "no ink", "no store"))
    assert report.count("ZeroDivisionError") == 1


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
    with pytest.raises(ConfigError, match=r"measure 'r2' is for estimator regressor"):
        dbgsom_core.run(config)


HOLDER = """
import sys, time
from pathlib import Path
from dbgsom_core.runs.folder import RunFiles, StoredRun, run_lock
with run_lock(Path(sys.argv[1])):
    StoredRun(id="1", name="one", experiment="digits", files=RunFiles(Path(sys.argv[1]))).write()
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_run_is_killed_once_its_process_is(tmp_path, monkeypatch, is_ours):
    monkeypatch.chdir(tmp_path)
    if not is_ours:  # readers may not write to the lock
        monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    folder = tmp_path / "runs" / "digits" / "1"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"up\n"
            assert read_run(folder).status == "running"
            written = RunFiles(folder).run.read_bytes()
        finally:
            process.kill()
    killed = read_run(folder)
    assert (killed.status, killed.error) == ("killed", "its process ended without a word")
    shown = CliRunner().invoke(cli, ["show"]).output
    assert "killed" in shown
    assert RunFiles(folder).run.read_bytes() == written  # readers write nothing


def test_a_folder_of_another_format_is_refused_in_a_sentence(run):
    run()
    stored = run.stored()
    known = json.loads(stored.files.run.read_text())
    assert known["format"] == 2
    write_json(stored.files.run, {**known, "format": 1})
    assert run.stored().damage == "run.json: format: Input should be 2"
    told = CliRunner().invoke(cli, ["run", "--resume", str(stored.files.folder)]).exception
    assert str(told).endswith("is damaged: run.json: format: Input should be 2")
    write_json(stored.files.run, {"id": "1", "status": "finished"})
    assert run.stored().damage == "run.json: it has no format"
