"""The kit in a process of its own: a check that hangs or ends the process has failed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.plugins.apart import Apart
from dbgsom_core.plugins.doctor import version_of, when_imported
from dbgsom_core.plugins.importing import importing, no_exit, watched_imports
from dbgsom_core.plugins.offers import Offered
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, STEP, Registry, get_registry
from dbgsom_core.testing.kit import checks_for, is_step, judged

_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
ENDS = 2  # processes that one component may end before its other checks are left out

Tell = Callable[[dict[str, Any]], None]


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


def check_apart(distribution: str | None, limit: float) -> Report:
    """Run every check of the components of a distribution, or of all third parties.

    One process runs them one after the other. One that takes longer than ``limit`` seconds, or that
    ends the process, has failed, and another process goes on after it; twice for a component.

    Raises
    ------
    UnknownNameError
        No plugin comes from this distribution.
    """
    off = [one for one in os.environ.get("DBGSOM_DISABLE_PLUGINS", "").split(",") if one]
    lost: list[dict[str, str]] = []
    done: list[dict[str, Any]] = []
    begin = [0, 0]  # component, and check of it
    ends: dict[int, int] = {}  # how many processes each component has ended
    while True:
        task = {"distribution": distribution, "begin": begin}
        process = Apart(__name__, task, limit, {"DBGSOM_DISABLE_PLUGINS": ",".join(off)})
        at: list[Any] = []
        for line in process.lines():
            if "unknown" in line:
                _check_known(distribution, [*line["unknown"], *off])
            if "at" in line:
                at = line["at"]
            elif "component" in line:
                done.append(line["component"])
            elif "outcome" in line:
                _note(done[-1], line["outcome"])
            elif "broken" in line:
                report = Report([*lost, *line["broken"]], done)
        if not process.ended:
            return report
        if len(at) == 2:  # an import
            if not at[0] or at[0] in off:
                raise PluginError(f"the kit {process.ended} while it imports {at}")
            name = {"name": at[1], "distribution": at[0], "version": version_of(at[0])}
            if distribution in (None, at[0]):
                lost.append({**name, "error": when_imported(process)})
            off.append(at[0])
            done, begin = [], [0, 0]
        elif len(at) == 3:
            component, check, name = at
            if check < 0 and component == len(done):
                done.append({**name, "passed": [], "failed": {}, "skipped": {}})
            done[-1]["failed"]["load" if check < 0 else name] = process.ended
            ends[component] = ends.get(component, 0) + 1
            begin = [component, check + 1]
            if check < 0 or ends[component] == ENDS:
                begin = [component + 1, 0]
                done[-1]["skipped"]["rest"] = f"it {process.ended}, again"
        else:
            raise PluginError(f"the kit {process.ended} before it began")


def work(task: Mapping[str, Any], tell: Tell) -> None:
    """Run checks in a process of their own; see `Apart`."""
    distribution = task["distribution"]
    with watched_imports(lambda distribution, name: tell({"at": [distribution, name]})):
        registry = get_registry()
    tell({"unknown": sorted({record.distribution for record in registry.records})})
    first, first_check = task["begin"]
    for number, offered in enumerate(chosen(distribution, registry)):
        if number < first:
            continue
        tell({"at": [number, -1, offered.facts]})
        known = number == first and first_check > 0
        with TemporaryDirectory() as folder:
            component = _built(offered, tell, known, Path(folder))
            if component is not None:
                _checked(component, offered, number, first_check if known else 0, tell)
    told_broken = [
        {"name": one.name, "distribution": one.distribution, "error": one.error}
        for one in registry.broken
        if distribution in (None, one.distribution)
    ]
    tell({"broken": told_broken})


def _checked(
    component: Component, offered: Offered, number: int, first_step: int, tell: Tell
) -> None:
    checks = checks_for(component, offered.kind, name=offered.name)
    for step, check in enumerate(checks[first_step:], first_step):
        tell({"at": [number, step, check.name]})
        outcome = judged(check, component)
        tell({"outcome": [outcome.check, outcome.status, outcome.message]})


def chosen(distribution: str | None, registry: Registry) -> list[Offered]:
    """Return what is to be checked: what a distribution offers, or all third parties without."""
    offers = [one for kind in KINDS for one in registry.offered(kind)] + registry.steps
    if distribution is None:
        return [one for one in offers if one.distribution != OWN_DISTRIBUTION]
    return [one for one in offers if one.distribution == distribution]


def _check_known(distribution: str | None, known: list[str]) -> None:
    if distribution is not None and distribution not in known:
        raise UnknownNameError(
            f"no plugin comes from '{distribution}'{did_you_mean(distribution, known)}"
        )


def _built(offered: Offered, tell: Tell, known: bool, folder: Path) -> Any:
    # The component, whose record is told unless an earlier process did; None: it cannot be built.
    record: dict[str, Any] = {**offered.facts, "passed": [], "failed": {}, "skipped": {}}
    component: Any = None
    try:
        if offered.kind == STEP:
            component, lacks = _step(offered)
            if lacks:
                told = f"cannot be built without its arguments: {', '.join(lacks)}"
                record["skipped"]["all"] = told
        else:
            cls = offered.load()
            component = cls(**_examples(offered.kind, cls, folder))
    except ValidationError as error:
        fields = ", ".join(str(one["loc"][0]) for one in error.errors() if one["loc"])
        record["skipped"]["all"] = (
            f"cannot be built without its fields: {fields}; Field(examples=[…]) says what to try"
        )
    except BaseException as error:
        record["failed"]["load"] = str(error) or type(error).__name__
    if not known:
        tell({"component": record})
    return component


def _step(offered: Offered) -> tuple[Any, list[str]]:
    # A prepare step, or None and the arguments that its constructor must have.
    with importing(offered.distribution, offered.name):
        cls = StoredType(offered.source, {}).load()
    assert is_step(cls), f"{offered.source} has no fit and transform: it is no transformer"
    given = signature(cls).parameters.values()
    lacks = [one.name for one in given if one.default is one.empty and one.kind not in _REST]
    with no_exit():
        return (None if lacks else cls()), lacks


def _examples(kind: str, cls: type[Any], folder: Path) -> dict[str, Any]:
    if kind == "dataset" and hasattr(cls, "examples"):
        return dict(cls.examples(folder))
    return {
        name: field.examples[0]
        for name, field in cls.model_fields.items()
        if field.is_required() and field.examples
    }


def _note(record: dict[str, Any], outcome: list[str]) -> None:
    check, status, message = outcome
    if status == "passed":
        record["passed"].append(check)
    else:
        record[status][check] = message
