"""Storing a run's map as an MLflow model that needs no pickle.

Importing this module imports MLflow; callers do it inside `mlflow_quiet.quiet`.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature

from dbgsom_core.runs.folder.store import RunFiles, StoredRun

NAME = "som"
_SCRIPT = Path(__file__).with_name("mlflow_script.py")


def store_model(client: MlflowClient, run_id: str, stored: StoredRun) -> str | None:
    """Store the run's saved map with its signature and example; return the model's id.

    A run that already has its model keeps it; a run without a saved map has none.
    """
    if not stored.files.model.exists():
        return None
    run = client.get_run(run_id)
    known = _ready_model(client, run)
    if known is not None:
        return known
    model = client.create_logged_model(
        run.info.experiment_id,
        name=NAME,
        source_run_id=run_id,
        model_type=str(stored.config.get("model", {}).get("estimator", "som")),
        params=run.data.params,
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model"
        _write(target, stored, model, run_id)
        client.log_model_artifacts(model.model_id, str(target))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return str(model.model_id)


def holds_model(client: MlflowClient, run: Run, stored: StoredRun, register: str | None) -> bool:
    """Say whether MLflow has a run's model, and the version of the registered one."""
    if not stored.files.model.exists():
        return True
    versions = client.search_model_versions(f"name='{register}'") if register else []
    registered = any(one.run_id == run.info.run_id for one in versions)
    return _ready_model(client, run) is not None and registered == bool(register)


def _ready_model(client: MlflowClient, run: Run) -> str | None:
    for output in run.outputs.model_outputs if run.outputs else []:
        if client.get_logged_model(output.model_id).status == LoggedModelStatus.READY:
            return str(output.model_id)
    return None


def link_measures(client: MlflowClient, run_id: str, model_id: str, metrics: list[Metric]) -> None:
    """Show the run's final measures on its model; those it already shows are left alone."""
    known = {metric.key for metric in client.get_logged_model(model_id).metrics or []}
    linked = [
        Metric(one.key, one.value, one.timestamp, one.step, model_id=model_id, run_id=run_id)
        for one in metrics
        if one.key not in known and math.isfinite(one.value)
    ]
    if linked:
        client.log_batch(run_id, metrics=linked)


def register_model(client: MlflowClient, name: str, run_id: str, model_id: str) -> None:
    """Make the model a version of the registered model ``name``, once."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    known = client.search_model_versions(f"name='{name}'")
    if all(one.run_id != run_id for one in known):
        source = client.get_logged_model(model_id).artifact_location
        client.create_model_version(name, source, run_id=run_id, model_id=model_id)


def _write(target: Path, stored: StoredRun, model: Any, run_id: str) -> None:
    signature, example = _signature(stored.files)
    own = target.with_name("model.npz")  # MLflow writes down where it was, which nobody need know
    shutil.copyfile(stored.files.model, own)
    pyfunc.save_model(
        path=str(target),
        python_model=str(_SCRIPT),
        artifacts={"model": str(own)},
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            model_uuid=model.model_id,
            run_id=run_id,
            model_id=model.model_id,
        ),
        signature=signature,
        input_example=example,
        pip_requirements=_requirements(stored),
    )


def _signature(files: RunFiles) -> tuple[ModelSignature | None, Any]:
    if not (files.input_example.exists() and files.output_example.exists()):
        return None, None
    # Signed as float64, because a float32 signature refuses float64 input.
    example = np.load(files.input_example, allow_pickle=False).astype(np.float64)
    return infer_signature(example, np.load(files.output_example, allow_pickle=False)), example


def plugin_versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of each distribution that a run had working plugins of."""
    return {
        record["distribution"]: record["version"]
        for record in environment.get("plugins") or []
        if record["status"] == "ok" and record["distribution"] not in ("unknown", "unregistered")
    }


def _requirements(stored: StoredRun) -> list[str]:
    wanted = {"dbgsom-core": _version("dbgsom-core"), "mlflow": mlflow.__version__}
    wanted = plugin_versions(stored.environment) | wanted
    return [f"{name}=={release}" if release else name for name, release in wanted.items()]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
