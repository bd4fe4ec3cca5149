"""An MLflow store: its address, quiet calls with a time limit, and writing in batches.

Only functions import MLflow, which takes more than a second.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from filelock import FileLock

from dbgsom_core.api import DbgsomError, StoredRun, masked, open_regular, write_atomically

LONGEST_TAG = 5000  # characters, as MLflow takes them
_LONGEST_PARAM = 6000  # likewise
MODE = {"workflowType": "machine_learning"}  # what pages of MLflow are about; else they ask
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # as many as MLflow takes
_RECORDS = "mlflow.json"  # of a run folder: {store key: {"run", "experiment", "sent"}}
_SETTINGS = {  # a dead server would otherwise block one call for four minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_LEVELS = {"mlflow": logging.ERROR, "alembic": logging.WARNING, "urllib3": logging.ERROR}


# -------------------------------------------------------------------------------------- addresses


def active_run_id() -> str | None:
    """Return the id of the run that the program has open."""
    active_run = getattr(sys.modules.get("mlflow"), "active_run", None)
    if active_run is None:
        return None
    run = active_run()
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
    database = sqlite_file(uri, folder)
    if database is None:
        return uri
    _, mark, query = uri.partition("?")
    return f"sqlite:///{database}{mark}{query}"


def resolve_uri(uri: str, folder: Path) -> str:
    """Return the store that the configuration in a run folder means, wherever we are.

    A relative SQLite path starts where the run was started, if that folder is still there. Run
    folders hold no literal passwords: variables of MLflow replace them.
    """
    if "***" not in uri:
        directory = StoredRun.read(folder).environment.get("directory")
        start = Path(str(directory or ""))
        if start.is_absolute() and start.is_dir():
            return absolute_uri(uri, start)
        return absolute_uri(uri)
    chosen = configured_uri()
    if chosen is not None and masked(chosen) == uri:
        return chosen
    if not os.environ.keys() & {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"}:
        raise DbgsomError(
            f"run folders do not hold the password of {uri}: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return re.sub(r"(?<=//)[^/@]*@|(?<=[?&])[^=&]*=\*\*\*&?", "", uri)


def check_server(uri: str) -> None:
    """Raise `DbgsomError` for a server that does not answer."""
    if is_server(uri):
        import requests

        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=5, stream=True).close()
        except requests.RequestException:
            raise DbgsomError(f"the MLflow server at {masked(uri)} does not answer") from None


# ----------------------------------------------------------------------- what was sent of a folder


def store_key(uri: str, experiment: str | None) -> str:
    """Return the key of a store and experiment in ``mlflow.json``, without a password."""
    return f"{masked(uri).replace('***@', '')} {experiment or ''}".rstrip()


def _read_records(folder: Path) -> dict[str, Any]:
    try:
        records = json.loads((folder / _RECORDS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return records if isinstance(records, dict) else {}


def read_record(folder: Path, key: str) -> Mapping[str, Any]:
    """Return the record of what a run folder has in a store: ids, and what was sent."""
    record = _read_records(folder).get(key)
    return record if isinstance(record, dict) else {}


def write_record(folder: Path, key: str, **facts: Any) -> None:
    """Add to the record of a store; a folder that cannot be written stays as it is."""
    records = _read_records(folder)
    records[key] = {**read_record(folder, key), **facts}
    text = json.dumps(records, indent=2) + "\n"
    with suppress(OSError):
        write_atomically(folder / _RECORDS, lambda temporary: temporary.write_text(text))


def fingerprint(folder: Path) -> str:
    """Return a digest of names, sizes and times of the files of a run folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("[!.]*")):
        if path.is_file() and path.name != _RECORDS:
            facts = path.stat()
            digest.update(f"{path.name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------ quiet calls

_lock = threading.RLock()  # also of the import: another thread would see a half-loaded module
_n_quiet = 0
_settings = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Import MLflow, and let it neither log, nor send telemetry, nor wait for minutes meanwhile.

    What the user has set stays. Threads share it: the first that comes makes the settings, the
    last that leaves takes them back.
    """
    global _n_quiet
    with _lock:
        if not _n_quiet:
            _settings.enter_context(_quiet_settings())
        _n_quiet += 1
    try:
        yield
    finally:
        with _lock:
            _n_quiet -= 1
            if not _n_quiet:
                _settings.close()


@contextmanager
def _quiet_settings() -> Iterator[None]:
    names = _SETTINGS.keys() - os.environ.keys()
    os.environ.update({name: _SETTINGS[name] for name in names})
    levels = {}
    try:
        import mlflow  # noqa: F401 # sets the level of its logger

        for name, level in _LEVELS.items():
            logger = logging.getLogger(name)
            if logger.level < level:
                levels[logger] = logger.level
                logger.setLevel(level)
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def calling(uri: str) -> Iterator[None]:
    """Call MLflow quietly; what it raises is a `DbgsomError` that names the store."""
    try:
        with quiet():
            yield
    except DbgsomError:
        raise
    except Exception as error:
        what = masked(next(iter(str(error).splitlines()), "") or type(error).__name__)
        raise DbgsomError(f"MLflow at {masked(uri)}: {what}") from error


# --------------------------------------------------------------------------------------- the store


def open_client(uri: str) -> Any:
    """Return the client of a store; a SQLite file that is missing is made, once and whole."""
    from mlflow import MlflowClient

    def make(path: Path) -> None:
        MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments(max_results=1)

    database = sqlite_file(uri)
    if database is not None and not _is_sqlite(database):
        database.parent.mkdir(parents=True, exist_ok=True)
        # Processes that meet a fresh file at once would all make its tables and destroy it, and
        # MLflow cannot continue where one was killed meanwhile.
        with FileLock(database.with_name(f".{database.name}.lock"), timeout=120):
            for left in database.parent.glob(f".{glob.escape(database.stem)}-*{database.suffix}*"):
                left.unlink(missing_ok=True)
            if not _is_sqlite(database):
                write_atomically(database, make)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _is_sqlite(database: Path) -> bool:
    """Return whether a file is there and holds anything; MLflow would try others for minutes."""
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
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        metrics: Iterable[Any] = (),
    ) -> None:
        """Log parameters, tags and metrics, cut short and in batches as MLflow takes them."""
        from mlflow.entities import Param, RunTag

        entities: dict[str, list[Any]] = {"params": [], "tags": [], "metrics": list(metrics)}
        for name, value in (params or {}).items():
            entities["params"].append(Param(key_of(name), str(value)[:_LONGEST_PARAM]))
        for name, text in as_tags(tags or {}).items():
            entities["tags"].append(RunTag(name, text))
        for kind, values in entities.items():
            for start in range(0, len(values), _BATCH[kind]):
                batch = values[start : start + _BATCH[kind]]
                self.write("log_batch", run_id, **{kind: batch})

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created when the store lacks it."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            database = sqlite_file(self.uri)  # else it depends on the working directory
            location = None if database is None else (database.parent / "mlruns").as_uri()
            kind = {"mlflow.experimentKind": "custom_model_development"}  # else the page asks
            try:
                return str(self.write("create_experiment", name, location, tags=kind))
            except Exception:  # another process may have been faster
                experiment = self.client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if experiment.lifecycle_stage != "active":
            raise DbgsomError(
                f"the MLflow experiment '{name}' was deleted: restore it (mlflow experiments "
                f"restore --experiment-id {experiment.experiment_id})"
            )
        return str(experiment.experiment_id)


def key_of(name: str) -> str:
    """Return the name with what MLflow refuses in names replaced."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def as_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags as MLflow takes them, without those that are None."""
    texts = {}
    for name, value in tags.items():
        if value is not None:
            texts[key_of(name)] = str(value)[:LONGEST_TAG]
    return texts
