"""Runs are mirrored by a process of its own, whatever happens to it or to its parent."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.runs.folder import RunFiles, read_run, write_status
from dbgsom_plugins.trackers import mlflow_beside, mlflow_sent
from dbgsom_plugins.trackers.mlflow import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder, RunFolderObserver

Play = Callable[..., None]
MakeRun = Callable[..., Run]


@pytest.fixture
def processes(in_processes: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The processes that a test starts; none is left behind."""
    monkeypatch.setattr(mlflow_beside, "SECONDS_ALONE", 600.0)
    started: list[Any] = []
    start = mlflow_beside._start

    def noted(settings: Any, left: Any) -> Any:
        started.append(start(settings, left))
        return started[-1]

    monkeypatch.setattr(mlflow_beside, "_start", noted)
    try:
        yield started
    finally:
        for one in started:
            one._left.clear()
            one.end()


def test_a_run_is_whole_in_mlflow_when_it_ends_though_its_mirror_was_killed(
    uri: str,
    client: Any,
    make_run: MakeRun,
    history: Any,
    result: RunResult,
    processes: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, observers = make_run(), [RunFolder().observer(), MLflow(uri=uri).observer()]
    for observer in observers:
        observer.dbgsom_run_started(run)
    os.kill(processes[0]._process.pid, signal.SIGKILL)
    processes[0]._listens.join(10)
    for epoch in history:
        for observer in observers:
            observer.dbgsom_epoch_finished(run, epoch)
    for observer in observers:
        observer.dbgsom_run_finished(run, result)
    told = caplog.messages[0]
    assert told.startswith("the process that mirrors to MLflow was ended by SIGKILL: run folders")
    found = client.only_run()
    assert found.info.status == "FINISHED"
    assert found.data.metrics["test/accuracy"] == 0.95
    assert len(client.get_metric_history(found.info.run_id, "epoch/neurons")) == 3
    (model,) = client.search_logged_models([found.info.experiment_id])
    assert str(model.status) == "READY"
    assert [one._process.returncode for one in processes] == [-signal.SIGKILL, 0]


def test_a_run_whose_process_is_killed_is_closed_by_its_mirror(
    uri: str, client: Any, make_run: MakeRun, history: Any, processes: list[Any]
) -> None:
    run, observers = make_run(), [RunFolder().observer(), MLflow(uri=uri).observer()]
    for observer in observers:
        observer.dbgsom_run_started(run)
    for epoch in history:
        observers[0].dbgsom_epoch_finished(run, epoch)
    write_status(RunFiles(run.folder), "running", None)
    (run.folder / ".lock").touch()  # which nobody holds
    process = processes[0]._process
    process.stdin.close()  # as the system does
    assert process.wait(600) == 0
    found = client.only_run()
    assert (found.info.status, read_run(run.folder).status) == ("KILLED", "killed")
    assert len(client.get_metric_history(found.info.run_id, "epoch/neurons")) == 3


def test_a_process_for_which_no_run_came_is_left_behind_by_nobody(
    uri: str, processes: list[Any]
) -> None:
    observer = MLflow(uri=uri).observer()
    observer.prepare()
    observer.close()
    (unused,) = processes
    assert unused._process.returncode == -signal.SIGKILL


def test_the_process_starts_before_the_run_which_may_have_its_store_elsewhere(
    client: Any,
    make_run: MakeRun,
    play: Play,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    start = mlflow_beside._start

    def noted(settings: Any, left: Any) -> Any:
        started.append(settings.uri)
        return start(settings, left)

    monkeypatch.setattr(mlflow_beside, "_start", noted)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run, observer = make_run(), MLflow().observer()
    observer.prepare()
    assert started == [f"sqlite:///{tmp_path / 'here' / 'mlflow.db'}"]
    began = replace(run, environment={**run.environment, "directory": str(tmp_path)})
    play(began, RunFolder().observer(), observer)
    observer.close()
    assert started[1:] == [f"sqlite:///{tmp_path / 'mlflow.db'}"]
    assert client.only_run().info.status == "FINISHED"
    assert not list((tmp_path / "here").iterdir())
    monkeypatch.chdir(tmp_path)
    observer.prepare()
    play(make_run("20261124-101500-b2"), RunFolder().observer(), observer)
    assert len(started) == 3


def test_no_process_is_started_for_a_store_whose_password_the_run_knows(
    processes: list[Any],
) -> None:
    observer = MLflow(uri="http://me:***@127.0.0.1:1").observer()
    observer.prepare()
    observer.close()
    assert not processes


def test_a_server_that_never_answers_costs_the_end_a_limited_time_and_hears_no_password_leak(
    make_run: MakeRun,
    play: Play,
    processes: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mlflow_beside, "SECONDS_TO_LOOK_WELL", 0.1)
    shown: list[str] = []

    class Looking(RunFolderObserver):
        def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
            super().dbgsom_run_finished(run, result)
            (one,) = processes
            for name in ("cmdline", "environ"):
                path = Path(f"/proc/{one._process.pid}/{name}")
                if path.exists():
                    shown.append(path.read_text(errors="replace"))

    with socket.create_server(("127.0.0.1", 0)) as stopped:  # as one that was sent SIGSTOP
        where = f"127.0.0.1:{stopped.getsockname()[1]}"
        uri = f"http://me:hunter22@{where}"
        with caplog.at_level(logging.ERROR):
            play(make_run(), Looking(), MLflow(uri=uri).observer())
    assert shown or not Path("/proc").exists()
    assert "hunter22" not in "".join(shown)
    (told,) = caplog.records
    assert told.getMessage().startswith(f"the MLflow server at http://***@{where} does not answer:")
    assert processes[0]._process.returncode is not None


def test_a_run_is_sent_by_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_sent, "_SECONDS_TO_WAIT", 0.1)
    with mlflow_sent.alone(tmp_path):
        with pytest.raises(DbgsomError, match="another process is sending run"):
            mlflow_sent.alone(tmp_path).__enter__()
        mlflow_sent.write_json(tmp_path / "mlflow.json", {})  # another file in its place
        with mlflow_sent.alone(tmp_path):
            pass
    with mlflow_sent.alone(tmp_path / "gone"):
        pass
