"""Fits of Python programs in MLflow, and models of estimators."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dbgsom_core.mlflow
from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.config import load_experiment
from dbgsom_core.persistence import FittedModel
from dbgsom_core.runs.describe import flat_params
from dbgsom_core.runs.pipeline import make_estimator
from dbgsom_plugins.trackers.mlflow.store import quiet

X = np.random.default_rng(0).random((60, 3))
y = (X[:, 0] > 0.5).astype(int)


class _Runs:
    """The runs of one experiment in a store that MLflow is set to."""

    def __init__(self, mlflow, experiment):
        self.mlflow, self.client, self.experiment = mlflow, mlflow.MlflowClient(), experiment

    def all(self):
        found = self.client.search_runs([self.experiment], order_by=["start_time"])
        return [self.client.get_run(one.info.run_id) for one in found]

    def only(self):
        [found] = self.all()
        return found


@pytest.fixture
def runs(uri, tmp_path, monkeypatch):
    with quiet():
        import mlflow

        for name in ("TRACKING_URI", "EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID"):
            monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
        mlflow.set_tracking_uri(uri)
        place = (tmp_path / "artifacts").as_uri()
        experiment = mlflow.create_experiment("python", artifact_location=place)
        mlflow.set_experiment(experiment_id=experiment)
        try:
            yield _Runs(mlflow, experiment)
        finally:
            dbgsom_core.mlflow.autolog(disable=True)
            while mlflow.active_run() is not None:
                mlflow.end_run()
            mlflow.set_tracking_uri(None)
            mlflow.tracking.fluent._active_experiment_id = None
            os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


def test_a_fit_is_logged_in_a_run_of_its_own(runs):
    dbgsom_core.mlflow.autolog()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    fitted = SomVQ(epochs=3, spreading_factor=0.4, random_state=1).fit(frame)
    run = runs.only()
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert params["estimator"] == "vq"
    assert params["growth.spreading_factor"] == "0.4"
    assert (params["epochs"], params["seed"], params["kernel.start"]) == ("3", "1", "auto")
    history = runs.client.get_metric_history(run.info.run_id, "epoch/quantization_error")
    assert [one.step for one in history] == [one.epoch for one in fitted.history_]
    assert run.data.metrics["train/quantization_error"] == fitted.quantization_error_
    assert run.info.run_name == "SomVQ on table-60x3: directed SF 0.4, gaussian, euclidean"
    assert run.inputs.dataset_inputs[0].dataset.name == "table-60x3"
    found = {one.path for one in runs.client.list_artifacts(run.info.run_id, "figures")}
    assert found == {"figures/label_map.png", "figures/growth_curve.png"}
    [output] = run.outputs.model_outputs
    model = runs.client.get_logged_model(output.model_id)
    measured = {one.key: one for one in model.metrics}
    final = measured["train/quantization_error"]
    assert (final.step, final.dataset_name) == (3, "table-60x3")
    assert model.model_type == params["estimator"]
    told = (params["dataset"], params["prepare"], params["split"])
    assert told == ("table-60x3", "none", "none")
    assert output.step == 3
    note = run.data.tags["mlflow.note.content"]
    page = f"#/experiments/{runs.experiment}/models/{output.model_id}"
    assert note.startswith(f"[Model]({page}?workflowType=machine_learning)")
    assert f"{len(fitted.neurons_)} neurons after 3 epochs" in note
    uri = f"models:/{output.model_id}"
    again = runs.mlflow.pyfunc.load_model(uri)
    np.testing.assert_array_equal(again.predict(frame[["c", "a", "b"]]), fitted.predict(frame))
    loaded = dbgsom_core.mlflow.load_model(uri)
    assert isinstance(loaded, SomVQ)
    np.testing.assert_array_equal(loaded.weights_, fitted.weights_)


def test_a_second_fit_in_a_run_is_its_child_and_disabling_ends_it(runs):
    dbgsom_core.mlflow.autolog(log_models=False, log_figures=False)
    with runs.mlflow.start_run() as active:
        SomVQ(epochs=2).fit(X)
        SomVQ(epochs=3).fit(X)
        dbgsom_core.mlflow.autolog(disable=True)
        SomVQ(epochs=4).fit(X)
    runs_by_epochs = {one.data.params["epochs"]: one for one in runs.all()}
    assert runs_by_epochs.keys() == {"2", "3"}
    assert runs_by_epochs["2"].info.run_id == active.info.run_id
    assert runs_by_epochs["3"].data.tags["mlflow.parentRunId"] == active.info.run_id
    assert {one.info.status for one in runs.all()} == {"FINISHED"}


def test_what_mlflow_does_not_take_is_warned_of(runs, monkeypatch):
    dbgsom_core.mlflow.autolog(log_models=False, log_figures=False)

    def away(*_, **__):
        raise ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(runs.mlflow.MlflowClient, "log_batch", away)
        with pytest.warns(UserWarning, match=r"not told all of the fit of run .*Error: gone\)"):
            SomVQ(epochs=2).fit(X)
    assert runs.only().info.status == "FINISHED"


@pytest.mark.parametrize("inside", [False, True])
def test_partial_fit_is_not_logged_and_trains_the_same_map(inside, runs):
    plain = SomVQ(epochs=2, random_state=0).partial_fit(X[:30]).partial_fit(X[30:])
    dbgsom_core.mlflow.autolog()
    with runs.mlflow.start_run() if inside else nullcontext():
        logged = SomVQ(epochs=2, random_state=0).partial_fit(X[:30]).partial_fit(X[30:])
    np.testing.assert_array_equal(logged.weights_, plain.weights_)
    assert [run.data.params for run in runs.all()] == ([{}] if inside else [])


def test_the_parameters_are_those_of_a_configuration(runs):
    dbgsom_core.mlflow.autolog(log_models=False, log_figures=False)
    model = {"estimator": "classifier", "epochs": 3, "kernel": "bubble", "metric": "cosine"}
    written = {"experiment": "e", "dataset": "iris", "model": model, "split": None, "seed": 4}
    experiment = load_experiment(written)
    estimator = make_estimator(experiment).fit(X, y)
    found, wanted = runs.only(), flat_params(experiment.resolved | {"dataset": "array-60x3"})
    known = found.data.params
    assert {"kernel", "kernel.start", "metric", "seed", "prepare", "split"} <= known.keys()
    assert {key: str(wanted[key]) for key in known} == known
    assert found.data.metrics["train/accuracy"] == estimator.score(X, y)


def test_a_fit_that_fails_ends_its_run_as_failed(runs):
    dbgsom_core.mlflow.autolog()
    with pytest.raises(ValueError, match="epochs"):
        SomVQ(epochs=-1).fit(X)
    [run] = runs.all()
    assert run.info.status == "FAILED"


def test_a_pipeline_is_logged_and_registered(runs):
    pipeline = make_pipeline(StandardScaler(), SomClassifier(epochs=2)).fit(X, y)
    info = dbgsom_core.mlflow.log_model(
        pipeline, "som", input_example=X[:4], registered_model_name="maps"
    )
    assert info.registered_model_version == 1
    loaded = dbgsom_core.mlflow.load_model("models:/maps/1")
    assert isinstance(loaded, FittedModel)
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))
    served = runs.mlflow.pyfunc.load_model("models:/maps/1")
    told = served.predict(X, params={"columns": ["label", "pvalue"]})
    np.testing.assert_array_equal(told["label"], pipeline.predict(X))


def test_the_door_imports_no_mlflow():
    script = "import sys, dbgsom_core.mlflow; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_store_that_fails_stops_no_fit(runs, monkeypatch):
    dbgsom_core.mlflow.autolog()

    def away(*_, **__):
        raise ConnectionError("gone")

    monkeypatch.setattr(runs.mlflow, "start_run", away)
    with pytest.warns(UserWarning, match=r"not told all of this fit \(ConnectionError: gone\)"):
        assert len(SomVQ(epochs=2).fit(X).weights_)
