"""``dbgsom init``, ``config`` and ``schema``: write and read configurations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import (
    Commands,
    check_output,
    echo,
    file_argument,
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
from dbgsom_core.config.json_schema import experiment_schema
from dbgsom_core.config.resolved import commented_yaml, places, resolve
from dbgsom_core.errors import ConfigError
from dbgsom_core.files import exists, write_atomically
from dbgsom_core.runs.describe import plural
from dbgsom_core.runs.stored_runs import find_run

if TYPE_CHECKING:
    from dbgsom_core.runs.init import ColumnProfile, Suggestion, TableProfile

_MOST_COLUMNS = 40  # in the table
_BECOMES = {"": "feature", "categorical": "one column a value"}


@click.group(cls=Commands)
def config() -> None:
    """Look at configurations."""


@config.command()
@file_argument
@set_option
@option("--origins", "Say in comments where each value was written.", is_flag=True)
@runs_option
@plugin_options
def show(file: str, overrides: Sequence[str], origins: bool, runs: str) -> None:
    """Print the configuration that FILE means.

    FILE is a configuration, the id or folder of a run, or an experiment, which means its newest
    run. What is printed is a configuration again: extended files are merged, defaults are filled
    in, and references to the environment stay as they are written.
    """
    values, written = resolve(_find_config(file, runs), overrides, open_registry())
    comments = places(values, written) if origins else {}
    click.echo(commented_yaml(values, comments), nl=False)


@click.command()
@option("-o --output", "Write to this file.", type=click.Path(), default="-")
@plugin_options
def schema(output: str) -> None:
    """Print the JSON Schema of configurations.

    It is of draft 2020-12 and has the fields of every installed plugin. Editors with a YAML
    language server complete and check by it, where a configuration begins with
    '# yaml-language-server: $schema=./FILE'.
    """
    text = json.dumps(experiment_schema(open_registry(warn=True)), indent=2) + "\n"
    if output == "-":
        click.echo(text, nl=False)
        return
    if not output.endswith(".json"):  # nobody's configuration is overwritten
        raise ConfigError(f"{output} is no name of a schema: give one that ends in .json")
    check_output(output)
    with writing(output):
        write_atomically(Path(output), lambda place: place.write_text(text, encoding="utf-8"))
    echo(output)


def _find_config(name: str, runs: str) -> str:
    """Return the path of the configuration that a file, folder, id or name means."""
    is_file = exists(name) and not Path(name).is_dir()
    if is_file or name.endswith((".yaml", ".yml")):
        return name
    run, notes = find_run(name, Path(runs), besides=" and no configuration")
    print_notes(notes)
    return str(run.files.config)


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

    with writing(file):
        write_atomically(Path(file), write)
    _print_profile(profile, suggestion)  # after the file: the reader may close the pipe
    echo(f"{file} written; next: dbgsom run {shlex.quote(file)}")


def _print_profile(profile: TableProfile, suggestion: Suggestion) -> None:
    from dbgsom_core.runs.data import LEAST_ROWS

    text = f"{profile.path}: {'' if profile.complete else 'at least '}{profile.rows} rows"
    if profile.columns:
        text += f", {plural(len(profile.columns), 'column')}"
        for key, value in profile.options.items():
            text += f"; {key} {value!r}"
    _echo_line(text)
    rows = [_column_row(column, suggestion) for column in suggestion.columns]
    header = ["column", "looks like", "values", "missing", "becomes"]
    print_table(header, rows, _MOST_COLUMNS, " columns")
    if profile.complete and profile.rows < LEAST_ROWS:
        echo(f"it has {profile.rows} rows; a map needs at least {LEAST_ROWS}")
    for line in (f"estimator: {suggestion.estimator}", *suggestion.remarks):
        _echo_line(line)


def _echo_line(text: str) -> None:
    echo(text.replace("\n", r"\n"))  # whatever the names in it hold


def _column_row(column: ColumnProfile, suggestion: Suggestion) -> list[Any]:
    kind: str = column.kind
    if kind == "number":
        kind += f" in {column.unit}" * bool(column.unit)
    elif kind == "date":
        kind += f" {' or '.join(column.date_formats)}"
    becomes = _BECOMES.get(column.role, column.role)
    if column.role == "drop":
        becomes += f": {column.reason}"
    elif column.role == "dates" and suggestion.config["dataset"]["dates"] == "ordinal":
        becomes = "feature: days"
    examples = ", ".join(" ".join(value.split())[:16] for value in column.examples[:3])
    return [
        " ".join(column.name.split())[:40] or f"({column.place})",
        kind,
        f"{column.values}: {examples}",
        f"{column.missing:.1%}" if column.missing else "",
        becomes,
    ]
