"""What MLflow shows of runs and sweeps, of models of epochs, and of runs that ended early."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl

import numpy as np
import pytest

from dbgsom_core.errors import DbgsomError
from dbgsom_core.experiments.trackers import FoldMeasures, Ranking, RunResult, Variant
from dbgsom_core.runs.folder import RunFiles, read_run, run_lock
from dbgsom_core.runs.results import summary
from dbgsom_core.training.callbacks import call
from dbgsom_plugins.trackers.mlflow.store import quiet
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder


def test_a_finished_run_is_in_mlflow_whole(uri, client, make_run, play):
    run = make_run()
    play(run, RunFolder().observer(), MLflow(uri=uri).observer())
    found = client.only_run()
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "directed SF 0.5"
    assert found.data.params == {"growth": "directed", "spreading_factor": "0.5", "epochs": "3"}
    assert found.data.metrics["test/accuracy"] == 0.95
    assert np.isnan(found.data.metrics["train/davies_bouldin"])
    tags = found.data.tags
    assert tags["dbgsom.run_id"] == run.id
    assert tags["mlflow.source.name"] == "dbgsom run"
    assert tags["mlflow.source.git.commit"] == run.environment["git"]["commit"]
    assert tags["dbgsom.git.dirty"] == "true"
    assert tags["dbgsom.plugins"] == "dbgsom-core 0.1.0"
    assert "3 epochs" in tags["mlflow.note.content"]
    assert found.inputs.dataset_inputs[0].dataset.digest == "ab" * 6
    paths = {one.path for one in client.list_artifacts(found.info.run_id)}
    assert paths >= {"config.yaml", "run.json", "report.md", "figures"}


def test_folds_are_steps_of_a_metric_and_sent_once(uri, client, make_run):
    run = make_run()
    folds = [FoldMeasures(i, 8, 4, f"{i}", {"test/accuracy": i / 4}) for i in (1, 2, 3)]
    observer = RunFolder().observer()
    observer.dbgsom_run_started(run)
    measures = summary(folds)
    observer.dbgsom_run_finished(run, RunResult(measures, folds=folds))
    for _ in range(2):
        MLflow(uri=uri).mirror(run.folder)
        found = client.only_run()
        sent = client.get_metric_history(found.info.run_id, "fold/accuracy")
        assert [(one.step, one.value) for one in sent] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert found.data.metrics["test_std/accuracy"] == 0.25
    assert "measures.json" in {one.path for one in client.list_artifacts(found.info.run_id)}
    report = (run.folder / "report.md").read_text(encoding="utf-8")
    assert "| measure | test | fold 1 | fold 2 | fold 3 |" in report
    assert "| accuracy | 0.5 ± 0.25 | 0.25 | 0.5 | 0.75 |" in report


def test_what_was_sent_is_not_sent_again_and_what_is_missing_is(uri, client, make_run, play):
    run, tracker = make_run(), MLflow(uri=uri, registered_model="digits_map")
    play(run, RunFolder().observer(), tracker.observer())
    assert not tracker.mirror(run.folder)
    artifacts = Path(client.only_run().info.artifact_uri.removeprefix("file://"))

    def lose_a_file(name):
        return (artifacts / name).unlink

    losses: list[Callable[[], Any]] = [
        *map(lose_a_file, ("report.md", "report.html", "figures/growth_curve.png")),
        lambda: client.delete_registered_model("digits_map"),
        lambda: client.delete_run(client.only_run().info.run_id),
        lambda: RunFiles(run.folder).report.write_text("another one"),
        lambda: (run.folder / "mlflow.json").write_text("[" * 9999),
    ]
    for lose in losses:
        lose()
        assert (tracker.mirror(run.folder), tracker.mirror(run.folder)) == (True, False)
    for name in ("report.md", "figures/growth_curve.png"):
        assert (artifacts / name).exists()
    mirrored = client.only_run()
    assert mirrored.info.status == "FINISHED"
    assert len(client.get_metric_history(mirrored.info.run_id, "epoch/movement")) == 3
    assert len(mirrored.outputs.model_outputs) == len(mirrored.inputs.dataset_inputs) == 1


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_ends_early_is_never_left_running(error, status, uri, client, make_run, play):
    play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer(), error=error)
    found = client.only_run()
    assert found.info.status == status
    assert found.data.metrics["epoch/neurons"] == 7


def test_a_run_whose_process_died_is_mirrored_as_killed_and_one_that_goes_on_is_not(
    uri, client, make_run
):
    run = make_run()
    RunFolder().observer().dbgsom_run_started(run)
    with run_lock(run.folder):
        assert not MLflow(uri=uri).mirror(run.folder)
    assert client.get_experiment_by_name("digits") is None
    MLflow(uri=uri).mirror(run.folder)
    assert client.only_run().info.status == "KILLED"
    assert read_run(run.folder).status == "killed"


def test_children_of_a_sweep_are_nested_and_the_parent_holds_the_best(
    uri, client, make_run, play, result
):
    params = {"growth.SF": "varies", "kernel.start": "varies", "epochs": 3}
    sweep = make_run("20261124-101400-s1", kind="sweep", name="sweep", params=params)
    observers = [RunFolder().observer(), MLflow(uri=uri).observer()]
    for observer in observers:
        observer.dbgsom_run_started(sweep)
    children = [make_run(f"2026112410150{i}", parent=sweep, name=f"SF 0.{i}") for i in (1, 2)]
    for child in children:
        play(child, *observers)
    variants = [
        Variant(
            f"SF 0.{i}",
            {"SF": i / 10, "letter": "x" * 90},
            {"test/accuracy": 0.95 / i},
            {},
            [children[0].id],
        )
        for i in range(1, 90)
    ]
    summary = RunResult(
        measures={"best/test/accuracy": 0.95},
        children=[(child, result.measures) for child in children],
        rankings=[Ranking("digits", ["test/accuracy"], "maximize", variants)],
    )
    for observer in observers:
        call(observer, "dbgsom_run_finished", {"run": sweep, "result": summary})
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = {one.info.run_name: one for one in client.search_runs([experiment])}
    assert set(runs) == {"sweep", "SF 0.1", "SF 0.2"}
    assert {one.info.status for one in runs.values()} == {"FINISHED"}
    assert runs["sweep"].data.metrics == {"best/test/accuracy": 0.95}
    tags = runs["sweep"].data.tags
    assert "mlflow.parentRunId" not in tags
    assert tags["dbgsom.best"] == "SF 0.1"
    note = tags["mlflow.note.content"].splitlines()
    page = f"#/experiments/{experiment}/runs"
    assert "Best on digits: **SF 0.1**, with `test/accuracy` 0.95." in note
    won = runs["SF 0.1"].info.run_id
    assert f"[Best on digits]({page}/{won}?workflowType=machine_learning)" in note[0]
    inputs = client.get_run(runs["sweep"].info.run_id).inputs.dataset_inputs
    assert [one.dataset.name for one in inputs] == ["digits"]
    shown = MLflow(uri=uri).page("digits", sweep.folder, 5000).address
    assert f"/{page}?" in shown
    asked = dict(parse_qsl(shown.partition("?")[2]))
    listed = client.search_runs([experiment], asked["searchFilter"])
    assert {one.info.run_name for one in listed} == {"SF 0.1", "SF 0.2"}
    assert (asked["orderByKey"], asked["orderByAsc"]) == ("metrics.`test/accuracy`", "false")
    for name in ("SF 0.1", "SF 0.2"):
        above = f"[Sweep]({page}/{runs['sweep'].info.run_id}?workflowType=machine_learning)"
        assert above in runs[name].data.tags["mlflow.note.content"]
        assert runs[name].data.tags["dbgsom.sweep"] == tags["dbgsom.sweep"] == sweep.id
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id


@pytest.fixture
def kept(make_run, result, history):
    """A run folder with models of the epochs 1 and 2."""
    folder, run = RunFolder().observer(), make_run()
    folder.dbgsom_run_started(run)
    for epoch in history:
        folder.dbgsom_epoch_finished(run, epoch)
    whole = replace(result, checkpoints={2: result.model, 1: result.model})
    folder.dbgsom_run_finished(run, whole)
    assert list(RunFiles(run.folder).epoch_models()) == [1, 2]
    return run.folder


def models_of(client):
    experiment = client.get_experiment_by_name("digits").experiment_id
    found = client.search_logged_models([experiment])
    assert len({one.model_id for one in found}) == len(found)
    assert {str(one.status) for one in found} <= {"READY"}
    return {one.name: one for one in found}


def test_each_epoch_has_one_with_its_step_and_what_was_measured_then(uri, client, kept, tmp_path):
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


def test_one_whose_upload_broke_off_is_completed_and_not_made_anew(uri, client, kept):
    with quiet():
        from dbgsom_plugins.trackers.mlflow import upload
    write, calls = upload.write_model, []

    def broken(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise OSError("the store is gone")
        write(*args, **options)

    tracker = MLflow(uri=uri)
    with mock.patch.object(upload, "write_model", broken), pytest.raises(DbgsomError):
        tracker.mirror(kept)
    assert not tracker.mirrored(kept)
    tracker.mirror(kept)
    assert len(models_of(client)) == 3
    assert tracker.mirrored(kept)


def test_a_description_shows_names_as_text(uri, client, make_run, play):
    evil = "\x1b[31m<script>alert(1)</script>|*a*`b`\n# c"
    run = make_run(data={"name": evil, "samples": 3, "features": 2})
    play(run, RunFolder().observer(), error=ValueError(evil))
    MLflow(uri=uri).mirror(run.folder)
    note = client.only_run().data.tags["mlflow.note.content"]
    assert "3 samples" in note
    assert not [sign for sign in ("<script", "\x1b", "\n# c") if sign in note]
