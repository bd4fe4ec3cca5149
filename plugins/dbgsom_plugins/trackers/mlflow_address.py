"""Addresses of MLflow stores, read without importing MLflow."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from dbgsom_core.api import DbgsomError, masked
from dbgsom_core.runs.folder.records import Records
from dbgsom_core.runs.folder.store import RunFiles

_HIDDEN = "***"
_VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME")


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
    told = Records().json(RunFiles(folder).environment).get("directory", str)
    started = None if told is None else Path(told)
    return started if started and started.is_absolute() and started.is_dir() else None
