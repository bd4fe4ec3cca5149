"""Maps as MLflow models without pickle: written, logged with their run, registered, fetched.

Importing this module imports MLflow; callers do it inside `store.quiet`.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient, pyfunc
from mlflow.entities import DatasetInput, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from dbgsom_core.api import Columns, DataError, DbgsomError, masked
from dbgsom_core.runs.folder import StoredRun, read_json
from dbgsom_plugins.trackers.mlflow.store import absolute, client_of
from dbgsom_plugins.trackers.mlflow.views import short_name

if TYPE_CHECKING:
    from dbgsom_plugins.trackers.mlflow.upload import Store

FLAVOR = "dbgsom"
FILE = "model.npz"
_NAME = "som"  # which an address may call the model of a run, whatever its name
_EPOCH = "dbgsom.epoch"  # tag of a model of the map as it was then
_VERSIONS = "mlflow.modelVersions"  # tag in which the page of a model looks for what is registered
_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # of runs, models and aliases
_DAY_ONE = datetime(1970, 1, 1, tzinfo=UTC)

Signed = Any  # ModelSignature, "any" or "typed"


# ----------------------------------------------------------------------- the folder of a model


@dataclass(frozen=True)
class Facts:
    """What MLflow is told of a model.

    Attributes
    ----------
    needs : mapping of str to str
        Distributions and their versions.
    columns : Columns or None
        Those of the table that it was trained on.
    labels : array (m,), DataFrame (m, targets) or None
        What it answers to the example.
    """

    needs: Mapping[str, str]
    columns: Columns | None = None
    labels: Any = None

    @classmethod
    def of(cls, model: Any, example: Any = None) -> Facts:
        """Return those of a FittedModel or estimator, and a few raw samples (m, D)."""
        from dbgsom_core.persistence import answer_table, distributions  # imports all that answers

        labels = None
        if example is not None:
            answers = answer_table(model, example, ["label"])  # of several targets: their names
            labels = answers["label"] if "label" in answers else pd.DataFrame(answers)
        return cls(distributions(model), getattr(model, "columns", None), labels)


def write_model(
    target: Path,
    file: Path,
    facts: Facts,
    into: Model,
    names: Sequence[str] | None = None,
    example: Any = None,
    wheels: Sequence[str | PathLike[str]] = (),
    signed: Signed = "any",
) -> None:
    """Write the folder of an MLflow model.

    Parameters
    ----------
    target : Path
        The folder, which does not exist.
    file : Path
        Where the model was saved.
    facts : Facts
    into : mlflow.models.Model
        What is known of the model so far; flavours and signature are added.
    names : sequence of str, optional
        Of the features, where the model knows no columns.
    example : float array (m, D), optional
        A few raw samples.
    wheels : sequence of path
        Of distributions that no package index has: they are kept with the model.
    signed : ModelSignature, "any" or "typed"
        Its signature, or which types of columns it says; see `_signature`.

    Raises
    ------
    DbgsomError
        There is no such wheel, or it is of nothing that the model needs.
    """
    needs = {**facts.needs, "mlflow": mlflow.__version__}
    if facts.columns is not None:
        into.metadata = {**(into.metadata or {}), "columns": _units(facts.columns)}
    into.add_flavor(FLAVOR, model=f"artifacts/{FILE}", dbgsom_version=needs["dbgsom-core"])
    with TemporaryDirectory() as folder:  # MLflow writes down where the file was
        pyfunc.save_model(
            path=str(target),
            python_model=str(Path(__file__).with_name("script.py")),
            artifacts={"model": str(shutil.copyfile(file, Path(folder) / FILE))},
            mlflow_model=into,
            signature=_signature(facts, names, signed),
            input_example=None if example is None else _example(facts.columns, names, example),
            pip_requirements=_requirements(needs, [Path(wheel) for wheel in wheels]),
            code_paths=list(map(str, wheels)) or None,
        )


def _requirements(needs: Mapping[str, str], wheels: Sequence[Path]) -> list[str]:
    """Return requirements as pip reads them in the folder of the model."""
    lines = {re.sub(r"[-_.]+", "-", name).lower(): f"{name}=={needs[name]}" for name in needs}
    for wheel in wheels:
        if not wheel.is_file() or wheel.suffix != ".whl":
            raise DbgsomError(
                f"there is no wheel {wheel}: 'pip wheel --no-deps -w FOLDER SOURCE' makes one"
            )
        name, version = (*wheel.stem.split("-"), "")[:2]
        known = re.sub(r"[-_.]+", "-", name).lower()
        if known not in lines:
            raise DbgsomError(f"{wheel} is of nothing that the model needs: {', '.join(needs)}")
        if not lines[known].endswith(f"=={version}"):
            raise DbgsomError(f"{wheel} is of another version than the model's {lines[known]}")
        lines[known] = f"code/{wheel.name}"
    return list(lines.values())


def _signature(facts: Facts, names: Sequence[str] | None, signed: Signed) -> ModelSignature:
    """Return the signature of a model's ``predict``.

    MLflow refuses int64 in columns of ``double``, so columns are of the type ``any`` (all of them:
    MLflow 3.10 misplaces rows where types are mixed), and the model itself checks its cells.
    ``"typed"`` says ``double`` for numbers and ``string`` for categories and dates, which MLflow
    checks much faster. Samples without names have no input schema.
    """
    params = ParamSchema([ParamSpec("columns", DataType.string, ["label"], (-1,))])
    if isinstance(signed, ModelSignature):
        return ModelSignature(signed.inputs, signed.outputs, signed.params or params)
    columns, inputs, outputs = facts.columns, None, None
    known = names if columns is None else columns.names
    if known is not None:
        texts = () if columns is None else {*columns.categories, *columns.dates}
        typed = {name: DataType.string if name in texts else DataType.double for name in known}
        inputs = Schema(
            [ColSpec(typed[name] if signed == "typed" else AnyType(), str(name)) for name in known]
        )
    if facts.labels is not None and len(facts.labels):
        outputs = infer_signature(np.zeros((1, 1)), facts.labels).outputs
    return ModelSignature(inputs=inputs, outputs=outputs, params=params)


def _units(columns: Columns) -> dict[str, str]:
    """Return in words how each column is read."""
    units = {}
    for name in columns.names:
        unit = columns.unit(name)
        units[name] = f"number in {unit}" if unit else "number"
        if name in columns.categories:
            units[name] = "one of " + ", ".join(columns.categories[name][:50])
        elif name in columns.dates:
            units[name] = f"date, {columns.dates[name][0]}"
    return units


def _example(columns: Columns | None, names: Sequence[str] | None, rows: Any) -> Any:
    """Return samples as the model is to be asked: a table where it knows names."""
    X = np.asarray(rows)
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
            if columns.dates[name][1:] != ("ordinal",):
                return None  # the features do not hold its days
            days, form = part[:, 0].tolist(), columns.dates[name][0]
            table[name] = [None if math.isnan(day) else _date(day, form) for day in days]
        else:
            table[name] = part[:, 0].astype(np.float64)
    return pd.DataFrame(table)


def _date(day: float, form: str) -> str:
    moment = _DAY_ONE + timedelta(days=day)
    if form != "ISO8601":
        return moment.strftime(form)
    return (moment.replace(tzinfo=None) if day % 1 else moment.date()).isoformat()


# ----------------------------------------------------------------------------- models of a run


def send_models(
    store: Store,
    run_id: str,
    stored: StoredRun,
    measures: Sequence[Metric],
    inputs: Mapping[str, DatasetInput],
    register: str | None,
) -> str | None:
    """Store the final model of a run and those of epochs, each with its measures, once.

    Returns the id of the final one; None: the run has none.
    """
    from dbgsom_plugins.trackers.mlflow.upload import batches

    files = stored.files
    if not files.model.exists():
        return None
    known, kind = models_of(store, run_id), str(stored.config.get("model", {}).get("estimator"))
    name, lines = model_name(short_name(stored)), {line.epoch: line for line in stored.epochs()}
    found = {}
    kept: list[tuple[int | None, Path]] = [(None, files.model), *files.epoch_models().items()]
    for epoch, file in kept:
        mark = "" if epoch is None else str(epoch)
        found[mark] = known.get(mark) or keep_model(
            store,
            run_id,
            name if epoch is None else f"epoch {epoch} {name}",
            partial(_write, stored, file),
            step=kept_epoch(stored) if epoch is None else epoch,
            kind=kind,
            mark=mark,
        )
        points = measures if epoch is None else next(batches([lines[epoch]]), [])
        link_measures(store, run_id, found[mark], points, inputs)
    if register:
        register_model(store, register, run_id, found[""])
    return found[""]


def kept_epoch(stored: StoredRun) -> int:
    """Return the epoch whose map a run kept: the last one, unless a rule kept the best."""
    epoch = read_json(stored.files.model_facts).get("epoch")
    last = max((line.epoch for line in stored.epochs()), default=0)
    return epoch if isinstance(epoch, int) else last


def keep_model(
    store: Store,
    run_id: str,
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
    store : Store
    run_id : str
    name : str
        Of the model.
    write : callable
        Writes the folder of the model, given its path and what MLflow knows of the model.
    step : int
        The epoch whose map it is.
    kind : str
        The estimator.
    mark : str
        Of a model of the map as it was in an epoch: the epoch. What was begun is completed.
    """
    run = store.client.get_run(run_id)
    models = _logged(store.client, run)
    begun = [model for model in models if model.tags.get(_EPOCH, "") == mark]
    model = next(iter(begun), None) or store.write(
        "create_logged_model",
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={_EPOCH: mark} if mark else None,
        model_type=kind,
        params=run.data.params,
    )
    model_id = str(model.model_id)
    if model_id not in [output.model_id for output in run.outputs.model_outputs]:
        store.write("log_outputs", run_id, [LoggedModelOutput(model_id, step=step)])
    own = Model(
        artifact_path=model.artifact_location, model_uuid=model_id, run_id=run_id, model_id=model_id
    )
    with TemporaryDirectory() as folder:
        write(Path(folder) / "model", own)
        store.write("log_model_artifacts", model_id, str(Path(folder) / "model"))
    store.write("finalize_logged_model", model_id, LoggedModelStatus.READY)
    return model_id


def model_name(run: str) -> str:
    """Return what a run's model is called in MLflow, which refuses some characters."""
    return re.sub(r"[^\w\-,]+", " ", run.replace(".", "_")).strip()[:200] or _NAME


def models_of(store: Store, run_id: str) -> dict[str, str]:
    """Return the ids of a run's models that are whole, by the epoch that they are of, "": the last.

    One that was finished while its answer was lost may not be among the run's outputs.
    """
    run = store.client.get_run(run_id)
    outputs = [output.model_id for output in run.outputs.model_outputs]
    return {
        model.tags.get(_EPOCH, ""): str(model.model_id)
        for model in _logged(store.client, run)
        if model.status == LoggedModelStatus.READY and model.model_id in outputs
    }


def _logged(client: MlflowClient, run: Any) -> list[Any]:
    return list(
        client.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
        )
    )


def link_measures(
    store: Store,
    run_id: str,
    model_id: str,
    metrics: Sequence[Metric],
    inputs: Mapping[str, DatasetInput],
) -> None:
    """Show measures of a run on its model, each with the data that it is of, once."""
    known = {metric.key for metric in store.client.get_logged_model(model_id).metrics or []}
    linked = []
    for one in metrics:
        part = one.key.partition("/")[0].removesuffix("_std").replace("epoch", "train")
        data = inputs.get(part) or (inputs.get("fold") if part == "test" else None)
        if one.key not in known and math.isfinite(one.value):
            on = {} if data is None else {"dataset_name": data.dataset.name}
            on |= {} if data is None else {"dataset_digest": data.dataset.digest}
            point = (one.key, one.value, one.timestamp, one.step)
            linked.append(Metric(*point, model_id=model_id, run_id=run_id, **on))
    store.log(run_id, metrics=linked)


def register_model(store: Store, name: str, run_id: str, model_id: str) -> str:
    """Make the model a version of the registered model ``name``, once; return the version."""
    known = store.client.search_model_versions(f"name='{name}'")
    for version in known:
        if version.run_id == run_id:
            return str(version.version)
    if not known:
        with suppress(MlflowException):  # it exists; if not, the next call says what is wrong
            store.write("create_registered_model", name)
    model = store.client.get_logged_model(model_id)
    made = store.write(
        "create_model_version", name, model.artifact_location, run_id=run_id, model_id=model_id
    )
    versions = json.loads(model.tags.get(_VERSIONS, "[]"))
    versions.append({"name": name, "version": made.version})
    store.write("set_logged_model_tags", model_id, {_VERSIONS: json.dumps(versions)})
    return str(made.version)


def plugin_versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of each distribution that a run had working plugins of."""
    return {
        record["distribution"]: record["version"]
        for record in environment.get("plugins") or []
        if record["status"] == "ok" and record["distribution"] not in ("unknown", "unregistered")
    }


def _write(stored: StoredRun, file: Path, target: Path, own: Model) -> None:
    """Write the folder of a model of a run, with the versions and settings that the run had."""
    files, names, example = stored.files, stored.data.get("feature_names"), None
    if files.input_example.exists():
        example = np.load(files.input_example, allow_pickle=False)
    if example is None or not isinstance(names, list) or len(names) != example.shape[1]:
        names = None
    facts, versions = _facts(stored, example), stored.environment.get("versions") or {}
    then = {**plugin_versions(stored.environment), **versions}
    needs = {name: str(then.get(name, now)) for name, now in facts.needs.items()}
    tracking = [one for one in stored.config.get("tracking") or () if isinstance(one, Mapping)]
    settings = next((one for one in tracking if one.get("name") == "mlflow"), {})
    start = Path(stored.environment.get("directory") or "")
    wheels = [start / str(path) for path in settings.get("wheels") or ()]
    signed = settings.get("signature", "any")
    write_model(target, file, replace(facts, needs=needs), own, names, example, wheels, signed)


def _facts(stored: StoredRun, example: Any) -> Facts:
    """Return what is told of a run's model; it is loaded where its folder does not say."""
    files = stored.files
    known = read_json(files.model_facts)
    needs, columns = known.get("needs"), known.get("columns")
    if isinstance(needs, Mapping) and files.output_example.exists():
        labels = np.load(files.output_example, allow_pickle=False)
        with suppress(TypeError, AttributeError):
            if labels.ndim == 1:  # several targets have names
                return Facts(
                    needs, None if columns is None else Columns(**_tuples(columns)), labels
                )
    from dbgsom_core.persistence import load  # a second of imports

    return Facts.of(load(files.model), example)


def _tuples(value: Any) -> Any:
    """Return what a JSON file holds with tuples in place of lists."""
    if isinstance(value, Mapping):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


# --------------------------------------------------------------------------------- by address


def fetch_model(uri: str, address: str, folder: Path) -> Path:
    """Put the model file that an address means into ``folder``; nothing that is stored is run.

    Raises
    ------
    DataError
        The address means no model of ours.
    """
    client = client_of(absolute(uri))
    try:
        location = _location(client, address)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN:
            raise
        why = str(error).partition("\n")[0]
        raise DataError(f"{address} is no model in MLflow at {masked(uri)}: {why}") from error
    return download(location, address, folder, tracking_uri=absolute(uri))


def download(location: str, address: str, folder: Path, **options: Any) -> Path:
    """Put the model file among artefacts at a location into ``folder``, and return its path."""
    with TemporaryDirectory() as temporary:
        whole = mlflow.artifacts.download_artifacts(
            artifact_uri=location, dst_path=temporary, **options
        )
        found = sorted(Path(whole).rglob(FILE))
        if not found:
            raise DataError(f"{address} holds no {FILE}: it is no model of dbgsom")
        return Path(shutil.copyfile(found[0], folder / FILE))


def _location(client: MlflowClient, address: str) -> str:
    """Return where the files of a model lie."""
    kind, _, rest = address.partition(":/")
    rest = rest.strip("/")
    if kind == "runs":
        run_id, _, name = rest.partition("/")
        for model in _logged(client, client.get_run(run_id)):
            if name == model.name or (name in ("", _NAME) and _EPOCH not in model.tags):
                return str(model.artifact_location)
        raise DataError(f"{address}: this run has no model {f'{name!r} ' if name else ''}stored")
    if rest.startswith("m-") and "/" not in rest and "@" not in rest:
        return str(client.get_logged_model(rest).artifact_location)
    if "@" in rest:
        version = client.get_model_version_by_alias(*rest.rsplit("@", 1))
    elif "/" in rest:
        version = client.get_model_version(*rest.rsplit("/", 1))
    else:
        raise DataError(
            f"{address} names no version: write models:/{quote(rest)}/1 or "
            f"models:/{quote(rest)}@ALIAS"
        )
    return str(client.get_model_version_download_uri(version.name, version.version))
