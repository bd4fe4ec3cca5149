"""Is this machine ready: versions, threads, compiled loops, plugins, stores, open runs, disks."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from dbgsom_core.config import Experiment
from dbgsom_core.errors import DbgsomError
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.privacy import masked
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.doctor import diagnose_apart
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.runs.find import has_died
from dbgsom_core.runs.folder import find_experiments, find_folders, read_run

_LITTLE, _TOO_LITTLE = 1 << 30, 100 << 20  # free bytes on a disk
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    state : {"ok", "warning", "broken"}
    name : str
    told : str
        What was found.
    cure : str
        What to do about it; empty where all is well.
    """

    state: Literal["ok", "warning", "broken"]
    name: str
    told: str
    cure: str = ""


def examine(
    experiment: Experiment | None, registry: Registry, root: Path, limit: float
) -> Iterator[Check]:
    """Yield every check. Nothing is written but what a look at a folder takes.

    Parameters
    ----------
    experiment : Experiment or None
        Whose trackers are asked; without one the default tracker is.
    registry : Registry
    root : Path
        The folder that holds the runs.
    limit : float
        Seconds that a single import of a plugin may take.
    """
    yield from check_versions()
    yield check_threads()
    yield from check_blas()
    yield from check_loops()
    yield from check_plugins(limit)
    named = [("mlflow", registry.build("tracker", "mlflow"))]
    for name, tracker in named if experiment is None else experiment.tracking:
        yield check_tracker(name, tracker)
    yield from check_runs(root)
    yield from check_disks(root)


def check_versions() -> Iterator[Check]:
    """Yield what is installed, and what is too old or missing."""
    yield Check("ok", "python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    found = {OWN_DISTRIBUTION: _version(OWN_DISTRIBUTION)}
    for needed in requires(OWN_DISTRIBUTION) or ():
        if ";" in needed:  # an extra's
            continue
        name = needed.partition(">")[0].partition("=")[0].strip()
        found[name] = _version(name)
        if found[name] is None:
            yield Check("broken", name, "is not installed", f"pip install '{needed}'")
        elif _is_older(found[name], needed):
            yield Check("broken", name, f"{found[name]} is too old", f"pip install '{needed}'")
    told = ", ".join(f"{name} {found}" for name, found in found.items() if found is not None)
    yield Check("ok", "packages", told)


def check_threads() -> Check:
    """Say on how many processors a fit runs."""
    from dbgsom_core.engine.cache_folder import processor
    from dbgsom_core.engine.workers import available_threads

    threads, name = available_threads(), " ".join(processor().split()[:2])
    told = f"a fit takes {threads} of {os.cpu_count()} processors ({name})"
    quota = _quota()
    if quota is not None and quota < threads:
        cure = f"set engine: {{threads: {max(1, int(quota))}}}"
        return Check("warning", "threads", f"{told}, and may use {quota:g} at a time", cure)
    return Check("ok", "threads", told)


def check_blas() -> Iterator[Check]:
    """Yield the library for matrix products."""
    import scipy.linalg  # noqa: F401 - it brings one along
    from threadpoolctl import threadpool_info

    found = [one for one in threadpool_info() if one["user_api"] == "blas"]
    told = ", ".join(
        dict.fromkeys(
            f"{one['internal_api']} {one['version']} with {one['num_threads']} threads"
            for one in found
        )
    )
    if found:
        yield Check("ok", "blas", f"{told} (training asks for one)")
    else:
        yield Check("warning", "blas", "none that threadpoolctl knows", "reinstall numpy by pip")


def check_loops() -> Iterator[Check]:
    """Yield whether compiled loops are kept, and whether there are any."""
    try:
        from dbgsom_core.engine.compile import loops_folder
        from dbgsom_core.runs.warm import compiled_loops
    except ImportError as error:
        yield Check("broken", "loops", str(error), "unset NUMBA_DISABLE_JIT")
        return
    count = compiled_loops()
    if count is None:
        told = "there is no cache folder that can be written: each process compiles for 15 s"
        yield Check("warning", "loops", told, "let NUMBA_CACHE_DIR name a folder of yours")
    elif count == 0:
        told = f"none is compiled yet in {loops_folder()}: the first run takes 15 s longer"
        yield Check("warning", "loops", told, "dbgsom doctor --warm")
    else:
        yield Check("ok", "loops", f"{count} are compiled, in {loops_folder()}")


def check_plugins(limit: float) -> Iterator[Check]:
    """Yield whether the installed plugins work."""
    findings, loaded = diagnose_apart(limit)
    for one in findings:
        yield Check(
            "warning" if one.harmless else "broken",
            f"plugin {one.name}",
            f"{one.problem}: {one.message}",
            "dbgsom plugins doctor --details",
        )
    if all(one.harmless for one in findings):
        yield Check("ok", "plugins", f"{loaded} loaded")


def check_tracker(name: str, tracker: Component) -> Check:
    """Say whether a tracker can be reached."""
    try:
        reachable = TrackerAbilities.of(tracker).reachable
        if reachable is None:
            return Check("ok", name, "does not say whether it can be reached")
        return Check("ok", name, masked(reachable()))
    except DbgsomError as error:
        cure = "runs go on without it, and 'dbgsom sync' sends what it misses"
        return Check("broken", name, masked(str(error)), cure)


def check_runs(root: Path) -> Iterator[Check]:
    """Yield whether runs were left open by processes that died, and whether any is damaged."""
    died, damaged, running, killed, total = 0, 0, 0, 0, 0
    for experiment in find_experiments(root):
        for folder in find_folders(root, experiment):
            stored = read_run(folder)
            total += 1
            damaged += bool(stored.damage)
            died += has_died(stored)
            running += stored.status == "running" and not stored.damage and not has_died(stored)
            killed += stored.status == "killed" and stored.parent is None and not stored.damage
    told = f"{total} in {root}"
    others = f", {running} going on" if running else ""
    if killed:
        others += f", {killed} killed: 'dbgsom run --resume RUN' goes on with one"
    more = "" if str(root) == "runs" else f" --runs {root}"
    if died:
        left = f"{died} of {told} left open by processes that died{others}"
        yield Check("warning", "runs", left, f"dbgsom sync{more}")
    if damaged:
        told_of = f"{damaged} of {total} in {root} cannot be read in part"
        yield Check("warning", "runs", told_of, "dbgsom plugins doctor tells which" + more)
    if not died and not damaged:
        yield Check("ok", "runs", told + others)


def check_disks(root: Path) -> Iterator[Check]:
    """Yield the room on the disks that runs write to, and whether they may."""
    places = {"runs": _existing(root.absolute()), "temporary files": Path(tempfile.gettempdir())}
    with suppress(ImportError):
        from dbgsom_core.engine.compile import loops_folder

        folder = loops_folder()
        if folder is not None:
            places["compiled loops"] = folder
    for what, folder in places.items():
        name = f"disk for {what}"
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Check("broken", name, f"{folder}: {error.strerror or error}", "choose another")
            continue
        told = f"{free / (1 << 30):.1f} GiB free in {folder}"
        if not os.access(folder, os.W_OK):
            cure = "choose a place with 'tracking: {name: run_folder, path: …}'"
            yield Check("broken", name, f"{folder} cannot be written", cure)
        elif free < _LITTLE:
            yield Check("broken" if free < _TOO_LITTLE else "warning", name, told, "make room")
        else:
            yield Check("ok", name, told)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _is_older(found: str | None, needed: str) -> bool:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return False
    return found is not None and not Requirement(needed).specifier.contains(found, prereleases=True)


def _quota() -> float | None:
    """Return how many processors a container may use at a time; None: no such bound."""
    with suppress(OSError, ValueError):
        allowed, period = _CPU_QUOTA.read_text(encoding="utf-8").split()
        return None if allowed == "max" else int(allowed) / int(period)
    return None


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
