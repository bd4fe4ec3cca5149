"""What a check is, which checks there are, and running them without pytest."""

from __future__ import annotations

import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from dbgsom_core.errors import PluginError, did_you_mean
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.guard import is_from_a_signal, told
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.footprint import Footprint
from dbgsom_core.plugins.importing import no_exit
from dbgsom_core.plugins.offers import kinds_of
from dbgsom_core.plugins.registry import STEP, get_registry

Function = Callable[[Any, "Subject"], None]
EVERY_KIND = "any"
_OURS = ("the environment", "sys.path", "the warnings filters")  # libraries do so when imported
_MODULES = (
    "common",
    "metrics",
    "metric_abilities",
    "kernels",
    "growth",
    "loop_parts",
    "labellers",
    "run_parts",
    "trackers",
    "engines",
    "steps",
)


@dataclass(frozen=True)
class Subject:
    """What is tested besides the component itself.

    Attributes
    ----------
    kind : str
    name : str or None
        The name under which a plugin offers it, where that is known.
    claims : frozenset of str
        What a metric claims.
    """

    kind: str
    name: str | None = None
    claims: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Check:
    """One promise; call it with a component, and it raises when the promise is broken."""

    name: str
    kind: str
    promise: str
    function: Function
    subject: Subject | None = None

    def __call__(self, component: Component) -> None:
        """Raise AssertionError (or whatever the component raises) when the promise is broken."""
        before = Footprint.now()
        with warnings.catch_warnings(), no_exit():
            warnings.filterwarnings("ignore", message="growth stopped at max_neurons")
            try:
                self.function(component, self.subject or Subject(kind_of(component)))
            except (SystemExit, GeneratorExit, KeyboardInterrupt) as error:
                if is_from_a_signal(error):
                    raise
                raise AssertionError(f"it ends the process: {told(error)}") from error
        changed = [one for one in before.changes() if one not in _OURS]
        assert not changed, f"it changes {', '.join(changed)}, which all share"

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Outcome:
    """How one check ended: ``message`` says what is wrong, ``details`` holds the traceback."""

    check: str
    promise: str
    status: Literal["passed", "failed", "skipped"]
    message: str = ""
    details: str = ""


_checks: list[Check] = []
_applies: dict[str, Callable[[Any, Subject], bool]] = {}


def check(
    kind: str, applies: Callable[[Any, Subject], bool] | None = None
) -> Callable[[Function], Function]:
    """Add a function to the checks of a kind; its name and docstring are the check's.

    Parameters
    ----------
    kind : str
        A kind, or ``EVERY_KIND``.
    applies : function of (component, subject), optional
        Whether the component makes this promise at all.
    """

    def add(function: Function) -> Function:
        name = function.__name__.removeprefix("check_")
        promise = " ".join((function.__doc__ or name).split())
        _checks.append(Check(name, kind, promise, function))
        if applies is not None:
            _applies[name] = applies
        return function

    return add


def all_checks() -> list[Check]:
    """Return every check of every kind, common ones first."""
    for module in _MODULES:
        import_module(f"dbgsom_core.testing.{module}")
    return list(_checks)


def checks_for(
    component: Component,
    kind: str | None = None,
    claims: Sequence[str] | None = None,
    name: str | None = None,
) -> list[Check]:
    """Return the checks that a component must pass.

    Parameters
    ----------
    component : Component, or a transformer for ``prepare``
    kind : str, optional
        Found from its methods without it.
    claims : sequence of str, optional
        What a metric claims, in place of its ``claims`` attribute.
    name : str, optional
        The name under which it is offered; looked up among the installed plugins without it.

    Raises
    ------
    ValueError
        There is no such kind, or its methods fit none or several.
    """
    kind = kind_of(component) if kind is None else _known(kind)
    given: Sequence[str] = claims or ()
    if claims is None and kind == "metric":
        with suppress(PluginError):  # its attributes cannot be read, as a check tells
            given = MetricAbilities.of(component).claims
    subject = Subject(kind, name or _offered_name(kind, component), frozenset(given))
    return [
        Check(one.name, one.kind, one.promise, one.function, subject)
        for one in all_checks()
        if one.kind in (kind, EVERY_KIND if kind != STEP else STEP)
        and _is_asked(one, component, subject)
    ]


def _is_asked(check: Check, component: Component, subject: Subject) -> bool:
    try:
        return check.name not in _applies or _applies[check.name](component, subject)
    except PluginError:
        return False


def is_step(component: Any) -> bool:
    """Say whether it is a transformer, or the class of one; prepare steps are no components."""
    cls = component if isinstance(component, type) else type(component)
    return hasattr(cls, "fit") and hasattr(cls, "transform") and not issubclass(cls, Component)


def kind_of(component: Component) -> str:
    """Return the one kind whose methods a component has; raise ValueError for none or several."""
    if is_step(component):
        return STEP
    found = kinds_of(type(component))
    if len(found) != 1:
        what = "no kind" if not found else " and ".join(found)
        raise ValueError(
            f"{type(component).__name__} has the methods of {what}; say which with kind=…"
        )
    return found[0]


def run_checks(
    component: Component, kind: str | None = None, name: str | None = None
) -> Iterator[Outcome]:
    """Run every check of a component, one after the other, and yield how it ended."""
    for one in checks_for(component, kind, name=name):
        yield judged(one, component)


def judged(check: Check, component: Component) -> Outcome:
    """Return how one check of a component ends."""
    try:
        check(component)
    except unittest.SkipTest as reason:
        return Outcome(check.name, check.promise, "skipped", str(reason))
    except BaseException as error:
        if is_from_a_signal(error):
            raise
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not isinstance(error, AssertionError):
            text = f"{type(error).__name__}: {text}"
        return Outcome(check.name, check.promise, "failed", text, traceback.format_exc())
    return Outcome(check.name, check.promise, "passed")


def _known(kind: str) -> str:
    if kind not in (*KINDS, STEP):
        hint = did_you_mean(kind, KINDS) or f"; known: {', '.join(KINDS)}"
        raise ValueError(f"unknown kind '{kind}'{hint}")
    return kind


def _offered_name(kind: str, component: Component) -> str | None:
    registry = get_registry()
    if kind != STEP:
        offered = registry.offer_of(kind, type(component))
        return None if offered is None else offered.name
    source = f"{type(component).__module__}:{type(component).__qualname__}"
    return next((one.name for one in registry.steps if one.source == source), None)
