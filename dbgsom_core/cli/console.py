"""What commands share: messages, warnings, options, checks of files to write."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from shutil import which
from typing import Any

import click

from dbgsom_core.errors import DataError, PluginError, as_text
from dbgsom_core.files import exists
from dbgsom_core.plugins.registry import (
    PluginRecord,
    Registry,
    disabled_plugins,
    get_registry,
)
from dbgsom_core.runs.folder import is_run
from dbgsom_core.withdrawn import withdrawn

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

_DISABLED = "DBGSOM_DISABLE_PLUGINS"

# -------------------------------------------------------------------------------------- messages


class Output:
    """Verbosity of standard error; `output` is the process's."""

    quiet = False  # errors only
    verbose = 0  # 1: every epoch and step; 2: also tracebacks of errors that a run survives

    def set(self, **verbosity: int) -> None:
        vars(self).update(verbosity)
        show_warnings()


output = Output()
# Of a hint: a name of the project, or a version after it, is none.
_COMMAND = re.compile(
    r"(?<![\w./-])dbgsom(?= (?:init|validate|run|sweep|show|compare|predict|explain|explore|export"
    r"|check|ui|sync|register|config|schema|plugins)\b)"
)


def echo(text: str = "", *, err: bool = False) -> None:
    """Print text with control characters written out, and addresses without their passwords.

    Commands in it are written as this one was called, ``.venv/bin/dbgsom ui``.
    """
    from dbgsom_core.experiments.trackers import masked

    told = _COMMAND.sub(lambda _: _called(), as_text(text))
    click.echo(masked(told), err=err)


@cache
def _called() -> str:
    """Return how ``dbgsom`` was called: by its name where the shell finds it, else by its path."""
    path = sys.argv[0]
    if Path(path).stem != "dbgsom" or which("dbgsom") == path:
        return "dbgsom"
    return shlex.quote(path)


def print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        echo(f"note: {note}", err=True)


def show_warnings() -> None:
    """Print log records of dbgsom and all warnings, by the verbosity of `output`."""

    def log_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        logger.log(getattr(category, "level", logging.WARNING), "%s", message)

    logger = logging.getLogger("dbgsom")
    warnings.showwarning = log_warning
    logger.handlers, logger.propagate = [_LogHandler()], False
    if output.verbose:
        logger.setLevel(logging.INFO if output.verbose == 1 else logging.DEBUG)
    else:
        logger.setLevel(logging.ERROR if output.quiet else logging.WARNING)


@contextmanager
def progress_bar(wanted: bool) -> Iterator[Callable[..., None]]:
    """Yield a function that updates a bar, which a terminal shows."""
    if not wanted or output.quiet or not sys.stderr.isatty():
        yield lambda **fields: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), "{task.fields[now]}", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield partial(bar.update, bar.add_task("", total=None, now=""))


class _LogHandler(logging.Handler):
    """Log handler that prints each warning once for all runs of a command."""

    def __init__(self) -> None:
        super().__init__()
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # with its traceback
        if record.levelno < logging.WARNING or text not in self._printed:
            self._printed.add(text)
            echo(f"{record.levelname}: {text}", err=True)


# --------------------------------------------------------------------------------------- options


class Commands(click.Group):
    """A group that lists its commands in the order of work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command = super().get_command(ctx, name)
        if command is None and (cure := withdrawn("command", name)):
            ctx.fail(f"No such command '{name}'{cure}")
        return command


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

    is_flag = not more.keys() & {"metavar", "count"}
    return option(names, text, callback=call, expose_value=False, is_flag=is_flag, **more)


def _set_environment(name: str, value: str) -> None:
    os.environ[name] = value  # which other processes of the command read, too
    get_registry.cache_clear()


def _disable(names: Sequence[str]) -> None:
    _set_environment(_DISABLED, ",".join([*names, os.environ.get(_DISABLED, "")]))


def _check_plugins(_: bool) -> None:
    texts = list(map(_broken_text, get_registry().broken))
    if texts:
        raise PluginError("\n".join(texts))


def _broken_text(record: PluginRecord) -> str:
    return f"plugin {record.name} of {record.distribution} {record.version}: {record.error}"


plugin_options = options(
    setting(
        "--no-plugins",
        "Use built-ins only.",
        lambda _: _set_environment("DBGSOM_NO_PLUGINS", "1"),
        is_eager=True,
    ),
    setting(
        "--disable-plugin",
        "Leave a plugin alone.",
        _disable,
        metavar="NAME",
        multiple=True,
        is_eager=True,
    ),
    setting("--strict-plugins", "Fail when any installed plugin is broken.", _check_plugins),
)
output_options = options(
    setting("-q --quiet", "Print errors only.", lambda quiet: output.set(quiet=quiet)),
    setting(
        "-v --verbose",
        "Print every epoch and step; -vv tracebacks, too.",
        lambda count: output.set(verbose=count),
        count=True,
    ),
)
steps_option = option(
    "--steps",
    "Folder of prepare steps beside the configuration, for what a run has stored.",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
)
runs_option = option("--runs", "Folder that holds the runs.", default="runs", show_default=True)
file_argument = click.argument("file", type=click.Path())
set_option = option(
    "--set overrides", "Override a key: model.epochs=20", metavar="KEY=VALUE", multiple=True
)
json_option = partial(option, "--json as_json", is_flag=True)


def open_registry(*, warn: bool = False) -> Registry:
    """Return the registry of installed plugins; what is broken or unknown is a warning."""
    registry = get_registry()
    if warn:
        texts = registry.unknown(disabled_plugins())
        texts += map(_broken_text, registry.broken)
        for text in texts:
            logging.getLogger("dbgsom").warning("%s", text)
    return registry


# ------------------------------------------------------------------------------------ written files


def check_output(path: str, *read: str | Path | None) -> None:
    """Raise `DataError` for a file to write that is ``read``, is of a run, or has no folder."""
    target = Path(path).absolute()
    if path == "-":
        return
    if os.path.isdir(target):  # noqa: PTH112 - Path.is_dir raises in a folder that cannot be read
        raise DataError(f"{path} is a folder: name a file")
    if not os.path.isdir(target.parent):  # noqa: PTH112
        raise DataError(f"there is no folder {target.parent} to write {target.name} in")
    if not exists(target):
        return
    for file in read:
        if file is not None and exists(file) and target.samefile(file):
            raise DataError(f"{path} is the file that is read: name another one with -o")
    if any(is_run(folder) for folder in target.parents[:2]):
        raise DataError(f"{path} is a file of a run: name another one with -o")


@contextmanager
def writing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
