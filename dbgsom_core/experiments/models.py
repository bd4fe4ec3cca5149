"""Models of runs: prepare steps, columns of tables and an estimator, saved in one file.

The file of a run's model is the map's file with the run's scalers and the columns of its tables,
whose classes are added to the allow-list here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from dbgsom_core.engine.moments import extremes
from dbgsom_core.engine.partitions import Partitions
from dbgsom_core.estimators import som  # noqa: F401 - files hold its classes
from dbgsom_core.estimators.archive import STORED_CLASSES, ArchiveError, stored_types
from dbgsom_core.estimators.display import explorer_page as explored_page
from dbgsom_core.estimators.display import unwrap
from dbgsom_core.estimators.explanations import Explanation, as_row, explain_sample
from dbgsom_core.estimators.fitted_map import Answers
from dbgsom_core.estimators.model_file import check_values, read_estimator, read_file, write_file
from dbgsom_core.experiments.measuring import columns_of_answers, select_columns
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.interfaces.stored_types import StoredType, shown
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, get_registry
from dbgsom_core.tables import Columns, is_unit
from dbgsom_core.training.parts import PARTS

OWN_STEPS: dict[str, type[Any]] = {}  # classes of configurations' owners, by ``module:Class``


@dataclass(frozen=True)
class OwnStep(StoredType):
    """A class of a configuration's owner, which files name and only their readers import."""

    cls: type[Any] = object

    def load(self) -> type[Any]:
        """Return the class."""
        return self.cls

    def means(self, cls: type[Any]) -> bool:
        """Return whether this is exactly the class ``cls``."""
        return cls is self.cls

    def problem(self, value: Any) -> str:
        """Return nothing: a row of ones shows whether it works."""
        return ""


def own_steps(classes: Iterable[type[Any]] | None = None) -> dict[str, StoredType]:
    """Return classes of owners for model files; default: those that this process has imported."""
    if classes is None:
        classes = OWN_STEPS.values()
    types: dict[str, StoredType] = {}
    for cls in classes:
        name = f"{cls.__module__}:{cls.__qualname__}"
        types[name] = OwnStep(name, None, cls=cls)
    return types


@dataclass(frozen=True)
class FittedModel:
    """The model of a run: prepare steps and estimator, from raw samples to predictions.

    Raw samples X are an array of features (n, D), or a data frame of pandas, polars, pyarrow or
    whatever exports Arrow. A model with ``columns`` finds them by name and ignores others, see
    `Columns.read`; of another one the first step, or the estimator, checks names as in
    scikit-learn.

    Attributes
    ----------
    steps : sequence of (name, fitted transformer)
    estimator : SomVQ, SomClassifier or SomRegressor
        Fitted on prepared samples.
    columns : Columns or None
        The columns of the raw samples' table, which experiments add to the map's file.
    """

    steps: Sequence[tuple[str, Any]]
    estimator: Any
    columns: Any = None

    def prepare(self, X: Any) -> Any:
        """Return prepared samples (n, D') of raw samples X (n, D), an array or a table in blocks.

        Raises
        ------
        DataError
            X is a table without some columns, or with unreadable or missing cells.
        """
        if self.columns is not None:
            takes_gaps = self.fills_gaps or "missing" in self.estimator._metric.calls.handles
            X = self.columns.read(X, takes_gaps)
        elif hasattr(X, "to_pandas"):  # of polars or pyarrow
            X = X.to_pandas()
        else:
            X = self._with_names(X)
        return prepared(self.steps, X)

    def _with_names(self, X: Any) -> Any:
        """Return an array (n, D) as a data frame, where the first step would miss its names."""
        names = self.feature_names
        if names is None or not isinstance(X, np.ndarray) or X.shape[1:] != (len(names),):
            return X
        import pandas as pd  # is slow to import

        return pd.DataFrame(X, columns=names)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predictions for raw samples X (n, D), shape (n,)."""
        return np.asarray(self.estimator.predict(self.prepare(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, C) for raw samples X (n, D)."""
        return np.asarray(self.estimator.predict_proba(self.prepare(X)))

    def predict_interval(self, X: Any, level: float = 0.9) -> NDArray[np.float64]:
        """Return intervals (n, 2) of raw samples X (n, D), see `SomRegressor.predict_interval`."""
        return np.asarray(self.estimator.predict_interval(self.prepare(X), level))

    def answers(self, X: Any) -> Answers:
        """Return label, unit, novelty and more of raw samples X (n, D), see `SomVQ.answers`."""
        return self.estimator.answers(self.prepare(X))  # type: ignore[no-any-return]

    def explain(self, x: Any, names: Sequence[str] | None = None) -> Explanation:
        """Return an explanation of the prediction for one raw sample (D,), see `SomVQ.explain`.

        ``names`` (D,) are feature names for a model without ``columns``. Values are raw ones where
        the steps can be inverted, otherwise prepared ones.
        """
        called = self.names_prepared(names)
        return explain_sample(self.estimator, self.prepare(as_row(x)), called, self.undone)

    @property
    def first(self) -> Any:
        """The first step, or the estimator without steps."""
        return self.steps[0][1] if self.steps else self.estimator

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the features of raw samples, or None where the model has none."""
        if self.columns is not None:
            return [*self.columns.feature_names]
        names = getattr(self.first, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]

    @property
    def own_steps(self) -> list[str]:
        """Names of the steps whose class is the configuration owner's: files do not hold it."""
        classes = OWN_STEPS.values()
        return [name for name, step in self.steps if type(step) in classes]

    @property
    def looks_back(self) -> bool:
        """Whether a step looks at the rows before a row, so that rows are given in order."""
        return looks_back(self.steps)

    @property
    def fills_gaps(self) -> bool:
        """Whether a step imputes missing values."""
        return any(type(step).__name__.endswith("Imputer") for _, step in self.steps)

    def names_prepared(self, names: Sequence[str] | None = None) -> list[str] | None:
        """Return the column names of prepared samples, or None where they are unknown.

        ``names`` are the raw feature names for a model without ``columns``.
        """
        if names is None or self.columns is not None:
            names = self.feature_names
        names = names_after(self.steps, names)
        if names is not None and len(names) != self.estimator.n_features_in_:
            return None
        return names

    def undo(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the raw samples of prepared samples X (n, D), where ``restored`` is not None."""
        for _, step in reversed(self.steps):
            X = step.inverse_transform(X)
        return np.asarray(X)

    @property
    def undone(self) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """`undo` where steps are inverted column by column and the metric prepares nothing."""
        if all(isinstance(step, OneToOneFeatureMixin) for _, step in self.steps):
            return self.restored
        return None

    @property
    def restored(self) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """`undo` where all steps can be inverted and the metric prepares nothing."""
        can_invert = all(hasattr(step, "inverse_transform") for _, step in self.steps)
        if can_invert and self.estimator._metric.calls.prepare is None:
            return self.undo
        return None

    def explore(
        self,
        X: Any,
        y: Any = None,
        names: Any = None,
        path: Any = None,
        *,
        feature_names: Any = None,
        **options: Any,
    ) -> Html:
        """Return the map with raw samples X (n, D) as an interactive page, see `SomVQ.explore`.

        Values are raw ones where the steps can be inverted, otherwise prepared ones.
        """
        if names is None:
            names = self.names_prepared() if feature_names is None else feature_names
        return explored_page(self, X, y, names, path, **options)

    def save(self, path: str | PathLike[str]) -> None:
        """Write columns, steps and map to one file, without pickle; `persistence.load` reads it."""
        save(self, path)


def explain(model: Any, x: Any, names: Sequence[str] | None = None) -> Explanation:
    """Return an explanation of a model's prediction for one raw sample.

    Parameters
    ----------
    model : SomVQ, SomClassifier, SomRegressor, Pipeline, or a run or its model
        Fitted; of a scikit-learn pipeline the last step is the map. Values are raw ones where the
        steps before it can be undone, as those of a StandardScaler.
    x : array-like (D,) or (1, D), or row of a data frame
    names : sequence of D str, optional
        Feature names; default: those of the data frame that the model was fitted to.
    """
    if isinstance(model, Pipeline):
        steps = [step for step in model.steps[:-1] if step[1] not in (None, "passthrough")]
        estimator, _ = unwrap(model.steps[-1][1])
        return FittedModel(steps, estimator).explain(x, names)
    estimator, with_steps = unwrap(model)
    explanation: Explanation = (with_steps or estimator).explain(x, names)
    return explanation


def prepared(steps: Iterable[tuple[str, Any]], X: Any) -> Any:
    """Apply fitted steps to samples X (n, D); `Partitions` are transformed where they are.

    X is not changed, also by steps that work in place (``copy=False``).
    """
    for _, step in steps:
        if isinstance(X, Partitions):
            X = X.map(step.transform)
        else:
            in_place = getattr(step, "copy", True) is False
            X = np.asarray(step.transform(np.array(X) if in_place else X))
    return X


def looks_back(steps: Iterable[tuple[str, Any]]) -> bool:
    """Return whether prepare steps look at the rows before a row."""
    return any(getattr(step, "looks_back", False) for _, step in steps)


def names_after(steps: Iterable[tuple[str, Any]], names: Iterable[str] | None) -> list[str] | None:
    """Return the column names after fitted steps, from ``names`` before; None: unknown."""
    known = None if names is None else list(map(str, names))
    for _, step in steps:
        if not isinstance(step, OneToOneFeatureMixin):
            try:
                known = list(map(str, step.get_feature_names_out(known)))
            except Exception:  # third-party classes may lack the method or raise anything
                return None
    return known


# ------------------------------------------------------------------------------------- files


def save(model: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator or `FittedModel` to ``path``, replacing an older file atomically.

    Raises
    ------
    PluginError
        A part's class is in no plugin, so that it could not be loaded.
    ModelFileError
        The folder does not exist, or the file could not be loaded again: the class of a prepare
        step or of the estimator is not on the allow-list (subclasses are not), or an attribute has
        a value that files may not hold.
    """
    fitted = model if isinstance(model, FittedModel) else FittedModel((), model)

    def write_steps(write: Callable[..., Any]) -> dict[str, Any]:
        steps = [[name, write(step, where=f"the step {name!r}")] for name, step in fitted.steps]
        return {"columns": write(fitted.columns, where="columns"), "steps": steps}

    write_file(path, fitted.estimator, write_steps, _read_model, own_steps())


def load(path: str | PathLike[str], steps: Iterable[type[Any]] = ()) -> Any:
    """Read a file of `save`: a `FittedModel`, or an estimator that was saved without steps.

    No code of the file is run, and only classes on the allow-list are built, and ``steps``: classes
    of your own that the configuration named (``prepare: mymodule:MyScaler``). The file's author
    still determines the model's predictions.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, from a newer version, or no model.
    PluginError
        A part's plugin is not installed; the message says what the file claims about it.
    """
    return read_file(path, _read_model, own_steps(steps))


def step_names(path: str | PathLike[str]) -> list[str]:
    """Return the names of the classes of prepare steps in a file; nothing is imported."""

    def read_names(header: Mapping[str, Any], read: Callable[..., Any]) -> list[str]:
        return [str(plain["$object"]) for _, plain in header["steps"]]

    names: list[str] = read_file(path, read_names)
    return names


def _read_model(header: Mapping[str, Any], read: Callable[..., Any]) -> Any:
    """Return the model of a file: an estimator, or a `FittedModel` whose steps were tried."""
    columns = read(header["columns"], where="columns")
    check_values("columns", {"class": columns}, {"class": "Columns | none"}, {})
    steps, listed, is_trusted = [], stored_types(), False
    for name, plain in header["steps"]:
        steps.append((str(name), read(plain, where=f"the step {name!r}")))
        if "$object" in (plain or ()) and plain["$object"] not in listed:
            is_trusted = True  # by whoever gave its class, which may refuse a row of ones
    estimator = read_estimator(header, read)
    if columns is None and not steps:
        return estimator
    model = FittedModel(tuple(steps), estimator, columns)
    if not is_trusted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _try_steps(model)
    return model


def _try_steps(model: FittedModel) -> None:
    """Let a row of ones pass the steps, up to the columns that the map has been fitted on.

    It begins at the first step that says how many columns it takes; those of plugins need not.
    """
    row: NDArray[Any] | None = None
    if model.columns is not None:
        row = np.ones((1, len(model.columns.feature_names)))
    for name, step in model.steps:
        try:
            check_is_fitted(step)
            if row is None and hasattr(step, "n_features_in_"):
                row = np.ones((1, step.n_features_in_))
            if hasattr(step, "categories_"):  # it may refuse a 1
                row = np.array([[categories[0] for categories in step.categories_]])
            if row is not None:
                row = np.asarray(step.transform(row), dtype=np.float64)
        except Exception as error:
            message = f"holds the step {name!r}, which cannot be used: {error}"
            raise ArchiveError(message) from error
    if row is not None and row.shape != (1, model.estimator.n_features_in_):
        raise ArchiveError(f"holds a map of other columns than it gets: {shown(row)}")


_COLUMNS = TypeAdapter(Columns)


def _are_columns(columns: Columns) -> bool:
    """Return whether columns of a file are such as a table makes."""
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
STORED_CLASSES["range_scale"] = StoredType("dbgsom_core.experiments.models:RangeScaler", None)
for _name in ("Lags", "Rolling", "Cyclic"):
    _where = f"dbgsom_core.experiments.series:{_name}"
    STORED_CLASSES[_name.lower()] = StoredType(_where, None, fits=lambda step: bool(step.fits()))
STORED_CLASSES["standardize_joint"] = StoredType("dbgsom_core.experiments.models:JointScaler", None)


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
    needed = {OWN_DISTRIBUTION: __version__}
    for library in ("numpy", "numba", "scipy", "scikit-learn"):
        needed[library] = version(library)
    if model.columns:
        needed["pandas"] = version("pandas")
    registry, built = get_registry(), model.estimator._parts
    parts = [(kind, getattr(built, kind)) for kind in PARTS]
    for kind, part in parts:
        for field, inner in nested_fields(type(part)).items():
            parts.append((inner, getattr(part, field)))
        offered = registry.identify(kind, part)
        if offered.distribution != OWN_DISTRIBUTION:
            needed[offered.distribution] = offered.version
    versions = {record.distribution: record.version for record in registry.records}
    for name, stored in registry.stored_types.items():
        if any(stored.means(type(step)) for _, step in model.steps):
            distribution = name.partition(":")[0]
            needed[distribution] = versions[distribution]
    return needed


def answer_table(model: Any, X: Any, columns: Sequence[str] = ()) -> dict[str, Any]:
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


# ---------------------------------------------------------------------------------------- scalers


_DTYPES = [np.float64, np.float32]


class RangeScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale each column to 0..1 by (x - min)/(max - min), rounded as this formula.

    A constant column becomes 0, with one warning for all of them; a missing value stays missing.

    Attributes
    ----------
    minimum_, range_ : float arrays (D,)
        Column minima and ranges of the training data.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the column limits of X (n, D)."""
        X = self._validated(X, reset=True)
        self.minimum_, maximum = extremes(X)
        self.range_ = maximum - self.minimum_
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return X (n, D) scaled; values outside the training range are outside 0..1."""
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        scaled = X - self.minimum_
        varies = self.range_ > 0
        scaled = np.divide(scaled, self.range_, out=np.zeros_like(scaled), where=varies)
        return np.asarray(scaled)

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Return scaled X (n, D) in the units of the data; constant columns at their value."""
        return np.asarray(X * self.range_ + self.minimum_)

    def _validated(self, X: Any, *, reset: bool) -> NDArray[Any]:
        X = validate_data(self, X, reset=reset, dtype=_DTYPES, ensure_all_finite="allow-nan")
        return np.asarray(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class JointScaler(StandardScaler):
    """Standardize columns, those of a category together; columns of 0 and 1 keep their scale.

    The one-hot columns of a category are divided by the root of the sum of their variances, so that
    a category has variance 1 in sum, as any other column has. Other columns that hold nothing but 0
    and 1 are centred and not scaled: a rare 1 does not count for more.

    Parameters
    ----------
    categories : sequence of sequences of int
        The columns of each category.
    """

    def __init__(
        self,
        *,
        categories: Sequence[Sequence[int]] = (),
        copy: bool = True,
        with_mean: bool = True,
        with_std: bool = True,
    ) -> None:
        super().__init__(copy=copy, with_mean=with_mean, with_std=with_std)
        self.categories = categories

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn means and scales from more rows of X (n, D); `fit` is one such step."""
        goes_on = hasattr(self, "n_samples_seen_")
        super().partial_fit(X, y, sample_weight)
        X = np.asarray(X)
        is_binary = ((X == 0) | (X == 1) | np.isnan(X)).all(axis=0)
        if goes_on:
            is_binary &= self.is_binary_
        self.is_binary_: NDArray[np.bool_] = is_binary
        if self.with_std:
            self.scale_[self.is_binary_] = 1.0
            for columns in map(list, self.categories):
                total = float(self.var_[columns].sum())
                self.scale_[columns] = math.sqrt(total) if total > 0 else 1.0
        return self
