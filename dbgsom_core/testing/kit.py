"""Checks of components: their list, and runs of them under pytest or by a command."""

from __future__ import annotations

import json
import pickle
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.interfaces.component import RAISED, Component, Guarded, error_line, parse
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
EVERY_KIND = "any"
MODEL_PART = "model part"
_RUN_PARTS = ("dataset", "measure", "figure", "tracker", STEP)  # all others shape a model


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
            warnings.simplefilter("ignore", UserWarning)  # such as of a map that is too small
            self.function(component)
        after = pickle.dumps(np.random.get_state())
        assert before == after, "it draws from numpy's global generator, or seeds it"

    def __repr__(self) -> str:  # what pytest calls a case
        return self.name


@dataclass(frozen=True)
class Outcome:
    """How one check ended: ``message`` says what is wrong; calling the check raises it."""

    check: str
    promise: str
    status: Literal["passed", "failed"]
    message: str = ""


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


def all_checks() -> list[Check]:
    """Return every check of every kind, common ones first."""
    for module in ("metrics", "components", "runs"):  # which import this one
        import_module(f"dbgsom_core.testing.{module}")
    return list(_checks)


def checks_for(component: Component) -> list[Check]:
    """Return the checks that a component, or a transformer for ``prepare``, must pass.

    Raises
    ------
    ValueError
        It derives from the base of no kind.
    """
    kinds = {kind_of(component)}
    if not kinds & {*_RUN_PARTS}:
        kinds.add(MODEL_PART)
    if STEP not in kinds:
        kinds.add(EVERY_KIND)
    return [check for check in all_checks() if check.kind in kinds and _applies(check, component)]


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
    for check in checks_for(component):
        yield run_check(check, component)


def run_check(check: Check, component: Component) -> Outcome:
    try:
        check(component)
    except RAISED as error:
        text = error_line(error)
        if isinstance(error, (AssertionError, PluginError)) and str(error):
            text = str(error).splitlines()[0]
        return Outcome(check.name, check.promise, "failed", text)
    return Outcome(check.name, check.promise, "passed")


def parametrize_with_checks(
    component: Component | Sequence[Component],
    *,
    expected_failures: Mapping[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Return a decorator that calls a test once for every check of every component.

    The test takes ``component`` and ``check`` and says ``check(component)``.

    Parameters
    ----------
    component : Component, transformer for ``prepare``, or sequence of them
        Instances: a component with required fields is tested with the fields that you give.
    expected_failures : mapping of check name to reason, optional
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
    reasons = dict(expected_failures or {})
    names = set[str]()
    cases = []
    for part in components:
        for check in checks_for(part):
            marks = []
            if check.name in reasons:
                marks.append(pytest.mark.xfail(reason=reasons[check.name], strict=True))
            label = f"{type(part).__name__}-{check.name}"
            cases.append(pytest.param(part, check, id=label, marks=marks))
            names.add(check.name)
    for unknown in reasons.keys() - names:
        hint = did_you_mean(unknown, names)
        raise ValueError(f"expected_failures names '{unknown}', which is no check{hint}")
    return pytest.mark.parametrize(("component", "check"), cases)


# ------------------------------------------------------------ checks of every component


def assert_documented(component: Any) -> None:
    doc = vars(type(component)).get("__doc__")
    assert doc and doc.strip(), "the class has no docstring of its own"


@check(EVERY_KIND)
def check_attributes(component: Component) -> None:
    """It has all that the base of its kind needs, its attributes are what they may be, its class
    has a docstring, and its fields have descriptions: what help and editors show.
    """
    problem = problem_of(kind_of(component), type(component))
    assert not problem, f"it {problem}"
    Guarded(component)
    assert_documented(component)
    for name, about in type(component).model_fields.items():
        assert about.description, f"no description: {name}; write Field(description=…)"


@check(EVERY_KIND)
def check_fields(component: Component) -> None:
    """Its fields are frozen, have a JSON Schema, and go to JSON and pickle and back; a misspelt
    one is an error.
    """
    cls = type(component)
    assert cls.model_config.get("frozen"), "model_config must keep frozen=True"
    assert cls.model_config.get("extra") == "forbid", "model_config must keep extra='forbid'"
    cls.model_json_schema()
    plain = json.loads(component.model_dump_json(exclude_unset=True))
    again = parse(cls, plain)
    assert again == component, f"{plain} builds {again!r}, not {component!r}"
    again = pickle.loads(pickle.dumps(component))
    assert again == component, f"pickle gives {again!r}, not {component!r}"


# ------------------------------------------------------------- checks of what is installed


def check_plugins(registry: Registry, distribution: str | None) -> dict[str, list[Any]]:
    """Run every check of the components of a distribution, or of all third parties.

    Returns
    -------
    dict
        ``broken``: name, distribution and error of plugins that could not be imported.
        ``components``: what `check_offer` returns of each component.

    Raises
    ------
    UnknownNameError
        No plugin comes from this distribution.
    """
    known = {record.distribution for record in registry.records if record.status != "disabled"}
    wanted = known - {OWN_DISTRIBUTION}
    if distribution is not None:
        if distribution not in known:
            hint = did_you_mean(distribution, known)
            raise UnknownNameError(f"no plugin comes from a distribution '{distribution}'{hint}")
        wanted = {distribution}
    broken = [
        {key: getattr(record, key) for key in ("name", "distribution", "error")}
        for record in registry.broken
        if record.distribution in wanted
    ]
    with stdout_to_stderr():  # of what components print
        entries = [entry for entry in registry.components() if entry.distribution in wanted]
        return {"broken": broken, "components": [check_offer(entry) for entry in entries]}


def check_offer(entry: PluginEntry) -> dict[str, Any]:
    """Run the checks of what is offered; return its facts and how they ended."""
    result: dict[str, Any] = {**entry.facts, "passed": [], "failed": {}, "skipped": {}}
    with TemporaryDirectory() as folder:
        try:
            component = _build(entry, Path(folder))
        except unittest.SkipTest as lacking:
            result["skipped"]["all"] = str(lacking)
            return result
        except RAISED as error:
            result["failed"]["load"] = str(error) or error_line(error)
            return result
        for outcome in run_checks(component):
            if outcome.status == "passed":
                result["passed"].append(outcome.check)
            else:
                result["failed"][outcome.check] = outcome.message
    return result


def _build(entry: PluginEntry, folder: Path) -> Any:
    """Build a component from the examples of its fields; SkipTest: some have none."""
    cls: Any = entry.load()
    if entry.kind == STEP:
        assert is_step(cls), f"{entry.source} has no fit and transform: it is no transformer"
        try:
            return cls()
        except TypeError as error:  # names the arguments that it needs
            raise unittest.SkipTest(f"cannot be built: {error}") from None
    if entry.kind == "dataset" and cls.examples is not None:
        return cls(**cls.examples(folder))
    fields = {}
    for name, about in cls.model_fields.items():
        if about.is_required():
            if not about.examples:
                raise unittest.SkipTest(f"cannot be built: {name} has no Field(examples=[…])")
            fields[name] = about.examples[0]
    return cls(**fields)
