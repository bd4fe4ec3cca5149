"""Model files of estimators: content, writing and reading.

A model file is a zip of .npy arrays and a JSON header, without pickle. The header has the format's
number, the estimator's class and parameters, and for each component its name, distribution,
version and fields. Reading imports installed plugins and listed transformers, and nothing else.

`FITTED` and `MAP_ARRAYS` list all attributes that are stored. A new one needs a line there, one in
`GrowingMap._take_state`, and a new number of the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dbgsom_core.engine.runtime import one_blas_thread
from dbgsom_core.engine.samples import Samples
from dbgsom_core.errors import (
    DbgsomError,
    ModelFileError,
    PluginError,
    UnknownNameError,
    did_you_mean,
)
from dbgsom_core.estimators.archive import (
    NO_OBJECTS,
    ArchiveError,
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
from dbgsom_core.estimators.parameters import FunctionMetric, component_spec
from dbgsom_core.interfaces.component import Component, guarded, nested_fields, parse
from dbgsom_core.interfaces.stored_types import problem_of, shown
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.plugins.validation_messages import format_errors
from dbgsom_core.som_map.grid import Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.groups import Density
from dbgsom_core.training.labelling import FittedLabeller
from dbgsom_core.training.parts import KIND_OF, PARTS, TRAINING_PARTS, restore_metric
from dbgsom_core.training.state import parse_record

Model = TypeVar("Model")
Write = Callable[..., Any]  # `to_plain` of a value, and ``where`` it stands
Read = Callable[..., Any]  # `from_plain`, in the same way
Sizes = dict[str, int]  # lengths by their letters

FORMAT = 4

# Fitted attributes, and what each holds in the notation of `StoredType`, where ``?`` behind a name
# says that files may lack it: K neurons, L leaves, D columns of prototypes, F columns of samples, C
# classes, E residuals of held-out samples, Q numbers that a labeller gives a neuron.
FITTED = {
    "weights_": "finite[K, D]",
    "labels_?": "any[*] | finite[*, Q]",
    "neuron_labels_": "any[K] | finite[K, Q]",
    "hit_counts_": "finite[K]",
    "errors_": "number[K]",
    "n_iter_": "integer",
    "kept_epoch_": "integer",
    "converged_": "flag",
    "stopped_by_": "text",
    "growing_threshold_": "number",
    "quantization_error_": "number",
    "topographic_error_": "number",
    "spreading_factor_": "number | none",
    "n_features_in_": "size[F]",
    "feature_names_in_?": "text[F]",
    "classes_?": "any[C]",
    "threshold_?": "number",
    "positive_?": "plain",
    "_probabilities": "number[K, C] | none",
    "_memory": "MicroClusters",
    "_novelty": "Calibration",
    "_deviations": "number[D]",
    "_residuals?": "number[E]",
    "_target_transform?": "TargetTransform",
    "leaf_labels_": "any[L] | finite[L, Q]",
    "leaf_hit_counts_": "finite[L]",
    "_leaf_probabilities": "number[L, C] | none",
    "_centres": "finite[*, D] | none",
}
# The same of each map of the tree, whose K neurons are its own.
MAP_ARRAYS = {
    "positions": "int[K, 2]",
    "prototypes": "finite[K, D]",
    "parents": "int[K]",
    "birth_epochs": "int[K]",
}
# Parameters of the estimator that set fields of the growth strategy.
_FILLING = ("spreading_factor", "max_neurons")
# Parameters that are no values of the model: its parts are written by name, callbacks are
# functions, and a checkpoint is a path of the machine that trained.
_NOT_STORED = (*PARTS, "callbacks", "checkpoint")
_MOST_NEURONS = 1 << 16  # hops are uint16, and cells of one map no farther away than hops
_ESTIMATORS: dict[str, type[Any]] = {}  # by their names in files


def storable(cls: type[Model]) -> type[Model]:
    """Register the decorated estimator class for model files, under its name."""
    _ESTIMATORS[cls.__name__] = cls
    return cls


# ------------------------------------------------------------------------------------- files


def save(estimator: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator to ``path``, replacing an older file atomically.

    Raises as `dbgsom_core.persistence.save`, which writes the models of runs as well.
    """

    def without_steps(write: Write) -> dict[str, Any]:
        return {"columns": None, "steps": []}  # which the model of a run has

    write_file(path, estimator, without_steps, read_estimator)


def load_estimator(path: str | PathLike[str], cls: type[Any]) -> Any:
    """Read an estimator of class ``cls``; raises as `dbgsom_core.persistence.load`.

    The columns of a run's tables are no part of it; a file with prepare steps is refused.
    """

    def read_without_steps(header: Mapping[str, Any], read: Read) -> Any:
        if header["steps"]:
            raise ArchiveError(
                f"holds a model with prepare steps, not a {cls.__name__}; use persistence.load"
            )
        estimator = read_estimator(header, read)
        if not isinstance(estimator, cls):
            name = type(estimator).__name__
            raise ArchiveError(f"holds a {name}, not a {cls.__name__}; use persistence.load")
        return estimator

    return read_file(path, read_without_steps)


def write_file(
    path: str | PathLike[str],
    estimator: Any,
    more: Callable[[Write], Mapping[str, Any]],
    read_header: Callable[[Mapping[str, Any], Read], Any],
    types: Types = NO_OBJECTS,
) -> None:
    """Write a file of an estimator and of what ``more`` adds to its header.

    Header and arrays are read again by ``read_header`` before a file is written, so that each file
    can be loaded. ``types`` are added to the allow-list.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise ModelFileError(f"there is no folder {target.parent} to save {target.name} in")
    arrays: dict[str, NDArray[Any]] = {}
    types = {**stored_types(), **types}
    write = partial(to_plain, arrays=arrays, types=types)
    try:
        with raise_archive_errors():
            header = {"format": FORMAT, "version": __version__, **more(write)}
            header["estimator"] = _write_estimator(estimator, write)
            header = json.loads(json.dumps(header))  # as a file gives it back
            take_once = dict(arrays).pop
            _read(header, take_once, read_header, types)
    except ArchiveError as error:
        text = printable_line(error)
        raise ModelFileError(f"the model cannot be saved without pickle: it {text}") from error
    write_archive(target, header, arrays)


def read_file(
    path: str | PathLike[str],
    read_header: Callable[[Mapping[str, Any], Read], Any],
    types: Types = NO_OBJECTS,
) -> Any:
    """Return what ``read_header`` makes of a file's header; ``types`` add to the allow-list."""
    try:
        with open_archive(Path(path)) as archive:
            types = {**stored_types(), **types}
            return _read(archive.header, archive.take, read_header, types)
    except ArchiveError as error:
        raise ModelFileError(f"{path} {printable_line(error)}") from error
    except (PluginError, UnknownNameError) as error:
        raise PluginError(f"{path} cannot be loaded here: {printable_line(error)}") from error
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error


def _read(
    header: Mapping[str, Any],
    take: Take,
    read_header: Callable[[Mapping[str, Any], Read], Any],
    types: Types,
) -> Any:
    if header["format"] != FORMAT:
        version = str(header.get("version"))[:40]  # it may be any text
        raise ArchiveError(
            f"is of format {shown(header['format'])}, by dbgsom-core {version}, and {__version__} "
            f"reads format {FORMAT}: upgrade dbgsom-core, or fit and save the model again"
        )
    return read_header(header, partial(from_plain, take=take, types=types))


def check_values(
    where: str, held: Mapping[str, Any], table: Mapping[str, str], sizes: Sizes
) -> None:
    problem = problem_of(held, table, sizes)
    if problem:
        raise ArchiveError(f"holds {where} that do not fit: {problem}")


# ------------------------------------------------------------------------- estimators: writing


def _write_estimator(estimator: Any, write: Write) -> dict[str, Any]:
    cls = type(estimator)
    if _ESTIMATORS.get(cls.__name__) is not cls:
        raise ModelFileError(
            f"a {cls.__module__}.{cls.__qualname__} cannot be saved: files hold only "
            f"{', '.join(sorted(_ESTIMATORS))}, and no subclasses"
        )
    params = {}
    for name, value in estimator.get_params(deep=False).items():
        if name not in _NOT_STORED:
            params[name] = write(_plain_param(name, value), where=name)
    parts = {kind: _write_part(kind, getattr(estimator._parts, kind)) for kind in PARTS}
    growth_fields = parts["growth"]["params"]
    for name in _FILLING:
        if getattr(estimator, name) is not None:  # it fills these fields again on loading
            growth_fields.pop(name, None)
            growth_fields.get("base", {}).pop(name, None)
    fitted = {}
    for name in _names(FITTED):
        if name in vars(estimator):  # not labels_ of samples read in blocks, which are computed
            fitted[name] = write(getattr(estimator, name), where=name)
    labeller = estimator._answering
    labeller_state = None if labeller is None else labeller.state
    return {
        "class": cls.__name__,
        "params": params,
        "metric_state": write(estimator._metric.state, where="metric"),
        "labeller_state": write(labeller_state, where="labeller"),
        "parts": parts,
        "fitted": fitted,
        "map": _write_map(estimator.som_map_, write),
        "history": [asdict(record) for record in estimator.history_],
    }


def _plain_param(name: str, value: Any) -> Any:
    if name == "random_state":
        return int(value) if isinstance(value, (int, np.integer)) else None
    if name == "class_weight" and isinstance(value, Mapping):
        return [[*pair] for pair in value.items()]  # keys of JSON are text
    if name == "stopping" and isinstance(value, (list, tuple)):
        return [_plain_param(name, rule) for rule in value]
    if name in TRAINING_PARTS and isinstance(value, (str, Mapping, Component)):
        return component_spec(KIND_OF[name], value)
    return value


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


def _write_map(som_map: SomMap, write: Write) -> dict[str, Any]:
    arrays = {name: write(getattr(som_map, name), where=name) for name in MAP_ARRAYS}
    children = []
    for neuron, child in sorted(som_map.children.items()):
        children.append([neuron, _write_map(child, write)])
    return {**arrays, **som_map.grid.plain(), "apart": som_map.is_apart, "children": children}


# ------------------------------------------------------------------------- estimators: reading


def read_estimator(header: Mapping[str, Any], read: Read) -> Any:
    """Return the fitted estimator of a header, which passed a trial prediction.

    Shapes are checked first, as compiled loops do not check bounds; other inconsistencies show in
    the trial prediction.
    """
    stored = header["estimator"]
    cls = _ESTIMATORS.get(stored["class"])
    if cls is None:
        raise ArchiveError(
            f"holds an unknown estimator: {shown(stored['class'])}; "
            "dbgsom_core.persistence.load reads all of this version"
        )
    som_map = _read_map(stored["map"], read)
    tree = Tree.of(som_map)
    estimator = cls(**_read_params(stored, read))
    sizes = {"K": len(som_map), "L": len(tree), "D": som_map.prototypes.shape[1]}
    fitted = {}
    for name in _names(FITTED):
        if name in stored["fitted"]:
            fitted[name] = read(stored["fitted"][name], where=name)
    check_values("fitted attributes", fitted, FITTED, sizes)
    vars(estimator).update(fitted)
    estimator.sizes_tried_ = ()
    estimator._set_map(som_map, tree, tuple(map(parse_record, stored["history"])))
    hits, clusters = estimator.leaf_hit_counts_, estimator._memory
    live_neurons = tree.live(hits)  # rows of each map; an answer needs one on each
    if (hits < 0).any() or not all(map(len, live_neurons)):
        raise ArchiveError("holds a map without a neuron that has samples")
    check_values("summaries", vars(clusters), {"X": "number[M, D]"}, sizes)
    if not ((clusters.units >= 0) & (clusters.units < len(tree))).all():
        raise ArchiveError("holds summaries of leaves that do not exist")
    estimator._parts = estimator.check_parts(())
    metric_state = read(stored["metric_state"], where="metric")
    estimator._metric = restore_metric(estimator._parts.metric, metric_state)
    calls = estimator._metric.calls
    estimator._density = Density.from_clusters(clusters, tree.weights, calls)
    estimator._answering = None  # of a labeller that labels neurons only
    labeller_state = read(stored["labeller_state"], where="labeller")
    if labeller_state is not None:
        estimator._answering = _fitted_labeller(estimator, labeller_state)
    _try_estimator(estimator, sizes)
    return estimator


def _try_estimator(estimator: Any, sizes: Sizes) -> None:
    """Raise ArchiveError where an estimator does not answer for one sample as its kind does."""
    calls, labeller = estimator._metric.calls, estimator._answering
    predictor = estimator._predictor  # raises where its threshold is for an unknown class
    row: NDArray[np.float64] = np.arange(1.0, sizes["F"] + 1.0)[None]
    with one_blas_thread(), np.errstate(all="ignore"):
        if calls.prepare is not None:
            row = np.array(calls.prepare(row), dtype=np.float64)
        if row.shape != (1, sizes["D"]):
            raise ArchiveError("holds prototypes of other columns than its samples")
        answer = labeller or predictor.labels
        answers = answer(Samples(row, calls))
    expected_shape = (1, *estimator.leaf_labels_.shape[1:])
    if labeller is not None and "C" in sizes:
        expected_shape = (1, sizes["C"])
    is_usable = labeller is None or np.isfinite(answers).all()
    if answers.shape != expected_shape or not is_usable:
        raise ArchiveError("holds a labeller's state of another map")


def _read_params(stored: Mapping[str, Any], read: Read) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for kind in PARTS:
        params[kind] = _read_part(kind, stored["parts"][kind])
    for name, plain in stored["params"].items():
        if name not in _NOT_STORED:
            params[name] = read(plain, where=name, types=NO_OBJECTS)
    if isinstance(params.get("class_weight"), list):  # see `_plain_param`
        params["class_weight"] = dict(params["class_weight"])
    return params


def _read_part(kind: str, part: Mapping[str, Any]) -> Component:
    name, distribution = part["name"], part["distribution"]
    try:
        cls = get_registry().find(kind, f"{distribution}:{name}")
        params = _fields(cls, part["params"])
    except DbgsomError as error:
        near = did_you_mean(name, get_registry().names(kind))
        raise PluginError(
            f"the model needs {kind} '{name}', which is not available{near}; the file claims that "
            f"it is from {distribution} {part['version']}, which may be a forgery: install it only "
            f"if you trust the source of the file ({error})"
        ) from error
    try:
        return parse(cls, params)
    except ValidationError as error:
        problems = "; ".join(format_errors(error, cls, params, kind))
        raise ArchiveError(f"holds a part that is wrong: {problems}") from error


def _fields(cls: type[Component], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part's stored fields, without those that no file may set."""
    fields = {name: value for name, value in params.items() if name not in cls.of_this_machine}
    for name, kind in nested_fields(cls).items():
        if name in fields:
            nested = fields[name]
            nested_class = get_registry().find(kind, nested["name"])
            fields[name] = _fields(nested_class, nested)
    return fields


def _read_map(stored: Mapping[str, Any], read: Read) -> SomMap:
    sizes: Sizes = {}
    arrays = {name: read(stored[name], where=name) for name in MAP_ARRAYS}
    check_values("a map's arrays", arrays, MAP_ARRAYS, sizes)
    positions, parents, n = arrays["positions"], arrays["parents"], sizes["K"]
    # Rows are in order of birth: a parent, -1 for none, stands before its children.
    is_ordered = (parents >= -1) & (parents < np.arange(n)) & (arrays["birth_epochs"] >= 0)
    is_near = np.abs(positions.astype(np.float64)) < _MOST_NEURONS
    if not (0 < n < _MOST_NEURONS and is_ordered.all() and is_near.all()):
        raise ArchiveError("holds a map with births out of order, or of an impossible size")
    som_map = SomMap.restored(**arrays, grid=Grid.of_plain(stored, positions))
    if som_map.is_apart != stored["apart"]:
        raise ArchiveError("holds a map with neurons that are not linked")
    for neuron, plain in stored["children"]:
        child = _read_map(plain, read)
        is_free = neuron in range(n) and neuron not in som_map.children
        is_alike = child.prototypes.shape[1] == sizes["D"] and child.grid.flat == som_map.grid.flat
        if not (is_free and is_alike):
            raise ArchiveError(f"holds a child map of neuron {shown(neuron)} that does not fit it")
        som_map.children[int(neuron)] = child
    return som_map


def _names(table: Mapping[str, str]) -> list[str]:
    return [name.removesuffix("?") for name in table]


def _fitted_labeller(estimator: Any, state: dict[str, NDArray[Any]]) -> FittedLabeller:
    classes, clusters = getattr(estimator, "classes_", None), estimator._memory
    fitted = FittedLabeller.from_clusters(
        guarded(estimator._parts.labeller),
        clusters,
        estimator._tree.weights,
        estimator._metric.calls,
        classes,
        state,
        estimator._target_transform,
    )
    if classes is not None:  # compiled loops of labellers do not check codes
        codes, labels = fitted.values, clusters.labels[clusters.labelled]
        if codes.max() >= len(classes) or (classes[codes] != labels).any():
            raise ArchiveError("holds summaries of unknown classes")
    return fitted
