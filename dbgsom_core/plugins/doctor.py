"""What is wrong with the installed plugins, one finding each, with its cure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import Literal

from dbgsom_core.errors import PluginError
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.version import SUPPORTED_API_VERSIONS
from dbgsom_core.plugins.offers import Offered, PluginRecord
from dbgsom_core.plugins.registry import GROUP, OWN_DISTRIBUTION, Registry

SLOW_SECONDS = 0.2  # what one plugin may add to every start
Problem = Literal["broken", "api version", "stale", "clash", "shadowed", "slow", "outdated"]
HARMLESS: tuple[Problem, ...] = ("shadowed", "slow", "outdated")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    problem : str
        ``broken`` (cannot be loaded), ``api version`` (too old or too new), ``stale`` (names what
        is not there any more, or is installed twice), ``clash`` (two offer one name),
        ``shadowed`` (a built-in has the name), ``slow``, ``outdated`` (works, will not for ever).
    distribution, version, name : str
        Who it is about: the plugin's or the component's name.
    message : str
        One sentence with the cure.
    details : str
        A traceback, where there is one.
    """

    problem: Problem
    distribution: str
    version: str
    name: str
    message: str
    details: str = ""

    @property
    def harmless(self) -> bool:
        """Everything works all the same."""
        return self.problem in HARMLESS


def diagnose(registry: Registry) -> list[Finding]:
    """Return every finding; importing each offered class is part of the examination."""
    findings: list[Finding] = []
    for record in registry.records:
        findings += _of_record(record)
    findings += _installed_twice()
    for kind in KINDS:
        for offered in registry.offered(kind):
            findings += _of_offer(offered, registry)
    return findings


def status_of(offered: Offered, registry: Registry) -> Literal["ok", "clash", "shadowed"]:
    """Say what a bare name means for an offer: itself, the built-in, or an error."""
    rivals = [one for one in registry.offered(offered.kind) if one.name == offered.name]
    if len(rivals) == 1 or offered.distribution == OWN_DISTRIBUTION:
        return "ok"
    built_in = any(one.distribution == OWN_DISTRIBUTION for one in rivals)
    return "shadowed" if built_in else "clash"


def _of_record(record: PluginRecord) -> Iterator[Finding]:
    who = (record.distribution, record.version, record.name)
    if record.status == "broken":
        foreign = (
            record.api_version is not None and record.api_version not in SUPPORTED_API_VERSIONS
        )
        problem: Problem = "api version" if foreign else "broken"
        yield Finding(problem, *who, record.error, record.details)
    if record.import_seconds > SLOW_SECONDS and record.distribution != OWN_DISTRIBUTION:
        yield Finding(
            "slow",
            *who,
            f'takes {record.import_seconds:.2f} s at every start; offer "module:Class" strings '
            "and import what is heavy inside methods",
        )
    for note in record.notes:
        yield Finding("outdated", *who, note)


def _of_offer(offered: Offered, registry: Registry) -> Iterator[Finding]:
    who = (offered.distribution, offered.version, offered.name)
    status = status_of(offered, registry)
    if status != "ok":
        rivals = [
            one.distribution
            for one in registry.offered(offered.kind)
            if one.name == offered.name and one.distribution != offered.distribution
        ]
        means = (
            f"the bare name means that of {OWN_DISTRIBUTION}"
            if status == "shadowed"
            else "the bare name is an error"
        )
        yield Finding(
            status,
            *who,
            f"{offered.kind} '{offered.name}' is offered by {' and '.join(rivals)} too: {means}; "
            f"write '{offered.distribution}:{offered.name}'",
        )
    try:
        offered.load()
    except PluginError as error:
        gone = isinstance(error.__cause__, (ImportError, AttributeError))
        yield Finding("stale" if gone else "broken", *who, str(error))


def _installed_twice() -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for one in distributions():
        if "[" + GROUP + "]" not in (one.read_text("entry_points.txt") or ""):
            continue
        name, version = one.name, one.version
        if seen.setdefault(name, version) != version:
            yield Finding(
                "stale",
                name,
                version,
                name,
                f"is installed twice: {seen[name]} is used and {version} lies behind it; "
                "uninstall it until it is gone and install it once",
            )
