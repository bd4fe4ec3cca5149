"""Options that several commands share."""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.privacy import private_logger

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry

Command = Callable[..., Any]
_HANDLER = "dbgsom command line"


def plugin_options(command: Command) -> Command:
    """Add ``--no-plugins``, ``--strict-plugins`` and ``--disable-plugin``.

    The command gets the ``registry`` that they ask for.
    """

    @functools.wraps(command)
    def opened(no_plugins: bool, strict_plugins: bool, **given: Any) -> Any:
        return command(registry=open_registry(no_plugins, strict_plugins), **given)

    return _with_options(opened)


def plugin_options_apart(command: Command) -> Command:
    """Add the same options to a command that imports plugins in another process, with ``strict``.

    What the options say reaches it through the environment.
    """

    @functools.wraps(command)
    def told(no_plugins: bool, strict_plugins: bool, **given: Any) -> Any:
        if no_plugins:
            os.environ["DBGSOM_NO_PLUGINS"] = "1"
        return command(strict=strict_plugins, **given)

    return _with_options(told)


def _with_options(opened: Command) -> Command:
    with_options = click.option(
        "--disable-plugin",
        metavar="NAME",
        multiple=True,
        expose_value=False,
        callback=_disable,
        help="Leave a plugin or a distribution alone; may be repeated.",
    )(opened)
    with_options = click.option(
        "--strict-plugins", is_flag=True, help="Fail when any installed plugin is broken."
    )(with_options)
    return click.option(
        "--no-plugins", is_flag=True, help="Use built-ins only, no third-party plugin."
    )(with_options)


def _disable(context: click.Context, option: click.Parameter, names: Sequence[str]) -> None:
    if names:
        from dbgsom_core.plugins.registry import get_registry

        before = os.environ.get("DBGSOM_DISABLE_PLUGINS", "")
        os.environ["DBGSOM_DISABLE_PLUGINS"] = ",".join([*names, *filter(None, [before])])
        get_registry.cache_clear()


def limit_option(seconds: float, words: str) -> Callable[[Command], Command]:
    """Return what adds ``--limit SECONDS``."""
    return click.option(
        "--limit",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        default=seconds,
        show_default=True,
        help=words,
    )


def sklearn_option(command: Command) -> Command:
    """Add ``--sklearn-only``; what it says reaches the runs through the environment."""
    return click.option(
        "--sklearn-only",
        is_flag=True,
        expose_value=False,
        callback=_sklearn_only,
        help="Import no prepare step but those of scikit-learn.",
    )(command)


def _sklearn_only(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        os.environ["DBGSOM_SKLEARN_ONLY"] = "1"


def set_option(command: Command) -> Command:
    """Add ``--set key=value``."""
    return click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Override a key, for example model.growth.spreading_factor=0.3; may be repeated.",
    )(command)


def open_registry(no_plugins: bool = False, strict_plugins: bool = False) -> Registry:
    """Return the registry that the options ask for.

    Raises
    ------
    PluginError
        ``--strict-plugins`` and a plugin is broken.
    """
    from dbgsom_core.errors import PluginError
    from dbgsom_core.plugins.registry import get_registry

    if no_plugins:
        os.environ["DBGSOM_NO_PLUGINS"] = "1"
        get_registry.cache_clear()
    registry = get_registry()
    if strict_plugins and registry.broken:
        raise PluginError(
            "\n".join(
                f"plugin {one.name} of {one.distribution}: {one.error}" for one in registry.broken
            )
        )
    return registry


def tell_broken(registry: Registry) -> None:
    """Warn of each plugin that could not be loaded: a run goes on without it."""
    for one in registry.broken:
        private_logger("dbgsom").warning(
            "plugin %s of %s %s is broken (%s); 'dbgsom plugins doctor' says more",
            *(one.name, one.distribution, one.version, one.error),
        )


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return as_text(super().format(record))


_as_python_does = warnings.formatwarning


def _plain_warning(*given: Any, **named: Any) -> str:
    return as_text(_as_python_does(*given, **named))


def show_warnings(quiet: bool) -> None:
    """Let the warnings of dbgsom's own loggers reach the terminal, and all of them as text."""
    warnings.formatwarning = _plain_warning
    logger = private_logger("dbgsom")
    for handler in list(logger.handlers):
        if handler.name == _HANDLER:
            logger.removeHandler(handler)
    told: set[str] = set()

    def once(record: logging.LogRecord) -> bool:  # however many runs say the same sentence
        before = len(told)
        told.add(record.getMessage())
        return len(told) > before

    handler = logging.StreamHandler(sys.stderr)
    handler.name = _HANDLER
    handler.addFilter(once)
    handler.setFormatter(_Plain("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.WARNING)
