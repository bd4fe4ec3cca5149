"""What several commands share: options and what they stand for, files to write, lazy imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import output, use_json_lines
from dbgsom_core.errors import DataError, PluginError
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.tables.safe_files import exists

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]
_STRICT = "dbgsom.strict_plugins"  # key of the context's meta
_DISABLED = "DBGSOM_DISABLE_PLUGINS"


class Commands(click.Group):
    """A group that lists its commands in the order of work, each with its whole first sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list; click cuts sentences off at the width of the terminal."""
        rows = [(name, command.get_short_help_str(1000)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def options(*decorators: Decorator) -> Decorator:
    """Return what adds several options to a command, which lists them in this order."""

    def add(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add


def setting(name: str, act: Callable[[Any], object], text: str, **more: Any) -> Decorator:
    """Return an option that acts on this process where it is used; no command gets its value."""

    def call(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value:
            act(value)

    return click.option(*name.split(), help=text, callback=call, expose_value=False, **more)


# --------------------------------------------------------------------------------------- plugins


def _set_environment(name: str, value: str) -> None:
    from dbgsom_core.plugins.registry import get_registry

    os.environ[name] = value  # which other processes of the command read, too
    get_registry.cache_clear()


plugin_options = options(
    setting(
        "--no-plugins",
        lambda _: _set_environment("DBGSOM_NO_PLUGINS", "1"),
        "Use built-ins only, no third-party plugin.",
        is_flag=True,
    ),
    setting(
        "--strict-plugins",
        lambda _: click.get_current_context().meta.update({_STRICT: True}),
        "Fail when any installed plugin is broken.",
        is_flag=True,
    ),
    setting(
        "--disable-plugin",
        lambda names: _set_environment(
            _DISABLED, ",".join([*names, os.environ.get(_DISABLED, "")])
        ),
        "Leave a plugin or a distribution alone; may be repeated.",
        metavar="NAME",
        multiple=True,
    ),
)


def is_strict() -> bool:
    """Return whether the command was called with ``--strict-plugins``."""
    return bool(click.get_current_context().meta.get(_STRICT))


def open_registry(*, warn: bool = False) -> Registry:
    """Return the registry of plugins that the options of the command ask for.

    ``warn`` logs a warning for each plugin that could not be loaded; with ``--strict-plugins``
    `PluginError` is raised for it.
    """
    from dbgsom_core.plugins.registry import get_registry

    registry = get_registry()
    if is_strict() and registry.broken:
        raise PluginError(
            "\n".join(
                f"plugin {record.name} of {record.distribution}: {record.error}"
                for record in registry.broken
            )
        )
    for record in registry.broken if warn else ():
        private_logger("dbgsom").warning(
            "plugin %s of %s %s is broken (%s); 'dbgsom plugins doctor' says more",
            *(record.name, record.distribution, record.version, record.error),
        )
    return registry


# -------------------------------------------------------------------------------------- messages


output_options = options(
    setting(
        "-q --quiet", lambda quiet: output.set(quiet=quiet), "Print errors only.", is_flag=True
    ),
    setting(
        "-v --verbose",
        lambda count: output.set(verbose=count),
        "Print every epoch and step; -vv tracebacks, too.",
        count=True,
    ),
    setting(
        "--log-json",
        lambda _: use_json_lines(),
        "Write everything on standard error as JSON, one object a line.",
        is_flag=True,
        is_eager=True,
    ),
)

# ---------------------------------------------------------------------------------------- others

runs_option = click.option(
    "--runs", default="runs", show_default=True, help="Folder that holds the runs."
)
set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a key, for example model.growth.spreading_factor=0.3; may be repeated.",
)
json_option = partial(click.option, "--json", "as_json", is_flag=True)
limit_option = partial(
    click.option,
    "--limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    show_default=True,
)


def check_output(path: str, *read: str | Path | None) -> None:
    """Raise `DataError` where a command cannot, or should not, write a file (`-`: standard output).

    It should not write a file that it has ``read``, or one that belongs to a run.
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
    if any(file is not None and exists(file) and target.samefile(file) for file in read):
        raise DataError(f"{path} is the file that is read: name another one with -o")
    target = target.absolute()
    for folder in target.parents[:2]:
        files = RunFiles(folder)
        tables = map(files.table, ("assignments", "neurons", "links"))
        if is_run(folder) and target in (*vars(files).values(), *tables, *files.figures()):
            raise DataError(f"{path} is a file of the run in {folder}: name another one with -o")


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Raise `DataError` where writing a file in here fails."""
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
