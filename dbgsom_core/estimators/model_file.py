"""Model files: content, writing and reading, and models with prepare steps.

A model file is a zip of .npy arrays and a JSON header, without pickle. The header has the format's
number, the estimator's class and parameters, and for each component its name, distribution,
version and fields. Reading imports installed plugins and listed transformers, and nothing else.

`FITTED` and `MAP_ARRAYS` list all attributes that are stored. A new array needs a field of
`training.fit.FittedState`, a line in `FITTED`, and a new number of the format.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.base import OneToOneFeatureMixin

from dbgsom_core.engine.partitions import Partitions
from dbgsom_core.engine.runtime import one_blas_thread
from dbgsom_core.engine.samples import Samples
from dbgsom_core.errors import (
    DataError,
    DbgsomError,
    ModelFileError,
    PluginError,
    UnknownNameError,
    did_you_mean,
)
from dbgsom_core.estimators.answers import Answers
from dbgsom_core.estimators.archive import (
    ArchiveError,
    NotPlainError,
    Take,
    Types,
    from_plain,
    open_archive,
    printable_line,
    raise_archive_errors,
    stored_types,
    to_plain,
    write_archive,
)
from dbgsom_core.estimators.components import FunctionMetric, component_spec
from dbgsom_core.estimators.display import explorer_page as explored_page
from dbgsom_core.estimators.explanations import Explanation, as_row, explain_sample
from dbgsom_core.estimators.samples import names_after, prepared
from dbgsom_core.interfaces.component import Component, nested_fields, parse
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.stored_types import mismatch, shown
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.plugins.validation_messages import format_errors
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.tables import Columns
from dbgsom_core.tables.frames import arrow_table, is_pandas
from dbgsom_core.training.fit import FittedState
from dbgsom_core.training.groups import Density, MicroClusters
from dbgsom_core.training.labelling import FittedLabeller
from dbgsom_core.training.parts import KIND_OF, PARTS, TRAINING_PARTS, restore_metric
from dbgsom_core.training.state import parse_record

Model = TypeVar("Model")

FORMAT = 3

# Fitted attributes: their path in `FittedState` ("": the estimator sets them), and their type in
# files (see `StoredType`), with K neurons, L leaves, D columns of prototypes and F of samples, C
# classes, Q numbers of a labeller. Those with a ``?`` are optional.
FITTED: Mapping[str, tuple[str, str]] = {
    "weights_": ("weights", "finite[K, D]"),
    "labels_?": ("", "any[*] | finite[*, Q]"),
    "neuron_labels_": ("labelled.neurons.labels", "any[K] | finite[K, Q]"),
    "hit_counts_": ("labelled.neurons.hits", "finite[K]"),
    "errors_": ("errors", "number[K]"),
    "n_iter_": ("", "integer"),
    "converged_": ("training.converged", "flag"),
    "stopped_by_": ("training.stopped", "text"),
    "kept_epoch_": ("training.kept", "integer"),
    "growing_threshold_": ("training.threshold", "number"),
    "spreading_factor_": ("", "number | none"),
    "quantization_error_": ("quantization_error", "number"),
    "topographic_error_": ("topographic_error", "number"),
    "n_features_in_": ("", "size[F]"),
    "feature_names_in_?": ("", "text[F]"),
    "classes_?": ("", "any[C]"),
    "_probabilities": ("labelled.neurons.probabilities", "number[K, C] | none"),
    "_memory": ("labelled.clusters", "summaries"),
    "_novelty": ("calibration", "calibration"),
    "_deviations": ("deviations", "number[D]"),
    "_residuals?": ("", "number[E]"),
    "leaf_labels_": ("labelled.leaves.labels", "any[L] | finite[L, Q]"),
    "leaf_hit_counts_": ("labelled.leaves.hits", "finite[L]"),
    "_leaf_probabilities": ("labelled.leaves.probabilities", "number[L, C] | none"),
}
MAP_ARRAYS = {
    "positions": "int[K, 2]",
    "prototypes": "finite[K, D]",
    "parents": "int[K]",
    "birth_epochs": "int[K]",
}
# Parameters of the estimator that set fields of the growth strategy.
_FILLING = ("spreading_factor", "max_neurons")
_NOT_STORED = (*PARTS, "callbacks", "checkpoint")
_MOST_NEURONS = 1 << 16  # hops are uint16
_WIDEST = 1 << 15  # columns plus rows, the hops between disconnected parts of a map
_MOST_COLUMNS = 1 << 22
_ESTIMATORS: dict[str, type[Any]] = {}  # by their names in files


def storable(cls: type[Model]) -> type[Model]:
    """Register the decorated estimator class for model files, under its name."""
    _ESTIMATORS[cls.__name__] = cls
    return cls


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
    if not isinstance(model, FittedModel):
        model = FittedModel((), model)
    arrays: dict[str, NDArray[Any]] = {}
    types = stored_types()
    try:
        header = {
            "format": FORMAT,
            "version": __version__,
            "columns": to_plain(model.columns, arrays, "columns", types),
            "steps": [[name, to_plain(step, arrays, name, types)] for name, step in model.steps],
            "estimator": _write_estimator(model.estimator, arrays, types),
        }
        header = json.loads(json.dumps(header))
    except (NotPlainError, RecursionError) as error:
        raise ModelFileError(f"the model cannot be saved without pickle: {error}") from error
    try:
        with raise_archive_errors():
            _read(header, dict(arrays).pop)
    except ArchiveError as error:
        raise ModelFileError(
            f"the model cannot be saved, as it could not be loaded: it {printable_line(error)}"
        ) from error
    target = Path(path)
    if not target.parent.is_dir():
        raise ModelFileError(f"there is no folder {target.parent} to save {target.name} in")
    write_archive(target, header, arrays)


def load(path: str | PathLike[str]) -> Any:
    """Read a file of `save`: a `FittedModel`, or an estimator that was saved without steps.

    No code of the file is run, and only classes on the allow-list are built. The file's author
    still determines the model's predictions.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, from a newer version, or no model.
    PluginError
        A part's plugin is not installed; the message says what the file claims about it.
    """
    try:
        with open_archive(Path(path)) as archive:
            return _read(archive.header, archive.take)
    except ArchiveError as error:
        raise ModelFileError(f"{path} {printable_line(error)}") from error
    except UnknownNameError as error:
        raise PluginError(f"{path} cannot be loaded here: {error!s:.1000}") from error
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error


def load_estimator(path: str | PathLike[str], cls: type[Any]) -> Any:
    """Read an estimator of class ``cls``; raises as `load`, and when the file holds another."""
    loaded = load(path)
    if isinstance(loaded, FittedModel) and not loaded.steps:
        loaded = loaded.estimator
    if not isinstance(loaded, cls):
        raise ModelFileError(
            f"{path} holds a {type(loaded).__name__}, not a {cls.__name__}; "
            "dbgsom_core.persistence.load reads either"
        )
    return loaded


def _read(header: Mapping[str, Any], take: Take) -> Any:
    if header["format"] != FORMAT:
        raise ArchiveError(
            f"is of format {shown(header['format'])}, by dbgsom-core "
            f"{str(header.get('version'))[:40]}, and {__version__} reads format {FORMAT}: upgrade "
            "dbgsom-core, or fit and save the model again"
        )
    types = stored_types()
    columns = from_plain(header.get("columns"), take, types, "columns")
    if problem := mismatch(columns, "columns | none", {}, types):
        raise ArchiveError(f"names columns that cannot be: columns{problem}")
    steps = []
    row = None if columns is None else np.ones((1, len(columns.feature_names)))
    for name, plain in header["steps"]:
        step = from_plain(plain, take, types, _checked_name(name))
        row = _transformed(row, name, step)
        steps.append((name, step))
    estimator = _read_estimator(header["estimator"], take, types)
    takes = estimator.n_features_in_
    if row is not None and row.shape[1] != takes:
        raise ArchiveError(f"holds a map of {takes} columns and steps that make {row.shape[1]}")
    return FittedModel(tuple(steps), estimator, columns) if steps or columns else estimator


def _transformed(row: NDArray[Any] | None, name: str, step: Any) -> NDArray[Any] | None:
    """Return a trial row after a prepare step; None where its width is unknown."""
    width = getattr(step, "n_features_in_", 0) if row is None else row.shape[1]
    if width > _MOST_COLUMNS:
        raise ArchiveError(f"claims to be of samples of {width} columns")
    ours = type(step).__module__.startswith(("sklearn.", "dbgsom_core."))
    if not hasattr(step, "transform") or (ours and not width):
        raise ArchiveError(f"has a prepare step '{name}' that is no fitted transformer")
    if not width:
        return None
    row = np.ones((1, width))
    if hasattr(step, "categories_"):
        row = np.array([[categories[0] for categories in step.categories_]])
    elif type(step).__name__.endswith("Imputer"):
        row = np.full((1, width), step.missing_values, dtype=np.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = np.asarray(prepared([(name, step)], row), dtype=np.float64)
        if row.ndim != 2 or len(row) != 1:
            raise ValueError(f"it turns a sample into {shown(row)}")
        return row
    except Exception as error:
        raise ArchiveError(f"has a prepare step '{name}' that cannot be used: {error}") from error


def _checked_name(text: Any) -> str:
    """Return a name of the file that is safe to print."""
    if not (isinstance(text, str) and len(text) <= 200 and text.isprintable()):
        raise ArchiveError(f"names something by {shown(text)}, which is no name")
    return text


# ------------------------------------------------------------------------- estimators: writing


def take_state(estimator: Any, state: FittedState) -> None:
    """Set an estimator's attributes from the result of a fit."""
    for name, (place, _) in FITTED.items():
        if place:
            setattr(estimator, name.removesuffix("?"), attrgetter(place)(state))
    estimator._density, estimator._answering = state.density, state.labelled.labeller
    _take_map(estimator, state.training.som_map, state.tree, state.training.history)


def _take_map(
    estimator: Any, som_map: SomMap, tree: Tree, history: tuple[EpochRecord, ...]
) -> None:
    estimator.som_map_, estimator._tree, estimator.history_ = som_map, tree, history
    estimator.n_iter_, estimator._n_features_out = len(history), len(tree)
    estimator.neurons_ = [(x, y) for x, y in som_map.positions.tolist()]
    kept = history[: estimator.kept_epoch_]
    estimator.growth_events_ = [event for record in kept for event in record.births]


def _write_estimator(
    estimator: Any, arrays: dict[str, NDArray[Any]], types: Types
) -> dict[str, Any]:
    cls = type(estimator)
    if _ESTIMATORS.get(cls.__name__) is not cls:
        raise ModelFileError(
            f"a {cls.__module__}.{cls.__qualname__} cannot be saved: files hold only "
            f"{', '.join(sorted(_ESTIMATORS))}, and no subclasses"
        )
    params = {
        name: to_plain(_plain_param(name, value), arrays, name)
        for name, value in estimator.get_params(deep=False).items()
        if name not in _NOT_STORED
    }
    parts = {kind: _write_part(kind, getattr(estimator._parts, kind)) for kind in PARTS}
    for name in _FILLING:
        if getattr(estimator, name) is not None:  # it fills these fields again on loading
            fields = parts["growth"]["params"]
            fields.pop(name, None)
            fields.get("base", {}).pop(name, None)
    fitted = {
        name: to_plain(getattr(estimator, name), arrays, name, types)
        for name in (entry.removesuffix("?") for entry in FITTED)
        if name in vars(estimator)  # not labels_ of samples read in blocks, which are computed
    }
    labeller = estimator._answering
    return {
        "class": cls.__name__,
        "params": params,
        "metric_state": to_plain(estimator._metric.state, arrays, "metric"),
        "labeller_state": to_plain(labeller and labeller.state, arrays, "labeller"),
        "parts": parts,
        "fitted": fitted,
        "map": _write_map(estimator.som_map_, arrays),
        "history": [asdict(record) for record in estimator.history_],
    }


def _plain_param(name: str, value: Any) -> Any:
    if name == "random_state":
        return int(value) if isinstance(value, (int, np.integer)) else None
    if name == "class_weight" and isinstance(value, Mapping):
        return [[*pair] for pair in value.items()]  # keys of JSON are text
    if name == "stopping" and isinstance(value, (list, tuple)):
        return [_plain_param(name, rule) for rule in value]
    is_built = name in TRAINING_PARTS and isinstance(value, (str, Mapping, Component))
    return component_spec(KIND_OF[name], value) if is_built else value


def _write_part(kind: str, part: Component) -> dict[str, Any]:
    if isinstance(part, FunctionMetric):
        raise PluginError(
            f"metric={part!r} cannot be saved: files hold no functions; write it as a plugin "
            "('dbgsom plugins new NAME'), which is also faster, and give its name as the metric"
        )
    identity = get_registry().identify(kind, part)
    for field, inner_kind in nested_fields(type(part)).items():  # raises when it has no name
        get_registry().identify(inner_kind, getattr(part, field))
    fields = part.model_dump(mode="json", exclude_unset=True, exclude=set(part.of_this_machine))
    return {
        "name": identity.name,
        "distribution": identity.distribution,
        "version": identity.version,
        "params": fields,
    }


def _write_map(som_map: SomMap, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    children = [[row, _write_map(som_map.children[row], arrays)] for row in som_map.children]
    return {
        **{name: to_plain(getattr(som_map, name), arrays, name) for name in MAP_ARRAYS},
        **som_map.grid.plain(),
        "apart": som_map.is_apart,
        "children": sorted(children, key=lambda child: child[0]),
    }


# ------------------------------------------------------------------------- estimators: reading


def _read_estimator(stored: Mapping[str, Any], take: Take, types: Types) -> Any:
    """Return a fitted estimator that passed a trial prediction.

    Shapes are checked first, as compiled loops do not check bounds; other inconsistencies show in
    the trial prediction.
    """
    cls = _ESTIMATORS.get(stored["class"])
    if cls is None:
        raise ArchiveError(
            f"holds an unknown estimator: {shown(stored['class'])}; "
            "dbgsom_core.persistence.load reads all of this version"
        )
    som_map = _read_map(stored["map"], take)
    tree = Tree.of(som_map)
    sizes = {"K": len(som_map), "L": len(tree), "D": som_map.prototypes.shape[1]}
    fitted = {name: from_plain(it, take, types, name) for name, it in stored["fitted"].items()}
    estimator = cls(**_read_params(stored, take))
    for entry, (_, holds) in FITTED.items():
        name = entry.removesuffix("?")
        if name in fitted or name == entry:
            if problem := mismatch(fitted[name], holds, sizes, types):
                raise ArchiveError(f"holds arrays that do not fit each other: {name}{problem}")
            setattr(estimator, name, fitted[name])
    hits = estimator.leaf_hit_counts_
    if (hits < 0).any() or not all(map(len, tree.live(hits))):
        raise ArchiveError("holds a map without a neuron that has samples")
    estimator.sizes_tried_ = ()
    _take_map(estimator, som_map, tree, tuple(map(parse_record, stored["history"])))
    estimator._parts = estimator.check_parts(())
    estimator._metric = restore_metric(estimator._parts.metric, _read_state(stored, "metric", take))
    calls, features, columns = estimator._metric.calls, sizes["F"], sizes["D"]
    _check_clusters(estimator._memory, tree.weights)
    estimator._density = Density.from_clusters(estimator._memory, tree.weights, calls)
    estimator._answering, shape = None, estimator.leaf_labels_.shape[1:]
    state = _read_state(stored, "labeller", take)
    if state is not None:  # otherwise the labeller labels neurons only
        estimator._answering = _fitted_labeller(estimator, state)
        shape = (sizes["C"],) if "C" in sizes else shape
    if features > _MOST_COLUMNS:
        raise ArchiveError(f"claims to be of samples of {features} columns")
    row: NDArray[np.float64] = np.arange(1.0, features + 1.0)[None]
    with one_blas_thread(), np.errstate(all="ignore"):
        if calls.prepare is not None:
            row = np.array(calls.prepare(row), dtype=np.float64)
        if row.shape != (1, columns):
            raise ArchiveError(f"holds prototypes of {columns} columns for samples of {features}")
        answers = (estimator._answering or estimator._predictor.labels)(Samples(row, calls))
    if answers.shape != (1, *shape):
        raise ArchiveError("holds a labeller's state of another map")
    return estimator


def _read_state(stored: Mapping[str, Any], kind: str, take: Take) -> dict[str, Any] | None:
    state = from_plain(stored.get(f"{kind}_state"), take)
    arrays = isinstance(state, dict) and all(isinstance(it, np.ndarray) for it in state.values())
    if not (arrays or state is None):
        raise ArchiveError(
            f"holds a {kind}'s state that must be arrays by name, not {shown(state)}"
        )
    return state  # type: ignore[no-any-return]


def _read_params(stored: Mapping[str, Any], take: Take) -> dict[str, Any]:
    params = {
        name: from_plain(it, take, where=name)
        for name, it in stored["params"].items()
        if name not in _NOT_STORED
    }
    if isinstance(params.get("class_weight"), list):
        params["class_weight"] = dict(params["class_weight"])
    parts = stored["parts"]
    return params | {kind: _read_part(kind, parts[kind]) for kind in PARTS}


def _read_part(kind: str, part: Mapping[str, Any]) -> Component:
    keys = ("distribution", "name", "version")
    distribution, name, version = (_checked_name(part[key]) for key in keys)
    try:
        cls = get_registry().find(kind, f"{distribution}:{name}")
        params = _fields(cls, part["params"])
    except DbgsomError as error:
        near = did_you_mean(name, get_registry().names(kind))
        raise PluginError(
            f"the model needs {kind} '{name}', which is not available ({error}){near}; the file "
            f"claims that it is from {distribution} {version}, which may be a forgery: install it "
            "only if you trust the source of the file"
        ) from error
    try:
        return parse(cls, params)
    except ValidationError as error:
        problems = "; ".join(format_errors(error, cls, params, kind))
        raise ArchiveError(f"holds a part that is wrong: {problems}") from error


def _fields(cls: type[Component], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part's stored fields, without those that no file may set."""
    kept = {name: value for name, value in params.items() if name not in cls.of_this_machine}
    for field, kind in nested_fields(cls).items():
        if field in kept:
            inner = dict(kept[field])
            name = _checked_name(inner.pop("name"))
            kept[field] = _fields(get_registry().find(kind, name), inner) | {"name": name}
    return kept


def _read_map(stored: Mapping[str, Any], take: Take) -> SomMap:
    arrays = {name: from_plain(stored[name], take) for name in MAP_ARRAYS}
    sizes: dict[str, int] = {}
    for name, holds in MAP_ARRAYS.items():
        if problem := mismatch(arrays[name], holds, sizes, {}):
            raise ArchiveError(f"holds a map whose arrays do not fit each other: {name}{problem}")
    positions, parents, n = arrays["positions"], arrays["parents"], sizes["K"]
    if not (0 < n < _MOST_NEURONS and sizes["D"]):
        raise ArchiveError(f"holds a map of {n} neurons and {sizes['D']} columns: impossible sizes")
    ordered = (parents >= -1) & (parents < np.arange(n)) & (arrays["birth_epochs"] >= 0)
    if not ordered.all():
        raise ArchiveError("holds a map with births out of order")
    # Connected maps are at most as wide as their number of neurons; disconnected ones are marked.
    is_apart = stored.get("apart", False) is True
    low, high = positions.min(axis=0).tolist(), positions.max(axis=0).tolist()
    span = [b - a for a, b in zip(low, high, strict=True)]
    fits = sum(span) <= _WIDEST if is_apart else max(span) < n
    unlinked = ArchiveError("holds a map with neurons that are not linked")
    if not fits or max(map(abs, low + high)) > 2**31:
        raise unlinked
    som_map = SomMap.restored(**arrays, grid=Grid.of_plain(stored, positions))
    if som_map.is_apart != is_apart:
        raise unlinked
    for neuron, child in stored["children"]:
        below = _read_map(child, take)
        fits = 0 <= neuron < n and neuron not in som_map.children
        fits &= below.prototypes.shape[1] == sizes["D"] and below.grid.flat == som_map.grid.flat
        if not fits:
            raise ArchiveError(f"holds a child map of neuron {shown(neuron)} that does not fit it")
        som_map.children[int(neuron)] = below
    return som_map


def _fitted_labeller(estimator: Any, state: dict[str, NDArray[Any]]) -> FittedLabeller:
    labeller, calls = guarded(estimator._parts.labeller), estimator._metric.calls
    classes, clusters = getattr(estimator, "classes_", None), estimator._memory
    fitted = FittedLabeller.from_clusters(
        labeller, clusters, estimator._tree.weights, calls, classes, state
    )
    if classes is not None:  # compiled loops of labellers do not check codes
        codes, labels = fitted.values, clusters.labels[clusters.labelled]
        if codes.max() >= len(classes) or (classes[codes] != labels).any():
            raise ArchiveError("holds summaries of unknown classes")
    return fitted


def _check_clusters(clusters: MicroClusters, prototypes: NDArray[Any]) -> None:
    units = clusters.units
    if units is None or not ((units >= 0) & (units < len(prototypes))).all():
        raise ArchiveError("holds summaries of leaves that do not exist")
    if clusters.X.shape[1] != prototypes.shape[1]:
        raise ArchiveError("holds summaries of other columns than its prototypes")


# ------------------------------------------------------------------------- models with steps


@dataclass(frozen=True)
class FittedModel:
    """The model of a run: prepare steps and estimator, from raw samples to predictions.

    Raw samples X are an array of features (n, D), or a data frame of pandas, polars, pyarrow or
    whatever exports Arrow. A model with ``columns`` finds them by name and ignores others, see
    `Columns.samples`; of another one the first step, or the estimator, checks names as in
    scikit-learn.

    Attributes
    ----------
    steps : sequence of (name, fitted transformer)
    estimator : SomVQ, SomClassifier or SomRegressor
        Fitted on prepared samples.
    columns : Columns or None
        The columns of the raw samples' table.
    """

    steps: Sequence[tuple[str, Any]]
    estimator: Any
    columns: Columns | None = None

    def prepare(self, X: Any) -> Any:
        """Return prepared samples (n, D') of raw samples X (n, D), an array or a table in blocks.

        Raises
        ------
        DataError
            X is a table without some columns, or with unreadable or missing cells.
        """
        table = arrow_table(X)
        if self.columns is None:
            X = self._with_names(X) if table is None else table.to_pandas()
            if not self.steps:  # the estimator knows its features
                return X
        elif table is not None or is_pandas(X):
            X = self.columns.samples(X if table is None else table)
            if not self.fills_gaps and "missing" not in self.estimator._metric.calls.handles:
                self.columns.check_complete(X, "the table", "the model's metric takes none")
        elif getattr(getattr(X, "dtype", None), "kind", "") == "O":
            try:
                X = np.asarray(X, dtype=np.float64)
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"X holds values that are no numbers ({error}): pass a DataFrame with columns "
                    f"{', '.join(self.columns.names[:5])}{', …' * (len(self.columns.names) > 5)}"
                ) from error
        X = prepared(self.steps, X)
        return X if isinstance(X, Partitions) else np.asarray(X)

    def _with_names(self, X: Any) -> Any:
        """Return an array (n, D) as a data frame, where the first step would miss its names."""
        names = self.feature_names
        if names is None or not isinstance(X, np.ndarray) or X.shape[1:] != (len(names),):
            return X
        import pandas as pd

        return pd.DataFrame(X, columns=names)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predictions for raw samples X (n, D), shape (n,)."""
        return np.asarray(self.estimator.predict(self.prepare(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, C) for raw samples X (n, D)."""
        return np.asarray(self.estimator.predict_proba(self.prepare(X)))

    def transform(self, X: Any) -> NDArray[Any]:
        """Return coordinates (n, L) of raw samples X (n, D), see `SomVQ.transform`."""
        return np.asarray(self.estimator.transform(self.prepare(X)))

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return how normal raw samples X (n, D) are, (n,), see `SomVQ.score_samples`."""
        return np.asarray(self.estimator.score_samples(self.prepare(X)))

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
    def fills_gaps(self) -> bool:
        """Whether a step imputes missing values."""
        return any(type(step).__name__.endswith("Imputer") for _, step in self.steps)

    def names_prepared(self, names: Sequence[str] | None = None) -> list[str] | None:
        """Return the column names of prepared samples, or None where they are unknown.

        ``names`` are the raw feature names for a model without ``columns``.
        """
        raw = self.feature_names if names is None or self.columns is not None else names
        found = names_after(self.steps, raw)
        known = found is not None and len(found) == self.estimator.n_features_in_
        return found if known else None

    def undo(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the raw samples of prepared samples X (n, D), where ``restored`` is not None."""
        for _, step in reversed(self.steps):
            X = step.inverse_transform(X)
        return np.asarray(X)

    @property
    def undone(self) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """`undo` where steps are inverted column by column and the metric prepares nothing."""
        able = all(isinstance(step, OneToOneFeatureMixin) for _, step in self.steps)
        return self.restored if able else None

    @property
    def restored(self) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """`undo` where all steps can be inverted and the metric prepares nothing."""
        able = self.estimator._metric.calls.prepare is None and all(
            hasattr(step, "inverse_transform") for _, step in self.steps
        )
        return self.undo if able else None

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
        names = feature_names if names is None else names
        names = self.names_prepared() if names is None else names
        return explored_page(self, X, y, names, path, **options)

    def bmu(self, X: Any, k: int = 1) -> NDArray[np.int64]:
        """Return the best-matching units of raw samples X (n, D), see `SomVQ.bmu`."""
        return np.asarray(self.estimator.bmu(self.prepare(X), k))

    def bmu_path(self, X: Any) -> NDArray[np.int64]:
        """Return the path of raw samples X (n, D) down the maps, see `SomVQ.bmu_path`."""
        return np.asarray(self.estimator.bmu_path(self.prepare(X)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write columns, steps and map to one file, without pickle; `persistence.load` reads it."""
        save(self, path)
