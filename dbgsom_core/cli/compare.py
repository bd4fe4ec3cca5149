"""``dbgsom compare``: variants over their seeds and folds, and which of them won."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import open_registry
from dbgsom_core.errors import as_text

if TYPE_CHECKING:
    from dbgsom_core.runs.compare.export import Comparison
    from dbgsom_core.runs.compare.table import Table

_END = 6  # letters of an id, which will do for every command


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
@click.option("--runs", default="runs", show_default=True, help="Folder that holds the runs.")
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
    by: str | None,
    direction: str | None,
    split: str | None,
    runs: str,
    top: int | None,
    show_all: bool,
    output: str | None,
) -> None:
    """Compare the finished runs of TARGETS: experiments, sweeps or runs, by name, id or folder.

    Runs that differ only in their seed are one variant. Without TARGETS the only experiment is
    meant.
    """
    from pathlib import Path

    from dbgsom_core.cli.output import check_output
    from dbgsom_core.runs.compare.compare import compare as compare_runs
    from dbgsom_core.runs.compare.export import check_ending

    if output is not None:
        check_ending(Path(output))
        check_output(output)
    found = compare_runs(
        *targets, by=by, direction=direction, split=split, runs=runs, registry=open_registry()
    )
    if output is not None:
        found.save(output)
        click.echo(as_text(f"{output}: {len(found.tables)} table(s)"))
        return
    for number, table in enumerate(found.tables):
        if number:
            click.echo()
        _show(found, table, top, show_all)
        _show_how_to_look(table, runs)
    _show_rest(found, top)
    for link in found.links():
        click.echo(f"side by side: {as_text(link)}")


def _show(found: Comparison, table: Table, top: int | None, show_all: bool) -> None:
    from dbgsom_core.cli.tables import fits, print_table
    from dbgsom_core.runs.compare.export import beside, columns_of, title_of
    from dbgsom_core.runs.compare.text import baseline_text

    if show_all:
        names = dict.fromkeys(name for row in table.rows for name in row.measures)
        others = [name for name in names if name != table.decision.name]
    else:
        others = beside(table)
    header, rows = columns_of(table, others)
    while others and not show_all and not fits(header, rows[:top]):
        others = others[:-1]
        header, rows = columns_of(table, others)
    click.echo(as_text(title_of(table)))
    print_table(header, rows[:top])
    if top is not None and len(rows) > top:
        click.echo(f"and {len(rows) - top} more")
    if told := baseline_text(table):
        click.echo(told)
    click.echo(as_text(table.sentence))
    if table.method:
        click.echo(as_text(table.method))


def _show_how_to_look(table: Table, runs: str) -> None:
    # The command that shows the maps of the two best; runs that lie elsewhere have no short names.
    from pathlib import Path

    rows = [row for row in table.ranked[:2] if row.runs]
    # Steps of other packages may make other features, which no page shows side by side.
    steps = {str(row.fields.get("prepare", "")) for row in rows}
    if len(steps) > 1 and any(":" in one for one in steps):
        return
    ids = [row.runs[0] for row in rows]
    if len(ids) == 2 and all(any(Path(runs).glob(f"*/{one}/model.npz")) for one in ids):
        where = "" if runs == "runs" else f" --runs {shlex.quote(runs)}"
        ends = " ".join(one[-_END:] for one in ids)
        click.echo(as_text(f"both maps in one page: dbgsom explore {ends}{where}"))


def _show_rest(found: Comparison, top: int | None) -> None:
    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.compare.export import rank_columns

    for ranking in found.rankings:
        click.echo()
        header, rows = rank_columns(ranking)
        print_table(header, rows[:top])
        click.echo(as_text(ranking.sentence))
    for note in found.notes:
        click.echo(as_text(f"note: {note}"))
    if found.damaged:
        rows = [[name, f"damaged: {why}"] for name, why in found.damaged.items()]
        print_table(["run", "state"], rows)
