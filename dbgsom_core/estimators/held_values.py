"""Whether values are what stored types say that they may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dbgsom_core.interfaces.stored_types import ARRAY, ARRAY_KINDS, MANY, StoredType


class StoredTypes:
    """The types whose objects may be held, by the names that files know."""

    def __init__(self, types: Mapping[str, StoredType]) -> None:
        self.types = types

    def name_of(self, cls: type[Any]) -> str | None:
        """Return the name of exactly this class, or None where it has none."""
        for name, stored in self.types.items():
            if stored.means(cls):
                return name
        return None

    def mismatch(self, value: Any, holds: str, sizes: dict[str, int]) -> str:
        """Return what keeps a value from being held, as the end of a sentence; empty for nothing.

        Parameters
        ----------
        value : object
        holds : str
            What may be held, see `StoredType`.
        sizes : dict of str to int
            Lengths that are known; those of the value are added.
        """
        inside = ""
        for one in holds.split("|"):
            known = dict(sizes)
            if self._holds(value, one.strip(), known):
                sizes.update(known)
                return ""
            stored = self.types.get(one.strip())
            if stored is not None and stored.means(type(value)):
                inside = self.object_mismatch(value, stored, dict(sizes))
        named = {name: sizes[name] for name in re.findall(r"\w+", holds) if name in sizes}
        where = " where " + ", ".join(f"{name} is {n}" for name, n in named.items())
        return inside or f" must be {holds}{where if named else ''}, not {shown(value)}"

    def object_mismatch(self, value: Any, stored: StoredType, sizes: dict[str, int]) -> str:
        """Return what keeps an object from being held, as `mismatch` does."""
        given = vars(value)
        for name in given.keys() - stored.held.keys():
            return f".{name} is an attribute that model files do not hold"
        for name, (holds, needed) in stored.held.items():
            if name in given:
                problem = self.mismatch(given[name], holds, sizes)
                if problem:
                    return f".{name}{problem}"
            elif needed:
                return f" lacks {name}"
        if stored.fits is not None and not stored.fits(value):
            return " has attributes that do not fit each other"
        return ""

    def _holds(self, value: Any, one: str, sizes: dict[str, int]) -> bool:
        if one.startswith("'"):
            return isinstance(value, str) and value == one[1:-1]
        if one in _SINGLE:
            return _SINGLE[one](value)
        if one.startswith(tuple(MANY)):
            many, of, inner = one.partition(" of ")
            if not isinstance(value, MANY[many + of]):
                return False
            inside = value.values() if isinstance(value, dict) else value
            return all(self._holds(item, inner, sizes) for item in inside)
        array = ARRAY.fullmatch(one)
        if array is None:
            stored = self.types.get(one)
            if stored is None or not stored.means(type(value)):
                return False
            return not self.object_mismatch(
                value, stored, dict(sizes)
            )  # its own lengths are its own
        names = [name.strip() for name in array[2].split(",")]
        if array[1] == "size":
            return _SINGLE["integer"](value) and _agree(names, (int(value),), sizes)
        return _is_array(value, array[1]) and _agree(names, value.shape, sizes)


def shown(value: Any) -> str:
    """Return a short description of a value that does not fit."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    if value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:59]}…"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


def _agree(names: list[str], lengths: tuple[int, ...], sizes: dict[str, int]) -> bool:
    return len(names) == len(lengths) and all(
        name == "*" or (int(name) if name.isdigit() else sizes.setdefault(name, length)) == length
        for name, length in zip(names, lengths, strict=True)
    )


def _is_array(value: Any, kind: str) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in ARRAY_KINDS[kind]:
        return False
    if value.dtype.kind == "f" and value.dtype not in (np.float32, np.float64):
        return False
    if value.dtype == object:
        return all(isinstance(item, str) for item in value.ravel())
    return kind != "finite" or bool(np.isfinite(value).all())


def _is_integer(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        return False
    return -(2**63) <= int(value) < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) or _is_integer(value)


def _is_dtype(value: Any) -> bool:
    if isinstance(value, type):
        value = np.dtype(value) if issubclass(value, np.generic) else None
    return isinstance(value, np.dtype) and value.kind in "biuf"


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, str, np.generic)) or _is_number(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))


_SINGLE: Mapping[str, Callable[[Any], bool]] = {
    "none": lambda value: value is None,
    "flag": lambda value: isinstance(value, (bool, np.bool_)),
    "integer": _is_integer,
    "number": _is_number,
    "text": lambda value: isinstance(value, str),
    "scalar": _is_scalar,
    "dtype": _is_dtype,
    "pair": _is_pair,
}
