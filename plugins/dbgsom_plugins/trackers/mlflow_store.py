"""Opening an MLflow store: quietly, once, and with a time limit.

Importing this module imports MLflow; callers do it inside `quiet`.
"""

from __future__ import annotations

import glob
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import event
from sqlalchemy.engine import Engine

from dbgsom_core.api import DbgsomError, shell_word, write_atomically
from dbgsom_plugins.trackers.mlflow_address import absolute, sqlite_file

_OTHER_TABLES = ("already exists", "duplicate column", "no such", "out-of-date database schema")
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # opens "Model training"
LOCK_SECONDS = 60.0  # a fresh store takes some


class Store:
    """One tracking store and the experiments in it.

    Parameters
    ----------
    uri : str
        An MLflow tracking URI; a relative SQLite path is taken from the working directory of now.
    """

    def __init__(self, uri: str) -> None:
        self.uri = absolute(uri)
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}

    @property
    def client(self) -> MlflowClient:
        """The client; the first use creates or opens the store."""
        if self._client is None:
            self._client = self._open()
        return self._client

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created when the store lacks it.

        Raises
        ------
        DbgsomError
            The experiment was deleted in MLflow.
        """
        if name not in self._experiments:
            self._experiments[name] = self._find_or_create(name)
        return self._experiments[name]

    def _open(self) -> MlflowClient:
        database = sqlite_file(self.uri)
        if database is None:
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        _check_is_file(database)
        database.parent.mkdir(parents=True, exist_ok=True)
        # Processes that meet a fresh SQLite store at once would all migrate it and destroy it.
        with FileLock(database.with_name(f".{database.name}.lock"), timeout=LOCK_SECONDS):
            if not database.exists() or not database.stat().st_size:
                _make(database)
            runs = _count_runs(database)
            try:
                client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
                client.search_experiments(max_results=1)
            except Exception as error:
                if any(sign in str(error) for sign in _OTHER_TABLES):
                    raise DbgsomError(_cure(database, runs)) from error
                raise
        return client

    def _find_or_create(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                created = self.client.create_experiment(name, self._artifact_location(), tags=_KIND)
                return str(created)
            except MlflowException:  # another process may have been faster
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise DbgsomError(
                f"the MLflow experiment '{name}' was deleted; restore it (mlflow experiments "
                f"restore --experiment-id {found.experiment_id}) or choose another name with "
                "'tracking: {name: mlflow, experiment: …}'"
            )
        return str(found.experiment_id)

    def _artifact_location(self) -> str | None:
        """Return an absolute place: MLflow's default depends on the reader's working directory."""
        database = sqlite_file(self.uri)
        return None if database is None else (database.parent / "mlruns").as_uri()


def state(uri: str) -> str:
    """Return how a store is, in words, and make or change nothing.

    Raises
    ------
    DbgsomError
        It cannot be used.
    """
    database = sqlite_file(uri)
    if database is None:
        return "answers" if uri.startswith(("http://", "https://")) else "not looked at"
    if not database.exists():
        folder = next(one for one in database.parents if one.exists())
        if not os.access(folder, os.W_OK):
            raise DbgsomError(f"{database} cannot be made: {folder} cannot be written")
        return f"{database} is made by the first run"
    _check_is_file(database)
    runs = _count_runs(database)
    if runs is None:
        raise DbgsomError(_cure(database, runs))
    try:  # with as many runs it is a whole store, which opening leaves as it is
        client = MlflowClient(tracking_uri=absolute(uri), registry_uri=absolute(uri))
        client.search_experiments(max_results=1)
    except Exception as error:
        raise DbgsomError(_cure(database, runs)) from error
    return f"{runs} run(s) in {database}"


def _check_is_file(database: Path) -> None:
    if database.exists() and not database.is_file():  # a pipe would wait, and be replaced
        kind = "a folder" if database.is_dir() else "a pipe, a socket or a device"
        raise DbgsomError(
            f"{database} is {kind} and no SQLite file: move it away, or name another store"
        )


def _make(database: Path) -> None:
    """Make a fresh store beside its place and move it there once it is whole.

    MLflow takes seconds and many steps, and cannot go on where a process was killed meanwhile.
    """

    def fill(path: Path) -> None:
        uri = f"sqlite:///{path}"
        with _written_late(path):
            MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)

    for left in database.parent.glob(f".{glob.escape(database.stem)}-*{database.suffix}*"):
        left.unlink(missing_ok=True)  # by a process that was killed here: we hold the lock
    write_atomically(database, fill)


@contextmanager
def _written_late(database: Path) -> Iterator[None]:
    """Let SQLite not wait for the disk after each of many steps: it is told once, at the end."""

    def opened(connection: Any, record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            named = connection.execute("PRAGMA database_list").fetchone()[2]
            if os.path.realpath(named) == os.path.realpath(database):
                connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", opened)
    try:
        yield
    finally:
        event.remove(Engine, "connect", opened)


def _count_runs(database: Path) -> int | None:
    """Return how many runs a store holds, None where it has no place for any.

    Raises
    ------
    DbgsomError
        It is no SQLite file, or cannot be read. MLflow itself would try for minutes.
    """
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as opened:
            opened.execute("PRAGMA user_version")
            if not opened.execute("select 1 from sqlite_master where name = 'runs'").fetchone():
                return None
            return int(opened.execute("select count(*) from runs").fetchone()[0])
    except sqlite3.Error as error:
        raise DbgsomError(f"{database} cannot be opened as a SQLite store: {error}") from error


def _cure(database: Path, runs: int | None) -> str:
    if runs:
        return (
            f"the tables of {database} are not those of this MLflow, {mlflow.__version__}: copy "
            f"the file and run 'mlflow db upgrade {shell_word(f'sqlite:///{database}')}', or name "
            "another store"
        )
    return (
        f"{database} is half made and holds no run: the process that made it was ended. Move it "
        f"away (mv {shell_word(str(database))} {shell_word(f'{database}.broken')}), and "
        "'dbgsom sync' fills a new one from the "
        "run folders"
    )
