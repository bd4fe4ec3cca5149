"""Imports of submodules that wait for their first use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def lazy_import(name: str) -> Iterator[None]:
    """Replace a submodule by a proxy that imports it on first use, for imports within the context.

    Afterwards only the modules that imported it have the proxy; later imports get the module.
    (`importlib.util.LazyLoader` loads as soon as a second ``import`` reads the module's spec,
    before Python 3.12.)
    """
    if name in sys.modules:
        yield
        return
    proxy = _Proxy(name)
    sys.modules[name] = proxy
    try:
        yield
    finally:
        proxy.remove()


class _Proxy(ModuleType):
    def remove(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, attribute: str) -> Any:
        self.remove()
        return getattr(import_module(self.__name__), attribute)
