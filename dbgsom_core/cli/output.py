"""What a command says beside its answer: how much of it, and as text or as JSON lines."""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dbgsom_core.errors import DataError, as_text, level_of
from dbgsom_core.files import exists
from dbgsom_core.interfaces.privacy import private_logger

Command = Callable[..., Any]
_HANDLER = "dbgsom command line"
_as_python_does = warnings.formatwarning


class Output:
    """How much this command says on standard error; `output` is that of this process.

    Attributes
    ----------
    quiet : bool
        Errors only.
    verbose : int
        1: every epoch and what is done between them; 2: also tracebacks of what was survived.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what an earlier command of this process was told."""
        self.quiet, self.verbose = False, 0

    @property
    def lines(self) -> JsonLines | None:
        """Where events go as JSON, or None where text is wanted."""
        return sys.stderr if isinstance(sys.stderr, JsonLines) else None

    def event(self, level: str, event: str, message: str, **fields: Any) -> None:
        """Say something: its message as text, or everything as one line of JSON."""
        if self.lines is None:
            click.echo(message, err=True)
        else:
            self.lines.event(level, event, message=message, **fields)


output = Output()


class JsonLines:
    """Standard error as one JSON object a line, whoever prints there."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._begun = ""

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Write one object: ``time`` (UTC), ``level``, ``event``, and then ``fields``."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"time": time, "level": level, "event": event, **fields}
        text = json.dumps(_finite(record), ensure_ascii=True, allow_nan=False, default=_plain)
        self._stream.write(text + "\n")
        self._stream.flush()

    def write(self, text: str) -> int:
        """Write what others print: whole lines of one call are one object."""
        whole, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline and whole.strip():
            self.event("info", "message", message=whole.strip("\n"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what is buffered below; a line that has no end yet waits for it."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Nobody draws here."""
        return False

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # click would write bytes there
            raise AttributeError(name)
        return getattr(self._stream, name)


def output_options(command: Command) -> Command:
    """Add ``-q``, ``-v`` and ``--log-json``; the command gets ``quiet``."""

    @functools.wraps(command)
    def told(quiet: bool, verbose: int, **given: Any) -> Any:
        output.quiet, output.verbose = quiet, verbose
        show_warnings(quiet, verbose)
        return command(quiet=quiet, **given)

    for option in (
        click.option(
            "--log-json",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_as_json,
            help="Say everything on standard error as JSON, one object a line.",
        ),
        click.option(
            "-v", "--verbose", count=True, help="Tell every epoch and step; -vv tracebacks, too."
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    ):
        told = option(told)
    return told


def check_output(path: str, *read: str | Path | None) -> None:
    """Raise `DataError` where a file cannot or should not be written: it is read, or a run's own.

    Parameters
    ----------
    path : str
        ``-`` is standard output, which can be written.
    *read : str, Path or None
        Files that the command reads.
    """
    from dbgsom_core.runs.folder import RunFiles, is_run

    target = Path(path)
    if path == "-":
        return
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises in a folder that cannot be read
        raise DataError(f"{path} is a folder: name a file")
    if not os.path.isdir(target.parent):  # noqa: PTH112
        raise DataError(f"there is no folder {target.parent} to write {target.name} in")
    if not exists(target):
        return
    for one in read:
        if one is not None and exists(one) and target.samefile(one):
            raise DataError(f"{path} is the file that is read: name another one with -o")
    files = RunFiles(target.parent)
    own = [*vars(files).values(), *map(files.table, ("assignments", "neurons", "links"))]
    if is_run(target.parent) and target in own:
        raise DataError(f"{path} is a file of the run in {target.parent}: name another one with -o")


def _as_json(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and output.lines is None:
        sys.stderr = JsonLines(sys.stderr)


def show_warnings(quiet: bool, verbose: int = 0) -> None:
    """Let the warnings of dbgsom's own loggers reach the terminal, and all of them as text."""
    warnings.formatwarning = _plain_warning
    warnings.showwarning = _as_log
    told: set[str] = set()

    def once(record: logging.LogRecord) -> bool:  # however many runs say the same sentence
        before = len(told)
        told.add(record.getMessage())
        return len(told) > before or record.levelno < logging.WARNING

    handler = _Events()
    handler.name = _HANDLER
    handler.addFilter(once)
    usual = logging.ERROR if quiet else logging.WARNING
    level = (usual, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logger = private_logger("dbgsom")
    for one in list(logger.handlers):
        if one.name == _HANDLER:
            logger.removeHandler(one)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(level)


class _Events(logging.Handler):
    """Says each record of a logger; the formatter adds tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        level, text = record.levelname, as_text(self.format(record))
        with suppress(OSError):  # nobody reads any more
            if output.lines is None:
                print(f"{level}: {text}", file=sys.stderr, flush=True)
            else:
                output.lines.event(level.lower(), "log", logger=record.name, message=text)


def _as_log(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    private_logger("dbgsom").log(level_of(category), "%s", message)


def _plain_warning(*given: Any, **named: Any) -> str:
    return as_text(_as_python_does(*given, **named))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)  # numpy's numbers


def _finite(value: Any) -> Any:
    # JSON has no number that is none.
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
