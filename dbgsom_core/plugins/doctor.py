"""Find defects of installed plugins, each with its cure; run code in isolated processes."""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any, Literal

from dbgsom_core.errors import PluginError
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.interfaces.version import API_VERSION
from dbgsom_core.plugins.registry import (
    OWN_DISTRIBUTION,
    STEP,
    PluginEntry,
    Registry,
    disabled_plugins,
    get_registry,
    installed_points,
    only_own_plugins,
)

SLOW_SECONDS = 0.2  # what one plugin may add to every start
Problem = Literal["broken", "api version", "stale", "clash", "shadowed", "slow", "outdated"]
# Imported first, since every run imports them: their time is not the plugin's.
_CORE = ("dbgsom_core.api", "numpy", "scipy.sparse", "numba", "sklearn.base", "matplotlib.figure")
_CHILD = """
import json, sys
task = json.loads(sys.argv[1])
sys.path[:] = task["path"]
from dbgsom_core.plugins.doctor import run_task
run_task(task)
"""

Send = Callable[[Any], None]


@dataclass(frozen=True)
class Finding:
    """A defect of a plugin or a component.

    The problem is ``broken`` (cannot be loaded), ``api version`` (too old or too new), ``stale``
    (names a class that is gone), ``clash`` (two offer one name), ``shadowed`` (a built-in has
    the name), or ``slow``.
    """

    problem: Problem
    distribution: str
    version: str
    name: str
    message: str  # one sentence with the cure
    details: str = ""  # a traceback

    @property
    def harmless(self) -> bool:
        return self.problem in ("shadowed", "slow", "outdated")


def diagnose_isolated(limit: float) -> tuple[list[Finding], int]:
    """Return all findings and the number of plugins loaded; imports are tried in other processes.

    Each distribution has a process of its own, in which a single import may take ``limit`` seconds.
    One that ends its process or hangs is a finding, and left out of the search for clashes.
    """
    findings: list[Finding] = []
    off = disabled_plugins()
    for distribution, (version, name) in enabled_distributions().items():
        found, ended = run_isolated(f"{__name__}:examine", distribution, limit)
        findings += [Finding(**one) for one in found]
        if ended:
            findings.append(Finding("broken", distribution, version, name, import_failure(ended)))
            off.append(distribution)
    registry = Registry.discover(off, own_only=only_own_plugins())
    loaded = sum(record.status == "ok" for record in registry.records)
    return findings + list(_clashes(registry)), loaded


def enabled_distributions() -> dict[str, tuple[str, str]]:
    """Return version and first entry point of each distribution whose plugins are not disabled."""
    off, own_only = set(disabled_plugins()), only_own_plugins()
    return {
        distribution: (version, point.name)
        for point, distribution, version in reversed(installed_points())
        if not off & {point.name, distribution}
        and (not own_only or distribution == OWN_DISTRIBUTION)
    }


def import_failure(ended: str) -> str:
    return f"{ended} when it was imported; disable or uninstall it"


def examine(distribution: str, send: Send) -> None:
    """Examine the plugins of a distribution in a process of its own; see `run_isolated`."""
    for name in _CORE:
        import_module(name)
    for one in defects(get_registry(), distribution):
        send(asdict(one))


def defects(registry: Registry, distribution: str = "") -> Iterator[Finding]:
    """Yield defects of the plugins of a distribution, or of all; their classes are imported."""
    for one in registry.records:
        if distribution not in ("", one.distribution):
            continue
        who = (one.distribution, one.version, one.name)
        if one.status == "broken":
            stated = one.api_version
            foreign = stated is not None and stated != API_VERSION
            yield Finding("api version" if foreign else "broken", *who, one.error, one.details)
        if one.import_seconds > SLOW_SECONDS and one.distribution != OWN_DISTRIBUTION:
            yield Finding(
                "slow",
                *who,
                f'takes {one.import_seconds:.2f} s at every start; offer "module:Class" strings '
                "and import what is heavy inside methods",
            )
    for offered in registry.classes():
        if distribution in ("", offered.distribution):
            try:
                offered.load()
            except PluginError as error:
                gone = isinstance(error.__cause__, (ImportError, AttributeError))
                who = (offered.distribution, offered.version, offered.name)
                yield Finding("stale" if gone else "broken", *who, str(error))


def _clashes(registry: Registry) -> Iterator[Finding]:
    for offered in (one for kind in KINDS for one in registry.offered(kind)):
        status = status_of(offered, registry)
        if status == "ok":
            continue
        rivals = [
            one.distribution
            for one in registry.offered(offered.kind)
            if one.name == offered.name and one.distribution != offered.distribution
        ]
        means = f"means that of {OWN_DISTRIBUTION}" if status == "shadowed" else "is an error"
        yield Finding(
            status,
            offered.distribution,
            offered.version,
            offered.name,
            f"{offered.kind} '{offered.name}' is offered by {' and '.join(rivals)} too: the bare "
            f"name {means}; write '{offered.full_name}'",
        )


def status_of(offered: PluginEntry, registry: Registry) -> Literal["ok", "clash", "shadowed"]:
    """Return whether the bare name of an entry means it, a built-in, or is ambiguous."""
    of_kind = registry.steps if offered.kind == STEP else registry.offered(offered.kind)
    homes = [one.distribution for one in of_kind if one.name == offered.name]
    if len(homes) == 1 or offered.distribution == OWN_DISTRIBUTION:
        return "ok"
    return "shadowed" if OWN_DISTRIBUTION in homes else "clash"


def run_isolated(
    work: str, distribution: str, limit: float, *arguments: Any
) -> tuple[list[Any], str]:
    """Call ``module:function(distribution, *arguments, send)`` in a process of its own.

    Other third parties are disabled there; arguments and sent values are plain JSON. ``limit`` is
    the seconds from one call of ``send(value)`` to the next. Returns the values sent, and a
    description of an early end of the process; empty where it finished.
    """
    with TemporaryDirectory() as folder:
        results, timeout = Path(folder, "results"), Path(folder, "timeout")
        task = {
            "path": [path for path in sys.path if path], "work": work,
            "arguments": [distribution, *arguments],
            "limit": limit, "results": str(results), "timeout": str(timeout),
        }  # fmt: skip
        others = {one for _, one, _ in installed_points()} - {distribution, OWN_DISTRIBUTION}
        environment = {
            **os.environ,
            "DBGSOM_DISABLE_PLUGINS": ",".join({*disabled_plugins(), *others}),
        }
        code = subprocess.run(
            [sys.executable, "-c", _CHILD, json.dumps(task)],
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
        ).returncode
        lines = results.read_text().splitlines() if results.exists() else []
        values = [json.loads(line) for line in lines]
        if values and values[-1] == "done":
            return values[:-1], ""
        if timeout.exists() and timeout.stat().st_size:
            return values, f"took longer than {limit:g} s"
        by = f"signal {-code}" if code < 0 else f"exit code {code}"
        return values, f"ended the process ({by})"


def run_task(task: dict[str, Any]) -> None:
    """Do the work of the process that `run_isolated` started."""
    os.dup2(2, 1)  # prints of plugins go to stderr
    with Path(task["timeout"]).open("w") as timeout, Path(task["results"]).open("w") as results:

        def send(value: Any) -> None:
            print(json.dumps(value), file=results, flush=True)
            faulthandler.dump_traceback_later(task["limit"], exit=True, file=timeout)

        faulthandler.dump_traceback_later(task["limit"], exit=True, file=timeout)
        resolve_name(task["work"])(*task["arguments"], send)
        send("done")
        os._exit(0)  # threads that a plugin left behind end with it
