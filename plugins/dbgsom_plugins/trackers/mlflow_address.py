"""Addresses of MLflow stores, read without importing MLflow."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from dbgsom_core.api import DbgsomError, masked
from dbgsom_core.runs.folder import RunFiles, read_json

_HIDDEN = "***"
_EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
_VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME")


@dataclass(frozen=True)
class Surroundings:
    """What MLflow is set to around us, by the environment or by a Python program.

    Attributes
    ----------
    store : str or None
    experiment : str or None
    run : str or None
        The id of the run that is to be logged into (``MLFLOW_RUN_ID``).
    parent : str or None
        The id of the run that is open, of which others become children.
    """

    store: str | None = field(default_factory=lambda: _chosen_store())
    experiment: str | None = field(default_factory=lambda: os.environ.get(_EXPERIMENT) or None)
    run: str | None = field(default_factory=lambda: os.environ.get("MLFLOW_RUN_ID") or None)
    parent: str | None = field(default_factory=lambda: _open_run())

    def left_open(self) -> dict[str, str]:
        """Return the fields of the tracker's settings that this stands in for."""
        given = {"uri": self.store, "experiment": self.experiment}
        return {name: value for name, value in given.items() if value}

    def holds(self, uri: str) -> bool:
        """Say whether runs of this store may be within it."""
        return absolute(self.store or "") == absolute(uri)


def _chosen_store() -> str | None:
    mlflow = sys.modules.get("mlflow")
    chosen = getattr(mlflow, "is_tracking_uri_set", None)
    if chosen is not None and (chosen() or _open_run()):
        return str(mlflow.get_tracking_uri())  # type: ignore[union-attr]
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def _open_run() -> str | None:
    active = getattr(sys.modules.get("mlflow"), "active_run", None)
    run = None if active is None else active()
    return None if run is None else str(run.info.run_id)


def absolute(uri: str, folder: Path | None = None) -> str:
    """Return the URI with a relative SQLite path made absolute, from ``folder`` or where we are."""
    database = sqlite_file(uri, folder)
    if database is None:
        return uri
    query = uri.partition("?")[2]
    return f"sqlite:///{database}" + (f"?{query}" if query else "")


def sqlite_file(uri: str, folder: Path | None = None) -> Path | None:
    """Return the absolute path of a SQLite URI's file, None for any other store."""
    if not uri.startswith("sqlite:///"):
        return None
    path = Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0]))
    if path.is_absolute():
        return path
    joined = (Path.cwd() if folder is None else folder.absolute()) / path
    return Path(os.path.normpath(joined))


def is_masked(uri: str) -> bool:
    """Say whether a URI is one of a run folder's, without the password that it was given with."""
    return _HIDDEN in uri


def store_of(uri: str, folder: Path) -> str:
    """Return the store that the configuration in a run folder means, wherever we are.

    A relative SQLite path is taken from where the run was started, if that folder is still there.
    A password that was written out is in no run folder: MLflow's own variables stand in for it.

    Raises
    ------
    DbgsomError
        The password is needed and nowhere to be had.
    """
    if is_masked(uri):
        chosen = _chosen_store()
        if chosen is not None and masked(chosen) == uri:
            return chosen
        if not any(os.environ.get(name) for name in _VARIABLES):
            raise DbgsomError(
                f"the password of the MLflow store {masked(uri)} was written out, so the run "
                "folder does not hold it: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) and sync again; a reference "
                "as in 'uri: https://${env:NAME}@HOST' would have been kept"
            )
        return re.sub(r"(?<=//)[^/@]*@|(?<=[?&])[^=&]*=\*\*\*&?", "", uri)
    return absolute(uri, _started_in(folder))


def _started_in(folder: Path) -> Path | None:
    told = read_json(RunFiles(folder).environment).get("directory")
    started = None if told is None else Path(told)
    return started if started and started.is_absolute() and started.is_dir() else None
