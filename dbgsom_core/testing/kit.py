"""Checks of components: definition, registry, and runs under pytest or by a command."""

from __future__ import annotations

import json
import pickle
import re
import signal
import sys
import threading
import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ValidationError

from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.experiments.offers import all_components
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.component import Component, given_fields, parse
from dbgsom_core.interfaces.guard import RAISED, Guarded, error_line
from dbgsom_core.interfaces.metrics import CLAIMS
from dbgsom_core.interfaces.version import API_VERSION
from dbgsom_core.plugins.registry import (
    OWN_DISTRIBUTION,
    STEP,
    PluginEntry,
    Registry,
    get_registry,
    problem_of,
    stdout_to_stderr,
)

if TYPE_CHECKING:
    import pytest

Function = Callable[[Any, "Subject"], None]
Applies = Callable[[Any], bool]
ExpectedFailures = Mapping[str, str] | Callable[[Component], Mapping[str, str]]
EVERY_KIND, MODEL_PART = "any", "model part"
_MODEL_PARTS = ("metric", "kernel", "growth", "initialisation", "grid", "schedule", "stopping",
                "labeller", "engine")  # fmt: skip
_MODULES = ("metrics", "components", "runs")
LIMIT = 300.0  # seconds that one check may take


@dataclass(frozen=True)
class Subject:
    kind: str
    name: str | None = None  # the one under which a plugin offers it, where that is known
    claims: frozenset[str] = frozenset()  # of a metric


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
        with warnings.catch_warnings(), _ended_after(LIMIT, self.name):
            warnings.filterwarnings("ignore", message="growth stopped at max_neurons")
            before = pickle.dumps(np.random.get_state())
            try:
                self.function(component, self.subject or Subject(kind_of(component)))
            except (SystemExit, GeneratorExit) as error:
                raise AssertionError(f"it ends the process: {error_line(error)}") from error
            after = pickle.dumps(np.random.get_state())
            assert before == after, "it draws from numpy's global generator, or seeds it"

    def __repr__(self) -> str:
        return self.name


@contextmanager
def _ended_after(seconds: float, name: str) -> Iterator[None]:
    """End a check that hangs, where signals can: not in other threads, and not on Windows."""
    set_timer = getattr(signal, "setitimer", None)
    if set_timer is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        raise AssertionError(f"the check '{name}' does not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    left, every = set_timer(signal.ITIMER_REAL, seconds)  # of a test runner's own timeout
    try:
        yield
    finally:
        set_timer(signal.ITIMER_REAL, left, every)
        signal.signal(signal.SIGALRM, before)


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


def call_twice(component: Any, method: str, *given: Any) -> Any:
    """Call a method twice as a run does, and return the answer, which must be the same."""
    first, second = (getattr(Guarded(component), method)(*given) for _ in range(2))
    same = np.array_equal(first, second) if isinstance(first, np.ndarray) else first == second
    assert same, f"two calls of {method} differ"
    return first


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
        Found from its base without it.
    claims : sequence of str, optional
        What a metric claims, in place of its ``claims`` attribute.
    name : str, optional
        The name under which it is offered; looked up among the installed plugins without it.

    Raises
    ------
    ValueError
        There is no such kind or claim, or it derives from the base of no kind.
    """
    if kind is not None and kind not in (*KINDS, STEP):
        hint = did_you_mean(kind, KINDS) or f"; known: {', '.join(KINDS)}"
        raise ValueError(f"unknown kind '{kind}'{hint}")
    kind = kind or kind_of(component)
    for claim in set(claims or ()) - set(CLAIMS):
        raise ValueError(f"unknown claim '{claim}'{did_you_mean(claim, CLAIMS)}")
    if claims is None and kind == "metric":
        with suppress(PluginError):  # its attributes cannot be read, as a check says
            claims = Guarded(component).claims
    kinds = {kind} if kind == STEP else {kind, EVERY_KIND}
    kinds |= {MODEL_PART} if kind in _MODEL_PARTS else set()
    if name is None and kind == STEP:
        source = f"{type(component).__module__}:{type(component).__qualname__}"
        name = next(
            (step.name for step in get_registry().offered(STEP) if step.source == source), None
        )
    elif name is None:
        offered = get_registry().offer_of(kind, type(component))
        name = None if offered is None else offered.name
    subject, found = Subject(kind, name, frozenset(claims or ())), []
    for promise in all_checks():
        made = promise.kind in kinds and promise.name in subject.claims
        if promise.kind in kinds and promise.name not in CLAIMS:
            with suppress(PluginError):  # it cannot say whether it makes the promise
                made = promise.applies is None or promise.applies(component)
        if made:
            found.append(replace(promise, subject=subject))
    return found


def is_step(component: Any) -> bool:
    """Return whether it is a transformer, or the class of one; prepare steps are no components."""
    cls = component if isinstance(component, type) else type(component)
    return hasattr(cls, "fit") and hasattr(cls, "transform") and not issubclass(cls, Component)


def kind_of(component: Component) -> str:
    """Return the kind whose base a component derives from; raise ValueError for none."""
    if is_step(component):
        return STEP
    kind = getattr(type(component), "KIND", None)
    if isinstance(component, type):
        raise ValueError(f"give an instance: {component.__name__}(), not the class")
    if kind is None:
        raise ValueError(f"{type(component).__name__} derives from the base of no kind")
    return str(kind)


def run_checks(
    component: Component, kind: str | None = None, name: str | None = None
) -> Iterator[Outcome]:
    """Run every check of a component, one after the other, and yield how it ended."""
    for one in checks_for(component, kind, name=name):
        yield run_check(one, component)


def run_check(check: Check, component: Component) -> Outcome:
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
        ``"metric"``, ``"kernel"``, …; found from the base without it.
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


# ------------------------------------------------------------ checks of every component


@check(EVERY_KIND)
def check_required_methods(component: Component, subject: Subject) -> None:
    """It derives from the base of its kind, with all it needs, and has a name of a-z, 0-9 and _."""
    problem = problem_of(subject.kind, type(component))
    assert not problem, f"it {problem}"
    plain = subject.name is None or re.fullmatch(r"[a-z][a-z0-9_]*", subject.name)
    assert plain, f"'{subject.name}' is no name like 'my_{subject.kind}'"


@check(EVERY_KIND)
def check_attributes(component: Component, subject: Subject) -> None:
    """What the core reads of it can be read, and is what it may be."""
    Guarded(component)


@check(EVERY_KIND)
def check_docstring(component: Component, subject: Subject) -> None:
    """Its class has a docstring: its help text."""
    own = type(component).__dict__.get("__doc__")
    assert own and own.strip(), "the class has no docstring of its own"


@check(EVERY_KIND)
def check_field_descriptions(component: Component, subject: Subject) -> None:
    """Every field has a description: it is what the schema and editors show."""
    bare = [name for name, one in type(component).model_fields.items() if not one.description]
    assert not bare, f"no description: {', '.join(bare)}; write Field(description=…)"


@check(EVERY_KIND)
def check_api_version(component: Component, subject: Subject) -> None:
    """The plugin that holds it states a DBGSOM_API_VERSION that is supported."""
    module, stated = type(component).__module__, None
    while module and stated is None:
        stated = getattr(sys.modules.get(module), "DBGSOM_API_VERSION", None)
        module = module.rpartition(".")[0]
    # Where a plugin offers it and the package around it states none, the plugin does elsewhere.
    known = stated == API_VERSION or (stated is None and subject.name is not None)
    assert known, f"{type(component).__module__} states DBGSOM_API_VERSION {stated}"


@check(EVERY_KIND)
def check_frozen(component: Component, subject: Subject) -> None:
    """It cannot be changed, and a misspelt field is an error."""
    assert type(component).model_config.get("frozen"), "model_config must keep frozen=True"
    fields: dict[str, Any] = {**given_fields(component), "no_such_field_": 1}
    try:
        type(component).model_validate(fields)
    except ValidationError:
        return
    raise AssertionError("an unknown field is accepted; model_config must keep extra='forbid'")


@check(EVERY_KIND)
def check_json_schema(component: Component, subject: Subject) -> None:
    """Its JSON Schema builds, and its fields stand in it."""
    schema = type(component).model_json_schema()
    json.dumps(schema)
    assert set(schema.get("properties", {})) == set(type(component).model_fields)


@check(EVERY_KIND)
def check_saving(component: Component, subject: Subject) -> None:
    """Its fields go to JSON and to pickle, and back to an equal component."""
    plain = json.loads(component.model_dump_json(exclude_unset=True))
    again = parse(type(component), plain)
    assert again == component, f"{plain} builds {again!r}, not {component!r}"
    again = pickle.loads(pickle.dumps(component))
    assert again == component, f"pickle gives {again!r}, not {component!r}"


_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass
class Report:
    """What the kit found."""

    # Plugins that could not be imported: name, distribution, error.
    broken: list[dict[str, str]] = field(default_factory=list)
    # Facts of each component, the checks that it ``passed``, ``failed`` and ``skipped``.
    components: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.broken) or any(one["failed"] for one in self.components)


class LacksFieldsError(Exception):
    """A component has required fields without examples, or a prepare step required arguments."""


def check_plugins(registry: Registry, distribution: str | None) -> Report:
    """Run every check of the components of a distribution, or of all third parties.

    Raises
    ------
    UnknownNameError
        No plugin comes from this distribution.
    """
    known = {one.distribution for one in registry.records if one.status != "disabled"}
    if distribution is None:
        wanted = known - {OWN_DISTRIBUTION}
    elif distribution in known:
        wanted = {distribution}
    else:
        hint = did_you_mean(distribution, known) or f"; known: {', '.join(sorted(known))}"
        raise UnknownNameError(f"no plugin comes from a distribution '{distribution}'{hint}")
    report = Report()
    for record in registry.broken:
        if record.distribution in wanted:
            keys = ("name", "distribution", "error")
            report.broken.append({key: getattr(record, key) for key in keys})
    with stdout_to_stderr():  # of what components print
        for offered in all_components(registry):
            if offered.distribution in wanted:
                with TemporaryDirectory() as folder:
                    report.components.append(check_offer(offered, Path(folder)))
    return report


def check_offer(offered: PluginEntry, folder: Path) -> dict[str, Any]:
    """Run the checks of what is offered; return its facts and how they ended."""
    found: dict[str, Any] = {**offered.facts, "passed": [], "failed": {}, "skipped": {}}
    try:
        component = build(offered, folder)
    except (LacksFieldsError, unittest.SkipTest) as lacking:
        return found | {"skipped": {"all": str(lacking)}}
    except RAISED as error:
        return found | {"failed": {"load": str(error) or error_line(error)}}
    for check in checks_for(component, offered.kind, name=offered.name):
        outcome = run_check(check, component)
        if outcome.status == "passed":
            found["passed"].append(check.name)
        else:
            found[outcome.status][check.name] = outcome.message
    return found


def build(offered: PluginEntry, folder: Path) -> Any:
    """Build a component from the examples of its fields; `LacksFieldsError`: some have none."""
    cls: Any = offered.load()
    if offered.kind == STEP:
        assert is_step(cls), f"{offered.source} has no fit and transform: it is no transformer"
        given = signature(cls).parameters.values()
        lacks = [one.name for one in given if one.default is one.empty and one.kind not in _REST]
        if lacks:
            raise LacksFieldsError(f"cannot be built without its arguments: {', '.join(lacks)}")
        return cls()
    if offered.kind == "dataset" and cls.examples is not None:
        return cls(**cls.examples(folder))
    fields = {name: one for name, one in cls.model_fields.items() if one.is_required()}
    try:
        return cls(**{name: one.examples[0] for name, one in fields.items() if one.examples})
    except ValidationError as error:
        lacks = [str(one["loc"][0]) for one in error.errors() if one["loc"]]
        raise LacksFieldsError(
            f"cannot be built without its fields: {', '.join(lacks)}; Field(examples=[…]) says "
            "what to try"
        ) from error
