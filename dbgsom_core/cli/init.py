"""``dbgsom init``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import plugin_options
from dbgsom_core.cli.output import show_warnings
from dbgsom_core.errors import ConfigError
from dbgsom_core.interfaces.files import exists

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.first_look.column_kinds import Look
    from dbgsom_core.runs.first_look.first_config import Roles

_MOST_SHOWN = 40  # columns in the table
_MOST_TOLD = 5  # columns of which a line tells something


@click.command()
@click.argument("data")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="The file to write; by default DATA's name with .yaml.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@plugin_options
def init(data: str, output: str | None, force: bool, registry: Registry) -> None:
    """Look at DATA and write a configuration to begin with.

    DATA is a CSV (packed or not), Parquet, .npy or .npz file, or the name of a data set. What it
    holds is told by a part of it: rules stand in the comments of what is written.
    """
    show_warnings(False)
    from dbgsom_core.config import load_experiment
    from dbgsom_core.interfaces.files import write_atomically
    from dbgsom_core.runs.first_look.first_config import first_config, roles_of
    from dbgsom_core.runs.first_look.looking import look

    target = Path(output) if output else Path(Path(data).name.partition(".")[0] + ".yaml")
    if exists(target) and not force:
        raise ConfigError(f"{target} exists: give another name with -o, or --force to overwrite it")
    found = look(data, registry)
    roles = roles_of(found)

    def write(partial: Path) -> None:
        partial.write_text(first_config(found, roles, str(target)), encoding="utf-8")
        load_experiment(partial, (), registry)  # it has to validate, or nothing is written

    try:
        write_atomically(target, write)
    finally:
        _tell(found, roles)  # after it: who reads may have enough of it
    click.echo(f"{target} written; next: dbgsom run {shlex.quote(str(target))}")


def _tell(found: Look, roles: Roles) -> None:
    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.data import LEAST_ROWS
    from dbgsom_core.runs.first_look.first_config import estimator_of

    about = "" if found.whole else "about "
    size = f"{about}{found.rows} rows"
    if not found.columns:
        click.echo(f"{found.path}: {size}, {found.features} features")
    else:
        kinds = ", ".join(f"{key} {value!r}" for key, value in found.options.items())
        many = "1 column" if len(found.columns) == 1 else f"{len(found.columns)} columns"
        click.echo(f"{found.path}: {size}, {many}{kinds and f'; {kinds}'}")
        rows = [_row(column, roles) for column in found.columns[:_MOST_SHOWN]]
        print_table(["column", "looks like", "values", "missing", "becomes"], rows)
        more = len(found.columns) - len(rows)
        if more:
            click.echo(f"… and {more} more columns")
    for one in roles.again[:_MOST_TOLD]:
        click.echo(
            f"column {one.place} (from 0) is called '{one.name}', as one before it, and is left "
            "out: rename it in the file to use it"
        )
    if (left := len(roles.again) - _MOST_TOLD) > 0:
        click.echo(f"… and {left} more columns of a name that is used before")
    for note in found.notes:
        click.echo(note)
    if found.whole and found.rows < LEAST_ROWS:
        click.echo(f"{found.path} has {found.rows} rows; a map needs at least {LEAST_ROWS}")
    click.echo(f"estimator: {estimator_of(found, roles)}")


def _row(column: Any, roles: Roles) -> list[Any]:
    more = {"date": f" {column.form}", "number": f" in {column.unit}" if column.unit else ""}
    kind = column.kind + more.get(column.kind, "")
    shown = ", ".join(one[:16] for one in column.shown[:3])
    missing = f"{column.missing:.0%}" if column.missing else ""
    name = column.name or f"({column.place})"
    return [name[:40], kind, f"{column.values}: {shown}", missing, roles.of(column)]
