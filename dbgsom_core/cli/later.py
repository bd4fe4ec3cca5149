"""Modules that others import and that a command never uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def imported_later(name: str) -> Iterator[None]:
    """Let what imports a module of a package meanwhile get one that is imported once it is used.

    Nothing is left of it afterwards but in the names of those who imported it: whoever else does
    gets the module. (`importlib.util.LazyLoader` loads as soon as a second ``import`` looks at the
    module's spec, before Python 3.12.)
    """
    if name in sys.modules:
        yield
        return
    later = _Later(name)
    sys.modules[name] = later
    try:
        yield
    finally:
        later.step_aside()


class _Later(ModuleType):
    def step_aside(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, attribute: str) -> Any:
        self.step_aside()
        return getattr(import_module(self.__name__), attribute)
