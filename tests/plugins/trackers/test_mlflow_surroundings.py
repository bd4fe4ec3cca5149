"""Runs go where MLflow is set to, where their configuration leaves that open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbgsom_core.interfaces.trackers import Run
from dbgsom_plugins.trackers.mlflow.store import quiet
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder

Play = Callable[..., None]
MakeRun = Callable[..., Run]
VARIABLES = ("TRACKING_URI", "EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)


@pytest.fixture
def mlflow(uri: str) -> Iterator[Any]:
    with quiet():
        import mlflow

        mlflow.set_tracking_uri(uri)
        try:
            yield mlflow
        finally:
            while mlflow.active_run() is not None:
                mlflow.end_run()
            mlflow.set_tracking_uri(None)


def test_variables_stand_in_for_what_is_left_open(
    uri: str, client: Any, make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    play(make_run(), RunFolder().observer(), MLflow().observer())
    assert client.only_run("theirs").info.status == "FINISHED"
    assert MLflow(uri="sqlite:///a.db", experiment="mine").uri == "sqlite:///a.db"
    assert MLflow(experiment="mine").experiment == "mine"


def test_a_run_that_is_named_is_logged_into(
    uri: str, client: Any, make_run: MakeRun, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_run_within_an_open_one_is_its_child(
    mlflow: Any, client: Any, make_run: MakeRun, play: Play
) -> None:
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


def test_an_import_that_failed_midway_can_be_tried_again() -> None:
    code = """if True:
        import sys
        from dbgsom_plugins.trackers.mlflow.store import quiet

        class Once:
            def find_spec(self, name, path=None, target=None):
                if name == "mlflow.tracking.fluent":
                    sys.meta_path.remove(self)
                    raise OSError("the disk was away")

        sys.meta_path.insert(0, Once())
        try:
            with quiet():
                pass
        except OSError as error:
            print(error)
        with quiet():
            print(sys.modules["mlflow"].MlflowClient.__name__, sys.modules["requests"].auth)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    first, second, *_ = done.stdout.split("\n")
    assert first == "the disk was away", done.stderr
    assert second.startswith("MlflowClient"), done.stderr


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


def test_no_thread_imports_extensions_while_a_fit_looks_for_blas(tmp_path: Path) -> None:
    """The look holds the linker's lock and needs Python's, an import the other way round."""
    done = subprocess.run(
        [sys.executable, "-c", IN_THREADS], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "looked []"
