"""``dbgsom compare``: variants over their seeds and folds, ranked, with statistical tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import check_output, open_registry, runs_option

if TYPE_CHECKING:
    from dbgsom_core.runs.compare.compare import Comparison
    from dbgsom_core.runs.compare.rank import Table


@click.command()
@click.argument("targets", nargs=-1)
@click.option(
    "--by",
    metavar="MEASURE",
    help="Measure to rank by, e.g. accuracy; by default what the sweep or the estimator says.",
)
@click.option(
    "--direction",
    type=click.Choice(["maximize", "minimize"]),
    help="Which end of it is best; by default as the measure says.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "train"]),
    help="On which part it is measured; by default the test part where there is one.",
)
@runs_option
@click.option("--top", type=click.IntRange(min=1), help="Show only the best so many variants.")
@click.option("--all", "show_all", is_flag=True, help="Show every measure.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write to a file instead: .csv, .html or .md.",
)
def compare(
    targets: Sequence[str],
    runs: str,
    top: int | None,
    show_all: bool,
    output: str | None,
    **criteria: str | None,
) -> None:
    """Compare the finished runs of TARGETS: experiments, sweeps or runs, by name, id or folder.

    Runs that differ only in their seed are one variant. Without TARGETS the only experiment is
    meant.
    """
    from dbgsom_core.runs.compare.compare import check_ending
    from dbgsom_core.runs.compare.compare import compare as compare_runs

    if output is not None:
        check_ending(Path(output))
        check_output(output)
    found = compare_runs(*targets, runs=runs, registry=open_registry(), **criteria)
    if output is not None:
        found.save(output)
        click.echo(f"{output}: {len(found.tables)} table(s)")
        return
    for number, table in enumerate(found.tables):
        if number:
            click.echo()
        _print_variants(table, top, show_all)
    _print_data_sets(found, top)
    for note in found.notes:
        click.echo(f"note: {note}")
    if found.damaged:
        from dbgsom_core.cli.tables import print_table

        rows = [[name, f"damaged: {why}"] for name, why in found.damaged.items()]
        print_table(["run", "state"], rows)
    for link in found.links():
        click.echo(f"side by side: {link}")


def _print_variants(table: Table, top: int | None, show_all: bool) -> None:
    """Print the variants on one data set, and what the tests say of them."""
    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.compare import text

    if show_all:
        names = dict.fromkeys(name for row in table.rows for name in row.measures)
        others = [name for name in names if name != table.criterion.name]
    else:
        others = text.beside(table)
    header, rows = text.columns_of(table, others)
    click.echo(text.title_of(table))
    print_table(header, rows[:top])
    if top is not None and len(rows) > top:
        click.echo(f"and {len(rows) - top} more")
    for line in (text.baseline_text(table), text.verdict(table), text.method(table)):
        if line:
            click.echo(line)


def _print_data_sets(found: Comparison, top: int | None) -> None:
    """Print how variants rank over several data sets."""
    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.compare import text

    for ranking in found.rankings:
        click.echo()
        header, rows = text.rank_columns(ranking)
        print_table(header, rows[:top])
        click.echo(text.rank_verdict(ranking))
