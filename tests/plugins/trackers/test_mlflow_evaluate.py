"""``mlflow.models.evaluate`` on models of ours, with MLflow's evaluators and with our own."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from dbgsom_core import SomClassifier, SomRegressor
from dbgsom_core import mlflow as models
from dbgsom_core.measures import evaluate
from dbgsom_core.persistence import FittedModel
from dbgsom_plugins.trackers.mlflow.store import quiet


@pytest.fixture
def asked(uri, tmp_path, monkeypatch):
    """MLflow on a store of its own, which knows the evaluators that pyproject names."""
    monkeypatch.chdir(tmp_path)
    pyproject = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    named = pyproject["project"]["entry-points"]["mlflow.model_evaluator"]
    with quiet():
        import mlflow
        from mlflow.models.evaluation.evaluator_registry import _model_evaluation_registry

        for name, place in named.items():
            found = EntryPoint(name, place, "mlflow.model_evaluator").load()
            _model_evaluation_registry.register(name, found)
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("evaluated")
        yield SimpleNamespace(mlflow=mlflow, evaluate=mlflow.models.evaluate)
        mlflow.set_tracking_uri(None)


@pytest.fixture
def flowers():
    X, y = load_iris(return_X_y=True, as_frame=True)
    return X.assign(kind=y)


def _logged(model, flowers):
    return models.log_model(model, input_example=flowers.drop(columns="kind")[:3]).model_uri


def test_a_classifier_is_measured_by_both(asked, client, flowers):
    train, test = flowers[::2], flowers[1::2]
    model = SomClassifier(epochs=3).fit(train.drop(columns="kind"), train["kind"])
    with asked.mlflow.start_run() as run:
        uri = _logged(model, flowers)
        other = test[test.columns[::-1]]
        found = asked.evaluate(uri, other, model_type="classifier", targets="kind")
    wanted = evaluate(model, test.drop(columns="kind"))
    assert found.metrics["accuracy_score"] > 0.8
    for name in ("quantization_error", "topographic_error"):
        assert found.metrics[name] == pytest.approx(wanted[name])
    assert found.artifacts["hit_map"].content.size[0] > 100
    paths = {one.path for one in client.list_artifacts(run.info.run_id, "figures")}
    assert "figures/label_map.png" in paths
    logged = client.get_logged_model(uri.rpartition("/")[2]).metrics
    on = {one.key: one.dataset_name for one in logged}
    assert on["quantization_error"] == on["accuracy_score"] is not None


def test_a_regressor_and_any_measure_and_figure(asked, flowers):
    X = flowers.drop(columns="kind").to_numpy()
    model = FittedModel((), SomRegressor(epochs=3).fit(X[:, :3], X[:, 3]))
    frame = pd.DataFrame(X, columns=["a", "b", "c", "kind"])
    with asked.mlflow.start_run():
        uri = models.log_model(model, input_example=X[:3, :3]).model_uri
        found = asked.evaluate(
            uri,
            frame,
            model_type="regressor",
            targets="kind",
            evaluators=["regressor", "dbgsom"],
            evaluator_config={
                "dbgsom": {"measures": "default", "figures": ["explorer"], "metric_prefix": "new/"}
            },
        )
    assert found.metrics["r2_score"] == pytest.approx(found.metrics["new/r2"])
    assert np.isfinite(found.metrics["new/trustworthiness"])
    assert found.artifacts["new/explorer"].content.startswith("<!doctype html>")


def test_other_models_are_left_to_others(asked, flowers):
    with pytest.raises(asked.mlflow.MlflowException, match="could not be evaluated by any"):
        asked.evaluate(lambda rows: rows.iloc[:, 0], flowers, model_type="som", evaluators="dbgsom")
