"""The MLflow tracker: mirrors run folders into an MLflow store while runs go on.

MLflow itself is imported when the first run starts.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from dbgsom_core.api import (
    DbgsomError,
    EpochRecord,
    Page,
    Run,
    RunResult,
    TrackerComponent,
    masked,
    masked_name,
    private_logger,
    shell_word,
)
from dbgsom_plugins.trackers.mlflow_address import Surroundings, is_masked, store_of
from dbgsom_plugins.trackers.mlflow_quiet import (
    SECONDS_A_CALL,
    SECONDS_A_CALL_LATER,
    SECONDS_LOST,
    answers,
    has_timed_out,
    is_away,
    quiet,
    reason,
)

if TYPE_CHECKING:
    from dbgsom_core.runs.folder.store import Status
    from dbgsom_plugins.trackers.mlflow_mirror import Mirror

RETRY_SECONDS = 60.0
MOST_HEALED = 10  # earlier runs that a run sends when it has ended
_log = private_logger("dbgsom.mlflow")


class MLflow(TrackerComponent):
    """Shows runs in MLflow: parameters, metrics per epoch, data, figures and the model.

    The run folder is always written first. A store that cannot be reached costs one warning; what
    it missed is sent when it answers again, or later with ``dbgsom sync``.
    """

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

    _within: Surroundings = PrivateAttr(default_factory=Surroundings)

    @model_validator(mode="before")
    @classmethod
    def _as_mlflow_is_set(cls, given: Any) -> Any:
        return {**Surroundings().left_open(), **given} if isinstance(given, dict) else given

    @field_validator("uri")
    @classmethod
    def _no_file_store(cls, uri: str) -> str:
        if uri.startswith("file:") or ("://" not in uri and not uri.startswith("databricks")):
            raise ValueError(
                f"'{uri}' is a folder, and MLflow has retired stores in folders; write "
                "sqlite:///mlflow.db or the address of a server such as http://localhost:5000"
            )
        return uri

    def observer(self) -> MLflowObserver:
        """Return an observer that mirrors the runs it hears of."""
        return MLflowObserver(self)

    def how_to_open(self) -> str:
        """Return the command or address that shows the runs."""
        if self.uri.startswith(("http://", "https://")):
            return f"open {shell_word(self.uri)}"
        return (
            f"{_mlflow_command()} ui --backend-store-uri {shell_word(self.uri)}\n"
            "then open http://127.0.0.1:5000 and choose 'Model training'"
        )

    def reachable(self) -> str:
        """Return how the store is, in words; a `DbgsomError` says why it cannot be used."""
        if not answers(self.uri):
            raise DbgsomError(f"the MLflow server at {masked(self.uri)} does not answer")
        with quiet():
            from dbgsom_plugins.trackers.mlflow_store import state

            return state(self.uri)

    def how_to_compare(self, runs: Sequence[tuple[str, str]]) -> str | None:
        """Return the command or address that shows runs beside each other; None: it has not two."""
        from dbgsom_plugins.trackers.mlflow_link import compare_address

        names = {masked_name(self.experiment or experiment) for experiment, _ in runs}
        found = compare_address(self.uri, names, [identifier for _, identifier in runs])
        if found is None:
            return None
        if self.uri.startswith(("http://", "https://")):
            return f"open {shell_word(self.uri.rstrip('/') + '/' + found)}"
        return (
            f"{_mlflow_command()} ui --backend-store-uri {shell_word(self.uri)}\n"
            f"then open http://127.0.0.1:5000/{found}"
        )

    def page(self, experiment: str | None, folder: Path | None, port: int) -> Page:
        """Return where MLflow shows an experiment, or the run with this folder."""
        named = experiment if self.experiment is None else masked_name(self.experiment)
        uri = self.uri if folder is None else store_of(self.uri, folder)
        with _told(uri), quiet():
            from dbgsom_plugins.trackers.mlflow_use import page_of

            return page_of(uri, named, folder, port)

    def fetch_model(self, address: str, folder: Path) -> Path:
        """Put the model file that ``runs:/…`` or ``models:/…`` means into ``folder``."""
        with _told(self.uri), quiet():
            from dbgsom_plugins.trackers.mlflow_use import fetch_model

            return fetch_model(self.uri, address, folder)

    def python(self) -> ModuleType:
        """Return what `dbgsom_core.mlflow` calls; MLflow is imported."""
        with quiet():
            from dbgsom_plugins.trackers import mlflow_python
        return mlflow_python

    def register(self, folder: Path, name: str, alias: str | None) -> str:
        """Make a run's model a version of a registered one, and return its address."""
        uri = store_of(self.uri, folder)
        self.mirror(folder)
        with _told(uri), quiet(SECONDS_A_CALL_LATER):
            from dbgsom_plugins.trackers.mlflow_use import register

            return register(uri, folder, name, alias)

    def mirror(self, folder: Path) -> None:
        """Bring MLflow up to date with a stored run that has ended; see the function `mirror`."""
        mirror(folder, self.uri, self.experiment, self.registered_model)

    def mirrored(self, folder: Path) -> bool:
        """Say whether MLflow was sent a stored run as it is; only the folder is looked at."""
        from dbgsom_core.runs.folder.store import RunFiles
        from dbgsom_plugins.trackers.mlflow_sent import is_noted, place

        uri = self.uri if is_masked(self.uri) else store_of(self.uri, folder)
        return is_noted(RunFiles(folder), place(uri, *self.names))

    @property
    def names(self) -> tuple[str | None, str | None]:
        """Experiment and registered model as MLflow is told them."""
        given = (self.experiment, self.registered_model)
        first, second = (None if one is None else masked_name(one) for one in given)
        return first, second

    @property
    def within(self) -> Surroundings:
        """The run that a Python program had open when these settings were made."""
        return self._within


class MLflowObserver:
    """Mirrors runs into MLflow and never lets MLflow stop or hold up a run.

    Runs that ended while the store was away are kept in mind and sent when it answers again. When
    `SECONDS_LOST` were spent on waiting in vain, the store is left alone.
    """

    def __init__(self, settings: MLflow) -> None:
        self._settings = settings
        self._mirror: Mirror | None = None
        self._behind: dict[Path, Status] = {}
        self._away = False
        self._left = SECONDS_LOST  # seconds that may still be lost
        self._back = threading.Event()
        self._flushed: dict[str, float] = {}

    def dbgsom_run_started(self, run: Run) -> None:
        """Create the MLflow run, or find it again."""
        if self._mirror is None:  # a run that is gone on with has its store where it began
            where = store_of(self._settings.uri, run.folder)
            self._settings = self._settings.model_copy(update={"uri": where})
        self._try(tail=run.folder)
        self._flushed[run.id] = time.monotonic()  # to make a new store may take long

    def dbgsom_epoch_finished(self, run: Run | None, epoch: EpochRecord) -> None:
        """Send what the journal has gained, every ``flush_seconds``."""
        if run is None:
            raise DbgsomError(
                "this observer mirrors the folders of runs, and a fit has none: use "
                "dbgsom_core.run(…) with 'tracking', or dbgsom_core.mlflow.autolog()"
            )
        if time.monotonic() - self._flushed.get(run.id, 0.0) >= self._settings.flush_seconds:
            self._try(tail=run.folder)
            self._flushed[run.id] = time.monotonic()

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Send the results and end the MLflow run."""
        self._end(run, "finished")
        if run.parent is None:
            self._heal(run)

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """End the MLflow run as failed or killed."""
        self._end(run, "failed" if isinstance(error, Exception) else "killed")

    def _end(self, run: Run, status: Status) -> None:
        self._flushed.pop(run.id, None)
        self._behind[run.folder] = status
        self._try(insist=run.parent is None)

    def _try(self, tail: Path | None = None, insist: bool = False) -> None:
        if self._away and not self._back.is_set() and not (insist and self._answers()):
            return
        seconds = min(SECONDS_A_CALL, int(self._left))
        if not seconds:
            return
        started = time.monotonic()
        try:
            with quiet(seconds):
                started = time.monotonic()  # to import MLflow may take long
                self._update(tail)
        except Exception as error:
            self._lament(error, time.monotonic() - started, seconds)
        else:
            self._away = False

    def _heal(self, run: Run) -> None:
        """Send what earlier runs of the experiment could not, a few at a time, and say the rest."""
        from dbgsom_plugins.trackers.mlflow_sent import missed

        if self._away or self._mirror is None:
            return
        try:
            waiting = missed(run.folder, self._settings.uri, *self._settings.names)
            with quiet():
                for folder in waiting[:MOST_HEALED]:
                    self._mirror.catch_up(folder)
                self._mirror.finish_all()
        except Exception as error:
            _log.warning(
                "an earlier run is not in MLflow and was not sent (%s); try 'dbgsom sync'",
                reason(self._settings.uri, error),
            )
            return
        if len(waiting) > MOST_HEALED:
            _log.warning(
                "%d earlier run(s) of this experiment are not in MLflow: 'dbgsom sync %s' sends "
                "them",
                len(waiting) - MOST_HEALED,
                shell_word(run.experiment),
            )

    def _answers(self) -> bool:
        if self._left < 1:
            return False
        started = time.monotonic()
        back = answers(self._settings.uri)
        if not back:
            self._left -= time.monotonic() - started
        return back

    def _lament(self, error: Exception, waited: float, limit: int) -> None:
        if is_away(error):  # what was answered before the call that was not is no loss
            self._left -= min(waited, limit) if has_timed_out(error) else waited
        lost = self._left < 1
        if lost or not self._away:
            _log.warning(
                "%s%s. The run goes on and its folder is complete; 'dbgsom sync' sends to MLflow "
                "what it misses",
                reason(self._settings.uri, error),
                ", again, and is waited for no more" if lost else "",
            )
        self._away = True
        self._back.clear()
        if not lost:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Wait for the server beside the run, which need not wait for it."""
        while True:
            time.sleep(RETRY_SECONDS)
            if answers(self._settings.uri):
                self._back.set()
                return

    def _update(self, tail: Path | None) -> None:
        if self._mirror is None:
            self._mirror = _open(self._settings)
        if tail is not None:
            self._mirror.tail(tail)
        self._catch_up(self._mirror)

    def _catch_up(self, mirror: Mirror) -> None:
        """End every run that has ended; one that MLflow refuses does not stand in others' way."""
        refused: list[Exception] = []
        for folder, status in list(self._behind.items()):
            try:
                mirror.finish(folder, status)
            except Exception as error:
                refused.append(error)
                if is_away(error):
                    break
            else:
                del self._behind[folder]
        if refused:
            raise refused[0]


def mirror(
    folder: Path,
    uri: str = "sqlite:///mlflow.db",
    experiment: str | None = None,
    registered_model: str | None = None,
) -> None:
    """Bring MLflow up to date with a stored run that has ended; twice is as good as once.

    Parameters
    ----------
    folder : Path
        The run folder. The sweep that it belongs to is mirrored as well when it lies beside it.
        A run whose process died without a word is shown as killed, one that goes on is left to
        its process.
    uri, experiment, registered_model
        As in `MLflow`.

    Raises
    ------
    DbgsomError
        The store cannot be used; the sentence says why.
    """
    uri = store_of(uri, folder)
    settings = MLflow(uri=uri, experiment=experiment, registered_model=registered_model)
    with _told(uri), quiet(SECONDS_A_CALL_LATER):
        opened = _open(settings)
        opened.catch_up(folder)
        opened.finish_all()


@contextmanager
def _told(uri: str) -> Iterator[None]:
    try:
        yield
    except DbgsomError:
        raise
    except Exception as error:
        raise DbgsomError(reason(uri, error)) from error


def _mlflow_command() -> str:
    # The environment need not be activated: name its command as the shell can find it.
    if shutil.which("mlflow"):
        return "mlflow"
    beside = Path(sys.executable).with_name("mlflow")
    here = Path.cwd()
    return shell_word(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))


def _open(settings: MLflow) -> Mirror:
    from dbgsom_plugins.trackers.mlflow_mirror import Mirror
    from dbgsom_plugins.trackers.mlflow_store import Store

    return Mirror(Store(settings.uri), *settings.names, settings.within)
