"""Stores that are new, half made or elsewhere; nobody's settings of MLflow are changed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import Run
from dbgsom_plugins.trackers.mlflow.store import open_client, quiet, readable_errors
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
from dbgsom_plugins.trackers.run_folder import RunFolder

Play = Callable[..., None]
MakeRun = Callable[..., Run]


KILLED_BEFORE_ITS_NAME = """
import os, pathlib, signal, sys

def hear(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("mlflow.db"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hear)
from dbgsom_plugins.trackers.mlflow.tracker import MLflow
MLflow(uri=sys.argv[2]).mirror(pathlib.Path(sys.argv[1]))
"""


def test_a_process_that_is_killed_while_it_makes_the_store_harms_nobody(
    make_run: MakeRun, play: Play, tmp_path: Path, connect: Any
) -> None:
    run, database = make_run(), tmp_path / "fresh" / "mlflow.db"
    play(run, RunFolder().observer())
    command = [sys.executable, "-c", KILLED_BEFORE_ITS_NAME]
    done = subprocess.run([*command, str(run.folder), f"sqlite:///{database}"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not database.exists()
    assert [path.name for path in database.parent.glob(".mlflow-*")]
    MLflow(uri=f"sqlite:///{database}").mirror(run.folder)
    assert connect(f"sqlite:///{database}").only_run().info.status == "FINISHED"
    assert not list(database.parent.glob(".mlflow-*"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_what_is_no_database_is_refused_and_stays(tmp_path: Path) -> None:
    pipe, folder, text = tmp_path / "pipe.db", tmp_path / "folder.db", tmp_path / "text.db"
    os.mkfifo(pipe)
    folder.mkdir()
    text.write_text("my notes")
    for place in (pipe, folder, text):
        for use in (open_client, lambda uri: MLflow(uri=uri).reachable()):
            with quiet(), pytest.raises(DbgsomError, match=f"{place} (cannot be opened|is no SQL)"):
                use(f"sqlite:///{place}")
    assert (pipe.is_fifo(), text.read_text()) == (True, "my notes")


def test_a_deleted_experiment_is_named_with_its_cure(
    uri: str, client: Any, make_run: MakeRun, play: Play
) -> None:
    run = make_run()
    play(run, RunFolder().observer())
    client.delete_experiment(client.create_experiment("digits"))
    with pytest.raises(DbgsomError, match=r"'digits' was deleted; restore it .*restore"):
        MLflow(uri=uri).mirror(run.folder)


def test_artifacts_lie_beside_the_database_wherever_the_run_started(
    uri: str, client: Any, make_run: MakeRun, play: Play, tmp_path: Path
) -> None:
    play(make_run(), RunFolder().observer(), MLflow(uri=uri).observer())
    location = client.only_run().info.artifact_uri
    assert location.startswith((tmp_path / "mlruns").as_uri())


@pytest.mark.parametrize("uri", ["mlruns", "file:///somewhere/mlruns", "./mlruns", "sqlite://"])
def test_stores_in_folders_and_in_memory_are_refused(uri: str) -> None:
    with pytest.raises(ValidationError, match=r"retired|in memory"):
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


def test_processes_that_meet_a_fresh_store_at_once_all_succeed(
    make_run: MakeRun, play: Play, tmp_path: Path, connect: Any
) -> None:
    folders = []
    for number in (1, 2):
        run = make_run(f"20261124-{number}")
        play(run, RunFolder().observer())
        folders.append(run.folder)
    uri = f"sqlite:///{tmp_path / 'fresh' / 'mlflow.db'}"
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
    client = connect(uri)
    experiment = client.get_experiment_by_name("digits").experiment_id
    assert len(client.search_runs([experiment])) == 2


def test_a_full_disk_is_told_as_one_although_sqlalchemy_says_first_when_it_was() -> None:
    aside = "(raised as a result of Query-invoked autoflush; consider a session.no_autoflush block)"
    full = "(sqlite3.OperationalError) database or disk is full"
    with pytest.raises(DbgsomError) as caught, readable_errors("sqlite:///mlflow.db"):
        raise RuntimeError(f"{aside}\n{full}\n[SQL: INSERT]")
    told = f"MLflow at sqlite:///mlflow.db refused (RuntimeError: {full})"
    assert str(caught.value) == told
