"""The data of runs in MLflow: contexts, sources that load, measures by data set."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import dbgsom_core
from dbgsom_plugins.trackers.mlflow.store import quiet

TABLE = "a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 2]}\n" for i in range(40))
CONFIG = {
    "experiment": "table",
    "dataset": {"name": "csv", "path": "t.csv", "target": "kind"},
    "split": {"test_size": 0.25},
    "model": {"estimator": "classifier", "epochs": 2},
    "measures": ["accuracy"],
    "figures": [],
}


@pytest.fixture
def registered() -> None:
    """Let MLflow know the source that the entry point of the distribution names."""
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    groups = tomllib.loads(pyproject.read_text())["project"]["entry-points"]
    with quiet():
        from mlflow.data import dataset_source_registry

        [source] = groups["mlflow.dataset_source"].values()
        found = EntryPoint("dbgsom", source, "mlflow.dataset_source").load()
        dataset_source_registry.register_dataset_source(found)


def test_data_is_logged_with_its_contexts_and_can_be_loaded(
    uri: str, client: Any, registered: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE)
    dbgsom_core.run({**CONFIG, "tracking": [{"name": "mlflow", "uri": uri}]})
    run = client.only_run("table")
    inputs = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert inputs.keys() == {"training", "testing"}
    assert (inputs["training"].name, inputs["testing"].name) == ("t", "t")
    assert inputs["training"].digest != inputs["testing"].digest
    monkeypatch.chdir(tmp_path.parent)  # relative paths start where the run did
    with quiet():
        import mlflow.data

        frame = mlflow.data.get_source(inputs["training"]).load()
    assert list(frame) == ["a", "b", "target"]
    assert frame["target"].tolist()[:2] == ["x", "y"]
    assert frame["a"].tolist()[:8] == [0, 1, 2, 3, 4, 5, 6, 0]

    [output] = run.outputs.model_outputs
    measures = client.get_logged_model(output.model_id).metrics
    on = {one.key: one.dataset_digest for one in measures}
    assert on["train/accuracy"] == inputs["training"].digest
    assert on["test/accuracy"] == inputs["testing"].digest
    best = client.search_logged_models(
        [run.info.experiment_id],
        datasets=[{"dataset_name": inputs["testing"].name}],
        order_by=[{"field_name": "metrics.test/accuracy", "ascending": False}],
    )
    assert [one.model_id for one in best] == [output.model_id]
