"""Objects as JSON values and arrays, and back: no pickle, nothing from the file is run.

What is known: None, bool, int, float, str, bytes-free containers, numpy arrays of numbers or text,
and fitted scikit-learn objects, whose classes are imported from scikit-learn and dbgsom_core only.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TRUSTED_PACKAGES = ("sklearn", "dbgsom_core")


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
    cls = type(value)
    if hasattr(value, "__dict__") and _is_trusted(cls.__module__):
        state = {key: to_plain(item, arrays, f"{where}.{key}") for key, item in vars(value).items()}
        return {"$object": f"{cls.__module__}:{cls.__qualname__}", "state": state}
    raise NotPlainError(f"{where} is a {cls.__module__}.{cls.__qualname__}")


def from_plain(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return what `to_plain` was given.

    Raises
    ------
    NotPlainError
        The data names a class outside the trusted packages.
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
    module, _, name = value["$object"].partition(":")
    if not _is_trusted(module):
        raise NotPlainError(f"the file names a class outside scikit-learn: {value['$object']}")
    cls = getattr(import_module(module), name)
    if not isinstance(cls, type):
        raise NotPlainError(f"the file names something that is no class: {value['$object']}")
    made: Any = object.__new__(cls)
    vars(made).update({key: from_plain(item, arrays) for key, item in value["state"].items()})
    return made


def _is_trusted(module: str) -> bool:
    return module.partition(".")[0] in _TRUSTED_PACKAGES
