"""Fits of estimators logged to MLflow as they happen: what `dbgsom_core.mlflow.autolog` does."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.utils.autologging_utils import autologging_is_disabled
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

import dbgsom_core
from dbgsom_core.runs.fitted import data_name
from dbgsom_core.runs.manifest import name_of_parts
from dbgsom_plugins.trackers.mlflow_background import background
from dbgsom_plugins.trackers.mlflow_fits import Fit, Settings, told
from dbgsom_plugins.trackers.mlflow_points import key_of

_FIGURES = ("label_map", "growth_curve")
_FOLD = "_fit_and_score"  # what scikit-learn's searches and cross-validations call for each fit
_SCORES = ("mean_test_", "std_test_", "mean_train_", "mean_fit_time")
_fits = threading.local()  # runs that a fit was logged into, whether one goes on, what is ending

_settings: Settings | None = None
_patched: list[tuple[type, str, Any]] = []


def autolog(
    *,
    log_models: bool,
    log_figures: bool | Sequence[str],
    log_datasets: bool,
    measures: Sequence[str] | None,
    wait: bool,
    disable: bool,
) -> None:
    """Log fits from now on, or no more; see `dbgsom_core.mlflow.autolog`."""
    global _settings
    if disable:
        _settings = None
        background.wait()  # what ends a run does not wait for it any more
        while _patched:
            cls, name, own = _patched.pop()
            setattr(cls, name, own)
        return
    given = () if isinstance(log_figures, bool) else tuple(log_figures)
    figures = _FIGURES if log_figures is True else given
    chosen = None if measures is None else tuple(measures)
    _settings = Settings(log_models, log_datasets, figures, chosen, wait)
    if not _patched:
        for cls in _estimators():
            _patch_fit(cls, _fit)
        _patch_fit(BaseSearchCV, _search)
        _patch(MlflowClient, "set_terminated", _ended)


def flush() -> None:
    """Wait until all fits are logged; see `dbgsom_core.mlflow.flush`."""
    background.wait()


def _estimators() -> tuple[type, ...]:
    return (dbgsom_core.SomVQ, dbgsom_core.SomClassifier, dbgsom_core.SomRegressor)


def _patch_fit(cls: Any, logged: Callable[..., Any]) -> None:
    def patched(fit: Any, self: Any, X: Any, y: Any = None, *rest: Any, **more: Any) -> Any:
        return logged(partial(fit, self), self, X, y, rest, more)

    _patch(cls, "fit", patched)


def _patch(cls: type, name: str, instead: Callable[..., Any]) -> None:
    own = cls.__dict__[name]

    @functools.wraps(own)
    def patched(*args: Any, **more: Any) -> Any:
        return instead(own, *args, **more)

    _patched.append((cls, name, own))
    setattr(cls, name, patched)


def _fit(fit: Any, estimator: Any, X: Any, y: Any, rest: Any, more: Any) -> Any:
    settings = _settings
    if settings is None or getattr(_fits, "busy", False) or _in_a_fold():
        return fit(X, y, *rest, **more)
    background.wait_for_room()
    _fits.busy = True
    try:
        with _own_run(lambda: _name(estimator, X), settings.wait) as open_:
            if open_ is None:
                return fit(X, y, *rest, **more)
            _fits.used.add(open_[0])
            logged = Fit(*open_, estimator, X, y, _steps_before(estimator), settings)
            try:
                with logged.heard():
                    fitted = fit(X, y, *rest, **more)
            except BaseException:
                logged.failed()
                raise
            with told(open_[0]):
                logged.ended()
            return fitted
    finally:
        _fits.busy = False


def _name(estimator: Any, X: Any) -> str:
    # Estimators of equal parts are often held against each other.
    return name_of_parts(estimator, f"{type(estimator).__name__} on {data_name(X)}", {})


def _search(fit: Any, search: Any, X: Any, y: Any, rest: Any, more: Any) -> Any:
    settings, inner = _settings, search.estimator
    steps = getattr(inner, "steps", None)
    ours = isinstance(inner if steps is None else steps[-1][1], _estimators())
    if settings is None or not ours or _in_a_fold() or getattr(_fits, "busy", False):
        return fit(X, y, *rest, **more)
    with _own_run(lambda: type(search).__name__, settings.wait) as open_:
        fitted = fit(X, y, *rest, **more)
        if open_ is not None and autologging_is_disabled("sklearn"):  # which makes them itself
            _log_candidates(*open_, search)
        return fitted


def _in_a_fold() -> bool:
    return any(frame.f_code.co_name == _FOLD for frame in _callers())


def _steps_before(estimator: Any) -> list[str]:
    """Return what the steps of a pipeline are called that is fitting an estimator."""
    for frame in _callers():
        pipeline = frame.f_locals.get("self") if frame.f_code.co_name.startswith("fit") else None
        if isinstance(pipeline, Pipeline) and pipeline.steps[-1][1] is estimator:
            steps = [one for _, one in pipeline.steps[:-1] if one not in (None, "passthrough")]
            return [type(one).__name__ for one in steps]
    return []


def _callers() -> Iterator[Any]:
    frame: Any = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


@contextmanager
def _own_run(name: Callable[[], str], wait: bool) -> Iterator[tuple[str, str | None] | None]:
    """Yield the id of the run to log into, and of the one around it that the program has open.

    A run of its own, which was not there before, ends as soon as it is whole.
    """
    used = _fits.__dict__.setdefault("used", set())
    active, started = mlflow.active_run(), None
    if active is None or active.info.run_id in used:
        called = None
        with suppress(Exception):  # the fit says which parameter is wrong
            called = name()
        with told():
            started = mlflow.start_run(run_name=called, nested=active is not None)
    run = active if started is None else started
    run_id = None if run is None else str(run.info.run_id)
    around = None if active is None or run is active else str(active.info.run_id)
    try:
        yield None if run_id is None else (run_id, around)
    except BaseException as error:
        if started is not None:
            _end(run_id, around, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    if started is not None:
        _end(run_id, around, "FINISHED")
    if wait and run_id is not None:
        background.wait(run_id)


def _end(run_id: str | None, around: str | None, status: str) -> None:
    _fits.ending = run_id, around
    try:
        with told(run_id):
            mlflow.end_run(status)
    finally:
        del _fits.ending


def _ended(
    end: Any,
    client: MlflowClient,
    run_id: str,
    status: str | None = None,
    end_time: int | None = None,
) -> None:
    """End a run when all of it is there: one of ours later, any other after a while."""
    ours, around = getattr(_fits, "ending", (None, None))
    if run_id == ours and status == "FINISHED":
        moment = end_time or int(time.time() * 1000)

        def later() -> None:
            with told(run_id):
                end(client, run_id, status, moment)

        background.do(later, run_id, around)
        return
    try:
        if run_id != ours:  # a fit that failed is told at once
            background.wait(run_id)
    finally:
        end(client, run_id, status, end_time)


def _log_candidates(run_id: str, around: str | None, search: Any) -> None:
    """Have logged a child of the run for each candidate, and which score was best."""
    client, results, now = MlflowClient(), search.cv_results_, int(time.time() * 1000)
    best = {"best_cv_score": float(search.best_score_)} if hasattr(search, "best_score_") else {}

    def log() -> None:
        experiment = client.get_run(run_id).info.experiment_id
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
            client.set_terminated(child, end_time=now)
        client.log_batch(run_id, metrics=[Metric(key, one, now, 0) for key, one in best.items()])

    def survived() -> None:
        with told(run_id):
            log()

    background.do(survived, run_id, around)
