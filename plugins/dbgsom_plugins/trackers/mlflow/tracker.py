"""The MLflow tracker: its settings, and the thread that sends the folders of runs.

Only functions import MLflow, which takes more than a second.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from dbgsom_core.api import (
    DbgsomError,
    EpochRecord,
    Page,
    Run,
    TrackerComponent,
    masked,
)
from dbgsom_plugins.trackers.mlflow import pages, store

if TYPE_CHECKING:
    from dbgsom_core.runs.folder import State
    from dbgsom_plugins.trackers.mlflow.upload import Uploader

_SECONDS_TO_WAIT = 30.0  # at the end of a run for a server, since it took the last run
_SECONDS_FOR_A_FILE = 100.0  # it is only slow where the machine is
_SECONDS_WHEN_KILLED = 10.0
_SECONDS_A_CALL = 10  # of a server during a run; MLflow takes whole ones
_SECONDS_TO_LOOK = 10.0  # for `dbgsom sync`: some servers need seconds
_log = logging.getLogger("dbgsom.mlflow")


class MLflow(TrackerComponent):
    """Shows runs in MLflow: parameters, metrics per epoch, data, figures and the model.

    The run folder is always written first; a thread of the run sends it, and training waits for
    nothing. What a store misses ``dbgsom sync`` sends later.
    """

    is_default: ClassVar[bool] = True
    addresses: ClassVar[tuple[str, ...]] = ("runs:/", "models:/")
    store_field: ClassVar[str] = "uri"

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
        ambient = {"uri": store.configured_uri(), "experiment": os.getenv("MLFLOW_EXPERIMENT_NAME")}
        ambient = {name: value for name, value in ambient.items() if value}
        return {**ambient, **given} if isinstance(given, dict) else given

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
        uri = self.uri if folder is None else store.resolve_uri(self.uri, folder)
        database = store.sqlite_file(uri)
        if database is not None and not database.exists():
            raise DbgsomError(
                f"there is no MLflow store {database} yet: 'dbgsom run' makes it, 'dbgsom sync' "
                "fills it from the run folders"
            )
        with _called(uri):
            from mlflow import MlflowClient

            name = self.experiment or experiment
            known = name and MlflowClient(store.absolute_uri(uri)).get_experiment_by_name(name)
        note = {} if folder is None else store.read_record(folder, self.store_key(folder))
        route = pages.EXPERIMENTS
        if known:
            route = pages.run_route(known.experiment_id, note.get("run"))
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
        with _called(self.uri):
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
        with _called(uri):
            return self.uploader(uri).register(folder, name, alias)

    def mirror(self, folder: Path) -> bool:
        uri = store.resolve_uri(self.uri, folder)
        with _called(uri):
            store.check_server(uri, _SECONDS_TO_LOOK)
            return self.uploader(uri).upload(folder)

    def mirrored(self, folder: Path) -> bool:
        note = store.read_record(folder, self.store_key(folder))
        return bool(note) and note.get("sent") == store.fingerprint(folder)

    def store_key(self, folder: Path) -> str:
        """Return the key of this store in a folder's ``mlflow.json``."""
        uri = self.uri if "***" in self.uri else store.resolve_uri(self.uri, folder)
        return store.store_key(uri, self.experiment)

    def uploader(self, uri: str) -> Uploader:
        """Return the uploader of run folders to a store; the first call imports MLflow."""
        from dbgsom_plugins.trackers.mlflow.upload import Uploader

        ambient_uri, run, parent = self._ambient
        is_ambient = store.absolute_uri(ambient_uri or "") == uri
        names = self.experiment, self.registered_model
        return Uploader(uri, *names, *((run, parent) if is_ambient else ()))


class MLflowObserver:
    """Sends the folders of runs to MLflow in a thread, and waits for it when the first run ends.

    What MLflow does not take costs a run nothing, and an error is logged.
    """

    def __init__(self, settings: MLflow) -> None:
        self._settings = settings
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._uploader: Uploader | None = None
        self._why = ""  # the store did not take the last that it was sent
        self._top: Path | None = None  # the folder of the first run
        self._following: Future[None] | None = None
        self._due = 0.0
        self._ended: list[Future[None]] = []

    def prepare(self) -> None:
        """Import MLflow and start the thread.

        Where a thread imports MLflow while a fit begins, both can wait for each other for ever:
        looking for the libraries of BLAS holds a lock of the C library that the import of an
        extension needs, and needs the lock of Python that the import holds.
        """
        try:
            with warnings.catch_warnings(), store.quiet():
                warnings.simplefilter("ignore")
                store.import_store(self._settings.uri)
        except Exception as error:  # told when there is a run
            logging.getLogger(__name__).debug("MLflow cannot be imported: %s", error)
        context = copy_context()  # with the registry of the run
        self._thread = threading.Thread(target=context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._tasks.put(None)
        self._thread = None

    def dbgsom_run_started(self, run: Run) -> None:
        self._top = self._top or run.folder
        self._following = self._submit(run.folder, "running")

    def dbgsom_epoch_finished(self, run: Run | None, epoch: EpochRecord) -> None:
        if run is None:
            raise DbgsomError(
                "this observer sends the folders of runs, and a fit has none: use "
                "dbgsom_core.run(…) with 'tracking', or dbgsom_core.mlflow.autolog()"
            )
        if time.monotonic() >= self._due and (not self._following or self._following.done()):
            self._due = time.monotonic() + self._settings.flush_seconds
            self._following = self._submit(run.folder, "running")

    def dbgsom_run_finished(self, run: Run) -> None:
        self._end(run, "finished")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        self._end(run, "failed" if isinstance(error, Exception) else "killed")

    def _end(self, run: Run, status: State) -> None:
        self._ended.append(self._submit(run.folder, status))
        if run.folder == self._top:
            ended, self._top, self._ended = self._ended, None, []
            is_server = store.is_server(self._settings.uri)
            seconds = _SECONDS_TO_WAIT if is_server else _SECONDS_FOR_A_FILE
            for why in self._wait(ended, _SECONDS_WHEN_KILLED if status == "killed" else seconds):
                _log.error("%s", _with_cure(why))

    def _wait(self, ended: Sequence[Future[None]], seconds: float) -> list[str]:
        """Wait until all is sent, or nothing was for so many seconds; return what went wrong."""
        begun = time.monotonic()
        until, spoken, reasons = begun + seconds, False, []
        for future in ended:
            while not future.done() and time.monotonic() < until:
                wait([future], timeout=0.5)  # longer, and Windows would not hear of Ctrl-C
                if not spoken and time.monotonic() > begun + 4:
                    spoken = True
                    level = logging.WARNING if store.is_server(self._settings.uri) else logging.INFO
                    _log.log(level, "waiting for MLflow, %.0f s at most", until - time.monotonic())
            if future.cancel() or not future.done():
                reasons.append("MLflow did not take all of it in time")
            elif error := future.exception():
                reasons.append(str(error))
            else:
                until = time.monotonic() + seconds
        return list(dict.fromkeys(reasons))

    def _submit(self, folder: Path, status: State) -> Future[None]:
        """Let the thread send a folder."""
        if self._thread is None:
            self.prepare()
        done: Future[None] = Future()
        self._tasks.put((folder, status, done))
        return done

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            folder, status, done = task
            if not done.set_running_or_notify_cancel():
                continue
            try:
                self._send(folder, status)
                self._why = ""
                done.set_result(None)
            except BaseException as error:
                if status == "running" and not self._why:
                    _log.warning("%s", _with_cure(str(error)))
                self._why = str(error)
                done.set_exception(error)

    def _send(self, folder: Path, status: State) -> None:
        uri = store.resolve_uri(self._settings.uri, folder)
        if self._why:
            store.check_server(uri)
        with store.store_errors(uri), store.quiet(_SECONDS_A_CALL):
            if self._uploader is None or self._uploader.store.uri != uri:
                self._uploader = self._settings.uploader(uri)
            if status == "running":
                self._uploader.upload_new(folder)
            else:
                self._uploader.upload(folder, status)


@contextmanager
def _called(uri: str) -> Iterator[None]:
    """Let MLflow be called by a command, which shows none of its warnings."""
    with warnings.catch_warnings(), store.store_errors(uri), store.quiet():
        warnings.simplefilter("ignore")
        yield


def _with_cure(why: str) -> str:
    return f"{why}: run folders are complete, and 'dbgsom sync' sends to MLflow what it misses"
