"""Modules that others import and that the command line mostly never uses."""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

_first = Lock()


def import_later(name: str) -> None:
    """Let what imports a module of a package get one that is imported once it is used.

    Whoever imports a name *from* it uses it. Of the process of a command alone: a library has no
    business with what others import. (`importlib.util.LazyLoader` loads as soon as a second
    ``import`` looks at the module's spec, before Python 3.12.)
    """
    sys.modules.setdefault(name, _Later(name))


class _Later(ModuleType):
    def __getattr__(self, attribute: str) -> Any:
        with _first:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), attribute)
