"""``dbgsom explain``: why a model answers to one row as it does."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import model_options, plugin_options, table_options
from dbgsom_core.errors import as_text

if TYPE_CHECKING:
    from dbgsom_core.estimators.answers import Difference
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.using.explain import Explained
    from dbgsom_core.runs.using.table_head import Written

_ROUNDING = 1e-12
_NOTHING = 1e-6  # of a standard deviation
_MINUTES = 24 * 60  # of a day


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path())
@click.option(
    "--row",
    type=click.IntRange(min=0),
    required=True,
    help="Number of the row, from 0; the header does not count.",
)
@click.option("--features", default=8, show_default=True, type=click.IntRange(min=1),
              help="How many features to show, those that pull most first.")  # fmt: skip
@click.option("--nearest", default=5, show_default=True, type=click.IntRange(min=0),
              help="How many rows of the training data to show, nearest first.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@table_options
@model_options
@plugin_options
def explain(
    model: str,
    data: str,
    row: int,
    features: int,
    nearest: int,
    as_json: bool,
    written: Written,
    runs: str,
    store: str | None,
    registry: Registry,
) -> None:
    """Say why MODEL answers to one row of DATA as it does.

    Its neuron and the neurons beside it, the features in which it differs most from the neuron's
    prototype, and the rows of the training data that are most like it. MODEL and DATA are those of
    'dbgsom predict'.
    """
    from pathlib import Path

    from dbgsom_core.cli.output import show_warnings
    from dbgsom_core.runs.using.explain import explain_row
    from dbgsom_core.runs.using.models import find_model

    show_warnings(quiet=False)
    found = find_model(model, Path(runs), registry, store)
    told = explain_row(found, data, row, registry, nearest, written)
    for note in told.notes:
        click.echo(as_text(f"note: {note}"), err=True)
    if as_json:
        import json
        from dataclasses import asdict

        from dbgsom_core.runs.folder.writing import plain

        nearest_ones = [asdict(one) for one in told.nearest]
        content = {"ids": told.ids, **asdict(told.explanation), "nearest": nearest_ones}
        click.echo(json.dumps(plain(content), indent=2, ensure_ascii=False))
    else:
        ids = ", ".join(f"{name} {value}" for name, value in told.ids.items())
        _tell(told, f"row {row} of {data}" + (f" ({ids})" if ids else ""), features)


def _tell(told: Explained, where: str, features: int) -> None:
    from dbgsom_core.cli.tables import cell, print_table

    one = told.explanation
    shares = sorted(one.probabilities.items(), key=lambda item: -item[1])
    rated = ", ".join(f"{cell(name)} {share:.0%}" for name, share in shares[:5] if share > 0)
    click.echo(as_text(f"{where}: {cell(one.label)}" + (f" ({rated})" if rated else "")))
    x, y = one.cell
    way = "" if len(one.path) == 1 else f", on to {' › '.join(map(str, one.path[1:]))}"
    click.echo(f"neuron {one.unit} at ({x}, {y}){way}, which won {one.hits:g} training samples")
    p = "" if one.pvalue is None else f" (p {one.pvalue:.2g})"
    click.echo(
        f"distance {one.distance:.4g}, there usually {one.usual_distance:.4g}\n"
        f"novelty {one.novelty:.3g}{p}, by the training samples around it, 0 at best: "
        f"{'unlike' if one.outlier else 'like'} the training data"
    )
    click.echo("\nwhat pulls it away, in deviations of the training data")
    print_table(
        ["feature", "value", "prototype", "deviations"],
        [
            [one.feature, *_values(one, told.dates), _signed(one.deviations)]
            for one in one.differences[:features]
        ],
    )
    if one.neighbours:
        click.echo("\nneurons beside it")
        print_table(
            ["neuron", "cell", "label", "hits", "distance"],
            [
                [beside.unit, _cell_of(beside), beside.label, f"{beside.hits:g}", beside.distance]
                for beside in one.neighbours
            ],
        )
    if told.nearest:
        click.echo("\nmost like it in the training data")
        ids = list(told.nearest[0].ids)
        print_table(
            ["row", *ids, told.target, "distance"],
            [[like.row, *like.ids.values(), like.target, like.distance] for like in told.nearest],
        )


def _values(one: Difference, dates: Collection[str]) -> tuple[Any, ...]:
    if one.feature not in dates:
        # What is next to nothing beside how far the feature spreads is a 0 of the map.
        apart = abs(one.value - one.prototype)
        known = one.deviations and math.isfinite(one.deviations)
        spread = apart / abs(one.deviations) if known else 0.0
        least = max(_ROUNDING, _NOTHING * spread)
        return tuple(0.0 if abs(x) < least else x for x in (one.value, one.prototype))
    minutes = round(one.value * _MINUTES)
    form = "%Y-%m-%d %H:%M" if minutes % _MINUTES else "%Y-%m-%d"
    first = datetime(1970, 1, 1)
    try:
        days = (first + timedelta(minutes=minutes), first + timedelta(days=one.prototype))
    except (OverflowError, ValueError):  # no calendar has it
        return one.value, one.prototype
    return days[0].strftime(form), days[1].strftime(form)


def _signed(deviations: float) -> str:
    return f"{round(deviations, 2) + 0.0:+.2f}"


def _cell_of(neuron: Any) -> str:
    x, y = neuron.cell
    return f"({x}, {y})"
