"""From the plain values of a model file to steps and an estimator whose parts fit each other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError
from sklearn.base import OneToOneFeatureMixin

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.errors import DbgsomError, PluginError, callers_level, did_you_mean
from dbgsom_core.estimators.answer_reading import check_state, read_answering, read_density
from dbgsom_core.estimators.archive import UnfitError, one_line
from dbgsom_core.estimators.held_values import StoredTypes, shown
from dbgsom_core.estimators.map_reading import Room, read_map
from dbgsom_core.estimators.part_params import built_param
from dbgsom_core.estimators.plain_values import Take, from_plain
from dbgsom_core.estimators.stored_classes import ESTIMATORS
from dbgsom_core.interfaces.component import Component, flat, nested_fields, parse, with_new_names
from dbgsom_core.interfaces.deprecation import DbgsomDeprecationWarning
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, get_registry
from dbgsom_core.plugins.validation_messages import sentences
from dbgsom_core.som_map.changes import change_of
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.tables import Columns
from dbgsom_core.training.fitted_metric import FittedMetric, restored
from dbgsom_core.training.novelty import Calibration
from dbgsom_core.training.parts import LOOP, NOT_ASKED, PARTS, Absent

# Fitted attributes that are written as they are, and what each may hold: K neurons of the map, L
# leaves, D columns of prototypes and F of samples, C classes. The map and the parts are apart.
FITTED = {
    "weights_": "finite[K, D]",
    "labels_": "any[*] | finite[*, T]",
    "neuron_labels_": "any[K] | finite[K, T]",
    "hit_counts_": "finite[K]",
    "errors_": "number[K]",
    "n_iter_": "integer",
    "converged_": "flag",
    "stopped_by_": "text",
    "kept_epoch_": "integer",
    "growing_threshold_": "number",
    "spreading_factor_": "number | none",
    "quantization_error_": "number",
    "topographic_error_": "number",
    "n_features_in_": "size[F]",
    "feature_names_in_": "text[F]",
    "classes_": "any[C]",
    "_probabilities": "number[K, C] | none",
    "_memory": "summaries",
    "_novelty": "novelty | calibration",
    "_deviations": "number[D]",
    "_residuals": "number[E] | number[E, T]",
    "_outputs": "list of summaries",
    "leaf_labels_": "any[L] | finite[L, T]",
    "leaf_hit_counts_": "finite[L]",
    "_leaf_probabilities": "number[L, C] | none",
}
# Those that a file may lack: name here what is added above, or older files no longer load.
_NOT_ALWAYS = (
    "labels_",
    "spreading_factor_",
    "stopped_by_",
    "kept_epoch_",
    "feature_names_in_",
    "classes_",
    "_novelty",
    "_deviations",
    "_residuals",
    "_outputs",
)
_RECORD = {
    "epoch": "integer",
    "epochs": "integer",
    "phase": "'growing' | 'fine'",
    "width": "number",
    "neurons": "integer",
    "quantization_error": "number",
    "movement": "number",
    "seconds": "number",
}
_MOST_COLUMNS = 1 << 24


def read_columns(stored: Any, take: Take, types: StoredTypes) -> Columns | None:
    """Return the columns that a model was trained on, None where a file does not tell.

    Raises
    ------
    NotPlainError, UnfitError
        They are something else, or do not fit each other.
    """
    columns = from_plain(stored, take, types)
    problem = types.mismatch(columns, "columns | none", {})
    if problem:
        raise UnfitError(f"names columns that cannot be: columns{problem}")
    return columns  # type: ignore[no-any-return]


def read_steps(
    stored: Sequence[Any], take: Take, types: StoredTypes
) -> tuple[tuple[str, Any], ...]:
    """Return fitted transformers with their names.

    Raises
    ------
    NotPlainError
        One is of a type that is not listed, or holds what it may not.
    UnfitError
        One does not take what the one before returns.
    """
    steps = []
    for name, plain in stored:
        step = from_plain(plain, take, types)
        known = types.name_of(type(step))
        name = _word(name)
        if known is None:
            raise UnfitError(f"has a prepare step that is no transformer but {shown(step)}")
        problem = types.object_mismatch(step, types.types[known], {})
        if problem:
            raise UnfitError(f"has a prepare step '{name}' that is wrong: {name}{problem}")
        steps.append((name, step))
    return tuple(steps)


def check_widths(columns: Columns | None, steps: Sequence[tuple[str, Any]], estimator: Any) -> None:
    """Raise `UnfitError` where a step or the estimator cannot take what comes before it."""
    given: Any = None if columns is None else len(columns.feature_names)
    for name, step in (*steps, ("the map", estimator)):
        takes = getattr(step, "n_features_in_", None)
        if None not in (given, takes) and takes != given:
            raise UnfitError(
                f"has parts that do not fit: {name} takes {takes} columns and gets {given}"
            )
        given = takes
        if not isinstance(step, OneToOneFeatureMixin):
            known = (
                getattr(step, name, None) for name in ("_n_features_out", "n_output_features_")
            )
            given = next((columns for columns in known if columns is not None), None)


def read_estimator(
    stored: Mapping[str, Any], take: Take, types: StoredTypes, size: int | None = None
) -> Any:
    """Return a fitted estimator.

    Parameters
    ----------
    stored : mapping
        As `model_file` writes it.
    take : callable
        Gives the arrays.
    types : StoredTypes
        The objects that may be among its attributes.
    size : int, optional
        Bytes of the file, which bound the neurons.

    Raises
    ------
    NotPlainError, UnfitError, ValueError
        Something is not what it may be, or does not fit the rest.
    PluginError
        A part's plugin is not installed.
    """
    cls = ESTIMATORS.get(stored["class"])
    if cls is None:
        raise UnfitError(
            f"holds an estimator that is not known here: {shown(stored['class'])}; "
            "dbgsom_core.persistence.load knows all of this version"
        )
    som_map = read_map(stored["map"], take, types, Room(size))
    tree = Tree.of(som_map)
    sizes = {"K": len(som_map), "L": len(tree), "D": som_map.prototypes.shape[1]}
    fitted = {name: from_plain(value, take, types) for name, value in stored["fitted"].items()}
    for name, holds in FITTED.items():
        if name in fitted or name not in _NOT_ALWAYS:
            problem = types.mismatch(fitted[name], holds, sizes)
            if problem:
                raise UnfitError(f"holds arrays that do not fit each other: {name}{problem}")
    hits = fitted["leaf_hit_counts_"]
    if (hits < 0).any() or not all(map(len, tree.live(hits))):
        raise UnfitError("holds a map in which no neuron has won a sample")
    _check_grid(from_plain(stored["params"].get("grid", "square"), take, types), som_map.grid)
    estimator, absent = _unfitted(cls, stored, take, types)
    for name in fitted.keys() & FITTED.keys():
        setattr(estimator, name, fitted[name])
    estimator.som_map_, estimator._tree = som_map, tree
    estimator.neurons_ = [(x, y) for x, y in som_map.positions.tolist()]
    estimator._n_features_out, estimator.sizes_tried_ = len(tree), ()
    estimator.history_ = tuple(_record(record, types) for record in stored["history"])
    if not hasattr(estimator, "kept_epoch_"):  # of a file that is older
        estimator.kept_epoch_ = estimator.n_iter_
    kept = estimator.history_[: estimator.kept_epoch_]
    estimator.growth_events_ = [event for record in kept for event in record.births]
    estimator._parts = estimator.check_parts((), absent=absent)
    state = from_plain(stored.get("metric_state"), take, types)
    estimator._metric = _metric(estimator._parts.metric, state, sizes)
    state = from_plain(stored.get("labeller_state"), take, types)
    estimator._answering = read_answering(estimator, state, sizes.get("C"))
    known = getattr(estimator, "_novelty", None)
    if isinstance(known, Calibration):
        estimator._density = read_density(estimator)
    return estimator


def _check_grid(said: Any, grid: Grid) -> None:
    # A built-in's name has to be that of the map; what others are, their plugins know.
    name = said.get("name") if isinstance(said, Mapping) else said
    named = name.removesuffix("_torus") if isinstance(name, str) else None
    if named == "auto" and grid.name in ("line", "square"):
        return
    if named is None or (":" not in named and named != grid.name):
        told = f"{shown(said)} and holds a map on a {one_line(grid.name)} one"
        raise UnfitError(f"says that its grid is {told}")


def _unfitted(
    cls: type[Any], stored: Mapping[str, Any], take: Take, types: StoredTypes
) -> tuple[Any, dict[str, Absent]]:
    # The estimator with its parameters, and the parts that it can answer without.
    params = {name: from_plain(value, take, types) for name, value in stored["params"].items()}
    params.setdefault("grid", "square")  # of files before there were others
    if params.keys() & {*PARTS, "callbacks", "checkpoint"}:
        raise UnfitError("gives parameters that no file gives")
    for name, value in params.items():
        if not _is_plain(value):
            raise UnfitError(f"gives a parameter {name} that must be plain, not {shown(value)}")
    if not stored["parts"].keys() <= set(PARTS):
        raise UnfitError(f"names parts that no map has; it has {', '.join(PARTS)}")
    parts = dict(stored["parts"])
    if "engine" in stored:  # of files before engines came from plugins
        engine = dict(stored["engine"])
        core = {"distribution": OWN_DISTRIBUTION, "version": "0.1.0"}
        parts["engine"] = {**core, "name": engine.pop("name"), "params": engine}
    absent: dict[str, Absent] = {}
    for kind, part in parts.items():
        try:
            params[kind] = _component(kind, part)
        except PluginError as error:
            if kind not in NOT_ASKED:
                raise
            absent[kind], given = Absent(part), dict(part["params"])
            params[kind] = {**given, "name": f"{part['distribution']}:{part['name']}"}
            _warn_of_absence(error)
    for name in LOOP.keys() & params.keys():
        try:
            built_param(name, params[name])
        except (DbgsomError, ValueError) as error:
            absent[name] = Absent(params[name])
            _warn_of_absence(f"{name} {shown(params[name])} cannot be had here ({error})")
    return cls(**params), absent


def _warn_of_absence(told: object) -> None:
    warnings.warn(
        f"{one_line(told)}. The model answers without it, and cannot be trained further",
        stacklevel=callers_level(),
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str, np.ndarray, np.generic))


def _metric(metric: Any, state: Any, sizes: Mapping[str, int]) -> FittedMetric:
    check_state(state, "metric")
    if (state is None) != (MetricAbilities.of(metric).fit is None):
        raise UnfitError("lacks what its metric learned, or holds it for one that learns nothing")
    found = restored(metric, state)
    prepare, columns, features = found.abilities.prepare, sizes["D"], sizes["F"]
    if features > _MOST_COLUMNS:
        raise UnfitError(f"claims to be of samples of {features} columns")
    if prepare is not None:  # what a row becomes shows whether the state and the map fit it
        with one_blas_thread():
            features = np.shape(prepare(np.arange(1.0, features + 1.0)[None]))[1]
    if found.abilities.uses_state and found.abilities.pairwise is not None:
        found.abilities.pairwise(np.arange(1.0, columns + 1.0)[None], np.ones((1, columns)))
    if features != columns:
        raise UnfitError(f"holds prototypes of {columns} columns for samples of {features}")
    return found


def _component(kind: str, part: Mapping[str, Any]) -> Component:
    registry = get_registry()
    distribution, name, version = (_word(part[key]) for key in ("distribution", "name", "version"))
    try:
        cls = registry.find(kind, f"{distribution}:{name}")
        params = _portable(cls, part["params"])
    except DbgsomError as error:
        near = did_you_mean(name, registry.names(kind))
        raise PluginError(
            f"the model needs {kind} '{name}', which cannot be had here ({error}){near}; the file "
            f"claims that it came with {distribution} {version}, and anyone can write that: know "
            "where the file is from before you add what it names"
        ) from error
    try:
        component = parse(cls, params)
        now = component.model_dump(mode="json", exclude=set(cls.of_this_machine))
        with warnings.catch_warnings():  # of old names it is told above
            warnings.simplefilter("ignore", DbgsomDeprecationWarning)
            was = with_new_names(cls, part.get("fields", now))
        _warn_of_other_defaults(kind, part, dict(was), now)
        return parse(cls, _without(params, part.get("filled", ())))
    except ValidationError as error:
        told = "; ".join(sentences(error, cls, params, kind))
        raise UnfitError(f"holds a part that is wrong: {told}") from error


def _portable(cls: type[Component], params: Mapping[str, Any]) -> dict[str, Any]:
    # The fields that a file may fill; raises where a component inside is not to be had.
    kept = {name: value for name, value in params.items() if name not in cls.of_this_machine}
    for field, kind in nested_fields(cls).items():
        if field in kept:
            inner = dict(kept[field])
            name = _word(inner.pop("name"))
            kept[field] = {"name": name, **_portable(get_registry().find(kind, name), inner)}
    return kept


def _word(text: Any) -> str:
    # What is shown to people as it stands in the file.
    if not (isinstance(text, str) and len(text) <= 200 and text.isprintable()):
        raise UnfitError(f"names something by {shown(text)}, which is no name")
    return text


def _without(params: Mapping[str, Any], filled: Sequence[str]) -> dict[str, Any]:
    kept = {}
    for key, value in params.items():
        inner = [name.removeprefix(f"{key}.") for name in filled if name.startswith(f"{key}.")]
        if key not in filled:
            kept[key] = _without(value, inner) if inner else value
    return kept


def _warn_of_other_defaults(
    kind: str, part: Mapping[str, Any], was: dict[str, Any], now: dict[str, Any]
) -> None:
    # A field that nobody gave holds a default, which another version may have changed.
    was, now = flat(was), flat(now)
    changed = [
        f"{field} was {was.get(field)!r} and is {now.get(field)!r}"
        for field in dict.fromkeys((*was, *now))
        if was.get(field) != now.get(field)
    ]
    if changed:
        warnings.warn(
            f"the model was saved with {kind} '{part['name']}' of {part['distribution']} "
            f"{part['version']}; the installed version differs: {one_line(', '.join(changed))}",
            stacklevel=callers_level(),
        )


def _record(stored: Mapping[str, Any], types: StoredTypes) -> EpochRecord:
    births = tuple(_event(*birth) for birth in stored["births"])
    changes = tuple(map(change_of, stored.get("changes", ())))
    for name, holds in _RECORD.items():
        problem = types.mismatch(stored[name], holds, {})
        if problem:
            raise UnfitError(f"holds a history whose {name}{problem}")
    return EpochRecord(**{**stored, "births": births, "changes": changes})


def _event(epoch: Any, parent: Any, position: Any) -> GrowthEvent:
    x, y = position
    if not all(type(one) is int for one in (epoch, parent, x, y)):
        raise UnfitError(f"holds a birth that is none: {shown((epoch, parent, x, y))}")
    return GrowthEvent(epoch, parent, (x, y))
