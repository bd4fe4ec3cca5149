"""``dbgsom init``, ``config`` and ``schema``: write and read configurations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import (
    Commands,
    check_output,
    echo,
    json_option,
    open_registry,
    option,
    plugin_options,
    print_notes,
    runs_option,
    set_option,
    writing,
)
from dbgsom_core.cli.show import print_table
from dbgsom_core.config import load_experiment
from dbgsom_core.config.json_schema import schema_text
from dbgsom_core.config.show import Explained, Side, as_yaml, differences, dump_inline, explain
from dbgsom_core.errors import ConfigError, DataError
from dbgsom_core.runs.folder import RunFiles, find_experiments
from dbgsom_core.runs.stored_runs import find_folder, find_run
from dbgsom_core.tables.safe_files import exists, read_at_most, write_atomically

if TYPE_CHECKING:
    from dbgsom_core.runs.init import ColumnProfile, Suggestion, TableProfile

_LARGEST_SCHEMA = 1 << 26  # bytes of a schema that is replaced
_MOST_COLUMNS = 40  # in the table
_BECOMES = {"": "feature", "categorical": "one column a value"}


@click.group(cls=Commands)
def config() -> None:
    """Look at configurations: what one means, what two differ in."""


@config.command()
@click.argument("file", type=click.Path())
@set_option
@option("--no-defaults", "Leave out defaults.", is_flag=True)
@option("--plain", "Leave out the origins.", is_flag=True)
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
    found = _explain(file, overrides, runs, defaults=not no_defaults)
    if as_json:
        values = {
            key: {"value": value} if plain else {"value": value, "origin": origin}
            for key, (value, origin) in found.flat().items()
        }
        echo(json.dumps(values, indent=2, default=str))
        return
    if not found.complete:
        echo("# defaults are left out: each run of the sweep has its own")
    click.echo(as_yaml(found, comments=not plain), nl=False)


@config.command()
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@option("--no-defaults", "Compare only what was written.", is_flag=True)
@json_option(help="Print JSON.")
@runs_option
@plugin_options
def diff(first: str, second: str, no_defaults: bool, as_json: bool, runs: str) -> int:
    """Print what FIRST and SECOND differ in: configurations, runs, or experiments' newest runs.

    Defaults count: a key that one of them leaves out has its default there. Exit code 0 when they
    mean the same and 1 when they differ, as diff does.
    """
    both = [_explain(name, (), runs, defaults=not no_defaults) for name in (first, second)]
    found = differences(*both)
    if as_json:
        values = {
            key: [side and {"value": side[0], "origin": side[1]} for side in sides]
            for key, sides in found.items()
        }
        echo(json.dumps(values, indent=2, default=str))
    elif found:
        echo(f"--- {first}\n+++ {second}")
        for key, sides in found.items():
            echo(key)
            for sign, side in zip("-+", sides, strict=True):
                for line in _side_lines(side):
                    echo(f"  {sign} {line}")
    return 1 if found else 0


def _side_lines(side: Side | None) -> Iterator[str]:
    if side is None:
        yield "(not there)"
        return
    value, origin = side
    fields = dict(value) if isinstance(value, dict) and "name" in value else {}
    yield f"{dump_inline(fields.pop('name', value))}  # {origin}"
    for key, field in fields.items():
        yield f"    {key}: {dump_inline(field)}"


@click.command()
@option("-o --output", "Write to this file.", type=click.Path())
@plugin_options
def schema(output: str | None) -> None:
    """Print the JSON Schema of configurations.

    It is of draft 2020-12 and has the fields of every installed plugin. Editors with a YAML
    language server complete and check by it, where a configuration begins with
    '# yaml-language-server: $schema=./FILE'.
    """
    if output and exists(output):  # else its folder is made
        check_output(output)
        with writing(output):
            start = read_at_most(Path(output), _LARGEST_SCHEMA)
        if b"json-schema.org" not in start:
            raise DataError(f"{output} is there and is no schema: name another file")
    failed: dict[str, str] = {}
    text = schema_text(open_registry(warn=True), failed)
    for why in failed.values():
        echo(f"warning: left out: {why}", err=True)
    if output is None or output == "-":
        click.echo(text, nl=False)
        return
    with writing(output):
        write_atomically(Path(output), lambda place: place.write_text(text, encoding="utf-8"))
    echo(output)


def _explain(name: str, overrides: Sequence[str], runs: str, *, defaults: bool) -> Explained:
    """Return values and origins of the configuration that a file, folder, id or name means."""
    root, source = Path(runs), name
    if not exists(name) or Path(name).is_dir():
        experiments = find_experiments(root) if root.is_dir() else []
        # What is none of these is read, which says what is wrong with it.
        is_file = exists(name) or name.endswith((".yaml", ".yml"))
        if (folder := find_folder(name, root)) is not None:
            source = str(RunFiles(folder).config)
        elif name in experiments or not is_file:
            run, notes = find_run(name, root, besides=" and no configuration")
            print_notes(notes)
            source = str(run.files.config)
    return explain(source, overrides, open_registry(), defaults=defaults)


@click.command()
@click.argument("data")
@option("-o --output", "The file to write; else DATA's name with .yaml.", type=click.Path())
@option("--target", "The column to predict; without it a guess.", metavar="NAME")
@option(
    "--task",
    "Predict classes (classifier), numbers (regressor), or nothing (vq: clusters).",
    type=click.Choice(["classifier", "regressor", "vq"]),
)
@option("--force", "Overwrite the file if it exists.", is_flag=True)
@plugin_options
def init(data: str, output: str | None, target: str | None, task: str | None, force: bool) -> None:
    """Look at DATA and write a configuration to begin with.

    DATA is a CSV (packed or not), Parquet, .npy or .npz file, or the name of a data set. What it
    holds is judged by a part of it: rules stand in the comments of what is written.
    """
    from dbgsom_core.runs.init import profile_data, suggest

    registry = open_registry()
    file = output or Path(data).name.partition(".")[0] + ".yaml"
    check_output(file, data)
    if exists(file) and not force:
        raise ConfigError(f"{file} exists: give another name with -o, or --force to overwrite it")
    profile = profile_data(data, registry)
    suggestion = suggest(profile, target, task)

    def write(partial: Path) -> None:
        partial.write_text(suggestion.text(data, file), encoding="utf-8")
        load_experiment(partial, (), registry)  # it has to validate, or nothing is written

    try:
        with writing(file):
            write_atomically(Path(file), write)
    finally:
        _print_profile(profile, suggestion)  # after the file: the reader may close the pipe
    echo(f"{file} written; next: dbgsom run {shlex.quote(file)}")


def _print_profile(profile: TableProfile, suggestion: Suggestion) -> None:
    from dbgsom_core.runs.data import LEAST_ROWS

    lines = [f"{profile.path}: {'' if profile.complete else 'about '}{profile.rows} rows, "]
    number = len(profile.columns)
    if number:
        settings = "".join(f"; {key} {value!r}" for key, value in profile.options.items())
        lines[0] += f"{number} column{'s' * (number != 1)}{settings}"
        rows = [_column_row(one, suggestion) for one in suggestion.columns[:_MOST_COLUMNS]]
    else:
        lines[0] += f"{len(profile.spreads)} features"
    if profile.complete and profile.rows < LEAST_ROWS:
        lines.append(f"{profile.path} has {profile.rows} rows; a map needs at least {LEAST_ROWS}")
    lines.append(f"estimator: {suggestion.estimator}")
    lines += suggestion.remarks
    for place, text in enumerate(lines):
        echo(text.replace("\n", r"\n"))  # whatever the names in it hold
        if place == 0 and number:
            print_table(["column", "looks like", "values", "missing", "becomes"], rows)
            if number > len(rows):
                echo(f"… and {number - len(rows)} more columns")


def _column_row(column: ColumnProfile, suggestion: Suggestion) -> list[Any]:
    kind: str = column.kind
    if kind == "number":
        kind += f" in {column.unit}" * bool(column.unit)
    elif kind == "date":
        kind += f" {' or '.join(column.date_formats)}"
    if column.role == "drop":
        becomes = f"dropped: {column.reason}"
    elif column.role == "dates":
        counted = suggestion.config["dataset"]["dates"] == "ordinal"
        becomes = "feature: days" if counted else "kept beside the samples: dates"
    else:
        becomes = _BECOMES.get(column.role, column.role)
    examples = ", ".join(" ".join(value.split())[:16] for value in column.examples[:3])
    return [
        " ".join(column.name.split())[:40] or f"({column.place})",
        kind,
        f"{column.values}: {examples}",
        f"{column.missing:.1%}" if column.missing else "",
        becomes,
    ]
