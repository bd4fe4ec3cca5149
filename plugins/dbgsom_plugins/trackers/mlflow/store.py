"""An MLflow store: its address, quiet calls with a time limit, and what is wrong in words.

Only functions import MLflow, which takes more than a second.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from filelock import FileLock

from dbgsom_core.api import DbgsomError, masked, write_atomically
from dbgsom_core.runs.folder import RunFiles, read_json, write_json

URI = "MLFLOW_TRACKING_URI"
_CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME")
_SECONDS_TO_OPEN = 120.0  # for another process that makes the same SQLite file
# A dead server would otherwise block one call for four minutes.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_LEVELS = {"mlflow": logging.ERROR, "alembic": logging.WARNING, "urllib3": logging.ERROR}
_ANSWERED = re.compile(r"(?:too many|error code) (\d{3})\b")
_DENIED = re.compile(r"(?i)unauthenticated|permission_denied|unauthori[sz]ed|forbidden")
_BUSY = {
    "429": "too many requests",
    "500": "its log says more",
    "502": "what is behind its gateway does not answer",
    "503": "it is starting or overloaded",
    "504": "what is behind its gateway does not answer",
}
_AWAY = ("max retries exceeded", "timed out", "connection aborted", "connection refused")


# ------------------------------------------------------------------------------------- addresses


def open_run() -> str | None:
    """Return the id of the run that the program has open."""
    active = getattr(sys.modules.get("mlflow"), "active_run", None)
    run = None if active is None else active()
    return None if run is None else str(run.info.run_id)


def chosen_store() -> str | None:
    """Return the store that the program, or the environment, has chosen."""
    mlflow = sys.modules.get("mlflow")
    is_chosen = getattr(mlflow, "is_tracking_uri_set", None)
    if mlflow is not None and is_chosen is not None and (is_chosen() or open_run()):
        return str(mlflow.get_tracking_uri())
    return os.environ.get(URI) or None


def is_server(uri: str) -> bool:
    """Return whether a store is reached by HTTP."""
    return uri.startswith(("http://", "https://"))


def sqlite_file(uri: str, folder: Path | None = None) -> Path | None:
    """Return the absolute path of a SQLite URI's file, from ``folder`` or the working directory."""
    if not uri.startswith("sqlite:///"):
        return None
    path = unquote(uri.removeprefix("sqlite:///").partition("?")[0])
    return Path(os.path.normpath((folder or Path.cwd()).absolute() / path))


def absolute(uri: str, folder: Path | None = None) -> str:
    """Return the URI with a relative SQLite path made absolute."""
    database, mark, query = sqlite_file(uri, folder), *uri.partition("?")[1:]
    return uri if database is None else f"sqlite:///{database}{mark}{query}"


def store_of(uri: str, folder: Path) -> str:
    """Return the store that the configuration in a run folder means, wherever we are.

    A relative SQLite path starts where the run was started, if that folder is still there. A
    password that was written out is in no run folder: MLflow's own variables replace it.

    Raises
    ------
    DbgsomError
        The password is needed, and the environment does not have it.
    """
    if "***" not in uri:
        started = Path(str(read_json(RunFiles(folder).environment).get("directory") or ""))
        return absolute(uri, started if started.is_absolute() and started.is_dir() else None)
    chosen = chosen_store()
    if chosen is not None and masked(chosen) == uri:
        return chosen
    if not any(os.environ.get(name) for name in _CREDENTIALS):
        raise DbgsomError(
            f"the password of the MLflow store {masked(uri)} was written out, so the run "
            "folder does not hold it: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) and sync again; a reference "
            "as in 'uri: https://${env:NAME}@HOST' would have been kept"
        )
    return re.sub(r"(?<=//)[^/@]*@|(?<=[?&])[^=&]*=\*\*\*&?", "", uri)


# ----------------------------------------------------------------------- what was sent of a folder

_NOTES = "mlflow.json"  # of a run folder: {place: {"run", "experiment", "view", "sent"}}


def place_of(uri: str, experiment: str | None, registered_model: str | None) -> str:
    """Return what the notes call a place in a store; no password is in it."""
    return f"{masked(uri).replace('***@', '')} {experiment} {registered_model}"


def read_note(folder: Path, place: str) -> Mapping[str, Any]:
    """Return what a run folder notes of its MLflow run in a place: ids, view, what was sent."""
    note = read_json(folder / _NOTES).get(place)
    return note if isinstance(note, dict) else {}


def write_note(folder: Path, place: str, **note: Any) -> None:
    """Add to what a run folder notes of a place; a folder that cannot be written stays as is."""
    notes = dict(read_json(folder / _NOTES))
    with suppress(OSError):
        write_json(folder / _NOTES, {**notes, place: {**read_note(folder, place), **note}})


def fingerprint(folder: Path) -> str:
    """Return a digest of names, sizes and times of what a folder holds for MLflow."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("[!.]*")):
        if path.is_file() and path.name != _NOTES:
            found = path.stat()
            digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# ----------------------------------------------------------------------------------------- calls

_lock = threading.Lock()
_inside = 0
_variables: list[str] = []
_levels: dict[str, int] = {}


@contextmanager
def quiet(seconds: int = 60) -> Iterator[None]:
    """Let MLflow neither log, nor send telemetry, nor wait for minutes, while this lasts.

    A server has ``seconds`` for each answer. What the user has set stays. Threads share it: the
    first that comes sets levels of loggers and variables, the last that leaves puts them back.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            settings = {**_SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}
            _variables[:] = [name for name in settings if name not in os.environ]
            os.environ.update({name: settings[name] for name in _variables})
    try:
        import mlflow  # noqa: F401 # which sets the level of its logger

        with _lock:
            for name, level in _LEVELS.items():
                logger = logging.getLogger(name)
                if name not in _levels and logger.level < level:
                    _levels[name] = logger.level
                    logger.setLevel(level)
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for name in _variables:
                    os.environ.pop(name, None)
                for name, level in _levels.items():
                    logging.getLogger(name).setLevel(level)
                _levels.clear()


@contextmanager
def in_words(uri: str) -> Iterator[None]:
    """Raise what MLflow raises as a `DbgsomError` that says what is wrong with the store."""
    try:
        yield
    except DbgsomError:
        raise
    except Exception as error:
        raise DbgsomError(reason(uri, error)) from error


def answers(uri: str, seconds: float = 2.5) -> bool:
    """Return whether a server answers anything at all; a store that is no server does."""
    if not is_server(uri):
        return True
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=seconds, stream=True).close()
    except requests.RequestException:
        return False
    return True


def away(uri: str) -> str:
    """Return that a server does not answer, as a sentence."""
    return f"the MLflow server at {masked(uri)} does not answer"


def is_away(error: BaseException) -> bool:
    """Return whether a server did not answer; an error that it answers is no such error."""
    return any(sign in str(error).lower() for sign in _AWAY)


def reason(uri: str, error: BaseException) -> str:
    """Return what is wrong with a store, and the cure where there is one, as a sentence."""
    where, text = masked(uri), str(error)
    if isinstance(error, DbgsomError):
        return text
    match = _ANSWERED.search(text)
    code = match[1] if match else ""
    if code in ("401", "403") or (not code and _DENIED.search(text)):
        return (
            f"the MLflow server at {where} refused ({code}{': ' * bool(code)}not allowed): set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if code in _BUSY:
        return f"the MLflow server at {where} answered with an error ({code}: {_BUSY[code]})"
    if is_away(error):
        return away(uri)
    # SQLAlchemy says when before it says what.
    lines = [line for line in text.splitlines() if line and not line.startswith("(raised as a")]
    first = masked("".join(lines[:1]))[:300]
    return f"MLflow at {where} refused ({type(error).__name__}: {first})"


# --------------------------------------------------------------------------------------- opening


def client_of(uri: str) -> Any:
    """Return the client of a store; a SQLite file that is missing is made.

    Raises
    ------
    DbgsomError
        The file is no SQLite file.
    """
    from mlflow import MlflowClient

    database = sqlite_file(uri)
    if database is not None and not has_tables(database):
        database.parent.mkdir(parents=True, exist_ok=True)
        # Processes that meet a fresh file at once would all make its tables and destroy it.
        with FileLock(database.with_name(f".{database.name}.lock"), timeout=_SECONDS_TO_OPEN):
            if not has_tables(database):
                _make(database)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _make(database: Path) -> None:
    """Make a store beside its place and move it there: MLflow cannot continue a half-made one."""
    from mlflow import MlflowClient

    def fill(path: Path) -> None:
        MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments(max_results=1)

    for left in database.parent.glob(f".{glob.escape(database.stem)}-*{database.suffix}*"):
        left.unlink(missing_ok=True)  # by a process that was killed here
    write_atomically(database, fill)


def has_tables(database: Path) -> bool:
    """Return whether a SQLite file is there and holds anything.

    Raises
    ------
    DbgsomError
        It is no SQLite file, which MLflow would try to open for minutes.
    """
    if not database.exists():
        return False
    if not database.is_file():  # a pipe would wait
        kind = "a folder" if database.is_dir() else "a pipe, a socket or a device"
        raise DbgsomError(
            f"{database} is {kind} and no SQLite file: move it away, or name another store"
        )
    try:
        with database.open("rb") as file:
            begin = file.read(16)
    except OSError as error:
        raise DbgsomError(f"{database} cannot be opened: {error.strerror}") from error
    if begin not in (b"SQLite format 3\0", b""):
        raise DbgsomError(f"{database} is no SQLite file: move it away, or name another store")
    return bool(begin)
