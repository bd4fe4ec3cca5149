"""Fits of estimators logged to MLflow as they happen: what `dbgsom_core.mlflow.autolog` does."""

from __future__ import annotations

import functools
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.utils.autologging_utils import autologging_is_disabled
from sklearn.model_selection._search import BaseSearchCV

import dbgsom_core
from dbgsom_core.api import masked
from dbgsom_core.runs.fitted import drawn, facts_of, measured, params_of
from dbgsom_core.runs.folder.store import RunFiles, StoredRun
from dbgsom_plugins.trackers.mlflow_inputs import dataset_input
from dbgsom_plugins.trackers.mlflow_model import link_measures
from dbgsom_plugins.trackers.mlflow_points import (
    METRICS_A_BATCH,
    key_of,
    send_params,
)
from dbgsom_plugins.trackers.mlflow_view import described, model_link

_FIGURES = ("label_map", "growth_curve")
_FOLD = "_fit_and_score"  # what scikit-learn's searches and cross-validations call for each fit
_SCORES = ("mean_test_", "std_test_", "mean_train_", "mean_fit_time")
_NOTE = "mlflow.note.content"
_fits = threading.local()  # runs that a fit was logged into, and whether one goes on


@dataclass(frozen=True)
class _Settings:
    models: bool
    datasets: bool
    figures: Sequence[str]
    measures: Sequence[str]


_settings: _Settings | None = None
_patched: list[tuple[type, Any]] = []


def autolog(
    *,
    log_models: bool,
    log_figures: bool | Sequence[str],
    log_datasets: bool,
    measures: Sequence[str],
    disable: bool,
) -> None:
    """Log fits from now on, or no more; see `dbgsom_core.mlflow.autolog`."""
    global _settings
    if disable:
        _settings = None
        while _patched:
            cls, fit = _patched.pop()
            cls.fit = fit  # type: ignore[attr-defined]
        return
    given = () if isinstance(log_figures, bool) else tuple(log_figures)
    figures = _FIGURES if log_figures is True else given
    _settings = _Settings(log_models, log_datasets, figures, tuple(measures))
    if not _patched:
        for cls in _estimators():
            _patch(cls, _fit)
        _patch(BaseSearchCV, _search)


def _estimators() -> tuple[type, ...]:
    return (dbgsom_core.SomVQ, dbgsom_core.SomClassifier, dbgsom_core.SomRegressor)


def _patch(cls: Any, logged: Callable[..., Any]) -> None:
    fit = cls.__dict__["fit"]

    @functools.wraps(fit)
    def patched(self: Any, X: Any, y: Any = None, *rest: Any, **more: Any) -> Any:
        return logged(functools.partial(fit, self), self, X, y, rest, more)

    _patched.append((cls, fit))
    cls.fit = patched


def _fit(fit: Any, estimator: Any, X: Any, y: Any, rest: Any, more: Any) -> Any:
    settings = _settings
    if settings is None or getattr(_fits, "busy", False) or _in_a_fold():
        return fit(X, y, *rest, **more)
    _fits.busy = True
    try:
        with _own_run(type(estimator).__name__) as run_id:
            began = time.time()
            fitted = fit(X, y, *rest, **more)
            if run_id is not None:
                with _survived():
                    _log(run_id, estimator, X, y, began, settings)
            return fitted
    finally:
        _fits.busy = False


def _search(fit: Any, search: Any, X: Any, y: Any, rest: Any, more: Any) -> Any:
    inner = search.estimator
    steps = getattr(inner, "steps", None)
    ours = isinstance(inner if steps is None else steps[-1][1], _estimators())
    if _settings is None or not ours or _in_a_fold() or getattr(_fits, "busy", False):
        return fit(X, y, *rest, **more)
    with _own_run(type(search).__name__) as run_id:
        fitted = fit(X, y, *rest, **more)
        if run_id is not None and autologging_is_disabled("sklearn"):  # which makes them itself
            with _survived():
                _log_candidates(run_id, search)
        return fitted


def _in_a_fold() -> bool:
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == _FOLD:
            return True
        frame = frame.f_back
    return False


@contextmanager
def _own_run(name: str) -> Iterator[str | None]:
    """Yield the id of the run to log into, which ends with this unless it was there before."""
    used = _fits.__dict__.setdefault("used", set())
    active, started = mlflow.active_run(), None
    if active is None or active.info.run_id in used:
        with _survived():
            started = mlflow.start_run(run_name=name, nested=active is not None)
    run = active if started is None else started
    try:
        yield None if run is None else str(run.info.run_id)
    except BaseException as error:
        if started is not None:
            mlflow.end_run("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    if started is not None:
        with _survived():
            mlflow.end_run()


@contextmanager
def _survived() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        told = masked(f"MLflow was not told all of this fit ({type(error).__name__}: {error})")
        warnings.warn(told, stacklevel=6)


def _log(run_id: str, estimator: Any, X: Any, y: Any, began: float, settings: _Settings) -> None:
    client = MlflowClient()
    _fits.used.add(run_id)
    run, facts = client.get_run(run_id), facts_of(estimator, X, y)
    known, told = run.data.params, {"dataset": facts["name"], **params_of(estimator)}
    params = {key_of(name): str(value) for name, value in told.items()}
    # What others logged under the same name stays.
    send_params(
        client,
        run_id,
        {
            name if known.get(name, value) == value else f"som.{name}": value
            for name, value in params.items()
        },
    )
    inputs = {}
    if settings.datasets:
        source = {"tags": {"mlflow.source.name": Path(sys.argv[0]).name}}
        inputs = {"train": dataset_input(facts, "code", source, "training")}
        client.log_inputs(run_id, [*inputs.values()])
    metrics = [
        Metric(name, value, int((began + record.seconds) * 1000), record.epoch)
        for record in estimator.history_
        for name, value in {
            "epoch/quantization_error": record.quantization_error,
            "epoch/neurons": float(record.neurons),
            "epoch/width": record.width,
            "epoch/movement": record.movement,
        }.items()
    ]
    now, last = int(time.time() * 1000), len(estimator.history_)
    finals = measured(estimator, X, y, settings.measures)
    measures = [Metric(key_of(name), value, now, last) for name, value in finals.items()]
    metrics += measures
    for start in range(0, len(metrics), METRICS_A_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])
    for name, figure in drawn(estimator, X, y, settings.figures).items():
        if hasattr(figure, "savefig"):
            client.log_figure(run_id, figure, f"figures/{name}.png")
        else:
            client.log_text(run_id, figure.text, f"figures/{name}.html")
    links = []
    if settings.models:
        model_id = _log_model(run_id, estimator, X, str(told["estimator"]))
        if model_id is not None:
            link_measures(client, run_id, model_id, measures, inputs)
            links.append(model_link(run.info.experiment_id, model_id))
    if _NOTE not in run.data.tags:
        stored = StoredRun(RunFiles(Path("none")), "", "", "", data=facts, measures=finals)
        neurons = f"{len(estimator.neurons_)} neurons after {last} epochs"
        client.set_tag(run_id, _NOTE, described(stored, links, neurons))


def _log_model(run_id: str, estimator: Any, X: Any, kind: str) -> str | None:
    from dbgsom_plugins.trackers.mlflow_python import log_model

    example = None if hasattr(X, "tocsr") else X
    name = type(estimator).__name__
    info = log_model(
        estimator,
        name,
        input_example=example,
        run_id=run_id,
        model_type=kind,
        validate_serving_input=False,  # which loads the model and asks it, after each fit
    )
    model_id = getattr(info, "model_id", None)
    return None if model_id is None else str(model_id)


def _log_candidates(run_id: str, search: Any) -> None:
    client, results = MlflowClient(), search.cv_results_
    experiment = client.get_run(run_id).info.experiment_id
    now = int(time.time() * 1000)
    for i, params in enumerate(results["params"]):
        tags = {"mlflow.parentRunId": run_id}
        name = ", ".join(f"{key}={value}" for key, value in params.items())[:250]
        child = client.create_run(experiment, tags=tags, run_name=name).info.run_id
        metrics = [
            Metric(key_of(key), float(values[i]), now, 0)
            for key, values in results.items()
            if key.startswith(_SCORES)
        ]
        entities = [Param(key_of(key), str(value)[:500]) for key, value in params.items()]
        client.log_batch(child, metrics=metrics, params=entities)
        client.set_terminated(child)
    best = {"best_cv_score": float(search.best_score_)} if hasattr(search, "best_score_") else {}
    client.log_batch(run_id, metrics=[Metric(key, one, now, 0) for key, one in best.items()])
