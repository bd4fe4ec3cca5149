"""Fitted models in one file: a zip of .npy arrays and a JSON header, without pickle.

The header holds the format's version, the estimator's class and parameters, and for each part its
name, distribution, version and fields. Reading it imports the plugins that it names and nothing
else.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DbgsomError, ModelFileError, PluginError
from dbgsom_core.estimators.part_params import build_parts
from dbgsom_core.estimators.plain_values import NotPlainError, from_plain, to_plain
from dbgsom_core.interfaces.component import Component, flat, nested_fields, parse
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.files import write_atomically
from dbgsom_core.interfaces.version import __version__
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.grid import SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.fitted_metric import restored
from dbgsom_core.training.parts import PARTS

Model = TypeVar("Model")

FORMAT = 2  # format 1, of 0.1.0, named some classes by their modules
_NOT_FILLED = {"spreading_factor": None, "max_neurons": None}
_ESTIMATORS: dict[str, type[Any]] = {}  # by the names that files know
_MAP_ARRAYS = ("positions", "prototypes", "parents", "birth_epochs")
# Fitted attributes that are written as they are; the map and the parts are written apart.
_SIMPLE = (
    "weights_", "labels_", "neuron_labels_", "hit_counts_", "errors_", "n_iter_", "converged_",
    "growing_threshold_", "quantization_error_", "topographic_error_", "n_features_in_",
    "feature_names_in_", "classes_", "_probabilities", "_memory", "_novelty",
    "leaf_labels_", "leaf_hit_counts_", "_leaf_probabilities",
)  # fmt: skip
# Those that a file may lack: name here what is added above, or older files no longer load.
_NOT_ALWAYS = ("feature_names_in_", "classes_", "_novelty")


def stored_as(name: str) -> Callable[[type[Model]], type[Model]]:
    """Let files hold estimators of the decorated class, under a name that stays."""

    def noted(cls: type[Model]) -> type[Model]:
        _ESTIMATORS[name] = cls
        return cls

    return noted


def save(model: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator or `FittedModel` to ``path``; an older file stays until it is whole.

    Raises
    ------
    PluginError
        A part's class is offered by no plugin, so that nobody could load it.
    ModelFileError
        The folder does not exist, or a prepare step or a label holds something that has no plain
        form.
    """
    if not isinstance(model, FittedModel):
        model = FittedModel((), model)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        header = {
            "format": FORMAT,
            "version": __version__,
            "steps": [[name, to_plain(step, arrays, name)] for name, step in model.steps],
            "estimator": _written(model.estimator, arrays),
        }
    except NotPlainError as error:
        raise ModelFileError(f"the model cannot be saved without pickle: {error}") from error
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    target = Path(path)
    if not target.parent.is_dir():
        raise ModelFileError(f"there is no folder {target.parent} to save {target.name} in")

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez_compressed(file, **{**arrays, "header": text})  # type: ignore[arg-type]

    write_atomically(target, write)


def load(path: str | PathLike[str]) -> Any:
    """Read what `save` wrote: a `FittedModel`, or the estimator where there are no steps.

    Raises
    ------
    ModelFileError
        The file is missing, truncated, from a newer version, or no model.
    PluginError
        A part's plugin is not installed; the message says which distribution to install.
    """
    header, arrays = _read(path)
    try:
        steps = tuple((name, from_plain(step, arrays)) for name, step in header["steps"])
        estimator = _read_back(header["estimator"], arrays)
    except DbgsomError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise ModelFileError(f"{path} is no model that this version can read: {error}") from error
    return FittedModel(steps, estimator) if steps else estimator


def load_estimator(path: str | PathLike[str], cls: type[Any]) -> Any:
    """Read an estimator of class ``cls``; raises as `load`, and when the file holds another."""
    loaded = load(path)
    if not isinstance(loaded, cls):
        raise ModelFileError(
            f"{path} holds a {type(loaded).__name__}, not a {cls.__name__}; "
            "dbgsom_core.persistence.load reads either"
        )
    return loaded


def _written(estimator: Any, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    params = {
        name: to_plain(value, arrays, name)
        for name, value in estimator.get_params(deep=False).items()
        if name not in (*PARTS, "callbacks", "random_state")
    }
    seed = estimator.random_state
    params["random_state"] = int(seed) if isinstance(seed, (int, np.integer)) else None
    given = build_parts({**estimator.get_params(deep=False), **_NOT_FILLED})
    parts = {
        kind: _part(kind, getattr(estimator._parts, kind), getattr(given, kind)) for kind in PARTS
    }
    fitted = {
        name: to_plain(getattr(estimator, name), arrays, name)
        for name in _SIMPLE
        if hasattr(estimator, name)
    }
    state = estimator._metric.state
    return {
        "class": type(estimator).__name__,
        "params": params,
        "metric_state": None if state is None else to_plain(state, arrays, "metric"),
        "parts": parts,
        "fitted": fitted,
        "map": _map_written(estimator.som_map_, arrays),
        "history": [asdict(record) for record in estimator.history_],
    }


def _map_written(som_map: SomMap, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    if som_map.grid != SQUARE:
        raise ModelFileError("model files hold maps on the square grid, and this is on another one")
    written: dict[str, Any] = {
        name: to_plain(getattr(som_map, name), arrays) for name in _MAP_ARRAYS
    }
    written["children"] = [
        [neuron, _map_written(child, arrays)] for neuron, child in sorted(som_map.children.items())
    ]
    return written


def _map_read(stored: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SomMap:
    som_map = SomMap.restored(*(from_plain(stored[name], arrays) for name in _MAP_ARRAYS))
    som_map.children = {
        int(neuron): _map_read(child, arrays) for neuron, child in stored["children"]
    }
    return som_map


def _part(kind: str, part: Component, given: Component) -> dict[str, Any]:
    identity = get_registry().identify(kind, part)
    nested = nested_fields(type(part))
    for field, inner_kind in nested.items():  # says so when nobody could build it again
        get_registry().identify(inner_kind, getattr(part, field))
    params = part.model_dump(mode="json", exclude_unset=True)
    return {
        "name": identity.name,
        "distribution": identity.distribution,
        "version": identity.version,
        "params": params,
        # What the estimator's own parameters filled in, a reader lets them fill again.
        "filled": _filled(part, given),
        "fields": part.model_dump(mode="json"),
    }


def _filled(part: Component, given: Component) -> list[str]:
    filled = sorted(part.model_fields_set - given.model_fields_set)
    for field in nested_fields(type(part)):
        if field not in filled:
            inner = _filled(getattr(part, field), getattr(given, field))
            filled += [f"{field}.{name}" for name in inner]
    return filled


def _read(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(bytes(file["header"]).decode())
            version = header["format"]
            if version > FORMAT:
                raise ModelFileError(
                    f"{path} was written by dbgsom-core {header.get('version')}, which is newer "
                    f"than this one ({__version__}); upgrade dbgsom-core to read it"
                )
            return header, {name: file[name] for name in file.files if name != "header"}
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}") from None
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path} was not written by dbgsom-core: {error}") from error
    except Exception as error:  # a damaged byte can make zip, zlib and numpy raise anything
        raise ModelFileError(
            f"{path} is damaged or cut short, or no model file: {error}"
        ) from error


def _read_back(stored: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
    cls = _ESTIMATORS[stored["class"]]
    params = {name: from_plain(value, arrays) for name, value in stored["params"].items()}
    built: dict[str, Any] = {kind: _component(kind, part) for kind, part in stored["parts"].items()}
    if "engine" in stored:  # of files before engines came from plugins
        built["engine"] = stored["engine"]
    estimator = cls(**params, **built)
    fitted = {name: from_plain(value, arrays) for name, value in stored["fitted"].items()}
    for name in _SIMPLE:
        if name in fitted or name not in _NOT_ALWAYS:
            setattr(estimator, name, fitted[name])
    som_map = _map_read(stored["map"], arrays)
    estimator.som_map_ = som_map
    estimator._tree = Tree.of(som_map)
    estimator.neurons_ = [(x, y) for x, y in som_map.positions.tolist()]
    estimator._n_features_out = len(estimator._tree)
    estimator.history_ = tuple(_record(record) for record in stored["history"])
    estimator.growth_events_ = [event for record in estimator.history_ for event in record.births]
    estimator._parts = estimator.parts()
    state = from_plain(stored.get("metric_state"), arrays)
    estimator._metric = restored(estimator._parts.metric, state)
    return estimator


def _component(kind: str, part: dict[str, Any]) -> Component:
    registry = get_registry()
    distribution, name = part["distribution"], part["name"]
    try:
        cls = registry.find(kind, f"{distribution}:{name}")
        for field, inner_kind in nested_fields(cls).items():
            if field in part["params"]:
                registry.find(inner_kind, part["params"][field]["name"])
    except DbgsomError as error:
        raise PluginError(
            f"the model needs {kind} '{name}' of {distribution} {part['version']}, which is not "
            f"available ({error}); install {distribution}"
        ) from error
    component = parse(cls, part["params"])
    _warn_of_other_defaults(kind, part, component.model_dump(mode="json"))
    return parse(cls, _without(part["params"], part.get("filled", ())))


def _without(params: dict[str, Any], filled: Sequence[str]) -> dict[str, Any]:
    kept = {}
    for key, value in params.items():
        inner = [name.removeprefix(f"{key}.") for name in filled if name.startswith(f"{key}.")]
        if key not in filled:
            kept[key] = _without(value, inner) if inner else value
    return kept


def _warn_of_other_defaults(kind: str, part: dict[str, Any], now: dict[str, Any]) -> None:
    # A field that nobody gave holds a default, which another version may have changed.
    was, now = flat(part.get("fields", now)), flat(now)
    changed = [
        f"{field} was {was.get(field)!r} and is {now.get(field)!r}"
        for field in dict.fromkeys((*was, *now))
        if was.get(field) != now.get(field)
    ]
    if changed:
        warnings.warn(
            f"the model was saved with {kind} '{part['name']}' of {part['distribution']} "
            f"{part['version']}; the installed version differs: {', '.join(changed)}",
            stacklevel=6,
        )


def _record(stored: dict[str, Any]) -> EpochRecord:
    births = tuple(GrowthEvent(e, p, (x, y)) for e, p, (x, y) in stored["births"])
    return EpochRecord(**{**stored, "births": births})


@dataclass(frozen=True)
class FittedModel:
    """What a run leaves behind to be used: raw samples in, answers out.

    Attributes
    ----------
    steps : sequence of (name, fitted transformer)
    estimator : SomVQ, SomClassifier or SomRegressor
        Fitted on prepared samples.
    """

    steps: Sequence[tuple[str, Any]]
    estimator: Any

    def prepare(self, X: Any) -> NDArray[Any]:
        """Return raw samples X (n, D) as the map takes them, (n, D')."""
        for _, step in self.steps:
            X = step.transform(X)
        return np.asarray(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the answer for each raw sample of X (n, D), shape (n,)."""
        return np.asarray(self.estimator.predict(self.prepare(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, C) for raw samples X (n, D)."""
        return np.asarray(self.estimator.predict_proba(self.prepare(X)))

    def bmu(self, X: Any, k: int = 1) -> NDArray[np.int64]:
        """Return the best-matching units of raw samples X (n, D), see `SomVQ.bmu`."""
        return np.asarray(self.estimator.bmu(self.prepare(X), k))

    def bmu_path(self, X: Any) -> NDArray[np.int64]:
        """Return the way of raw samples X (n, D) down the maps, see `SomVQ.bmu_path`."""
        return np.asarray(self.estimator.bmu_path(self.prepare(X)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write steps and map to one file, without pickle; `persistence.load` reads it."""
        save(self, path)
