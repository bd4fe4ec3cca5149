"""Whole runs through the command line, read back from the run folder and from MLflow."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_iris

from dbgsom_core import persistence, presets
from dbgsom_core.api import KernelComponent, hookimpl
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.prepare import RangeScaler
from dbgsom_plugins.trackers.mlflow.store import quiet

pytestmark = pytest.mark.one_version

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory, empty_store):
    """A folder in which all runs of this file happen, so that they share one MLflow store."""
    folder = tmp_path_factory.mktemp("workshop")
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="session")
def dbgsom(workshop, called):
    """Call the command in the workshop, and see how it ends."""

    def call(*words, code=0):
        done = called(workshop, *words)
        assert done.code == code, done.err
        return done

    return call


def newest(workshop, experiment):
    return sorted((workshop / "runs" / experiment).iterdir())[-1]


def mlflow_runs(workshop, experiment):
    with quiet():
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{workshop}/mlflow.db")
        found = client.get_experiment_by_name(experiment)
        return client, client.search_runs([found.experiment_id])


@pytest.fixture(scope="session")
def digits_run(workshop, dbgsom):
    return dbgsom("run", CONFIGS / "digits.yaml"), newest(workshop, "digits")


def test_the_main_job_leaves_a_complete_run_folder(digits_run):
    done, folder = digits_run
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "measures.json",
        "model.npz",
        "report.md",
        "figures/label_map.png",
        "figures/u_matrix.png",
        "figures/hit_map.png",
        "figures/growth_curve.png",
    }
    measures = json.loads((folder / "measures.json").read_text())
    assert measures["test/accuracy"] > 0.9
    assert measures["train/quantization_error"] < measures["test/quantization_error"]
    report = (folder / "report.md").read_text()
    assert f"test accuracy {measures['test/accuracy']:.3f}" in report
    assert str(folder) in done.out
    assert f"dbgsom ui {folder.name}" in done.out


def test_mlflow_holds_the_figures_and_pages_of_the_main_job(digits_run, workshop):
    client, (stored,) = mlflow_runs(workshop, "digits")
    held = {file.path for file in client.list_artifacts(stored.info.run_id, "figures")}
    assert held == {f"figures/{path.name}" for path in (digits_run[1] / "figures").iterdir()}
    assert "figures/explorer.html" in held


def test_the_resolved_config_of_a_run_makes_the_same_map(digits_run, workshop, dbgsom):
    _, folder = digits_run
    dbgsom("run", folder / "config.yaml", "-q", "--set", "tracking=[]", "--set", "figures=[]")
    again = newest(workshop, "digits")
    assert again != folder
    first, second = (persistence.load(one / "model.npz") for one in (folder, again))
    np.testing.assert_array_equal(first.estimator.weights_, second.estimator.weights_)
    assert (folder / "measures.json").read_text() == (again / "measures.json").read_text()


def test_the_paper_through_yaml_is_the_paper_preset(workshop, dbgsom):
    dbgsom("run", CONFIGS / "paper-iris.yaml", "-q")
    model = persistence.load(newest(workshop, "paper-iris") / "model.npz")
    X = RangeScaler().fit_transform(load_iris(return_X_y=True)[0])
    preset = presets.paper(spreading_factor=0.7, epochs=100).set_params(random_state=42).fit(X)
    np.testing.assert_array_equal(model.estimator.weights_, preset.weights_)
    assert model.estimator.neurons_ == preset.neurons_
    assert model.estimator.growing_threshold_ == pytest.approx(1.4267, abs=1e-4)


def test_a_sweep_nests_its_children_and_names_them_by_what_varies(workshop, dbgsom):
    less = ("--set", "model.epochs=6", "--set", "figures=[]", "--set", "measures=[accuracy]")
    done = dbgsom("sweep", CONFIGS / "sweep-kernels.yaml", *less)
    _, runs = mlflow_runs(workshop, "kernels")
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert len(children) == 6
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    variant = "kernel=gaussian, spreading_factor=0.3"
    assert variant.replace("kernel=", "") in {run.info.run_name for run in children}
    assert variant in {run.data.tags["dbgsom.variant"] for run in children}
    common = parent.data.params.keys() - {"kernel.cutoff"}
    assert all(run.data.params.keys() >= common for run in children)
    assert parent.data.params["kernel"] == "varies"
    best = max(run.data.metrics["test/accuracy"] for run in children)
    assert parent.data.metrics["best/test/accuracy"] == best
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "accuracy" in done.out


def test_a_data_file_may_lie_beside_the_config(workshop, dbgsom):
    folder = workshop / "elsewhere"
    folder.mkdir()
    np.savez(folder / "data.npz", X=np.random.default_rng(0).normal(size=(30, 2)))
    (folder / "run.yaml").write_text(
        "experiment: beside\ndataset: {name: npz, path: data.npz}\ntracking: []\n"
    )
    done = dbgsom("run", "elsewhere/run.yaml", "-q")
    assert done.out == ""


def test_a_run_that_fails_is_failed_everywhere_and_a_tripping_observer_stops_nothing(
    workshop, dbgsom
):
    class Failing(KernelComponent):
        """A kernel that fails half way."""

        def weight(self, hops, width):
            if width < 0.8:
                raise RuntimeError("the kernel tripped")
            return 1.0 / (1.0 + hops)

    def trip(run, epoch):
        raise RuntimeError("an observer tripped")

    plugin = SimpleNamespace(
        DBGSOM_API_VERSION=1,
        dbgsom_kernels=hookimpl(lambda: {"failing": Failing}, specname="dbgsom_kernels"),
        dbgsom_epoch_finished=hookimpl(trip, specname="dbgsom_epoch_finished"),
    )
    (workshop / "failing.yaml").write_text(
        "experiment: failing\ndataset: iris\nmodel: {kernel: failing}\n"
    )
    get_registry().register(plugin, "failing")
    try:
        done = dbgsom("run", "failing.yaml", code=3)
    finally:
        get_registry.cache_clear()
    told = r"kernel 'failing' of unregistered 0 \(.*test_runs.py:\d+\): RuntimeError: the kernel"
    assert re.search(told, done.err)
    assert "an observer tripped" in done.err
    assert "Traceback" not in done.err
    status = json.loads((newest(workshop, "failing") / "run.json").read_text())
    assert status["status"] == "failed"
    assert re.match(f"ComponentError: {told}", status["error"])
    _, (run,) = mlflow_runs(workshop, "failing")
    assert run.info.status == "FAILED"


def test_a_dead_tracking_server_costs_one_sentence_and_sync_brings_the_run_over(workshop, dbgsom):
    (workshop / "away.yaml").write_text(
        "experiment: away\ndataset: iris\nmodel: {epochs: 5, tol: 0}\n"
        "tracking: {name: mlflow, uri: 'http://127.0.0.1:9'}\n"
    )
    done = dbgsom("run", "away.yaml")
    assert done.err.count("does not answer") == 1
    assert "dbgsom sync" in done.err
    folder = newest(workshop, "away")
    assert f"report: {folder / 'report.html'}\n" in done.out
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["tracking"][0]["uri"] = "sqlite:///mlflow.db"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "1 run(s)" in dbgsom("sync", "away").out
    _, (run,) = mlflow_runs(workshop, "away")
    assert run.info.status == "FINISHED"
    assert "train/quantization_error" in run.data.metrics
