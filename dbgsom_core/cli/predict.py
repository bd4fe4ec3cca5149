"""``dbgsom predict``, ``explain``, ``explore`` and ``export``: using the model of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import (
    check_output,
    echo,
    json_option,
    open_registry,
    option,
    options,
    output_options,
    plugin_options,
    print_notes,
    progress_bar,
    runs_option,
    steps_option,
    writing,
)
from dbgsom_core.cli.console import output as messages
from dbgsom_core.cli.show import print_table
from dbgsom_core.errors import DataError
from dbgsom_core.experiments.trackers import plain
from dbgsom_core.files import exists
from dbgsom_core.runs.session import ended_by_term

if TYPE_CHECKING:
    from dbgsom_core.runs.predict import FoundModel
    from dbgsom_core.tables import CsvDialect

_TITLE_END = " · explorer</title>".encode()  # by which a page is known to be an explorer


def _split_names(context: click.Context, option: click.Parameter, text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _check_delimiter(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    if text == r"\t":
        return "\t"
    if text is not None and (len(text) != 1 or text in '"\r\n'):
        raise click.BadParameter(f"'{text}' is no single character that can part cells")
    return text


csv_options = options(
    option("--delimiter", r"Between cells of a CSV file; \t: a tab.", callback=_check_delimiter),
    option("--decimal", "The decimal mark of a CSV file.", type=click.Choice([".", ","])),
    option("--thousands", "Between thousands.", type=click.Choice([".", ",", "'", " "])),
    option("--encoding", "Of a CSV file; else UTF-8, or that of the training."),
)
model_options = options(
    runs_option,
    steps_option,
    option("--store", "Store of addresses such as models:/NAME@ALIAS.", metavar="URI"),
    plugin_options,
)


def find_model_of(name: str, given: dict[str, Any]) -> FoundModel:
    from dbgsom_core.runs.predict import find_model

    return find_model(name, Path(given["runs"]), open_registry(), given["store"], given["steps"])


def dialect_of(given: dict[str, Any]) -> CsvDialect:
    from dbgsom_core.tables import CsvDialect

    return CsvDialect(
        delimiter=given["delimiter"],
        encoding=given["encoding"],
        decimal=given["decimal"],
        thousands=given["thousands"],
    )


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(allow_dash=True))
@option("-o --output", "Such as FILE.csv or FILE.parquet.", default="-", metavar="FILE")
@option("--columns", "Such as label,unit,distance.", callback=_split_names, metavar="NAME,…")
@option("--keep", "Columns of DATA to carry along.", callback=_split_names, metavar="NAME,…")
@option("--by", "A row for each of its values: counts, shares, medians.", metavar="COLUMN")
@option("--groups", "A groups.json of the explorer: answer with its names.", metavar="FILE")
@csv_options
@output_options
@model_options
def predict(
    model: str,
    data: str,
    output: str,
    columns: Sequence[str],
    keep: Sequence[str],
    by: str | None,
    groups: str | None,
    **given: Any,
) -> None:
    """Write what MODEL says of each row of DATA.

    MODEL is a run's folder or id, an experiment (its newest run), a model file (.npz), or an
    address in a tracker: runs:/ID, models:/NAME@ALIAS. DATA is a table of any length, in any format
    of 'dbgsom init', or files as the run's own where its data set says how new ones are read.
    Columns are loaded by name where the model knows names; more of them do no
    harm, and their order does not matter.
    """
    loaded = find_model_of(model, given)
    from dbgsom_core.runs.predict import open_as_trained, predict_file

    if groups is not None:
        if loaded.model.estimator._kind != "vq":
            raise DataError(f"--groups names clusters, and {loaded.where} answers otherwise")
        loaded.model.estimator.name_groups(groups)
    check_output(output, data, groups, loaded.path)
    if by is not None:
        from dbgsom_core.runs.rows import tabulate_file

        if columns or keep or loaded.model.estimator._kind == "regressor":
            raise DataError("--by counts labels: leave out --columns and --keep, and regressors")
        dialect = dialect_of(given)
        count, notes = tabulate_file(loaded, data, by, output, open_registry(), dialect)
        print_notes((*loaded.notes, *notes))
        echo(f"{count} values of {by} tabulated by {loaded.where}", err=True)
        return
    is_on_screen = output == "-" and sys.stdout.isatty()  # where a bar would mix with answers

    def show_progress(rows: int, total: int | None) -> None:
        update(completed=rows, total=total, now=f"{rows:,} rows")

    with ended_by_term(), progress_bar(not is_on_screen) as update:
        rows, unlike, notes = predict_file(
            loaded.model,
            data,
            output,
            columns,
            keep,
            dialect_of(given),
            trained=loaded.dialect,
            table=open_as_trained(loaded, data, open_registry()),
            progress=show_progress,
        )
    if messages.quiet:
        return
    print_notes((*loaded.notes, *notes))
    text = f"{rows} rows answered by {loaded.where}"
    if unlike:
        text += f", {unlike} of them unlike the training data"
    if output != "-":
        text += f", written to {output}"
    echo(text, err=True)


@click.command()
@click.argument("model")
@option("--data", "A file with rows to show; else those of MODEL.", metavar="FILE")
@option("-o --output", "The page; else NAME-explorer.html.", metavar="FILE")
@csv_options
@model_options
def explore(model: str, data: str | None, output: str | None, **given: Any) -> None:
    """Write the map of MODEL with its rows as an interactive page.

    The page is one HTML file that needs no network; NAME is that of the experiment or model file.
    An explorer of before is replaced, and no other file. MODEL is that of 'dbgsom predict'.
    """
    if output is not None and Path(output).suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{output} is no name of a page: it must end in .html")
    loaded = find_model_of(model, given)
    from dbgsom_core.runs.explain import explore as draw_page

    name = Path(model).stem
    if loaded.run is not None:
        name = loaded.run.experiment.replace("/", "-")
    target = Path(output or f"{name}-explorer.html")
    check_output(str(target), data, loaded.path)
    if exists(target) and _TITLE_END not in target.read_bytes():
        raise DataError(f"{target} exists and is no explorer: name another file with -o")
    page, rows, notes = draw_page(loaded, open_registry(), data, dialect_of(given))
    print_notes(notes)
    with writing(str(target)):
        page.save(target)
    echo(f"{loaded.where}, {rows} rows: {target}")
    echo(f"to look at it in a browser: {target.absolute().as_uri()}")


@click.command()
@click.argument("model")
@option("-o --output", "- is standard output.", default="-", metavar="FILE")
@model_options
def export(model: str, output: str, **given: Any) -> None:
    """Write the neurons of MODEL as a table, as neurons.csv of a run: cell, hits, label, prototype.

    Prototypes are in the units of the raw data, and left out where the prepare steps cannot be
    undone. FILE is as that of 'dbgsom predict', as MODEL is.
    """
    from dbgsom_core.runs.results import neuron_tables
    from dbgsom_core.tables import write_table

    loaded = find_model_of(model, given)
    check_output(output, loaded.path)
    print_notes(loaded.notes)
    names = loaded.model.feature_names or loaded.feature_names
    neurons = write_table(output, neuron_tables(loaded.model, names))
    if output != "-":
        echo(f"{neurons} neurons written to {output}", err=True)


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path())
@option("--row", "Number of the row, from 0.", type=click.IntRange(min=0), required=True)
@option("--features", "How many features to show.", default=8, type=click.IntRange(1))
@option("--nearest", "How many training rows to show.", default=5, type=click.IntRange(0))
@json_option(help="Print everything as JSON.")
@csv_options
@model_options
def explain(
    model: str, data: str, row: int, features: int, nearest: int, as_json: bool, **given: Any
) -> None:
    """Say why MODEL answers to one row of DATA as it does.

    Its neuron and the neurons beside it, the features in which it differs most from the neuron's
    prototype, and the rows of the training data that are most like it. MODEL and DATA are those of
    'dbgsom predict'.
    """
    loaded = find_model_of(model, given)
    from dbgsom_core.runs.explain import explain_row
    from dbgsom_core.tables import short

    explained = explain_row(loaded, data, row, open_registry(), nearest, dialect_of(given))
    explanation = explained.explanation
    print_notes(explained.notes)
    if as_json:
        content = {"ids": explained.ids, **asdict(explanation), "nearest": explained.nearest}
        echo(json.dumps(plain(content), indent=2, ensure_ascii=False))
        return
    title = f"row {row} of {data}"
    for name, value in explained.ids.items():
        title += f", {name} {short(value)}"
    echo(title)
    echo(explanation.to_text(features))
    if explanation.neighbours:
        echo("\nneurons beside it")
        neighbours = list(map(astuple, explanation.neighbours))
        print_table(["neuron", "cell", "label", "distance"], neighbours)
    if explained.nearest:
        echo("\nmost like it in the training data")
        rows = []
        for like in explained.nearest:
            ids = [short(str(value)) for value in like["ids"].values()]
            rows.append([like["row"], *ids, like["target"], like["distance"]])
        print_table(["row", *explained.nearest[0]["ids"], explained.target, "distance"], rows)
