"""The allow-list of classes in model files, and what their attributes hold."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from pkgutil import resolve_name
from typing import Any

from dbgsom_core.errors import PluginError, described

_ARRAYS = {  # in numpy's letters
    "float": "f", "finite": "biuf", "number": "biuf", "int": "iu", "flag": "b", "text": "UO",
    "any": "biufSUMmO",
}  # fmt: skip
_SCALARS: dict[str, type[Any]] = {
    "none": type(None), "flag": bool, "integer": Integral, "number": Real, "text": str,
    "plain": object,
}  # fmt: skip
_LONGEST = 1 << 22  # columns: a trial row of ones then takes 32 MB
_LISTED = {"n_features_in_": "size[D]"}  # of every transformer whose attributes are not named


@dataclass(frozen=True)
class StoredType:
    """A class on the allow-list of model files.

    Parameters
    ----------
    where : str
        ``"module:Class"``, imported when a model or a file holds such an object. Subclasses are
        another class. Objects are made attribute by attribute, without a call of the class; then a
        row of ones shows whether a transformer works with them.
    attributes : mapping of str to str, or None
        What each attribute holds. One key may name several, ``"mean_ scale_"``; with ``?`` at its
        end an attribute may be missing, and one that is not named may not be there. None:
        ``n_features_in_`` and any plain attributes.
    fits : callable, optional
        Gets an object whose attributes are as described; False where they do not fit each other.
        What nobody checks later is checked here, above all positions in other arrays.

    Notes
    -----
    What an attribute holds, alternatives separated by ``|``:

    * ``none``, ``flag``, ``integer``, ``number``, ``text``
    * ``plain``: whatever files may hold, as lists, tuples and mappings of such values
    * ``float[C, D]``: an array of float32 or float64; also ``finite`` (numbers without nan and
      infinity), ``number``, ``int``, ``flag``, ``text``, and ``any`` for numbers, text or dates
    * ``size[D]``: an integer that is the length called D

    Lengths of one name are equal in the whole object; ``*`` is any length.
    """

    where: str
    attributes: Mapping[str, str] | None
    fits: Callable[[Any], bool] | None = None

    def load(self) -> type[Any]:
        """Import and return the class; raise `PluginError` when that fails."""
        try:
            cls: type[Any] = resolve_name(self.where)
        except (Exception, SystemExit) as error:  # a module may end itself
            message = f"{type(error).__name__}: {error}"
            raise PluginError(f"{self.where} cannot be imported ({message})") from error
        return cls

    def means(self, cls: type[Any]) -> bool:
        """Return whether this is exactly the class ``cls``."""
        if self.where.rpartition(":")[2] != cls.__qualname__:
            return False
        with suppress(PluginError):  # what cannot be imported is no object's class
            return self.load() is cls
        return False

    def problem(self, value: Any) -> str:
        """Return what is wrong with an object of the class; empty where nothing is."""
        attributes = vars(value)
        problem = problem_of(attributes, self.attributes or _LISTED, {})
        if self.attributes is not None:
            names = " ".join(self.attributes).replace("?", "").split()
            unknown = attributes.keys() - names
            if unknown:
                return f"{min(unknown)} is an attribute that model files do not hold"
        if not problem and self.fits is not None and not self.fits(value):
            return "its attributes do not fit each other"
        return problem


def problem_of(values: Mapping[str, Any], table: Mapping[str, str], sizes: dict[str, int]) -> str:
    """Return which of the values is not as its table says; empty where all are.

    The table is that of a `StoredType`; lengths of the values are added to ``sizes``.
    """
    for names, kinds in table.items():
        for entry in names.split():
            name = entry.removesuffix("?")
            if name not in values:
                if name == entry:  # without a ?
                    return f"{name} is missing"
                continue
            value = values[name]
            if not any(_holds(value, kind.strip(), sizes) for kind in kinds.split("|")):
                lengths = ", ".join(f"{letter} is {n}" for letter, n in sizes.items())
                return f"{name} must be {kinds} where {lengths}, not {shown(value)}"
    return ""


def shown(value: Any) -> str:
    """Return a short text for a value of a file."""
    plain = value is None or isinstance(value, (bool, int, float, str))
    return reprlib.repr(value) if plain else described(value)


def _holds(value: Any, kind: str, sizes: dict[str, int]) -> bool:
    word, bracket, dimensions = kind.removesuffix("]").partition("[")
    if not bracket:
        named = type(value).__name__ == word  # of our own classes, which the allow-list made
        return named or isinstance(value, _SCALARS.get(word, ()))
    shape: tuple[int, ...] = getattr(value, "shape", ())
    if word == "size":
        if not isinstance(value, Integral) or not 0 <= int(value) <= _LONGEST:
            return False
        shape = (int(value),)
    elif not _is_array(value, word):
        return False
    names = dimensions.replace(" ", "").split(",")
    if len(names) != len(shape):
        return False
    for name, length in zip(names, shape, strict=True):
        if name == "*":
            continue
        expected = int(name) if name.isdigit() else sizes.setdefault(name, length)
        if length != expected:
            return False
    return True


def _is_array(value: Any, word: str) -> bool:
    import numpy as np  # is slow to import, and an author's types need none

    if not isinstance(value, np.ndarray) or value.dtype.kind not in _ARRAYS.get(word, ""):
        return False
    if value.dtype.kind == "f" and value.dtype not in (np.float32, np.float64):
        return False
    return word != "finite" or bool(np.isfinite(value).all())
