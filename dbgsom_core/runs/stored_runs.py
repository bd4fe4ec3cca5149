"""Stored runs: find them by name, and load what a run needs to go on.

A resumed run keeps the epochs of its journal and the results of its folds. Its training resumes
from the checkpoint, or from the beginning: both give the bits of an uninterrupted run.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
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
from dbgsom_core.experiments.trackers import Run
from dbgsom_core.files import exists
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.describe import diff
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
from dbgsom_core.runs.session import runs_folder

SHORTEST_ID = 4  # characters of the end of an id that will do

# ------------------------------------------------------------------------------------ by name


def matching_folders(name: str, root: Path) -> list[Path]:
    """Return the run folders that a path, an id or the end of an id means."""
    path = Path(name)
    if is_run(path):
        return [path]
    if path.name != name or not root.is_dir():
        return []
    folders = _all_folders(root)
    exact = [folder for folder in folders if folder.name == name]
    if exact or name in find_experiments(root) or exists(name) or len(name) < SHORTEST_ID:
        return exact[:1]
    return [folder for folder in folders if folder.name.endswith(name)]


def _all_folders(root: Path) -> list[Path]:
    folders = []
    for experiment in find_experiments(root):
        folders += find_folders(root, experiment)
    return folders


def find_run(name: str, root: Path, *, besides: str = "") -> tuple[StoredRun, tuple[str, ...]]:
    """Return the run or sweep of a name, and notes.

    ``name`` is a run's folder, its id or the end of that, or an experiment, for its newest finished
    run, or its newest run. Others raise `DataError`, whose message also excludes ``besides``.
    """
    matches = matching_folders(name, root)
    if len(matches) == 1:
        return read_run(matches[0].absolute()), ()
    if matches:
        listed = ", ".join(map(str, matches[:5]))
        raise DataError(f"'{name}' may be any of {listed}: name its folder")
    experiments = find_experiments(root)
    if name in experiments:
        runs = [run for run in find_runs(root, name) if run.parent is None and not run.damage]
        finished = [run for run in runs if run.status == "finished"]
        if runs:
            newest = (finished or runs)[-1]
            kind = "newest finished" if finished else "newest"
            return newest, (f"{newest.id} is the {kind} {newest.kind} of experiment '{name}'",)
    ids = [folder.name for folder in _all_folders(root)]
    hint = did_you_mean(name, [*experiments, *ids]) or "; 'dbgsom run CONFIG' makes runs"
    raise DataError(
        f"'{name}' is no run folder{besides}, and {root.absolute()} has no run and no experiment "
        f"of this name{hint}"
    )


def runs_of(name: str, root: Path, *, besides: str = "") -> list[StoredRun]:
    """Return the runs of an experiment, a run, or a sweep before its runs, by `find_run`'s name."""
    if name.strip("/") in find_experiments(root):
        return find_runs(root, name.strip("/"))
    run, _ = find_run(name, root, besides=besides)
    runs = [run]
    if run.kind == "sweep":
        runs += find_children(run.files.folder)
    return runs


def find_children(sweep: Path) -> list[StoredRun]:
    """Return the runs of a sweep by its folder."""
    siblings = find_runs(sweep.parents[1], sweep.parent.name)
    return [run for run in siblings if run.parent == sweep.name]


def newest_folders(root: Path) -> list[Path]:
    """Return the folders of runs and sweeps, newest first, without runs of known sweeps."""
    folders = _all_folders(root)
    names = {folder.name for folder in folders}
    newest = []
    for folder in sorted(folders, key=lambda folder: folder.name, reverse=True):
        if str(read_json(RunFiles(folder).run).get("parent")) not in names:
            newest.append(folder)
    return newest


def shell_name(stored: StoredRun | Path) -> str:
    """Return the name of a run for commands: its id where it can be found, or its folder."""
    folder = stored if isinstance(stored, Path) else stored.files.folder
    is_usual = Path("runs").absolute() in folder.absolute().parents
    return folder.name if is_usual else shlex.quote(str(folder))


# ------------------------------------------------------------------------------------ resuming

Loaded = tuple[Experiment | Sweep, tuple[Experiment, ...]]  # experiments: one, or those of a sweep


def load(config: str | Path, overrides: Sequence[str], registry: Registry) -> Loaded:
    if is_sweep(config, overrides):
        sweep = load_sweep(config, overrides, registry)
        return sweep, tuple(child.experiment for child in sweep.children)
    experiment = load_experiment(config, overrides, registry)
    return experiment, (experiment,)


def load_stored(
    stored: StoredRun,
    overrides: Sequence[str],
    registry: Registry,
    steps: Path | None = None,
) -> Loaded:
    """Return what the configuration in a run folder describes.

    Classes of its owner are imported from the folder ``steps``, and from none that it names.
    """
    _check_readable(stored)
    if overrides:
        raise ConfigError("a run goes on with its own configuration: leave --set out")
    loaded, _ = load(stored.files.config, (), registry)
    rows = stored.kept_data
    if rows is not None:
        loaded = with_data(loaded, lambda dataset: dataset.model_copy(update={"path": str(rows)}))
    folder = Path(str(stored.environment.get("folder", loaded.folder)))  # relative paths start here

    def moved(experiment: Experiment) -> Experiment:
        return replace(experiment, folder=folder, steps_folder=steps)

    if isinstance(loaded, Experiment):
        experiment = moved(loaded)
        return experiment, (experiment,)
    loaded = replace(loaded.with_experiments(moved), folder=folder)
    return loaded, tuple(child.experiment for child in loaded.children)


def with_data(loaded: Any, change: Callable[[Any], Any]) -> Any:
    """Return what is loaded with a change of the data set that holds the rows of a data frame."""
    if isinstance(loaded, Sweep):
        return loaded.with_experiments(lambda experiment: with_data(experiment, change))
    if getattr(loaded.dataset, "path", None) != DATA_FILE:
        return loaded
    return replace(loaded, dataset=change(loaded.dataset))


def interrupted_run(loaded: Experiment | Sweep, registry: Registry) -> StoredRun:
    """Return the newest run of a configuration that is not complete, or else the newest."""
    kind, first = "run", loaded
    if isinstance(loaded, Sweep):
        kind, first = "sweep", loaded.children[0].experiment
    assert isinstance(first, Experiment)
    root = runs_folder(first, registry).absolute()
    config = _plain(loaded.resolved)
    unfinished, complete, text = None, None, f"no run of this configuration in {root} can go on"
    for run in find_runs(root, loaded.experiment):
        if run.parent is None and run.kind == kind:
            changes = diff(run.config, config)
            if not changes and is_complete(run, loaded):
                complete = run
            elif not changes:
                unfinished = run
            elif not is_complete(run, loaded):
                text += f"; {run.id}: {run.damage or _sentence(changes)}"
    newest = unfinished or complete
    if newest is None:
        raise ConfigError(f"{text}; start it without --resume")
    _check_readable(newest)
    return newest


def is_complete(stored: StoredRun, loaded: Experiment | Sweep) -> bool:
    """Return whether a run has finished, and for a sweep all of its runs."""
    if stored.status != "finished":
        return False
    return not isinstance(loaded, Sweep) or len(stored.children) >= loaded.runs


def check_same(stored: StoredRun, run: Run) -> None:
    """Raise `ConfigError` where a run is not the stored one: configuration, data or versions."""
    changes = diff(_identity(stored), _identity(run))
    if changes:
        raise ConfigError(
            f"run {stored.id} cannot go on: {_sentence(changes)}; give that back, or start a new "
            "run without --resume"
        )


def _identity(run: StoredRun | Run) -> dict[str, Any]:
    """Return what has to be the same in a run that goes on."""
    return {
        **_plain(run.config),
        "data": {key: run.data.get(key) for key in ("digest", "test")},
        "versions": run.environment.get("versions"),
        "installed plugins": run.environment.get("plugins"),
    }


def _plain(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a configuration as it is read from ``config.yaml``."""
    values: Mapping[str, Any] = read_plain(dump_yaml(config), "config.yaml")
    return values


def _check_readable(stored: StoredRun) -> None:
    if stored.damage:
        raise DataError(f"{stored.files.folder} is damaged: {stored.damage}")


def _sentence(changes: Mapping[str, tuple[Any, Any]]) -> str:
    return "; ".join(f"{key} was {was!r} and is {now!r}" for key, (was, now) in changes.items())
