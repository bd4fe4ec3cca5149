"""Importing what others wrote: it may print, end the process, or change what all share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NoReturn

from dbgsom_core.plugins.footprint import Footprint

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
