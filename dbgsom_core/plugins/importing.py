"""Importing what others wrote: it may print, end the process, or change what all share."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse
from urllib.request import url2pathname

from dbgsom_core.plugins.footprint import Footprint

OWN_DISTRIBUTION = "dbgsom-core"

_watchers: list[Callable[[str, str], None]] = []


@contextmanager
def watched_imports(told: Callable[[str, str], None]) -> Iterator[None]:
    """Let ``told(distribution, name)`` hear of every import before it happens in this process.

    What each of them changes is then found out, too.
    """
    _watchers.append(told)
    try:
        yield
    finally:
        _watchers.pop()


@contextmanager
def importing(distribution: str, name: str) -> Iterator[list[str]]:
    """Guard an import; what is yielded holds afterwards what it changed, where imports are watched.

    What it prints is no answer of ours, and `os._exit` raises `SystemExit` instead.
    """
    changes: list[str] = []
    for told in _watchers:
        told(distribution, name)
    if distribution == OWN_DISTRIBUTION:
        yield changes
        return
    before = Footprint.now() if _watchers else None
    with redirect_stdout(sys.stderr), no_exit():
        yield changes
    if before is not None:
        changes += before.changes()


@contextmanager
def no_exit() -> Iterator[None]:
    """Let `os._exit` raise `SystemExit` in this process; its forked children may still end."""
    real, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:
            real(status)
        raise SystemExit(f"os._exit({status})")

    system: Any = os
    system._exit = refuse
    try:
        yield
    finally:
        system._exit = real


@contextmanager
def installed_only(module: str) -> Iterator[None]:
    """Import a module without what merely lies about: the working and the script's folder.

    A folder that is installed in place (``pip install -e .``) is searched all the same.

    Raises
    ------
    ImportError
        The package that the module is in was imported from such a folder.
    """
    before = list(sys.path)
    kept = _installed(before)
    if module not in sys.modules:
        package = sys.modules.get(module.partition(".")[0])
        left_out = {_real(one) for one in before} - {_real(one) for one in kept}
        homes = [str(Path(_real(one)).parent) for one in getattr(package, "__path__", ())]
        if any(home in left_out for home in homes):
            raise ImportError(f"{module} lies in {homes[0]} and is not installed")
    sys.path[:] = kept
    importlib.invalidate_caches()
    try:
        yield
    finally:
        added = [one for one in sys.path if one not in kept]
        sys.path[:] = [*before, *added]


def _installed(path: list[str]) -> list[str]:
    script = [] if sys.flags.safe_path else path[:1]
    near = {_real(""), *map(_real, script)}
    kept = [one for one in path if _real(one) not in near]
    if len(kept) < len(path):
        near -= set(_edited(kept))
        kept = [one for one in path if _real(one) not in near]
    return kept


def _edited(path: list[str]) -> Iterator[str]:
    """Yield the folders that distributions on this path are installed in place from."""
    for distribution in distributions(path=path):
        with suppress(ValueError, KeyError, TypeError, AttributeError, OSError):
            told = json.loads(distribution.read_text("direct_url.json") or "")
            if told["dir_info"]["editable"]:
                folder = _real(url2pathname(urlparse(told["url"]).path))
                yield folder
                yield os.path.join(folder, "src")  # noqa: PTH118 # compared as text


def _real(folder: str) -> str:
    return os.path.realpath(folder or os.curdir)
