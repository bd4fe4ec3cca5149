"""What is wrong with the installed plugins, one finding each, with its cure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import Any, Literal

from dbgsom_core.errors import PluginError
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.version import SUPPORTED_API_VERSIONS
from dbgsom_core.plugins.apart import Apart
from dbgsom_core.plugins.importing import importing, watched_imports
from dbgsom_core.plugins.offers import Offered, PluginRecord
from dbgsom_core.plugins.registry import GROUP, OWN_DISTRIBUTION, Registry, get_registry

SLOW_SECONDS = 0.2  # what one plugin may add to every start
Problem = Literal[
    "broken", "api version", "stale", "clash", "changes", "touches", "shadowed", "slow", "outdated"
]
HARMLESS: tuple[Problem, ...] = ("touches", "shadowed", "slow", "outdated")
_MILD = ("the warnings filters", "the environment", "sys.path")
# What every run imports sooner or later: no plugin's cost, nor its doing.
_CORE = ("dbgsom_core.api", "numpy", "scipy.sparse", "numba", "sklearn.base", "matplotlib.figure")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    problem : str
        ``broken`` (cannot be loaded), ``api version`` (too old or too new), ``stale`` (names what
        is not there any more, or is installed twice), ``clash`` (two offer one name),
        ``changes`` (its import changes what all share: functions, the working directory),
        ``touches`` (what matters less: filters of warnings), ``shadowed`` (a built-in has the
        name), ``slow``, ``outdated`` (works, will not for ever).
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
    for named in registry.named_classes:
        findings += _of_class(*named)
    return findings


def diagnose_apart(limit: float) -> tuple[list[Finding], int]:
    """Return every finding and how many plugins were loaded, all imports in another process.

    A single import may take ``limit`` seconds.

    One that ends the process or hangs is named, and the others are examined without it.
    """
    findings: list[Finding] = []
    off = [one for one in os.environ.get("DBGSOM_DISABLE_PLUGINS", "").split(",") if one]
    while True:
        disabled = {"DBGSOM_DISABLE_PLUGINS": ",".join(off)}
        process, at = Apart(__name__, {}, limit, disabled), ("", "")
        for line in process.lines():
            if "at" in line:
                at = (line["at"][0], line["at"][1])
            else:
                return findings + [Finding(**one) for one in line["findings"]], line["loaded"]
        distribution, name = at
        if not distribution or distribution in off:
            raise PluginError(f"the examination of the plugins {process.ended}")
        findings.append(
            Finding("broken", distribution, version_of(distribution), name, when_imported(process))
        )
        off.append(distribution)


def when_imported(process: Apart) -> str:
    """Return the sentence for a plugin whose import was the last that a process told of."""
    return f"{process.ended} when it was imported; disable or uninstall it"


def version_of(distribution: str) -> str:
    """Return the version of an installed distribution, without importing anything of it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "0"


def work(task: Mapping[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Diagnose in a process of its own; see `Apart`."""
    for name in _CORE:
        import_module(name)
    with watched_imports(lambda distribution, name: tell({"at": [distribution, name]})):
        registry = get_registry()
        findings = [asdict(one) for one in diagnose(registry)]
    loaded = sum(record.status == "ok" for record in registry.records)
    tell({"findings": findings, "loaded": loaded})


def status_of(offered: Offered, registry: Registry) -> Literal["ok", "clash", "shadowed"]:
    """Say what a bare name means for an offer: itself, the built-in, or an error."""
    of_kind = registry.steps if offered in registry.steps else registry.offered(offered.kind)
    rivals = [one for one in of_kind if one.name == offered.name]
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
    if record.changes:
        yield Finding(
            "touches" if set(record.changes) <= set(_MILD) else "changes",
            *who,
            f"its import changes {', '.join(record.changes)}; leave what all share alone",
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


def _of_class(distribution: str, name: str, where: str) -> Iterator[Finding]:
    try:
        with importing(distribution, name):
            StoredType(where, {}).load()
    except PluginError as error:
        told = f"prepare step or transformer '{name}': {error}; reinstall or disable that plugin"
        gone = isinstance(error.__cause__, (ImportError, AttributeError))
        who = (distribution, version_of(distribution), name)
        yield Finding("stale" if gone else "broken", *who, told)


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
