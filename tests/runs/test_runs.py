"""Whole runs through the command line, read back from the run folder and from MLflow."""

import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import r2_score

import dbgsom_core
from dbgsom_core import persistence, presets
from dbgsom_core.cli import main
from dbgsom_core.runs.prepare import RangeScaler
from dbgsom_plugins.trackers.mlflow.store import quiet

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """A folder in which all runs of this file happen, so that they share one MLflow store."""
    return tmp_path_factory.mktemp("workshop")


def dbgsom(folder, *arguments, check=0):
    """Run the command in this process, whose imports are done, as if it were typed in a folder."""
    out, err, argv = io.StringIO(), io.StringIO(), ["dbgsom", *map(str, arguments)]
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", argv),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert ended.value.code == check, err.getvalue()
    return subprocess.CompletedProcess(argv, check, out.getvalue(), err.getvalue())


def newest(workshop, experiment):
    return sorted((workshop / "runs" / experiment).iterdir())[-1]


def mlflow_runs(workshop, experiment):
    with quiet():
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{workshop}/mlflow.db")
        found = client.get_experiment_by_name(experiment)
        return client, client.search_runs([found.experiment_id])


@pytest.fixture(scope="session")
def digits_run(workshop):
    command = [sys.executable, "-m", "dbgsom_core.cli", "run", CONFIGS / "digits.yaml"]
    done = subprocess.run(command, cwd=workshop, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done, newest(workshop, "digits")


def test_the_main_job_leaves_a_complete_run_folder(digits_run):
    done, folder = digits_run
    status = json.loads((folder / "status.json").read_text())
    assert status["status"] == "finished"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml",
        "environment.json",
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
    told = (folder / "report.md").read_text()  # the mistakes are those that the accuracy counts
    assert ("mistake in training" in told) == (measures["train/accuracy"] < 1)
    assert str(folder) in done.stdout
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in done.stdout
    assert "accuracy" in done.stdout


def test_the_saved_model_answers_as_the_run_measured(digits_run):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    _, folder = digits_run
    X, y = load_digits(return_X_y=True)
    _, X_test, _, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=42)
    model = persistence.load(folder / "model.npz")
    measures = json.loads((folder / "measures.json").read_text())
    assert np.mean(model.predict(X_test) == y_test) == pytest.approx(measures["test/accuracy"])


def test_the_resolved_config_of_a_run_makes_the_same_map(digits_run, workshop):
    _, folder = digits_run
    dbgsom(workshop, "run", folder / "config.yaml", "-q", "--set", "tracking=[]")
    again = newest(workshop, "digits")
    assert again != folder
    first, second = (persistence.load(one / "model.npz") for one in (folder, again))
    np.testing.assert_array_equal(first.estimator.weights_, second.estimator.weights_)
    assert (folder / "measures.json").read_text() == (again / "measures.json").read_text()


def test_the_paper_through_yaml_is_the_paper_preset(workshop):
    dbgsom(workshop, "run", CONFIGS / "paper-iris.yaml", "-q")
    model = persistence.load(newest(workshop, "paper-iris") / "model.npz")
    X = RangeScaler().fit_transform(load_iris(return_X_y=True)[0])
    preset = presets.paper(spreading_factor=0.7, epochs=100).set_params(random_state=42).fit(X)
    np.testing.assert_array_equal(model.estimator.weights_, preset.weights_)
    assert model.estimator.neurons_ == preset.neurons_
    assert model.estimator.growing_threshold_ == pytest.approx(1.4267, abs=1e-4)


def test_a_sweep_nests_its_children_and_names_them_by_what_varies(workshop):
    less = ("--set", "model.epochs=20", "--set", "figures=[hit_map]")
    done = dbgsom(workshop, "sweep", CONFIGS / "sweep-kernels.yaml", *less)
    _, runs = mlflow_runs(workshop, "kernels")
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert len(children) == 6
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.run_name for run in children} >= {"gaussian · SF 0.3"}
    assert {run.data.tags["dbgsom.variant"] for run in children} >= {
        "kernel=gaussian, spreading_factor=0.3"
    }
    common = parent.data.params.keys() - {"kernel.cutoff"}
    assert all(run.data.params.keys() >= common for run in children)
    assert parent.data.params["kernel"] == "varies"
    best = max(run.data.metrics["test/accuracy"] for run in children)
    assert parent.data.metrics["best/test/accuracy"] == best
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "accuracy" in done.stdout

    table = dbgsom(workshop, "compare", "kernels", "--by", "accuracy").stdout.splitlines()
    assert "accuracy on the test part" in table[0]
    assert table[1].split()[:2] == ["variant", "accuracy"]
    rows = table[2:8]
    assert all(line.startswith(("kernel=", "spreading_factor=")) for line in rows)
    accuracies = [float(re.findall(r" (0\.\d+)", line)[0]) for line in rows]
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_regressor_runs_from_yaml_to_mlflow(workshop):
    done = dbgsom(workshop, "run", CONFIGS / "regression.yaml")
    folder = newest(workshop, "diabetes")
    measures = json.loads((folder / "measures.json").read_text())
    assert measures["test/r2"] > 0.25
    assert max(measures["train/rmse"], measures["test/rmse"]) < 80
    assert not {"train/accuracy", "train/macro_f1", "train/adjusted_rand"} & set(measures)
    assert "r2" in done.stdout
    assert "WARNING" not in done.stderr
    assert (folder / "figures" / "label_map.png").exists()
    assert "| `rmse` |" in (folder / "report.md").read_text()
    assert json.loads((folder / "run.json").read_text())["data"]["classes"] is None
    client, (run,) = mlflow_runs(workshop, "diabetes")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/r2"] == pytest.approx(measures["test/r2"])
    assert run.data.params["labeller"] == "local_linear"
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.model_type == "regressor"
    X, y = load_diabetes(return_X_y=True, scaled=False)
    answers = persistence.load(folder / "model.npz").predict(X)
    assert r2_score(y, answers) > 0.35


def test_cluster_numbers_are_not_called_by_the_names_of_classes(workshop):
    from dbgsom_core.config import load_experiment
    from dbgsom_core.plugins.registry import get_registry
    from dbgsom_core.runs.callbacks import make_callbacks
    from dbgsom_core.runs.pipeline import run_experiment

    (workshop / "clusters.yaml").write_text(
        "experiment: clusters\ndataset: iris\ntracking: {name: run_folder, path: "
        f"'{workshop}/runs'}}\nmodel: {{labeller: clusters}}\n"
    )
    registry = get_registry()
    experiment = load_experiment(workshop / "clusters.yaml", registry=registry)
    outcome = run_experiment(experiment, make_callbacks(experiment.tracking, registry), registry)
    assert not outcome.result.view.label_names
    assert outcome.result.view.class_names == {0: "setosa", 1: "versicolor", 2: "virginica"}
    assert outcome.result.measures["train/adjusted_rand"] > 0.5


def test_figures_show_columns_that_the_map_was_not_trained_on(workshop):
    rows = "".join(f"{i % 7},{i % 3},{i}\n" for i in range(40))
    (workshop / "flats.csv").write_text("rooms,floor,price\n" + rows, encoding="utf-8")
    config = {
        "experiment": "flats",
        "dataset": {"name": "csv", "path": str(workshop / "flats.csv"), "extra": "price"},
        "split": {"test_size": 0.25},
        "model": {"epochs": 3},
        "figures": [{"name": "component_planes", "variables": ["price", "rooms"]}],
        "measures": [],
        "tracking": {"name": "run_folder", "path": str(workshop / "runs")},
    }
    found = dbgsom_core.run(config)
    assert [figure.name for figure in found.figures] == ["component_planes.png"]
    assert found.model.columns.names == ("rooms", "floor")


def test_a_data_file_may_lie_beside_the_config(workshop):
    folder = workshop / "elsewhere"
    folder.mkdir()
    np.savez(folder / "data.npz", X=np.random.default_rng(0).normal(size=(30, 2)))
    (folder / "run.yaml").write_text(
        "experiment: beside\ndataset: {name: npz, path: data.npz}\ntracking: []\n"
    )
    done = dbgsom(workshop, "run", "elsewhere/run.yaml", "-q")
    assert done.stdout == ""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_is_killed_everywhere(how, workshop):
    (workshop / "long.yaml").write_text(
        "experiment: long\n"
        "dataset: {name: blobs, samples: 20000, features: 20}\n"
        "model: {growth: {name: fixed, rows: 20, columns: 20}, epochs: 100000}\n"
    )
    before = set((workshop / "runs" / "long").glob("*/metrics.jsonl"))
    with subprocess.Popen(
        [sys.executable, "-m", "dbgsom_core.cli", "run", "long.yaml"],
        cwd=workshop,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not set((workshop / "runs" / "long").glob("*/metrics.jsonl")) - before:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.05)
            process.send_signal(how)
            said = process.stderr.read()
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 128 + how, said
    assert json.loads((newest(workshop, "long") / "status.json").read_text())["status"] == "killed"
    _, runs = mlflow_runs(workshop, "long")
    assert {run.info.status for run in runs} == {"KILLED"}


BROKEN = """
import types
from dbgsom_core.api import Component, hookimpl
from dbgsom_core.plugins.registry import get_registry

class Failing(Component):
    \"\"\"A kernel that fails half way.\"\"\"

    def weight(self, hops, width):
        if width < 0.8:
            raise RuntimeError("the kernel tripped")
        return 1.0 / (1.0 + hops)

plugin = types.ModuleType("plugin")
plugin.DBGSOM_API_VERSION = 1
plugin.dbgsom_kernels = hookimpl(lambda: {"failing": Failing})
plugin.dbgsom_kernels.__name__ = "dbgsom_kernels"
def dbgsom_epoch_finished(run, epoch):
    raise RuntimeError("an observer tripped")
plugin.dbgsom_epoch_finished = hookimpl(dbgsom_epoch_finished)
get_registry().register(plugin, "failing")
import sys
from dbgsom_core.cli import main
sys.argv = ["dbgsom", *sys.argv[1:]]
main()
"""


def test_a_run_that_fails_is_failed_everywhere_and_a_tripping_observer_stops_nothing(workshop):
    (workshop / "failing.yaml").write_text(
        "experiment: failing\ndataset: iris\nmodel: {kernel: failing}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, "run", "failing.yaml"],
        cwd=workshop,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    told = "kernel 'failing' of unregistered 0 (<string>:11): RuntimeError: the kernel tripped"
    assert told in done.stderr
    assert "an observer tripped" in done.stderr
    assert "Traceback" not in done.stderr
    status = json.loads((newest(workshop, "failing") / "status.json").read_text())
    assert (status["status"], status["error"]) == ("failed", f"ComponentError: {told}")
    _, (run,) = mlflow_runs(workshop, "failing")
    assert run.info.status == "FAILED"


def test_a_dead_tracking_server_costs_one_sentence_and_sync_brings_the_run_over(workshop):
    (workshop / "away.yaml").write_text(
        "experiment: away\ndataset: iris\nmodel: {epochs: 5, tol: 0}\n"
        "tracking: {name: mlflow, uri: 'http://127.0.0.1:9'}\n"
    )
    done = dbgsom(workshop, "run", "away.yaml")
    assert done.stderr.count("does not answer") == 1
    assert "dbgsom sync" in done.stderr
    folder = newest(workshop, "away")
    assert f"report: {folder / 'report.html'}\n" in done.stdout
    assert f"to look at it, once 'dbgsom sync {folder.name}' sent it: open" in done.stdout
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["tracking"][0]["uri"] = "sqlite:///mlflow.db"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "1 run(s)" in dbgsom(workshop, "sync", "away").stdout
    _, (run,) = mlflow_runs(workshop, "away")
    assert run.info.status == "FINISHED"
    assert "train/quantization_error" in run.data.metrics
