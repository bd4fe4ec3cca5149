"""Where components in fields of components are looked up by name.

The registry stands above the interfaces, so it is not imported here: whoever builds components
says which one to use, and the package says once which is used otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class Lookup(Protocol):
    """Knows components by kind and name, as `dbgsom_core.plugins.registry.Registry` does."""

    def find(self, kind: str, name: str) -> Any:
        """Return the class of a component."""

    def build(self, kind: str, spec: Any) -> Any:
        """Return a component from a name, a mapping with ``name``, or an instance."""

    def offer_of(self, kind: str, cls: type[Any]) -> Any:
        """Return the offer that means a class, or None where no plugin offers it."""

    def name_of(self, kind: str, component: Any) -> str:
        """Return the name under which a component can be built again."""


_in_use: ContextVar[Lookup | None] = ContextVar("lookup", default=None)
_usual: list[Callable[[], Lookup]] = []


def set_default_lookup(make: Callable[[], Lookup]) -> None:
    """Let ``make()`` return the lookup where none is in use; it is called when first needed."""
    _usual[:] = [make]


@contextmanager
def use_lookup(lookup: Lookup) -> Iterator[None]:
    """Find nested components in ``lookup`` instead of this process's own one."""
    token = _in_use.set(lookup)
    try:
        yield
    finally:
        _in_use.reset(token)


def lookup_in_use() -> Lookup:
    """Return where nested components are found now."""
    return _in_use.get() or _usual[0]()
