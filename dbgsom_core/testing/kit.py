"""Checks of components: their list, and runs of them under pytest or by a command."""

from __future__ import annotations

import json
import pickle
import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.experiments.offers import all_components
from dbgsom_core.interfaces.component import Component, parse
from dbgsom_core.interfaces.guard import RAISED, Guarded, error_line
from dbgsom_core.plugins.registry import (
    OWN_DISTRIBUTION,
    STEP,
    PluginEntry,
    Registry,
    problem_of,
    stdout_to_stderr,
)

if TYPE_CHECKING:
    import pytest

Function = Callable[[Any], None]
Applies = Callable[[Any], Any]
ExpectedFailures = Mapping[str, str] | Callable[[Component], Mapping[str, str]]
EVERY_KIND, MODEL_PART = "any", "model part"
_MODEL_PARTS = ("metric", "kernel", "growth", "initialisation", "grid", "schedule", "stopping",
                "labeller", "engine")  # fmt: skip
_MODULES = ("metrics", "components", "runs")  # in which the checks of the kinds stand


@dataclass(frozen=True)
class Check:
    """One promise; call it with a component, and it raises when the promise is broken."""

    name: str
    kind: str
    promise: str
    function: Function
    applies: Applies | None = None

    def __call__(self, component: Component) -> None:
        """Raise AssertionError (or what the component raises) when the promise is broken."""
        before = pickle.dumps(np.random.get_state())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="growth stopped at max_neurons")
            self.function(component)
        after = pickle.dumps(np.random.get_state())
        assert before == after, "it draws from numpy's global generator, or seeds it"

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


def checks_for(component: Component) -> list[Check]:
    """Return the checks that a component, or a transformer for ``prepare``, must pass.

    Raises
    ------
    ValueError
        It derives from the base of no kind.
    """
    kind = kind_of(component)
    kinds = {kind} if kind == STEP else {kind, EVERY_KIND}
    if kind in _MODEL_PARTS:
        kinds.add(MODEL_PART)
    return [one for one in all_checks() if one.kind in kinds and _applies(one, component)]


def _applies(check: Check, component: Component) -> bool:
    try:
        return check.applies is None or bool(check.applies(component))
    except PluginError:  # its attributes cannot be read, which is a check of its own
        return False


def is_step(component: Any) -> bool:
    """Return whether it is a transformer, or the class of one; prepare steps are no components."""
    cls = component if isinstance(component, type) else type(component)
    return hasattr(cls, "fit") and hasattr(cls, "transform") and not issubclass(cls, Component)


def kind_of(component: Component) -> str:
    """Return the kind whose base a component derives from; raise ValueError for none."""
    if isinstance(component, type):
        raise ValueError(f"give an instance: {component.__name__}(), not the class")
    if is_step(component):
        return STEP
    kind = getattr(type(component), "KIND", None)
    if kind is None:
        raise ValueError(f"{type(component).__name__} derives from the base of no kind")
    return str(kind)


def run_checks(component: Component) -> Iterator[Outcome]:
    """Run every check of a component, one after the other, and yield how it ended."""
    for one in checks_for(component):
        yield run_check(one, component)


def run_check(check: Check, component: Component) -> Outcome:
    try:
        check(component)
    except unittest.SkipTest as reason:
        return Outcome(check.name, check.promise, "skipped", str(reason))
    except RAISED as error:
        text = error_line(error)
        if isinstance(error, (AssertionError, PluginError)) and str(error):
            text = str(error).splitlines()[0]
        return Outcome(check.name, check.promise, "failed", text, traceback.format_exc())
    return Outcome(check.name, check.promise, "passed")


def parametrize_with_checks(
    component: Component | Sequence[Component],
    *,
    expected_failures: ExpectedFailures | None = None,
) -> pytest.MarkDecorator:
    """Return a decorator that calls a test once for every check of every component.

    The test takes ``component`` and ``check`` and says ``check(component)``.

    Parameters
    ----------
    component : Component, transformer for ``prepare``, or sequence of them
        Instances: a component with required fields is tested with the fields that you give.
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
        failures = expected_failures(one) if callable(expected_failures) else expected_failures
        expected = dict(failures or {})
        checks = checks_for(one)
        for check in checks:
            marks = []
            if check.name in expected:
                reason = expected.pop(check.name)
                marks.append(pytest.mark.xfail(reason=reason, strict=True))
            label = f"{type(one).__name__}-{check.name}"
            cases.append(pytest.param(one, check, id=label, marks=marks))
        for unknown in expected:
            hint = did_you_mean(unknown, [check.name for check in checks])
            raise ValueError(
                f"expected_failures names '{unknown}', which is no check of "
                f"{type(one).__name__}{hint}"
            )
    return pytest.mark.parametrize(("component", "check"), cases)


# ------------------------------------------------------------ checks of every component


@check(EVERY_KIND)
def check_attributes(component: Component) -> None:
    """It has all that the base of its kind needs, and its attributes are what they may be."""
    problem = problem_of(kind_of(component), type(component))
    assert not problem, f"it {problem}"
    Guarded(component)


@check(EVERY_KIND)
def check_documentation(component: Component) -> None:
    """Its class has a docstring, its fields have descriptions: what help and editors show."""
    own = type(component).__dict__.get("__doc__")
    assert own and own.strip(), "the class has no docstring of its own"
    fields = type(component).model_fields
    bare = [name for name, one in fields.items() if not one.description]
    assert not bare, f"no description: {', '.join(bare)}; write Field(description=…)"


@check(EVERY_KIND)
def check_fields(component: Component) -> None:
    """Its fields are frozen, have a JSON Schema, and go to JSON and pickle and back; a misspelt
    one is an error.
    """
    cls = type(component)
    assert cls.model_config.get("frozen"), "model_config must keep frozen=True"
    assert cls.model_config.get("extra") == "forbid", "model_config must keep extra='forbid'"
    schema = cls.model_json_schema()
    json.dumps(schema)
    assert set(schema.get("properties", {})) == set(cls.model_fields), "a field lacks in its schema"
    plain = json.loads(component.model_dump_json(exclude_unset=True))
    again = parse(cls, plain)
    assert again == component, f"{plain} builds {again!r}, not {component!r}"
    again = pickle.loads(pickle.dumps(component))
    assert again == component, f"pickle gives {again!r}, not {component!r}"


# ------------------------------------------------------------- checks of what is installed


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


def check_plugins(registry: Registry, distribution: str | None) -> Report:
    """Run every check of the components of a distribution, or of all third parties.

    Raises
    ------
    UnknownNameError
        No plugin comes from this distribution.
    """
    known = {one.distribution for one in registry.records if one.status != "disabled"}
    wanted = known - {OWN_DISTRIBUTION}
    if distribution is not None:
        if distribution not in known:
            hint = did_you_mean(distribution, known) or f"; known: {', '.join(sorted(known))}"
            raise UnknownNameError(f"no plugin comes from a distribution '{distribution}'{hint}")
        wanted = {distribution}
    report = Report()
    for record in registry.broken:
        if record.distribution in wanted:
            keys = ("name", "distribution", "error")
            report.broken.append({key: getattr(record, key) for key in keys})
    with stdout_to_stderr():  # of what components print
        for offered in all_components(registry):
            if offered.distribution in wanted:
                report.components.append(check_offer(offered))
    return report


def check_offer(offered: PluginEntry) -> dict[str, Any]:
    """Run the checks of what is offered; return its facts and how they ended."""
    found: dict[str, Any] = {**offered.facts, "passed": [], "failed": {}, "skipped": {}}
    with TemporaryDirectory() as folder:
        try:
            component = build(offered, Path(folder))
        except unittest.SkipTest as lacking:
            return found | {"skipped": {"all": str(lacking)}}
        except RAISED as error:
            return found | {"failed": {"load": str(error) or error_line(error)}}
        for outcome in run_checks(component):
            if outcome.status == "passed":
                found["passed"].append(outcome.check)
            else:
                found[outcome.status][outcome.check] = outcome.message
    return found


def build(offered: PluginEntry, folder: Path) -> Any:
    """Build a component from the examples of its fields; SkipTest: some have none."""
    cls: Any = offered.load()
    if offered.kind == STEP:
        assert is_step(cls), f"{offered.source} has no fit and transform: it is no transformer"
        with suppress(TypeError):
            return cls()
        names = ", ".join(_required_arguments(cls))
        raise unittest.SkipTest(f"cannot be built without its arguments: {names}")
    if offered.kind == "dataset" and cls.examples is not None:
        return cls(**cls.examples(folder))
    required = [name for name, one in cls.model_fields.items() if one.is_required()]
    lacks = [name for name in required if not cls.model_fields[name].examples]
    if lacks:
        raise unittest.SkipTest(
            f"cannot be built without its fields: {', '.join(lacks)}; Field(examples=[…]) says "
            "what to try"
        )
    return cls(**{name: cls.model_fields[name].examples[0] for name in required})


def _required_arguments(cls: type[Any]) -> Iterator[str]:
    for name, argument in signature(cls).parameters.items():
        has_name = argument.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        if has_name and argument.default is argument.empty:
            yield name
