"""``dbgsom export``: the neurons of a model for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import model_options, plugin_options
from dbgsom_core.errors import DataError, as_text

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry

_OF_TEXT = ("", "txt")  # endings of what may hold CSV as well


@click.command()
@click.argument("model")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "npz"]),
    help="Without it by the ending of FILE; csv where it has none, or .txt.",
)
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="- is standard output, the default."
)
@model_options
@plugin_options
def export(
    model: str,
    form: str | None,
    output: str,
    runs: str,
    store: str | None,
    registry: Registry,
) -> None:
    """Write the neurons of MODEL: cell, hits, label and prototype of each, and feature names.

    CSV has a row a neuron; JSON holds the links between neurons as well, npz arrays. Prototypes are
    in the units of the raw data where the prepare steps can be undone. MODEL is that of
    'dbgsom predict'.
    """
    from pathlib import Path

    from dbgsom_core.cli.output import check_output
    from dbgsom_core.files import write_atomically
    from dbgsom_core.runs.using.export import FORMATS, exported
    from dbgsom_core.runs.using.models import find_model

    ending = Path(output).suffix.lower().lstrip(".")
    if form is None and ending not in (*FORMATS, *_OF_TEXT):
        raise DataError(
            f"{output}: neurons are written as {', '.join(FORMATS)}; --format says as "
            "which of them where the name does not"
        )
    form = form or (ending if ending in FORMATS else "csv")
    if output == "-" and form == "npz":
        raise DataError("an npz file is no text: name a file with -o")
    found = find_model(model, Path(runs), registry, store)
    check_output(output, found.path)
    for note in found.notes:
        click.echo(as_text(f"note: {note}"), err=True)
    if found.model.undone is None:
        click.echo("note: prototypes are as the map has them, not in raw units", err=True)
    content = exported(found.model, form, found.feature_names)
    if output == "-":
        click.echo(content.decode(), nl=False)
        return
    try:
        write_atomically(Path(output), lambda partial: partial.write_bytes(content))
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}") from error
    click.echo(
        as_text(f"{len(found.model.estimator.som_map_)} neurons written to {output}"), err=True
    )
