"""``dbgsom predict``, ``explain``, ``explore``, ``export`` and ``show``: using what a run left."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import output as messages
from dbgsom_core.cli.console import print_notes, unescaped
from dbgsom_core.cli.options import (
    check_output,
    json_option,
    lazy_import,
    open_registry,
    options,
    output_options,
    plugin_options,
    runs_option,
    writing,
)
from dbgsom_core.cli.trackers import store_option
from dbgsom_core.errors import DataError, DbgsomError

if TYPE_CHECKING:
    from dbgsom_core.estimators.answers import Difference, Explanation
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder import StoredRun
    from dbgsom_core.runs.models.explain import Explained
    from dbgsom_core.runs.models.find import FoundModel
    from dbgsom_core.tables import CsvDialect

_EXPORT_TEXT = ("", "txt")  # endings of files that may hold CSV as well
_MOST_NEURONS = 2000  # more than a terminal shows
_ROUNDING = 1e-12
_NEGLIGIBLE = 1e-6  # of a standard deviation
_MINUTES = 24 * 60  # of a day
_DIGITS = 6  # of a value
_LEAST_SHOWN = 0.005  # of deviations, and of a share: as many digits as are printed

# --------------------------------------------------------------------------------- shared options


def _split_names(context: click.Context, option: click.Parameter, text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _check_delimiter(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    text = "\t" if text == r"\t" else text
    if text is not None and (len(text) != 1 or text in '"\r\n'):
        raise click.BadParameter(f"'{text}' is no single character that can part cells")
    return text


csv_options = options(
    click.option(
        "--delimiter",
        metavar="CHARACTER",
        callback=_check_delimiter,
        help=r"Between the cells of a CSV file, \t is a tab; found out without it.",
    ),
    click.option(
        "--decimal",
        type=click.Choice([".", ","]),
        help="The decimal mark of a CSV file; without it that of the training.",
    ),
    click.option(
        "--thousands",
        type=click.Choice([".", ",", "'", " "]),
        metavar="CHARACTER",
        help="What may stand between thousands in a CSV file; without it as in the training.",
    ),
    click.option(
        "--encoding", help="Of a CSV file; without it UTF-8, or else that of the training."
    ),
)
model_options = options(runs_option, store_option)


def _find_model(name: str, registry: Registry, given: dict[str, Any]) -> FoundModel:
    """Return the model that a name means, with the values of `model_options`."""
    with lazy_import("scipy.stats"):  # scikit-learn imports it: a quarter of a second
        from dbgsom_core.runs.models.find import find_model

    return find_model(name, Path(given["runs"]), registry, given["store"])


def _dialect(given: dict[str, Any]) -> CsvDialect:
    """Return the CSV dialect of the values of `csv_options`."""
    from dbgsom_core.tables import CsvDialect

    names = ("delimiter", "encoding", "decimal", "thousands")
    return CsvDialect(**{name: given[name] for name in names})


# ---------------------------------------------------------------------------------------- predict


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
    callback=_split_names,
    metavar="NAME,…",
    help="Which of label, unit, x, y, path, distance, novelty, pvalue, outlier and probabilities; "
    "all that the model has without it.",
)
@click.option(
    "--keep",
    callback=_split_names,
    metavar="NAME,…",
    help="Columns of DATA to carry along; those that are ids to the model, and dates beside its "
    "features, always are.",
)
@csv_options
@model_options
@output_options
@plugin_options
def predict(
    model: str, data: str, output: str, columns: Sequence[str], keep: Sequence[str], **given: Any
) -> None:
    """Write what MODEL says of each row of DATA.

    MODEL is a run's folder or id, an experiment (its newest run), a model file (.npz), or an
    address in a tracker: runs:/ID, models:/NAME@ALIAS. DATA is a CSV (also packed), parquet,
    feather or npy file, of any length. Columns are found by name where the model knows names; more
    of them do no harm, and their order does not matter.
    """
    found = _find_model(model, open_registry(), given)
    with lazy_import("scipy.stats"):
        from dbgsom_core.runs.models.predict import predict_file
    from dbgsom_core.runs.signals import shutdown

    check_output(output, data, found.path)
    # Data in a pipe steers no terminal, and there may be much of it.
    stdout = sys.stdout if sys.stdout.isatty() else unescaped(sys.stdout)
    on_screen = output == "-" and sys.stdout.isatty()
    counts = not messages.quiet and sys.stderr.isatty() and not on_screen

    def show_count(rows: int) -> None:
        if counts:
            click.echo(f"\r{rows} rows", err=True, nl=False)

    with shutdown.handling():  # so that a signal leaves nothing half-written
        done = predict_file(
            found.model,
            data,
            output,
            columns,
            keep,
            _dialect(given),
            trained=found.dialect,
            stdout=stdout,
            progress=show_count,
        )
    if counts:
        click.echo("\r", err=True, nl=False)
    if messages.quiet:
        return
    print_notes((*found.notes, *done.notes))
    where = "" if output == "-" else f", written to {output}"
    outliers = f", {done.outliers} of them unlike the training data" if done.outliers else ""
    click.echo(f"{done.rows} rows answered by {found.where}{outliers}{where}", err=True)


# ------------------------------------------------------------------------------ explore and export


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
@csv_options
@model_options
@plugin_options
def explore(model: str, other: str | None, data: str | None, output: str, **given: Any) -> None:
    """Write the map of MODEL as an interactive page, or those of MODEL and OTHER side by side.

    Both show the same rows, and what is found or chosen on one map is lit on the other. The page
    is one HTML file that needs no network. MODEL and OTHER are those of 'dbgsom predict'.
    """
    target = Path(output)
    if target.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{output} is no name of a page: it must end in .html")
    registry = open_registry()
    found = _find_model(model, registry, given)
    second = None if other is None else _find_model(other, registry, given)
    from dbgsom_core.runs.models.explore import explore as draw_page

    check_output(output, data, found.path, None if second is None else second.path)
    done = draw_page(found, second, registry, data, _dialect(given))
    print_notes(done.notes)
    with writing(output):
        done.page.save(target)
    which = found.where if second is None else f"{found.where} beside {second.where}"
    click.echo(f"{which}, {done.rows} rows: {output}")
    click.echo(f"to look at it in a browser: {target.absolute().as_uri()}")


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
def export(model: str, form: str | None, output: str, **given: Any) -> None:
    """Write the neurons of MODEL: cell, hits, label and prototype of each, and feature names.

    CSV has a row a neuron; JSON holds the links between neurons as well, npz arrays. Prototypes are
    in the units of the raw data where the prepare steps can be undone. MODEL is that of
    'dbgsom predict'.
    """
    from dbgsom_core.runs.models.export import FORMATS, exported
    from dbgsom_core.tables._files import write_atomically

    ending = Path(output).suffix.lower().lstrip(".")
    if form is None and ending not in (*FORMATS, *_EXPORT_TEXT):
        raise DataError(
            f"{output}: neurons are written as {', '.join(FORMATS)}; --format says as "
            "which of them where the name does not"
        )
    form = form or (ending if ending in FORMATS else "csv")
    if output == "-" and form == "npz":
        raise DataError("an npz file is no text: name a file with -o")
    found = _find_model(model, open_registry(), given)
    check_output(output, found.path)
    print_notes(found.notes)
    if found.model.undone is None:
        print_notes(["prototypes are as the map has them, not in raw units"])
    content = exported(found.model, form, found.feature_names)
    if output == "-":
        click.echo(content.decode(), nl=False)
        return
    with writing(output):
        write_atomically(Path(output), lambda partial: partial.write_bytes(content))
    neurons = len(found.model.estimator.som_map_)
    click.echo(f"{neurons} neurons written to {output}", err=True)


# ---------------------------------------------------------------------------------------- explain


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
@json_option(help="Print everything as JSON.")
@csv_options
@model_options
@plugin_options
def explain(
    model: str, data: str, row: int, features: int, nearest: int, as_json: bool, **given: Any
) -> None:
    """Say why MODEL answers to one row of DATA as it does.

    Its neuron and the neurons beside it, the features in which it differs most from the neuron's
    prototype, and the rows of the training data that are most like it. MODEL and DATA are those of
    'dbgsom predict'.
    """
    registry = open_registry()
    found = _find_model(model, registry, given)
    from dbgsom_core.runs.models.explain import explain_row

    explained = explain_row(found, data, row, registry, nearest, _dialect(given))
    print_notes(explained.notes)
    if as_json:
        from dbgsom_core.runs.folder import plain

        rows = [asdict(sample) for sample in explained.nearest]
        content = {"ids": explained.ids, **asdict(explained.explanation), "nearest": rows}
        click.echo(json.dumps(plain(content), indent=2, ensure_ascii=False))
        return
    ids = ", ".join(f"{name} {value}" for name, value in explained.ids.items())
    where = f"row {row} of {data}" + (f" ({ids})" if ids else "")
    click.echo(f"{where}: {_format_answer(explained.explanation)}")
    _print_neuron(explained.explanation)
    _print_features(explained, features)
    _print_neighbours(explained)


def _format_answer(explanation: Explanation) -> str:
    from dbgsom_core.cli.tables import cell

    label = explanation.label
    shares = sorted(explanation.probabilities.items(), key=lambda item: -item[1])
    rated = [f"{cell(name)} {share:.0%}" for name, share in shares[:5] if share >= _LEAST_SHOWN]
    if rated:
        return f"{cell(label)} ({', '.join(rated)})"
    # A number that stands for a neuron or a cluster is no answer that explains itself.
    return cell(label) if isinstance(label, (str, float)) else f"label {cell(label)}"


def _print_neuron(explanation: Explanation) -> None:
    from dbgsom_core.runs.compare.text import in_digits

    path = " › ".join(map(str, explanation.path[1:]))
    hits = f"{in_digits(explanation.hits, _DIGITS)} training sample{'s' * (explanation.hits != 1)}"
    pvalue = "" if explanation.pvalue is None else f" (p {explanation.pvalue:.2g})"
    click.echo(
        f"neuron {explanation.unit} at {_format_cell(explanation)}{path and f', on to {path}'}, "
        f"which won {hits}\n"
        f"distance {in_digits(explanation.distance, 4)}, "
        f"there usually {in_digits(explanation.usual_distance, 4)}\n"
        f"novelty {in_digits(explanation.novelty, 3)}{pvalue}, by the training samples around it, "
        f"0 at best: {'unlike' if explanation.outlier else 'like'} the training data"
    )


def _print_features(explained: Explained, most: int) -> None:
    from dbgsom_core.cli.tables import print_table

    found = explained.explanation.differences
    moved = [feature for feature in found if not abs(feature.deviations) < _LEAST_SHOWN]
    click.echo("\nwhat pulls it away, in deviations of the training data")
    if not moved:
        click.echo("nothing: it is as the prototype")
        return
    rows = [
        [feature.feature, *_format_values(feature, explained.dates), _signed(feature.deviations)]
        for feature in moved[:most]
    ]
    print_table(["feature", "value", "prototype", "deviations"], rows)
    rest, same = moved[most:], len(found) - len(moved)
    if rest:
        limit = _signed(abs(rest[0].deviations)).removeprefix("+")
        click.echo(f"and {len(rest)} more, by {limit} or less (--features {len(moved)})")
    if same:
        click.echo(f"{same} other{'s are' if same > 1 else ' is'} as in the prototype")


def _print_neighbours(explained: Explained) -> None:
    """Print the neurons around the winner, and the most similar rows of the training data."""
    from dbgsom_core.cli.tables import print_table
    from dbgsom_core.runs.compare.text import in_digits

    explanation = explained.explanation
    if explanation.neighbours:
        click.echo("\nneurons beside it")
        rows = [
            [neuron.unit, _format_cell(neuron), neuron.label, in_digits(neuron.hits, _DIGITS),
             neuron.distance]
            for neuron in explanation.neighbours
        ]  # fmt: skip
        print_table(["neuron", "cell", "label", "hits", "distance"], rows)
    if explained.nearest:
        click.echo("\nmost like it in the training data")
        targets = [explained.target] * any(like.target is not None for like in explained.nearest)
        least = _ROUNDING * explanation.usual_distance
        rows = [
            [like.row, *like.ids.values(), *([like.target] * len(targets)),
             like.distance if like.distance > least else 0.0]
            for like in explained.nearest
        ]  # fmt: skip
        print_table(["row", *explained.nearest[0].ids, *targets, "distance"], rows)


def _format_values(feature: Difference, dates: Collection[str]) -> tuple[Any, ...]:
    """Return the value of a feature and that of the prototype, as dates where it is one."""
    from dbgsom_core.runs.compare.text import in_digits

    values = (feature.value, feature.prototype)
    if feature.feature not in dates:
        # A value that is negligible beside the spread of the feature is a 0 of the map.
        known = feature.deviations and math.isfinite(feature.deviations)
        spread = abs((values[0] - values[1]) / feature.deviations) if known else 0.0
        least = max(_ROUNDING, _NEGLIGIBLE * spread)
        return tuple("0" if abs(x) < least else in_digits(x, _DIGITS) for x in values)
    minutes = round(feature.value * _MINUTES)
    form = "%Y-%m-%d %H:%M" if minutes % _MINUTES else "%Y-%m-%d"
    epoch = datetime(1970, 1, 1)
    try:
        moments = (epoch + timedelta(minutes=minutes), epoch + timedelta(days=feature.prototype))
    except (OverflowError, ValueError):  # no calendar has it
        return values
    return tuple(moment.strftime(form) for moment in moments)


def _signed(deviations: float) -> str:
    if math.isinf(deviations):  # the feature never varied
        return "+∞" if deviations > 0 else "-∞"
    return f"{deviations:+.0f}" if abs(deviations) >= 100 else f"{deviations:+.2f}"


def _format_cell(neuron: Any) -> str:
    x, y = neuron.cell
    return f"({x}, {y})"


# ------------------------------------------------------------------------------------------- show


@click.command()
@click.argument("run")
@click.option(
    "--map",
    "by",
    type=click.Choice(["auto", "label", "hits", "none"]),
    default="auto",
    show_default=True,
    help="What the map shows.",
)
@runs_option
@plugin_options
def show(run: str, by: str, runs: str) -> None:
    """Show RUN in the terminal: how it ended, its measures, its map, and where its files are.

    RUN is a run's folder or id (the end of it will do), or an experiment, which means its newest
    run. Colours follow the terminal; NO_COLOR=1 leaves them out.
    """
    from dbgsom_core.runs.find import find_run

    registry = open_registry()
    found, notes = find_run(run, Path(runs))
    print_notes(notes)
    _print_state(found)
    if found.kind == "sweep":
        _print_variants(found, registry)
    elif found.measures:
        from dbgsom_core.cli.tables import print_measures

        click.echo()
        print_measures(found.measures, None, registry)
    if found.kind != "sweep" and by != "none" and found.files.model.exists():
        _print_map(found.files.model, None if by == "auto" else by)
    _print_paths(found)


def _print_state(found: StoredRun) -> None:
    from dbgsom_core.runs.folder import journal_damage

    click.echo(f"{found.name}\n{found.kind} {found.id} of experiment {found.experiment}")
    took = since = ""
    if found.started is not None:
        since = f", started {found.started.astimezone():%Y-%m-%d %H:%M}"
        if found.ended is not None:
            took = f" in {(found.ended - found.started).total_seconds():.1f} s"
    click.echo(f"{found.status}{took}{since}")
    if found.error:
        click.echo(f"because: {found.error}")
    if damage := found.damage or journal_damage(found):
        click.echo(f"damaged: {damage}")
    data = found.data
    if {"name", "samples", "features"} <= data.keys():
        from dbgsom_core.runs.compare.variants import data_name

        name = data_name(found.config, data)
        click.echo(f"data {name}: {data['samples']} × {data['features']}")
    if found.status == "running" and found.kind == "run":
        epochs = found.epochs()
        click.echo(f"epoch {epochs[-1].epoch} so far" if epochs else "no epoch yet")


def _print_map(file: Path, by: str | None) -> None:
    from rich.console import Console

    from dbgsom_core.cli.tables import draw_map
    from dbgsom_core.persistence import load

    try:
        model = load(file)
    except DbgsomError as error:
        click.echo(f"the map cannot be shown: {error}", err=True)
        return
    estimator = getattr(model, "estimator", model)
    som_map = estimator.som_map_
    rows, columns = som_map.shape
    leaves = f", {len(estimator.leaf_weights_)} leaves of child maps" if som_map.children else ""
    cells = "cells" if som_map.grid.name == "square" else f"{som_map.grid.name} cells"
    torus = "" if som_map.grid.torus is None else ", a torus"
    where = "in a line" if som_map.grid.is_line else f"on {rows} × {columns} {cells}{torus}"
    click.echo(f"\n{len(som_map)} neurons {where}{leaves}")
    if len(som_map) <= _MOST_NEURONS:
        console = Console(highlight=False)
        for line in draw_map(estimator, by, console):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)


def _print_variants(found: StoredRun, registry: Registry) -> None:
    from dbgsom_core.cli.tables import print_children, print_rankings

    if found.rankings:
        click.echo()
        print_rankings(found.rankings, registry)
        return
    if found.children:
        click.echo()
        children = [(child["name"], child["measures"]) for child in found.children]
        print_children(children, registry)
    for child in found.children:
        if child.get("id") == found.best:
            click.echo(f"best: {child['name']} ({found.best})")


def _print_paths(found: StoredRun) -> None:
    files = found.files
    paths = [
        ("folder", files.folder),
        ("report", files.page if files.page.exists() else files.report),
        ("model", files.model),
        *(("figure", path) for path in files.figures()),
        *(("artefact", path) for path in files.artifacts()),
    ]
    click.echo()
    for what, path in paths:
        if path.exists():
            click.echo(f"{what}: {path}")
