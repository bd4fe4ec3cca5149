"""What a fit leaves on an estimator, and the same as plain values of a model file.

`FITTED` is the list that a fit, the writer and the reader share. One more fitted array needs a
field of `training.fit.FittedState` and a line there, with a ``?`` if older files have to load.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.errors import DbgsomError, ModelFileError, PluginError, callers_level, did_you_mean
from dbgsom_core.estimators.archive import UnfitError, one_line
from dbgsom_core.estimators.components import FunctionMetric, build_param, component_spec
from dbgsom_core.estimators.plain_values import ESTIMATORS, Take, Types, from_plain, to_plain
from dbgsom_core.interfaces.component import Component, nested_fields, parse
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.interfaces.stored_types import mismatch, shown
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, get_registry
from dbgsom_core.plugins.validation_messages import sentences
from dbgsom_core.som_map.changes import change_of
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.fit import FittedState
from dbgsom_core.training.fitted_metric import FittedMetric, restored
from dbgsom_core.training.groups import LabelledGroups
from dbgsom_core.training.labelling import FittedLabeller, MultiOutputLabeller
from dbgsom_core.training.novelty import Calibration, Density
from dbgsom_core.training.parts import LOOP, NOT_ASKED, PARTS, Absent

# Fitted attributes: where a fit leaves them in `FittedState`, and what each may hold in a file (see
# `StoredType`): K neurons of the map, L leaves, D columns of prototypes and F of samples, C
# classes, T targets. A file may lack those with a ``?``; the estimator sets those without a place.
FITTED: Mapping[str, tuple[str, str]] = {
    "weights_": ("weights", "finite[K, D]"),
    "labels_?": ("", "any[*] | finite[*, T]"),
    "neuron_labels_": ("labelled.neurons.labels", "any[K] | finite[K, T]"),
    "hit_counts_": ("labelled.neurons.hits", "finite[K]"),
    "errors_": ("errors", "number[K]"),
    "n_iter_": ("", "integer"),
    "converged_": ("training.converged", "flag"),
    "stopped_by_?": ("training.stopped", "text"),
    "kept_epoch_?": ("training.kept", "integer"),
    "growing_threshold_": ("training.threshold", "number"),
    "spreading_factor_?": ("", "number | none"),
    "quantization_error_": ("quantization_error", "number"),
    "topographic_error_": ("topographic_error", "number"),
    "n_features_in_": ("", "size[F]"),
    "feature_names_in_?": ("", "text[F]"),
    "classes_?": ("", "any[C]"),
    "_probabilities": ("labelled.neurons.probabilities", "number[K, C] | none"),
    "_memory": ("labelled.clusters", "summaries"),
    "_novelty?": ("calibration", "novelty | calibration"),
    "_deviations?": ("deviations", "number[D]"),
    "_residuals?": ("", "number[E] | number[E, T]"),
    "_outputs?": ("", "list of summaries"),
    "leaf_labels_": ("labelled.leaves.labels", "any[L] | finite[L, T]"),
    "leaf_hit_counts_": ("labelled.leaves.hits", "finite[L]"),
    "_leaf_probabilities": ("labelled.leaves.probabilities", "number[L, C] | none"),
}
MAP_ARRAYS = {
    "positions": "int[K, 2]",
    "prototypes": "finite[K, D]",
    "parents": "int[K]",
    "birth_epochs": "int[K]",
}
_MOST_NEURONS = 1 << 16  # hops are uint16
_WIDEST = 1 << 15  # columns and rows, which are hops between parts of a map
MOST_COLUMNS = 1 << 22
_FILLING = ("spreading_factor", "max_neurons")
_NOT_STORED = (*PARTS, "callbacks", "checkpoint")


def take_state(estimator: Any, state: FittedState) -> None:
    """Give an estimator the attributes that a fit left."""
    for name, (place, _) in FITTED.items():
        if place:
            setattr(estimator, name.removesuffix("?"), attrgetter(place)(state))
    estimator._density, estimator._answering = state.density, state.labelled.labeller
    estimator._outputs = list(state.labelled.outputs)
    _take_map(estimator, state.training.som_map, state.tree, state.training.history)


def _take_map(
    estimator: Any, som_map: SomMap, tree: Tree, history: tuple[EpochRecord, ...]
) -> None:
    estimator.som_map_, estimator._tree, estimator.history_ = som_map, tree, history
    estimator.n_iter_, estimator._n_features_out = len(history), len(tree)
    estimator.neurons_ = [(x, y) for x, y in som_map.positions.tolist()]
    kept = history[: estimator.kept_epoch_]
    estimator.growth_events_ = [event for record in kept for event in record.births]


# ------------------------------------------------------------------------------------- writing


def write_estimator(
    estimator: Any, arrays: dict[str, NDArray[Any]], types: Types
) -> dict[str, Any]:
    """Return a fitted estimator as plain values; arrays are put into ``arrays``."""
    cls = type(estimator)
    if ESTIMATORS.get(cls.__name__) is not cls:
        raise ModelFileError(
            f"a {cls.__module__}.{cls.__qualname__} cannot be saved, as no file could name it; "
            f"save one of {', '.join(sorted(ESTIMATORS))} itself"
        )
    params = {
        name: to_plain(_written_param(estimator, name, value), arrays, name)
        for name, value in estimator.get_params(deep=False).items()
        if name not in _NOT_STORED
    }
    parts = {kind: _write_part(kind, getattr(estimator._parts, kind)) for kind in PARTS}
    # What the estimator's own parameters fill in, a reader lets them fill again.
    filled = [name for name in _FILLING if getattr(estimator, name) is not None]
    parts["growth"]["filled"] = [*filled, *(f"base.{name}" for name in filled)]
    fitted = {
        name: to_plain(getattr(estimator, name), arrays, name, types)
        for name in (entry.removesuffix("?") for entry in FITTED)
        if name in vars(estimator)  # labels_ of what was read in blocks are made when asked for
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


def _written_param(estimator: Any, name: str, value: Any) -> Any:
    if name == "random_state":
        return int(value) if isinstance(value, (int, np.integer)) else None
    if name not in LOOP or isinstance(getattr(estimator._parts, name), Absent):
        return value
    if name == "stopping" and isinstance(value, (list, tuple)):
        return [component_spec(LOOP[name], rule) for rule in value]
    is_built = isinstance(value, (str, Mapping, Component))
    return component_spec(LOOP[name], value) if is_built else value


def _write_part(kind: str, part: Component | Absent) -> dict[str, Any]:
    if isinstance(part, Absent):
        return dict(part.stored)
    if isinstance(part, FunctionMetric):
        raise PluginError(
            f"metric={part!r} cannot be saved: no file can name it; write it as a plugin ('dbgsom "
            "plugins new NAME'), which also is faster, and give its name as the metric"
        )
    identity = get_registry().identify(kind, part)
    for field, inner_kind in nested_fields(type(part)).items():  # raises when it has no name
        get_registry().identify(inner_kind, getattr(part, field))
    local = set(part.of_this_machine)
    return {
        "name": identity.name,
        "distribution": identity.distribution,
        "version": identity.version,
        "params": part.model_dump(mode="json", exclude_unset=True, exclude=local),
    }


def _write_map(som_map: SomMap, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {
        **{name: to_plain(getattr(som_map, name), arrays, name) for name in MAP_ARRAYS},
        **som_map.grid.plain(),
        "apart": som_map.is_apart,
        "children": [
            [neuron, _write_map(som_map.children[neuron], arrays)]
            for neuron in sorted(som_map.children)
        ],
    }


# ------------------------------------------------------------------------------------- reading


def read_estimator(stored: Mapping[str, Any], take: Take, types: Types) -> Any:
    """Return the fitted estimator of which `write_estimator` wrote these plain values.

    It has then answered a row of samples, so that what does not fit together is found. Errors are
    of any kind, `PluginError` where a component's plugin is not installed.
    """
    cls = ESTIMATORS.get(stored["class"])
    if cls is None:
        raise UnfitError(
            f"holds an estimator that is not known here: {shown(stored['class'])}; "
            "dbgsom_core.persistence.load knows all of this version"
        )
    som_map = _read_map(stored["map"], take)
    tree = Tree.of(som_map)
    sizes = {"K": len(som_map), "L": len(tree), "D": som_map.prototypes.shape[1]}
    fitted = {name: from_plain(it, take, types, name) for name, it in stored["fitted"].items()}
    estimator, absent = _unfitted(cls, stored, take)
    for entry, (_, holds) in FITTED.items():
        name = entry.removesuffix("?")
        if name in fitted or name == entry:
            if problem := mismatch(fitted[name], holds, sizes, types):
                raise UnfitError(f"holds arrays that do not fit each other: {name}{problem}")
            setattr(estimator, name, fitted[name])
    hits = estimator.leaf_hit_counts_
    if (hits < 0).any() or not all(map(len, tree.live(hits))):
        raise UnfitError("holds a map in which no neuron has won a sample")
    estimator.kept_epoch_ = getattr(estimator, "kept_epoch_", estimator.n_iter_)  # of older files
    estimator.sizes_tried_ = ()
    _take_map(estimator, som_map, tree, tuple(map(_read_record, stored["history"])))
    estimator._parts = estimator.check_parts((), absent=absent)
    estimator._metric = restored(estimator._parts.metric, _read_state(stored, "metric", take))
    row = _prepared_row(estimator._metric, sizes)
    if isinstance(getattr(estimator, "_novelty", None), Calibration):
        _check_clusters(estimator._memory, tree.weights)
        abilities = estimator._metric.abilities
        estimator._density = Density.of(estimator._memory, tree.weights, abilities)
    estimator._answering = None
    state, shape = _read_state(stored, "labeller", take), estimator.leaf_labels_.shape[1:]
    if state is not None:  # else its labeller answers neuron by neuron
        estimator._answering, row = _fitted_labeller(estimator, state, row)
        shape = (sizes["C"],) if "C" in sizes else shape
    with one_blas_thread(), np.errstate(all="ignore"):
        data = LocalSamples(row, estimator._metric.abilities)
        try:
            answers = estimator._answers(data) if state is None else estimator._answering(data)
        except (LookupError, ValueError) as error:
            raise UnfitError(f"holds what its labeller learnt of another map: {error}") from error
    if answers.shape != (len(row), *shape):
        raise UnfitError("holds what its labeller learnt of another map")
    return estimator


def _read_state(stored: Mapping[str, Any], kind: str, take: Take) -> dict[str, Any] | None:
    state = from_plain(stored.get(f"{kind}_state"), take)
    arrays = isinstance(state, dict) and all(isinstance(it, np.ndarray) for it in state.values())
    if not (arrays or state is None):
        raise UnfitError(f"holds a {kind}'s state that must be arrays by name, not {shown(state)}")
    return state  # type: ignore[no-any-return]


def _unfitted(
    cls: type[Any], stored: Mapping[str, Any], take: Take
) -> tuple[Any, dict[str, Absent]]:
    """Return the estimator with its parameters, and the components that it can answer without."""
    params = {
        name: from_plain(it, take, where=name)
        for name, it in stored["params"].items()
        if name not in _NOT_STORED
    }
    params.setdefault("grid", "square")  # of files before there were others
    parts = {kind: stored["parts"][kind] for kind in PARTS if kind in stored["parts"]}
    if "engine" in stored:  # of files before engines came from plugins
        engine = dict(stored["engine"])
        core = {"distribution": OWN_DISTRIBUTION, "version": "0.1.0"}
        parts["engine"] = {**core, "name": engine.pop("name"), "params": engine}
    absent: dict[str, Absent] = {}
    for kind, part in parts.items():
        try:
            params[kind] = _read_part(kind, part)
        except PluginError as error:
            if kind not in NOT_ASKED:
                raise
            _note_absence(absent, kind, part, error)
            params[kind] = {**part["params"], "name": f"{part['distribution']}:{part['name']}"}
    for name in LOOP.keys() & params.keys():
        try:
            build_param(name, params[name])
        except (DbgsomError, ValueError) as error:
            why = f"{name} {shown(params[name])} cannot be had here ({error})"
            _note_absence(absent, name, params[name], why)
    return cls(**params), absent


def _note_absence(absent: dict[str, Absent], name: str, spec: Any, why: object) -> None:
    absent[name] = Absent(spec)
    warnings.warn(
        f"{one_line(why)}. The model answers without it, and cannot be trained further",
        stacklevel=callers_level(),
    )


def _read_part(kind: str, part: Mapping[str, Any]) -> Component:
    keys = ("distribution", "name", "version")
    distribution, name, version = (checked_name(part[key]) for key in keys)
    try:
        cls = get_registry().find(kind, f"{distribution}:{name}")
        params = _fields(cls, part["params"], part.get("filled", ()))
    except DbgsomError as error:
        near = did_you_mean(name, get_registry().names(kind))
        raise PluginError(
            f"the model needs {kind} '{name}', which cannot be had here ({error}){near}; the file "
            f"claims that it came with {distribution} {version}, and anyone can write that: know "
            "where the file is from before you add what it names"
        ) from error
    try:
        return parse(cls, params)
    except ValidationError as error:
        problems = "; ".join(sentences(error, cls, params, kind))
        raise UnfitError(f"holds a part that is wrong: {problems}") from error


def _fields(
    cls: type[Component], params: Mapping[str, Any], filled: Sequence[str]
) -> dict[str, Any]:
    """Return the fields that a file may fill, without those that the estimator fills in."""
    hidden = {*cls.of_this_machine, *filled}
    kept = {name: value for name, value in params.items() if name not in hidden}
    for field, kind in nested_fields(cls).items():
        if field in kept:
            inner, prefix = dict(kept[field]), f"{field}."
            name = checked_name(inner.pop("name"))
            within = [it.removeprefix(prefix) for it in filled if it.startswith(prefix)]
            kept[field] = _fields(get_registry().find(kind, name), inner, within) | {"name": name}
    return kept


def checked_name(text: Any) -> str:
    """Return a name that is shown to people as it stands in the file."""
    if not (isinstance(text, str) and len(text) <= 200 and text.isprintable()):
        raise UnfitError(f"names something by {shown(text)}, which is no name")
    return text


def _read_record(stored: Mapping[str, Any]) -> EpochRecord:
    births = tuple(GrowthEvent(epoch, at, (x, y)) for epoch, at, (x, y) in stored["births"])
    changes = tuple(map(change_of, stored.get("changes", ())))
    return EpochRecord(**{**stored, "births": births, "changes": changes})


def _read_map(stored: Mapping[str, Any], take: Take) -> SomMap:
    arrays = {name: from_plain(stored[name], take) for name in MAP_ARRAYS}
    sizes: dict[str, int] = {}
    for name, holds in MAP_ARRAYS.items():
        if problem := mismatch(arrays[name], holds, sizes, {}):
            raise UnfitError(f"holds a map whose arrays do not fit each other: {name}{problem}")
    positions, parents, n = arrays["positions"], arrays["parents"], sizes["K"]
    if not (n and sizes["D"]):
        raise UnfitError("holds a map without neurons or columns")
    if n >= _MOST_NEURONS:
        raise UnfitError(f"holds {n} neurons, which is more than a map can have")
    # A map that its growth strategy took apart says so, and is no larger than a whole one can be.
    is_apart = stored.get("apart", False) is True
    span = positions.max(axis=0).astype(object) - positions.min(axis=0).astype(object)
    too_wide = (span >= n).any() and not (is_apart and span.sum() <= _WIDEST)
    if max(abs(positions.min()), abs(positions.max())) > 2**31 or too_wide:
        raise UnfitError("holds a map with neurons that nothing links")
    ordered = (parents >= -1) & (parents < np.arange(n)) & (arrays["birth_epochs"] >= 0)
    if not ordered.all():
        raise UnfitError("holds a map with births out of order")
    som_map = SomMap.restored(**arrays, grid=Grid.of_plain(stored, positions))
    if som_map.is_apart != is_apart:
        raise UnfitError("holds a map with neurons that nothing links")
    for neuron, child in stored["children"]:
        below = _read_map(child, take)
        fits = 0 <= neuron < n and neuron not in som_map.children
        fits &= below.prototypes.shape[1] == sizes["D"] and below.grid.flat == som_map.grid.flat
        if not fits:
            raise UnfitError(f"holds a child map of neuron {shown(neuron)} that does not fit it")
        som_map.children[int(neuron)] = below
    return som_map


def _prepared_row(metric: FittedMetric, sizes: Mapping[str, int]) -> NDArray[np.float64]:
    """Return a sample as the metric prepares it, (1, D), which shows whether its state fits."""
    learns = MetricAbilities.of(metric.metric).fit is not None
    if (metric.state is not None) != learns:
        raise UnfitError("lacks what its metric learned, or holds it for one that learns nothing")
    calls, columns, features = metric.abilities, sizes["D"], sizes["F"]
    if features > MOST_COLUMNS:
        raise UnfitError(f"claims to be of samples of {features} columns")
    row: NDArray[np.float64] = np.arange(1.0, features + 1.0)[None]
    if calls.prepare is not None:
        with one_blas_thread():
            row = np.array(calls.prepare(row), dtype=np.float64)
    if row.shape != (1, columns):
        made = row.shape[-1] if row.ndim else 0
        raise UnfitError(f"holds prototypes of {columns} columns for samples of {made}")
    if calls.uses_state and calls.pairwise is not None:
        calls.pairwise(row, np.ones((1, columns)))
    return row


def _fitted_labeller(
    estimator: Any, state: dict[str, NDArray[Any]], row: NDArray[np.float64]
) -> tuple[FittedLabeller | MultiOutputLabeller, NDArray[np.float64]]:
    """Return the labeller with its state, and rows that show whether its state fits.

    A group is nearest to its own place: the last neuron's, and the last class's, tell of lengths.
    """
    labeller = LabellerAbilities.of(estimator._parts.labeller)
    classes, prototypes = getattr(estimator, "classes_", None), estimator._tree.weights
    outputs = getattr(estimator, "_outputs", [])
    numbers = estimator.leaf_labels_.size // len(prototypes) // len(labeller.columns or "1")
    if outputs and len(outputs) != numbers:
        raise UnfitError("holds answers to another number of targets than it learnt")
    each, rows = [], [row]
    for memory in outputs or [estimator._memory]:
        if labeller.answer is None or memory.labels is None:
            raise UnfitError("holds what a labeller learnt, and not what it learnt it from")
        _check_clusters(memory, prototypes)
        if classes is not None and (memory.labelled is None or not memory.labelled.any()):
            raise UnfitError("holds summaries without classes")
        groups = LabelledGroups.of(memory, prototypes, estimator._metric.abilities, classes)
        if classes is not None:  # labellers count by codes in compiled loops
            codes, labels = groups.values, memory.labels[memory.labelled]
            if codes.max() >= len(classes) or (classes[codes] != labels).any():
                raise UnfitError("holds summaries of classes that it does not know")
        each.append(groups)
        rows.append(groups.centres[[0, -1, int(groups.values.argmax())]])
    answering: FittedLabeller | MultiOutputLabeller = FittedLabeller(labeller, each[0], state)
    if outputs:
        states = MultiOutputLabeller.states(state, len(outputs))
        parts = (FittedLabeller(labeller, *one) for one in zip(each, states, strict=True))
        answering = MultiOutputLabeller(tuple(parts), len(outputs) == 1)
    return answering, np.concatenate(rows)


def _check_clusters(memory: Any, prototypes: NDArray[Any]) -> None:
    units = memory.units
    if units is None or not ((units >= 0) & (units < len(prototypes))).all():
        raise UnfitError("holds summaries of leaves that there are not")
    if memory.X.shape[1] != prototypes.shape[1]:
        raise UnfitError("holds summaries of other columns than its prototypes")
