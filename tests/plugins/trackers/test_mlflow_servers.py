"""A server that is away, stops, or never answers costs a warning and three seconds."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dbgsom_core.interfaces.trackers import Run, RunResult
from dbgsom_core.runs.folder.store import read_run
from dbgsom_plugins.trackers.mlflow import MLflow
from dbgsom_plugins.trackers.mlflow_quiet import quiet
from dbgsom_plugins.trackers.run_folder import RunFolder

DEAD = "http://someone:secret@127.0.0.1:9"
Play = Callable[..., None]
MakeRun = Callable[..., Run]


def counted_connections(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long each connection waits that this thread makes: servers are watched aside."""
    from urllib3.util import connection

    connect, patience, me = connection.create_connection, [], threading.current_thread()

    def counted(address: Any, timeout: Any, *rest: Any, **more: Any) -> Any:
        if threading.current_thread() is me:
            patience.append(timeout)
        return connect(address, timeout, *rest, **more)

    monkeypatch.setattr(connection, "create_connection", counted)
    return patience


def test_a_dead_server_costs_one_warning_and_the_folder_is_whole(
    make_run: MakeRun,
    play: Play,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patience = counted_connections(monkeypatch)
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
    patience = counted_connections(monkeypatch)
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
