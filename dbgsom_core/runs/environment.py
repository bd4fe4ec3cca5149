"""Where and with what a run was made: versions, plugins, machine, git."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dbgsom_core.plugins.registry import Registry

_LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn", "pydantic", "matplotlib", "mlflow")


def describe_environment(registry: Registry, folder: Path) -> dict[str, Any]:
    """Return plain JSON values that say what a run depended on.

    Parameters
    ----------
    registry : Registry
        Whose plugins to name.
    folder : Path
        That of the configuration: where its relative paths start, and whose git repository to ask
        for the commit.
    """
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "versions": {"dbgsom-core": _version("dbgsom-core")}
        | {name: found for name in _LIBRARIES if (found := _version(name))},
        "plugins": [
            {key: getattr(record, key) for key in ("name", "distribution", "version", "status")}
            for record in registry.records
        ],
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "folder": str(folder),
        "directory": str(Path.cwd()),
        "git": describe_git(folder),
    }


def describe_git(folder: Path) -> dict[str, Any] | None:
    """Return commit, branch and dirty flag of the repository around a folder; None without one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {
        "commit": commit,
        "branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
    }


def _git(folder: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
