"""Standard output and standard error of a command: redaction, JSON lines, log and warnings."""

from __future__ import annotations

import errno
import io
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import click

from dbgsom_core.errors import DataError, as_text, level_of
from dbgsom_core.interfaces.privacy import masked, private_logger, redaction

_HANDLER = "dbgsom command line"
_format_warning = warnings.formatwarning


# ------------------------------------------------------------------------------------- redaction


class OutputClosedError(OSError):
    """The reader of standard output or standard error has closed it, as ``head`` does.

    It is no BrokenPipeError: click and rich each end the process for that, with their own code.
    """


@contextmanager
def redacted_terminal() -> Iterator[None]:
    """Redact secrets and control characters in whatever is printed while one command lasts."""
    _replace_closed_streams()
    before = (sys.stdout, sys.stderr)
    for stream in before:  # a pipe's encoding may be ASCII or cp1252
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    redacted: list[Any] = [RedactedStream(stream) for stream in before]
    sys.stdout, sys.stderr = redacted
    try:
        with redaction():
            yield
    finally:
        sys.stdout, sys.stderr = before


class RedactedStream:
    """A text stream that writes secrets as their references and control characters as text."""

    def __init__(self, stream: Any, *, escape: bool = True) -> None:
        self._stream, self._escape = stream, escape

    @property
    def rich_proxied_file(self) -> RedactedStream:
        """The same stream with control characters: for rich, which has escaped its texts."""
        return RedactedStream(self._stream, escape=False)

    def write(self, text: str) -> int:
        """Write a text and return its length before redaction, as writers expect."""
        shown = masked(text)
        if self._escape:  # a bar may go back to the start of its line
            line = shown.lstrip("\r")
            body = line.rstrip("\r")
            shown = shown[: len(shown) - len(line)] + as_text(body) + line[len(body) :]
        with self._errors_in_words():
            self._stream.write(shown)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._errors_in_words():
            self._stream.flush()

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError as error:
            raise OutputClosedError("the reader has closed the stream") from error
        except OSError as error:
            if self._stream is not sys.__stdout__:  # without standard error nothing can be said
                raise
            reason = error.strerror or error
            raise DataError(f"standard output cannot be written: {reason}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)
        return _RedactedBytes(self) if name == "buffer" else found


class _RedactedBytes:
    """The binary side of a redacted stream: what is written is UTF-8 text."""

    def __init__(self, text: RedactedStream) -> None:
        self._text = text

    def write(self, content: Any) -> int:
        """Write bytes and return how many."""
        self._text.write(bytes(content).decode("utf-8", "surrogateescape"))
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._text, name)


def unescaped(stream: Any) -> Any:
    """Return where text goes that may hold control characters: colours, bars, data in a pipe."""
    return getattr(stream, "rich_proxied_file", stream)


class _ClosedOutput(io.TextIOBase):
    """Standard output that was closed before the command began."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")

    def writable(self) -> bool:
        return True


def _replace_closed_streams() -> None:
    """Open the null device in place of standard streams that the shell closed (``>&-``).

    Otherwise the next file that is opened gets their descriptor, and with it what others print.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # the system gives the lowest descriptor that is free, which is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def discard_unread() -> None:
    """Send what is still buffered for a closed pipe to the null device, when the process ends."""
    for stream in filter(None, (sys.__stdout__, sys.__stderr__)):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


# ------------------------------------------------------------------------- messages, JSON lines


class Output:
    """How much a command says on standard error, as text or JSON; `output` is this process's."""

    quiet = False  # errors only
    verbose = 0  # 1: every epoch and step; 2: also tracebacks of errors that a run survives

    def set(self, *, quiet: bool = False, verbose: int = 0) -> None:
        """Set how much is said."""
        self.quiet, self.verbose = quiet or self.quiet, verbose or self.verbose
        show_warnings()

    @property
    def lines(self) -> JsonLines | None:
        """Where events go as JSON, or None where text is wanted."""
        return sys.stderr if isinstance(sys.stderr, JsonLines) else None

    def event(self, level: str, event: str, message: str, **fields: Any) -> None:
        """Write an event: its message as text, or everything as one line of JSON."""
        if self.lines is None:
            click.echo(message, err=True)
        else:
            self.lines.event(level, event, message=message, **fields)


output = Output()


def use_json_lines() -> None:
    """Write everything on standard error as JSON from now on."""
    if output.lines is None:
        sys.stderr = JsonLines(sys.stderr)


def print_notes(notes: Iterable[str]) -> None:
    """Print what a reader should know beside the answer, on standard error."""
    for note in notes:
        click.echo(f"note: {note}", err=True)


class JsonLines:
    """Standard error as one JSON object a line, whatever is printed there."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._begun = ""

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Write one object: ``time`` (UTC), ``level``, ``event``, and then ``fields``."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"time": time, "level": level, "event": event, **fields}
        self._stream.write(json.dumps(_json_value(record), allow_nan=False, default=str) + "\n")
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

    def isatty(self) -> bool:
        """Return False: bars would break the lines."""
        return False

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # click would write bytes there
            raise AttributeError(name)
        return getattr(self._stream, name)


def _json_value(value: Any) -> Any:
    """Return a value with plain numbers; JSON has none for infinity and nan."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(field) for key, field in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_warnings() -> None:
    """Print the log records of dbgsom and all warnings, as much of them as `output` says."""
    warnings.formatwarning = lambda *given, **named: as_text(_format_warning(*given, **named))
    warnings.showwarning = _log_warning
    logger = private_logger("dbgsom")
    for handler in list(logger.handlers):
        if handler.name == _HANDLER:
            logger.removeHandler(handler)
    logger.addHandler(_LogHandler())
    logger.propagate = False
    least = logging.ERROR if output.quiet else logging.WARNING
    logger.setLevel((least, logging.INFO, logging.DEBUG)[min(output.verbose, 2)])


class _LogHandler(logging.Handler):
    """Prints log records, each warning once however many runs repeat it."""

    def __init__(self) -> None:
        super().__init__()
        self.name = _HANDLER
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        level, message = record.levelname, record.getMessage()
        if record.levelno >= logging.WARNING and message in self._printed:
            return
        self._printed.add(message)
        text = as_text(self.format(record))  # with its traceback
        with suppress(OSError):  # the pipe may be closed
            if output.lines is None:
                print(f"{level}: {text}", file=sys.stderr, flush=True)
            else:
                output.lines.event(level.lower(), "log", logger=record.name, message=text)


def _log_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    private_logger("dbgsom").log(level_of(category), "%s", message)
