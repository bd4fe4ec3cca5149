"""Storing a run's map as an MLflow model that needs no pickle.

Importing this module imports MLflow; callers do it inside `mlflow_quiet.quiet`.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from dbgsom_core.api import Columns
from dbgsom_core.runs.folder import RunFiles, StoredRun, read_json
from dbgsom_plugins.trackers.mlflow_points import batches
from dbgsom_plugins.trackers.mlflow_pyfunc import Facts, write_model
from dbgsom_plugins.trackers.mlflow_view import short_name

_VERSIONS = "mlflow.modelVersions"
EPOCH_TAG = "dbgsom.epoch"  # of a model of the map as it was then
NAME = "som"  # which an address may call the model of a run, whatever its name


def store_model(client: MlflowClient, run_id: str, stored: StoredRun) -> str | None:
    """Store the run's saved map with its signature and example; return the model's id.

    A run that already has its model keeps it; a run without a saved map has none.
    """
    if not stored.files.model.exists():
        return None
    return _stored(client, client.get_run(run_id), stored, stored.files.model)


def store_epoch_models(
    client: MlflowClient, run_id: str, stored: StoredRun, inputs: Mapping[str, DatasetInput]
) -> None:
    """Store the models of epochs that a run kept, each with what was measured in its epoch."""
    kept = stored.files.epoch_models()
    if not kept:
        return
    run, lines = client.get_run(run_id), {line.epoch: line for line in stored.epochs()}
    for epoch, file in kept.items():
        model_id = _stored(client, run, stored, file, epoch)
        if epoch in lines:
            [points] = batches([lines[epoch]])
            link_measures(client, run_id, model_id, points, inputs)


def _stored(
    client: MlflowClient, run: Run, stored: StoredRun, file: Path, epoch: int | None = None
) -> str:
    """Store one model of a run, of an epoch or the final one, unless it is there; return its id."""
    mark = "" if epoch is None else str(epoch)
    known = _ready_models(client, run).get(mark)
    if known is not None:
        return known
    name = model_name(short_name(stored))
    return keep_model(
        client,
        run,
        name if epoch is None else f"epoch {epoch} {name}",
        lambda target, own: _write(target, stored, file, own),
        step=kept_epoch(stored) if epoch is None else epoch,
        kind=str(stored.config.get("model", {}).get("estimator", "som")),
        mark=mark,
    )


def kept_epoch(stored: StoredRun) -> int:
    """Return the epoch whose map a run kept: the last one, unless a rule kept the best."""
    told = read_json(stored.files.model_facts).get("epoch")
    return told if isinstance(told, int) else max((one.epoch for one in stored.epochs()), default=0)


def keep_model(
    client: MlflowClient,
    run: Run,
    name: str,
    write: Callable[[Path, Model], None],
    *,
    step: int,
    kind: str,
    mark: str = "",
) -> str:
    """Store a model of a run; return its id.

    Parameters
    ----------
    client : MlflowClient
    run : Run
    name : str
        Of the model.
    write : callable
        Writes the folder of the model, given its path and what MLflow knows of the model.
    step : int
        The epoch whose map it is.
    kind : str
        The estimator.
    mark : str
        Of a model of the map as it was in an epoch: the epoch. What was begun is gone on with.
    """
    run_id = run.info.run_id
    model = _begun_model(client, run, mark) or client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={EPOCH_TAG: mark} if mark else None,
        model_type=kind,
        params=run.data.params,
    )
    if model.model_id not in _outputs(client.get_run(run_id)):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=step)])
    own = Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        run_id=run_id,
        model_id=model.model_id,
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model"
        with _its_own_store(client.tracking_uri):
            write(target, own)
        client.log_model_artifacts(model.model_id, str(target))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return str(model.model_id)


@contextmanager
def _its_own_store(uri: str) -> Iterator[None]:
    """Let MLflow mean this store, and not make one in the working directory, where nobody chose."""
    chosen = "MLFLOW_TRACKING_URI" in os.environ
    os.environ.setdefault("MLFLOW_TRACKING_URI", uri)
    try:
        yield
    finally:
        if not chosen:
            os.environ.pop("MLFLOW_TRACKING_URI", None)


def model_name(run: str) -> str:
    """Return what a run's model is called in MLflow, which refuses some letters."""
    return re.sub(r"[^\w\-,]+", " ", run.replace(".", "_")).strip()[:200] or NAME


def holds_model(client: MlflowClient, run: Run, stored: StoredRun, register: str | None) -> bool:
    """Say whether MLflow has a run's models, and the version of the registered one."""
    if not stored.files.model.exists():
        return True
    versions = client.search_model_versions(f"name='{register}'") if register else []
    registered = any(one.run_id == run.info.run_id for one in versions)
    wanted = {"", *map(str, stored.files.epoch_models())}
    return wanted <= _ready_models(client, run).keys() and registered == bool(register)


def ready_model(client: MlflowClient, run: Run) -> str | None:
    """Return the id of a run's final model; None: it has none that is whole."""
    return _ready_models(client, run).get("")


def _ready_models(client: MlflowClient, run: Run) -> dict[str, str]:
    """Return the ids of the models that are whole, by the epoch that they are of, "": the last."""
    models = [client.get_logged_model(one) for one in _outputs(run)]
    whole = [one for one in reversed(models) if one.status == LoggedModelStatus.READY]
    return {one.tags.get(EPOCH_TAG, ""): str(one.model_id) for one in whole}


def _outputs(run: Run) -> list[str]:
    return [str(one.model_id) for one in run.outputs.model_outputs] if run.outputs else []


def _begun_model(client: MlflowClient, run: Run, mark: str) -> Any:
    """Return a run's model whose upload a process, or the server, did not survive."""
    of_run = f"source_run_id = '{run.info.run_id}'"
    found = client.search_logged_models([run.info.experiment_id], filter_string=of_run)
    begun = (one for one in found if one.status == LoggedModelStatus.PENDING)
    return next((one for one in begun if one.tags.get(EPOCH_TAG, "") == mark), None)


def link_measures(
    client: MlflowClient,
    run_id: str,
    model_id: str,
    metrics: list[Metric],
    inputs: Mapping[str, DatasetInput],
) -> None:
    """Show the run's final measures on its model, each with the data that it is of.

    Those that it shows already are left alone.
    """
    known = {metric.key for metric in client.get_logged_model(model_id).metrics or []}
    linked = [
        Metric(
            one.key,
            one.value,
            one.timestamp,
            one.step,
            model_id=model_id,
            run_id=run_id,
            **_measured_on(one.key, inputs),
        )
        for one in metrics
        if one.key not in known and math.isfinite(one.value)
    ]
    if linked:
        client.log_batch(run_id, metrics=linked)


def _measured_on(key: str, inputs: Mapping[str, DatasetInput]) -> dict[str, str]:
    """Return the name and digest of the data that a measure such as ``test/accuracy`` is of."""
    part = key.partition("/")[0].removesuffix("_std")
    part = "train" if part == "epoch" else part
    found = inputs.get(part) or (inputs.get("fold") if part == "test" else None)
    if found is None:
        return {}
    return {"dataset_name": found.dataset.name, "dataset_digest": found.dataset.digest}


def register_model(client: MlflowClient, name: str, run_id: str, model_id: str) -> str:
    """Make the model a version of the registered model ``name``, once; return the version."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for known in client.search_model_versions(f"name='{name}'"):
        if known.run_id == run_id:
            return str(known.version)
    model = client.get_logged_model(model_id)
    made = client.create_model_version(
        name, model.artifact_location, run_id=run_id, model_id=model_id
    )
    # The page of the model looks there for what is registered of it.
    versions = json.loads(model.tags.get(_VERSIONS, "[]"))
    versions.append({"name": name, "version": made.version})
    client.set_logged_model_tags(model_id, {_VERSIONS: json.dumps(versions)})
    return str(made.version)


def _write(target: Path, stored: StoredRun, file: Path, own: Model) -> None:
    files = stored.files
    names = stored.data.get("feature_names")
    example = None
    if files.input_example.exists():
        example = np.load(files.input_example, allow_pickle=False)
    facts = _facts(files, example)
    width = None if example is None else example.shape[1]
    known = names if isinstance(names, list) and len(names) == width else None
    settings = _settings(stored)
    start = Path(stored.environment.get("directory") or "")
    write_model(
        target,
        file,
        replace(facts, needs=_as_it_was_made(stored, facts.needs)),
        own,
        known,
        example,
        [start / str(path) for path in settings.get("wheels") or ()],
        settings.get("signature", "any"),
    )


def _settings(stored: StoredRun) -> Mapping[str, Any]:
    """Return what a run's configuration says of MLflow, as it is written there."""
    tracking = [one for one in stored.config.get("tracking") or () if isinstance(one, Mapping)]
    return next((one for one in tracking if one.get("name") == "mlflow"), {})


def plugin_versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of each distribution that a run had working plugins of."""
    return {
        record["distribution"]: record["version"]
        for record in environment.get("plugins") or []
        if record["status"] == "ok" and record["distribution"] not in ("unknown", "unregistered")
    }


def _as_it_was_made(stored: StoredRun, needs: Mapping[str, str]) -> dict[str, str]:
    """Return the distributions that a model needs, as they were when it was made."""
    versions = stored.environment.get("versions") or {}
    then = plugin_versions(stored.environment) | {name: str(one) for name, one in versions.items()}
    return {name: then.get(name, now) for name, now in needs.items()}


def _facts(files: RunFiles, example: Any) -> Facts:
    """Return what is told of a run's model; it is loaded where its folder does not say."""
    told = read_json(files.model_facts)
    needs, columns = told.get("needs"), told.get("columns")
    if isinstance(needs, Mapping) and files.output_example.exists():
        labels = np.load(files.output_example, allow_pickle=False)
        with suppress(TypeError, AttributeError):
            if labels.ndim == 1:  # several targets have names
                return Facts(needs, None if columns is None else _columns(columns), labels)
    from dbgsom_core.persistence import load  # a second of imports

    return Facts.of(load(files.model), example)


def _columns(told: Mapping[str, Any]) -> Columns:
    """Return columns as a run folder holds them."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(one) for name, one in value.items()}
        return tuple(value) if isinstance(value, list) else value

    return Columns(**plain(told))
