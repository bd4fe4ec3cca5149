"""MLflow from Python: models of estimators, and fits that are logged as they are made.

MLflow is used as its user set it: store, experiment, open run. Importing this module imports it.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.models import Model

import dbgsom_core
from dbgsom_core.api import RunFiles, StoredRun, masked, run_of_fit
from dbgsom_core.errors import callers_level
from dbgsom_core.persistence import FittedModel, load, save
from dbgsom_core.tables import arrow_table
from dbgsom_plugins.trackers.mlflow.model import FILE, FLAVOR, download, write_model
from dbgsom_plugins.trackers.mlflow.store import Store, quiet
from dbgsom_plugins.trackers.mlflow.upload import Uploader
from dbgsom_plugins.trackers.run_folder import metrics_of_epoch, model_facts, write_figures

__all__ = ["FLAVOR", "autolog", "load_model", "log_model", "save_model"]


def log_model(model: Any, name: str, **options: Any) -> Any:
    """Log a fitted model; see `dbgsom_core.mlflow.log_model`."""
    flavor = sys.modules[__name__]
    return Model.log(artifact_path=None, name=name, flavor=flavor, model=_fitted(model), **options)


def save_model(
    model: Any,
    path: str,
    mlflow_model: Any = None,
    input_example: Any = None,
    signature: Any = "any",
    wheels: Any = (),
    **options: Any,
) -> None:
    """Write the folder of an MLflow model; ``options`` is what `Model.log` tells all flavours."""
    fitted = _fitted(model)
    with TemporaryDirectory() as folder, quiet():
        file = Path(folder) / FILE
        save(fitted if fitted.steps or fitted.columns else fitted.estimator, file)
        write_model(
            Path(path),
            file,
            mlflow_model or Model(),
            model_facts(fitted, _example(fitted, input_example)),
            names=_names(fitted, input_example),
            wheels=wheels,
            signature=signature,
        )


def load_model(uri: str) -> Any:
    """Return what was saved; nothing that is stored is run."""
    with TemporaryDirectory() as folder:
        return load(download(uri, uri, Path(folder)))


def _fitted(model: Any) -> FittedModel:
    if isinstance(model, FittedModel):
        return model
    *steps, (_, estimator) = getattr(model, "steps", [("", model)])  # of a pipeline
    return FittedModel([(name, step) for name, step in steps if step is not None], estimator)


def _names(fitted: FittedModel, X: Any) -> list[str] | None:
    """Return the names of the columns of raw samples, where they have some."""
    names = getattr(X, "columns", None)
    if names is None:
        first = fitted.steps[0][1] if fitted.steps else fitted.estimator
        names = getattr(first, "feature_names_in_", None)
    return None if names is None else list(map(str, names))


def _example(fitted: FittedModel, X: Any) -> Any:
    """Return a few raw samples as an array; None of none, and of a sparse matrix."""
    if X is None or hasattr(X, "tocsr"):
        return None
    table = arrow_table(X)
    rows = X[:5] if table is None else table.slice(0, 5).to_pandas()
    if fitted.columns is not None:
        rows = fitted.columns.samples(rows)
    return rows.to_numpy() if hasattr(rows, "to_numpy") else rows


# --------------------------------------------------------------------------------------- autolog

_options: Mapping[str, Any] = {}
_patched: list[tuple[Any, Any]] = []  # classes, and their own fit
_thread = threading.local()  # runs that have a fit


def autolog(disable: bool, **options: Any) -> None:
    """Log fits from now on, or no more; see `dbgsom_core.mlflow.autolog`."""
    global _options
    while _patched:
        cls, fit = _patched.pop()
        setattr(cls, "fit", fit)  # noqa: B010
    _options = options
    if disable:
        return
    for cls in (dbgsom_core.SomVQ, dbgsom_core.SomClassifier, dbgsom_core.SomRegressor):
        _patched.append((cls, cls.fit))
        setattr(cls, "fit", _logged(cls.fit))  # noqa: B010 - mypy knows it as a method


def _logged(fit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fit)  # by whose name other processes find their own
    def logged_fit(estimator: Any, X: Any, y: Any = None, *args: Any, **options: Any) -> Any:
        with _run_for_a_fit() as (run_id, is_own):
            began = time.time()
            fitted = fit(estimator, X, y, *args, **options)
            if run_id is not None:
                _thread.used.add(run_id)
                with _warned(f"the fit of run {run_id}"):
                    _log_fit(run_id, is_own, estimator, X, y, began)
            return fitted

    return logged_fit


@contextmanager
def _run_for_a_fit() -> Iterator[tuple[str | None, bool]]:
    """Yield the id of the open run, or of one of its own: its child where it has a fit already."""
    used = _thread.__dict__.setdefault("used", set())
    run, is_own = mlflow.active_run(), False
    if run is None or run.info.run_id in used:
        is_nested, run = run is not None, None
        with _warned("this fit"):
            run = mlflow.start_run(nested=is_nested)
            is_own = True
    status = "FAILED"
    try:
        yield None if run is None else run.info.run_id, is_own
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if is_own:
            with _warned("the end of this fit"):
                mlflow.end_run(status)


@contextmanager
def _warned(what: str) -> Iterator[None]:
    """Warn of what MLflow does not take; it is quiet meanwhile."""
    try:
        with quiet():
            yield
    except Warning:  # which are to be errors
        raise
    except Exception as error:
        text = masked(f"MLflow was not told all of {what} ({type(error).__name__}: {error})")
        warnings.warn(text, stacklevel=callers_level())


def _log_fit(run_id: str, is_own: bool, estimator: Any, X: Any, y: Any, began: float) -> None:
    """Write a fit as a run folder, and send it into an MLflow run."""
    figures = _options["log_figures"]
    if isinstance(figures, bool):
        figures = ("label_map", "growth_curve") if figures else ()
    with TemporaryDirectory() as place:
        files = RunFiles(Path(place))
        run, result = run_of_fit(estimator, X, y, files.folder, _options["measures"], figures)
        if not _options["log_datasets"]:
            run = replace(run, data={**run.data, "digest": None})
        for epoch in estimator.history_:
            moment = int((began + epoch.seconds) * 1000)
            files.append(epoch.epoch, metrics_of_epoch(epoch), moment)
        write_figures(files, result.figures, [])
        facts: dict[str, Any] = {"epoch": estimator.kept_epoch_}
        if _options["log_models"]:
            save(estimator, files.model)
            fitted = _fitted(estimator)
            facts = model_facts(fitted, _example(fitted, X))
        stored = StoredRun.from_run(run).model_copy(
            update={"measures": result.measures, "model": facts, "ended": datetime.now(UTC)}
        )
        store = Store(mlflow.get_tracking_uri())
        if is_own:
            store.log(run_id, tags={"mlflow.runName": run.name})
        Uploader(store).send(store.client.get_run(run_id), stored)
