"""Models and fits of Python programs in MLflow: what `dbgsom_core.mlflow` does.

MLflow itself is used as its user set it: store, experiment, active run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import Model

from dbgsom_core.api import DbgsomError
from dbgsom_core.persistence import FittedModel, load, save
from dbgsom_plugins.trackers import mlflow_autolog
from dbgsom_plugins.trackers.mlflow_pyfunc import FILE, FLAVOR, Facts, write_model

__all__ = ["FLAVOR", "autolog", "flush", "load_model", "log_model", "save_model"]

autolog, flush = mlflow_autolog.autolog, mlflow_autolog.flush


def log_model(model: Any, name: str, **more: Any) -> Any:
    """Log a fitted model; see `dbgsom_core.mlflow.log_model`."""
    return Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        model=_fitted(model),
        **more,
    )


def save_model(
    model: Any,
    path: str,
    mlflow_model: Any = None,
    input_example: Any = None,
    signature: Any = "any",
    wheels: Sequence[str | PathLike[str]] = (),
    **more: Any,
) -> None:
    """Write the folder of an MLflow model; ``more`` is what `Model.log` tells all flavours."""
    fitted = _fitted(model)
    names = getattr(input_example, "columns", None)
    if names is None:
        first = fitted.steps[0][1] if fitted.steps else fitted.estimator
        names = getattr(first, "feature_names_in_", None)
    example = None if input_example is None else _raw(fitted, input_example)
    known = None if names is None else list(map(str, names))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        save(fitted if fitted.steps or fitted.columns else fitted.estimator, file)
        own = mlflow_model or Model()
        facts = Facts.of(fitted, example)
        write_model(Path(path), file, facts, own, known, example, wheels, signature)


def load_model(uri: str) -> Any:
    """Return what was saved; nothing that is stored is run."""
    with tempfile.TemporaryDirectory() as room:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=room))
        found = sorted(folder.rglob(FILE))
        if not found:
            raise DbgsomError(f"{uri} holds no {FILE}: it is no model of dbgsom")
        return load(found[0])


def _raw(model: FittedModel, example: Any) -> Any:
    rows = example.iloc[:5] if hasattr(example, "iloc") else example[:5]
    if model.columns is not None:
        return model.columns.samples(rows)
    return rows.to_numpy() if hasattr(rows, "to_numpy") else rows


def _fitted(model: Any) -> FittedModel:
    if isinstance(model, FittedModel):
        return model
    steps = getattr(model, "steps", None)  # of a pipeline
    if steps is None:
        return FittedModel((), model)
    return FittedModel([(name, one) for name, one in steps[:-1] if one is not None], steps[-1][1])
