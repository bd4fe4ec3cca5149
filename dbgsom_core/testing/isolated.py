"""The kit in a process of its own: a check that hangs or ends the process has failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from dbgsom_core.errors import UnknownNameError, did_you_mean
from dbgsom_core.interfaces.guard import RAISED, error_line
from dbgsom_core.plugins.doctor import Tell, enabled_distributions, run_isolated, when_imported
from dbgsom_core.plugins.offers import STEP, TRANSFORMER, Offered
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, get_registry
from dbgsom_core.testing.kit import checks_for, is_step, run_check

_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass
class Report:
    """What the kit found.

    Attributes
    ----------
    broken : list of mappings
        Plugins that could not be imported: name, distribution, error.
    components : list of mappings
        Facts of each component, the checks that it ``passed``, ``failed`` and ``skipped``.
    """

    broken: list[dict[str, str]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a promise is broken, or a plugin."""
        return bool(self.broken) or any(one["failed"] for one in self.components)


class LacksFieldsError(Exception):
    """A component has required fields without examples, or a prepare step required arguments."""


def check_isolated(distribution: str | None, limit: float) -> Report:
    """Run every check of the components of a distribution, or of all third parties.

    A process runs those of a distribution one after the other. A check that takes longer than
    ``limit`` seconds, or that ends the process, has failed: the other checks of its component are
    left out, and another process goes on with the next component.

    Raises
    ------
    UnknownNameError
        No plugin comes from this distribution.
    """
    known = enabled_distributions()
    if distribution is not None and distribution not in known:
        hint = did_you_mean(distribution, known) or f"; known: {', '.join(sorted(known))}"
        raise UnknownNameError(f"no plugin comes from a distribution '{distribution}'{hint}")
    report = Report()
    for one, (_, name) in known.items():
        if one == distribution or (distribution is None and one != OWN_DISTRIBUTION):
            _check_distribution(one, name, limit, report)
    return report


def _check_distribution(distribution: str, name: str, limit: float, report: Report) -> None:
    found: dict[int, dict[str, Any]] = {}
    ended, begin = "not begun", 0
    while ended:
        values, ended = run_isolated(f"{__name__}:work", distribution, limit, begin)
        last = "load"
        for number, state, value in values:
            if state == "broken":
                report.broken += [value] if begin == 0 else []
            elif state == "component":
                found[number] = {**value, "passed": [], "failed": {}, "skipped": {}}
            elif state == "begin":
                last = value
            elif state == "passed":
                found[number]["passed"].append(value)
            else:
                found[number][state] |= value
        if ended and not any(number >= begin for number in found):
            error = when_imported(ended)
            report.broken.append({"name": name, "distribution": distribution, "error": error})
            break
        if ended:
            begin = max(found)
            found[begin]["failed"][last] = ended
            found[begin]["skipped"]["rest"] = f"it {ended}"
            begin += 1
    report.components += [found[number] for number in sorted(found)]


def work(distribution: str, begin: int, tell: Tell) -> None:
    """Run the checks of a distribution, from a component on; see `run_isolated`."""
    registry = get_registry()
    for one in registry.broken:
        if one.distribution == distribution:
            tell(
                [0, "broken", {key: getattr(one, key) for key in ("name", "distribution", "error")}]
            )
    offers = [
        one
        for one in registry.classes()
        if one.distribution == distribution and one.kind != TRANSFORMER
    ]
    for number, offered in enumerate(offers):
        if number >= begin:
            tell([number, "component", offered.facts])
            with TemporaryDirectory() as folder:
                for state, value in outcomes_of(offered, Path(folder)):
                    tell([number, state, value])


def outcomes_of(offered: Offered, folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield ``("begin", check)`` and how each check of what is offered ended."""
    try:
        component = build(offered, folder)
    except LacksFieldsError as lacking:
        yield "skipped", {"all": str(lacking)}
        return
    except RAISED as error:
        yield "failed", {"load": str(error) or error_line(error)}
        return
    for check in checks_for(component, offered.kind, name=offered.name):
        yield "begin", check.name
        outcome = run_check(check, component)
        passed = outcome.status == "passed"
        yield outcome.status, check.name if passed else {check.name: outcome.message}


def build(offered: Offered, folder: Path) -> Any:
    """Build a component from the examples of its fields; `LacksFieldsError`: some have none."""
    cls: Any = offered.load()
    if offered.kind == STEP:
        assert is_step(cls), f"{offered.source} has no fit and transform: it is no transformer"
        given = signature(cls).parameters.values()
        lacks = [one.name for one in given if one.default is one.empty and one.kind not in _REST]
        if lacks:
            raise LacksFieldsError(f"cannot be built without its arguments: {', '.join(lacks)}")
        return cls()
    if offered.kind == "dataset" and hasattr(cls, "examples"):
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
