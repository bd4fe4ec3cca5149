"""Which run a name means: a folder, or an id."""

from __future__ import annotations

from pathlib import Path

from dbgsom_core.config import fill_text
from dbgsom_core.errors import ConfigError, did_you_mean
from dbgsom_core.interfaces.files import exists
from dbgsom_core.runs.folder.store import RunFiles, find_experiments, find_runs


def find_folder(name: str, root: Path) -> Path | None:
    """Return the run folder that this is, or whose id under ``root`` this is; None: it is no run.

    A reference to the environment, as messages show it, is filled.
    """
    folder = Path(fill_text(name))
    if is_run(folder):
        return folder
    known = find_experiments(root) if root.is_dir() and Path(name).name == name else []
    return next((root / one / name for one in known if is_run(root / one / name)), None)


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
