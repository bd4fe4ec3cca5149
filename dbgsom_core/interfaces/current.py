"""The registry by which components are built and named in this context.

It stands above the interfaces and is not imported here: code that builds components sets the
current one, and the package sets the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# A `dbgsom_core.plugins.registry.Registry`, or what has its methods.
_current: ContextVar[Any] = ContextVar("registry", default=None)
_default: list[Callable[[], Any]] = []


def set_default_registry(make: Callable[[], Any]) -> None:
    """Set the function that returns the registry where `use_registry` has set none."""
    _default[:] = [make]


@contextmanager
def use_registry(registry: Any) -> Iterator[None]:
    """Use ``registry`` for nested components in the ``with`` block."""
    token = _current.set(registry)
    try:
        yield
    finally:
        _current.reset(token)


def active_registry() -> Any:
    return _current.get() or _default[0]()
