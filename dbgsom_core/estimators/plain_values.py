"""Objects as JSON values and arrays, and back: no pickle, nothing from the file is run.

What is known: None, bool, int, float, str, lists, tuples and mappings of them, numpy arrays of
numbers, text or dates, and objects of the types that `stored_classes` lists, by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import did_you_mean
from dbgsom_core.estimators.held_values import StoredTypes
from dbgsom_core.estimators.stored_classes import FORMERLY, OURS, SCIKIT_LEARN

# Gives the array of a name, each once: a file cannot have one array stand for many.
Take = Callable[[str], NDArray[Any]]

NO_OBJECTS = StoredTypes({})
ARRAY_KINDS = "biufSUMm"
_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")


class NotPlainError(TypeError):
    """A value has no plain form, or the plain form is not one of a value that may be held."""


def to_plain(
    value: Any,
    arrays: dict[str, NDArray[Any]],
    where: str = "state",
    types: StoredTypes = NO_OBJECTS,
) -> Any:
    """Return ``value`` as JSON data; arrays are put into ``arrays`` and referred to by name.

    ``types`` are those whose objects may be among it, ``where`` is what messages call it.

    Raises
    ------
    NotPlainError
        Some part of the value has no plain form; the message names it.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        key = f"a{len(arrays)}"
        if value.dtype.kind in ARRAY_KINDS:
            arrays[key] = value
            return {"$array": key}
        if value.dtype != object or not all(isinstance(item, str) for item in value.ravel()):
            raise NotPlainError(f"{where} is an array of things that are no numbers, text or dates")
        arrays[key] = value.astype(str)
        return {"$objects": key}
    if isinstance(value, np.dtype):
        return {"$dtype": value.str}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {"$dtype": np.dtype(value).str, "$type": True}
    if isinstance(value, np.generic):
        return to_plain(np.asarray(value), arrays, where, types) | {"$scalar": True}
    if isinstance(value, tuple):
        return {"$tuple": [to_plain(item, arrays, f"{where}[]", types) for item in value]}
    if isinstance(value, list):
        return [to_plain(item, arrays, f"{where}[]", types) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        inside = {k: to_plain(item, arrays, f"{where}.{k}", types) for k, item in value.items()}
        return {"$map": inside}
    name = types.name_of(type(value))
    if name is None:
        raise NotPlainError(f"{where} is {_unlisted(type(value), types)}")
    problem = types.object_mismatch(value, types.types[name], {})
    if problem:
        raise NotPlainError(f"{where}{problem}")
    kind: dict[str, Any] = {"$object": name}
    if name not in SCIKIT_LEARN:
        kind = {"$state": name, "version": types.types[name].version}
    state = {key: to_plain(it, arrays, f"{where}.{key}", types) for key, it in vars(value).items()}
    return {**kind, "state": state}


def from_plain(
    value: Any, take: Take | Mapping[str, NDArray[Any]], types: StoredTypes = NO_OBJECTS
) -> Any:
    """Return what `to_plain` was given; whether objects are in order, who holds them checks.

    Raises
    ------
    NotPlainError
        The data names a type that is not listed, or a newer version of one.
    """
    if isinstance(take, Mapping):
        take = take.__getitem__
    if isinstance(value, list):
        return [from_plain(item, take, types) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        array = take(value["$array"])
        return array[()] if value.get("$scalar") else array
    if "$objects" in value:
        return take(value["$objects"]).astype(str).astype(object)
    if "$dtype" in value:
        if not _DTYPE.fullmatch(value["$dtype"]):
            raise NotPlainError(f"the file names a dtype that is none of numbers: {value}")
        dtype = np.dtype(value["$dtype"])
        return dtype.type if value.get("$type") else dtype
    if "$tuple" in value:
        return tuple(from_plain(item, take, types) for item in value["$tuple"])
    if "$map" in value:
        return {key: from_plain(item, take, types) for key, item in value["$map"].items()}
    cls = _class_of(value, types)
    state = {key: from_plain(item, take, types) for key, item in value["state"].items()}
    made: Any = object.__new__(cls)
    vars(made).update(state)
    return made


def _unlisted(cls: type[Any], types: StoredTypes) -> str:
    # What it is, and what to do about it.
    told = f"a {cls.__module__}.{cls.__qualname__}"
    for base in cls.__mro__[1:]:
        name = types.name_of(base)
        if name is not None:
            return (
                f"{told}, a class of its own that no model file may name; use {base.__name__} "
                "itself, or list the class in a plugin's dbgsom_transformers"
            )
    return (
        f"{told}, which is not on the list of what model files hold; use a listed transformer, "
        "prepare the data before, or list the class in a plugin's dbgsom_transformers"
    )


def _class_of(value: Mapping[str, Any], types: StoredTypes) -> type[Any]:
    if "$state" in value:
        name, version = value["$state"], value["version"]
        stored = types.types.get(name) if name not in SCIKIT_LEARN else None
        if stored is not None and version > stored.version:
            raise NotPlainError(
                f"the file holds '{name}' of version {version}, which is newer than what is "
                "installed here; upgrade what offers it"
            )
    else:
        name = value["$object"]
        # The package that offers the class: files of format 1 name the module within it.
        module, _, attribute = name.partition(":")
        name = FORMERLY.get(name, f"{module.partition('._')[0]}:{attribute}")
        stored = types.types.get(name) if name in SCIKIT_LEARN or name in OURS else None
    if stored is None:
        told = f"the file holds a '{name}', which is not on the list of what model files hold"
        told += did_you_mean(name, types.types)
        if "$state" in value and ":" in name and name not in SCIKIT_LEARN:
            told += (
                f"; the file claims that {name.partition(':')[0]} lists it, and anyone can write "
                "that: know where the file is from before you add what it names"
            )
        raise NotPlainError(told)
    return stored.load()
