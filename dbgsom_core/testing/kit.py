"""What a check is, which checks there are, and running them without pytest."""

from __future__ import annotations

import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from dbgsom_core.errors import PluginError, did_you_mean
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.guard import RAISED, Guarded, error_line
from dbgsom_core.interfaces.metrics import CLAIMS, MetricAbilities
from dbgsom_core.plugins.registry import STEP, get_registry, kinds_of

if TYPE_CHECKING:
    import pytest

Function = Callable[[Any, "Subject"], None]
Applies = Callable[[Any], bool]
ExpectedFailures = Mapping[str, str] | Callable[[Component], Mapping[str, str]]
EVERY_KIND, MODEL_PART = "any", "model part"
_MODEL_PARTS = ("metric", "kernel", "growth", "initialisation", "grid", "schedule", "stopping",
                "labeller", "engine")  # fmt: skip
_MODULES = ("common", "metrics", "kernels", "growth", "training", "labellers", "runs", "trackers",
            "engines", "steps")  # fmt: skip


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
    applies: Applies | None = None
    subject: Subject | None = None

    def __call__(self, component: Component) -> None:
        """Raise AssertionError (or what the component raises) when the promise is broken."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="growth stopped at max_neurons")
            try:
                self.function(component, self.subject or Subject(kind_of(component)))
            except (SystemExit, GeneratorExit) as error:
                raise AssertionError(f"it ends the process: {error_line(error)}") from error

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


def check(kind: str, applies: Applies | None = None) -> Callable[[Function], Function]:
    """Add a function to the checks of a kind; its name and docstring are the check's.

    ``applies(component)`` says whether the component makes this promise at all.
    """

    def add(function: Function) -> Function:
        name = function.__name__.removeprefix("check_")
        promise = " ".join((function.__doc__ or name).split())
        _checks.append(Check(name, kind, promise, function, applies))
        return function

    return add


def ask(kind: str, component: Any, method: str, *given: Any) -> Any:
    """Call a method as a run does: arguments are read-only, and the answer is checked."""
    return Guarded(kind, component, method)(*given)


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
        There is no such kind or claim, or its methods fit no kind, or several.
    """
    if kind is not None and kind not in (*KINDS, STEP):
        hint = did_you_mean(kind, KINDS) or f"; known: {', '.join(KINDS)}"
        raise ValueError(f"unknown kind '{kind}'{hint}")
    kind = kind or kind_of(component)
    for claim in set(claims or ()) - set(CLAIMS):
        raise ValueError(f"unknown claim '{claim}'{did_you_mean(claim, CLAIMS)}")
    if claims is None and kind == "metric":
        with suppress(PluginError):  # its attributes cannot be read, as a check says
            claims = MetricAbilities.of(component).claims
    subject = Subject(kind, name or _offered_name(kind, component), frozenset(claims or ()))
    kinds = {kind} if kind == STEP else {kind, EVERY_KIND}
    kinds |= {MODEL_PART} if kind in _MODEL_PARTS else set()
    return [
        replace(one, subject=subject)
        for one in all_checks()
        if one.kind in kinds and _applies(one, component, subject)
    ]


def _applies(one: Check, component: Component, subject: Subject) -> bool:
    if one.name in CLAIMS:
        return one.name in subject.claims
    try:
        return one.applies is None or one.applies(component)
    except PluginError:
        return False


def _offered_name(kind: str, component: Component) -> str | None:
    source = f"{type(component).__module__}:{type(component).__qualname__}"
    if kind == STEP:
        return next((one.name for one in get_registry().steps if one.source == source), None)
    offered = get_registry().offer_of(kind, type(component))
    return None if offered is None else offered.name


def is_step(component: Any) -> bool:
    """Return whether it is a transformer, or the class of one; prepare steps are no components."""
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
        yield run_check(one, component)


def run_check(check: Check, component: Component) -> Outcome:
    """Return how one check of a component ends."""
    try:
        check(component)
    except unittest.SkipTest as reason:
        return Outcome(check.name, check.promise, "skipped", str(reason))
    except RAISED as error:
        plain = isinstance(error, (AssertionError, PluginError)) and str(error)
        text = str(error).splitlines()[0] if plain else error_line(error)
        return Outcome(check.name, check.promise, "failed", text, traceback.format_exc())
    return Outcome(check.name, check.promise, "passed")


def parametrize_with_checks(
    component: Component | Sequence[Component],
    *,
    kind: str | None = None,
    claims: Sequence[str] | None = None,
    expected_failures: ExpectedFailures | None = None,
) -> pytest.MarkDecorator:
    """Return a decorator that calls a test once for every check of every component.

    The test takes ``component`` and ``check`` and says ``check(component)``.

    Parameters
    ----------
    component : Component, transformer for ``prepare``, or sequence of them
        Instances: a component with required fields is tested with the fields that you give.
    kind : str, optional
        ``"metric"``, ``"kernel"``, …; found from the methods without it.
    claims : sequence of str, optional
        What a metric claims, in place of its ``claims`` attribute.
    expected_failures : mapping of check name to reason, or a function of the component, optional
        Checks that are known to fail. One that passes all the same fails the test, so that the
        list stays true.

    Raises
    ------
    ValueError
        The kind cannot be told, or an expected failure names no check.
    """
    import pytest

    given: Any = component
    components = [given] if isinstance(given, Component) or is_step(given) else list(given)
    cases = []
    for one in components:
        expected = expected_failures(one) if callable(expected_failures) else expected_failures
        expected = dict(expected or {})
        for check in checks_for(one, kind, claims):
            reason = expected.pop(check.name, None)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            label = f"{type(one).__name__}-{check.name}"
            cases.append(pytest.param(one, check, id=label, marks=marks))
        for unknown in expected:
            hint = did_you_mean(unknown, [check.name for check in checks_for(one, kind, claims)])
            raise ValueError(
                f"expected_failures names '{unknown}', which is no check of "
                f"{type(one).__name__}{hint}"
            )
    return pytest.mark.parametrize(("component", "check"), cases)
