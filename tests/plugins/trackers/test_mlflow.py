from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from pydantic import ValidationError

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.runs.processes import Process
from dbgsom_core.runs.store import RunFiles, read_run, write_status
from dbgsom_plugins.trackers.mlflow import MLflow, mirror
from dbgsom_plugins.trackers.mlflow_quiet import quiet
from dbgsom_plugins.trackers.run_folder import RunFolder

DEAD = "http://someone:secret@127.0.0.1:9"
Play = Callable[..., None]
MakeRun = Callable[..., Run]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from filelock import FileLock

    database = tmp_path_factory.getbasetemp() / "empty.db"
    with FileLock(database.with_suffix(".lock")):
        if not database.exists():
            with quiet():
                from mlflow import MlflowClient

                MlflowClient(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


class QuietClient:
    """MlflowClient whose calls make no noise of their own, so that a test hears the tracker's."""

    def __init__(self, uri: str) -> None:
        with quiet():
            from mlflow import MlflowClient

            self._client = MlflowClient(uri, registry_uri=uri)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            with quiet():
                return getattr(self._client, name)(*args, **options)

        return call


@pytest.fixture
def client(uri: str) -> QuietClient:
    return QuietClient(uri)


def _only_run(client: Any, experiment: str = "digits") -> Any:
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id])
    assert len(runs) == 1
    return client.get_run(runs[0].info.run_id)


def test_a_finished_run_is_in_mlflow_whole(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    run = make_run()
    play(run, RunFolder().observer(), MLflow(uri=uri).observer())
    found = _only_run(client)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "directed SF 0.5"
    assert found.data.params == {"growth": "directed", "spreading_factor": "0.5", "epochs": "3"}
    assert found.data.metrics["test/accuracy"] == 0.95
    assert np.isnan(found.data.metrics["train/davies_bouldin"])
    tags = found.data.tags
    assert tags["dbgsom.run_id"] == run.id
    assert tags["mlflow.source.git.commit"] == run.environment["git"]["commit"]
    assert tags["dbgsom.git.dirty"] == "true"
    assert tags["dbgsom.plugins"] == "dbgsom-core 0.1.0"
    assert "| `accuracy` | 0.97 | 0.95 |" in tags["mlflow.note.content"]
    assert found.inputs.dataset_inputs[0].dataset.digest == "ab" * 6
    paths = {one.path for one in client.list_artifacts(found.info.run_id)}
    assert paths >= {"config.yaml", "environment.json", "report.md", "figures"}


def test_epochs_keep_their_own_timestamps(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    run = make_run()
    play(run, RunFolder().observer(), MLflow(uri=uri).observer())
    sent = client.get_metric_history(_only_run(client).info.run_id, "epoch/neurons")
    assert [(one.step, one.timestamp, one.value) for one in sent] == [
        (line.epoch, line.time, line.metrics["epoch/neurons"])
        for line in read_run(run.folder).epochs()
    ]


def test_the_model_loads_in_another_process_without_pickle(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer())
    model_id = _only_run(client).outputs.model_outputs[0].model_id
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import conftest
sys.modules["dbgsom_core.persistence"] = conftest
import mlflow, numpy as np
mlflow.set_tracking_uri({uri!r})
model = mlflow.pyfunc.load_model("models:/{model_id}")
print(model.predict(np.array([[0.1, 0.2], [0.9, 0.8]])).tolist())
print(model.metadata.signature.inputs, model.input_example.shape)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[0] == "[0, 1]"
    assert "float64" in answer.stdout
    assert "(3, 2)" in answer.stdout
    assert "hint" not in answer.stderr


def test_final_measures_are_linked_to_the_model(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer())
    output = _only_run(client).outputs.model_outputs[0]
    model = client.get_logged_model(output.model_id)
    assert str(model.status) == "READY"
    assert {one.key: one.value for one in model.metrics}["test/accuracy"] == 0.95


def test_a_registered_model_gains_one_version_a_run(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    run = make_run()
    play(run, RunFolder().observer(), MLflow(uri=uri, registered_model="digits_map").observer())
    mirror(run.folder, uri, registered_model="digits_map")
    versions = client.search_model_versions("name='digits_map'")
    assert [one.run_id for one in versions] == [_only_run(client).info.run_id]


def test_mirroring_again_changes_nothing(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    run = make_run()
    play(run, RunFolder().observer())
    mirror(run.folder, uri)
    first = _only_run(client)
    points = client.get_metric_history(first.info.run_id, "epoch/movement")
    mirror(run.folder, uri)
    again = _only_run(client)
    assert again.info.run_id == first.info.run_id
    assert again.info.status == "FINISHED"
    assert again.info.start_time == first.info.start_time
    assert again.info.end_time == first.info.end_time
    assert len(client.get_metric_history(again.info.run_id, "epoch/movement")) == len(points) == 3
    assert again.outputs.model_outputs == first.outputs.model_outputs
    assert len(again.inputs.dataset_inputs) == 1


def test_what_was_sent_is_not_sent_again_and_what_is_missing_is(
    uri: str, client: Any, make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quiet():
        from dbgsom_plugins.trackers.mlflow_mirror import Mirror
    sent, finish = [], Mirror.finish

    def counted(self: Any, folder: Path, *rest: Any) -> None:
        sent.append(folder)
        finish(self, folder, *rest)

    def again() -> int:
        del sent[:]
        mirror(run.folder, uri, registered_model="digits_map")
        return len(sent)

    run = make_run()
    play(run, RunFolder().observer(), MLflow(uri=uri, registered_model="digits_map").observer())
    monkeypatch.setattr(Mirror, "finish", counted)
    assert again() == 0
    artifacts = Path(_only_run(client).info.artifact_uri.removeprefix("file://"))
    for lost in ("report.md", "figures/growth_curve.png"):
        (artifacts / lost).unlink()
        assert again() == 1
        assert (artifacts / lost).exists()
        assert again() == 0
    client.delete_registered_model("digits_map")
    assert (again(), again()) == (1, 0)
    client.delete_run(_only_run(client).info.run_id)
    assert (again(), again()) == (1, 0)
    RunFiles(run.folder).report.write_text("another one")
    assert (again(), again()) == (1, 0)
    (run.folder / "mlflow.json").write_text("[" * 9999)
    assert (again(), again()) == (1, 0)
    assert _only_run(client).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_ends_early_is_never_left_running(
    error: BaseException, status: str, uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer(), error=error)
    found = _only_run(client)
    assert found.info.status == status
    assert found.data.metrics["epoch/neurons"] == 7


def test_a_run_that_mlflow_refuses_half_way_is_not_left_running(
    uri: str, client: Any, make_run: MakeRun, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    folder, observer = RunFolder().observer(), MLflow(uri=uri).observer()
    run = make_run()
    play(run, folder, observer)
    changed = make_run(params={**run.params, "epochs": 4})  # MLflow's params never change
    play(changed, folder, observer)
    assert _only_run(client).info.status == "FINISHED"
    assert len(caplog.records) == 1


def test_a_run_whose_process_died_is_mirrored_as_killed_and_one_that_goes_on_is_not(
    uri: str, client: Any, make_run: MakeRun
) -> None:
    run = make_run()
    RunFolder().observer().dbgsom_run_started(run)
    mirror(run.folder, uri)
    assert _only_run(client).info.status == "RUNNING"
    files = RunFiles(run.folder)
    mine = Process.this()
    write_status(files, "running", None, process=replace(mine, started=f"{mine.started}0"))
    mirror(run.folder, uri)
    assert _only_run(client).info.status == "KILLED"
    assert read_run(run.folder).status == "killed"


def test_children_of_a_sweep_are_nested_and_the_parent_holds_the_best(
    uri: str, client: Any, make_run: MakeRun, play: Play, result: RunResult
) -> None:
    sweep = make_run("20261124-101400-s1", kind="sweep", name="sweep", total_epochs=0)
    observers = [RunFolder().observer(), MLflow(uri=uri).observer()]
    for observer in observers:
        observer.dbgsom_run_started(sweep)
    children = [make_run(f"2026112410150{i}", parent=sweep, name=f"SF 0.{i}") for i in (1, 2)]
    for child in children:
        play(child, *observers)
    summary = RunResult(
        measures={"best/test/accuracy": 0.95},
        children=[(child, result.measures) for child in children],
    )
    for observer in observers:
        observer.dbgsom_run_finished(sweep, summary)
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = {one.info.run_name: one for one in client.search_runs([experiment])}
    assert set(runs) == {"sweep", "SF 0.1", "SF 0.2"}
    assert {one.info.status for one in runs.values()} == {"FINISHED"}
    assert runs["sweep"].data.metrics == {"best/test/accuracy": 0.95}
    assert "mlflow.parentRunId" not in runs["sweep"].data.tags
    for name in ("SF 0.1", "SF 0.2"):
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id


def test_mirroring_a_child_brings_its_sweep_along(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    sweep = make_run("20261124-101400-s1", kind="sweep", name="sweep")
    folder = RunFolder().observer()
    folder.dbgsom_run_started(sweep)
    child = make_run("20261124-101501-c1", parent=sweep, name="child")
    play(child, folder)
    folder.dbgsom_run_failed(sweep, RuntimeError("the disk is full"))
    mirror(child.folder, uri)
    mirror(child.folder, uri)
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = {one.info.run_name: one for one in client.search_runs([experiment])}
    assert len(runs) == 2
    assert runs["child"].data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
    assert runs["sweep"].info.status == "FAILED"


def test_a_dead_server_costs_one_warning_and_the_folder_is_whole(
    make_run: MakeRun,
    play: Play,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from urllib3.util import connection

    connect, patience = connection.create_connection, []

    def counted(address: Any, timeout: Any, *rest: Any, **more: Any) -> Any:
        patience.append(timeout)
        return connect(address, timeout, *rest, **more)

    monkeypatch.setattr(connection, "create_connection", counted)
    run = make_run()
    with caplog.at_level(logging.INFO):
        play(run, RunFolder().observer(), MLflow(uri=DEAD, flush_seconds=0).observer())
    assert 0 < len(patience) <= 4  # MLflow's own settings try for minutes
    assert max(patience) <= 3  # seconds
    assert len(caplog.records) == 1
    assert caplog.records[0].name.startswith("dbgsom")
    assert "does not answer" in caplog.text
    assert "dbgsom sync" in caplog.text
    assert "secret" not in caplog.text
    assert read_run(run.folder).status == "finished"


def test_a_server_that_never_answers_costs_three_seconds_and_no_epoch(
    make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib3.util import connection

    connect, patience = connection.create_connection, []

    def counted(address: Any, timeout: Any, *rest: Any, **more: Any) -> Any:
        patience.append(timeout)
        return connect(address, timeout, *rest, **more)

    monkeypatch.setattr(connection, "create_connection", counted)
    run = make_run()
    with socket.create_server(("127.0.0.1", 0)) as stopped:  # as one that was sent SIGSTOP
        uri = f"http://127.0.0.1:{stopped.getsockname()[1]}"
        play(run, RunFolder().observer(), MLflow(uri=uri, flush_seconds=0).observer())
    assert len(patience) == 2
    assert sum(patience) <= 3  # seconds, each waited for in vain
    assert len(read_run(run.folder).epochs()) == 3


def test_a_server_that_stops_again_and_again_costs_three_seconds_in_sum(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from dbgsom_plugins.trackers import mlflow as tracker

    clock, waited, stopped = [0.0], [], [False]

    class Mirror:
        def tail(self, folder: Path) -> None:
            if stopped[0]:
                waited.append(int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]))
                clock[0] += waited[-1]
                raise ConnectionError(f"Read timed out. (read timeout={waited[-1]})")

        def finish(self, folder: Path, status: str) -> None:
            self.tail(folder)

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setattr(tracker, "_open", lambda settings: Mirror())
    monkeypatch.setattr(tracker, "answers", lambda uri: True)
    monkeypatch.setattr(tracker, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(tracker, "time", mock.Mock(monotonic=lambda: clock[0]))
    observer, run = MLflow(uri="http://localhost:5000", flush_seconds=0).observer(), make_run()
    observer.dbgsom_run_started(run)
    for _ in range(4):
        stopped[0] = True
        observer.dbgsom_epoch_finished(run, mock.Mock())
        stopped[0] = False
        observer._back.wait(5 if len(waited) < 2 else 0)
        observer.dbgsom_epoch_finished(run, mock.Mock())
    stopped[0] = True
    observer.dbgsom_run_finished(run, RunResult({}))
    assert waited == [2, 1]
    first, last = (record.getMessage() for record in caplog.records)
    assert "does not answer. The run goes on" in first
    assert "does not answer, again, and is waited for no more" in last


def test_a_server_that_stops_in_the_middle_is_not_waited_for_twice(
    make_run: MakeRun, play: Play
) -> None:
    with quiet():
        from dbgsom_plugins.trackers.mlflow_mirror import Mirror
    run, store = make_run(), mock.MagicMock()
    play(run, RunFolder().observer())
    store.client.search_runs.return_value = []
    store.client.log_batch.side_effect = ConnectionError("Read timed out.")
    with pytest.raises(ConnectionError):
        Mirror(store, None, None).finish(run.folder)
    store.client.set_terminated.assert_not_called()
    store.client.log_batch.side_effect = ValueError("refused")
    with pytest.raises(ValueError, match="refused"):
        Mirror(store, None, None).finish(run.folder)
    store.client.set_terminated.assert_called_once()


def test_a_run_whose_folder_cannot_say_how_it_ended_is_not_left_running(
    uri: str, client: Any, make_run: MakeRun
) -> None:
    run, observer = make_run(), MLflow(uri=uri).observer()
    RunFolder().observer().dbgsom_run_started(run)
    observer.dbgsom_run_started(run)
    observer.dbgsom_run_failed(run, DbgsomError("the disk is gone"))
    assert _only_run(client).info.status == "FAILED"


KILLED_BEFORE_ITS_NAME = """
import os, pathlib, signal, sys

def hear(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("mlflow.db"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hear)
from dbgsom_plugins.trackers.mlflow import mirror
mirror(pathlib.Path(sys.argv[1]), sys.argv[2])
"""


def test_a_process_that_is_killed_while_it_makes_the_store_harms_nobody(
    make_run: MakeRun, play: Play, tmp_path: Path
) -> None:
    run, database = make_run(), tmp_path / "fresh" / "mlflow.db"
    play(run, RunFolder().observer())
    command = [sys.executable, "-c", KILLED_BEFORE_ITS_NAME]
    done = subprocess.run([*command, str(run.folder), f"sqlite:///{database}"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not database.exists()
    assert [path.name for path in database.parent.glob(".mlflow-*")]
    mirror(run.folder, f"sqlite:///{database}")
    assert _only_run(QuietClient(f"sqlite:///{database}")).info.status == "FINISHED"
    assert not list(database.parent.glob(".mlflow-*"))


@pytest.mark.parametrize("holds", ["nothing", "runs"])
def test_a_store_that_is_half_made_is_told_with_its_cure(
    holds: str, uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    run = make_run()
    play(run, RunFolder().observer())
    if holds == "runs":
        mirror(run.folder, uri)
    # A copy, because MLflow keeps an engine for each address.
    half = Path(uri.removeprefix("sqlite:///")).with_name("half.db")
    shutil.copy(uri.removeprefix("sqlite:///"), half)
    with contextlib.closing(sqlite3.connect(half)) as store:
        store.execute("drop table trace_tags")
        store.execute("delete from alembic_version")
        store.commit()
    said = "holds no run: .* Move it away" if holds == "nothing" else "mlflow db upgrade"
    with pytest.raises(DbgsomError, match=said):
        mirror(run.folder, f"sqlite:///{half}")


def test_what_a_store_missed_is_sent_when_it_answers_again(
    uri: str,
    client: Any,
    make_run: MakeRun,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dbgsom_plugins.trackers import mlflow as tracker

    def away(settings: MLflow) -> None:
        raise ConnectionError("gone")

    observer = MLflow(uri=uri).observer()
    folder = RunFolder().observer()
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "_open", away)
        play(make_run("20261124-1", name="missed"), folder, observer)
    play(make_run("20261124-2", name="heard"), folder, observer)
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = client.search_runs([experiment])
    assert {(one.info.run_name, one.info.status) for one in runs} == {
        ("missed", "FINISHED"),
        ("heard", "FINISHED"),
    }


def test_a_deleted_experiment_is_named_with_its_cure(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    run = make_run()
    play(run, RunFolder().observer())
    client.delete_experiment(client.create_experiment("digits"))
    with pytest.raises(DbgsomError, match=r"'digits' was deleted; restore it .*restore"):
        mirror(run.folder, uri)


def test_artifacts_lie_beside_the_database_wherever_the_run_started(
    uri: str, client: Any, make_run: MakeRun, play: Play, tmp_path: Path
) -> None:
    play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer())
    location = _only_run(client).info.artifact_uri
    assert location.startswith((tmp_path / "mlruns").as_uri())


def test_a_relative_database_lies_in_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dbgsom_plugins.trackers.mlflow_store import absolute

    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///a b.db") == f"sqlite:///{tmp_path}/a b.db"
    assert absolute("http://localhost:5000") == "http://localhost:5000"


@pytest.mark.parametrize("uri", ["mlruns", "file:///somewhere/mlruns", "./mlruns"])
def test_the_retired_file_store_is_refused(uri: str) -> None:
    with pytest.raises(ValidationError, match="retired"):
        MLflow(uri=uri)


def test_no_global_state_of_mlflow_is_changed(
    uri: str, make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    level = logging.getLogger("mlflow").level
    mlflow.set_tracking_uri("http://elsewhere.invalid")
    try:
        play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer())
        assert mlflow.get_tracking_uri() == "http://elsewhere.invalid"
        assert mlflow.active_run() is None
        assert logging.getLogger("mlflow").level == level
        assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    finally:
        mlflow.set_tracking_uri(None)


def test_a_setting_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    with quiet():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_the_settings_import_no_mlflow() -> None:
    script = "import sys, dbgsom_plugins.trackers.mlflow; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_processes_that_meet_a_fresh_store_at_once_all_succeed(
    make_run: MakeRun, play: Play, tmp_path: Path
) -> None:
    folders = []
    for number in (1, 2):
        run = make_run(f"20261124-{number}")
        play(run, RunFolder().observer())
        folders.append(run.folder)
    uri = f"sqlite:///{tmp_path / 'fresh' / 'mlflow.db'}"
    script = (
        "import sys, pathlib; from dbgsom_plugins.trackers.mlflow import mirror; "
        "mirror(pathlib.Path(sys.argv[1]), sys.argv[2])"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, str(folder), uri],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in folders
    ]
    said = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert said == ["", ""]
    client = QuietClient(uri)
    experiment = client.get_experiment_by_name("digits").experiment_id
    assert len(client.search_runs([experiment])) == 2
