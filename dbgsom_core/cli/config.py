"""``dbgsom config`` and ``dbgsom schema``: what a configuration means and what may stand in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import Commands, plugin_options, set_option
from dbgsom_core.errors import ConfigError, as_text

if TYPE_CHECKING:
    from dbgsom_core.config.show import Side
    from dbgsom_core.plugins.registry import Registry

runs_option = click.option(
    "--runs", default="runs", show_default=True, help="Folder that holds the runs."
)


@click.group(cls=Commands)
def config() -> None:
    """Look at configurations: what one means, what two differ in."""


@config.command()
@click.argument("file", type=click.Path())
@set_option
@click.option("--no-defaults", is_flag=True, help="Leave out what nobody wrote.")
@click.option("--plain", is_flag=True, help="Leave out the origins.")
@click.option("--json", "as_json", is_flag=True, help="Print value and origin of each key as JSON.")
@runs_option
@plugin_options
def show(
    file: str,
    overrides: Sequence[str],
    no_defaults: bool,
    plain: bool,
    as_json: bool,
    runs: str,
    registry: Registry,
) -> None:
    """Print the configuration that FILE means, with the origin of each value in a comment.

    FILE is a configuration, the id or folder of a run, or an experiment, which means its newest
    run. What is printed is a configuration again: extended files are merged, defaults are filled
    in, and references to the environment stay as they are written.
    """
    from dbgsom_core.config.show import as_yaml, explain

    with _named_packages(_file_of(file, runs), registry) as path:
        found = explain(path, overrides, registry, defaults=not no_defaults)
    if as_json:
        told = {
            key: {"value": value} if plain else {"value": value, "origin": origin}
            for key, (value, origin) in found.flat().items()
        }
        click.echo(json.dumps(told, indent=2, default=str))
        return
    if not found.complete:
        click.echo("# defaults are left out: each run of the sweep has its own")
    click.echo(as_text(as_yaml(found, comments=not plain)), nl=False)


@config.command()
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@click.option("--no-defaults", is_flag=True, help="Compare only what was written.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@runs_option
@plugin_options
def diff(
    first: str, second: str, no_defaults: bool, as_json: bool, runs: str, registry: Registry
) -> int:
    """Print what FIRST and SECOND differ in: configurations, runs, or experiments' newest runs.

    Defaults count: a key that one of them leaves out has its default there. Exit code 0 when they
    mean the same and 1 when they differ, as diff does.
    """
    from dbgsom_core.config.show import differences, explain

    explained = []
    for name in (first, second):
        with _named_packages(_file_of(name, runs), registry) as path:
            explained.append(explain(path, (), registry, defaults=not no_defaults))
    one, other = explained
    found = differences(one, other)
    if as_json:
        told = {
            key: [None if side is None else {"value": side[0], "origin": side[1]} for side in both]
            for key, both in found.items()
        }
        click.echo(json.dumps(told, indent=2, default=str))
    elif found:
        click.echo(as_text(f"--- {first}\n+++ {second}"))
        for key, both in found.items():
            click.echo(as_text(key))
            for sign, side in zip("-+", both, strict=True):
                for line in _told(side):
                    click.echo(as_text(f"  {sign} {line}"))
    return 1 if found else 0


@click.command()
@click.option("-o", "--output", type=click.Path(), help="Write to this file.")
@plugin_options
def schema(output: str | None, registry: Registry) -> None:
    """Print the JSON Schema of configurations.

    It is of draft 2020-12 and has the fields of every installed plugin. Editors with a YAML
    language server complete and check by it, where a configuration begins with
    '# yaml-language-server: $schema=./FILE'.
    """
    from dbgsom_core.cli.options import tell_broken
    from dbgsom_core.cli.output import check_output
    from dbgsom_core.config.schema import schema_text
    from dbgsom_core.files import exists

    if output and exists(output):  # else its folder is made
        check_output(output)
    tell_broken(registry)
    lost: dict[str, str] = {}
    text = schema_text(registry, lost)
    for why in lost.values():
        click.echo(as_text(f"warning: left out: {why}"), err=True)
    if output is None or output == "-":
        click.echo(text, nl=False)
        return
    from dbgsom_core.files import write_atomically

    try:
        write_atomically(Path(output), lambda place: place.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror or error}") from error
    click.echo(as_text(output))


def _file_of(name: str, runs: str) -> Any:
    """Return the configuration that a file, a run folder or a run's id means."""
    from dbgsom_core.files import exists

    if exists(name) and not Path(name).is_dir():
        return name
    from dbgsom_core.runs.find import find_folder, find_run
    from dbgsom_core.runs.folder import RunFiles, find_experiments

    root = Path(runs)
    folder = find_folder(name, root)
    if folder is not None:
        return RunFiles(folder).config
    known = find_experiments(root) if root.is_dir() else []
    # Of what is none of these reading says what is wrong.
    if name not in known and (exists(name) or name.endswith((".yaml", ".yml"))):
        return name
    run, notes = find_run(name, root, besides=" and no configuration")
    for note in notes:
        click.echo(as_text(f"note: {note}"), err=True)
    return run.files.config


@contextmanager
def _named_packages(path: Any, registry: Registry) -> Iterator[Any]:
    if not isinstance(path, Path):  # no run's
        yield path
        return
    from dbgsom_core.runs.folder import RunFiles, read_json
    from dbgsom_core.runs.manifest import packages_named

    with packages_named(read_json(RunFiles(path.parent).environment), registry):
        yield path


def _told(side: Side | None) -> Iterator[str]:
    """Yield a value and its origin as a line, of a component with fields one more for each."""
    from dbgsom_core.config.yaml_text import dump_inline

    if side is None:
        yield "(not there)"
        return
    value, origin = side
    fields = dict(value) if isinstance(value, dict) and "name" in value else {}
    yield f"{dump_inline(fields.pop('name', value))}  # {origin}"
    for key, field in fields.items():
        yield f"    {key}: {dump_inline(field)}"
