"""Using what MLflow holds: its page, and model files by address.

Importing this module imports MLflow; callers do it inside `mlflow_quiet.quiet`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from dbgsom_core.api import DataError, DbgsomError, Page, masked
from dbgsom_core.runs.folder import read_run
from dbgsom_plugins.trackers.mlflow_address import absolute, sqlite_file
from dbgsom_plugins.trackers.mlflow_link import EXPERIMENTS, table_route
from dbgsom_plugins.trackers.mlflow_mirror import ID_TAG
from dbgsom_plugins.trackers.mlflow_model import EPOCH_TAG, NAME, ready_model, register_model
from dbgsom_plugins.trackers.mlflow_pyfunc import FILE
from dbgsom_plugins.trackers.mlflow_store import Store
from dbgsom_plugins.trackers.mlflow_view import MODE


def page_of(uri: str, experiment: str | None, folder: Path | None, port: int) -> Page:
    """Return where MLflow shows an experiment, or the run with this folder.

    Raises
    ------
    DbgsomError
        There is no such store.
    """
    database = sqlite_file(uri)
    if database is not None and not database.exists():
        raise DbgsomError(
            f"there is no MLflow store {database} yet: 'dbgsom run' makes it, 'dbgsom sync' fills "
            "it from the run folders"
        )
    where = _where(MlflowClient(tracking_uri=absolute(uri)), experiment, folder)
    if uri.startswith(("http://", "https://")):
        return Page(f"{masked(uri).rstrip('/')}/{where}")
    words = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if masked(uri) == uri:
        words += ["--backend-store-uri", uri]
    else:  # others can read the words of a command
        settings["MLFLOW_BACKEND_STORE_URI"] = uri
    return Page(f"http://127.0.0.1:{port}/{where}", [*words, "--workers", "1"], settings)


def _where(client: MlflowClient, experiment: str | None, folder: Path | None) -> str:
    known = None if experiment is None else client.get_experiment_by_name(experiment)
    if known is None:
        return EXPERIMENTS
    if folder is None:
        return table_route(known.experiment_id, known.tags)
    stored = read_run(folder)
    runs = client.search_runs([known.experiment_id], f"tags.`{ID_TAG}` = '{stored.id}'")
    if runs and stored.kind != "sweep":
        return f"#/experiments/{known.experiment_id}/runs/{runs[0].info.run_id}?{MODE}"
    return table_route(known.experiment_id, known.tags, stored.id)


_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # of runs, models and aliases


def fetch_model(uri: str, address: str, folder: Path) -> Path:
    """Put the model file that an address means into ``folder``; nothing that is stored is run.

    Raises
    ------
    DataError
        The address means no model of ours.
    """
    store = Store(uri)
    try:
        artifacts = _artifacts(store.client, address)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        reason = str(error).partition("\n")[0]
        raise DataError(f"{address} is no model in MLflow at {masked(uri)}: {reason}") from error
    with tempfile.TemporaryDirectory() as room:
        downloaded = mlflow.artifacts.download_artifacts(
            artifact_uri=artifacts,
            dst_path=room,
            tracking_uri=store.uri,
        )
        found = sorted(Path(downloaded).rglob(FILE))
        if not found:
            raise DataError(f"{address} holds no {FILE}: it is no model of dbgsom")
        return Path(shutil.copyfile(found[0], folder / FILE))


def register(uri: str, folder: Path, name: str, alias: str | None) -> str:
    """Make the model of a stored run a version of a registered one; return its address.

    Raises
    ------
    DbgsomError
        MLflow holds no model of this run.
    """
    client, stored = Store(uri).client, read_run(folder)
    known = client.search_experiments(view_type=ViewType.ACTIVE_ONLY)
    wanted = f"tags.`{ID_TAG}` = '{stored.id}'"
    for run in client.search_runs([one.experiment_id for one in known], wanted, max_results=1):
        run = client.get_run(run.info.run_id)
        model_id = ready_model(client, run)
        if model_id is None:
            break
        version = register_model(client, name, run.info.run_id, model_id)
        if alias is None:
            return f"models:/{name}/{version}"
        client.set_registered_model_alias(name, alias, version)
        return f"models:/{name}@{alias}"
    raise DbgsomError(f"MLflow at {masked(uri)} holds no model of run {stored.id}")


def _artifacts(client: MlflowClient, address: str) -> str:
    """Return where the files of a model lie."""
    kind, _, rest = address.partition(":/")
    rest = rest.strip("/")
    if kind == "runs":
        run_id, _, name = rest.partition("/")
        run = client.get_run(run_id)
        for output in run.outputs.model_outputs if run.outputs else []:
            model = client.get_logged_model(output.model_id)
            final = EPOCH_TAG not in model.tags
            if name == model.name or (name in ("", NAME) and final):
                return str(model.artifact_location)
        raise DataError(f"{address}: this run has no model {f'{name!r} ' if name else ''}stored")
    if rest.startswith("m-") and "/" not in rest and "@" not in rest:
        return str(client.get_logged_model(rest).artifact_location)
    if "@" in rest:
        name, _, alias = rest.rpartition("@")
        version = client.get_model_version_by_alias(name, alias)
    else:
        name, slash, number = rest.rpartition("/")
        if not slash:
            raise DataError(
                f"{address} names no version: write models:/{quote(rest)}/1 or "
                f"models:/{quote(rest)}@ALIAS"
            )
        version = client.get_model_version(name, number)
    return str(client.get_model_version_download_uri(version.name, version.version))
