"""Resume a run that was interrupted: which one, whether it is still the same, in its folder.

Its journal keeps the epochs that it has, and its map goes on from the last checkpoint, or from the
beginning where there is none yet. Both give the bits that the run would have given, so nothing is
written twice and nothing is missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from dbgsom_core.config import (
    Experiment,
    Sweep,
    dump_yaml,
    fill_text,
    is_sweep,
    load_experiment,
    load_sweep,
    with_defaults,
)
from dbgsom_core.errors import ConfigError, DataError, DbgsomError
from dbgsom_core.interfaces.component import Component, flat, nested_fields
from dbgsom_core.interfaces.trackers import Run
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.callbacks import Tracking, mirror_ended
from dbgsom_core.runs.checkpoint import Checkpoint
from dbgsom_core.runs.find import RunLock, find_folder, has_died, is_locked, mark_killed
from dbgsom_core.runs.folder import (
    StoredRun,
    find_runs,
    journal_damage,
    plain,
    read_run,
    read_status,
    timestamp,
    write_status,
)
from dbgsom_core.runs.manifest import model_parts

_SECONDS_TO_END = 60.0  # of a sweep's child whose sweep was killed
_SECONDS_TO_WAIT = 1.0  # for another process that looks at the run, and lets go


# ------------------------------------------------------------------------------- which run


def load(
    config: str | Path, overrides: Sequence[str], registry: Registry
) -> tuple[Experiment | Sweep, tuple[Experiment, ...]]:
    """Return what a configuration describes, and its experiments: one, or those of a sweep."""
    if is_sweep(config, overrides):
        sweep = load_sweep(config, overrides, registry)
        return sweep, tuple(child.experiment for child in sweep.children)
    experiment = load_experiment(config, overrides, registry)
    return experiment, (experiment,)


def stored_run(name: str, root: Path) -> StoredRun | None:
    """Return the run that `find_folder` finds; None: it is no run."""
    folder = find_folder(name, root)
    return None if folder is None else _checked(mark_killed(read_run(folder.absolute())))


def interrupted_run(loaded: Experiment | Sweep, root: Path) -> StoredRun:
    """Return the newest run of a configuration that has not ended well, or in part only.

    Where all have finished, the newest of them, see `is_complete`. Where there is none
    `ConfigError` says what differs in the newest one that is like it.
    """
    kind, wanted = "sweep" if isinstance(loaded, Sweep) else "run", _as_read(loaded.resolved)
    group = loaded.experiment
    runs = [
        run
        for run in find_runs(root.absolute(), group)
        if run.kind == kind and run.parent is None and run.config and not run.damage
    ]
    left = [run for run in runs if not is_complete(run, loaded)]
    same = [run for run in left if _completed(run.config) == wanted] or [
        run for run in runs if _completed(run.config) == wanted
    ]
    if same:
        return _checked(mark_killed(same[-1]))
    text = f"no interrupted run of {loaded.source} in {root / group}"
    if left:
        differs = "; ".join(_differences(_completed(left[-1].config), wanted))
        raise ConfigError(
            f"{text}; {left[-1].id} differs: {differs}. Give what it was started with, or start a "
            "new run without --resume"
        )
    raise ConfigError(f"{text}; start it without --resume")


def _checked(stored: StoredRun) -> StoredRun:
    damage = stored.damage
    if not damage and stored.status != "finished":
        damage = journal_damage(stored)
    if damage:
        raise DataError(f"{stored.files.folder} is damaged, so nothing can go on there: {damage}")
    return stored


def load_stored(
    stored: StoredRun, overrides: Sequence[str], registry: Registry
) -> tuple[Experiment | Sweep, tuple[Experiment, ...]]:
    """Return what the configuration in a run folder describes, as `load`."""
    files = stored.files
    if overrides:
        raise ConfigError("a run goes on with its own configuration: leave --set out")
    if not files.config.exists():
        raise ConfigError(
            f"{files.folder} was killed before its configuration was written: there is nothing to "
            "go on with, start it anew"
        )
    config = files.config.read_text(encoding="utf-8")
    if "//***@" in config or "=***" in config:
        raise ConfigError(
            f"{files.config} lacks the password or token of an address, which is not written down: "
            "give the file that the run was started with, 'dbgsom run --resume FILE'"
        )
    loaded, experiments = load(files.config, (), registry)
    given = stored.environment.get("given")
    if isinstance(loaded, Experiment) and isinstance(given, dict):
        loaded = _with_given_fields(loaded, given)
        experiments = (loaded,)
    written = stored.environment.get("folder")
    if written is None:
        return loaded, experiments
    folder = Path(fill_text(written))  # where its relative paths start
    if isinstance(loaded, Experiment):
        loaded = replace(loaded, folder=folder)
        return loaded, (loaded,)
    children = tuple(
        replace(child, experiment=replace(child.experiment, folder=folder))
        for child in loaded.children
    )
    loaded = replace(loaded, folder=folder, children=children)
    return loaded, tuple(child.experiment for child in children)


def _with_given_fields(experiment: Experiment, given: Mapping[str, Any]) -> Experiment:
    # A configuration that is written down gives all fields of the model's parts; a saved model
    # knows which were given in truth.
    parts: dict[str, Any] = {
        kind: _as_given(part, set(map(str, given.get(kind) or ())))
        for kind, part in model_parts(experiment).items()
    }
    engine = parts.pop("engine", experiment.engine)
    model = replace(experiment.model, params={**experiment.model.params, **parts})
    return replace(experiment, model=model, engine=engine)


def _as_given(part: Component, given: set[str]) -> Component:
    values = dict(part)
    for field in nested_fields(type(part)):
        inner = {name.removeprefix(f"{field}.") for name in given if name.startswith(f"{field}.")}
        values[field] = _as_given(values[field], inner)
    return type(part).model_construct(_fields_set=given & values.keys(), **values)


def is_complete(stored: StoredRun, loaded: Experiment | Sweep) -> bool:
    """Return whether nothing is left to do: it has finished, and so have all runs of a sweep."""
    if stored.status != "finished":
        return False
    return not isinstance(loaded, Sweep) or len(stored.children) >= loaded.runs


def finish_off(stored: StoredRun, tracking: Tracking) -> None:
    """Do what a run that had finished was killed before: tidy up, and let trackers mirror it."""
    Checkpoint(stored.files).remove()
    mirror_ended(stored, tracking)


# --------------------------------------------------------------------- whether it can be resumed


def wait_for_end(stored: StoredRun, sweep: StoredRun) -> None:
    """Wait for the process of a sweep's child that ends after that of its sweep has.

    It may still tell trackers of an end that its folder has already.
    """
    until = time.monotonic() + _SECONDS_TO_END
    if stored.process is None or stored.process == sweep.process:
        return
    while is_locked(stored.files.folder) and time.monotonic() < until:
        time.sleep(0.1)


def check_not_running(stored: StoredRun) -> None:
    """Raise `DbgsomError` for a run that another process goes on with, or may go on with."""
    process = stored.process
    if stored.status != "running" or process is None or has_died(stored):
        return
    where = f"in process {process.pid} on {process.host}"
    if not process.is_elsewhere:
        raise DbgsomError(f"run {stored.id} is already going on, {where}")
    raise DbgsomError(
        f"run {stored.id} may still go on, {where}, which cannot be seen from here: its last sign "
        f"of life is {stored.silent:.0f} s old, and after a day it is closed. If it does not go "
        f"on, remove {stored.files.status} and try again"
    )


def claim(stored: StoredRun) -> RunLock:
    """Return the lock of a run that is resumed in this process, held.

    Raises `DbgsomError` where another process was faster, or the folder cannot be written.
    """
    folder = stored.files.folder
    lock = RunLock(folder)
    locked = lock.acquire(_SECONDS_TO_WAIT)
    try:
        now = read_status(folder)
        if not locked:
            where = f", in process {now.process.pid} on {now.process.host}" if now.process else ""
            raise DbgsomError(f"run {stored.id} is already going on{where}")
        if now.status == "finished" and stored.status != "finished":
            raise DbgsomError(f"run {stored.id} has finished meanwhile")
        started = None if now.started is None else timestamp(now.started)
        write_status(stored.files, "running", started)
    except BaseException as error:
        if locked:
            lock.release()
        if isinstance(error, OSError):
            raise DbgsomError(f"run {stored.id} cannot go on in {folder}: {error}") from error
        raise
    return lock


# ----------------------------------------------------------------------- whether it is the same


def check_same(stored: StoredRun, run: Run) -> None:
    """Raise `ConfigError` or `DataError` where configuration, components or data have changed."""
    check_same_data(stored, run.data)
    differences = []
    if stored.config:
        differences += _differences(_completed(stored.config), _as_read(run.config))
    if stored.environment:  # else it was killed before it had written that
        differences += _differences(_versions(stored.environment), _versions(run.environment))
    if differences:
        raise ConfigError(
            f"run {stored.id} cannot go on: {'; '.join(differences)}; give back what it was "
            "started with, or start a new run without --resume"
        )


def check_same_data(stored: StoredRun, now: Mapping[str, Any]) -> None:
    """Raise `DataError` where the data, of which a manifest says ``now``, has changed."""
    for was, is_now, which in (
        (stored.data, now, "its data"),
        (stored.data.get("test") or {}, now.get("test") or {}, "its data to test on"),
    ):
        if not is_now or was.get("digest") in (None, is_now.get("digest")):
            continue  # data to test on is loaded later than the other
        before, after = (
            f"{facts.get('samples')} × {now.get('features')} with digest "
            f"{str(facts.get('digest'))[:12]}"
            for facts in (was, is_now)
        )
        raise DataError(
            f"run {stored.id} cannot go on: {which} was {before} and is {after}; bring the data "
            "back, or start a new run without --resume"
        )


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    components = {
        f"{part.get('kind')} {part.get('name')}": {"version": part.get("version")}
        for part in environment.get("components") or ()
    }
    ours = (environment.get("versions") or {}).get("dbgsom-core")
    return json.loads(json.dumps(plain({"dbgsom-core": ours, **components})))  # type: ignore[no-any-return]


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before, after = flat(was), flat(now)
    return [
        f"{key} was {before.get(key, 'not there')!r} and is {after.get(key, 'not there')!r}"
        for key in dict.fromkeys((*before, *after))
        if before.get(key, ...) != after.get(key, ...)
    ]


def _completed(config: Mapping[str, Any]) -> dict[str, Any]:
    return _as_read(with_defaults(config, get_registry()))


def _as_read(config: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(dump_yaml(config))
    return read


def resumed_run(stored: StoredRun, parent: Run | None) -> Run:
    """Return a stored run as callbacks knew it while it ran."""
    names = (
        "id", "name", "experiment", "kind", "config", "params", "environment", "data", "varies",
        "tags",
    )  # fmt: skip
    same: dict[str, Any] = {name: getattr(stored, name) for name in names}
    return Run(folder=stored.files.folder, parent=parent, **same)
