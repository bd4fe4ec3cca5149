"""``dbgsom check``: what new rows say that a map did not know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dbgsom_core.cli.console import (
    check_output,
    echo,
    open_registry,
    option,
    output_options,
)
from dbgsom_core.cli.console import output as messages
from dbgsom_core.cli.predict import csv_options, dialect_of, find_model_of, model_options
from dbgsom_core.cli.show import print_table
from dbgsom_core.errors import DataError, did_you_mean
from dbgsom_core.files import exists


def _limits(context: click.Context, option: click.Parameter, texts: Sequence[str]) -> Any:
    limits = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            limits[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(f"'{text}' is not written NAME=NUMBER") from None
    return limits


@click.command()
@click.argument("run")
@click.argument("new", type=click.Path())
@option("--by", "Column of the training data with its file, day or machine.", metavar="COLUMN")
@option("--time", "Column with the time of rows: charts with alarms.", metavar="COLUMN")
@option(
    "--fail-above limits",
    "Exit with 1 where a number is above; may be repeated.",
    callback=_limits,
    metavar="NAME=NUMBER",
    multiple=True,
)
@option(
    "--rate",
    "Of false ones among new groups.",
    type=click.FloatRange(0, 1, True, True),
    default=0.05,
)
@option("--run-length", "Rows up to a false alarm.", type=click.FloatRange(2), default=370.0)
@option("-o --output", "Folder for tables and page; else one of RUN.", metavar="FOLDER")
@option("--rows rows_file", "NEW with its new groups, as FILE.fcs or FILE.csv.", metavar="FILE")
@csv_options
@output_options
@model_options
def check(
    run: str,
    new: str,
    by: str | None,
    time: str | None,
    limits: dict[str, float],
    rate: float,
    run_length: float,
    output: str | None,
    rows_file: str | None,
    **given: Any,
) -> int:
    """Say what the rows of NEW have that RUN did not know: new groups, drift, wrong labels.

    RUN is as for 'dbgsom predict', and NEW is a table as there. Tables and a page are written to
    RUN's folder, as artifacts/check-NEW, and numbers to its trackers; with -o to that folder alone.
    """
    trained, registry = find_model_of(run, given), open_registry()
    from dbgsom_core.runs.check import check_file, keep_check

    if output is not None and exists(output) and not (Path(output) / "check.html").exists():
        raise DataError(f"{output} exists and holds no check: name another folder with -o")
    if rows_file is not None:
        check_output(rows_file, new, trained.path)
    dialect = dialect_of(given)
    levels = {"rate": rate, "run_length": run_length}
    found = check_file(trained, new, registry, by, time, dialect, **levels)
    unknown = limits.keys() - found.measures.keys()
    if unknown:
        name = min(unknown)
        near, known = did_you_mean(name, [*found.measures]), ", ".join(found.measures)
        raise DataError(f"--fail-above: there is no number '{name}'{near}; there are: {known}")
    if rows_file is not None:
        from dbgsom_core.tables import write_table

        columns = {str(name): values.to_numpy() for name, values in found.rows.items()}
        write_table(rows_file, [columns], beside=new)
    if output is None:
        page = keep_check(trained, registry, found, Path(new).stem)
    else:
        found.save(output)
        page = Path(output) / "check.html"
    if not messages.quiet:
        for sentence in found.sentences:
            echo(sentence)
        print_table(["number", "value"], list(map(list, found.measures.items())))
        echo(f"tables and page: {page}")
    above = [name for name, limit in limits.items() if not found.measures[name] <= limit]
    for name in above:
        echo(f"{name} is {found.measures[name]:.4g}, above {limits[name]:g}", err=True)
    return 1 if above else 0
