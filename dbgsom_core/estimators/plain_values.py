"""Objects as JSON values and arrays, and back: no pickle, nothing from the file is run.

What is known: None, bool, int, float, str, bytes-free containers, numpy arrays of numbers or text,
the few state types of this package, each by a tag that stays when its class moves, and fitted
scikit-learn objects by the name under which scikit-learn offers their class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.estimators.scaling import RangeScaler
from dbgsom_core.training.novelty import Novelty
from dbgsom_core.training.summaries import Summaries


@dataclass(frozen=True)
class StateType:
    """A class of this package whose objects stand in model files.

    Attributes
    ----------
    tag : str
        What files call it, for ever.
    version : int
        Of its attributes: a new one for each change that an older reader would not understand.
    cls : type
    formerly : str
        What files of format 1, written by 0.1.0, call it.
    """

    tag: str
    version: int
    cls: type[Any]
    formerly: str


STATE_TYPES = (
    StateType("summaries", 1, Summaries, "dbgsom_core.memory:Memory"),
    StateType("novelty", 1, Novelty, "dbgsom_core.novelty:Novelty"),
    StateType("range_scale", 1, RangeScaler, "dbgsom_core.prepare:RangeScaler"),
)


class NotPlainError(TypeError):
    """A value has no plain form."""


def to_plain(value: Any, arrays: dict[str, NDArray[Any]], where: str = "state") -> Any:
    """Return ``value`` as JSON data; arrays are put into ``arrays`` and referred to by name.

    Raises
    ------
    NotPlainError
        Some part of the value has no plain form; the message names it.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        key = f"a{len(arrays)}"
        if value.dtype != object:
            arrays[key] = value
            return {"$array": key}
        if not all(isinstance(item, str) for item in value.ravel()):
            raise NotPlainError(f"{where} is an array of Python objects other than text")
        arrays[key] = value.astype(str)
        return {"$objects": key}
    if isinstance(value, np.dtype):
        return {"$dtype": value.str}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {"$dtype": np.dtype(value).str, "$type": True}
    if isinstance(value, np.generic):
        return to_plain(np.asarray(value), arrays, where) | {"$scalar": True}
    if isinstance(value, tuple):
        return {"$tuple": [to_plain(item, arrays, f"{where}[]") for item in value]}
    if isinstance(value, list):
        return [to_plain(item, arrays, f"{where}[]") for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {
            "$map": {key: to_plain(item, arrays, f"{where}.{key}") for key, item in value.items()}
        }
    kind = _kind_of(type(value))
    if kind is None or not hasattr(value, "__dict__"):
        raise NotPlainError(f"{where} is a {type(value).__module__}.{type(value).__qualname__}")
    state = {key: to_plain(item, arrays, f"{where}.{key}") for key, item in vars(value).items()}
    return {**kind, "state": state}


def from_plain(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return what `to_plain` was given.

    Raises
    ------
    NotPlainError
        The data names a class that is neither a state type nor scikit-learn's, or a newer version.
    """
    if isinstance(value, list):
        return [from_plain(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        array = arrays[value["$array"]]
        return array[()] if value.get("$scalar") else array
    if "$objects" in value:
        return arrays[value["$objects"]].astype(object)
    if "$dtype" in value:
        dtype = np.dtype(value["$dtype"])
        return dtype.type if value.get("$type") else dtype
    if "$tuple" in value:
        return tuple(from_plain(item, arrays) for item in value["$tuple"])
    if "$map" in value:
        return {key: from_plain(item, arrays) for key, item in value["$map"].items()}
    made: Any = object.__new__(_class_of(value))
    vars(made).update({key: from_plain(item, arrays) for key, item in value["state"].items()})
    return made


def _kind_of(cls: type[Any]) -> dict[str, Any] | None:
    # How a file names the class of an object, None where it cannot.
    for known in STATE_TYPES:
        if known.cls is cls:
            return {"$state": known.tag, "version": known.version}
    if cls.__module__.partition(".")[0] != "sklearn":
        return None
    # The package that offers the class: modules with an underscore may move.
    public = cls.__module__.partition("._")[0]
    offered = getattr(import_module(public), cls.__qualname__, None) is cls
    return {"$object": f"{public if offered else cls.__module__}:{cls.__qualname__}"}


def _class_of(value: Mapping[str, Any]) -> type[Any]:
    if "$state" in value:
        tag, version = value["$state"], value["version"]
        for known in STATE_TYPES:
            if known.tag == tag and version <= known.version:
                return known.cls
        raise NotPlainError(
            f"the file holds '{tag}' of version {version}, which this dbgsom-core does not know; "
            "upgrade it"
        )
    name = value["$object"]
    for known in STATE_TYPES:
        if known.formerly == name:
            return known.cls
    module, _, attribute = name.partition(":")
    if module.partition(".")[0] != "sklearn":
        raise NotPlainError(f"the file names a class outside scikit-learn: {name}")
    cls = getattr(import_module(module), attribute)
    if not isinstance(cls, type):
        raise NotPlainError(f"the file names something that is no class: {name}")
    return cls
