"""``dbgsom predict``: what a model says of the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import model_options, plugin_options, table_options
from dbgsom_core.cli.output import output_options
from dbgsom_core.errors import as_text

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.tables import CsvDialect


def _words(context: click.Context, option: click.Parameter, given: str | None) -> Sequence[str]:
    return [one.strip() for one in (given or "").split(",") if one.strip()]


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(allow_dash=True))
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="FILE",
    help="A .csv, .tsv, .parquet, .feather or .npy file; - is standard output, the default.",
)
@click.option(
    "--columns",
    callback=_words,
    metavar="NAME,…",
    help="Which of label, unit, x, y, path, distance, novelty, pvalue, outlier and probabilities; "
    "all that the model has without it.",
)
@click.option(
    "--keep",
    callback=_words,
    metavar="NAME,…",
    help="Columns of DATA to carry along; those that are ids to the model, and dates beside its "
    "features, always are.",
)
@table_options
@model_options
@output_options
@plugin_options
def predict(
    model: str,
    data: str,
    output: str,
    columns: Sequence[str],
    keep: Sequence[str],
    dialect: CsvDialect,
    runs: str,
    store: str | None,
    quiet: bool,
    registry: Registry,
) -> None:
    """Write what MODEL says of each row of DATA.

    MODEL is a run's folder or id, an experiment (its newest run), a model file (.npz), or an
    address in MLflow: runs:/ID, models:/NAME@ALIAS. DATA is a CSV (also packed), parquet, feather
    or npy file, of any length. Columns are found by name where the model knows names; more of them
    do no harm, and their order does not matter.
    """
    import sys
    from pathlib import Path

    from dbgsom_core.cli.later import imported_later
    from dbgsom_core.cli.masking import styled
    from dbgsom_core.cli.output import check_output

    with imported_later("scipy.stats"):  # by scikit-learn: a quarter of a second
        from dbgsom_core.runs.using.models import find_model
        from dbgsom_core.runs.using.predict import predict_file
    from dbgsom_core.runs.signals import shutdown

    found = find_model(model, Path(runs), registry, store)
    check_output(output, data, found.path)
    # Data in a pipe steers no terminal, and there may be much of it.
    stdout = sys.stdout if sys.stdout.isatty() else styled(sys.stdout)
    on_screen = output == "-" and sys.stdout.isatty()
    shown = not quiet and sys.stderr.isatty() and not on_screen

    def show(rows: int) -> None:
        if shown:
            click.echo(f"\r{rows} rows", err=True, nl=False)

    with shutdown.handling():  # so that a signal leaves nothing half-written
        done = predict_file(
            found.model,
            data,
            output,
            columns,
            keep,
            dialect,
            trained=found.dialect,
            stdout=stdout,
            progress=show,
        )
    if shown:
        click.echo("\r", err=True, nl=False)
    if quiet:
        return
    for note in (*found.notes, *done.notes):
        click.echo(as_text(f"note: {note}"), err=True)
    where = "" if output == "-" else f", written to {output}"
    outliers = f", {done.outliers} of them unlike the training data" if done.outliers else ""
    click.echo(as_text(f"{done.rows} rows answered by {found.where}{outliers}{where}"), err=True)
