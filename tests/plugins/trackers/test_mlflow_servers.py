"""A server that is away, stops, refuses or is slow costs training nothing and is told truly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pytest

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import Run
from dbgsom_core.runs.folder import read_run
from dbgsom_plugins.trackers import mlflow, mlflow_process
from dbgsom_plugins.trackers.mlflow import MLflow, mirror
from dbgsom_plugins.trackers.mlflow_quiet import quiet
from dbgsom_plugins.trackers.run_folder import RunFolder

DEAD = "http://someone:secret@127.0.0.1:9"
Play = Callable[..., None]
MakeRun = Callable[..., Run]


@contextmanager
def answering(code: int, body: bytes | None = None) -> Iterator[str]:
    """Serve this answer to everything; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if body is None:
                self.send_error(code)
                return
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_dead_server_is_told_early_and_at_the_end_and_the_folder_is_whole(
    make_run: MakeRun, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run()
    play(run, RunFolder().observer(), MLflow(uri=DEAD).observer())
    # An error is what "--quiet" lets through.
    assert [one.levelname for one in caplog.records] == ["WARNING", "ERROR"]
    assert {one.getMessage() for one in caplog.records} == {
        "the MLflow server at http://***@127.0.0.1:9 does not answer: run folders are complete, "
        "and 'dbgsom sync' sends to MLflow what it misses"
    }
    assert read_run(run.folder).status == "finished"


def test_a_server_that_is_stopped_is_looked_at_once_for_many_runs(
    make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def in_vain(uri: str, seconds: float) -> bool:
        looks.append(uri)
        return False

    monkeypatch.setattr(mlflow, "answers", in_vain)
    monkeypatch.setattr(mlflow, "_looked_in_vain", {})
    for _ in range(3):
        with pytest.raises(
            DbgsomError, match=r"server at http://\*\*\*@127.0.0.1:9 does not answer"
        ):
            MLflow(uri=DEAD).mirror(make_run().folder)
    assert looks == [DEAD]


@pytest.mark.parametrize(
    ("code", "body", "told"),
    [
        (401, None, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (401, b'{"detail": "Unauthorized"}', "set MLFLOW_TRACKING_USERNAME"),
        (
            403,
            b'{"error_code": "PERMISSION_DENIED", "message": "no"}',
            "(not allowed): set ",
        ),
        (429, None, "answered with an error (429: too many requests"),
        (500, None, "answered with an error (500: its log says more"),
        (503, None, "answered with an error (503: it is starting or overloaded"),
    ],
)
def test_what_a_server_answers_is_told_as_what_it_is(
    code: int,
    body: bytes | None,
    told: str,
    make_run: MakeRun,
    play: Play,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with answering(code, body) as uri:
        play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer())
    assert told in caplog.records[-1].getMessage()


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
        Mirror(store, None, None).catch_up(run.folder)
    store.client.set_terminated.assert_not_called()
    store.client.log_batch.side_effect = ValueError("refused")
    with pytest.raises(ValueError, match="refused"):
        Mirror(store, None, None).catch_up(run.folder)
    store.client.set_terminated.assert_called_once()


def test_what_a_store_missed_is_sent_when_it_answers_again(
    uri: str, client: Any, make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise ConnectionError("gone")

    folder = RunFolder().observer()
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_process, "opened", away)
        run = make_run("20261124-1", name="missed")
        ours = {"name": "mlflow", "uri": uri}
        run = make_run("20261124-1", name="missed", config={**run.config, "tracking": [ours]})
        play(run, folder, MLflow(uri=uri).observer())
    play(make_run("20261124-2", name="heard"), folder, MLflow(uri=uri).observer())
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = client.search_runs([experiment])
    assert {(one.info.run_name, one.info.status) for one in runs} == {
        ("missed", "FINISHED"),
        ("heard", "FINISHED"),
    }


def test_a_server_of_short_parameters_gets_them_cut_and_all_else() -> None:
    with quiet():
        from mlflow.exceptions import MlflowException

        from dbgsom_plugins.trackers.mlflow_mirror import send_params
    client, taken = mock.Mock(), []

    def log_batch(run_id: str, params: Any) -> None:
        if any(len(one.value) > 500 for one in params):
            raise MlflowException("had length 6000, which exceeded length limit of 500")
        taken.extend(params)

    client.log_batch = log_batch
    send_params(client, "run", {"long": "x" * 9000, **{f"p{i}": i for i in range(150)}})
    assert len(taken) == 151
    assert taken[0].value == "x" * 500
    client.log_batch = mock.Mock(side_effect=MlflowException("no"))
    with pytest.raises(MlflowException, match="no"):
        send_params(client, "run", {"a": 1})


def test_a_model_whose_upload_broke_off_is_gone_on_with(
    uri: str, client: Any, make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quiet():
        from mlflow import MlflowClient
    run = make_run()
    play(run, RunFolder().observer())
    for broken in ("log_outputs", "log_model_artifacts"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, broken, mock.Mock(side_effect=ConnectionError("gone")))
            with pytest.raises(DbgsomError, match="gone"):
                mirror(run.folder, uri)
    mirror(run.folder, uri)
    found = client.only_run()
    (model,) = client.search_logged_models([found.info.experiment_id])
    assert str(model.status) == "READY"
    assert [one.model_id for one in found.outputs.model_outputs] == [model.model_id]
