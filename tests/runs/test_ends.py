"""However a run ends, its folder says so: swallowed signals, work that hangs, full disks."""

import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

import dbgsom_core
from dbgsom_core.api import STOP, Component, Run
from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError, DbgsomError
from dbgsom_core.plugins.callbacks import Callbacks
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import Interrupted, make_callbacks, shutdown
from dbgsom_core.runs.folder import find_runs
from dbgsom_core.runs.pipeline import failures_reported, run_experiment
from dbgsom_core.runs.stored_runs import RunLock

CONFIG = """\
experiment: ends
dataset: iris
model: {{epochs: 5, max_neurons: 9}}
measures: [quantization_error]
figures: {figures}
patience: 0.2
tracking: {{name: run_folder, path: '{path}/runs'}}
"""


@pytest.fixture
def sent():
    """Heed signals, and send them to this very thread."""
    with shutdown.handling():
        yield signal.raise_signal
    shutdown.signal = None


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


def test_a_signal_is_remembered_though_what_it_raises_is_swallowed(run, sent):
    observer = Swallowing(lambda: sent(signal.SIGTERM))
    with pytest.raises(Interrupted, match="asked to end by SIGTERM"):
        run(observer)
    assert isinstance(observer.swallowed, Interrupted)
    assert isinstance(observer.failed, Interrupted)
    stored = run.stored()
    assert (stored.status, stored.error) == ("killed", "Interrupted: asked to end by SIGTERM")
    assert [line.epoch for line in stored.epochs()] == [1, 2]


def test_signals_that_the_shell_ignores_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with shutdown.handling():
            signal.raise_signal(signal.SIGHUP)
        assert shutdown.signal is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", ["SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2"])
def test_every_signal_that_would_end_the_process_is_heard(number, sent):
    with pytest.raises(Interrupted, match=number):
        sent(getattr(signal, number))
    with pytest.raises(Interrupted, match=number):
        shutdown.check()


def test_a_second_signal_within_the_end_leaves_nothing_running(sent, tmp_path):
    class Folder:
        ended = None

        def dbgsom_run_failed(self, error):
            sent(signal.SIGINT)  # deferred: only remembered
            self.ended = error

    class Slow:
        def dbgsom_run_failed(self):
            sent(signal.SIGINT)

    folder, run = Folder(), Run("r", "r", "e", "run", tmp_path, {}, {}, {}, {})
    callbacks = Callbacks([Slow(), Slow()], required=folder)
    with pytest.raises(Interrupted), failures_reported(callbacks, run, RunLock(tmp_path)):
        sent(signal.SIGINT)
    assert isinstance(folder.ended, Interrupted)


def test_a_run_that_has_finished_stays_so(run, sent):
    class Late:
        failed = False

        def dbgsom_run_finished(self, run, result):
            sent(signal.SIGINT)

        def dbgsom_run_failed(self, run, error):
            self.failed = True

    late = Late()
    with pytest.raises(Interrupted):
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

    class Broken(Component):
        """A figure that cannot be drawn, and a tracker whose observer cannot be made."""

        def draw(self, view):
            folder = next(run.root.iterdir())
            seen.extend(path.name for path in folder.iterdir())
            raise RuntimeError("no ink")

        def observer(self):
            raise RuntimeError("no store")

    class Fails(Broken):
        """A tracker whose observer fails in every event."""

        def observer(self):
            return SimpleNamespace(dbgsom_epoch_finished=lambda: 1 / 0)

    def change(experiment):
        return replace(experiment, figures=(("broken", Broken()),))

    trackers = [("broken", Broken()), ("fails", Fails())]
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
