"""What commands share: terminal, redaction, JSON lines, warnings, options, lazy imports."""

from __future__ import annotations

import errno
import io
import json
import logging
import math
import os
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from dbgsom_core.errors import DataError, PluginError, as_text
from dbgsom_core.experiments.messages import level_of
from dbgsom_core.experiments.offers import unknown_plugins
from dbgsom_core.interfaces.privacy import masked, private_logger, redaction
from dbgsom_core.plugins.registry import Registry, disabled_plugins, get_registry
from dbgsom_core.runs.folder import RunFiles, is_run
from dbgsom_core.tables.safe_files import exists

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

_HANDLER = "dbgsom command line"
_STRICT = "dbgsom.strict_plugins"  # key of the context's meta
_DISABLED = "DBGSOM_DISABLE_PLUGINS"
_format_warning = warnings.formatwarning
# Spaces within numbers: 0.93 ± 0.01, 95 %, 0.1 to 0.3, 5 of 8, p = 0.04.
_WITHIN_NUMBERS = re.compile(
    r"(?<=\d) (?=[±%×])|(?<=[±×=<]) (?=[-\d])|(?<=\bp) (?=[=<])|(?<=%) (?=CI)"
    r"|(?<=\d) (?=(?:to|of) -?\d)|(?<=\d (?:to|of)) (?=-?\d)"
)

# ------------------------------------------------------------------------------------- redaction


class OutputClosedError(OSError):
    """The reader of standard output or standard error has closed it, as ``head`` does.

    It is no BrokenPipeError: click and rich each end the process for that, with their own code.
    """


@contextmanager
def redacted_terminal() -> Iterator[None]:
    """Redact secrets and control characters in all output of a command."""
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
        shown = masked(text)
        if self._escape:  # a bar may go back to the start of its line
            line = shown.lstrip("\r")
            body = line.rstrip("\r")
            shown = shown[: len(shown) - len(line)] + as_text(body) + line[len(body) :]
        with self._errors_in_words():
            self._stream.write(shown)
        return len(text)  # before redaction, as writers expect

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
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
    """Verbosity and format (text or JSON) of standard error; `output` is the process's."""

    quiet = False  # errors only
    verbose = 0  # 1: every epoch and step; 2: also tracebacks of errors that a run survives

    def set(self, *, quiet: bool = False, verbose: int = 0) -> None:
        self.quiet, self.verbose = quiet or self.quiet, verbose or self.verbose
        show_warnings()

    @property
    def lines(self) -> JsonLines | None:
        """Where events go as JSON, or None where text is wanted."""
        return sys.stderr if isinstance(sys.stderr, JsonLines) else None

    def event(self, level: str, event: str, message: str, **fields: Any) -> None:
        if self.lines is None:
            say(message, err=True)
        else:
            self.lines.event(level, event, message=message, **fields)


output = Output()


def say(text: str, *, err: bool = False) -> None:
    """Print prose: on a terminal lines end between words, on a pipe a sentence is one line."""
    stream = sys.stderr if err else sys.stdout
    click.echo(wrapped(text) if stream.isatty() else text, err=err)


def wrapped(text: str) -> str:
    """Return text in lines as wide as the terminal, which break no number and no path."""
    width = shutil.get_terminal_size().columns
    joined = _WITHIN_NUMBERS.sub("\N{NO-BREAK SPACE}", text)
    how = {"break_long_words": False, "break_on_hyphens": False}
    lines = (textwrap.fill(line, width, **how) for line in joined.split("\n"))  # type: ignore[arg-type]
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        say(f"note: {note}", err=True)


class JsonLines:
    """Standard error as one JSON object a line, whatever is printed there."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._begun = ""

    def event(self, level: str, event: str, **fields: Any) -> None:
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
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        return False  # bars would break the lines

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # click would write bytes there
            raise AttributeError(name)
        return getattr(self._stream, name)


def _json_value(value: Any) -> Any:
    # Plain numbers; JSON has none for infinity and nan.
    if isinstance(value, Mapping):
        return {str(key): _json_value(field) for key, field in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_warnings() -> None:
    """Print log records of dbgsom and all warnings, by the verbosity of `output`."""

    def log_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        logger.log(level_of(category), "%s", message)

    logger = private_logger("dbgsom")
    warnings.formatwarning = lambda *given, **named: as_text(_format_warning(*given, **named))
    warnings.showwarning = log_warning
    for handler in list(logger.handlers):
        if handler.name == _HANDLER:
            logger.removeHandler(handler)
    logger.addHandler(_LogHandler())
    logger.propagate = False
    least = logging.ERROR if output.quiet else logging.WARNING
    logger.setLevel((least, logging.INFO, logging.DEBUG)[min(output.verbose, 2)])


class _LogHandler(logging.Handler):
    """Log handler that prints each warning once for all runs of a command."""

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
                line = f"{level}: {text}"
                line = wrapped(line) if sys.stderr.isatty() and record.exc_info is None else line
                print(line, file=sys.stderr, flush=True)
            else:
                output.lines.event(level.lower(), "log", logger=record.name, message=text)


# --------------------------------------------------------------------------------------- options


class Commands(click.Group):
    """A group that lists its commands in the order of work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def options(*decorators: Decorator) -> Decorator:
    """Return a decorator that adds several options to a command, in this order."""

    def add(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add


def option(names: str, help: str, **more: Any) -> Decorator:
    return click.option(*names.split(), help=help, **more)


def setting(names: str, text: str, act: Callable[[Any], object], **more: Any) -> Decorator:
    """Return an option, a flag by default, that acts on this process; no command gets its value."""

    def call(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            act(value)

    return option(names, text, callback=call, expose_value=False, **more or {"is_flag": True})


def _set_environment(name: str, value: str) -> None:
    os.environ[name] = value  # which other processes of the command read, too
    get_registry.cache_clear()


def _disable(names: Sequence[str]) -> None:
    _set_environment(_DISABLED, ",".join([*names, os.environ.get(_DISABLED, "")]))


def _use_json_lines(_: bool) -> None:
    if output.lines is None:
        sys.stderr = JsonLines(sys.stderr)


def _be_strict(_: bool) -> None:
    click.get_current_context().meta[_STRICT] = True


plugin_options = options(
    setting(
        "--no-plugins", "Use built-ins only.", lambda _: _set_environment("DBGSOM_NO_PLUGINS", "1")
    ),
    setting("--strict-plugins", "Fail when any installed plugin is broken.", _be_strict),
    setting("--disable-plugin", "Leave a plugin alone.", _disable, metavar="NAME", multiple=True),
)
output_options = options(
    setting("-q --quiet", "Print errors only.", lambda quiet: output.set(quiet=quiet)),
    setting(
        "-v --verbose",
        "Print every epoch and step; -vv tracebacks, too.",
        lambda count: output.set(verbose=count),
        count=True,
    ),
    setting(
        "--log-json", "Write JSON on standard error.", _use_json_lines, is_flag=True, is_eager=True
    ),
)
runs_option = option("--runs", "Folder that holds the runs.", default="runs", show_default=True)
set_option = option(
    "--set overrides", "Override a key: model.epochs=20", metavar="KEY=VALUE", multiple=True
)
json_option = partial(option, "--json as_json", is_flag=True)


def is_strict() -> bool:
    return bool(click.get_current_context().meta.get(_STRICT))


def open_registry(*, warn: bool = False) -> Registry:
    registry = get_registry()
    if is_strict() and registry.broken:
        raise PluginError(
            "\n".join(
                f"plugin {record.name} of {record.distribution}: {record.error}"
                for record in registry.broken
            )
        )
    for sentence in unknown_plugins(registry, disabled_plugins()) if warn else ():
        private_logger("dbgsom").warning("%s", sentence)
    for record in registry.broken if warn else ():
        private_logger("dbgsom").warning(
            "plugin %s of %s %s is broken (%s); 'dbgsom plugins list --json' has the traceback",
            *(record.name, record.distribution, record.version, record.error),
        )
    return registry


# ------------------------------------------------------------------------------------ written files


def check_output(path: str, *read: str | Path | None) -> None:
    """Raise `DataError` for a file to write that is ``read``, is of a run, or has no folder."""
    target = Path(path)
    if path == "-":
        return
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises in a folder that cannot be read
        raise DataError(f"{path} is a folder: name a file")
    if not os.path.isdir(target.parent):  # noqa: PTH112
        raise DataError(f"there is no folder {target.parent} to write {target.name} in")
    if not exists(target):
        return
    if any(file is not None and exists(file) and target.samefile(file) for file in read):
        raise DataError(f"{path} is the file that is read: name another one with -o")
    target = target.absolute()
    for folder in target.parents[:2]:
        files = RunFiles(folder)
        tables = map(
            files.table, ("assignments", "neurons", "links", "clusters", "classes", "groups")
        )
        if is_run(folder) and target in (*vars(files).values(), *tables, *files.figures()):
            raise DataError(f"{path} is a file of the run in {folder}: name another one with -o")


@contextmanager
def writing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


# ------------------------------------------------------------------------------ lazy imports


@contextmanager
def lazy_import(name: str) -> Iterator[None]:
    """Replace a submodule by a proxy that imports it on first use, for imports within the context.

    Afterwards only the modules that imported it have the proxy; later imports get the module.
    (`importlib.util.LazyLoader` loads as soon as a second ``import`` reads the module's spec,
    before Python 3.12.)
    """
    if name in sys.modules:
        yield
        return
    proxy = _Proxy(name)
    sys.modules[name] = proxy
    try:
        yield
    finally:
        proxy.remove()


class _Proxy(ModuleType):
    def remove(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, attribute: str) -> Any:
        self.remove()
        return getattr(import_module(self.__name__), attribute)
