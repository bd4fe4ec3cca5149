"""Models of epochs as logged models of MLflow, each with its step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.runs.folder import RunFiles
from dbgsom_plugins.trackers.mlflow.store import quiet
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder


@pytest.fixture
def kept(make_run: Callable[..., Run], result: RunResult, history: Any) -> Path:
    """A run folder with models of the epochs 1 and 2."""
    folder, run = RunFolder().observer(), make_run()
    folder.dbgsom_run_started(run)
    for epoch in history:
        folder.dbgsom_epoch_finished(run, epoch)
    whole = replace(result, checkpoints={2: result.model, 1: result.model})
    folder.dbgsom_run_finished(run, whole)
    assert list(RunFiles(run.folder).epoch_models()) == [1, 2]
    return run.folder


def models_of(client: Any) -> dict[str, Any]:
    experiment = client.get_experiment_by_name("digits").experiment_id
    found = client.search_logged_models([experiment])
    assert len({one.model_id for one in found}) == len(found)
    assert {str(one.status) for one in found} <= {"READY"}
    return {one.name: one for one in found}


def test_each_epoch_has_one_with_its_step_and_what_was_measured_then(
    uri: str, client: Any, kept: Path, tmp_path: Path
) -> None:
    tracker = MLflow(uri=uri)
    tracker.mirror(kept)
    (kept / "mlflow.json").unlink()
    tracker.mirror(kept)
    name = "directed SF 0_5"
    found = models_of(client)
    assert set(found) == {name, f"epoch 1 {name}", f"epoch 2 {name}"}
    # Of three epochs the map of the second was kept.
    outputs = {one.model_id: one.step for one in client.only_run().outputs.model_outputs}
    assert {key: outputs[one.model_id] for key, one in found.items()} == {
        name: 2, f"epoch 1 {name}": 1, f"epoch 2 {name}": 2,
    }  # fmt: skip
    measured = {one.key: one for one in found[f"epoch 2 {name}"].metrics}
    assert (measured["epoch/quantization_error"].value, measured["epoch/neurons"].value) == (10, 6)
    assert measured["epoch/quantization_error"].step == 2
    assert measured["epoch/quantization_error"].dataset_name == "digits"
    assert "epoch/movement" not in {one.key for one in found[f"epoch 1 {name}"].metrics}  # is NaN
    history = client.get_metric_history(client.only_run().info.run_id, "epoch/quantization_error")
    assert [(one.step, one.value) for one in history] == [
        (1, 20),
        (2, 10),
        (3, pytest.approx(6.67, 1e-3)),
    ]

    run_id, final = client.only_run().info.run_id, found[name].model_id
    tracker.register(kept, "maps", None)
    assert final in client.get_model_version("maps", "1").source
    for address in (f"runs:/{run_id}", f"runs:/{run_id}/som", f"runs:/{run_id}/epoch 2 {name}"):
        assert tracker.fetch_model(address, tmp_path).exists()


def test_one_whose_upload_broke_off_is_completed_and_not_made_anew(
    uri: str, client: Any, kept: Path
) -> None:
    with quiet():
        from dbgsom_plugins.trackers.mlflow import upload
    write, calls = upload._write_model_folder, []

    def broken(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OSError("the store is gone")
        write(*args)

    tracker = MLflow(uri=uri)
    with mock.patch.object(upload, "_write_model_folder", broken), pytest.raises(DbgsomError):
        tracker.mirror(kept)
    assert not tracker.mirrored(kept)
    tracker.mirror(kept)
    assert len(models_of(client)) == 3
    assert tracker.mirrored(kept)
