"""MLflow from Python: models of estimators, and fits that are logged as they are made.

MLflow is used as its user set it: store, experiment, open run. Importing this module imports it.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Metric
from mlflow.models import Model

import dbgsom_core
from dbgsom_core.api import masked
from dbgsom_core.errors import callers_level
from dbgsom_core.persistence import FittedModel, load, save
from dbgsom_core.runs.data import n_classes
from dbgsom_core.runs.folder import JournalLine, RunFiles, StoredRun
from dbgsom_core.runs.manifest import data_title, estimator_params, name_of_params
from dbgsom_core.runs.results import evaluate_model
from dbgsom_core.runs.text import digest
from dbgsom_core.tables.frames import arrow_table
from dbgsom_plugins.trackers.mlflow import model as models
from dbgsom_plugins.trackers.mlflow.model import FILE, FLAVOR
from dbgsom_plugins.trackers.mlflow.pages import description
from dbgsom_plugins.trackers.mlflow.store import Store, key_of, metrics_of, quiet
from dbgsom_plugins.trackers.mlflow.upload import (
    dataset_input,
    link_measures,
    log_figures,
    model_name,
    upload_model,
)

__all__ = ["FLAVOR", "autolog", "load_model", "log_model", "save_model"]

_FIGURES = ("label_map", "growth_curve")
_OF_TASK = {"classifier": ["accuracy"], "regressor": ["r2"]}


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
    wheels: Sequence[str | PathLike[str]] = (),
    **options: Any,
) -> None:
    """Write the folder of an MLflow model; ``options`` is what `Model.log` tells all flavours."""
    fitted = _fitted(model)
    table = arrow_table(input_example)
    input_example = input_example if table is None else table.to_pandas()
    names, example = getattr(input_example, "columns", None), None
    if names is None:
        first = fitted.steps[0][1] if fitted.steps else fitted.estimator
        names = getattr(first, "feature_names_in_", None)
    if input_example is not None:
        rows = input_example.iloc if hasattr(input_example, "iloc") else input_example
        example = rows[:5] if fitted.columns is None else fitted.columns.samples(rows[:5])
        example = example.to_numpy() if hasattr(example, "to_numpy") else example
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / FILE
        save(fitted if fitted.steps or fitted.columns else fitted.estimator, file)
        needs, columns, labels = models.facts_of(fitted, example)
        models.write_model(
            Path(path),
            file,
            mlflow_model or Model(),
            needs,
            columns=columns,
            names=None if names is None else list(map(str, names)),
            example=example,
            labels=labels,
            wheels=wheels,
            signature=signature,
        )


def load_model(uri: str) -> Any:
    """Return what was saved; nothing that is stored is run."""
    with tempfile.TemporaryDirectory() as folder:
        return load(models.download(uri, uri, Path(folder)))


def _fitted(model: Any) -> FittedModel:
    if isinstance(model, FittedModel):
        return model
    steps = getattr(model, "steps", None)  # of a pipeline
    if steps is None:
        return FittedModel((), model)
    return FittedModel([(name, one) for name, one in steps[:-1] if one is not None], steps[-1][1])


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
    def logged_fit(*args: Any, **options: Any) -> Any:
        return _fit(fit, *args, **options)

    return logged_fit


def _fit(fit: Any, estimator: Any, X: Any, y: Any = None, *args: Any, **options: Any) -> Any:
    name = ""
    with suppress(Exception):  # the fit says which parameter is wrong
        name = name_of_params(
            estimator_params(estimator, f"{type(estimator).__name__} on {_data_name(X)}")
        )
    with _run_for_a_fit(name) as run_id:
        began = time.time()
        fitted = fit(estimator, X, y, *args, **options)
        if run_id is not None:
            _thread.used.add(run_id)
            with _warned(f"the fit of run {run_id}"):
                _log_fit(Store(mlflow.get_tracking_uri()), run_id, estimator, X, y, began)
        return fitted


@contextmanager
def _run_for_a_fit(name: str) -> Iterator[str | None]:
    """Yield the id of the open run, or of one of its own: its child where it has a fit already."""
    used = _thread.__dict__.setdefault("used", set())
    active, own = mlflow.active_run(), None
    if active is None or active.info.run_id in used:
        with _warned("this fit"):
            own = mlflow.start_run(run_name=name or None, nested=active is not None)
        active = own
    status = "FAILED"
    try:
        yield None if active is None else str(active.info.run_id)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if own is not None:
            with _warned(f"the fit of run {own.info.run_id}"):
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


def _log_fit(store: Store, run_id: str, estimator: Any, X: Any, y: Any, began: float) -> None:
    run, options = store.client.get_run(run_id), _options
    params = estimator_params(estimator, _data_name(X))
    known = run.data.params  # what others logged under the same name stays
    named = {key_of(k): str(v) for k, v in params.items()}
    store.log(
        run_id, params={k if known.get(k, v) == v else f"som.{k}": v for k, v in named.items()}
    )
    lines = [
        JournalLine(
            record.epoch,
            int((began + record.seconds) * 1000),
            {
                "epoch/quantization_error": record.quantization_error,
                "epoch/neurons": float(record.neurons),
                "epoch/width": record.width,
                "epoch/movement": record.movement,
            },
        )
        for record in estimator.history_
    ]
    store.log(run_id, metrics=metrics_of(lines))
    facts, inputs = _facts_of(estimator, X, y), {}
    if options["log_datasets"]:
        source = {"tags": {"mlflow.source.name": Path(sys.argv[0]).name}}
        inputs = {"train": dataset_input(facts, source, "training")}
        store.log_inputs(run_id, [*inputs.values()])
    chosen = options["measures"]
    if chosen is None:
        chosen = ["quantization_error", "topographic_error"]
        chosen += [] if y is None else _OF_TASK.get(estimator._kind, [])
    known = {name: getattr(estimator, f"{name}_", None) for name in chosen}
    finals = {f"train/{name}": float(value) for name, value in known.items() if value is not None}
    names = [name for name, value in known.items() if value is None]
    wanted = options["log_figures"]
    wanted = (_FIGURES if wanted else ()) if isinstance(wanted, bool) else tuple(wanted)
    if names or wanted:
        with _warned(f"the fit of run {run_id}"):  # of figures of third parties: the model is kept
            found, figures = evaluate_model(estimator, X, y, names, wanted)
            finals |= {f"train/{name}": value for name, value in found.items()}
            log_figures(store.client, run_id, figures)
    now, step = int(time.time() * 1000), estimator.kept_epoch_
    measures = [Metric(key_of(name), value, now, step) for name, value in finals.items()]
    store.log(run_id, metrics=measures)
    kept = None
    if options["log_models"]:
        example = None if hasattr(X, "tocsr") else X
        kept = upload_model(
            store,
            run_id,
            model_name(name_of_params(params)),
            lambda target, own: save_model(estimator, str(target), own, example),
            step=step,
            kind=str(params["estimator"]),
        )
        link_measures(store, run_id, kept, measures, inputs)
    if "mlflow.note.content" not in run.data.tags:
        stored = StoredRun(files=RunFiles(Path("none")), data=facts, measures=finals)
        trained = f"{len(estimator.neurons_)} neurons after {estimator.n_iter_} epochs"
        note = description(stored, run.info.experiment_id, model=kept, trained=trained)
        store.log(run_id, tags={"mlflow.note.content": note})


def _data_name(X: Any) -> str:
    """Return a name for data without a configuration: its file, or its shape."""
    file = getattr(X, "filename", None)  # of a memory-mapped array
    sizes = "x".join(str(one) if isinstance(one, int) else "?" for one in np.shape(X))
    kind = "table" if hasattr(X, "columns") else "array"
    return data_title({"path": os.fspath(file)} if file else None, f"{kind}-{sizes}")


def _facts_of(estimator: Any, X: Any, y: Any) -> dict[str, Any]:
    target = None if y is None else np.asarray(y)
    classes = None
    if target is not None and estimator._kind != "regressor":
        classes = n_classes(target)
    if hasattr(X, "__dask_graph__"):  # which may be larger than memory
        from dask.base import tokenize

        known = str(tokenize(X, y))
    else:
        known = digest(X.toarray() if hasattr(X, "toarray") else np.asarray(X), target)
    facts = {
        "name": _data_name(X),
        "samples": len(estimator.labels_),
        "features": estimator.n_features_in_,
        "classes": classes,
        "digest": known,
    }
    if hasattr(estimator, "feature_names_in_"):
        facts["feature_names"] = list(map(str, estimator.feature_names_in_))
    return facts
