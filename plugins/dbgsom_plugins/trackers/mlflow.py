"""The MLflow tracker: mirrors run folders into an MLflow store, beside runs that go on.

This module does not import MLflow: of a run that goes on another process does.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from dbgsom_core.api import (
    DbgsomError,
    Page,
    TrackerComponent,
    masked_name,
    shell_word,
)
from dbgsom_plugins.trackers.mlflow_address import Surroundings, is_masked, store_of
from dbgsom_plugins.trackers.mlflow_quiet import (
    SECONDS_A_CALL,
    answers,
    away,
    quiet,
    reason,
)

if TYPE_CHECKING:
    from dbgsom_plugins.trackers.mlflow_beside import MLflowObserver
    from dbgsom_plugins.trackers.mlflow_mirror import Mirror

_SECONDS_TO_LOOK = 10.0  # which somebody who asks for it waits; some servers need seconds
_LATELY = 10.0  # seconds for which a server that did not answer is not looked at again
_looked_in_vain: dict[str, float] = {}  # servers, and when


class MLflow(TrackerComponent):
    """Shows runs in MLflow: parameters, metrics per epoch, data, figures and the model.

    The run folder is always written first; a process of its own sends it, and training waits for
    nothing. What a store misses is sent when it answers again, or later with ``dbgsom sync``.
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
        """Return an observer that has the runs it hears of mirrored beside them."""
        from dbgsom_plugins.trackers.mlflow_beside import MLflowObserver

        return MLflowObserver(self)

    def how_to_open(self) -> str:
        """Return the command or address that shows the runs."""
        from dbgsom_plugins.trackers.mlflow_link import EXPERIMENTS

        return self._shows(EXPERIMENTS)

    def _shows(self, route: str) -> str:
        if self.uri.startswith(("http://", "https://")):
            return f"open {shell_word(self.uri.rstrip('/') + '/' + route)}"
        return (
            f"{_mlflow_command()} ui --backend-store-uri {shell_word(self.uri)}\n"
            f"then open http://127.0.0.1:5000/{route}"
        )

    def reachable(self) -> str:
        """Return how the store is, in words; a `DbgsomError` says why it cannot be used."""
        if not answers(self.uri):
            raise DbgsomError(away(self.uri))
        with quiet():
            from dbgsom_plugins.trackers.mlflow_store import state

            return state(self.uri)

    def how_to_compare(self, runs: Sequence[tuple[str, str]]) -> str | None:
        """Return the command or address that shows runs beside each other.

        One run is shown in the table of its experiment, a sweep in that of its variants. None:
        MLflow lacks them.
        """
        from dbgsom_plugins.trackers.mlflow_link import compare_address, run_address

        named = [(masked_name(self.experiment or experiment), id) for experiment, id in runs]
        if len(named) == 1:
            found = run_address(self.uri, *named[0])
        else:
            found = compare_address(self.uri, {name for name, _ in named}, [id for _, id in named])
        return None if found is None else self._shows(found)

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

    @staticmethod
    def python() -> ModuleType:
        """Return what `dbgsom_core.mlflow` calls, whatever the store; MLflow is imported."""
        with quiet():
            from dbgsom_plugins.trackers import mlflow_python
        return mlflow_python

    def register(self, folder: Path, name: str, alias: str | None) -> str:
        """Make a run's model a version of a registered one, and return its address."""
        uri = store_of(self.uri, folder)
        self.mirror(folder)
        with _told(uri), quiet(SECONDS_A_CALL):
            from dbgsom_plugins.trackers.mlflow_use import register

            return register(uri, folder, name, alias)

    def mirror(self, folder: Path) -> bool:
        """Bring MLflow up to date with a stored run that has ended; see the function `mirror`."""
        return mirror(folder, self.uri, self.experiment, self.registered_model)

    def mirrored(self, folder: Path) -> bool:
        """Say whether MLflow was sent a stored run as it is; only the folder is looked at."""
        from dbgsom_core.runs.folder import RunFiles
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


def mirror(
    folder: Path,
    uri: str = "sqlite:///mlflow.db",
    experiment: str | None = None,
    registered_model: str | None = None,
) -> bool:
    """Bring MLflow up to date with a stored run that has ended; twice is as good as once.

    Parameters
    ----------
    folder : Path
        The run folder. The sweep that it belongs to is mirrored as well when it lies beside it.
        A run whose process died without a word is shown as killed, one that goes on is left to
        its process.
    uri, experiment, registered_model
        As in `MLflow`.

    Returns
    -------
    bool
        Whether anything had to be sent.

    Raises
    ------
    DbgsomError
        The store cannot be used; the sentence says why.
    """
    settings = MLflow(experiment=experiment, registered_model=registered_model)
    uri = store_of(uri, folder)
    with _told(uri), quiet(SECONDS_A_CALL):
        _look_at(uri)
        mirror = opened(uri, *settings.names, settings.within)
        sent = mirror.catch_up(folder)
        mirror.finish_all()
    return sent


def _look_at(uri: str) -> None:
    # Many runs are brought up to date at once: one that is stopped is waited for once.
    lately = time.monotonic() - _looked_in_vain.get(uri, -math.inf) < _LATELY
    if not lately and answers(uri, _SECONDS_TO_LOOK):
        return
    if not lately:
        _looked_in_vain[uri] = time.monotonic()
    raise DbgsomError(away(uri))


def opened(uri: str, experiment: str | None, register: str | None, within: Surroundings) -> Mirror:
    """Import MLflow, inside `quiet`, and return what mirrors runs into a store."""
    from dbgsom_plugins.trackers.mlflow_mirror import Mirror
    from dbgsom_plugins.trackers.mlflow_store import Store

    return Mirror(Store(uri), experiment, register, within)


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
