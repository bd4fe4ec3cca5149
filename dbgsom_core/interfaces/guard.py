"""Calls of components: what they get is read-only, what they return is checked, errors name them.

Methods of built-ins are called as they are: the conformance kit has checked them, and a fit of
14 ms has no time for it. A component is built in by the package of its class, so a subclass of a
built-in is not.

The registry, which knows components by name, stands above the interfaces and is not imported here:
code that builds components sets the current one, and the package sets the default.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbgsom_core.errors import ComponentError, DbgsomError, UnfitError

_OWN = ("dbgsom_core", "dbgsom_plugins")
# What a component may raise; a KeyboardInterrupt is a person's.
RAISED = (Exception, SystemExit, GeneratorExit)


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


def is_own(component: Any) -> bool:
    return _package(component) in _OWN


def guarded(kind: str, component: Any, method: str) -> Any:
    """Return a method of a component as the core calls it; None where it has none."""
    if is_own(component):
        return getattr(component, method, None)
    found = attribute_of(kind, component, method)
    return None if found is None else Guarded(kind, component, method)


def attribute_of(kind: str, component: Any, name: str) -> Any:
    """Return an attribute of a component, None where it has none.

    A property that raises is a `ComponentError`.
    """
    if not isinstance(getattr(type(component), name, None), property):
        return getattr(component, name, None)
    with error_names(kind, component, name):
        return getattr(component, name)  # an AttributeError within it is no lack


@dataclass(frozen=True)
class Guarded:
    """A method of a component: its arguments are read-only, its answer is checked.

    ``checked_as`` names the check where it is not that of the method.
    """

    kind: str
    component: Any
    method: str
    checked_as: str = ""

    def __call__(self, *given: Any) -> Any:
        from dbgsom_core.interfaces.validation import call  # numpy is slow to import

        with error_names(self.kind, self.component, self.method):
            check = (self.kind, self.checked_as or self.method)
            return call(getattr(self.component, self.method), check, given)


@contextmanager
def error_names(kind: str, component: Any, method: str = "") -> Iterator[None]:
    """Turn what a component raises into a `ComponentError` that names it.

    What it raises on purpose (`DbgsomError`) passes.
    """
    try:
        yield
    except DbgsomError:
        raise
    except RAISED as error:
        # The line that raised, or that on which the method begins.
        lines = [] if isinstance(error, UnfitError) else _lines(component, error)
        code = getattr(inspect.unwrap(getattr(type(component), method, who)), "__code__", None)
        if not lines and code is not None and code is not who.__code__:
            lines = [(code.co_filename, code.co_firstlineno)]
        place = f" ({Path(lines[-1][0]).name}:{lines[-1][1]})" if lines else ""
        raise ComponentError(
            f"{who(kind, component)}{place}: {error_line(error, method)}"
        ) from error


@contextmanager
def own_error_names(kind: str, component: Any) -> Iterator[None]:
    """Do so only for errors raised in the component's package: its samples may raise others."""
    try:
        yield
    except DbgsomError:
        raise
    except RAISED as error:
        if is_own(component) or not _lines(component, error):
            raise
        with error_names(kind, component):
            raise


def error_line(error: BaseException, method: str = "") -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, UnfitError):
        return f"{method} {text}".strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def who(kind: str, component: Any) -> str:
    """Return the name of a component in errors: its plugin's name, or its class."""
    offered = active_registry().offer_of(kind, type(component))
    if offered is None:
        return f"{kind} {type(component).__name__}"
    return f"{kind} '{offered.name}' of {offered.distribution} {offered.version}"


def _package(component: Any) -> str:
    return type(component).__module__.partition(".")[0]


def _lines(component: Any, error: BaseException) -> list[tuple[str, int]]:
    own = _package(component)
    return [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == own
    ]
