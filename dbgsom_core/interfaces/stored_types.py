"""The allow-list of classes in model files, and the types of their attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from pkgutil import resolve_name
from typing import Any

from dbgsom_core.errors import PluginError

_ARRAYS = {  # in numpy's letters
    "float": "f", "finite": "biuf", "number": "biuf", "int": "iu", "flag": "b", "text": "UO",
    "any": "biufSUMmO", "size": "",
}  # fmt: skip
_LENGTH = r"\s*(?:\w+|\*)\s*"
_ARRAY = re.compile(rf"(\w+)\[({_LENGTH}(?:,{_LENGTH})*)\]")
_MANY: dict[str, type[Any]] = {"list of ": list, "tuple of ": tuple, "mapping of ": dict}
_MANY_OF = re.compile(r"((list|tuple|mapping) of )*")
_PLAIN = re.compile(rf"{_MANY_OF.pattern}('[^|]*'|[\w.:-]+)")


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
            for kind in map(str.strip, holds.split("|")):
                array = _ARRAY.fullmatch(_MANY_OF.sub("", kind))
                if array[1] not in _ARRAYS if array else not _PLAIN.fullmatch(kind):
                    message = f"{self.where} may hold {kind!r} as {names}"
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
        attributes = self.attributes
        if attributes is None:
            given, attributes = {}, {}
        else:
            given = dict(vars(value))
        sizes: dict[str, int] = {}
        for names, holds in attributes.items():
            for entry in names.split():
                name = entry.removesuffix("?")
                if name in given:
                    problem = mismatch(given.pop(name), holds, sizes, types)
                    if problem:
                        return f".{name}{problem}"
                elif name == entry:
                    return f" lacks {name}"
        for name in given:
            return f".{name} is an attribute that model files do not hold"
        fits = self.fits is None or self.fits(value)
        return "" if fits else " has attributes that do not fit each other"


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
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"an array of {value.dtype} and shape {value.shape}"
    if value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:59]}…"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


def _holds(value: Any, kind: str, sizes: dict[str, int], types: Mapping[str, StoredType]) -> bool:
    if kind.startswith("'"):
        return isinstance(value, str) and value == kind[1:-1]
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    for prefix, container in _MANY.items():
        if kind.startswith(prefix):
            items = value.values() if isinstance(value, dict) else value
            inner = kind.removeprefix(prefix)
            return isinstance(value, container) and all(
                _holds(item, inner, sizes, types) for item in items
            )
    array = _ARRAY.fullmatch(kind)
    if array is None:  # an object, which was looked at when it was made
        return kind in types and types[kind].means(type(value))
    lengths = getattr(value, "shape", ())
    if array[1] == "size" and _is_integer(value):
        lengths = (int(value),)
    elif not _is_array(value, array[1]):
        return False
    names = [name.strip() for name in array[2].split(",")]
    return len(names) == len(lengths) and all(
        name == "*" or length == (int(name) if name.isdigit() else sizes.setdefault(name, length))
        for name, length in zip(names, lengths, strict=True)
    )


def _is_array(value: Any, kind: str) -> bool:
    import numpy as np  # is slow to import, and an author's types need none

    if not isinstance(value, np.ndarray) or value.dtype.kind not in _ARRAYS[kind]:
        return False
    if value.dtype.kind == "f" and value.dtype not in (np.float32, np.float64):
        return False
    if value.dtype == object:
        return all(isinstance(item, str) for item in value.ravel())
    return kind != "finite" or bool(np.isfinite(value).all())


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) < 2**63


_SCALARS: Mapping[str, Callable[[Any], bool]] = {
    "none": lambda value: value is None,
    "flag": lambda value: (
        isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b"
    ),
    "integer": _is_integer,
    "number": lambda value: (
        _is_integer(value) or (isinstance(value, Real) and not isinstance(value, Integral))
    ),
    "text": lambda value: isinstance(value, str),
}
