"""The guard of third parties' components.

The core calls built-ins as they are: the conformance kit has checked them, and a fit of 14 ms has
no time for more. A third party's component is wrapped once by `guarded`: its methods then get
read-only arguments, what they return is checked, and errors name the component. A component is
built in by the package of its class, so a subclass of a built-in is not.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.errors import ComponentError, DbgsomError, UnfitError
from dbgsom_core.interfaces.current import active_registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OWN = ("dbgsom_core", "dbgsom_plugins")
# What a component may raise; a KeyboardInterrupt is a person's.
RAISED = (Exception, SystemExit, GeneratorExit)
# Called without a check: numba compiles the one, checkpoints read the others.
_AS_IS = ("scalar", "remembered", "remember")


# ------------------------------------------------------------------------ the wrapper


class Wrapper:
    """An object that passes for a component, of which a subclass replaces some attributes."""

    def __init__(self, component: Any) -> None:
        self._component = component

    @property  # type: ignore[misc] # it cannot be set
    def __class__(self) -> Any:  # so that isinstance sees the component
        return self._component.__class__

    def __getattr__(self, name: str) -> Any:
        # Called for what the wrapper itself has not: the first time, as answers are kept.
        if name.startswith("__pydantic_"):  # by which isinstance of pydantic 2.10 knows a model
            return getattr(self._component, name)
        if name.startswith("__") or name == "_component":
            raise AttributeError(name)
        value = vars(self)[name] = self._attribute(name)
        return value

    def _attribute(self, name: str) -> Any:
        return getattr(self._component, name)

    def __reduce__(self) -> Any:
        return type(self), (self._component,)


class Guarded(Wrapper):
    """A third party's component as the core calls it.

    Raises `ComponentError` at once where an attribute raises, or is not what it may be.
    """

    def __init__(self, component: Any) -> None:
        from dbgsom_core.interfaces.validation import check_attributes  # numpy is slow to import

        super().__init__(component)
        with error_names(component):
            check_attributes(self)

    def _attribute(self, name: str) -> Any:
        component = self._component
        default = vars(base_of(component)).get(name)
        if inspect.isfunction(default) and getattr(type(component), name) is default:
            return default.__get__(self)  # what the base does with its methods is guarded, too
        if isinstance(getattr(type(component), name, None), property):
            with error_names(component, name):  # an AttributeError within it is no lack
                value = getattr(component, name)
        else:
            value = getattr(component, name)
        if callable(value) and name not in _AS_IS:
            return lambda *given: self._call(name, value, given)
        return value

    def _call(self, name: str, method: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        from dbgsom_core.interfaces.validation import call

        with error_names(self._component, name):
            return call(self._component, name, method, given)

    def _call_loop(self, loop: Callable[..., Any], *given: Any) -> Any:
        from dbgsom_core.interfaces.validation import distances

        with error_names(self._component, "scalar"):
            answer = loop(*given)
            return distances(answer, answer.shape)


class MetricWithState(Wrapper):
    """A metric whose methods have got what its ``fit`` returned; all else is the metric's."""

    def __init__(self, metric: Any, state: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(metric)
        self._state = state
        for name in ("prepare", "assign", "pairwise") if metric.uses_state else ("prepare",):
            setattr(self, name, self._bound(getattr(metric, name)))

    def _bound(self, method: Callable[..., Any] | None) -> Callable[..., Any] | None:
        return None if method is None else lambda *given: method(*given, self._state)

    def prepared(self, X: Any) -> Any:
        return X if self.prepare is None else self.prepare(X)

    def __reduce__(self) -> Any:
        return type(self), (self._component, self._state)


def guarded(component: Any) -> Any:
    """Return a component as the core calls it: a built-in itself, a third party's `Guarded`."""
    return component if is_own(component) else Guarded(component)


def is_own(component: Any) -> bool:
    return _package(component) in _OWN


def base_of(component: Any) -> type[Any]:
    """Return the base of the component's kind: `KernelComponent` of a kernel."""
    found: type[Any] = next(cls for cls in component.__class__.__mro__ if "KIND" in vars(cls))
    return found


def check_promises(metric: Any, X: NDArray[Any]) -> None:
    """Raise ComponentError where distances of prepared samples (n, D) are not what it claims.

    Built-ins are not asked.
    """
    wrapped = metric._component if type(metric) is MetricWithState else metric
    if type(wrapped) is Guarded:
        from dbgsom_core.interfaces import validation  # numpy is slow to import

        with error_names(wrapped._component):
            validation.check_promises(metric, X)


# ------------------------------------------------------------------------ errors


@contextmanager
def error_names(component: Any, method: str = "") -> Iterator[None]:
    """Turn what a component raises into a `ComponentError` that names it.

    What it raises on purpose (`DbgsomError`) passes.
    """
    try:
        yield
    except DbgsomError:
        raise
    except RAISED as error:
        # The line that raised, or that on which the method begins.
        lines = []
        code = getattr(inspect.unwrap(getattr(type(component), method, object)), "__code__", None)
        if code is not None:
            lines = [(code.co_filename, code.co_firstlineno)]
        if not isinstance(error, UnfitError):
            lines += _lines(component, error)
        place = ""
        if lines:
            file, line = lines[-1]
            place = f" ({Path(file).name}:{line})"
        raise ComponentError(f"{who(component)}{place}: {error_line(error, method)}") from error


@contextmanager
def own_error_names(component: Any) -> Iterator[None]:
    """Do so only for errors raised in the component's package: its samples may raise others."""
    try:
        yield
    except DbgsomError:
        raise
    except RAISED as error:
        if is_own(component) or not _lines(component, error):
            raise
        with error_names(component):
            raise


def error_line(error: BaseException, method: str = "") -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, UnfitError):
        return f"{method} {text}".strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def who(component: Any) -> str:
    """Return the name of a component in errors: its plugin's name, or its class."""
    cls = component.__class__
    offered = active_registry().offer_of(cls.KIND, cls)
    if offered is None:
        return f"{cls.KIND} {cls.__name__}"
    return f"{cls.KIND} '{offered.name}' of {offered.distribution} {offered.version}"


def _package(component: Any) -> str:
    return type(component).__module__.partition(".")[0]


def _lines(component: Any, error: BaseException) -> list[tuple[str, int]]:
    own = _package(component)
    return [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == own
    ]
