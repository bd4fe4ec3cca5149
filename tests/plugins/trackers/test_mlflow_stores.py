"""Stores that are new, half made or elsewhere; nobody's settings of MLflow are changed."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.trackers import Run
from dbgsom_plugins.trackers.mlflow import MLflow, mirror
from dbgsom_plugins.trackers.mlflow_quiet import quiet, reason
from dbgsom_plugins.trackers.run_folder import RunFolder

Play = Callable[..., None]
MakeRun = Callable[..., Run]


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
    make_run: MakeRun, play: Play, tmp_path: Path, client_of: Any
) -> None:
    run, database = make_run(), tmp_path / "fresh" / "mlflow.db"
    play(run, RunFolder().observer())
    command = [sys.executable, "-c", KILLED_BEFORE_ITS_NAME]
    done = subprocess.run([*command, str(run.folder), f"sqlite:///{database}"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not database.exists()
    assert [path.name for path in database.parent.glob(".mlflow-*")]
    mirror(run.folder, f"sqlite:///{database}")
    assert client_of(f"sqlite:///{database}").only_run().info.status == "FINISHED"
    assert not list(database.parent.glob(".mlflow-*"))


def test_only_a_store_that_is_being_made_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    from sqlalchemy import create_engine, text

    from dbgsom_plugins.trackers.mlflow_store import _written_late

    def waits(name: str) -> int:
        engine = create_engine(f"sqlite:///{tmp_path / name}")
        try:
            with engine.connect() as connection:
                return int(connection.execute(text("PRAGMA synchronous")).scalar_one())
        finally:
            engine.dispose()

    with _written_late(tmp_path / "new.db"):
        assert (waits("new.db"), waits("other.db")) == (0, 2)
    assert waits("new.db") == 2


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_what_is_no_file_is_refused_and_stays(tmp_path: Path) -> None:
    with quiet():
        from dbgsom_plugins.trackers.mlflow_store import Store, state

    pipe, folder = tmp_path / "pipe.db", tmp_path / "folder.db"
    os.mkfifo(pipe)
    folder.mkdir()
    for place, kind in ((pipe, "a pipe"), (folder, "a folder")):
        for use in (lambda uri: Store(uri).client, state):
            with pytest.raises(DbgsomError, match=f"{place} is {kind}.* no SQLite file: move it"):
                use(f"sqlite:///{place}")
    assert pipe.is_fifo()


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
    location = client.only_run().info.artifact_uri
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


def test_the_process_can_start_before_anything_heavy_is_imported() -> None:
    script = """
import sys
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
registry = get_registry()
observers = make_callbacks([("mlflow", registry.build("tracker", "mlflow"))], registry)
from dbgsom_plugins.trackers import mlflow_beside
started = []
class Process:
    def __init__(self, settings, left):
        started.append([n for n in ("mlflow", "numba", "sklearn", "scipy") if n in sys.modules])
    def end(self):
        pass
mlflow_beside._start = Process
with observers.prepared():
    pass
assert started == [[]], started
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_processes_that_meet_a_fresh_store_at_once_all_succeed(
    make_run: MakeRun, play: Play, tmp_path: Path, client_of: Any
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
    client = client_of(uri)
    experiment = client.get_experiment_by_name("digits").experiment_id
    assert len(client.search_runs([experiment])) == 2


def test_a_full_disk_is_told_as_one_although_sqlalchemy_says_first_when_it_was() -> None:
    aside = "(raised as a result of Query-invoked autoflush; consider a session.no_autoflush block)"
    full = "(sqlite3.OperationalError) database or disk is full"
    told = reason("sqlite:///mlflow.db", RuntimeError(f"{aside}\n{full}\n[SQL: INSERT]"))
    assert told == f"MLflow at sqlite:///mlflow.db refused (RuntimeError: {full})"
