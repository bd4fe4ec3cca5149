"""Which objects a model file may hold, and what each of their attributes may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

from dbgsom_core.errors import PluginError

ARRAY_KINDS = {  # in numpy's letters
    "float": "f", "finite": "biuf", "number": "biuf", "int": "iu", "flag": "b", "text": "UO",
    "any": "biufSUMmO",
}  # fmt: skip
_LENGTH = r"\s*(?:\w+|\*)\s*"
ARRAY = re.compile(rf"(\w+)\[({_LENGTH}(?:,{_LENGTH})*)\]")
MANY: dict[str, type[Any]] = {"list of ": list, "tuple of ": tuple, "mapping of ": dict}
_MANY_OF = re.compile("^((list|tuple|mapping) of )*")
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
    * ``list of any[*]``, ``tuple of text``, ``mapping of number``: such values, also of such, as in
      ``mapping of tuple of text``; what a mapping has as keys is text
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
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may end itself
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


def _is_written(one: str) -> bool:
    array = ARRAY.fullmatch(one)
    if array is not None:
        return array[1] in ARRAY_KINDS or array[1] == "size"
    literal = len(one) > 1 and one[0] == one[-1] == "'"
    return literal or _NAME.fullmatch(one) is not None
