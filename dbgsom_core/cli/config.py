"""``dbgsom config`` and ``dbgsom schema``: what a configuration means and what may stand in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import print_notes
from dbgsom_core.cli.options import (
    Commands,
    check_output,
    json_option,
    open_registry,
    plugin_options,
    runs_option,
    set_option,
    writing,
)

if TYPE_CHECKING:
    from dbgsom_core.config.show import Explained, Side
    from dbgsom_core.plugins.registry import Registry


@click.group(cls=Commands)
def config() -> None:
    """Look at configurations: what one means, what two differ in."""


@config.command()
@click.argument("file", type=click.Path())
@set_option
@click.option("--no-defaults", is_flag=True, help="Leave out defaults.")
@click.option("--plain", is_flag=True, help="Leave out the origins.")
@json_option(help="Print value and origin of each key as JSON.")
@runs_option
@plugin_options
def show(
    file: str, overrides: Sequence[str], no_defaults: bool, plain: bool, as_json: bool, runs: str
) -> None:
    """Print the configuration that FILE means, with the origin of each value in a comment.

    FILE is a configuration, the id or folder of a run, or an experiment, which means its newest
    run. What is printed is a configuration again: extended files are merged, defaults are filled
    in, and references to the environment stay as they are written.
    """
    from dbgsom_core.config.show import as_yaml

    found = _explain(file, overrides, runs, open_registry(), defaults=not no_defaults)
    if as_json:
        values = {
            key: {"value": value} if plain else {"value": value, "origin": origin}
            for key, (value, origin) in found.flat().items()
        }
        click.echo(json.dumps(values, indent=2, default=str))
        return
    if not found.complete:
        click.echo("# defaults are left out: each run of the sweep has its own")
    click.echo(as_yaml(found, comments=not plain), nl=False)


@config.command()
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@click.option("--no-defaults", is_flag=True, help="Compare only what was written.")
@json_option(help="Print JSON.")
@runs_option
@plugin_options
def diff(first: str, second: str, no_defaults: bool, as_json: bool, runs: str) -> int:
    """Print what FIRST and SECOND differ in: configurations, runs, or experiments' newest runs.

    Defaults count: a key that one of them leaves out has its default there. Exit code 0 when they
    mean the same and 1 when they differ, as diff does.
    """
    from dbgsom_core.config.show import differences

    registry = open_registry()
    both = [
        _explain(name, (), runs, registry, defaults=not no_defaults) for name in (first, second)
    ]
    found = differences(*both)
    if as_json:
        values = {
            key: [side and {"value": side[0], "origin": side[1]} for side in sides]
            for key, sides in found.items()
        }
        click.echo(json.dumps(values, indent=2, default=str))
    elif found:
        click.echo(f"--- {first}\n+++ {second}")
        for key, sides in found.items():
            click.echo(key)
            for sign, side in zip("-+", sides, strict=True):
                for line in _side_lines(side):
                    click.echo(f"  {sign} {line}")
    return 1 if found else 0


def _side_lines(side: Side | None) -> Iterator[str]:
    """Yield a value and its origin as a line; each field of a component follows on its own."""
    from dbgsom_core.config.show import dump_inline

    if side is None:
        yield "(not there)"
        return
    value, origin = side
    fields = dict(value) if isinstance(value, dict) and "name" in value else {}
    yield f"{dump_inline(fields.pop('name', value))}  # {origin}"
    for key, field in fields.items():
        yield f"    {key}: {dump_inline(field)}"


@click.command()
@click.option("-o", "--output", type=click.Path(), help="Write to this file.")
@plugin_options
def schema(output: str | None) -> None:
    """Print the JSON Schema of configurations.

    It is of draft 2020-12 and has the fields of every installed plugin. Editors with a YAML
    language server complete and check by it, where a configuration begins with
    '# yaml-language-server: $schema=./FILE'.
    """
    from dbgsom_core.config.json_schema import schema_text
    from dbgsom_core.tables.safe_files import exists, write_atomically

    if output and exists(output):  # else its folder is made
        check_output(output)
    failed: dict[str, str] = {}
    text = schema_text(open_registry(warn=True), failed)
    for why in failed.values():
        click.echo(f"warning: left out: {why}", err=True)
    if output is None or output == "-":
        click.echo(text, nl=False)
        return
    with writing(output):
        write_atomically(Path(output), lambda place: place.write_text(text, encoding="utf-8"))
    click.echo(output)


def _explain(
    name: str, overrides: Sequence[str], runs: str, registry: Registry, *, defaults: bool
) -> Explained:
    """Return values and origins of the configuration that a file, folder, id or name means."""
    from dbgsom_core.config.show import explain

    return explain(_find_config(name, runs), overrides, registry, defaults=defaults)


def _find_config(name: str, runs: str) -> Any:
    """Return a file as it is named, or the path of a run's configuration."""
    from dbgsom_core.tables.safe_files import exists

    if exists(name) and not Path(name).is_dir():
        return name
    from dbgsom_core.runs.find import find_folder, find_run
    from dbgsom_core.runs.folder import RunFiles, find_experiments

    root = Path(runs)
    folder = find_folder(name, root)
    if folder is not None:
        return RunFiles(folder).config
    experiments = find_experiments(root) if root.is_dir() else []
    # What is none of these is read, which says what is wrong with it.
    if name not in experiments and (exists(name) or name.endswith((".yaml", ".yml"))):
        return name
    run, notes = find_run(name, root, besides=" and no configuration")
    print_notes(notes)
    return run.files.config
