"""A saved map as the folder of an MLflow model: signature, example, requirements, no pickle.

Importing this module imports MLflow; callers do it inside `mlflow_quiet.quiet`.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import mlflow
import numpy as np
import pandas as pd
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType
from mlflow.utils import environment

from dbgsom_core.api import Columns, DbgsomError
from dbgsom_plugins.trackers.mlflow_quiet import quiet

FLAVOR = "dbgsom"
FILE = "model.npz"
_SCRIPT = Path(__file__).with_name("mlflow_script.py")
_CHECK = "warn_dependency_requirement_mismatches"  # of MLflow, where this release has it
_one_at_a_time = threading.Lock()
_DAY_ONE = datetime(1970, 1, 1, tzinfo=UTC)


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
            told = answer_table(model, example, ["label"])
            labels = told["label"] if "label" in told else pd.DataFrame(told)  # of several targets
        return cls(distributions(model), getattr(model, "columns", None), labels)


def write_model(
    target: Path,
    file: Path,
    facts: Facts,
    into: Model,
    names: Sequence[str] | None = None,
    example: Any = None,
    wheels: Sequence[str | PathLike[str]] = (),
    signed: ModelSignature | Literal["any", "typed"] = "any",
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
        Its signature, or which types of columns it says; see `signature`.

    Raises
    ------
    DbgsomError
        There is no such wheel, or it is of nothing that the model needs.
    """
    wanted = {**facts.needs, "mlflow": mlflow.__version__}
    lines = _lines(wanted, [Path(one) for one in wheels])
    columns = facts.columns
    if columns is not None:
        into.metadata = {**(into.metadata or {}), "columns": _readings(columns)}
    into.add_flavor(FLAVOR, model=f"artifacts/{FILE}", dbgsom_version=wanted["dbgsom-core"])
    shown = None if example is None else _example(columns, names, np.asarray(example))
    with TemporaryDirectory() as folder:
        # MLflow writes down where it was, which nobody need know.
        own = shutil.copyfile(file, Path(folder) / FILE)
        with quiet(), _requirements_as_told():  # of each fit that autolog logs, too
            pyfunc.save_model(
                path=str(target),
                python_model=str(_SCRIPT),
                artifacts={"model": str(own)},
                mlflow_model=into,
                signature=signature(facts, names, signed),
                input_example=shown,
                pip_requirements=lines,
                code_paths=list(map(str, wheels)) or None,
            )


@contextmanager
def _requirements_as_told() -> Iterator[None]:
    """Let MLflow not compare requirements, which are of what is installed, with all that is.

    It would read the files of every distribution, to warn of what cannot be.
    """
    with _one_at_a_time:
        check = getattr(environment, _CHECK, None)
        if check is not None:
            setattr(environment, _CHECK, lambda requirements: None)
        try:
            yield
        finally:
            if check is not None:
                setattr(environment, _CHECK, check)


def _lines(wanted: Mapping[str, str], wheels: Sequence[Path]) -> list[str]:
    """Return requirements as pip reads them in the folder of the model."""
    lines = {name: f"{name}=={release}" for name, release in wanted.items()}
    known = {_normal(name): name for name in lines}
    for wheel in wheels:
        if not wheel.is_file() or wheel.suffix != ".whl":
            raise DbgsomError(
                f"there is no wheel {wheel}: 'pip wheel --no-deps -w FOLDER SOURCE' makes one"
            )
        name, release = (*wheel.stem.split("-"), "")[:2]
        if _normal(name) not in known:
            raise DbgsomError(f"{wheel} is of nothing that the model needs: {', '.join(lines)}")
        own = known[_normal(name)]
        if release != wanted[own]:
            raise DbgsomError(f"{wheel} is of another version than the model's {lines[own]}")
        lines[own] = f"code/{wheel.name}"
    return list(lines.values())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def signature(
    facts: Facts,
    names: Sequence[str] | None,
    signed: ModelSignature | Literal["any", "typed"] = "any",
) -> ModelSignature:
    """Return the signature of a model's ``predict``.

    MLflow refuses int64 in columns of ``double``, so columns are of the type ``any`` (all of them:
    MLflow 3.10 misplaces rows where types are mixed), and the model itself checks its cells.
    ``"typed"`` says ``double`` for numbers and ``string`` for categories and dates, which MLflow
    checks much faster. Samples without names have no input schema.
    """
    chosen = ParamSpec("columns", DataType.string, ["label"], (-1,))
    params = ParamSchema([chosen])
    if isinstance(signed, ModelSignature):
        return ModelSignature(signed.inputs, signed.outputs, signed.params or params)
    columns = facts.columns
    known = names if columns is None else columns.names
    inputs = None
    if known is not None:
        texts = () if columns is None else {*columns.categories, *columns.dates}
        types = {name: DataType.string if name in texts else DataType.double for name in known}
        inputs = Schema(
            [ColSpec(types[one] if signed == "typed" else AnyType(), str(one)) for one in known]
        )
    outputs = None
    if facts.labels is not None and len(facts.labels):
        outputs = infer_signature(np.zeros((1, 1)), facts.labels).outputs
    return ModelSignature(inputs=inputs, outputs=outputs, params=params)


def _readings(columns: Any) -> dict[str, str]:
    """Return in words how each column is read."""
    told = {}
    for name in columns.names:
        if name in columns.categories:
            told[name] = "one of " + ", ".join(columns.categories[name][:50])
        elif name in columns.dates:
            told[name] = f"date, {columns.dates[name][0]}"
        else:
            told[name] = f"number in {unit}" if (unit := columns.unit(name)) else "number"
    return told


def _example(columns: Any, names: Sequence[str] | None, X: Any) -> Any:
    """Return samples as the model is to be asked: a table where it knows names."""
    if columns is None:
        return X if names is None else pd.DataFrame(X, columns=list(map(str, names)))
    table, at = {}, 0
    for name in columns.names:
        width = len(columns.features_of(name))
        part, at = X[:, at : at + width], at + width
        if name in columns.categories:
            values = columns.categories[name]
            table[name] = [values[int(row.argmax())] if row.max() == 1 else None for row in part]
        elif name in columns.dates:
            form, *parts = columns.dates[name]
            if parts != ["ordinal"]:
                return None  # its days cannot be told from what the features hold
            table[name] = [_written(day, form) for day in part[:, 0].tolist()]
        else:
            table[name] = part[:, 0].astype(np.float64)
    return pd.DataFrame(table)


def _written(day: float, form: str) -> str | None:
    if np.isnan(day):
        return None
    moment = _DAY_ONE + timedelta(days=day)
    if form != "ISO8601":
        return moment.strftime(form)
    return (moment.replace(tzinfo=None) if day % 1 else moment.date()).isoformat()
