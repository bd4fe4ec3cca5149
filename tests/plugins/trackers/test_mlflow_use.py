"""Using what MLflow holds: models by address, and its page."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import dbgsom_core
from dbgsom_core.errors import DbgsomError
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.predict import find_model
from dbgsom_plugins.trackers.mlflow.tracker import MLflow


@pytest.fixture
def flowers(uri, client, tmp_path, monkeypatch):
    """A run in MLflow, registered with an alias."""
    monkeypatch.chdir(tmp_path)
    tracker = {"name": "mlflow", "uri": "sqlite:///mlflow.db", "registered_model": "flowers"}
    found = dbgsom_core.run(
        {
            "experiment": "iris",
            "dataset": "iris",
            "prepare": ["standardize"],
            "model": {"epochs": 3},
            "measures": ["quantization_error"],
            "figures": [],
            "tracking": [tracker],
        }
    )
    client.set_registered_model_alias("flowers", "best", "1")
    run = client.only_run("iris")
    return SimpleNamespace(
        found=found,
        run_id=run.info.run_id,
        experiment=run.info.experiment_id,
        model_id=run.outputs.model_outputs[0].model_id,
    )


def test_models_are_fetched_and_nothing_that_is_stored_is_run(
    flowers, uri, tmp_path, iris, monkeypatch
):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    scripts = list((tmp_path / "mlruns").rglob("served_model.py"))
    assert scripts
    for script in scripts:
        script.write_text("raise SystemExit('stored code was run')")
    wanted = flowers.found.model.predict(iris[0])
    addresses = (
        "models:/flowers@best",
        "models:/flowers/1",
        f"models:/{flowers.model_id}",
        f"runs:/{flowers.run_id}/som",
        f"runs:/{flowers.run_id}",
    )
    for address in addresses:
        fetched = find_model(address, tmp_path, get_registry(), uri).model
        np.testing.assert_array_equal(fetched.predict(iris[0]), wanted)


def test_addresses_that_lead_nowhere_are_told(flowers, uri):
    wrong = {
        "models:/flowers@none": "alias",
        "models:/flowers": "models:/flowers",
        f"runs:/{flowers.run_id}/other": "has no model 'other'",
        "runs:/nobody": "nobody",
    }
    for address, told in wrong.items():
        with pytest.raises(DbgsomError, match=told) as caught:
            find_model(address, Path(), get_registry(), uri)
        assert len(str(caught.value).splitlines()) == 1
        assert caught.value.exit_code == 2, address


def test_pages_lead_to_each_other(flowers, client):
    mode = "?workflowType=machine_learning"
    page = f"#/experiments/{flowers.experiment}"
    note = client.only_run("iris").data.tags["mlflow.note.content"].splitlines()[0]
    assert f"[Report]({page}/runs/{flowers.run_id}/artifacts/report.html{mode})" in note
    assert f"[Model]({page}/models/{flowers.model_id}{mode})" in note
    kind = client.get_experiment(flowers.experiment).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def test_the_page_is_that_of_the_experiment_or_the_run(flowers, uri):
    tracker = MLflow(uri=uri)
    page = tracker.page("iris", None, 5999)
    assert page.address == (
        f"http://127.0.0.1:5999/#/experiments/{flowers.experiment}/runs"
        "?workflowType=machine_learning"
    )
    words = " ".join(page.command)
    assert "ui --host 127.0.0.1 --port 5999" in words
    assert uri not in words  # which others can read
    assert page.environment["MLFLOW_BACKEND_STORE_URI"] == uri
    assert page.environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    run = tracker.page("iris", flowers.found.folder, 5000).address
    mode = "?workflowType=machine_learning"
    assert run.endswith(f"/#/experiments/{flowers.experiment}/runs/{flowers.run_id}{mode}")
    assert tracker.page("another", None, 5000).address.endswith(f"/#/experiments{mode}")


def test_a_password_of_a_store_stays_out_of_the_command():
    page = MLflow(uri="postgresql://me:secret@db/mlflow").page(None, None, 5000)
    assert "secret" not in " ".join(page.command)
    assert page.environment["MLFLOW_BACKEND_STORE_URI"].endswith("me:secret@db/mlflow")
