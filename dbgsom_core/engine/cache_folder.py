"""Where compiled loops are kept: in the user's cache folder, for all environments alike."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path

_KEPT = 8  # keys: of other versions, other sources and other processors
_YOUNG = 3600.0  # seconds for which a folder is left alone: another process may fill it


@lru_cache(maxsize=4)
def cache_folder(*versions: str) -> Path | None:
    """Return a folder that this user may write, or None; folders long unused are removed.

    ``NUMBA_CACHE_DIR`` names another place than the user's cache folder, as it does for numba.
    What is kept holds for these sources of the engine, this Python, this processor and
    ``versions``; it does not depend on where the package is installed.
    """
    key = "\0".join((engine_sources(), sys.implementation.cache_tag, processor(), *versions))
    folder = _base() / hashlib.sha256(key.encode()).hexdigest()[:20]
    try:
        is_new = not folder.is_dir()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.utime(folder)  # in use
    except OSError:
        return None
    if is_new:
        _sweep(folder.parent)
    return folder


def processor() -> str:
    """Return for which processor loops are compiled: its name and what it can do."""
    import llvmlite.binding as llvm

    name, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    return f"{platform.machine()} {name or llvm.get_host_cpu_name()} {features or _features()}"


def _features() -> str:
    import llvmlite.binding as llvm

    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM cannot tell
        return ""


@lru_cache(maxsize=1)
def engine_sources() -> str:
    """Return a digest of all code of the engine: loops call each other across files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _base() -> Path:
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return Path(given) / "dbgsom-core"
    try:
        home = Path.home()
    except RuntimeError:  # there is none
        home = Path(os.devnull)
    usual = {"win32": home / "AppData" / "Local", "darwin": home / "Library" / "Caches"}
    variable = {"win32": "LOCALAPPDATA", "darwin": ""}.get(sys.platform, "XDG_CACHE_HOME")
    caches = Path(os.environ.get(variable, "") or usual.get(sys.platform, home / ".cache"))
    return (caches if caches.is_absolute() else Path(os.devnull)) / "dbgsom-core"


def _sweep(base: Path) -> None:
    # Keep those that were used last. A folder that is in use on Windows stays.
    with contextlib.suppress(OSError):
        by_use = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(base))
        for used, path in by_use[:-_KEPT]:
            if time.time() - used > _YOUNG:
                shutil.rmtree(path, ignore_errors=True)
