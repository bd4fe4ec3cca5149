"""Maps as MLflow models without pickle: written, logged with their run, registered, fetched.

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
from urllib.parse import quote

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient, pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from dbgsom_core.api import Columns, DataError, DbgsomError, masked
from dbgsom_core.persistence import answer_table, distributions
from dbgsom_plugins.trackers.mlflow.store import absolute_uri, open_client

FLAVOR = "dbgsom"
FILE = "model.npz"
_one_at_a_time = threading.Lock()
NAME = "som"  # which an address may call the model of a run, whatever its name
EPOCH_TAG = "dbgsom.epoch"  # tag of a model of the map as it was then
_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # of runs, models and aliases


# -------------------------------------------------------------------------- the folder of a model


def write_model(
    target: Path,
    file: Path,
    into: Model,
    needs: Mapping[str, str],
    *,
    columns: Columns | None = None,
    names: Sequence[str] | None = None,
    example: Any = None,
    labels: Any = None,
    wheels: Sequence[str | PathLike[str]] = (),
    signature: Any = "any",
) -> None:
    """Write the folder of an MLflow model, ``target``, of a model file.

    ``into`` is what MLflow knows of the model so far, ``needs`` are distributions and versions,
    ``names`` those of features where the model knows no ``columns``, ``labels`` its answers to an
    ``example`` of raw samples (m, D). ``wheels`` are kept with the model; one that is missing, or
    of nothing that the model needs, is a `DbgsomError`.

    MLflow refuses int64 in columns of ``double``, so columns are of the type ``any`` (all of them:
    MLflow 3.10 misplaces rows where types are mixed), and the model itself checks its cells. A
    ``signature`` of ``"typed"`` says ``double`` for numbers and ``string`` for categories and
    dates, which MLflow checks much faster. Samples without names have no input schema.
    """
    if columns is not None:
        into.metadata = {**(into.metadata or {}), "columns": _contents(columns)}
        names = columns.names
    into.add_flavor(FLAVOR, model=f"artifacts/{FILE}", dbgsom_version=needs["dbgsom-core"])
    params = ParamSchema([ParamSpec("columns", DataType.string, ["label"], (-1,))])
    if isinstance(signature, ModelSignature):
        signed = ModelSignature(signature.inputs, signature.outputs, signature.params or params)
    else:
        inputs, outputs = None, None
        if names is not None:
            texts = () if columns is None else {*columns.categories, *columns.dates}
            typed = [DataType.string if name in texts else DataType.double for name in names]
            kinds = typed if signature == "typed" else [AnyType()] * len(names)
            inputs = Schema([ColSpec(*pair) for pair in zip(kinds, map(str, names), strict=True)])
        if labels is not None and len(labels):
            outputs = infer_signature(np.zeros((1, 1)), labels).outputs
        signed = ModelSignature(inputs=inputs, outputs=outputs, params=params)
    # MLflow writes down where the file was, and runs the script as a module that threads share.
    with TemporaryDirectory() as folder, _one_at_a_time:
        pyfunc.save_model(
            path=str(target),
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"model": str(shutil.copyfile(file, Path(folder) / FILE))},
            mlflow_model=into,
            signature=signed,
            input_example=None if example is None else _table(columns, names, np.asarray(example)),
            pip_requirements=_requirements({**needs, "mlflow": mlflow.__version__}, wheels),
            code_paths=list(map(str, wheels)) or None,
        )


def _requirements(needs: Mapping[str, str], wheels: Iterable[str | PathLike[str]]) -> list[str]:
    """Return requirements as pip reads them in the folder of the model."""
    lines = {_normal(name): f"{name}=={version}" for name, version in needs.items()}
    for wheel in map(Path, wheels):
        if not wheel.is_file() or wheel.suffix != ".whl":
            raise DbgsomError(
                f"there is no wheel {wheel}: 'pip wheel --no-deps -w FOLDER SOURCE' makes one"
            )
        name, version = (*wheel.stem.split("-"), "")[:2]
        line = lines.get(_normal(name))
        if line is None:
            raise DbgsomError(f"{wheel} is of nothing that the model needs: {', '.join(needs)}")
        if not line.endswith(f"=={version}"):
            raise DbgsomError(f"{wheel} is of another version than the model's {line}")
        lines[_normal(name)] = f"code/{wheel.name}"
    return list(lines.values())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _contents(columns: Columns) -> dict[str, str]:
    """Return in words what each column holds."""
    contents = {}
    for name in columns.names:
        unit = columns.unit(name)
        contents[name] = f"number in {unit}" if unit else "number"
        if name in columns.categories:
            contents[name] = "one of " + ", ".join(columns.categories[name][:50])
        elif name in columns.dates:
            contents[name] = f"date, {columns.dates[name][0]}"
    return contents


def _table(columns: Columns | None, names: Sequence[str] | None, X: Any) -> Any:
    """Return samples as the model is to be asked: a table where it knows names.

    Features do not hold all of a date: each row has the same.
    """
    if columns is None:
        return X if names is None else pd.DataFrame(X, columns=list(map(str, names)))
    table: dict[str, Any] = {}
    at = 0
    for name in columns.names:
        width = len(columns.features_of(name))
        part, at = X[:, at : at + width], at + width
        if name in columns.categories:
            values = columns.categories[name]
            table[name] = [values[int(row.argmax())] if row.max() == 1 else None for row in part]
        elif name in columns.dates:
            form = columns.dates[name][0].replace("ISO8601", "%Y-%m-%d")
            table[name] = [datetime(2024, 1, 2).strftime(form)] * len(X)
        else:
            table[name] = part[:, 0].astype(np.float64)
    return pd.DataFrame(table)


def facts_of(model: Any, example: Any) -> tuple[dict[str, str], Columns | None, Any]:
    """Return what a fitted model needs, its columns, and its labels of raw samples (m, D)."""
    labels = None
    if example is not None:
        answers = answer_table(model, example, ["label"])  # of several targets: by their names
        labels = answers["label"] if "label" in answers else pd.DataFrame(answers)
    return distributions(model), getattr(model, "columns", None), labels


def as_tuples(value: Any) -> Any:
    """Return what a JSON file holds with tuples in place of lists."""
    if isinstance(value, Mapping):
        return {name: as_tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


# ------------------------------------------------------------------------------------ by address


def fetch_model(uri: str, address: str, folder: Path) -> Path:
    """Put the model file that an address means into ``folder``; nothing that is stored is run.

    An address that means no model of ours is a `DataError`.
    """
    try:
        location = _location(open_client(absolute_uri(uri)), address)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        why = str(error).partition("\n")[0]
        raise DataError(f"{address} is no model in MLflow at {masked(uri)}: {why}") from error
    return download(location, address, folder, tracking_uri=absolute_uri(uri))


def download(location: str, address: str, folder: Path, **options: Any) -> Path:
    """Put the model file among artefacts at a location into ``folder``, and return its path."""
    fetch = mlflow.artifacts.download_artifacts
    with TemporaryDirectory() as place:
        whole = fetch(artifact_uri=location, dst_path=place, **options)
        found = sorted(Path(whole).rglob(FILE))
        if not found:
            raise DataError(f"{address} holds no {FILE}: it is no model of dbgsom")
        return Path(shutil.copyfile(found[0], folder / FILE))


def logged_models(client: MlflowClient, run: Any) -> list[Any]:
    """Return the models of a run, whole or begun."""
    of_run = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], filter_string=of_run))


def _location(client: MlflowClient, address: str) -> str:
    """Return where the files of a model lie."""
    kind, _, rest = address.partition(":/")
    rest = rest.strip("/")
    if kind == "runs":
        run_id, _, name = rest.partition("/")
        for model in logged_models(client, client.get_run(run_id)):
            if name == model.name or (name in ("", NAME) and EPOCH_TAG not in model.tags):
                return str(model.artifact_location)
        raise DataError(f"{address}: this run has no model {f'{name!r} ' if name else ''}stored")
    if rest.startswith("m-") and "/" not in rest and "@" not in rest:
        return str(client.get_logged_model(rest).artifact_location)
    if "@" in rest:
        version = client.get_model_version_by_alias(*rest.rsplit("@", 1))
    elif "/" in rest:
        version = client.get_model_version(*rest.rsplit("/", 1))
    else:
        versions = f"models:/{quote(rest)}/1 or models:/{quote(rest)}@ALIAS"
        raise DataError(f"{address} names no version: write {versions}")
    return str(client.get_model_version_download_uri(version.name, version.version))
