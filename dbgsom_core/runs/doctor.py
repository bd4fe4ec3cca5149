"""Check this machine: versions, threads, compiled loops, plugins, trackers, runs, disks.

Modules that import numba are imported late: numba may be broken.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import Literal

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.doctor import diagnose_isolated
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.runs.callbacks import default_tracking
from dbgsom_core.runs.folder import find_experiments, find_folders, read_run
from dbgsom_core.runs.stored_runs import has_died

_LITTLE, _TOO_LITTLE = 1 << 30, 100 << 20  # free bytes on a disk


@dataclass(frozen=True)
class Check:
    """The result of a check, with a hint."""

    state: Literal["ok", "warning", "broken"]
    name: str
    message: str
    hint: str = ""


def examine(
    experiment: Experiment | None, registry: Registry, root: Path, limit: float
) -> Iterator[Check]:
    """Yield every check; nothing is written."""
    import scipy.linalg  # noqa: F401 - loads the BLAS that threadpoolctl looks for
    from threadpoolctl import threadpool_info

    from dbgsom_core.engine.runtime import available_threads

    yield Check("ok", "python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    needed = [name for name in requires(OWN_DISTRIBUTION) or () if ";" not in name]  # no extra's
    names = [OWN_DISTRIBUTION, *(re.split(r"[^\w.-]", name)[0] for name in needed)]
    yield Check("ok", "packages", ", ".join(f"{name} {version(name)}" for name in names))
    known = (library for library in threadpool_info() if library["user_api"] == "blas")
    blas = ", ".join(dict.fromkeys(f"{one['internal_api']} {one['version']}" for one in known))
    found = f"a fit takes {available_threads()} of {os.cpu_count()} processors"
    yield Check("ok", "threads", f"{found}, BLAS is {blas or 'not known'}")
    yield check_loops()
    findings, loaded = diagnose_isolated(limit)
    for finding in findings:
        state: Literal["warning", "broken"] = "warning" if finding.harmless else "broken"
        found = f"{finding.problem}: {finding.message}"
        yield Check(state, f"plugin {finding.name}", found, "dbgsom plugins doctor --details")
    if all(finding.harmless for finding in findings):
        yield Check("ok", "plugins", f"{loaded} loaded")
    for name, tracker in default_tracking(registry) if experiment is None else experiment.tracking:
        yield check_tracker(name, tracker)
    yield from check_runs(root)
    yield from check_disks(root)


def check_loops() -> Check:
    try:
        from dbgsom_core.engine import compile  # noqa: F401
    except ImportError as error:
        return Check("broken", "loops", str(error), "unset NUMBA_DISABLE_JIT")
    return Check("ok", "loops", "numba compiles them on first use")


def check_tracker(name: str, tracker: Component) -> Check:
    reachable = guarded(tracker).reachable
    try:
        found = "does not say whether it can be reached" if reachable is None else reachable()
        return Check("ok", name, found)
    except DbgsomError as error:
        hint = "runs work without it, and 'dbgsom sync' sends them to it later"
        return Check("broken", name, str(error), hint)


def check_runs(root: Path) -> Iterator[Check]:
    folders = (one for name in find_experiments(root) for one in find_folders(root, name))
    runs = [read_run(folder) for folder in folders]
    died, damaged = sum(map(has_died, runs)), sum(bool(run.damage) for run in runs)
    more = "" if str(root) == "runs" else f" --runs {root}"
    if died:
        found = f"{died} of {len(runs)} runs in {root} were left open by processes that died"
        yield Check("warning", "runs", found, f"dbgsom sync{more}")
    if damaged:
        found = f"{damaged} of {len(runs)} runs in {root} have damaged files"
        yield Check("warning", "runs", found, f"'dbgsom plugins doctor{more}' lists them")
    if not died and not damaged:
        yield Check("ok", "runs", f"{len(runs)} in {root}")


def check_disks(root: Path) -> Iterator[Check]:
    runs = root.absolute()
    while not runs.exists() and runs != runs.parent:
        runs = runs.parent
    places = {"runs": runs, "temporary files": Path(tempfile.gettempdir())}
    for what, folder in places.items():
        name = f"disk for {what}"
        free = shutil.disk_usage(folder).free
        found = f"{free / (1 << 30):.1f} GiB free in {folder}"
        if not os.access(folder, os.W_OK):
            hint = "choose a place with 'tracking: {name: run_folder, path: …}'"
            yield Check("broken", name, f"{folder} cannot be written", hint)
        elif free < _LITTLE:
            yield Check("broken" if free < _TOO_LITTLE else "warning", name, found, "make room")
        else:
            yield Check("ok", name, found)
