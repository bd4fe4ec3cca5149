"""An MLflow store: its address, quiet calls with a time limit, and what is wrong in words.

Only functions import MLflow, which takes more than a second.
"""

from __future__ import annotations

import glob
import hashlib
import importlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from filelock import FileLock

from dbgsom_core.api import DbgsomError, masked, open_regular, write_atomically
from dbgsom_core.runs.folder import JournalLine, read_json, read_run, write_json

LONGEST_TAG = 5000  # characters
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # as many as MLflow takes
_RECORDS = "mlflow.json"  # of a run folder: {store key: {"run", "experiment", "views", "sent"}}
_CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME")
# A dead server would otherwise block one call for four minutes.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_LEVELS = {"mlflow": logging.ERROR, "alembic": logging.WARNING, "urllib3": logging.ERROR}


def active_run_id() -> str | None:
    """Return the id of the run that the program has open."""
    active = getattr(sys.modules.get("mlflow"), "active_run", None)
    run = None if active is None else active()
    return None if run is None else str(run.info.run_id)


def configured_uri() -> str | None:
    """Return the store that the program, or the environment, has chosen."""
    is_chosen = getattr(sys.modules.get("mlflow"), "is_tracking_uri_set", None)
    if is_chosen is not None and (is_chosen() or active_run_id()):
        return str(sys.modules["mlflow"].get_tracking_uri())
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def is_server(uri: str) -> bool:
    """Return whether a store is reached by HTTP."""
    return uri.startswith(("http://", "https://"))


def sqlite_file(uri: str, folder: Path | None = None) -> Path | None:
    """Return the absolute path of a SQLite URI's file, from ``folder`` or the working directory."""
    if not uri.startswith("sqlite:///"):
        return None
    path = unquote(uri.removeprefix("sqlite:///").partition("?")[0])
    return Path(os.path.normpath((folder or Path.cwd()).absolute() / path))


def absolute_uri(uri: str, folder: Path | None = None) -> str:
    """Return the URI with a relative SQLite path made absolute."""
    database, mark, query = sqlite_file(uri, folder), *uri.partition("?")[1:]
    return uri if database is None else f"sqlite:///{database}{mark}{query}"


def resolve_uri(uri: str, folder: Path) -> str:
    """Return the store that the configuration in a run folder means, wherever we are.

    A relative SQLite path starts where the run was started, if that folder is still there. Run
    folders hold no literal passwords: variables of MLflow replace them.

    Raises
    ------
    DbgsomError
        Neither a password nor such variables are there.
    """
    if "***" not in uri:
        started = Path(str(read_run(folder).environment.get("directory") or ""))
        return absolute_uri(uri, started if started.is_absolute() and started.is_dir() else None)
    chosen = configured_uri()
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


def store_key(uri: str, experiment: str | None) -> str:
    """Return the key of a store and experiment in ``mlflow.json``, without a password."""
    return f"{masked(uri).replace('***@', '')} {experiment or ''}".rstrip()


def read_record(folder: Path, key: str) -> Mapping[str, Any]:
    """Return the record of what a run folder has in a store: ids, views, what was sent."""
    note = read_json(folder / _RECORDS).get(key)
    return note if isinstance(note, dict) else {}


def write_record(folder: Path, key: str, **note: Any) -> None:
    """Add to the record of a store; a folder that cannot be written stays as it is."""
    notes = read_json(folder / _RECORDS)
    with suppress(OSError):
        write_json(folder / _RECORDS, {**notes, key: {**read_record(folder, key), **note}})


def fingerprint(folder: Path) -> str:
    """Return a digest of names, sizes and times of the files of a run folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("[!.]*")):
        if path.is_file() and path.name != _RECORDS:
            found = path.stat()
            digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------ quiet calls

_lock, _import_lock = threading.Lock(), threading.RLock()
_n_quiet = 0
_set_variables: list[str] = []
_old_levels: dict[str, int] = {}


def import_store(uri: str) -> None:
    """Import what MLflow imports when a store is first used."""
    if is_server(uri):
        importlib.import_module("mlflow.store.tracking.rest_store")
    else:
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
        importlib.import_module("mlflow.store.model_registry.sqlalchemy_store")


@contextmanager
def quiet(seconds: int = 60) -> Iterator[None]:
    """Import MLflow, and let it neither log, nor send telemetry, nor wait for minutes meanwhile.

    A server has ``seconds`` for each answer. What the user has set stays. Threads share it: the
    first that comes sets variables and levels of loggers, the last that leaves puts them back.
    """
    global _n_quiet
    with _lock:
        _n_quiet += 1
        if _n_quiet == 1:
            settings = {**_SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}
            _set_variables[:] = [name for name in settings if name not in os.environ]
            os.environ.update({name: settings[name] for name in _set_variables})
    try:
        with _import_lock:  # a concurrent import may see a half-loaded module
            importlib.import_module("mlflow")  # which sets the level of its logger
            importlib.import_module("dbgsom_plugins.trackers.mlflow.upload")
        with _lock:
            for name, level in _LEVELS.items():
                logger = logging.getLogger(name)
                if logger.level < level:
                    _old_levels.setdefault(name, logger.level)
                    logger.setLevel(level)
        yield
    finally:
        with _lock:
            _n_quiet -= 1
            if not _n_quiet:
                for name in _set_variables:
                    os.environ.pop(name, None)
                for name, level in _old_levels.items():
                    logging.getLogger(name).setLevel(level)
                _old_levels.clear()


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raise what MLflow raises as a `DbgsomError` that names the store."""
    try:
        yield
    except DbgsomError:
        raise
    except Exception as error:
        what = masked(next(iter(str(error).splitlines()), "") or type(error).__name__)
        raise DbgsomError(f"MLflow at {masked(uri)}: {what}") from error


def check_server(uri: str, seconds: float = 2.5) -> None:
    """Raise `DbgsomError` for a server that answers nothing in so many seconds."""
    if is_server(uri):
        import requests

        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=seconds, stream=True).close()
        except requests.RequestException:
            raise DbgsomError(f"the MLflow server at {masked(uri)} does not answer") from None


# --------------------------------------------------------------------------------------- opening


def open_client(uri: str) -> Any:
    """Return the client of a store; a SQLite file that is missing is made, once and whole."""
    from mlflow import MlflowClient

    def make(path: Path) -> None:
        MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments(max_results=1)

    database = sqlite_file(uri)
    if database is not None and not is_sqlite(database):
        database.parent.mkdir(parents=True, exist_ok=True)
        # Processes that meet a fresh file at once would all make its tables and destroy it, and
        # MLflow cannot continue where one was killed meanwhile.
        with FileLock(database.with_name(f".{database.name}.lock"), timeout=120):
            for left in database.parent.glob(f".{glob.escape(database.stem)}-*{database.suffix}*"):
                left.unlink(missing_ok=True)
            if not is_sqlite(database):
                write_atomically(database, make)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def is_sqlite(database: Path) -> bool:
    """Return whether a SQLite file is there and holds anything.

    Raises
    ------
    DbgsomError
        It is another file, which MLflow would try to open for minutes.
    """
    if not database.exists():
        return False
    try:
        with open_regular(database) as file:
            begin = file.read(16)
    except OSError as error:
        raise DbgsomError(f"{database} cannot be opened: {error.strerror or error}") from error
    if begin not in (b"SQLite format 3\0", b""):
        raise DbgsomError(f"{database} is no SQLite file: move it away, or name another store")
    return bool(begin)


# --------------------------------------------------------------------------------------- writing


def key_of(name: str) -> str:
    """Return the name with what MLflow refuses in names replaced."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


class Store:
    """A tracking store; ``writes`` are counted."""

    def __init__(self, uri: str) -> None:
        self.uri, self.client, self.writes = uri, open_client(uri), 0

    def write(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the client that changes the store."""
        self.writes += 1
        return getattr(self.client, method)(*args, **options)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        metrics: Iterable[Any] = (),
    ) -> None:
        """Log parameters, tags and metrics, cut short and in batches as MLflow takes them."""
        from mlflow.entities import Param, RunTag

        entities: dict[str, list[Any]] = {
            "params": [Param(key_of(k), str(v)[:6000]) for k, v in (params or {}).items()],
            "tags": [RunTag(k, v) for k, v in as_tags(tags or {}).items()],
            "metrics": list(metrics),
        }
        for kind, found in entities.items():
            for start in range(0, len(found), _BATCH[kind]):
                self.write("log_batch", run_id, **{kind: found[start : start + _BATCH[kind]]})

    def log_inputs(self, run_id: str, inputs: list[Any]) -> None:
        """Log data sets; retried once, as two runs may create the same one."""
        try:
            self.write("log_inputs", run_id, inputs)
        except Exception:
            self.write("log_inputs", run_id, inputs)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created when the store lacks it.

        Raises
        ------
        DbgsomError
            It was deleted in MLflow.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            database = sqlite_file(self.uri)  # else it depends on the working directory
            location = None if database is None else (database.parent / "mlruns").as_uri()
            kind = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(self.write("create_experiment", name, location, tags=kind))
            except Exception:  # another process may have been faster
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


def as_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags as MLflow takes them, without those that are None."""
    known = {key_of(name): str(value) for name, value in tags.items() if value is not None}
    return {name: value[:LONGEST_TAG] for name, value in known.items()}


def metrics_of(lines: Iterable[JournalLine]) -> list[Any]:
    """Return the metrics of lines of a journal, as MLflow takes them."""
    from mlflow.entities import Metric

    return [
        Metric(key_of(name), value, line.time, line.epoch)
        for line in lines
        for name, value in line.metrics.items()
    ]
