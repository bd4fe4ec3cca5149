"""The allow-list of classes in model files, and the types of their attributes."""

from __future__ import annotations

import re
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
    "any": "biufSUMmO", "size": "",
}  # fmt: skip
_ARRAY = re.compile(rf"({'|'.join(_ARRAYS)})\[([\w*, ]+)\]")
_SCALARS: dict[str, type[Any]] = {
    "none": type(None), "flag": bool, "integer": Integral, "number": Real, "text": str,
}  # fmt: skip
_MANY: dict[str, type[Any]] = {"list of ": list, "tuple of ": tuple, "mapping of ": dict}
_NAME = re.compile(r"'[^|]*'|[\w.:-]+")  # a word, a scalar or a stored type


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
        The type of each attribute. One key may name several, ``"mean_ scale_"``; with ``?`` at
        its end an attribute may be missing, and one that is not named may not be there. None: any
        plain attributes, where a row of ones shows all that can be wrong with them.
    fits : callable, optional
        Gets an object whose attributes are as described; False where they do not fit each other.
        What nobody checks later is checked here, above all positions in other arrays.

    Raises
    ------
    ValueError
        The type of an attribute is not in this notation.

    Notes
    -----
    The types of attributes, alternatives separated by ``|``:

    * ``none``, ``flag``, ``integer``, ``number``, ``text``, and ``'word'`` for this text alone
    * ``float[C, D]``: an array of float32 or float64; also ``finite`` (numbers without nan and
      infinity), ``number``, ``int``, ``flag``, ``text``, and ``any`` for numbers, text or dates
    * ``size[D]``: an integer that is the length called D
    * ``list of any[*]``, ``tuple of text``, ``mapping of number``: such values, also of such, as in
      ``mapping of tuple of text``; what a mapping has as keys is text
    * ``acme-som:scaler``: an object of the stored type of this name

    Lengths of one name are equal in the whole object; ``*`` is any length.
    """

    where: str
    attributes: Mapping[str, str] | None
    fits: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        if not all(self.where.partition(":")):
            raise ValueError(f"where is {self.where!r}; write 'module:Class'")
        for names, holds in (self.attributes or {}).items():
            for kind in holds.split("|"):
                item = re.sub("(list|tuple|mapping) of ", "", kind.strip())
                if not (_ARRAY.fullmatch(item) or _NAME.fullmatch(item)):
                    message = f"{self.where} may hold {kind.strip()!r} as {names}"
                    raise ValueError(f"{message}, which means nothing; see StoredType")

    def load(self) -> type[Any]:
        """Import and return the class; raise `PluginError` when that fails."""
        try:
            cls = resolve_name(self.where)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may end itself
            message = f"{type(error).__name__}: {error}"
            raise PluginError(f"{self.where} cannot be imported ({message})") from error
        if not isinstance(cls, type):
            raise PluginError(f"{self.where} is no class")
        return cls

    def means(self, cls: type[Any]) -> bool:
        """Return whether this is exactly the class ``cls``."""
        if self.where.rpartition(":")[2] != cls.__qualname__:
            return False
        with suppress(PluginError):  # what cannot be imported is no object's class
            return self.load() is cls
        return False

    def mismatch(self, value: Any, types: Mapping[str, StoredType]) -> str:
        """Return why an object of the class cannot be held, as `mismatch` does."""
        given = dict(vars(value))
        sizes: dict[str, int] = {}
        for names, holds in (self.attributes or {}).items():
            for entry in names.split():
                name = entry.removesuffix("?")
                if name not in given and name == entry:
                    return f" lacks {name}"
                if name in given:
                    problem = mismatch(given.pop(name), holds, sizes, types)
                    if problem:
                        return f".{name}{problem}"
        if given and self.attributes is not None:
            return f".{min(given)} is an attribute that model files do not hold"
        if self.fits is not None and not self.fits(value):
            return " has attributes that do not fit each other"
        return ""


def mismatch(value: Any, holds: str, sizes: dict[str, int], types: Mapping[str, StoredType]) -> str:
    """Return why a value cannot be held, as the end of a sentence; empty where it can.

    ``holds`` is written as in `StoredType`; lengths of the value are added to ``sizes``.
    """
    for kind in holds.split("|"):
        known = dict(sizes)
        if _holds(value, kind.strip(), known, types):
            sizes.update(known)
            return ""
    named = {name: sizes[name] for name in re.findall(r"\w+", holds) if name in sizes}
    where = " where " + ", ".join(f"{name} is {n}" for name, n in named.items())
    return f" must be {holds}{where if named else ''}, not {shown(value)}"


def shown(value: Any) -> str:
    """Return a short text for a value of a file."""
    plain = value is None or isinstance(value, (bool, int, float, str))
    return reprlib.repr(value) if plain else described(value)


def _holds(value: Any, kind: str, sizes: dict[str, int], types: Mapping[str, StoredType]) -> bool:
    for prefix, container in _MANY.items():
        if kind.startswith(prefix):
            items = value.values() if isinstance(value, dict) else value
            inner = kind.removeprefix(prefix)
            return isinstance(value, container) and all(
                _holds(item, inner, sizes, types) for item in items
            )
    if kind.startswith("'"):
        return isinstance(value, str) and value == kind[1:-1]
    if kind in _SCALARS:
        kind_of_array = getattr(getattr(value, "dtype", None), "kind", "")
        is_flag = isinstance(value, bool) or kind_of_array == "b"
        return is_flag if kind == "flag" else isinstance(value, _SCALARS[kind]) and not is_flag
    array = _ARRAY.fullmatch(kind)
    if array is None:  # an object, which was looked at when it was made
        return kind in types and types[kind].means(type(value))
    if array[1] == "size" and isinstance(value, Integral):
        shape: tuple[int, ...] = (int(value),)
    elif _is_array(value, array[1]):
        shape = value.shape
    else:
        return False
    names = array[2].replace(" ", "").split(",")
    if len(names) != len(shape):
        return False
    for name, length in zip(names, shape, strict=True):
        expected = int(name) if name.isdigit() else sizes.setdefault(name, length)
        if length != expected and name != "*":
            return False
    return True


def _is_array(value: Any, kind: str) -> bool:
    import numpy as np  # is slow to import, and an author's types need none

    if not isinstance(value, np.ndarray) or value.dtype.kind not in _ARRAYS[kind]:
        return False
    if value.dtype == object:
        return all(isinstance(item, str) for item in value.ravel())
    if value.dtype.kind == "f" and value.dtype not in (np.float32, np.float64):
        return False
    return kind != "finite" or bool(np.isfinite(value).all())
