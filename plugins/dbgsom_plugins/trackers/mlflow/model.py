"""Maps as MLflow models without pickle: their folders, and fetching them by address.

Importing this module imports MLflow; callers do it inside `store.quiet`.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient, pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.store.artifact.utils.models import get_model_name_and_version
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from dbgsom_core.api import Columns, DataError, DbgsomError, masked
from dbgsom_core.persistence import distributions, load
from dbgsom_plugins.trackers.mlflow.store import absolute_uri, open_client
from dbgsom_plugins.trackers.run_folder import array_of

FLAVOR = "dbgsom"
FILE = "model.npz"
NAME = "som"  # which an address may call the model of a run, whatever its name
EPOCH_TAG = "dbgsom.epoch"  # tag of a model of the map as it was then
_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # of runs, models and aliases
_lock = threading.Lock()


# -------------------------------------------------------------------------- the folder of a model


def write_model(
    target: Path,
    file: Path,
    into: Model,
    facts: Mapping[str, Any],
    names: Sequence[str] | None = None,
    wheels: Iterable[str | PathLike[str]] = (),
    signature: Any = "any",
) -> None:
    """Write the folder of an MLflow model, ``target``, of a model file.

    ``into`` is what MLflow knows of the model so far, ``facts`` are its `model_facts`, ``names``
    those of features where the model knows no columns. ``wheels`` are kept with the model.

    MLflow refuses int64 in columns of ``double``, so columns are of the type ``any`` (all of them:
    MLflow 3.10 misplaces rows where types are mixed), and the model itself checks its cells. A
    ``signature`` of ``"typed"`` says ``double`` for numbers and ``string`` for categories and
    dates, which MLflow checks much faster. Samples without names have no input schema.
    """
    columns, example = None, None
    if facts.get("columns"):
        columns = Columns(**_as_tuples(facts["columns"]))
        names = columns.names
    if facts.get("example"):
        rows = array_of(facts["example"])
        if columns is not None:
            example = _table(columns, rows)
        elif names is not None and len(names) == rows.shape[1]:
            example = pd.DataFrame(rows, columns=list(names))
        else:
            example, names = rows, None
    needs = facts.get("needs") or distributions(load(file))
    into.add_flavor(FLAVOR, model=f"artifacts/{FILE}", dbgsom_version=needs["dbgsom-core"])
    # MLflow writes down where the file was, and runs the script as a module that threads share.
    with TemporaryDirectory() as folder, _lock:
        pyfunc.save_model(
            path=str(target),
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"model": str(shutil.copyfile(file, Path(folder) / FILE))},
            mlflow_model=into,
            signature=_signature(signature, columns, names, facts.get("answers")),
            input_example=example,
            pip_requirements=_requirements({**needs, "mlflow": mlflow.__version__}, wheels),
            code_paths=[str(wheel) for wheel in wheels] or None,
        )


def _signature(
    given: Any, columns: Columns | None, names: Sequence[str] | None, answers: Any
) -> ModelSignature:
    params = ParamSchema([ParamSpec("columns", DataType.string, ["label"], (-1,))])
    if isinstance(given, ModelSignature):
        return ModelSignature(given.inputs, given.outputs, given.params or params)
    inputs, outputs, texts = None, None, set()
    if columns is not None:
        texts = {*columns.categories, *columns.dates}
    if names is not None:
        specs = []
        for name in names:
            kind = DataType.string if name in texts else DataType.double
            specs.append(ColSpec(kind if given == "typed" else AnyType(), name))
        inputs = Schema(specs)
    if answers:
        outputs = infer_signature(np.zeros((1, 1)), array_of(answers)).outputs
    return ModelSignature(inputs, outputs, params)


def _requirements(needs: Mapping[str, str], wheels: Iterable[str | PathLike[str]]) -> list[str]:
    """Return requirements as pip reads them in the folder of the model."""
    lines = {_normal(name): f"{name}=={version}" for name, version in needs.items()}
    for wheel in map(Path, wheels):
        name, version = (*wheel.stem.split("-"), "")[:2]
        line = lines.get(_normal(name), "")
        if not wheel.is_file() or not line.endswith(f"=={version}"):
            raise DbgsomError(
                f"{wheel} is no wheel of what the model needs, {', '.join(lines.values())}: "
                "'pip wheel --no-deps -w FOLDER SOURCE' makes one"
            )
        lines[_normal(name)] = f"code/{wheel.name}"
    return list(lines.values())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _table(columns: Columns, X: Any) -> pd.DataFrame:
    """Return samples (m, D) as the model is asked for them: a table of its columns.

    Features do not hold all of a date: each row has the same.
    """
    table: dict[str, Any] = {}
    at = 0
    for name in columns.names:
        width = len(columns.features_of(name))
        part, at = X[:, at : at + width], at + width
        if name in columns.categories:
            values = np.array([*columns.categories[name], None], dtype=object)
            known = part.max(axis=1) == 1
            table[name] = values[np.where(known, part.argmax(axis=1), -1)]
        elif name in columns.dates:
            form = columns.dates[name][0].replace("ISO8601", "%Y-%m-%d")
            table[name] = [datetime(2024, 1, 2).strftime(form)] * len(X)
        else:
            table[name] = part[:, 0].astype(np.float64)
    return pd.DataFrame(table)


def _as_tuples(value: Any) -> Any:
    """Return what a JSON file holds with tuples in place of lists."""
    if isinstance(value, Mapping):
        return {name: _as_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


# ------------------------------------------------------------------------------------ by address


def fetch_model(uri: str, address: str, folder: Path) -> Path:
    """Put the model file that an address means into ``folder``; nothing that is stored is run.

    An address that means no model of ours is a `DataError`.
    """
    uri = absolute_uri(uri)
    try:
        location = _location(open_client(uri), address)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        why = str(error).partition("\n")[0]
        raise DataError(f"{address} is no model in MLflow at {masked(uri)}: {why}") from error
    return download(location, address, folder, tracking_uri=uri)


def download(location: str, address: str, folder: Path, **options: Any) -> Path:
    """Put the model file among artefacts at a location into ``folder``, and return its path."""
    with TemporaryDirectory() as place:
        whole = mlflow.artifacts.download_artifacts(location, dst_path=place, **options)
        files = sorted(Path(whole).rglob(FILE))
        if not files:
            raise DataError(f"{address} holds no {FILE}: it is no model of dbgsom")
        return Path(shutil.copyfile(files[0], folder / FILE))


def logged_models(client: MlflowClient, run: Any) -> list[Any]:
    """Return the models of a run, whole or begun."""
    of_run = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], filter_string=of_run))


def _location(client: MlflowClient, address: str) -> str:
    """Return where the files of a model lie, which MLflow itself seeks in the default registry."""
    if address.startswith("models:/"):
        names = get_model_name_and_version(client, address)
        if len(names) == 1:  # the id of a logged model
            return str(client.get_logged_model(*names).artifact_location)
        return str(client.get_model_version_download_uri(*names))
    run_id, _, name = address.removeprefix("runs:/").partition("/")
    for model in logged_models(client, client.get_run(run_id)):
        if name == model.name or (name in ("", NAME) and EPOCH_TAG not in model.tags):
            return str(model.artifact_location)
    raise DataError(f"{address}: this run has no model {name or NAME!r}")
