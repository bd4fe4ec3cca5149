"""Importing what others wrote: it may print, end the process, or change what all share."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlparse
from urllib.request import url2pathname

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.plugins.footprint import Footprint

OWN_DISTRIBUTION = "dbgsom-core"
SECONDS_TO_IMPORT = 10.0  # after which a person is told what takes so long
log = private_logger("dbgsom")

_watchers: list[Callable[[str, str], None]] = []
# What says the last line that it got, unless that is empty; a Ctrl-C is the other process's alone.
# It ends at a dot: a process that an import forked holds the pipe open, perhaps for ever.
_DONE = "."
_HEAR = (
    "trap '' INT TERM HUP QUIT; "
    f'while IFS= read -r line; do [ "$line" != {_DONE} ] || exit 0; last=$line; done'
)
_SHELL = ("/bin/sh", "-c", f'{_HEAR}; [ -z "$last" ] || printf \'%s\\n\' "$last" >&2')
_shells: list[IO[bytes]] = []  # at most one


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

    What it prints is no answer of ours, and `os._exit` raises `SystemExit` instead. An import that
    hangs is named after `SECONDS_TO_IMPORT`; where one crashes, Python tells in which file. Where
    the process ends otherwise, as by C's ``exit``, a shell that outlives it names the import.
    """
    changes: list[str] = []
    for told in _watchers:
        told(distribution, name)
    if distribution == OWN_DISTRIBUTION:  # a thread and a shell are for strangers
        yield changes
        return
    before = Footprint.now() if _watchers else None
    with redirect_stdout(sys.stderr), no_exit(), _named(distribution, name):
        yield changes
    if before is not None:
        changes += before.changes()


@contextmanager
def _named(distribution: str, name: str) -> Iterator[None]:
    what, cure = " ".join(as_text(name).split()), ""
    if distribution:
        what = f"plugin {what} of {distribution}"
        cure = (
            f"; --disable-plugin {distribution}, or DBGSOM_DISABLE_PLUGINS={distribution}, "
            "does without it"
        )
    with attended():
        _watch.begins(f"the import of {what} has gone on for {SECONDS_TO_IMPORT:g} s", cure)
        _last_words(f"dbgsom: the process ended during the import of {what}{cure}")
        try:
            yield
        finally:
            _last_words("")
            _watch.ends()


class _Watch:
    """One thread that tells of an import that takes long, whichever it is."""

    def __init__(self) -> None:
        self._over: threading.Event | None = None
        self._since: tuple[float, str] | None = None

    @property
    def is_on(self) -> bool:
        return self._over is not None

    def begins(self, told: str, cure: str) -> None:
        self._since = (time.monotonic(), f"{told}; Ctrl-C ends it{cure}")

    def ends(self) -> None:
        self._since = None

    @contextmanager
    def on(self) -> Iterator[None]:
        self._over = over = threading.Event()
        threading.Thread(target=self._look, args=[over], daemon=True).start()
        try:
            yield
        finally:
            over.set()
            self._over = None

    def _look(self, over: threading.Event) -> None:
        told = None
        while not over.wait(SECONDS_TO_IMPORT / 10):
            since = self._since
            if since is None or since is told or time.monotonic() - since[0] < SECONDS_TO_IMPORT:
                continue
            told = since
            log.warning("%s", since[1])


_watch = _Watch()


@contextmanager
def attended() -> Iterator[None]:
    """Have at hand what tells of imports within: that they hang, crash, or end the process.

    A thread watches the time, Python's handler of crashes says in which file, and a shell outlives
    this process. They serve all imports within, and cost about half a millisecond; a process of
    Python's own would take thirty.
    """
    if _watch.is_on:
        yield
        return
    ours = not faulthandler.is_enabled() and sys.__stderr__ is not None
    if ours:
        with suppress(OSError, ValueError):  # it is closed
            faulthandler.enable(sys.__stderr__ or 2)
    try:
        with _watch.on(), _outlived():
            yield
    finally:
        if ours:
            faulthandler.disable()


@contextmanager
def _outlived() -> Iterator[None]:
    # Who watches imports is another process and needs no shell.
    if _watchers or not hasattr(os, "posix_spawn"):
        yield
        return
    hears, speaks = os.pipe()
    actions, shell = [(os.POSIX_SPAWN_DUP2, hears, 0)], 0
    with suppress(OSError):  # there is none
        shell = os.posix_spawn(_SHELL[0], _SHELL, os.environ, file_actions=actions)
    os.close(hears)
    pipe = os.fdopen(speaks, "wb", 0)
    _shells.append(pipe)
    try:
        yield
    finally:
        _last_words(_DONE)
        _shells.clear()
        pipe.close()
        if shell:
            with suppress(OSError):  # somebody waits for all processes
                os.waitpid(shell, 0)


def _last_words(line: str) -> None:
    for pipe in _shells:
        with suppress(
            OSError, ValueError
        ):  # the shell was ended, or another thread needs it no more
            pipe.write(f"{line}\n".encode(errors="replace"))


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
