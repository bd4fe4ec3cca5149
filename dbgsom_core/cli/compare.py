"""``dbgsom compare``: what differs between runs, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import open_registry

if TYPE_CHECKING:
    from dbgsom_core.runs.compare import Comparison


@click.command()
@click.argument("experiment")
@click.option("--by", required=True, metavar="MEASURE", help="Measure to rank by, e.g. accuracy.")
@click.option("--runs", default="runs", show_default=True, help="Folder that holds the runs.")
@click.option("--top", type=click.IntRange(min=1), help="Show only the best so many.")
@click.option("--all", "show_all", is_flag=True, help="Show every measure.")
def compare(experiment: str, by: str, runs: str, top: int | None, show_all: bool) -> None:
    """Rank the finished runs of EXPERIMENT and show what differs between them."""
    from pathlib import Path

    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.compare import compare_runs

    found = compare_runs(Path(runs), experiment, by, open_registry())
    measures = list(found.measures) if show_all else _telling(found)
    rows = [
        [
            one.id[-6:],
            *(one.measures.get(name) for name in measures),
            *(one.varying.get(name) for name in found.varying),
        ]
        for one in found.runs[:top]
    ]
    columns = ["run", *measures, *found.varying]
    if found.damaged:
        columns.append("state")
        rows = [[*row, "finished"] for row in rows]
        for name, why in found.damaged.items():
            rows.append([name[-6:], *[None] * (len(columns) - 2), f"damaged: {why}"])
    print_table(columns, rows)


def _telling(found: Comparison) -> list[str]:
    """Return the measure that ranks and the few that most people look at beside it."""
    part = found.by.partition("/")[0]
    beside = ("accuracy", "quantization_error", "topographic_error")
    wanted = [found.by, *(f"{part}/{name}" for name in beside)]
    return [name for name in dict.fromkeys(wanted) if name in found.measures]
