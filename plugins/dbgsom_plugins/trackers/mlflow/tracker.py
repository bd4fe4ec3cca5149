"""The MLflow tracker: its settings, and the thread that sends the folders of runs.

Only functions import MLflow, which takes more than a second.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

from pydantic import Field, PrivateAttr, field_validator, model_validator

from dbgsom_core.api import (
    DbgsomError,
    EpochRecord,
    Page,
    Run,
    StoredRun,
    TrackerComponent,
    masked,
)
from dbgsom_plugins.trackers.mlflow import store

if TYPE_CHECKING:
    from dbgsom_plugins.trackers.mlflow.upload import Uploader

# Seconds in which nothing is sent, after which a run ends without MLflow. A server that is there
# answers sooner; a file is as slow as the machine, and what it misses costs a `dbgsom sync`.
_PATIENCE = {"server": 10.0, "file": 100.0, "killed": 10.0}
_log = logging.getLogger("dbgsom.mlflow")


class MLflow(TrackerComponent):
    """Shows runs in MLflow: parameters, metrics per epoch, data, figures and the model.

    The run folder is always written first; a thread of the run sends it, and training waits for
    nothing. What a store misses ``dbgsom sync`` sends later.
    """

    is_default = True
    addresses = ("runs:/", "models:/")
    store_field = "uri"

    uri: str = Field(
        default="sqlite:///mlflow.db",
        min_length=1,
        description="tracking store: sqlite:///FILE, or the address of a server; where it is left "
        "out MLFLOW_TRACKING_URI counts first",
    )
    experiment: str | None = Field(
        default=None,
        min_length=1,
        description="MLflow experiment; null: that of the run; where it is left out "
        "MLFLOW_EXPERIMENT_NAME counts first",
    )
    registered_model: str | None = Field(
        default=None, min_length=1, description="registered model to add each map to as a version"
    )
    signature: Literal["any", "typed"] = Field(
        default="any",
        description="columns of models; typed: double and string, checked faster, without int64",
    )
    wheels: list[str] = Field(
        default_factory=list,
        description="wheels of what models need and no package index has, kept with each model",
    )
    flush_seconds: float = Field(
        default=5.0, ge=0, description="seconds between two batches of metrics"
    )

    # MLflow settings of the calling program: store URI, run to log into, run that is open.
    _ambient: tuple[str | None, str | None, str | None] = PrivateAttr(
        default_factory=lambda: (
            store.configured_uri(),
            os.environ.get("MLFLOW_RUN_ID") or None,
            store.active_run_id(),
        )
    )

    @model_validator(mode="before")
    @classmethod
    def _as_mlflow_is_set(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        uri, experiment = store.configured_uri(), os.getenv("MLFLOW_EXPERIMENT_NAME")
        if uri:
            given = {"uri": uri, **given}
        if experiment:
            given = {"experiment": experiment, **given}
        return given

    @field_validator("uri")
    @classmethod
    def _outlives_the_run(cls, uri: str) -> str:
        where = "MLFLOW_TRACKING_URI is " if uri == os.environ.get("MLFLOW_TRACKING_URI") else ""
        what = ""
        if uri.startswith("file:") or ("://" not in uri and not uri.startswith("databricks")):
            what = "a folder, and MLflow has retired stores in folders"
        elif uri in ("sqlite://", "sqlite:///:memory:"):
            what = "a store in memory, which ends with the run"
        if what:
            raise ValueError(
                f"{where}'{uri}', {what}; write sqlite:///mlflow.db or the address of a server "
                "such as http://localhost:5000"
            )
        return uri

    def observer(self) -> MLflowObserver:
        return MLflowObserver(self)

    def page(self, experiment: str | None, folder: Path | None, port: int) -> Page:
        uri = self.uri
        record: Mapping[str, Any] = {}
        if folder is not None:
            uri = store.resolve_uri(uri, folder)
            record = store.read_record(folder, self.store_key(folder))
        database = store.sqlite_file(uri)
        if database is not None and not database.exists():
            raise DbgsomError(
                f"there is no MLflow store {database} yet: 'dbgsom run' makes it, 'dbgsom sync' "
                "fills it from the run folders"
            )
        name, known = self.experiment or experiment, None
        if name:
            with _command(uri):
                from mlflow import MlflowClient

                known = MlflowClient(store.absolute_uri(uri)).get_experiment_by_name(name)
        route, query = "#/experiments", {}
        if known:
            route = f"{route}/{known.experiment_id}/runs"
            stored = StoredRun.read(folder) if folder and record else None
            if stored and stored.kind == "sweep":
                query = _best_first(stored, record["run"])
            elif stored:
                route = f"{route}/{record['run']}"
        route = f"{route}?{urlencode({**query, **store.MODE}, quote_via=quote)}"
        if store.is_server(uri):
            return Page(f"{masked(uri).rstrip('/')}/{route}")
        words = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
        settings = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_BACKEND_STORE_URI": uri,  # others can read the words of a command
        }
        return Page(f"http://127.0.0.1:{port}/{route}", [*words, "--workers", "1"], settings)

    def fetch_model(self, address: str, folder: Path) -> Path:
        with _command(self.uri):
            from dbgsom_plugins.trackers.mlflow.model import fetch_model

            return fetch_model(self.uri, address, folder)

    @staticmethod
    def python() -> ModuleType:
        """Return what `dbgsom_core.mlflow` calls, whatever the store; MLflow is imported."""
        with store.quiet():
            from dbgsom_plugins.trackers.mlflow import python_api
        return python_api

    def register(self, folder: Path, name: str, alias: str | None) -> str:
        self.mirror(folder)
        uri = store.resolve_uri(self.uri, folder)
        with _command(uri):
            return self.uploader(uri).register(folder, name, alias)

    def mirror(self, folder: Path) -> bool:
        uri = store.resolve_uri(self.uri, folder)
        with _command(uri):
            store.check_server(uri)
            return self.uploader(uri).upload(folder)

    def mirrored(self, folder: Path) -> bool:
        record = store.read_record(folder, self.store_key(folder))
        return bool(record) and record.get("sent") == store.fingerprint(folder)

    def store_key(self, folder: Path) -> str:
        """Return the key of this store in a folder's ``mlflow.json``."""
        uri = self.uri if "***" in self.uri else store.resolve_uri(self.uri, folder)
        return store.store_key(uri, self.experiment)

    def uploader(self, uri: str) -> Uploader:
        """Return the uploader of run folders to a store; the first call imports MLflow."""
        from dbgsom_plugins.trackers.mlflow.upload import Uploader

        ambient_uri, run, parent = self._ambient
        if store.absolute_uri(ambient_uri or "") != uri:
            run, parent = None, None
        return Uploader(
            store.Store(uri),
            experiment=self.experiment,
            registered_model=self.registered_model,
            wheels=self.wheels,
            signature=self.signature,
            run_id=run,
            parent_id=parent,
        )


class MLflowObserver:
    """Sends the folders of runs to MLflow in a thread, and waits for it when the first run ends.

    What MLflow does not take costs a run nothing, and an error is logged.
    """

    def __init__(self, settings: MLflow) -> None:
        self._settings = settings
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._uploader: Uploader | None = None
        self._error = ""  # why the store did not take the last that it was sent
        self._errors: dict[str, None] = {}  # of runs that have ended, each once
        self._top: Path | None = None  # the folder of the first run
        self._last: Future[None] = Future()  # done when all is sent that was given to the thread
        self._due = 0.0

    def prepare(self) -> None:
        """Import MLflow and start the thread.

        Where a thread imports MLflow while a fit begins, both can wait for each other for ever:
        looking for the libraries of BLAS holds a lock of the C library that the import of an
        extension needs, and needs the lock of Python that the import holds.
        """
        module = "rest_store" if store.is_server(self._settings.uri) else "sqlalchemy_store"
        try:
            with warnings.catch_warnings(), store.quiet():
                warnings.simplefilter("ignore")
                importlib.import_module(f"mlflow.store.tracking.{module}")
                importlib.import_module(f"mlflow.store.model_registry.{module}")
                importlib.import_module("dbgsom_plugins.trackers.mlflow.upload")
        except Exception as error:  # the thread says it when there is a run
            _log.debug("MLflow cannot be imported: %s", error)
        context = copy_context()  # with the registry of the run
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._tasks.put(None)
        self._thread = None

    def dbgsom_run_started(self, run: Run) -> None:
        self._top = self._top or run.folder
        self._give(run.folder, "running")

    def dbgsom_epoch_finished(self, run: Run | None, epoch: EpochRecord) -> None:
        if run is None:
            raise DbgsomError("a fit has no run folder: use dbgsom_core.mlflow.autolog()")
        if time.monotonic() >= self._due and self._last.done():
            self._due = time.monotonic() + self._settings.flush_seconds
            self._give(run.folder, "running")

    def dbgsom_run_finished(self, run: Run) -> None:
        self._end(run, "finished")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        self._end(run, "failed" if isinstance(error, Exception) else "killed")

    def _give(self, folder: Path, status: str) -> None:
        if self._thread is None:
            self.prepare()
        self._last = Future()
        self._tasks.put((folder, status, self._last))

    def _end(self, run: Run, status: str) -> None:
        self._give(run.folder, status)
        if run.folder != self._top:
            return
        self._top = None
        kind = "server" if store.is_server(self._settings.uri) else "file"
        self._wait(_PATIENCE["killed" if status == "killed" else kind])
        for error in self._errors:
            _log.error("%s", _with_cure(error))
        self._errors.clear()

    def _wait(self, seconds: float) -> None:
        """Wait until all is sent, or nothing was for so many seconds."""
        writes, until = -1, 0.0
        while not self._last.done():
            now = self._uploader.store.writes if self._uploader else 0
            if now != writes:
                writes, until = now, time.monotonic() + seconds
            if time.monotonic() > until:
                self._errors["MLflow did not take all of it in time"] = None
                return
            wait([self._last], timeout=0.5)  # longer, and Windows would not hear of Ctrl-C

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            folder, status, done = task
            error = ""
            try:
                self._send(folder, status)
            except BaseException as reason:
                error = str(reason)
                if status != "running":
                    self._errors[error] = None
                elif not self._error:
                    _log.warning("%s", _with_cure(error))
            self._error = error
            done.set_result(None)

    def _send(self, folder: Path, status: str) -> None:
        uri = store.resolve_uri(self._settings.uri, folder)
        store.check_server(uri)
        with store.calling(uri):
            if self._uploader is None or self._uploader.store.uri != uri:
                self._uploader = self._settings.uploader(uri)
            if status == "running":
                self._uploader.follow(folder)
            else:
                self._uploader.upload(folder, status)


def _best_first(sweep: StoredRun, run_id: str) -> dict[str, str]:
    """Return what makes MLflow's page list the runs of a sweep, the best one first."""
    query = {"searchFilter": f"tags.`mlflow.parentRunId` = '{run_id}'"}
    for ranking in sweep.rankings[:1]:
        ascending = "true" if ranking.direction == "minimize" else "false"
        measure = f"metrics.`{ranking.measures[0]}`"
        query |= {"orderByKey": measure, "orderByAsc": ascending}
    return query


@contextmanager
def _command(uri: str) -> Iterator[None]:
    """Let MLflow be called by a command, which shows none of its warnings."""
    with warnings.catch_warnings(), store.calling(uri):
        warnings.simplefilter("ignore")
        yield


def _with_cure(error: str) -> str:
    return f"{error}: run folders are complete, and 'dbgsom sync' sends to MLflow what it misses"
