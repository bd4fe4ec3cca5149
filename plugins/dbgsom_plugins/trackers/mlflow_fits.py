"""What MLflow is told of one fit of an estimator, during it and after it.

On the thread that fits only numbers are noted down; a thread beside it talks to MLflow.
"""

from __future__ import annotations

import copy
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from dbgsom_core.api import EpochRecord, callers_level, masked
from dbgsom_core.runs.fitted import (
    data_name,
    default_measures,
    digest_of,
    facts_of,
    known_measures,
    seen,
)
from dbgsom_core.runs.folder import RunFiles, StoredRun
from dbgsom_core.runs.manifest import Value, estimator_params, name_of_parts
from dbgsom_plugins.trackers.mlflow_background import background
from dbgsom_plugins.trackers.mlflow_inputs import dataset_input
from dbgsom_plugins.trackers.mlflow_model import keep_model, link_measures, model_name
from dbgsom_plugins.trackers.mlflow_points import METRICS_A_BATCH, key_of, send_params
from dbgsom_plugins.trackers.mlflow_view import described, model_link

_SECONDS_BETWEEN_BATCHES = 5.0  # of metrics, during a fit
_EXAMPLE_ROWS = 5
_NOTE = "mlflow.note.content"


@dataclass(frozen=True)
class Settings:
    """What is logged of a fit; ``measures`` None: what suits the estimator."""

    models: bool
    datasets: bool
    figures: Sequence[str]
    measures: Sequence[str] | None
    wait: bool


class Fit:
    """A fit that is logged into a run.

    Parameters
    ----------
    run_id : str
    around : str or None
        The run that the program has open, which is not whole either without this fit.
    estimator, X, y
        What is fitted, and on what.
    prepare : sequence of str
        Steps that made X.
    settings : Settings
    """

    def __init__(
        self,
        run_id: str,
        around: str | None,
        estimator: Any,
        X: Any,
        y: Any,
        prepare: Sequence[str],
        settings: Settings,
    ) -> None:
        self._runs = (run_id, around)
        self._run_id, self._estimator, self._X, self._y = run_id, estimator, X, y
        self._prepare, self._settings = prepare, settings
        self._client = MlflowClient()  # of the store that is set now
        self._began = self._sent = time.time()
        self._points: list[Metric] = []
        self._told: set[int] = set()
        self._digest = _Aside(lambda: digest_of(X, y))  # before the program may change them

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear of the epochs of the fit within a ``with`` block."""
        given = self._estimator.callbacks
        if given is None or callable(given) or hasattr(given, "dbgsom_epoch_finished"):
            given_list = [] if given is None else [given]
        elif isinstance(given, Sequence):
            given_list = [*given]
        else:  # which the estimator may refuse, or can be gone through once
            yield
            return
        self._estimator.callbacks = [*given_list, self._hear]
        try:
            yield
        finally:
            self._estimator.callbacks = given

    def _hear(self, record: EpochRecord) -> None:
        self._note(record)
        now = time.time()
        if now - self._sent >= _SECONDS_BETWEEN_BATCHES:
            self._sent = now
            self._do(partial(self._send_points, self._taken()))

    def _note(self, record: EpochRecord) -> None:
        moment = int((self._began + record.seconds) * 1000)
        self._told.add(record.epoch)
        self._points += [
            Metric("epoch/quantization_error", record.quantization_error, moment, record.epoch),
            Metric("epoch/neurons", float(record.neurons), moment, record.epoch),
            Metric("epoch/width", record.width, moment, record.epoch),
            Metric("epoch/movement", record.movement, moment, record.epoch),
        ]

    def _taken(self) -> list[Metric]:
        points, self._points = self._points, []
        return points

    def _send_points(self, points: list[Metric]) -> None:
        for start in range(0, len(points), METRICS_A_BATCH):
            batch = points[start : start + METRICS_A_BATCH]
            self._client.log_batch(self._run_id, metrics=batch)

    def ended(self) -> None:
        """Have logged what a fit has left; what it is asked of later is a copy's."""
        estimator, X = copy.copy(self._estimator), self._X
        for record in estimator.history_:  # also those of before an interruption
            if record.epoch not in self._told:
                self._note(record)
        params = estimator_params(estimator, data_name(X), self._prepare)
        example = None if hasattr(X, "tocsr") else _first_rows(X)
        digest, points = self._digest.result(), self._taken()
        self._do(partial(self._send, estimator, params, points, digest, example, time.time()))

    def failed(self) -> None:
        """Have logged how far a fit came."""
        self._do(partial(self._send_points, self._taken()))

    def _do(self, work: Callable[[], None]) -> None:
        def survived() -> None:
            with told(self._run_id):
                work()

        background.do(survived, *self._runs)

    def _send(
        self,
        estimator: Any,
        params: Mapping[str, Value],
        points: list[Metric],
        digest: str,
        example: Any,
        ended: float,
    ) -> None:
        client, run_id, settings = self._client, self._run_id, self._settings
        run, facts = client.get_run(run_id), facts_of(estimator, self._X, self._y, digest)
        self._send_params(run, params)
        inputs = {}
        if settings.datasets:
            source = {"tags": {"mlflow.source.name": Path(sys.argv[0]).name}}
            inputs = {"train": dataset_input(facts, "code", source, "training")}
            client.log_inputs(run_id, [*inputs.values()])
        names = settings.measures
        finals, names = known_measures(
            estimator, default_measures(estimator, self._y) if names is None else names
        )
        figures: dict[str, Any] = {}
        with told(run_id):  # of figures of third parties, say: the model is logged all the same
            found, figures = self._seen(estimator, names, digest)
            finals |= found
        step = estimator.kept_epoch_
        measures = [
            Metric(key_of(name), value, int(ended * 1000), step) for name, value in finals.items()
        ]
        self._send_points([*points, *measures])
        for name, figure in figures.items():
            if hasattr(figure, "savefig"):
                client.log_figure(run_id, figure, f"figures/{name}.png", save_kwargs={"dpi": 150})
            else:
                client.log_text(run_id, figure.text, f"figures/{name}.html")
        links = []
        if settings.models:
            model_id = self._send_model(estimator, params, example)
            link_measures(client, run_id, model_id, measures, inputs)
            links.append(model_link(run.info.experiment_id, model_id))
        if _NOTE not in run.data.tags:
            stored = StoredRun(files=RunFiles(Path("none")), data=facts, measures=finals)
            neurons = f"{len(estimator.neurons_)} neurons after {estimator.n_iter_} epochs"
            client.set_tag(run_id, _NOTE, described(stored, links, neurons))

    def _send_params(self, run: Run, params: Mapping[str, Value]) -> None:
        known = run.data.params
        named = {key_of(name): str(value) for name, value in params.items()}
        # What others logged under the same name stays.
        send_params(
            self._client,
            self._run_id,
            {
                name if known.get(name, value) == value else f"som.{name}": value
                for name, value in named.items()
            },
        )

    def _seen(
        self, estimator: Any, names: Sequence[str], digest: str
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return measures and figures of the training data, none if it is not what it was."""
        X, y, figures = self._X, self._y, self._settings.figures
        if not names and not figures:
            return {}, {}
        found = seen(estimator, X, y, names, figures)
        if digest_of(X, y) == digest:
            return found
        left_out = ", ".join([*names, *figures])
        warnings.warn(
            f"X or y changed while MLflow was told of the fit, which lacks {left_out}: change "
            "copies, call dbgsom_core.mlflow.flush() first, or use autolog(wait=True)",
            stacklevel=callers_level(),
        )
        return {}, {}

    def _send_model(self, estimator: Any, params: Mapping[str, Value], example: Any) -> str:
        from dbgsom_plugins.trackers.mlflow_python import save_model

        run = self._client.get_run(self._run_id)
        return keep_model(
            self._client,
            run,
            model_name(name_of_parts(estimator, str(params["dataset"]), {})),
            lambda target, own: save_model(estimator, str(target), own, example),
            step=estimator.kept_epoch_,
            kind=str(params["estimator"]),
        )


class _Aside:
    """A result that is found in a thread of its own, which needs the interpreter little."""

    def __init__(self, find: Callable[[], str]) -> None:
        self._found: str | Exception = ""
        self._find = find
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._found = self._find()
        except Exception as error:  # the fit says what is wrong, if anything is
            self._found = error

    def result(self) -> str:
        """Return what was found; raises what the finding raised."""
        self._thread.join()
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@contextmanager
def told(run_id: str | None = None) -> Iterator[None]:
    """Warn of what MLflow does not take."""
    try:
        yield
    except Warning:  # which are to be errors
        raise
    except Exception as error:
        fit = "this fit" if run_id is None else f"the fit of run {run_id}"
        what = masked(f"MLflow was not told all of {fit} ({type(error).__name__}: {error})")
        warnings.warn(what, stacklevel=callers_level())


def _first_rows(X: Any) -> Any:
    rows = X.iloc[:_EXAMPLE_ROWS] if hasattr(X, "iloc") else X[:_EXAMPLE_ROWS]
    return copy.deepcopy(rows)
