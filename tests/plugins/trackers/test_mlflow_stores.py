"""Stores that are new, half made, away or elsewhere; nobody's settings of MLflow are changed."""

import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import pytest
from pydantic import ValidationError

from dbgsom_core.errors import DbgsomError
from dbgsom_core.runs.folder import read_run
from dbgsom_plugins.trackers.mlflow.store import open_client, quiet
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder

KILLED_BEFORE_ITS_NAME = """
import os, pathlib, signal, sys

def hear(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("mlflow.db"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hear)
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
MLflow(uri=sys.argv[2]).mirror(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_what_is_no_database_is_refused_and_stays(tmp_path):
    pipe, folder, text = tmp_path / "pipe.db", tmp_path / "folder.db", tmp_path / "text.db"
    os.mkfifo(pipe)
    folder.mkdir()
    text.write_text("my notes")
    for place in (pipe, folder, text):
        with quiet(), pytest.raises(DbgsomError, match=f"{place} (cannot be opened|is no SQL)"):
            open_client(f"sqlite:///{place}")
    assert (pipe.is_fifo(), text.read_text()) == (True, "my notes")


def test_a_deleted_experiment_is_named_with_its_cure(uri, client, make_run, play):
    run = make_run()
    play(run, RunFolder().observer())
    client.delete_experiment(client.create_experiment("digits"))
    with pytest.raises(DbgsomError, match=r"'digits' was deleted: restore it"):
        MLflow(uri=uri).mirror(run.folder)


@pytest.mark.parametrize("uri", ["mlruns", "file:///somewhere/mlruns", "./mlruns", "sqlite://"])
def test_stores_in_folders_and_in_memory_are_refused(uri):
    with pytest.raises(ValidationError, match=r"retired|in memory"):
        MLflow(uri=uri)


def test_no_global_state_of_mlflow_is_changed(uri, make_run, play, monkeypatch):
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


@pytest.mark.slow
@pytest.mark.one_version
def test_processes_that_meet_a_store_that_another_was_killed_over_all_succeed(
    make_run, play, tmp_path, connect
):
    folders = []
    for number in (1, 2):
        run = make_run(f"20261124-{number}")
        play(run, RunFolder().observer())
        folders.append(run.folder)
    database = tmp_path / "fresh" / "mlflow.db"
    uri = f"sqlite:///{database}"
    command = [sys.executable, "-c", KILLED_BEFORE_ITS_NAME, str(folders[0]), uri]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not database.exists()
    assert [path.name for path in database.parent.glob(".mlflow-*")]
    script = (
        "import sys, pathlib; from dbgsom_plugins.trackers.mlflow.tracker import MLflow; "
        "MLflow(uri=sys.argv[2]).mirror(pathlib.Path(sys.argv[1]))"
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
    assert not list(database.parent.glob(".mlflow-*"))
    client = connect(uri)
    experiment = client.get_experiment_by_name("digits").experiment_id
    assert len(client.search_runs([experiment])) == 2


DEAD = "http://someone:secret@127.0.0.1:9"


@contextmanager
def answering(code, body=None):
    """Serve this answer to everything; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if body is None:
                self.send_error(code)
                return
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_dead_server_is_told_early_and_at_the_end_and_the_folder_is_whole(make_run, play, caplog):
    run = make_run()
    play(run, RunFolder().observer(), MLflow(uri=DEAD).observer())
    # An error is what "--quiet" lets through.
    assert [one.levelname for one in caplog.records] == ["WARNING", "ERROR"]
    for one in caplog.records:
        assert "http://***@127.0.0.1:9" in one.getMessage()
        assert "'dbgsom sync' sends to MLflow what it misses" in one.getMessage()
        assert "secret" not in one.getMessage()
    assert read_run(run.folder).status == "finished"


@pytest.mark.parametrize(
    ("code", "body", "told"),
    [
        (401, None, "401"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', "PERMISSION_DENIED: no"),
        (503, None, "503"),
    ],
)
def test_what_a_server_answers_is_said_with_its_address(code, body, told, make_run, play, caplog):
    with answering(code, body) as uri:
        play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer())
        assert f"MLflow at {uri}: " in caplog.records[-1].getMessage()
    assert told in caplog.records[-1].getMessage()


def test_a_run_whose_files_are_refused_has_ended_and_is_sent_again(uri, client, make_run, play):
    with quiet():
        from mlflow import MlflowClient
    run = make_run()
    play(run, RunFolder().observer())
    with (
        mock.patch.object(MlflowClient, "log_artifact", side_effect=ConnectionError("refused")),
        pytest.raises(DbgsomError, match="refused"),
    ):
        MLflow(uri=uri).mirror(run.folder)
    assert client.only_run().info.status == "FINISHED"
    assert MLflow(uri=uri).mirror(run.folder)
    assert not MLflow(uri=uri).mirror(run.folder)


def test_a_model_whose_upload_broke_off_is_gone_on_with(uri, client, make_run, play, monkeypatch):
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


VARIABLES = ("TRACKING_URI", "EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID")


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)


@pytest.fixture
def mlflow(uri):
    with quiet():
        import mlflow

        mlflow.set_tracking_uri(uri)
        try:
            yield mlflow
        finally:
            while mlflow.active_run() is not None:
                mlflow.end_run()
            mlflow.set_tracking_uri(None)


def test_variables_stand_in_for_what_is_left_open(uri, client, make_run, play, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    play(make_run(), RunFolder().observer(), MLflow().observer())
    assert client.only_run("theirs").info.status == "FINISHED"
    assert MLflow(uri="sqlite:///a.db", experiment="mine").uri == "sqlite:///a.db"
    assert MLflow(experiment="mine").experiment == "mine"


def test_a_run_that_is_named_is_logged_into(uri, client, make_run, play, monkeypatch):
    theirs = client.create_run(client.create_experiment("theirs"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_RUN_ID", theirs.info.run_id)
    run = make_run()
    play(run, RunFolder().observer(), MLflow().observer())
    found = client.only_run("theirs")
    assert found.info.run_id == theirs.info.run_id
    assert (found.info.status, found.info.run_name) == ("FINISHED", run.name)
    assert found.data.metrics["test/accuracy"] == 0.95
    monkeypatch.delenv("MLFLOW_RUN_ID")
    MLflow(uri=uri).mirror(run.folder)  # by whoever syncs later
    assert client.only_run("theirs").info.run_id == theirs.info.run_id


def test_a_run_within_an_open_one_is_its_child(mlflow, client, make_run, play):
    mlflow.set_experiment(experiment_id=client.create_experiment("theirs"))
    try:
        with mlflow.start_run() as parent:
            run = make_run()
            play(run, RunFolder().observer(), MLflow().observer())
    finally:
        mlflow.tracking.fluent._active_experiment_id = None
    group = client.get_experiment_by_name("theirs").experiment_id
    runs = {one.info.run_name: one for one in client.search_runs([group])}
    assert runs[run.name].data.tags["mlflow.parentRunId"] == parent.info.run_id
    MLflow(uri=mlflow.get_tracking_uri()).mirror(run.folder)
    assert len(client.search_runs([group])) == 2


IN_THREADS = """
import sys, threading, threadpoolctl, time

extensions, begin = [], threadpoolctl.ThreadpoolController.__init__

def hear(event, given):
    is_extension = event == "import" and str(given[1]).endswith((".so", ".pyd"))
    if is_extension and threading.current_thread() is not threading.main_thread():
        extensions.append(given[0])

def look(self, *given, **named):
    until = time.monotonic() + 60  # for a thread that imports what a store needs
    while not hasattr(sys.modules.get("mlflow.store.tracking.sqlalchemy_store"), "SqlAlchemyStore"):
        assert time.monotonic() < until
        time.sleep(0.01)
    print("looked", extensions)
    begin(self, *given, **named)

sys.addaudithook(hear)
threadpoolctl.ThreadpoolController.__init__ = look
import dbgsom_core
dbgsom_core.run({"experiment": "x", "dataset": "iris", "model": {"epochs": 3}, "figures": [],
                 "tracking": {"name": "mlflow", "uri": "sqlite:///mlflow.db"}})
"""


@pytest.mark.slow
def test_no_thread_imports_extensions_while_a_fit_looks_for_blas(tmp_path):
    """The look holds the linker's lock and needs Python's, an import the other way round."""
    done = subprocess.run(
        [sys.executable, "-c", IN_THREADS], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "looked []"
