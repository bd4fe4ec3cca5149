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
    from dbgsom_core.estimators.answers import Difference, Explanation
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.using.explain import Explained
    from dbgsom_core.tables import CsvDialect

_ROUNDING = 1e-12
_NOTHING = 1e-6  # of a standard deviation
_MINUTES = 24 * 60  # of a day
_DIGITS = 6  # of a value
_SHOWN = 0.005  # deviations, and a share, of which as many digits as are shown leave something
_A_SHARE = 0.005


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
    dialect: CsvDialect,
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
    told = explain_row(found, data, row, registry, nearest, dialect)
    for note in told.notes:
        click.echo(as_text(f"note: {note}"), err=True)
    if as_json:
        import json
        from dataclasses import asdict

        from dbgsom_core.runs.folder import plain

        nearest_ones = [asdict(one) for one in told.nearest]
        content = {"ids": told.ids, **asdict(told.explanation), "nearest": nearest_ones}
        click.echo(json.dumps(plain(content), indent=2, ensure_ascii=False))
    else:
        ids = ", ".join(f"{name} {value}" for name, value in told.ids.items())
        _tell(told, f"row {row} of {data}" + (f" ({ids})" if ids else ""), features)


def _tell(told: Explained, where: str, features: int) -> None:
    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.compare.text import in_digits

    one = told.explanation
    click.echo(as_text(f"{where}: {_answer(one)}"))
    x, y = one.cell
    way = "" if len(one.path) == 1 else f", on to {' › '.join(map(str, one.path[1:]))}"
    won = f"{in_digits(one.hits, _DIGITS)} training sample{'s' * (one.hits != 1)}"
    click.echo(f"neuron {one.unit} at ({x}, {y}){way}, which won {won}")
    p = "" if one.pvalue is None else f" (p {one.pvalue:.2g})"
    click.echo(
        f"distance {in_digits(one.distance, 4)}, there usually {in_digits(one.usual_distance, 4)}\n"
        f"novelty {in_digits(one.novelty, 3)}{p}, by the training samples around it, 0 at best: "
        f"{'unlike' if one.outlier else 'like'} the training data"
    )
    _tell_features(told, features)
    if one.neighbours:
        click.echo("\nneurons beside it")
        print_table(
            ["neuron", "cell", "label", "hits", "distance"],
            [
                [
                    beside.unit, _cell_of(beside), beside.label, in_digits(beside.hits, _DIGITS),
                    beside.distance,
                ]
                for beside in one.neighbours
            ],
        )  # fmt: skip
    if told.nearest:
        click.echo("\nmost like it in the training data")
        ids = list(told.nearest[0].ids)
        targets = [told.target] * any(like.target is not None for like in told.nearest)
        print_table(
            ["row", *ids, *targets, "distance"],
            [
                [
                    like.row, *like.ids.values(), *([like.target] * len(targets)),
                    like.distance if like.distance > _ROUNDING * one.usual_distance else 0.0,
                ]
                for like in told.nearest
            ],
        )  # fmt: skip


def _answer(one: Explanation) -> str:
    from dbgsom_core.cli.tables import cell

    shares = sorted(one.probabilities.items(), key=lambda item: -item[1])
    rated = [f"{cell(name)} {share:.0%}" for name, share in shares[:5] if share >= _A_SHARE]
    if rated:
        return f"{cell(one.label)} ({', '.join(rated)})"
    # A number that stands for a neuron or a cluster is no answer that explains itself.
    return cell(one.label) if isinstance(one.label, (str, float)) else f"label {cell(one.label)}"


def _tell_features(told: Explained, features: int) -> None:
    from dbgsom_core.cli.tables import print_table

    found = told.explanation.differences
    moved = [one for one in found if not abs(one.deviations) < _SHOWN]
    click.echo("\nwhat pulls it away, in deviations of the training data")
    if moved:
        print_table(
            ["feature", "value", "prototype", "deviations"],
            [
                [one.feature, *_values(one, told.dates), _signed(one.deviations)]
                for one in moved[:features]
            ],
        )
    rest, same = moved[features:], len(found) - len(moved)
    if rest:
        most = _signed(abs(rest[0].deviations)).removeprefix("+")
        click.echo(f"and {len(rest)} more, by {most} or less (--features {len(moved)})")
    if not moved:
        click.echo("nothing: it is as the prototype")
    elif same:
        click.echo(f"{same} other{'s are' if same > 1 else ' is'} as in the prototype")


def _values(one: Difference, dates: Collection[str]) -> tuple[Any, ...]:
    from dbgsom_core.runs.compare.text import in_digits

    if one.feature not in dates:
        # What is next to nothing beside how far the feature spreads is a 0 of the map.
        apart = abs(one.value - one.prototype)
        known = one.deviations and math.isfinite(one.deviations)
        spread = apart / abs(one.deviations) if known else 0.0
        least = max(_ROUNDING, _NOTHING * spread)
        both = (one.value, one.prototype)
        return tuple("0" if abs(x) < least else in_digits(x, _DIGITS) for x in both)
    minutes = round(one.value * _MINUTES)
    form = "%Y-%m-%d %H:%M" if minutes % _MINUTES else "%Y-%m-%d"
    first = datetime(1970, 1, 1)
    try:
        days = (first + timedelta(minutes=minutes), first + timedelta(days=one.prototype))
    except (OverflowError, ValueError):  # no calendar has it
        return one.value, one.prototype
    return days[0].strftime(form), days[1].strftime(form)


def _signed(deviations: float) -> str:
    if math.isinf(deviations):  # the feature never varied
        return "+∞" if deviations > 0 else "-∞"
    return f"{deviations:+.0f}" if abs(deviations) >= 100 else f"{deviations:+.2f}"


def _cell_of(neuron: Any) -> str:
    x, y = neuron.cell
    return f"({x}, {y})"
