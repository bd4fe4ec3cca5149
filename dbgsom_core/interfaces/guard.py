"""The border between the core and components: who is asked, what they raise, what they return.

The methods of a component are wrapped once, where its abilities are found out. Those of built-ins
are not: the kit has seen what they return, and a fit of 14 ms has no time to look again. They are
told by the package of their class, so a subclass of a built-in is a stranger.
"""

from __future__ import annotations

import dis
import inspect
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from dbgsom_core.errors import ComponentError, DbgsomError, UnfitError
from dbgsom_core.interfaces.lookup import lookup_in_use

if TYPE_CHECKING:
    from dbgsom_core.interfaces.read_only import ReadOnly

_OWN = ("dbgsom_core", "dbgsom_plugins")
_LOCKED = ("form", "prepare")  # methods that remember arrays or hand them back: they get no views


def is_own(component: Any) -> bool:
    """Say whether a component is built in."""
    return _root(component) in _OWN


def guarded(kind: str, component: Any, method: str) -> Any:
    """Return a method of a component as the core calls it; None where it has none."""
    if is_own(component):
        return getattr(component, method, None)
    return None if asked(kind, component, method) is None else Guarded(kind, component, method)


def asked(kind: str, component: Any, name: str) -> Any:
    """Return an attribute of a component, None where it has none.

    Raises
    ------
    ComponentError
        A property of this name raises.
    """
    try:
        if isinstance(getattr(type(component), name, None), property):
            return getattr(component, name)  # an AttributeError within it is no lack
        return getattr(component, name, None)
    except BaseException as error:
        _blame(kind, component, name, error)


@dataclass(frozen=True)
class Guarded:
    """A method of a component: it gets what it cannot change, and what it returns is looked at."""

    kind: str
    component: Any
    method: str
    checked_as: str = ""

    @cached_property
    def _border(
        self,
    ) -> tuple[Callable[[], ReadOnly], Callable[..., Any], Callable[..., Any] | None]:
        # What makes arguments read-only, the method and the check of its answer, looked up once: a
        # fit calls a hundred times, and numpy is slow to import.
        from dbgsom_core.interfaces.read_only import ReadOnly
        from dbgsom_core.interfaces.validation import CHECKS

        check = CHECKS.get((self.kind, self.checked_as or self.method))
        return partial(ReadOnly, self.method not in _LOCKED), self.bare, check

    def __call__(self, *given: Any) -> Any:
        """Call it.

        Raises
        ------
        ComponentError
            It raised, returned what it may not, or changed the map.
        """
        try:
            make_read_only, method, check = self._border
            read_only = make_read_only()
            try:
                answer = method(*map(read_only.of, given))
                if check is not None:
                    answer = check(answer, *given)
            finally:
                read_only.end()
            read_only.check()
            return answer
        except BaseException as error:
            _blame(self.kind, self.component, self.method, error)

    @property
    def bare(self) -> Callable[..., Any]:
        """The method itself, for who wants to look on their own."""
        method: Callable[..., Any] = getattr(self.component, self.method)
        return method

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@contextmanager
def contained(kind: str, component: Any, method: str) -> Iterator[None]:
    """Turn whatever a component raises into an error that names it.

    What it raises on purpose (`DbgsomError`) and what a person sent passes.
    """
    try:
        yield
    except BaseException as error:
        _blame(kind, component, method, error)


def _blame(kind: str, component: Any, method: str, error: BaseException) -> NoReturn:
    # For an error that is being handled.
    if isinstance(error, DbgsomError) or is_from_a_signal(error):
        raise
    place = _place(component, method, error)
    raise ComponentError(f"{who(kind, component)} ({place}): {told(error, method)}") from error


@contextmanager
def blamed(kind: str, component: Any) -> Iterator[None]:
    """Name a component for what comes out of its code where no method of its own was called.

    So do the samples of an engine, which live for a whole training.
    """
    try:
        yield
    except DbgsomError:
        raise
    except BaseException as error:
        frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        theirs = any(_root_of(frame) == _root(component) for frame in frames)
        if is_own(component) or not theirs:
            raise
        with contained(kind, component, ""):
            raise


def told(error: BaseException, method: str = "") -> str:
    """Return what went wrong in one line."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, UnfitError):
        return f"{method} {text}".strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def who(kind: str, component: Any) -> str:
    """Return what errors call a component: as a plugin offers it, else by its class."""
    offered = lookup_in_use().offer_of(kind, type(component))
    if offered is None:
        return f"{kind} {type(component).__name__}"
    return f"{kind} '{offered.name}' of {offered.distribution} {offered.version}"


def is_from_a_signal(error: BaseException) -> bool:
    """Say whether a `KeyboardInterrupt` is a person's: no statement of a component raised it.

    Python raises it between two instructions, or a handler that somebody installed does.
    """
    trace = error.__traceback__
    if not isinstance(error, KeyboardInterrupt) or trace is None:
        return isinstance(error, KeyboardInterrupt)
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    if dis.opname[code.co_code[trace.tb_lasti]] != "RAISE_VARARGS":
        return True
    handlers = [
        getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()
    ]
    return _root_of(trace.tb_frame) in _OWN or any(frame.f_code in handlers for frame in frames)


def _root_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _root(component: Any) -> str:
    return type(component).__module__.partition(".")[0]


def _place(component: Any, method: str, error: BaseException) -> str:
    # Where in the component's package it went wrong, else where its method begins.
    root = _root(component)
    spots = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _root_of(frame) == root
    ]
    if not spots or isinstance(error, UnfitError):
        found = inspect.getattr_static(type(component), method, None)
        for name in ("__func__", "fget", "py_func"):
            found = getattr(found, name, found)
        code = getattr(inspect.unwrap(found) if callable(found) else None, "__code__", None)
        spots = [(code.co_filename, code.co_firstlineno)] if code is not None else spots
    with suppress(OSError, TypeError):  # no method: where the class begins
        if not spots:
            cls = type(component)
            spots = [(inspect.getsourcefile(cls) or "", inspect.getsourcelines(cls)[1])]
    return f"{Path(spots[-1][0]).name}:{spots[-1][1]}" if spots else type(component).__module__
