"""``dbgsom init``: a first configuration for an unknown file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import check_output, open_registry, plugin_options, writing
from dbgsom_core.errors import ConfigError
from dbgsom_core.tables.safe_files import exists

if TYPE_CHECKING:
    from dbgsom_core.runs.init.profile import ColumnProfile, TableProfile
    from dbgsom_core.runs.init.suggestion import Role, Suggestion

_MOST_COLUMNS = 40  # in the table
_BECOMES = {"": "feature", "categorical": "one column a value"}


@click.command()
@click.argument("data")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="The file to write; by default DATA's name with .yaml.",
)
@click.option("--target", metavar="NAME", help="The column to predict; without it a guess.")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@plugin_options
def init(data: str, output: str | None, target: str | None, force: bool) -> None:
    """Look at DATA and write a configuration to begin with.

    DATA is a CSV (packed or not), Parquet, .npy or .npz file, or the name of a data set. What it
    holds is judged by a part of it: rules stand in the comments of what is written.
    """
    from dbgsom_core.config import load_experiment
    from dbgsom_core.runs.init.profile import profile_data
    from dbgsom_core.runs.init.suggestion import suggest
    from dbgsom_core.tables.safe_files import write_atomically

    registry = open_registry()
    file = output or Path(data).name.partition(".")[0] + ".yaml"
    check_output(file, data)
    if exists(file) and not force:
        raise ConfigError(f"{file} exists: give another name with -o, or --force to overwrite it")
    profile = profile_data(data, registry)
    suggestion = suggest(profile, target)

    def write(partial: Path) -> None:
        partial.write_text(suggestion.text(data, file), encoding="utf-8")
        load_experiment(partial, (), registry)  # it has to validate, or nothing is written

    try:
        with writing(file):
            write_atomically(Path(file), write)
    finally:
        _print_profile(profile, suggestion)  # after the file: the reader may close the pipe
    click.echo(f"{file} written; next: dbgsom run {shlex.quote(file)}")


def _print_profile(profile: TableProfile, suggestion: Suggestion) -> None:
    from dbgsom_core.runs.data import LEAST_ROWS

    size = f"{'' if profile.complete else 'about '}{profile.rows} rows"
    if profile.columns:
        settings = ", ".join(f"{key} {value!r}" for key, value in profile.options.items())
        number = len(profile.columns)
        columns = f"{number} column{'s' * (number != 1)}{settings and f'; {settings}'}"
        _print_line(f"{profile.path}: {size}, {columns}")
        _print_columns(profile, suggestion)
    else:
        _print_line(f"{profile.path}: {size}, {len(profile.spreads)} features")
    for note in profile.notes:
        _print_line(note)
    if profile.complete and profile.rows < LEAST_ROWS:
        _print_line(f"{profile.path} has {profile.rows} rows; a map needs at least {LEAST_ROWS}")
    _print_line(f"estimator: {suggestion.estimator}")


def _print_line(text: str) -> None:
    """Print text on one line, whatever the names in it hold."""
    click.echo(text.replace("\n", r"\n"))


def _print_columns(profile: TableProfile, suggestion: Suggestion) -> None:
    from dbgsom_core.cli.tables import print_table

    both = list(zip(profile.columns, suggestion.roles, strict=True))
    rows = [_column_row(column, role, suggestion) for column, role in both[:_MOST_COLUMNS]]
    print_table(["column", "looks like", "values", "missing", "becomes"], rows)
    if len(both) > len(rows):
        _print_line(f"… and {len(both) - len(rows)} more columns")


def _column_row(column: ColumnProfile, role: Role, suggestion: Suggestion) -> list[Any]:
    kind: str = column.kind
    if kind == "number":
        kind += f" in {column.unit}" * bool(column.unit)
    elif kind == "date":
        kind += f" {' or '.join(column.date_formats)}"
    if role.key == "drop":
        becomes = f"dropped: {role.reason}"
    elif role.key == "dates":
        counted = suggestion.config["dataset"]["dates"] == "ordinal"
        becomes = "feature: days" if counted else "kept beside the samples: dates"
    else:
        becomes = _BECOMES.get(role.key, role.key)
    examples = ", ".join(" ".join(value.split())[:16] for value in column.examples[:3])
    return [
        " ".join(column.name.split())[:40] or f"({column.place})",
        kind,
        f"{column.values}: {examples}",
        f"{column.missing:.1%}" if column.missing else "",
        becomes,
    ]
