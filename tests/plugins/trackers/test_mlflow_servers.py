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
from dbgsom_plugins.trackers.mlflow.store import quiet
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
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
        (503, None, "answered with an error (503: "),
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


@pytest.mark.parametrize("away", [True, False])
def test_a_server_that_is_gone_is_not_asked_to_end_a_run_and_one_that_refuses_is(
    away: bool, uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    with quiet():
        from mlflow import MlflowClient
    run, said = make_run(), "Read timed out." if away else "refused"
    play(run, RunFolder().observer())
    with (
        mock.patch.object(MlflowClient, "log_artifact", side_effect=ConnectionError(said)),
        pytest.raises(DbgsomError, match="does not answer" if away else "refused"),
    ):
        MLflow(uri=uri).mirror(run.folder)
    assert client.only_run().info.status == ("RUNNING" if away else "FINISHED")
    assert MLflow(uri=uri).mirror(run.folder)
    assert client.only_run().info.status == "FINISHED"


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
                MLflow(uri=uri).mirror(run.folder)
    MLflow(uri=uri).mirror(run.folder)
    found = client.only_run()
    (model,) = client.search_logged_models([found.info.experiment_id])
    assert str(model.status) == "READY"
    assert [one.model_id for one in found.outputs.model_outputs] == [model.model_id]
