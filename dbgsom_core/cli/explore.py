"""``dbgsom explore``: the interactive page of a map, or of two beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import model_options, plugin_options, table_options
from dbgsom_core.errors import DataError, as_text

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.tables import CsvDialect


@click.command()
@click.argument("model")
@click.argument("other", required=False)
@click.option(
    "--data",
    type=click.Path(),
    metavar="FILE",
    help="A CSV, parquet, feather or npy file with the rows to show; without it all rows of the "
    "data that MODEL learnt from, those that were held out, too.",
)
@click.option(
    "-o", "--output", default="explorer.html", show_default=True, metavar="FILE",
    help="The page; what is there is replaced.",
)  # fmt: skip
@table_options
@model_options
@plugin_options
def explore(
    model: str,
    other: str | None,
    data: str | None,
    output: str,
    dialect: CsvDialect,
    runs: str,
    store: str | None,
    registry: Registry,
) -> None:
    """Write the map of MODEL as an interactive page, or those of MODEL and OTHER side by side.

    Both show the same rows, and what is found or chosen on one map is lit on the other. The page
    is one HTML file that needs no network. MODEL and OTHER are those of 'dbgsom predict'.
    """
    from pathlib import Path

    from dbgsom_core.cli.output import check_output
    from dbgsom_core.runs.using.explore import explore as explored
    from dbgsom_core.runs.using.models import find_model

    target = Path(output)
    if target.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{output} is no name of a page: it must end in .html")
    found = find_model(model, Path(runs), registry, store)
    beside = None if other is None else find_model(other, Path(runs), registry, store)
    check_output(output, data, found.path, None if beside is None else beside.path)
    done = explored(found, beside, registry, data, dialect)
    for note in done.notes:
        click.echo(as_text(f"note: {note}"), err=True)
    try:
        done.page.save(target)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}") from error
    which = found.where if beside is None else f"{found.where} beside {beside.where}"
    click.echo(as_text(f"{which}, {done.rows} rows: {output}"))
    click.echo(f"to look at it in a browser: {target.absolute().as_uri()}")
