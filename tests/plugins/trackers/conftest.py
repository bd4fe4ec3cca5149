import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from dbgsom_core import SomVQ
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.persistence import FittedModel
from dbgsom_core.training.callbacks import call
from dbgsom_plugins.trackers.mlflow.store import quiet


@pytest.fixture(scope="session")
def small_model():
    """A map of two features."""
    X = np.random.default_rng(0).random((40, 2))
    return FittedModel((), SomVQ(epochs=2, growth="fixed", random_state=0).fit(X))


@pytest.fixture
def make_run(tmp_path):
    def make(identifier="20261124-101500-a1", **changes):
        run = Run(
            id=identifier,
            name="directed SF 0.5",
            experiment="digits",
            kind="run",
            folder=tmp_path / "runs" / "digits" / identifier,
            config={"experiment": "digits", "model": {"estimator": "classifier", "epochs": 3}},
            params={"growth": "directed", "spreading_factor": 0.5, "epochs": 3},
            environment={
                "python": "3.11.7",
                "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
                "plugins": [
                    {
                        "name": "builtin",
                        "distribution": "dbgsom-core",
                        "version": "0.1.0",
                        "status": "ok",
                    },
                    {"name": "x", "distribution": "broken", "version": "1", "status": "broken"},
                ],
            },
            data={"name": "digits", "samples": 1797, "features": 2, "digest": "ab" * 32},
            total_epochs=3,
        )
        changed = replace(run, **changes)
        return replace(changed, folder=tmp_path / "runs" / changed.experiment / identifier)

    return make


@pytest.fixture
def history():
    return [
        EpochRecord(
            epoch=epoch,
            epochs=3,
            phase="growing",
            width=2.0 / epoch,
            neurons=4 + epoch,
            births=(),
            quantization_error=20.0 / epoch,
            movement=float("nan") if epoch == 1 else 0.1 / epoch,
            seconds=0.1 * epoch,
        )
        for epoch in (1, 2, 3)
    ]


@pytest.fixture
def result(history, small_model):
    figure = Figure()
    figure.add_subplot().plot([0, 1], [1, 0])
    return RunResult(
        measures={
            "train/quantization_error": 6.5,
            "test/quantization_error": 7.25,
            "train/accuracy": 0.97,
            "test/accuracy": 0.95,
            "train/davies_bouldin": float("nan"),
        },
        history=history,
        figures={"growth_curve": figure},
        model=small_model,
        example=np.array([[0.1, 0.2], [0.9, 0.8], [0.4, 0.1]]),
        notes=["the cap of 80 neurons was reached"],
    )


@pytest.fixture
def play(history, result):
    """Let observers hear a whole run, the run folder first."""

    def perform(run, *observers, error=None):
        for observer in observers:
            observer.dbgsom_run_started(run)
        for epoch in history:
            for observer in observers:
                observer.dbgsom_epoch_finished(run, epoch)
        for observer in observers:
            if error is None:
                call(observer, "dbgsom_run_finished", {"run": run, "result": result})
            else:
                observer.dbgsom_run_failed(run, error)

    return perform


@pytest.fixture
def uri(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


class QuietClient:
    """MlflowClient whose calls make no noise of their own, so that a test hears the tracker's."""

    def __init__(self, uri):
        with quiet():
            from mlflow import MlflowClient

            self._client = MlflowClient(uri, registry_uri=uri)

    def __getattr__(self, name):
        def call(*args, **options):
            with quiet():
                return getattr(self._client, name)(*args, **options)

        return call

    def only_run(self, experiment="digits"):
        """Return the single run of an experiment."""
        found = self.get_experiment_by_name(experiment)
        runs = self.search_runs([found.experiment_id])
        assert len(runs) == 1
        return self.get_run(runs[0].info.run_id)


@pytest.fixture
def connect():
    return QuietClient


@pytest.fixture
def client(uri):
    return QuietClient(uri)
