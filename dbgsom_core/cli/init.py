"""``dbgsom init``: a first configuration for a file of which nothing is known."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import plugin_options
from dbgsom_core.cli.output import check_output, show_warnings
from dbgsom_core.errors import ConfigError, as_text
from dbgsom_core.files import exists

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.init.columns import ColumnProfile
    from dbgsom_core.runs.init.profile import TableProfile
    from dbgsom_core.runs.init.suggestion import Role, Suggestion

_MOST_SHOWN = 40  # columns in the table
_MOST_NOTES = 5  # columns of a name that is there again


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
def init(
    data: str, output: str | None, target: str | None, force: bool, registry: Registry
) -> None:
    """Look at DATA and write a configuration to begin with.

    DATA is a CSV (packed or not), Parquet, .npy or .npz file, or the name of a data set. What it
    holds is told by a part of it: rules stand in the comments of what is written.
    """
    show_warnings(False)
    from dbgsom_core.config import load_experiment
    from dbgsom_core.files import write_atomically
    from dbgsom_core.runs.init.profile import profile_data
    from dbgsom_core.runs.init.suggestion import suggest

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
        write_atomically(Path(file), write)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        _print(profile, suggestion)  # after it: who reads may have enough of it
    click.echo(as_text(f"{file} written; next: dbgsom run {shlex.quote(file)}"))


def _print(profile: TableProfile, suggestion: Suggestion) -> None:
    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.data import LEAST_ROWS

    def say(text: str) -> None:  # on one line, whatever names hold
        click.echo(as_text(text).replace("\n", r"\n"))

    size = f"{'' if profile.complete else 'about '}{profile.rows} rows"
    if not profile.columns:
        say(f"{profile.path}: {size}, {profile.features} features")
    else:
        options = ", ".join(f"{key} {value!r}" for key, value in profile.options.items())
        number = len(profile.columns)
        columns = f"{number} column{'s' * (number != 1)}{options and f'; {options}'}"
        say(f"{profile.path}: {size}, {columns}")
        both = zip(profile.columns[:_MOST_SHOWN], suggestion.roles, strict=False)
        rows = [_row(column, role, suggestion) for column, role in both]
        print_table(["column", "looks like", "values", "missing", "becomes"], rows)
        if number > len(rows):
            say(f"… and {number - len(rows)} more columns")
    repeated = [
        column
        for column, role in zip(profile.columns, suggestion.roles, strict=True)
        if "again: rename" in role.reason
    ]
    for column in repeated[:_MOST_NOTES]:
        say(
            f"column {column.place} (from 0) is called '{column.name}', as one before it, and is "
            "left out: rename it in the file to use it"
        )
    if len(repeated) > _MOST_NOTES:
        say(f"… and {len(repeated) - _MOST_NOTES} more columns of a name used before")
    for note in profile.notes:
        say(note)
    if profile.complete and profile.rows < LEAST_ROWS:
        say(f"{profile.path} has {profile.rows} rows; a map needs at least {LEAST_ROWS}")
    say(f"estimator: {suggestion.estimator}")


def _row(column: ColumnProfile, role: Role, suggestion: Suggestion) -> list[Any]:
    more = {"date": f" {' or '.join(column.date_formats)}"}
    if column.kind == "number":
        more["number"] = ", or codes?" if column.note else f" in {column.unit}" * bool(column.unit)
    examples = ", ".join(" ".join(one.split())[:16] for one in column.examples[:3])
    missing = f"{column.missing:.0%}" if column.missing else ""
    becomes = {
        "": "feature",
        "categorical": "one column a value",
        "drop": f"dropped: {role.reason}",
    }
    if role.key == "dates":
        counted = suggestion.config["dataset"]["dates"] == "ordinal"
        becomes["dates"] = "feature: days" if counted else "kept beside the samples: dates"
    return [
        " ".join(column.name.split())[:40] or f"({column.place})",
        column.kind + more.get(column.kind, ""),
        f"{column.values}: {examples}",
        missing,
        becomes.get(role.key, role.key),
    ]
