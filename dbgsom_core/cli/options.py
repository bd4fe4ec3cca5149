"""Options that several commands share."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.output import output_options
from dbgsom_core.interfaces.privacy import private_logger

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry

Command = Callable[..., Any]


class Commands(click.Group):
    """A group that lists its commands in the order of work, each with its whole first sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list; click cuts sentences off at the width of the terminal."""
        rows = [(name, one.get_short_help_str(1000)) for name, one in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


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


def model_options(command: Command) -> Command:
    """Add ``--runs`` and ``--store``, which say where a model is looked for."""
    command = click.option(
        "--store",
        metavar="URI",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow store of addresses such as models:/NAME@ALIAS; sqlite:///mlflow.db without it "
        "and without MLFLOW_TRACKING_URI.",
    )(command)
    return runs_option(command)


def table_options(command: Command) -> Command:
    """Add ``--delimiter``, ``--decimal``, ``--thousands`` and ``--encoding`` of a CSV file.

    The command gets its ``dialect``.
    """

    @functools.wraps(command)
    def told(
        delimiter: str | None,
        decimal: str | None,
        thousands: str | None,
        encoding: str | None,
        **given: Any,
    ) -> Any:
        from dbgsom_core.tables import CsvDialect

        return command(dialect=CsvDialect(delimiter, encoding, decimal, thousands), **given)

    with_options = click.option(
        "--encoding", help="Of a CSV file; without it UTF-8, or else that of the training."
    )(told)
    with_options = click.option(
        "--thousands",
        type=click.Choice([".", ",", "'", " "]),
        metavar="CHARACTER",
        help="What may stand between thousands in a CSV file; without it as in the training.",
    )(with_options)
    with_options = click.option(
        "--decimal",
        type=click.Choice([".", ","]),
        help="The decimal mark of a CSV file; without it that of the training.",
    )(with_options)
    return click.option(
        "--delimiter",
        metavar="CHARACTER",
        callback=_one_character,
        help=r"Between the cells of a CSV file, \t is a tab; found out without it.",
    )(with_options)


def _one_character(context: click.Context, option: click.Parameter, given: str | None) -> Any:
    text = "\t" if given == r"\t" else given
    if text is not None and (len(text) != 1 or text in '"\r\n'):
        raise click.BadParameter(f"'{text}' is no single character that can part cells")
    return text


def runs_option(command: Command) -> Command:
    """Add ``--runs``."""
    return click.option(
        "--runs", default="runs", show_default=True, help="Folder that holds the runs."
    )(command)


def set_option(command: Command) -> Command:
    """Add ``--set key=value``."""
    return click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Override a key, for example model.growth.spreading_factor=0.3; may be repeated.",
    )(command)


def name_options(command: Command) -> Command:
    """Add ``--name`` and ``--tag``, which stand for keys of the configuration; after `set_option`.

    Both are text, whatever it looks like in YAML.
    """

    @functools.wraps(command)
    def named(name: str | None, tags: Sequence[str], overrides: Sequence[str], **given: Any) -> Any:
        more = [] if name is None else [f"name={_text(name)}"]
        for tag in tags:
            key, equals, value = tag.partition("=")
            if not (key and equals):
                raise click.BadParameter(f"'{tag}' is not written KEY=VALUE", param_hint="--tag")
            more.append(f"tags={{{_text(key)}: {_text(value)}}}")
        return command(overrides=(*overrides, *more), **given)

    for option in (
        click.option(
            "--tag",
            "tags",
            metavar="KEY=VALUE",
            multiple=True,
            help="Tag of the run, as a key under tags; may be repeated.",
        ),
        click.option(
            "--name", metavar="TEXT", help="Name of the run; made from its parts without."
        ),
    ):
        named = option(named)
    return named


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def run_options(command: Command) -> Command:
    """Add what ``run`` and ``sweep`` have in common: all that changes a configuration or plugins.

    Plugins that are broken are told of.
    """

    @functools.wraps(command)
    def told(registry: Registry, **given: Any) -> Any:
        tell_broken(registry)
        return command(registry=registry, **given)

    return set_option(name_options(sklearn_option(output_options(plugin_options(told)))))


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
