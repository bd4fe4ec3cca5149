"""The kit in a process of its own: a check that hangs or ends the process has failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from dbgsom_core.errors import UnknownNameError, did_you_mean
from dbgsom_core.interfaces.guard import RAISED, error_line
from dbgsom_core.plugins.doctor import Send, enabled_distributions, run_isolated, when_imported
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, STEP, TRANSFORMER, Offered, get_registry
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
    done, ended = 0, "not begun"
    while ended:
        values, ended = run_isolated(f"{__name__}:work", distribution, limit, done)
        report.broken += [one["broken"] for one in values if "broken" in one and done == 0]
        found = [one["component"] for one in values if "component" in one]
        if ended:  # by the check that the last value names
            check, facts = values[-1].get("at", ("", {})) if values else ("", {})
            if not facts:
                error = when_imported(ended)
                report.broken.append({"name": name, "distribution": distribution, "error": error})
                return
            rest = {"rest": f"it {ended}"}
            found.append({**facts, "passed": [], "failed": {check: ended}, "skipped": rest})
        report.components += found
        done += len(found)


def work(distribution: str, done: int, send: Send) -> None:
    """Run the checks of a distribution, from a component on; see `run_isolated`."""
    registry = get_registry()
    for one in registry.broken:
        if one.distribution == distribution:
            keys = ("name", "distribution", "error")
            send({"broken": {key: getattr(one, key) for key in keys}})
    offers = [one for one in registry.classes() if one.distribution == distribution]
    for offered in [one for one in offers if one.kind != TRANSFORMER][done:]:
        with TemporaryDirectory() as folder:
            send({"component": check_offer(offered, Path(folder), send)})


def check_offer(offered: Offered, folder: Path, send: Send) -> dict[str, Any]:
    """Run the checks of what is offered; return its facts and how they ended.

    What each check is called goes to ``send`` before it begins.
    """
    found: dict[str, Any] = {**offered.facts, "passed": [], "failed": {}, "skipped": {}}
    send({"at": ("load", offered.facts)})
    try:
        component = build(offered, folder)
    except LacksFieldsError as lacking:
        return found | {"skipped": {"all": str(lacking)}}
    except RAISED as error:
        return found | {"failed": {"load": str(error) or error_line(error)}}
    for check in checks_for(component, offered.kind, name=offered.name):
        send({"at": (check.name, offered.facts)})
        outcome = run_check(check, component)
        if outcome.status == "passed":
            found["passed"].append(check.name)
        else:
            found[outcome.status][check.name] = outcome.message
    return found


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
