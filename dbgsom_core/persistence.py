"""Save, load and use fitted models: one file, without pickle; nothing in it is run.

The file of a run's model is the map's file with the run's scalers and the columns of its tables,
whose classes are added to the allow-list here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from dbgsom_core.estimators import som  # noqa: F401 - files hold its classes
from dbgsom_core.estimators.archive import STORED_CLASSES
from dbgsom_core.estimators.model_file import FORMAT, FittedModel, load, save
from dbgsom_core.experiments.answer_columns import Table, columns_of_answers, select_columns
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, get_registry
from dbgsom_core.tables import Columns, is_unit
from dbgsom_core.training.parts import PARTS

__all__ = ["FORMAT", "FittedModel", "answer_table", "distributions", "load", "save"]


_COLUMNS = TypeAdapter(Columns)


def _are_columns(columns: Columns) -> bool:
    # Pydantic looks at the fields of a new object only, and makes tuples of lists.
    if _COLUMNS.validate_python(vars(columns)) != columns:
        return False
    names = set(columns.names)
    unique = 0 < len(names) == len(columns.names)
    known = {*columns.categories, *columns.dates} <= names
    units = (columns.units or {}).values()
    written = columns.decimal in ".," and columns.dtype in ("float64", "float32")
    return unique and known and written and all(map(is_unit, units))


_FIELDS = " ".join(field.name for field in fields(Columns))
STORED_CLASSES["columns"] = StoredType(
    "dbgsom_core.tables.columns:Columns", {_FIELDS: "plain"}, fits=_are_columns
)
STORED_CLASSES["range_scale"] = StoredType("dbgsom_core.experiments.scalers:RangeScaler", None)
STORED_CLASSES["standardize_joint"] = StoredType(
    "dbgsom_core.experiments.scalers:JointScaler", None
)


def distributions(model: Any) -> dict[str, str]:
    """Return the name and version of each distribution that a fitted model needs.

    dbgsom-core, the libraries that its answers come from, and the packages of the plugins and
    prepare steps that the model is made of: other installed plugins are not among them.

    Parameters
    ----------
    model : FittedModel, SomVQ, SomClassifier or SomRegressor

    Raises
    ------
    PluginError
        A part's class is offered by no plugin.
    """
    if not isinstance(model, FittedModel):
        model = FittedModel((), model)
    libraries = ["numpy", "numba", "scipy", "scikit-learn"] + ["pandas"] * bool(model.columns)
    needed = {OWN_DISTRIBUTION: __version__} | {name: version(name) for name in libraries}
    registry, built = get_registry(), model.estimator._parts
    parts = [(kind, getattr(built, kind)) for kind in PARTS]
    for kind, part in parts:
        parts += [
            (inner, getattr(part, field)) for field, inner in nested_fields(type(part)).items()
        ]
        offered = registry.identify(kind, part)
        if offered.distribution != OWN_DISTRIBUTION:
            needed[offered.distribution] = offered.version
    versions = {record.distribution: record.version for record in registry.records}
    for name, stored in registry.stored_types.items():
        if any(stored.means(type(step)) for _, step in model.steps):
            distribution = name.partition(":")[0]
            needed[distribution] = versions[distribution]
    return needed


def answer_table(model: Any, X: Any, columns: Sequence[str] = ()) -> Table:
    """Return the answers of a fitted model to raw samples, column by column.

    Parameters
    ----------
    model : FittedModel, SomVQ, SomClassifier or SomRegressor
    X : array-like, sparse matrix or DataFrame (n, …)
        Numbers of any type; a table where the model knows the columns of one. Where it was fitted
        with names of features, those of a data frame are checked, and else taken in their order.
    columns : sequence of str
        Which of ``label``, ``unit``, ``x``, ``y``, ``path`` (of child maps), ``distance``,
        ``novelty``, ``pvalue``, ``outlier`` and ``probabilities``, in this order; all that the
        model has without it. ``probabilities`` becomes a column ``probability_CLASS`` each.

    Returns
    -------
    dict of str to array (n,)

    Raises
    ------
    DataError
        There is no such column, the model has it not, or the samples cannot be used.
    """
    known = model if isinstance(model, FittedModel) else FittedModel((), model)
    names = select_columns(known, columns)
    if known.feature_names is None and hasattr(X, "columns"):  # MLflow names what has no names
        X = np.asarray(X)
    return columns_of_answers(known, known.answers(X), names)
