"""Stored runs: find them by name, and load what a run needs to go on.

A resumed run keeps the epochs of its journal and the results of its folds. Its training resumes
from the checkpoint, or from the beginning: both give the bits of an uninterrupted run.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbgsom_core.config import (
    Experiment,
    Sweep,
    dump_yaml,
    is_sweep,
    load_experiment,
    load_sweep,
    read_plain,
)
from dbgsom_core.errors import ConfigError, DataError, did_you_mean
from dbgsom_core.experiments.journal import plain
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import runs_folder
from dbgsom_core.runs.folder import (
    DATA_FILE,
    RunFiles,
    StoredRun,
    find_experiments,
    find_folders,
    find_runs,
    is_run,
    read_json,
    read_run,
)
from dbgsom_core.runs.text import diff
from dbgsom_core.tables.safe_files import exists

SHORTEST_ID = 4  # characters of the end of an id that will do
_OF_DATA = ("samples", "features", "digest")

# ------------------------------------------------------------------------------------ by name


def find_folder(name: str, root: Path) -> Path | None:
    """Return the run folder of a path, an id or the end of an id; None: no run."""
    matches = _matching_folders(name, root)
    return matches[0] if len(matches) == 1 else None


def _matching_folders(name: str, root: Path) -> list[Path]:
    path = Path(name)
    if is_run(path):
        return [path]
    if path.name != name or not root.is_dir():
        return []
    experiments = find_experiments(root)
    folders = [folder for group in experiments for folder in find_folders(root, group)]
    exact = [folder for folder in folders if folder.name == name]
    if exact or name in experiments or exists(name) or len(name) < SHORTEST_ID:
        return exact[:1]
    return [folder for folder in folders if folder.name.endswith(name)]


def find_run(name: str, root: Path, *, besides: str = "") -> tuple[StoredRun, tuple[str, ...]]:
    """Return the run or sweep of a name, and notes.

    ``name`` is a run's folder, its id or the end of that, or an experiment, for its newest finished
    run, or its newest run. Others raise `DataError`, whose message also excludes ``besides``.
    """
    matches = _matching_folders(name, root)
    if len(matches) == 1:
        return read_run(matches[0].absolute()), ()
    if matches:
        listed = ", ".join(map(str, matches[:5]))
        raise DataError(f"'{name}' may be any of {listed}: name its folder")
    groups = find_experiments(root)
    if name in groups:
        runs = [run for run in find_runs(root, name) if run.parent is None and not run.damage]
        finished = [run for run in runs if run.status == "finished"]
        if runs:
            newest = (finished or runs)[-1]
            kind = "newest finished" if finished else "newest"
            return newest, (f"{newest.id} is the {kind} {newest.kind} of experiment '{name}'",)
    ids = (folder.name for group in groups for folder in find_folders(root, group))
    hint = did_you_mean(name, [*groups, *ids]) or "; 'dbgsom run CONFIG' makes runs"
    raise DataError(
        f"'{name}' is no run folder{besides}, and {root.absolute()} has no run and no experiment "
        f"of this name{hint}"
    )


def newest_folders(root: Path) -> tuple[list[Path], dict[str, int]]:
    """Return the folders of runs and sweeps, newest first, and the runs in each sweep, by its id.

    A run of a sweep whose folder is there is counted only.
    """
    folders = [folder for group in find_experiments(root) for folder in find_folders(root, group)]
    known = {folder.name for folder in folders}
    parents = {folder: str(read_json(RunFiles(folder).run).get("parent")) for folder in folders}
    inside = {folder: one for folder, one in parents.items() if one in known}
    alone = sorted((f for f in folders if f not in inside), key=lambda f: f.name, reverse=True)
    return alone, Counter(inside.values())


def shell_name(stored: StoredRun | Path) -> str:
    """Return the name of a run for commands: its id where it can be found, or its folder."""
    folder = stored if isinstance(stored, Path) else stored.files.folder
    found = find_folder(folder.name, Path("runs"))
    known = found is not None and found.absolute() == folder.absolute()
    return folder.name if known else shlex.quote(str(folder))


# ------------------------------------------------------------------------------------ resuming

Loaded = tuple[Experiment | Sweep, tuple[Experiment, ...]]  # experiments: one, or those of a sweep


def load(config: str | Path, overrides: Sequence[str], registry: Registry) -> Loaded:
    if is_sweep(config, overrides):
        sweep = load_sweep(config, overrides, registry)
        return sweep, tuple(child.experiment for child in sweep.children)
    experiment = load_experiment(config, overrides, registry)
    return experiment, (experiment,)


def load_stored(stored: StoredRun, overrides: Sequence[str], registry: Registry) -> Loaded:
    """Return what the configuration in a run folder describes."""
    _check_readable(stored)
    if overrides:
        raise ConfigError("a run goes on with its own configuration: leave --set out")
    loaded, _ = load(stored.files.config, (), registry)
    if (rows := stored.kept_data) is not None:
        loaded = with_rows(loaded, rows)
    folder = Path(stored.environment.get("folder", loaded.folder))  # where relative paths start
    if isinstance(loaded, Experiment):
        loaded = replace(loaded, folder=folder)
        return loaded, (loaded,)
    loaded = loaded.with_experiments(lambda experiment: replace(experiment, folder=folder))
    return replace(loaded, folder=folder), tuple(child.experiment for child in loaded.children)


def with_rows(loaded: Experiment | Sweep, rows: Path) -> Experiment | Sweep:
    """Return what is loaded with the data of a data frame read from the file ``rows``."""
    if isinstance(loaded, Sweep):
        return loaded.with_experiments(lambda one: with_rows(one, rows))  # type: ignore[arg-type, return-value]
    if getattr(loaded.dataset, "path", None) != DATA_FILE:
        return loaded
    return replace(loaded, dataset=loaded.dataset.model_copy(update={"path": str(rows)}))


def interrupted_run(loaded: Experiment | Sweep, registry: Registry) -> StoredRun:
    """Return the newest run of a configuration that is not complete, or else the newest."""
    is_of_sweep = isinstance(loaded, Sweep)
    first = loaded.children[0].experiment if isinstance(loaded, Sweep) else loaded
    root = runs_folder(first, registry).absolute()
    runs = [
        run
        for run in find_runs(root, loaded.experiment)
        if run.parent is None and (run.kind == "sweep") == is_of_sweep
    ]
    same = [run for run in runs if not _differences(run, loaded.resolved)]
    unfinished = [run for run in same if not is_complete(run, loaded)]
    if same:
        newest = (unfinished or same)[-1]
        _check_readable(newest)
        return newest
    text = f"no run of {loaded.source} in {root / loaded.experiment} can go on"
    others = [run for run in runs if not is_complete(run, loaded)]
    if others:
        differing = others[-1].damage or _changes(_differences(others[-1], loaded.resolved))
        text += f"; {others[-1].id}: {differing}"
    raise ConfigError(f"{text}; start it without --resume")


def _check_readable(stored: StoredRun) -> None:
    if stored.damage:
        raise DataError(f"{stored.files.folder} is damaged: {stored.damage}")


def is_complete(stored: StoredRun, loaded: Experiment | Sweep) -> bool:
    """Return whether a run has finished, and for a sweep all of its runs."""
    if stored.status != "finished":
        return False
    return not isinstance(loaded, Sweep) or len(stored.children) >= loaded.runs


def check_same(stored: StoredRun, run: Run) -> None:
    """Raise `ConfigError` where a run is not the stored one: configuration, versions or data."""
    changes = _differences(stored, run.config)
    changes |= diff(_versions(stored.environment), _versions(run.environment))
    _refuse(stored, changes)
    check_data(stored, run.data)


def check_data(stored: StoredRun, facts: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where the data of a stored run are not those with these facts."""
    parts = {
        "data": (stored.data, facts),
        "data to test on": (stored.data.get("test") or {}, facts.get("test") or {}),
    }
    for part, (was, now) in parts.items():
        if was and now:  # data to test on is loaded later than the other
            before, after = ({name: one.get(name) for name in _OF_DATA} for one in (was, now))
            _refuse(stored, diff({part: before}, {part: after}))


def _refuse(stored: StoredRun, changes: Mapping[str, tuple[Any, Any]]) -> None:
    if changes:
        raise ConfigError(
            f"run {stored.id} cannot go on: {_changes(changes)}; give that back, or start a new "
            "run without --resume"
        )


def _differences(stored: StoredRun, config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    now = read_plain(dump_yaml(config), "configuration")
    assert isinstance(now, Mapping)
    return diff(stored.config, now)


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    versions = {"dbgsom-core": (environment.get("versions") or {}).get("dbgsom-core")}
    for plugin in environment.get("plugins") or ():
        versions[f"plugin {plugin.get('name')}"] = plugin.get("version")
    return {"versions": json.loads(json.dumps(plain(versions)))}


def _changes(changes: Mapping[str, tuple[Any, Any]]) -> str:
    return "; ".join(f"{key} was {was!r} and is {now!r}" for key, (was, now) in changes.items())
