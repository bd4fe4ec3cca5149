"""``dbgsom show`` and ``compare``: tables and maps on the terminal."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import (
    check_output,
    echo,
    open_registry,
    option,
    plugin_options,
    print_notes,
    runs_option,
)
from dbgsom_core.errors import DataError, DbgsomError, as_text, name_list
from dbgsom_core.experiments.trackers import Ranking, Variant
from dbgsom_core.files import exists
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare import check_ending, compare_runs, run_baseline
from dbgsom_core.runs.describe import data_title, headline, parts_of, to_digits, value_of
from dbgsom_core.runs.folder import StoredRun, read_run
from dbgsom_core.runs.ranking import best_end, differences, fields_text, with_arrow
from dbgsom_core.runs.stored_runs import SHORTEST_ID, find_run, newest_folders, shell_name

if TYPE_CHECKING:
    from rich.text import Text

_MOST_RUNS = 20  # of a list: with its header and a prompt they fit a terminal of 24 lines
_MOST_CLUSTERS = 25  # rows of a table, which stands below that of the measures
_MOST_LABELS, _MOST_GROUPS = 12, 24  # columns and rows of a table of groups
_UNLIMITED = 100_000  # characters of a line on a pipe, where a program expects a row a line
_LONGEST = 200  # characters of a value, of which three fill a terminal
_NUMBER = re.compile(r"[-+<]?[\d∞]|nan|$")  # how it begins, also one with its interval
_CELL = 3  # characters of a neuron: two of its label, and a space
_RAMP = "·░▒▓█"  # of a dead neuron, and from few hits to many
_COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan")  # what every terminal has
_MOST_NAMES = 20  # labels of a map: with more of them six colours tell nothing apart


@click.command()
@click.argument("run", required=False)
@option(
    "--map by",
    "What the map shows.",
    type=click.Choice(["auto", "label", "hits", "none"]),
    default="auto",
)
@option("--all show_all", "Show every measure; without RUN: every run.", is_flag=True)
@runs_option
@plugin_options
def show(run: str | None, by: str, show_all: bool, runs: str) -> None:
    """Show RUN in the terminal: how it ended, its measures, its map, and where its files are.

    RUN is a run's folder or id (the end of it will do), or an experiment, which means its newest
    run. Without it the runs and sweeps of all experiments are listed, newest first. Colours follow
    the terminal; NO_COLOR=1 leaves them out.
    """
    registry = open_registry()
    if run is None:
        _list_runs(Path(runs), None if show_all else _MOST_RUNS)
        return
    stored, notes = find_run(run, Path(runs))
    print_notes(notes)
    _print_state(stored)
    echo()
    print_result(stored, registry, show_all)
    files = stored.files
    if by != "none" and files.model.exists():
        _print_map(files.model, by)
    echo()
    paths = [("folder", files.folder), ("report", files.page), ("model", files.model)]
    paths += [("figure", path) for path in files.figures()]
    paths += [("artefact", path) for path in files.artifacts()]
    for what, path in paths:
        if path.exists():
            echo(f"{what}: {path}")


def _list_runs(root: Path, most: int | None) -> None:
    """Print the runs and sweeps of a folder, newest first, a row each."""
    folders = newest_folders(root)
    if not folders:
        echo(f"there are no runs in {root}: 'dbgsom run CONFIG' makes them")
        return
    runs = [read_run(folder) for folder in folders[:most]]
    texts = _differences(runs)
    ends = Counter(_name_end(folder) for folder in folders)
    rows = []
    for run in runs:
        folder = run.files.folder
        if run.kind == "sweep":
            texts[folder] = run.name  # 12 runs: kernel × seed
        name, end = folder.name, _name_end(folder)
        if ends[end] == 1 and len(end) >= SHORTEST_ID:
            name = end  # enough to name the run in commands
        state = f"damaged: {run.damage}" if run.damage else run.status
        config_name, difference = run.config.get("name"), texts.get(folder)
        value = _main_value(run)
        rows.append([name, run.experiment, config_name, difference, *value, state, _began(run)])
    header = ["run", "experiment", "name", "what differs", "measure", "value", "state", "began"]
    print_table(header, rows)
    if len(folders) > len(runs):
        echo(f"and {len(folders) - len(runs)} more: dbgsom show --all")


def _name_end(folder: Path) -> str:
    return folder.name.rpartition("-")[2]


def _began(run: StoredRun) -> str:
    return "" if run.started is None else f"{run.started.astimezone():%Y-%m-%d %H:%M}"


def _differences(runs: Sequence[StoredRun]) -> dict[Path, str]:
    """Return by folder what tells a run from the others of its experiment."""
    groups = defaultdict(list)
    for run in runs:
        if run.kind == "run":
            groups[run.experiment].append(run)
    texts = {}
    for group in groups.values():
        fields = differences([run.params for run in group])
        for run, values in zip(group, fields, strict=True):
            texts[run.files.folder] = fields_text(values)
    return texts


def _main_value(run: StoredRun) -> tuple[str, str]:
    """Return name and value of what matters most of a run, or of the best variant of a sweep."""
    if run.rankings:
        ranking = run.rankings[0]
        name = ranking.measures[0]
        return name.removeprefix("test/"), _value(ranking.best, name)
    measures = headline(run.measures, run.config, run.data)
    if not measures:
        return "", ""
    first = measures[0]
    return f"{first.part}/{first.name}".removeprefix("test/"), first.text


def _print_state(run: StoredRun) -> None:
    echo(f"{run.name}\n{run.kind} {run.id} of experiment {run.experiment}")
    state = str(run.status)
    if run.started is not None and run.ended is not None:
        state += f" in {(run.ended - run.started).total_seconds():.1f} s"
    if run.started is not None:
        state += f", started {_began(run)}"
    echo(state)
    if run.error:
        echo(f"because: {run.error}")
    if run.damage:
        echo(f"damaged: {run.damage}")
    if {"name", "samples", "features"} <= run.data.keys():
        name = data_title(run.config.get("dataset"), run.data["name"])
        echo(f"data {name}: {run.data['samples']} × {run.data['features']}")
    if run.status == "running" and run.kind == "run":
        epochs = run.epochs()
        echo(f"epoch {epochs[-1].epoch} so far" if epochs else "no epoch yet")


# ------------------------------------------------------------------------------------- the map


def _print_map(file: Path, by: str) -> None:
    from dbgsom_core.persistence import load

    try:
        model = load(file)
    except DbgsomError as error:
        echo(f"the map cannot be shown: {error}", err=True)
        return
    estimator = getattr(model, "estimator", model)
    rows, columns = estimator.som_map_.shape
    echo(f"\n{len(estimator.som_map_)} neurons on {rows} × {columns} cells")
    console = _console()
    for line in draw_map(estimator, by):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)


def draw_map(estimator: Any, by: str) -> list[Text]:
    """Return lines that show a fitted map by its labels or hits, and its legend."""
    import numpy as np
    from rich.text import Text

    hits, labels = np.asarray(estimator.hit_counts_), np.asarray(estimator.neuron_labels_)
    names = np.unique(labels[hits > 0]).tolist()
    # A label of each neuron's own says less than its hits.
    has_classes = 1 < len(names) <= _MOST_NAMES and len(names) < np.count_nonzero(hits)
    colours: dict[Any, str] = {}
    if by == "label" or (by == "auto" and has_classes):
        texts = [as_text(label)[: _CELL - 1] for label in labels.tolist()]
        for name, colour in zip(names, cycle(_COLOURS), strict=False):
            colours[name] = f"reverse {colour}"
        legend = Text("label: ")
        for name in names[:_MOST_NAMES]:
            legend.append(f" {as_text(name)[: _CELL - 1]} ", colours[name])
            legend.append(f" {cell(name)} ")
    else:
        levels = np.ceil((len(_RAMP) - 1) * hits / hits.max()).astype(int)
        texts = [_RAMP[level] * _CELL for level in levels]
        legend = Text(f"hits: {_RAMP[1]} few  {_RAMP[-1]} up to {hits.max():g}")
    # Neurons of a row are one apart, so that cells of hexagons lie half a cell beside each other.
    x, y = estimator.som_map_.plane_positions.T
    columns = np.floor((x - x.min()) * _CELL + 0.5).astype(int)
    rows = np.unique(-y, return_inverse=True)[1]
    lines = [Text() for _ in range(rows.max() + 1)]
    for neuron in np.argsort(columns):
        line = lines[rows[neuron]]
        line.append(" " * (columns[neuron] - len(line)))
        if hits[neuron]:
            line.append(texts[neuron].center(_CELL), colours.get(labels[neuron], ""))
        else:
            line.append(_RAMP[0].center(_CELL))
    return [*lines, Text(), legend]


# --------------------------------------------------------------------------------- comparisons


@click.command()
@click.argument("targets", nargs=-1)
@option("--by", "Measure to rank by; else what the sweep or estimator says.", metavar="MEASURE")
@option("--direction", "Which end of it is best.", type=click.Choice(["maximize", "minimize"]))
@option("--split", "On which part it is measured.", type=click.Choice(["test", "train"]))
@runs_option
@option("--top", "Show only the best so many variants.", type=click.IntRange(min=1))
@option("--all show_all", "Show every measure.", is_flag=True)
@option("-o --output", "Write .csv, .html or .md.", type=click.Path(dir_okay=False), metavar="FILE")
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
    if output is not None:
        check_ending(Path(output))
        check_output(output)
    comparison = compare_runs(targets, runs, open_registry(), **criteria)
    if output is not None:
        comparison.save(Path(output))
        echo(f"{output}: {len(comparison.tables)} table(s)")
        return
    for section in comparison.sections(show_all):
        echo(section.title)
        print_table(section.header, section.rows, top)
        for text in (section.lead, *section.notes):
            echo(text)
        echo()
    for note in comparison.notes:
        echo(f"note: {note}")
    states = [[name, f"damaged: {why}"] for name, why in comparison.damaged.items()]
    print_table(["run", "state"], states)


# -------------------------------------------------------------------------------------- tables


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[Any]], most: int | None = None, rest: str = ""
) -> None:
    """Print a table without its empty columns; a row is one line on a pipe.

    Of more than ``most`` rows the first are shown, and ``rest`` says where the others are.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns: list[list[str]] = []
    for number, title in enumerate(header):
        cells = [cell(row[number]) for row in rows[:most]]
        if any(cells):
            is_text = not columns or not all(map(_NUMBER.match, cells))
            justify: Any = "left" if is_text else "right"
            table.add_column(title, justify=justify, overflow="fold", no_wrap=not is_text)
            columns.append(cells)
    if not columns:
        return
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    console = _console()
    if not console.is_terminal:
        console.width = _UNLIMITED
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())
    hidden = len(rows) - len(columns[0])
    if hidden:
        echo(f"and {hidden} more{rest}")


def cell(value: Any) -> str:
    if value is None:
        return ""
    text = as_text(value).replace("\n", "\\n")
    if isinstance(value, float):
        text = to_digits(value, 4)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


# -------------------------------------------------------------------------------------- results


def print_result(run: StoredRun, registry: Registry, show_all: bool = False) -> None:
    """Print the measures of a run or the rankings of a sweep, and the tables of its folder."""
    if run.kind == "sweep":
        for ranking in run.rankings:
            _print_ranking(ranking)
        if not run.rankings:
            compare = f"dbgsom compare {shell_name(run)}"
            echo(f"nothing is ranked; the runs that have finished: {compare}")
        return
    if show_all:
        _print_all_measures(run, registry)
    else:
        _print_headline(run, registry)
    if baseline := run_baseline(run.data):
        echo(baseline)
    try:
        _print_profiles(run)
    except DataError as error:
        echo(f"warning: {error}", err=True)
    if run.verdict:
        echo(run.verdict)


def _print_headline(run: StoredRun, registry: Registry) -> None:
    measures = headline(run.measures, run.config, run.data)
    rows = []
    for measure in measures:
        test, train = "", measure.text
        if measure.part == "test":
            test, train = measure.text, measure.training
        best = best_end(f"{measure.part}/{measure.name}", registry)
        rows.append([with_arrow(measure.name, best), test, train, measure.baseline])
    print_table(["measure", "test", "train", "baseline"], rows)
    count = len(parts_of(run.measures))
    if count > len(measures):
        echo(f"all {count} measures: dbgsom show {shell_name(run)} --all")


def _print_all_measures(run: StoredRun, registry: Registry) -> None:
    """Print all measures, a column for each part of the data."""
    parts: dict[str, None] = {}  # train, test and the like
    names: dict[str, None] = {}
    for full_name in run.measures:
        part, _, name = full_name.partition("/")
        parts[part] = names[name] = None
    rows = []
    for name in names:
        values = [run.measures.get(f"{part}/{name}") for part in parts]
        rows.append([with_arrow(name, best_end(name, registry)), *values])
    print_table(["measure", *parts], rows)


def _print_profiles(run: StoredRun) -> None:
    """Print what sets clusters or classes apart, and labels by groups, where a run has them."""
    from dbgsom_core.runs.profile import group_rows, read_clusters, read_groups

    for name in ("clusters", "classes"):
        path = run.files.table(name)
        if exists(path):
            header, rows = read_clusters(path)
            echo()
            print_table(
                header[:-1], rows, _MOST_CLUSTERS, f": {path}"
            )  # without the typical sample
            echo("effect: the difference from all other samples, in standard deviations of all")
    path = run.files.table("groups")
    if not exists(path):
        return
    for counts in read_groups(path):
        header, rows = group_rows(counts, _MOST_LABELS)
        echo()
        print_table(header, rows, _MOST_GROUPS, f": {path}")
        hidden = len(counts.labels) - _MOST_LABELS
        if hidden > 0:
            echo(f"and {hidden} more labels: {path}")
        echo(f"labels by {counts.column}: {counts.sentence}")


def _print_ranking(ranking: Ranking) -> None:
    names, keys = ranking.measures, ranking.keys
    rows = []
    for place, variant in enumerate(ranking.variants, 1):
        values = [_value(variant, name) for name in names]
        varies = [variant.varies.get(key, "") for key in keys]
        varies = ["null" if value is None else value for value in varies]
        rows.append([place, *values, len(variant.runs), *varies])
    titles = [with_arrow(name, ranking.ends.get(name, "")) for name in names]
    echo(ranking.data)
    print_table(["", *titles, "runs", *keys], rows)
    best = f"best: {ranking.best.name} ({names[0]} {_value(ranking.best, names[0])})"
    if ranking.ties:
        best += f"; the same mean: {name_list(variant.name for variant in ranking.ties)}"
    echo(best)
    for text in (ranking.reason, ranking.verdict):
        if text:
            echo(text)


def _value(variant: Variant, name: str) -> str:
    mean = variant.measures.get(name)
    return "" if mean is None else value_of(mean, variant.spread.get(name))
