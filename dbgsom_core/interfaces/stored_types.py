"""Which objects a model file may hold, and what each of their attributes may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

import numpy as np

from dbgsom_core.errors import PluginError

_KINDS = {
    "float": "f", "finite": "biuf", "number": "biuf", "int": "iu", "flag": "b", "text": "UO",
    "any": "biufSUMmO",
}  # fmt: skip
_LENGTH = r"\s*(?:\w+|\*)\s*"
_ARRAY = re.compile(rf"(\w+)\[({_LENGTH}(?:,{_LENGTH})*)\]")
_MANY = ("list of ", "mapping of ")
_MANY_OF = re.compile("^(list|mapping) of ")
_NAME = re.compile(r"[\w.:-]+")


@dataclass(frozen=True)
class StoredType:
    """A class whose objects may stand in model files.

    Parameters
    ----------
    where : str
        ``"module:Class"``, imported when a model or a file holds such an object. Subclasses are
        another class. Objects are made attribute by attribute: no code of the class runs.
    attributes : mapping of str to str
        What each attribute may hold. One key may name several, ``"mean_ scale_"``; with ``?`` at
        its end an attribute may be missing, and one that is not named may not be there.
    version : int
        Of the attributes: a new one for each change that an older reader would not understand.
    fits : callable, optional
        Gets an object whose attributes are as described; False where they do not fit each other.
        What nobody checks later is checked here, above all positions in other arrays.

    Raises
    ------
    ValueError
        What an attribute may hold is not written as described.

    Notes
    -----
    What an attribute may hold, alternatives apart by ``|``:

    * ``none``, ``flag``, ``integer``, ``number``, ``text``; ``scalar`` is any of them,
      ``'word'`` this text alone
    * ``dtype`` of numbers, ``pair`` of numbers
    * ``float[C, D]``: an array of float32 or float64; also ``finite`` (numbers without nan and
      infinity), ``number``, ``int``, ``flag``, ``text``, and ``any`` for numbers, text or dates
    * ``size[D]``: an integer that is the length called D
    * ``list of any[*]``, ``mapping of number``: such values; what a mapping has as keys is text
    * ``acme-som:scaler``: an object of the stored type of this name

    Lengths of one name are equal in the whole object; ``*`` is any length.
    """

    where: str
    attributes: Mapping[str, str]
    version: int = 1
    fits: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        if not all(self.where.partition(":")):
            raise ValueError(f"where is {self.where!r}; write 'module:Class'")
        for names, holds in self.attributes.items():
            for one in holds.split("|"):
                if not _is_written(_MANY_OF.sub("", one.strip())):
                    told = f"{self.where} may hold {one.strip()!r} as {names}"
                    raise ValueError(f"{told}, which means nothing; see StoredType")

    def load(self) -> type[Any]:
        """Import and return the class; raise `PluginError` when that fails."""
        try:
            cls = resolve_name(self.where)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise PluginError(f"{self.where} cannot be imported ({told})") from error
        if not isinstance(cls, type):
            raise PluginError(f"{self.where} is no class")
        return cls

    def means(self, cls: type[Any]) -> bool:
        """Say whether this is exactly the class ``cls``."""
        if self.where.rpartition(":")[2] != cls.__qualname__:
            return False
        with suppress(PluginError):  # what cannot be imported is no object's class
            return self.load() is cls
        return False

    @cached_property
    def held(self) -> Mapping[str, tuple[str, bool]]:
        """What each attribute may hold, and whether it must be there."""
        return {
            name.removesuffix("?"): (holds, not name.endswith("?"))
            for names, holds in self.attributes.items()
            for name in names.split()
        }


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
        if one.startswith(_MANY):
            many, _, inner = one.partition(" of ")
            if not isinstance(value, list if many == "list" else dict):
                return False
            inside = value.values() if isinstance(value, dict) else value
            return all(self._holds(item, inner, sizes) for item in inside)
        array = _ARRAY.fullmatch(one)
        if array is None:
            stored = self.types.get(one)
            if stored is None or not stored.means(type(value)):
                return False
            return not self.object_mismatch(value, stored, sizes)
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
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _KINDS[kind]:
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


def _is_written(one: str) -> bool:
    array = _ARRAY.fullmatch(one)
    if array is not None:
        return array[1] in _KINDS or array[1] == "size"
    literal = len(one) > 1 and one[0] == one[-1] == "'"
    return literal or _NAME.fullmatch(one) is not None
