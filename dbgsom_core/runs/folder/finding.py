"""Which run a name means: a folder, or an id."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dbgsom_core.config import fill_text
from dbgsom_core.errors import ConfigError, DataError, did_you_mean
from dbgsom_core.files import exists
from dbgsom_core.runs.folder.dead import close_if_dead
from dbgsom_core.runs.folder.store import (
    RunFiles,
    StoredRun,
    find_experiments,
    find_folders,
    find_runs,
    read_run,
)

_SHORTEST_ID = 4  # letters of the end of an id that will do


def find_folder(name: str, root: Path) -> Path | None:
    """Return the run folder that this is, or whose id under ``root`` this is; None: it is no run.

    The end of an id will do where no other id, no experiment and no file is called so. A reference
    to the environment, as messages show it, is filled.
    """
    folder = Path(fill_text(name))
    if is_run(folder):
        return folder
    known = find_experiments(root) if root.is_dir() and Path(name).name == name else []
    exact = next((root / one / name for one in known if is_run(root / one / name)), None)
    if exact is not None or name in known or exists(name):
        return exact
    meant = ending_so(name, root, known)
    return meant[0] if len(meant) == 1 else None


def ending_so(name: str, root: Path, known: Iterable[str]) -> list[Path]:
    """Return the run folders of some experiments whose id ends so, if there is enough of it."""
    if len(name) < _SHORTEST_ID:
        return []
    return [one for group in known for one in find_folders(root, group) if one.name.endswith(name)]


def find_run(name: str, root: Path, *, besides: str = "") -> tuple[StoredRun, tuple[str, ...]]:
    """Return the run or sweep that a name means, and notes.

    ``name`` is a run's folder, its id or the end of that, or an experiment, which means its newest
    run that has finished, or its newest one where none has. ``besides`` says what else it is not.

    Raises
    ------
    DataError
        No run is called so, or several are.
    """
    folder = find_folder(name, root)
    if folder is not None:
        return close_if_dead(read_run(folder.absolute())), ()
    groups = find_experiments(root)
    if name in groups:
        runs = [one for one in find_runs(root, name) if one.parent is None and not one.damage]
        finished = [one for one in runs if one.status == "finished"]
        if runs:
            newest = close_if_dead((finished or runs)[-1])
            kind = "newest finished" if finished else "newest"
            return newest, (f"{newest.id} is the {kind} {newest.kind} of experiment '{name}'",)
    meant = ending_so(name, root, groups)
    if len(meant) > 1:
        listed = ", ".join(str(one) for one in meant[:5])
        raise DataError(f"'{name}' may be any of {listed}: name its folder")
    known = [*groups, *(one.name for group in groups for one in find_folders(root, group))]
    raise DataError(
        f"'{name}' is no run folder{besides}, and {root.absolute()} has no run and no experiment "
        f"of this name{did_you_mean(name, known)}"
    )


def unknown_run(name: str, root: Path) -> ConfigError:
    """Return what to say of a name that is neither a run nor a file."""
    groups = find_experiments(root) if root.is_dir() else []
    known = [one.id for group in groups for one in find_runs(root, group)]
    return ConfigError(
        f"'{name}' is neither a configuration, nor a run folder, nor the id of a run in "
        f"{root.absolute()}{did_you_mean(name, known)}"
    )


def is_run(folder: Path) -> bool:
    """Say whether a folder is that of a run."""
    files = RunFiles(folder)
    return exists(files.status) or exists(files.run)
