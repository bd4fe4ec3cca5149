"""Opening an MLflow store: quietly, once, and with a time limit.

Importing this module imports MLflow; callers do it inside `quiet`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dbgsom_core.api import DbgsomError

LOCK_SECONDS = 120.0


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
        database.parent.mkdir(parents=True, exist_ok=True)
        try:  # MLflow itself would try for minutes
            with closing(sqlite3.connect(database)) as opened:
                opened.execute("PRAGMA user_version")
        except sqlite3.Error as error:
            raise DbgsomError(f"{database} cannot be opened as a SQLite store: {error}") from error
        # Processes that meet a fresh SQLite store at once would all migrate it and destroy it.
        with FileLock(database.with_name(f".{database.name}.lock"), timeout=LOCK_SECONDS):
            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            client.search_experiments(max_results=1)
        return client

    def _find_or_create(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                created = self.client.create_experiment(name, self._artifact_location())
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


def absolute(uri: str) -> str:
    """Return the URI with a relative SQLite path made absolute."""
    database = sqlite_file(uri)
    if database is None:
        return uri
    query = uri.partition("?")[2]
    return f"sqlite:///{database}" + (f"?{query}" if query else "")


def sqlite_file(uri: str) -> Path | None:
    """Return the absolute path of a SQLite URI's file, None for any other store."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0])).absolute()
