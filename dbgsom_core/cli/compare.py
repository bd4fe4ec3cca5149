"""``dbgsom compare``: what differs between runs, best first."""

from __future__ import annotations

import click

from dbgsom_core.cli.options import open_registry


@click.command()
@click.argument("experiment")
@click.option("--by", required=True, metavar="MEASURE", help="Measure to rank by, e.g. accuracy.")
@click.option("--runs", default="runs", show_default=True, help="Folder that holds the runs.")
@click.option("--top", type=click.IntRange(min=1), help="Show only the best so many.")
def compare(experiment: str, by: str, runs: str, top: int | None) -> None:
    """Rank the finished runs of EXPERIMENT and show what differs between them."""
    from pathlib import Path

    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.compare import compare_runs

    found = compare_runs(Path(runs), experiment, by, open_registry(False, False))
    rows = [
        [row.name, *row.differences.values(), *row.measures.values()] for row in found.rows[:top]
    ]
    print_table(["run", *found.differences, *found.measures], rows)
